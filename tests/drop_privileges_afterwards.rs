//! What the library has open goes on after rsd_drop_privileges(): pid file, log, control socket.

mod common;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::PathBuf,
    process::Command,
};

use common::{
    Folder, command, control::Client, foreground::Foreground, is_root, program, read, skip,
    test_with, until,
};
use nix::sys::signal::Signal;

/// tests/programs/dropped.c with a folder for what it opens.
struct Rig {
    folder: Folder,
    program: PathBuf,
}

impl Rig {
    /// The folder belongs to this user.
    fn of(uid: u32) -> Option<Self> {
        if !is_root() {
            skip("needs root, which is given up");
            return None;
        }
        let folder = Folder::new();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["run", "jail"] {
            fs::create_dir(folder.path(name)).unwrap();
        }
        chown(folder.path("run"), Some(uid), None).unwrap();
        let program = program(&folder, "dropped");
        Some(Rig { folder, program })
    }

    fn start(&self, options: &[&str]) -> Foreground {
        let mut command: Command = command(&self.program);
        command.arg("run").args(options).current_dir(&self.folder);
        Foreground::start(&self.folder, &mut command, "ready\n")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path("run").join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path("run")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn fill(&self) {
        Client::new(&self.path("control")).ask("fill").ok();
    }

    /// The numbers of the lines in all files of the log.
    fn lines(&self) -> Vec<u32> {
        let logs = self.names().into_iter().filter(|name| name.starts_with("d.log"));
        let all: String = logs.map(|name| read(&self.path(&name))).collect();
        let number = |line: &str| line.split_once("info: ")?.1.split(' ').next()?.parse().ok();
        let mut numbers: Vec<u32> = all.lines().filter_map(number).collect();
        numbers.sort();
        numbers
    }
}

#[test]
fn in_a_folder_of_the_user_all_goes_on_and_is_removed_at_the_end() {
    let Some(rig) = Rig::of(1) else { return };
    let daemon = rig.start(&["user=daemon", "no_new_privileges"]);
    assert_eq!(daemon.process.status("CapPrm"), "0000000000000000");
    rig.fill();
    rig.fill();
    assert_eq!(rig.lines(), (0..200).collect::<Vec<_>>());
    let log = fs::metadata(rig.path("d.log")).unwrap();
    assert!(log.uid() == 1 && log.len() <= 4096, "{log:?}");
    assert!(rig.path("d.log.3").exists());

    fs::remove_file(rig.path("d.log")).unwrap();
    daemon.process.signal(Signal::SIGUSR1);
    until("it is reopened", || rig.path("d.log").exists());
    assert_eq!(read(&rig.path("d.pid")), format!("{}\n", daemon.process.pid));
    daemon.stop();
    let left = rig.names();
    assert!(left.iter().all(|name| name.starts_with("d.log")), "{left:?}");
}

#[test]
fn in_a_folder_of_root_the_log_is_written_on_and_the_next_start_takes_what_is_left() {
    let Some(rig) = Rig::of(0) else { return };
    for count in [200, 400] {
        let daemon = rig.start(&["user=daemon"]);
        rig.fill();
        daemon.process.signal(Signal::SIGUSR1);
        rig.fill();
        assert_eq!(rig.lines().len(), count);
        daemon.stop();
        assert_eq!(rig.names(), ["control", "control.lock", "d.log", "d.pid"]);
        assert_eq!(read(&rig.path("d.pid")), "");
    }
}

/// The folders of pid file and socket are open, and lead out.
#[test]
fn within_another_root_directory_pid_file_and_socket_are_served_and_removed_where_they_are() {
    for (uid, options) in [(1, &["user=daemon", "root=jail"][..]), (0, &["root=jail"])] {
        let Some(rig) = Rig::of(uid) else { return };
        let daemon = rig.start(options);
        rig.fill();
        assert_eq!(rig.lines().len(), 100);
        assert_eq!(rig.names(), ["control", "control.lock", "d.log", "d.pid"]);
        daemon.stop();
        assert_eq!(rig.names(), ["d.log"], "{options:?}");
        assert_eq!(fs::read_dir(rig.folder.path("jail")).unwrap().count(), 0);
    }
}

/// What a daemon that logs, rotates and is asked needs, and nothing else.
const PROMISES: &str = "promises=stdio rpath wpath cpath fattr unix";

#[test]
fn in_a_sandbox_too_where_its_folder_is_allowed() {
    if test_with() == "valgrind" {
        return; // which knows no Landlock, and whose own calls are refused
    }
    let Some(rig) = Rig::of(1) else { return };
    let daemon = rig.start(&["user=daemon", "access=rwc:run", PROMISES]);
    let status = || Client::new(&rig.path("control")).ask("status").ok();
    let lines = status();
    for line in [
        "sandbox: access: in force: rwc:run\n",
        "sandbox: promises: in force: stdio rpath",
        "sandbox: privileges: in force: user=daemon ",
    ] {
        assert!(lines.contains(line), "{line}: {lines}");
    }
    rig.fill();
    rig.fill();
    assert_eq!(rig.lines(), (0..200).collect::<Vec<_>>());
    assert!(rig.path("d.log.3").exists());

    // Reopened by the signal, as after logrotate.
    fs::rename(rig.path("d.log"), rig.path("d.log.moved")).unwrap();
    daemon.process.signal(Signal::SIGUSR1);
    until("it is reopened", || rig.path("d.log").exists());

    daemon.process.signal(Signal::SIGHUP);
    until("it has reloaded", || status().contains("reloads: 1\n"));
    Client::new(&rig.path("control")).ask("reload").ok();
    assert!(status().contains("reloads: 2\n"));
    daemon.stop();
    let left = rig.names();
    assert!(left.iter().all(|name| name.starts_with("d.log")), "{left:?}");
}

/// What was open is written on; what has to be opened anew, made or removed is not.
#[test]
fn in_a_sandbox_without_files_the_log_is_written_on_and_the_rest_stays() {
    if test_with() == "valgrind" {
        return;
    }
    let Some(rig) = Rig::of(1) else { return };
    let daemon = rig.start(&["user=daemon", "promises=stdio unix"]);
    rig.fill();
    daemon.process.signal(Signal::SIGUSR1);
    rig.fill();
    assert_eq!(rig.lines(), (0..200).collect::<Vec<_>>());
    Client::new(&rig.path("control")).ask("reload").ok();
    daemon.stop();
    assert_eq!(rig.names(), ["control", "control.lock", "d.log", "d.pid"]);
    assert_eq!(read(&rig.path("d.pid")), "");
}
