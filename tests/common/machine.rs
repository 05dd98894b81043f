//! A systemd as process 1 of tests/rigs/small_root.sh, which nothing outside can be written from.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::sys::signal::Signal;

use super::{
    Child, DEADLINE, Daemon, Folder, has_ended_within, is_root, prefix, read, root, skip, succeed,
    text, until,
};

const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// Ends with the test, and all that runs in it.
pub struct Machine {
    script: Child,
    init: Daemon,
    pub folder: Folder,
    _canary: Canary,
}

/// `small_root.sh FOLDER PREFIX`, to which the command is added.
pub fn small_root(folder: &Folder) -> Command {
    let mut command = Command::new(root().join("tests/rigs/small_root.sh"));
    command.arg(folder.as_ref()).arg(prefix());
    command
}

/// A file in the real /tmp, which systemd would clean.
pub struct Canary(PathBuf);

impl Canary {
    pub fn new() -> Self {
        // No pid: it may be that of another process namespace.
        let unique = read(Path::new("/proc/sys/kernel/random/uuid"));
        let canary = format!("/tmp/rsdaemon-canary-{}", unique.trim_end());
        fs::write(&canary, "alive").unwrap();
        Canary(canary.into())
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        let alive = read(&self.0) == "alive";
        let _ = fs::remove_file(&self.0);
        if !std::thread::panicking() {
            assert!(alive, "the real /tmp was touched");
        }
    }
}

impl Machine {
    /// With these units, when journald runs. None, and said so, where it cannot be.
    #[track_caller]
    pub fn boot(folder: Folder, units: &[(&str, &str)]) -> Option<Self> {
        if !is_root() || !Path::new(SYSTEMD).exists() {
            skip("needs root and systemd");
            return None;
        }
        fs::create_dir(folder.path("units")).unwrap();
        let target = "[Unit]\nDefaultDependencies=no\n\
            Wants=systemd-journald.service\nAfter=systemd-journald.service\n";
        for (name, unit) in [("rig.target", target)].iter().chain(units) {
            fs::write(folder.path("units").join(name), unit).unwrap();
        }
        let canary = Canary::new();
        let console = fs::File::create(folder.path("console")).unwrap();
        let mut command = small_root(&folder);
        command.args([SYSTEMD, "--system", "--unit=rig.target", "--log-target=null"]);
        command.env("container", "rsdaemon").stdin(Stdio::null());
        command.stdout(console.try_clone().unwrap()).stderr(console);
        let mut script = Child(command.spawn().unwrap());
        // The script's child is unshare(1), whose child is process 1.
        let child = |pid: i32| {
            let children = read(Path::new(&format!("/proc/{pid}/task/{pid}/children")));
            children.split_whitespace().next()?.parse::<i32>().ok()
        };
        let mut init = None;
        let mut ended = None;
        until("systemd is executed", || {
            ended = script.0.try_wait().unwrap();
            init = child(script.pid())
                .and_then(child)
                .filter(|init| read(Path::new(&format!("/proc/{init}/comm"))) == "systemd\n");
            ended.is_some() || init.is_some()
        });
        if let Some(status) = ended {
            assert_eq!(status.code(), Some(77), "{}", read(&folder.path("console")));
            skip(&read(&folder.path("console")));
            return None;
        }
        let init = Daemon::of_pid(init.unwrap());
        let machine = Machine { script, init, folder, _canary: canary };
        until("the machine is up", || {
            let mut command = machine.command("systemctl");
            let output = command.args(["is-active", "rig.target"]).output().unwrap();
            output.stdout == b"active\n"
        });
        Some(machine)
    }

    /// A program in it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.init.pid));
        command.args(["--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup", "--"]);
        command.arg(program);
        command
    }

    #[track_caller]
    pub fn systemctl(&self, arguments: &[&str]) {
        succeed(self.command("systemctl").args(arguments));
    }

    /// What the journal has of this identifier.
    #[track_caller]
    pub fn entries(&self, identifier: &str) -> Vec<Entry> {
        let mut command = self.command("journalctl");
        command.args(["--all", "--output=json", "--identifier", identifier]);
        let output = succeed(&mut command);
        text(&output.stdout).lines().map(|line| Entry(line.to_owned())).collect()
    }

    #[track_caller]
    pub fn await_entries(&self, identifier: &str, count: usize) -> Vec<Entry> {
        until(&format!("{count} entries"), || self.entries(identifier).len() >= count);
        let entries = self.entries(identifier);
        assert_eq!(entries.len(), count, "{entries:?}");
        entries
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.init.signal(Signal::SIGKILL);
        // It removes its control groups.
        has_ended_within(self.script.pid(), DEADLINE);
    }
}

/// An entry of the journal in JSON.
#[derive(Debug)]
pub struct Entry(String);

impl Entry {
    pub fn get(&self, name: &str) -> Option<String> {
        let start = format!("\"{name}\":\"");
        let mut rest = self.0.split_once(&start)?.1.chars();
        let mut value = String::new();
        loop {
            match rest.next().unwrap() {
                '"' => return Some(value),
                '\\' => match rest.next().unwrap() {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                other => value.push(other),
            }
        }
    }

    #[track_caller]
    pub fn assert(&self, fields: &[(&str, &str)]) {
        for &(name, value) in fields {
            assert_eq!(self.get(name).as_deref(), Some(value), "{name} of {}", self.0);
        }
    }
}
