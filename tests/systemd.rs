//! The same program under a real systemd, as every type of service.

mod common;

use std::{fs, io::Read, os::unix::net::UnixStream, path::PathBuf};

use common::{Folder, machine::Machine, program, run, test_with, text, until};

/// A machine with tests/programs/supervised.c as "it.service".
struct Rig {
    machine: Machine,
    log: PathBuf,
}

impl Rig {
    /// `lines` of the unit's service section, and the arguments of the program, in which FOLDER stands for that of the
    /// test.
    #[track_caller]
    fn boot(name: &str, lines: &str, arguments: &str) -> Option<Self> {
        if test_with() == "valgrind" {
            return None; // it is slower than the watchdog, and writes nowhere there
        }
        let folder = Folder::new();
        let program = program(&folder, name);
        let log = folder.path("log");
        let arguments = arguments.replace("FOLDER", &folder.as_ref().display().to_string());
        let unit = format!(
            "[Unit]\nDefaultDependencies=no\n[Service]\nWorkingDirectory={}\nTimeoutStartSec=5\n\
            Environment=ASAN_OPTIONS=detect_leaks=0\nExecReload=/bin/kill -HUP $MAINPID\n{lines}\n\
            ExecStart={} {arguments}\n",
            folder.as_ref().display(),
            program.display(),
        );
        Machine::boot(folder, &[("it.service", &unit)]).map(|machine| Rig { machine, log })
    }

    /// Whether systemctl(1) says that it worked.
    fn systemctl(&self, verb: &str) -> bool {
        run(self.machine.command("systemctl").args([verb, "it.service"])).status.success()
    }

    #[track_caller]
    fn start(&self) {
        assert!(self.systemctl("start"), "{}", self.journal());
    }

    fn get(&self, property: &str) -> String {
        let mut command = self.machine.command("systemctl");
        let output = run(command.args(["show", "--value", "--property", property, "it.service"]));
        text(&output.stdout).trim_end().to_owned()
    }

    #[track_caller]
    fn until(&self, property: &str, value: &str) {
        until(&format!("{property} is {value}"), || self.get(property) == value);
    }

    fn signal(&self, signal: &str) {
        let mut command = self.machine.command("systemctl");
        run(command.args(["kill", "--kill-whom=main", "--signal", signal, "it.service"]));
    }

