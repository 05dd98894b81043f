//! A real syslog daemon: rsyslogd, on a /dev/log that nobody else sees.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Child, Folder, namespace::Namespace, read, skip, until};

const RSYSLOGD: &str = "/usr/sbin/rsyslogd";

/// A namespace, and what the syslog daemon in it has written.
pub struct Rig {
    pub namespace: Namespace,
    pub folder: Folder,
}

impl Rig {
    /// None, and said so, where it cannot be.
    #[track_caller]
    pub fn new() -> Option<Self> {
        if !Path::new(RSYSLOGD).exists() {
            skip("rsyslogd is not installed");
            return None;
        }
        Some(Rig { namespace: Namespace::new()?, folder: Folder::new() })
    }

    pub fn log(&self) -> String {
        read(&self.folder.path("messages"))
    }
}

/// A running rsyslogd.
pub struct Syslogd {
    child: Child,
}

impl Syslogd {
    /// Returns when it listens. What it has read it has written, when it is ended by TERM: nothing is queued
    /// inside. Its own escapes are off, so as to see what was sent.
    #[track_caller]
    pub fn start(rig: &Rig) -> Self {
        let folder = rig.folder.as_ref().display();
        let configuration = format!(
            r#"
            global(workDirectory="{folder}" parser.escapeControlCharactersOnReceive="off")
            main_queue(queue.type="Direct")
            module(load="imuxsock" SysSock.RateLimit.Interval="0")
            template(name="all" type="string" string="%PRI%|%syslogfacility-text%|%syslogseverity-text%|%programname%|%procid%|%msg:2:$%\n")
            if $programname != "rsyslogd" then action(type="omfile" file="{folder}/messages" template="all")
            "#
        );
        let path = |name| rig.folder.path(name);
        fs::write(path("rsyslog.conf"), configuration).unwrap();
        let mut command = Command::new(RSYSLOGD);
        command.arg("-n").arg("-f").arg(path("rsyslog.conf")).arg("-i").arg(path("syslogd.pid"));
        let child = Child::start(rig.namespace.enter(&mut command));
        let socket = format!("/proc/{}/root/dev/log", rig.namespace.pid());
        let probe = UnixDatagram::unbound().unwrap();
        until("rsyslogd listens", || probe.connect(&socket).is_ok());
        Syslogd { child }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.pid()), signal).unwrap();
    }

    #[track_caller]
    pub fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        assert!(self.child.wait().success());
    }

    /// Stops all its threads where they are.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        let threads = format!("/proc/{}/task", self.child.pid());
        let is_stopped = |thread: PathBuf| read(&thread.join("status")).contains("State:\tT");
        until("rsyslogd stands still", || {
            fs::read_dir(&threads).unwrap().all(|thread| is_stopped(thread.unwrap().path()))
        });
    }
}
