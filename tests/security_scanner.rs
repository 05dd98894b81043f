//! c-examples/security_scanner.c as a daemon. What a scan finds: security_scan.rs.

mod common;

use std::{fs, time::Duration};

use common::{
    Daemon, at_once, has_ended_within, read,
    scanner::{NEW_FILE, Scanner, lacks_pidfd, plant},
    succeed,
    syslogd::{self, Syslogd},
    test_with, until,
};
use nix::sys::signal::Signal;

// --- what is told ------------------------------------------------------------------------------

#[test]
fn scanner_tells_what_is_new_changed_and_gone_since_the_scan_before_and_nothing_twice() {
    let Some(scanner) = Scanner::new() else { return };
    let tree = scanner.tree();
    plant(tree.join("b"), Some("program"), 0o4755);
    plant(tree.join("c"), Some(""), 0o666);
    let daemon = scanner.start_and_scan();
    let told = |lines: Vec<String>| -> Vec<String> {
        let about = lines.iter().filter(|line| line.contains(": TREE"));
        about
            .map(|line| {
                format!(
                    "{}{}",
                    &line[..line.find(", ").unwrap()],
                    &line[line.find(": TREE").unwrap()..]
                )
            })
            .collect()
    };
    let first = told(scanner.logged());
    assert_eq!(
        first,
        ["warning: new: set-user-id file: TREE/b", "warning: new: world-writable file: TREE/c"]
    );
    assert_eq!(told(scanner.scan()), [""; 0]);

    plant(tree.join("a"), None, 0o777);
    plant(tree.join("d"), Some(""), 0o666);
    plant(tree.join("b"), Some("another"), 0o4755);
    plant(tree.join("c"), Some(""), 0o644);
    assert_eq!(
        told(scanner.scan()),
        [
            "warning: new: world-writable folder: TREE/a",
            "warning: changed: set-user-id file: TREE/b",
            "notice: gone: world-writable file: TREE/c",
            "warning: new: world-writable file: TREE/d",
        ]
    );

    plant(tree.join("d"), Some("what is in it does not matter"), 0o666);
    assert_eq!(told(scanner.scan()), [""; 0]);
    plant(tree.join("d"), Some(""), 0o646);
    assert_eq!(told(scanner.scan()), ["warning: changed: world-writable file: TREE/d"]);
    daemon.stop();
}

#[test]
fn scanner_tells_on_its_socket_what_is_the_matter_now() {
    let Some(scanner) = Scanner::with_races() else { return };
    plant(scanner.tree().join("slow"), Some(""), 0o644);
    let daemon = scanner.start();
    assert_eq!(scanner.ask("findings"), "error no scan is complete yet\n");
    assert!(scanner.ask("status").contains("\n status: 0 findings, scanning\n"));
    fs::remove_file(scanner.tree().join("slow")).unwrap();
    plant(scanner.tree().join("two\nlines"), Some(""), 0o666);
    scanner.await_scan(&daemon).signal(Signal::SIGKILL);
    until("it is gone", || daemon.children().is_empty());

    scanner.scan();

    let path = scanner.tree().join("two\\x0alines").display().to_string();
    let answer = scanner.ask("findings");
    assert!(answer.starts_with(" world-writable file, mode 0666, "), "{answer}");
    assert!(answer.ends_with(&format!(": {path}\nok\n")), "{answer}");
    until("it waits", || scanner.ask("status").contains("\n status: 1 findings\n"));
    daemon.stop();
}

#[test]
fn scanner_tells_once_what_lies_in_two_of_its_folders() {
    let Some(scanner) = Scanner::new() else { return };
    let tree = scanner.tree().display().to_string();
    plant(scanner.tree().join("inner"), None, 0o755);
    plant(scanner.tree().join("inner/file"), Some(""), 0o666);
    scanner.configure(&format!("folders:\n- {tree}/inner\n- {tree}/\n- {tree}\n"));
    let daemon = scanner.start_and_scan();

    let log = scanner.logged();
    assert_eq!(log.iter().filter(|line| line.starts_with(NEW_FILE)).count(), 1, "{log:?}");
    assert_eq!(log.last().unwrap(), "info: scan complete, 1 findings");
    daemon.stop();
}