    /// All that systemd and the program have written.
    fn journal(&self) -> String {
        let mut command = self.machine.command("journalctl");
        text(&run(command.args(["--quiet", "--unit", "it.service", "--output=cat"])).stdout)
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What systemd(1) writes of a service that it does not understand.
    #[track_caller]
    fn assert_no_complaints(&self) {
        let journal = self.journal();
        for complaint in [
            "PID file",
            "not our child",
            "Got notification message",
            "Failed to parse",
            "Cannot find unit",
            "No such process",
            "left-over process",
            "Killing process",
            "timed out",
        ] {
            assert!(!journal.contains(complaint), "{complaint}: {journal}");
        }
    }

    #[track_caller]
    fn stop(&self) {
        assert!(self.systemctl("stop"));
        assert_eq!(self.get("Result"), "success", "{}", self.journal());
        self.assert_no_complaints();
    }
}

/// tests/programs/supervised.c, which logs.
#[track_caller]
fn supervised(lines: &str, arguments: &str) -> Option<Rig> {
    Rig::boot("supervised", lines, &format!("log=./log {arguments}"))
}

#[test]
fn notify_service_starts_reloads_fails_to_reload_and_stops() {
    let Some(rig) = supervised("Type=notify", "foreground=2 status=serving") else { return };
    rig.start();
    assert_eq!(rig.get("StatusText"), "serving");
    assert!(
        rig.log().contains("in the foreground: systemd has executed this process"),
        "{}",
        rig.log()
    );

    assert!(rig.systemctl("reload"));
    rig.until("ActiveState", "active");
    assert_eq!(rig.get("StatusText"), "serving");
    fs::write(rig.machine.folder.path("bad"), "").unwrap();
    assert!(rig.systemctl("reload"));
    rig.until("StatusText", "the reload has failed: it is bad");
    rig.until("ActiveState", "active");
    rig.stop();
}

#[test]
fn notify_service_that_goes_into_the_background_names_its_main_process() {
    let arguments = "foreground=0 pidfile=./d.pid status=serving";
    let Some(rig) = supervised("Type=notify", arguments) else { return };
    rig.start();
    let pid = fs::read_to_string(rig.machine.folder.path("d.pid")).unwrap();
    // As the machine counts them.
    assert_eq!(rig.get("MainPID"), pid.trim_end());
    assert!(rig.systemctl("reload"));
    rig.until("ActiveState", "active");
    rig.until("StatusText", "serving");
    rig.stop();
}

#[test]
fn forking_service_with_a_pid_file_goes_into_the_background_by_itself() {
    let Some(rig) =
        supervised("Type=forking\nPIDFile=/run/it.pid", "foreground=2 pidfile=/run/it.pid")
    else {
        return;
    };
    rig.start();
    assert!(rig.log().contains("in the background: systemd waits"), "{}", rig.log());
    assert_ne!(rig.get("MainPID"), "0");
    rig.stop();
}

#[test]
fn forking_service_without_a_pid_file_is_told_to() {
    let Some(rig) = supervised("Type=forking", "foreground=0") else { return };
    rig.start();
    assert_ne!(rig.get("MainPID"), "0");
    rig.stop();
}

#[test]
fn simple_service_stays_in_the_foreground_by_itself() {
    let Some(rig) = supervised("Type=simple", "foreground=2") else { return };
    rig.start();
    until("it is ready", || {
        rig.log().contains("in the foreground: systemd has executed this process")
    });
    assert_eq!(rig.get("ActiveState"), "active");
    rig.stop();
}

#[test]
fn failed_start_shows_its_status_and_text() {
    for arguments in ["foreground=1 fail=3:no_interface", "foreground=0 fail=3:no_interface"] {
        let Some(rig) = supervised("Type=notify", arguments) else { return };
        assert!(!rig.systemctl("start"));
        assert_eq!(rig.get("Result"), "exit-code");
        assert_eq!(rig.get("ExecMainStatus"), "3");
        assert_eq!(rig.get("StatusText"), "no_interface");
        assert!(rig.journal().contains("no_interface"));
    }
}

#[test]
fn failed_start_of_the_library_shows_its_sentence_and_errno() {
    let Some(rig) = supervised("Type=notify", "foreground=0 pidfile=/nowhere/d.pid") else {
        return;
    };
    assert!(!rig.systemctl("start"));
    assert_eq!(rig.get("StatusErrno"), "2");
    assert_eq!(
        rig.get("StatusText"),
        "cannot open the directory of /nowhere/d.pid: No such file or directory"
    );
}

#[test]
fn loop_that_hangs_is_ended_by_the_watchdog_and_one_that_goes_on_is_not() {
    for foreground in ["foreground=2", "foreground=0"] {
        let arguments = format!("{foreground} status=serving");
        let Some(rig) = supervised("Type=notify\nWatchdogSec=600ms", &arguments) else { return };
        rig.start();
        // Three times as long as systemd waits, without anything to do.
        std::thread::sleep(std::time::Duration::from_millis(1800));
        assert_eq!(rig.get("ActiveState"), "active", "{}", rig.journal());
        rig.signal("SIGUSR1");
        rig.until("Result", "watchdog");
    }
}

#[test]
fn start_that_asks_for_more_time_gets_it() {
    let arguments = "foreground=1 notify=EXTEND_TIMEOUT_USEC=9000000 sleep=2";
    let Some(rig) = supervised("Type=notify\nTimeoutStartSec=1", arguments) else { return };
    rig.start();
    rig.stop();
}

#[test]
fn start_that_takes_too_long_is_ended_with_all_its_processes() {
    for foreground in ["foreground=1", "foreground=0"] {
        let arguments = format!("{foreground} sleep=30");
        let Some(rig) = supervised("Type=notify\nTimeoutStartSec=1", &arguments) else { return };
        assert!(!rig.systemctl("start"));
        assert_eq!(rig.get("Result"), "timeout");
        rig.until("ControlGroup", "");
    }
}

#[test]
fn descriptor_that_systemd_keeps_is_there_after_a_restart() {
    for foreground in ["foreground=2", "foreground=0"] {
        let lines = "Type=notify\nFileDescriptorStoreMax=4";
        let Some(rig) = supervised(lines, &format!("{foreground} kept=1")) else { return };
        rig.start();
        assert_eq!(rig.get("StatusText"), "nothing kept");
        let before = rig.get("MainPID");
        rig.signal("SIGUSR2");
        rig.until("StatusText", "kept");
        rig.until("NFileDescriptorStore", "1");
        assert!(rig.systemctl("restart"), "{}", rig.journal());
        assert_eq!(rig.get("StatusText"), format!("kept by {before}"));
        assert_ne!(rig.get("MainPID"), before);
        rig.stop();
    }
}

#[test]
fn socket_unit_starts_the_daemon_at_the_first_client_and_passes_its_sockets() {
    for how in ["foreground", "daemon"] {
        let lines = "Type=notify\nStandardOutput=journal";
        let arguments = format!("{how} count listen=clients::/run/never.sock ready wait");
        let Some(rig) = Rig::boot("sockets", lines, &arguments) else { return };
        let socket = rig.machine.folder.path("s");
        let unit = format!(
            "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream={}\nFileDescriptorName=clients\n",
            socket.display()
        );
        fs::write(rig.machine.folder.path("it.socket"), unit).unwrap();
        let unit = rig.machine.folder.path("it.socket").display().to_string();
        rig.machine.systemctl(&["link", "--runtime", &unit]);
        rig.machine.systemctl(&["start", "it.socket"]);
        assert_eq!(rig.get("ActiveState"), "inactive");
        let mut answer = String::new();
        UnixStream::connect(socket).unwrap().read_to_string(&mut answer).unwrap();
        assert_eq!(answer, format!("served by {}\n", rig.get("MainPID")), "{}", rig.journal());
        assert!(rig.journal().contains("listening 1 cloexec 1"), "{}", rig.journal());
        rig.stop();
    }
}

/// tests/programs/upgraded.c; `socket`: its unit, too.
#[track_caller]
fn assert_is_upgraded(lines: &str, arguments: &str, socket: bool) {
    let Some(rig) = Rig::boot("upgraded", lines, arguments) else { return };
    let path = rig.machine.folder.path("s");
    if socket {
        let unit = format!(
            "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream={}\nFileDescriptorName=path\n",
            path.display()
        );
        fs::write(rig.machine.folder.path("it.socket"), unit).unwrap();
        let unit = rig.machine.folder.path("it.socket").display().to_string();
        rig.machine.systemctl(&["link", "--runtime", &unit]);
        rig.machine.systemctl(&["start", "it.socket"]);
    }
    rig.start();
    let mut main = rig.get("MainPID");
    for _ in 0..3 {
        rig.signal("SIGUSR2");
        until("there is another main process", || !["0", &main].contains(&&*rig.get("MainPID")));
        until("the one before has ended", || rig.log().contains(&format!("leaves as {main}")));
        main = rig.get("MainPID");
        assert_eq!(rig.get("ActiveState"), "active");
        let mut answer = String::new();
        UnixStream::connect(&path).unwrap().read_to_string(&mut answer).unwrap();
        assert_eq!(answer.trim_end(), main, "{}", rig.journal());
    }
    assert_eq!(rig.get("NRestarts"), "0");
    // As after a start, so that the watchdog and the end are heard of.
    std::thread::sleep(std::time::Duration::from_millis(1000));
    assert_eq!(rig.get("ActiveState"), "active", "{}", rig.journal());
    rig.stop();
}

#[test]
fn notify_service_is_upgraded_and_names_its_new_main_process() {
    for foreground in ["foreground=2", "foreground=0 pidfile=./d.pid"] {
        let lines = "Type=notify\nWatchdogSec=600ms";
        assert_is_upgraded(lines, &format!("{foreground} control=./d.ctl path=FOLDER/s"), false);
    }
}

#[test]
fn forking_service_is_upgraded_by_its_pid_file() {
    let lines = "Type=forking\nPIDFile=/run/it.pid";
    assert_is_upgraded(lines, "foreground=2 pidfile=/run/it.pid path=FOLDER/s", false);
}

#[test]
fn socket_of_a_unit_is_handed_on() {
    assert_is_upgraded("Type=notify", "foreground=2 named=path path=FOLDER/never", true);
}

/// SIGALRM is passed on to the worker, like all signals, and ends it.
#[test]
fn service_with_a_worker_survives_its_crash_and_not_its_hang() {
    for foreground in ["foreground=2", "foreground=0"] {
        let arguments = format!("{foreground} alive=0:10:0 status=serving");
        let Some(rig) = supervised("Type=notify\nWatchdogSec=600ms", &arguments) else { return };
        rig.start();
        let main = rig.get("MainPID");
        rig.signal("SIGALRM");
        until("it is told", || rig.log().contains("killed by SIGALRM"));
        rig.until("StatusText", "serving");
        assert!(rig.systemctl("reload"));
        rig.until("ActiveState", "active");
        // Three times as long as systemd waits.
        std::thread::sleep(std::time::Duration::from_millis(1800));
        assert_eq!(rig.get("ActiveState"), "active", "{}", rig.journal());
        assert_eq!((rig.get("MainPID"), rig.get("NRestarts")), (main, "0".to_owned()));
        rig.signal("SIGUSR1");
        rig.until("Result", "watchdog");
        rig.until("ControlGroup", "");
    }
    let arguments = "foreground=2 alive=1:10:0 status=serving";
    let Some(rig) = supervised("Type=notify", arguments) else { return };
    rig.start();
    rig.signal("SIGALRM");
    rig.until("StatusText", "serving");
    rig.stop();
}

#[test]
fn service_whose_worker_crashes_too_often_fails_with_the_reason() {
    let arguments = "foreground=2 alive=1:10:0 status=serving";
    let Some(rig) = supervised("Type=notify", arguments) else { return };
    rig.start();
    rig.signal("SIGALRM");
    until("it is started again", || rig.log().contains("started again"));
    rig.until("StatusText", "serving");
    rig.signal("SIGALRM");
    rig.until("ActiveState", "failed");
    assert_eq!(rig.get("ExecMainStatus"), "142");
    let text = "the worker was killed by SIGALRM; given up after 1 restarts within 60000 ms";
    assert_eq!(rig.get("StatusText"), text);
}
