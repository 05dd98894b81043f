//! Each example daemon by all that c-examples/supervisors/write.sh writes for it: both units of systemd, s6, runit, and
//! the init script.

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use common::{
    Child, Folder, example, is_locked, is_root, machine::Machine, port, prefix, read, root, run,
    scanner, skip, succeed, test_with, text, until,
};

/// A daemon, its arguments in the tests, and what stands in its log or on its output when it is ready.
struct Example {
    name: &'static str,
    pidfile: &'static str,
    has_words: bool,
    /// FOLDER and PORT are replaced.
    arguments: &'static str,
}

const EXAMPLES: [Example; 8] = [
    Example {
        name: "time_server",
        pidfile: "time_server",
        has_words: true,
        arguments: "-l 127.0.0.1:PORT",
    },
    Example {
        name: "echo_server",
        pidfile: "echo_server",
        has_words: true,
        arguments: "-l 127.0.0.1:PORT",
    },
    Example {
        name: "finger_server",
        pidfile: "finger_server",
        has_words: true,
        arguments: "-l 127.0.0.1:PORT -d FOLDER",
    },
    Example { name: "confined_server", pidfile: "confined_server", has_words: true, arguments: "" },
    Example { name: "simple_daemon", pidfile: "mydaemon", has_words: true, arguments: "" },
    Example {
        name: "security_scanner",
        pidfile: "security-scanner",
        has_words: true,
        arguments: "--config FOLDER/config.yaml",
    },
    Example {
        name: "wireless_monitor",
        pidfile: "wireless-monitor",
        has_words: false,
        arguments: "--scan true",
    },
    Example {
        name: "network_scanner",
        pidfile: "network-scanner",
        has_words: false,
        arguments: "--targets FOLDER/targets.txt",
    },
];

struct Rig {
    folder: Folder,
    program: PathBuf,
    example: &'static Example,
    arguments: String,
    pidfile: PathBuf,
}

impl Rig {
    /// Its files are in "written", for the program in this folder, and all that they name below the folder's "root".
    fn new(which: &'static Example) -> Option<Self> {
        let folder = Folder::new();
        let program = match which.name {
            "security_scanner" => scanner::build(&folder)?,
            name => example(&folder, name),
        };
        let script = root().join("c-examples/supervisors/write.sh");
        let written = folder.path("written");
        succeed(Command::new("sh").arg(script).arg(which.name).arg(&written));
        fs::write(folder.path("config.yaml"), "folders: [/usr/lib/systemd/system]\n").unwrap();
        fs::write(folder.path("targets.txt"), "127.0.0.1\n").unwrap();
        let arguments = which
            .arguments
            .replace("FOLDER", folder.as_ref().to_str().unwrap())
            .replace("PORT", &port().to_string());
        let pidfile = folder.path(&format!("root/run/{}.pid", which.pidfile));
        Some(Rig { folder, program, example: which, arguments, pidfile })
    }

    /// A file that was written, with a port of this test.
    fn written(&self, path: &str) -> String {
        let port = format!("127.0.0.1 {}", port());
        read(&self.folder.path("written").join(path)).replace("0.0.0.0 80", &port)
    }

    /// A script, executable at this place, with our program and arguments, and with all its paths in the folder.
    fn script(&self, path: &str, to: &str) -> PathBuf {
        let mut content = self.written(path);
        for before in [" ", "="] {
            for place in ["/run/", "/var/"] {
                let (old, new) = (format!("{before}{place}"), format!("{before}ROOT{place}"));
                content = content.replace(&old, &new);
            }
        }
        let content = content.replace("ROOT", self.folder.path("root").to_str().unwrap());
        // start-stop-daemon(8) looks for the very program.
        let is_sought = content.contains("start-stop-daemon");
        let more = format!("-- {} --pidfile", self.arguments);
        let program = if is_sought { self.program.clone() } else { self.folder.path("program") };
        let content = content
            .replace("-- --pidfile", &more)
            .replace(&format!("/usr/local/bin/{}", self.example.name), program.to_str().unwrap())
            .replacen("#!/bin/sh\n", "#!/bin/sh\nexport ASAN_OPTIONS=detect_leaks=0\n", 1);
        let (pidfile, program) = (self.pidfile.display(), self.program.display());
        let line = format!("exec {program} \"$@\" --pidfile {pidfile} {}", self.arguments);
        self.write("program", &format!("#!/bin/sh\n{line}\n"));
        self.write(to, &content)
    }

    /// Whoever has no way to files empties it.
    #[track_caller]
    fn assert_is_gone(&self) {
        assert_eq!(read(&self.pidfile), "", "{}", self.example.name);
        assert!(!is_locked(&self.pidfile), "{}", self.example.name);
    }