#[test]
fn whoever_makes_many_files_does_not_fill_the_log() {
    let Some(scanner) = Scanner::new() else { return };
    for number in 0..5100 {
        plant(scanner.tree().join(number.to_string()), Some(""), 0o666);
    }
    let daemon = scanner.start_and_scan();

    let log = scanner.logged();
    assert_eq!(log.iter().filter(|line| line.starts_with(NEW_FILE)).count(), 5000);
    assert_eq!(log.last().unwrap(), "info: scan complete, 5100 findings");
    assert_eq!(scanner.ask("findings").lines().count(), 5101);
    daemon.stop();
}

#[test]
fn scanner_scans_again_after_the_interval() {
    let Some(scanner) = Scanner::new() else { return };
    scanner.configure(&scanner.config(1));
    let daemon = scanner.start_and_scan();
    let ticks = || -> u64 {
        let stat = daemon.stat();
        stat[11].parse::<u64>().unwrap() + stat[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    scanner.await_scans(3);
    assert!(ticks() - before < 100, "it does not sleep between scans");
    daemon.stop();

    let log = read(&scanner.log.0);
    let time = |line: &str| {
        let digits = line.get("2000-12-31T23:".len().."2000-12-31T23:59:59.123456".len()).unwrap();
        let (minutes, seconds) = digits.split_once(':').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    };
    let times = |what: &str| -> Vec<f64> {
        log.lines().filter(|line| line.contains(what)).map(time).collect()
    };
    for (end, start) in times("scan complete").iter().zip(&times("scan started")[1..]) {
        let pause = (start - end).rem_euclid(3600.0);
        assert!((0.99..5.0).contains(&pause), "{pause} s: {log}");
    }
}

#[test]
fn each_line_of_the_log_reaches_syslog_too() {
    let Some(rig) = syslogd::Rig::new() else { return };
    let Some(scanner) = Scanner::new() else { return };
    let _syslogd = Syslogd::start(&rig);
    plant(scanner.tree().join("file"), Some(""), 0o666);
    succeed(rig.namespace.enter(&mut scanner.command("start")));
    let daemon = Daemon::of(&scanner.pidfile());
    scanner.await_scans(1);
    let pid = daemon.pid;
    daemon.stop();

    until("the last line", || rig.log().ends_with("|stopped\n"));
    let from_syslog: Vec<_> = rig
        .log()
        .lines()
        .map(|line| {
            let [_, facility, level, name, its_pid, text] =
                line.splitn(6, '|').collect::<Vec<_>>()[..]
            else {
                panic!("{line}")
            };
            assert_eq!(
                (facility, name, its_pid),
                ("daemon", "security-scanner", &*pid.to_string())
            );
            format!("{level}: {}", text.replace(&scanner.tree().display().to_string(), "TREE"))
        })
        .collect();
    assert_eq!(from_syslog, scanner.logged());
    assert!(from_syslog.iter().any(|line| line.starts_with(NEW_FILE)), "{from_syslog:?}");
}

#[test]
fn scanner_rotates_its_log_at_ten_megabytes_and_keeps_five_more() {
    let Some(scanner) = Scanner::new() else { return };
    let log = |number: u32| scanner.folder.path(&format!("scanner.log.{number}"));
    for number in 1..=5 {
        fs::write(log(number), number.to_string()).unwrap();
    }
    let nearly_full = "x".repeat((10 << 20) - 10_000) + "\n";
    fs::write(&scanner.log.0, &nearly_full).unwrap();
    let daemon = scanner.start();
    scanner.log.await_text("scan complete");
    daemon.stop();
    assert!(read(&scanner.log.0).starts_with(&nearly_full) && read(&log(1)) == "1");

    let full = "x".repeat((10 << 20) - 10) + "\n";
    fs::write(&scanner.log.0, &full).unwrap();
    let daemon = scanner.start();
    scanner.log.await_text("scan complete");
    daemon.stop();

    assert!(read(&log(1)) == full, "the full one is not FILE.1");
    for number in 2..=5 {
        assert_eq!(read(&log(number)), (number - 1).to_string());
    }
    assert!(!log(6).exists());
}

// --- whatever becomes of a scan ----------------------------------------------------------------

#[test]
fn a_scan_that_crashes_is_logged_and_the_next_one_runs() {
    let Some(scanner) = Scanner::with_races() else { return };
    scanner.configure(&scanner.config(1));
    plant(scanner.tree().join("slow"), Some(""), 0o644);
    plant(scanner.tree().join("file"), Some(""), 0o666);
    let daemon = scanner.start();
    let scan = scanner.await_scan(&daemon);
    fs::remove_file(scanner.tree().join("slow")).unwrap();

    scan.signal(Signal::SIGSEGV);

    scanner.await_scans(1);
    let log = scanner.logged();
    // The sanitizers' handler for it aborts.
    let is_crash = |line: &String| match line.strip_prefix("err: scan crashed: ") {
        Some(signal) => signal == "Segmentation fault" || test_with() == "sanitizers",
        None => false,
    };
    let crash = log.iter().position(is_crash);
    let found = log.iter().position(|line| line.starts_with(NEW_FILE));
    assert!(crash.is_some() && crash < found, "{log:?}");
    daemon.stop();
}

#[test]
fn a_scan_that_cannot_be_started_is_logged_and_tried_again() {
    let Some(scanner) = Scanner::new() else { return };
    scanner.configure(&scanner.config(1));
    let daemon = scanner.start_and_scan();

    fs::rename(&scanner.program, scanner.folder.path("away")).unwrap();
    scanner.log.await_text("err: cannot scan: ");
    fs::rename(scanner.folder.path("away"), &scanner.program).unwrap();

    let before = scanner.logged().len();
    until("a scan", || {
        scanner.logged()[before..].iter().any(|line| line.contains("scan complete"))
    });
    daemon.stop();
}

#[test]
fn stop_during_a_scan_ends_all_at_once() {
    let Some(scanner) = Scanner::with_races() else { return };
    plant(scanner.tree().join("slow"), Some(""), 0o644);
    let daemon = scanner.start();
    let scan = scanner.await_scan(&daemon);

    match lacks_pidfd() {
        true => daemon.signal(Signal::SIGTERM),
        false => assert_eq!(
            scanner.say("stop"),
            (0, format!("security-scanner: stopped, it was pid {}\n", daemon.pid))
        ),
    }

    assert!(has_ended_within(daemon.pid, at_once()));
    assert!(has_ended_within(scan.pid, Duration::from_millis(1)), "the scan is left");
    let log = scanner.logged();
    // The scan may end before the program asks for the signal.
    let (stopped, before) = log.split_last().unwrap();
    let last = &before[before.len() - 2..];
    assert_eq!(stopped, "notice: stopped");
    assert!(last.iter().any(|line| line == "info: scan given up"), "{log:?}");
    let signal = "notice: got Terminated from process ";
    assert!(last.iter().any(|line| line.starts_with(signal)), "{log:?}");
    for name in ["scanner.pid", "control", "control.lock"] {
        assert!(!scanner.folder.path(name).exists(), "{name}");
    }
}

#[test]
fn a_reload_during_a_scan_scans_anew_as_is_told_now() {
    let Some(scanner) = Scanner::with_races() else { return };
    plant(scanner.tree().join("slow"), Some(""), 0o644);
    plant(scanner.folder.path("other"), None, 0o777);
    let daemon = scanner.start();
    let scan = scanner.await_scan(&daemon);
    scanner.configure(&format!("folders: [{}]\n", scanner.folder.path("other").display()));

    daemon.signal(Signal::SIGHUP);

    scanner.log.await_text("scan complete, 1 findings");
    assert!(has_ended_within(scan.pid, at_once()));
    daemon.stop();
}
