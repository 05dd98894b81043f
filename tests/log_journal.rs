//! The log and a real journald, under a real systemd.

mod common;

use std::{fs, path::Path, path::PathBuf, process::Command};

use common::{
    Folder, command, is_root,
    lines::{Logger, Told, numbers, told_lost},
    machine::{Canary, Entry, Machine, small_root},
    program, read, run, skip, test_with, text, until,
};

/// A program of ours, not under valgrind, which has no place there for what it finds.
fn without_valgrind(program: &Path) -> Command {
    if test_with() == "valgrind" { Command::new(program) } else { command(program) }
}

struct Rig {
    machine: Machine,
    program: PathBuf,
}

impl Rig {
    fn boot(units: &[(&str, &str)]) -> Option<Self> {
        let folder = Folder::new();
        let program = program(&folder, "log_lines");
        Some(Rig { machine: Machine::boot(folder, units)?, program })
    }

    /// Beside the units.
    fn logger(&self, target: &str) -> Logger {
        let ours = without_valgrind(&self.program);
        let mut command = self.machine.command(ours.get_program());
        command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Logger::start(command.args(["counter", target]))
    }

    /// Runs it as a service that is given these commands.
    #[track_caller]
    fn run_service(&self, target: &str, commands: &[&str]) {
        let path = |name| self.machine.folder.path(name);
        fs::write(path("commands"), commands.join("\0") + "\0").unwrap();
        let unit = format!(
            "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\n\
            ExecStart={} counter {target}\nStandardInput=file:{}\nStandardOutput=null\n\
            StandardError=journal\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n",
            self.program.display(),
            path("commands").display()
        );
        fs::write(path("counter.service"), unit).unwrap();
        let unit = path("counter.service").display().to_string();
        self.machine.systemctl(&["link", "--runtime", &unit]);
        self.machine.systemctl(&["start", "counter.service"]);
    }
}

/// What journald has of all its lines, as a file would have it.
fn log(entries: &[Entry]) -> String {
    entries.iter().map(|entry| entry.get("MESSAGE").unwrap() + "\n").collect()
}