    fn write(&self, name: &str, script: &str) -> PathBuf {
        let path = self.folder.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A unit, with the program and arguments of this test.
    fn unit(&self, name: &str) -> String {
        let content = self.written(name);
        let installed = format!("/usr/local/bin/{}", self.example.name);
        let places = [self.folder.as_ref(), &prefix()].map(|path| path.display().to_string());
        let service = format!(
            "[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\nBindPaths={}\nBindReadOnlyPaths={}",
            places[0], places[1]
        );
        let lines: Vec<_> = content
            .lines()
            .map(|line| match line.starts_with("ExecStart=") {
                true => format!("{line} {}", self.arguments),
                false => line.to_owned(),
            })
            .filter(|line| !line.starts_with("ConditionPathExists="))
            .collect();
        (lines.join("\n") + "\n")
            .replace(&installed, self.program.to_str().unwrap())
            // A user of the moment needs D-Bus, and devices of its own a capability that this machine may lack.
            .replace("DynamicUser=yes\n", "User=nobody\n")
            .replace("PrivateDevices=yes\n", "")
            .replace("[Unit]", "[Unit]\nDefaultDependencies=no")
            .replace("[Service]", &service)
    }
}

fn lacks_seccomp_and_pidfd() -> bool {
    test_with() == "valgrind"
}

#[test]
fn both_units_start_reload_and_stop_without_a_complaint() {
    if lacks_seccomp_and_pidfd() {
        return;
    }
    for example in &EXAMPLES {
        let Some(rig) = Rig::new(example) else { continue };
        let names = ["", "-forking"].map(|kind| format!("{}{kind}.service", example.name));
        let units = names.each_ref().map(|name| rig.unit(name));
        // Users must come to the program.
        fs::set_permissions(rig.folder.as_ref(), fs::Permissions::from_mode(0o755)).unwrap();
        let units = [(names[0].as_str(), units[0].as_str()), (&names[1], &units[1])];
        let Some(machine) = Machine::boot(rig.folder, &units) else { return };
        succeed(machine.command("ip").args(["link", "set", "lo", "up"]));
        let journal = || {
            let mut command = machine.command("journalctl");
            text(&run(command.args(["--quiet", "--output=cat"])).stdout)
        };
        for name in &names {
            let systemctl = |verb: &str| {
                let is_done = run(machine.command("systemctl").args([verb, name])).status.success();
                assert!(is_done, "{verb} {name}: {}", journal());
            };
            let get = |property: &str| {
                let mut command = machine.command("systemctl");
                let output = run(command.args(["show", "--value", "--property", property, name]));
                text(&output.stdout).trim_end().to_owned()
            };
            systemctl("start");
            assert_eq!(get("ActiveState"), "active", "{name}: {}", journal());
            let main = get("MainPID");
            assert_ne!(main, "0");
            if read(&machine.folder.path("written").join(name)).contains("ExecReload=") {
                systemctl("reload");
                until("it is active again", || get("ActiveState") == "active");
            }
            if example.name == "echo_server" {
                until("it is upgraded", || !["0", &main].contains(&&*get("MainPID")));
            } else {
                assert_eq!(get("MainPID"), main, "{name}: {}", journal());
            }
            systemctl("stop");
            assert_eq!(get("Result"), "success", "{name}: {}", journal());
            for complaint in ["PID file", "Failed to", "left-over", "timed out", "Killing process"]
            {
                assert!(!journal().contains(complaint), "{name}: {complaint}: {}", journal());
            }
        }
    }
}

#[test]
fn init_script_has_the_words_and_statuses_of_lsb() {
    if lacks_seccomp_and_pidfd() {
        return;
    }
    if !is_root() {
        return skip("needs root, which some of the examples give up");
    }
    for example in &EXAMPLES {
        if !example.has_words && !Path::new("/sbin/start-stop-daemon").exists() {
            skip("needs start-stop-daemon");
            continue;
        }
        let Some(rig) = Rig::new(example) else { continue };
        let script = rig.script(&format!("init.d/{}", example.name), "script");
        let status = |word: &str, expected: i32| {
            let output = run(Command::new(&script).arg(word));
            let said = text(&output.stdout) + &text(&output.stderr);
            assert_eq!(output.status.code(), Some(expected), "{} {word}: {said}", example.name);
        };
        status("status", 3);
        status("start", 0);
        status("start", 0);
        status("status", 0);
        let before = read(&rig.pidfile);
        let can_reload = rig.written(&format!("{}.service", example.name)).contains("kill -HUP");
        if can_reload {
            status("reload", 0);
            assert_eq!(read(&rig.pidfile), before, "{}", example.name);
        }
        status("restart", 0);
        assert_ne!(read(&rig.pidfile), before, "{}", example.name);
        status("stop", 0);
        rig.assert_is_gone();
        status("stop", 0);
        if can_reload && example.has_words {
            status("reload", 7);
        }
        status("nonsense", 2);
    }
}

/// It is up, which s6 is told where the program can be told of the descriptor, and ends when it is asked to.
#[test]
fn s6_and_runit_run_it() {
    if lacks_seccomp_and_pidfd() {
        return;
    }
    if !Path::new("/usr/bin/s6-supervise").exists() || !Path::new("/usr/bin/runsv").exists() {
        return skip("needs s6 and runit");
    }
    if !is_root() {
        return skip("needs root, which some of the examples give up");
    }
    for example in &EXAMPLES {
        let Some(rig) = Rig::new(example) else { continue };
        rig.script(&format!("s6/{}/run", example.name), "s6/run");
        let number = format!("written/s6/{}/notification-fd", example.name);
        assert_eq!(rig.folder.path(&number).exists(), example.has_words);
        let service = rig.folder.path("s6");
        if example.has_words {
            fs::copy(rig.folder.path(&number), service.join("notification-fd")).unwrap();
        }
        let supervise = Child::start(Command::new("s6-supervise").arg(&service));
        until("s6 is there", || service.join("supervise/control").exists());
        let wait = if example.has_words { "-U" } else { "-u" };
        succeed(Command::new("s6-svwait").args([wait, "-t", "10000"]).arg(&service));
        until("it stands in its pid file", || !read(&rig.pidfile).is_empty());
        succeed(Command::new("s6-svc").args(["-wD", "-T", "10000", "-xd"]).arg(&service));
        rig.assert_is_gone();
        drop(supervise);

        rig.script(&format!("runit/{}/run", example.name), "runit/run");
        let service = rig.folder.path("runit");
        let supervise = Child::start(Command::new("runsv").arg(&service));
        until("it stands in its pid file", || !read(&rig.pidfile).is_empty());
        succeed(Command::new("sv").args(["-w", "10", "exit"]).arg(&service));
        rig.assert_is_gone();
        drop(supervise);
    }
}