#[test]
fn the_rig_of_these_tests_writes_to_nothing_outside() {
    if !is_root() {
        return skip("needs root");
    }
    let (folder, _canary) = (Folder::new(), Canary::new());
    let name = format!("rsdaemon-written-{}", std::process::id());
    let places =
        ["", "/etc", "/var", "/tmp", "/run", "/dev", "/sys", "/root", "/usr", "/proc/sys/kernel"];
    let script = format!(
        "for place in {}; do touch $place/{name} 2>&- && echo wrote to $place/; done
        touch {}/{name}
        rm -f /tmp/rsdaemon-canary-*
        hostname rsdaemon
        for setting in /proc/sys/*/*; do ! [ -w $setting ] || echo $setting; done",
        places.map(|place| format!("'{place}'")).join(" "),
        folder.as_ref().display()
    );
    let kept = |path: &str| fs::read_dir(path).unwrap().count();
    let host_name = || read(Path::new("/proc/sys/kernel/hostname"));
    let before = (kept("/etc"), kept("/var"), host_name());

    let output = run(small_root(&folder).args(["sh", "-c", &script]));

    if output.status.code() == Some(77) {
        return skip(&text(&output.stderr));
    }
    let wrote: Vec<_> = places[..8].iter().map(|place| format!("wrote to {place}/\n")).collect();
    assert_eq!(text(&output.stdout), wrote.concat(), "{}", text(&output.stderr));
    assert!(folder.path(&name).exists());
    for place in places {
        assert!(!Path::new(&format!("{place}/{name}")).exists(), "{place}");
    }
    assert_eq!((kept("/etc"), kept("/var"), host_name()), before);
}

#[test]
fn a_line_to_the_journal_has_its_fields_and_those_of_the_program() {
    let Some(rig) = Rig::boot(&[]) else { return };
    let mut logger = rig.logger("journal");

    assert_eq!(logger.ask("fields"), Told { sent: 1, lost: 0, errno: 0 });
    logger.ask("say 2 a \"text\" with \n a newline");

    let entries = rig.machine.await_entries("counter", 2);
    let pid = entries[0].get("_PID").unwrap();
    let of_all =
        [("SYSLOG_IDENTIFIER", "counter"), ("SYSLOG_FACILITY", "19"), ("SYSLOG_PID", &pid)];
    for entry in &entries {
        entry.assert(&of_all);
        entry.assert(&[("_TRANSPORT", "journal")]);
    }
    entries[0].assert(&[
        ("MESSAGE", "with fields"),
        ("PRIORITY", "3"),
        ("OWN_FIELD", "value"),
        ("TWO_LINES", "first\nSYSLOG_IDENTIFIER=second"),
        ("EMPTY", ""),
    ]);
    assert_eq!(entries[0].get("bad_name"), None);
    assert_eq!(entries[0].get("_TRUSTED"), None);
    entries[1].assert(&[("MESSAGE", r#"a "text" with \n a newline"#), ("PRIORITY", "2")]);
    assert_eq!(entries[1].get("OWN_FIELD"), None);
}

#[test]
fn a_line_to_syslog_reaches_the_journal_too() {
    let Some(rig) = Rig::boot(&[]) else { return };
    let mut logger = rig.logger("syslog");

    logger.ask("say 4 through /dev/log");

    let entries = rig.machine.await_entries("counter", 1);
    let pid = entries[0].get("_PID").unwrap();
    entries[0].assert(&[
        ("MESSAGE", "through /dev/log"),
        ("PRIORITY", "4"),
        ("SYSLOG_FACILITY", "19"),
        ("SYSLOG_PID", &pid),
        ("_TRANSPORT", "syslog"),
    ]);
}

#[test]
fn a_line_on_the_stderr_of_a_service_has_its_level() {
    let Some(rig) = Rig::boot(&[]) else { return };

    let levels: Vec<_> = (0..8).map(|level| format!("say {level} of level {level}")).collect();
    let levels = levels.iter().map(String::as_str);
    rig.run_service("stderr", &levels.chain(["say 6 <0>forged\n<0>"]).collect::<Vec<_>>());

    let entries = rig.machine.await_entries("log_lines", 9);
    for (level, entry) in entries.iter().take(8).enumerate() {
        entry.assert(&[
            ("MESSAGE", &format!("of level {level}")),
            ("PRIORITY", &level.to_string()),
            ("_TRANSPORT", "stdout"),
            ("_SYSTEMD_UNIT", "counter.service"),
        ]);
    }
    entries[8].assert(&[("MESSAGE", r"<0>forged\n<0>"), ("PRIORITY", "6")]);
}

#[test]
fn what_the_child_of_a_service_writes_is_in_the_journal_line_by_line() {
    let Some(rig) = Rig::boot(&[]) else { return };

    rig.run_service("journal", &["child echo one; echo two >&2; printf three", "say 6 after it"]);

    let entries = rig.machine.await_entries("counter", 4);
    let pid = entries[3].get("_PID").unwrap();
    for (entry, text) in entries.iter().zip(["one", "two", "three"]) {
        // The unit is only there if journald is faster than the program's end.
        entry.assert(&[("MESSAGE", text), ("PRIORITY", "5"), ("_PID", &pid)]);
    }
    entries[3].assert(&[("MESSAGE", "after it"), ("PRIORITY", "6")]);
}

#[test]
fn under_load_journald_is_restarted_and_no_line_is_lost_untold() {
    let Some(rig) = Rig::boot(&[]) else { return };
    let mut logger = rig.logger("journal");
    let log = || log(&rig.machine.entries("counter"));
    let count = || numbers(&log(), "counter").len();
    logger.tell("load");
    for _ in 0..3 {
        let before = count();
        until("more lines arrive", || count() > before);
        // Its socket is systemd's, and keeps what was not read.
        rig.machine.systemctl(&["restart", "systemd-journald.service"]);
    }
    let mut told = logger.ask("stop");
    let mut log_now = String::new();
    until("the last line arrives", || {
        if told.errno != 0 {
            told = logger.ask("log 1");
        }
        log_now = log();
        numbers(&log_now, "counter").last() == Some(&told.sent)
    });

    let received = numbers(&log_now, "counter");
    assert!(received.is_sorted_by(|before, next| before < next), "out of order");
    println!("{told:?}, {} received", received.len());
    assert_eq!(received.len() + told.lost, told.sent);
    assert_eq!(told_lost(&log_now), told.lost);
}

#[test]
fn journald_that_was_away_is_told_how_many_lines_it_missed() {
    let Some(rig) = Rig::boot(&[]) else { return };
    let mut logger = rig.logger("journal");
    logger.ask("log 2");
    rig.machine.await_entries("counter", 2);
    let units =
        ["systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket"];

    rig.machine.systemctl(&[&["stop"], &units[..]].concat());
    assert_eq!(logger.ask("log 5").lost, 5);
    rig.machine.systemctl(&[&["start"], &units[..]].concat());
    assert_eq!(logger.ask("log 1"), Told { sent: 8, lost: 5, errno: 0 });

    let entries = rig.machine.await_entries("counter", 4);
    let notice = entries[2].get("MESSAGE").unwrap();
    assert!(notice.starts_with("5 lines were lost here: "), "{notice}");
    entries[2].assert(&[("PRIORITY", "4")]);
    entries[3].assert(&[("MESSAGE", "counter line 8.")]);
}
