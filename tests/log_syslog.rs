//! The log and a real syslog daemon: rsyslogd, on a /dev/log that nobody else sees.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use common::{
    Daemon, command, example, fail_with,
    lines::{Logger, Told, numbers, told_lost},
    program, read, succeed,
    syslogd::{Rig, Syslogd},
    until,
};
use nix::{libc, sys::signal::Signal};

impl Rig {
    fn logger(&self, target: &str) -> Logger {
        let mut command = command(&program(&self.folder, "log_lines"));
        Logger::start(self.namespace.enter(command.args(["counter", target])))
    }

    /// Waits until the syslog daemon has written so many numbered lines, and demands their order.
    #[track_caller]
    fn await_numbers(&self, count: usize) -> Vec<usize> {
        until(&format!("{count} lines"), || numbers(&self.log(), "counter").len() >= count);
        let numbers = numbers(&self.log(), "counter");
        assert_eq!(numbers.len(), count);
        assert!(numbers.is_sorted(), "{numbers:?}");
        numbers
    }
}

/// How many lines a socket's queue can hold: one more than the limit.
fn queue_length() -> usize {
    let limit = read(Path::new("/proc/sys/net/unix/max_dgram_qlen"));
    limit.trim().parse::<usize>().unwrap() + 1
}

#[test]
fn a_line_has_facility_level_name_pid_and_text() {
    let Some(rig) = Rig::new() else { return };
    let _syslogd = Syslogd::start(&rig);
    let mut logger = rig.logger("syslog");

    for level in 0..8 {
        logger.ask(&format!("say {level} the <text> of level {level}: 100%"));
    }

    until("all lines", || rig.log().contains("of level 7"));
    let levels = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    let pid = logger.child.pid();
    let expected = levels.iter().enumerate().map(|(level, name)| {
        let priority = 19 * 8 + level;
        format!("{priority}|local3|{name}|counter|{pid}|the <text> of level {level}: 100%\n")
    });
    assert_eq!(rig.log(), expected.collect::<String>());
}

#[test]
fn a_message_cannot_forge_a_second_one() {
    let Some(rig) = Rig::new() else { return };
    let _syslogd = Syslogd::start(&rig);
    let mut logger = rig.logger("syslog");

    logger.ask("say 6 bad\n<8>Jan  1 00:00:00 root[1]: forged\r\x1b[31m\u{9b}31m\t\x7f\n");
    logger.ask("log 1");

    rig.await_numbers(1);
    let log = rig.log();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    let text = r"bad\n<8>Jan  1 00:00:00 root[1]: forged\r\x1b[31m\x9b31m\t\x7f";
    assert_eq!(lines[0], format!("158|local3|info|counter|{}|{text}", logger.child.pid()));
}

#[test]
fn a_long_message_is_cut_and_says_so() {
    let Some(rig) = Rig::new() else { return };
    let _syslogd = Syslogd::start(&rig);
    let mut logger = rig.logger("syslog");

    let told = logger.ask(&format!("say 6 {}", "longer ".repeat(2000)));
    assert_eq!(told, Told { sent: 1, lost: 0, errno: 0 });

    until("it arrives", || rig.log().ends_with('\n'));
    let log = rig.log();
    let text = log.rsplit('|').next().unwrap();
    assert!(text.starts_with("longer longer ") && text.ends_with("[cut]\n"), "{log}");
    assert!((3000..4096).contains(&text.len()), "{} bytes", text.len());
}

#[test]
fn a_syslog_daemon_that_is_started_later_is_told_how_many_lines_it_missed() {
    let Some(rig) = Rig::new() else { return };
    let mut logger = rig.logger("syslog");
    assert_eq!(logger.ask("log 3"), Told { sent: 3, lost: 3, errno: libc::ENOENT });

    let _syslogd = Syslogd::start(&rig);
    assert_eq!(logger.ask("log 2"), Told { sent: 5, lost: 3, errno: 0 });

    assert_eq!(rig.await_numbers(2), [4, 5]);
    let log = rig.log();
    let notice =
        format!("156|local3|warning|counter|{}|3 lines were lost here: ", logger.child.pid());
    assert!(log.starts_with(&notice), "{log}");
}

#[test]
fn a_restart_loses_what_was_logged_meanwhile_and_tells_how_many() {
    let Some(rig) = Rig::new() else { return };
    let syslogd = Syslogd::start(&rig);
    let mut logger = rig.logger("syslog");
    for count in 1..=10 {
        logger.ask("log 10");
        rig.await_numbers(count * 10);
    }

    syslogd.stop();
    assert_eq!(logger.ask("log 50").lost, 50);
    let _syslogd = Syslogd::start(&rig);
    assert_eq!(logger.ask("log 10"), Told { sent: 160, lost: 50, errno: 0 });

    let expected: Vec<_> = (1..=100).chain(151..=160).collect();
    assert_eq!(rig.await_numbers(110), expected);
    assert_eq!(told_lost(&rig.log()), 50);
}

#[test]
fn under_load_a_restart_is_survived_and_only_its_queue_is_lost_unseen() {
    let Some(rig) = Rig::new() else { return };
    let mut logger = rig.logger("syslog");
    let mut syslogd = Syslogd::start(&rig);
    const RESTARTS: usize = 3;
    let latest = || numbers(&rig.log(), "counter").pop().unwrap_or(0);
    let await_more = || {
        let before = latest();
        until("more lines arrive", || latest() > before + 100);
    };
    logger.tell("load");
    for _ in 0..RESTARTS {
        await_more();
        syslogd.stop();
        syslogd = Syslogd::start(&rig);
    }
    await_more();
    let mut told = logger.ask("stop");
    until("the last line arrives", || {
        if told.errno != 0 {
            told = logger.ask("log 1");
        }
        latest() == told.sent
    });
    let Told { sent, lost, .. } = told;

    let log = rig.log();
    let received = numbers(&log, "counter");
    assert!(received.is_sorted_by(|before, next| before < next), "out of order");
    let missing = sent - received.len();
    println!("{sent} sent, {missing} missing, of which {lost} told of");
    assert!(lost > 0, "nothing was logged during the restarts");
    assert!(told_lost(&log) > 0 && told_lost(&log) <= lost, "{}", told_lost(&log));
    assert!(missing >= lost, "{missing} missing, {lost} told of");
    // Each may take along its queue, and what it has read but not written.
    assert!(missing <= lost + RESTARTS * (queue_length() + 1), "{missing} missing, {lost} told of");
    drop(syslogd);
}

/// More than fit in any queue.
fn more_than_fit() -> usize {
    3 * queue_length()
}

#[test]
fn a_syslog_daemon_that_stands_still_does_not_stop_the_program() {
    let Some(rig) = Rig::new() else { return };
    let syslogd = Syslogd::start(&rig);
    let mut logger = rig.logger("syslog");
    logger.ask("log 1");
    rig.await_numbers(1);

    syslogd.freeze();
    let told = logger.ask(&format!("log {}", more_than_fit()));
    assert_eq!((told.sent, told.errno), (more_than_fit() + 1, libc::EAGAIN));
    assert!(told.lost >= more_than_fit() - queue_length(), "{told:?}");
    println!("{told:?}");

    syslogd.signal(Signal::SIGCONT);
    let received = rig.await_numbers(told.sent - told.lost);
    assert_eq!(received, (1..=received.len()).collect::<Vec<_>>());
    let after = logger.ask("log 1");
    assert_eq!(after, Told { sent: told.sent + 1, lost: told.lost, errno: 0 });
    rig.await_numbers(received.len() + 1);
    let log = rig.log();
    let notice = format!("|{} lines were lost here: nobody read them", told.lost);
    let last: Vec<_> = log.lines().rev().take(2).collect();
    assert!(last[0].ends_with(&format!("|counter line {}.", after.sent)), "{last:?}");
    assert!(last[1].ends_with(&notice), "{last:?}");
}

#[test]
fn syslog_of_the_c_library_stops_the_program_there() {
    let Some(rig) = Rig::new() else { return };
    let syslogd = Syslogd::start(&rig);
    let mut logger = rig.logger("libc");

    syslogd.freeze();
    logger.tell(&format!("log {}", more_than_fit()));
    let system_call = PathBuf::from(format!("/proc/{}/syscall", logger.child.pid()));
    let send = format!("{} ", libc::SYS_sendto);
    until("it sends", || read(&system_call).starts_with(&send));
    assert!(
        !logger.has_answered_within(Duration::from_secs(2)),
        "syslog(3) does not wait any more"
    );

    syslogd.signal(Signal::SIGCONT);
    assert_eq!(logger.answer().sent, more_than_fit());
    rig.await_numbers(more_than_fit());
}

// --- the examples ------------------------------------------------------------------------------

#[test]
fn syslog_example_tells_what_came_of_it() {
    let Some(rig) = Rig::new() else { return };
    let program = example(&rig.folder, "syslog");
    let (full, empty) = (rig.folder.path("full"), rig.folder.path("empty"));
    fs::write(&full, "something").unwrap();
    fs::write(&empty, "").unwrap();
    let run = |file: &Path| {
        let mut command = command(&program);
        rig.namespace.enter(&mut command);
        command.arg(file);
        command
    };

    let refused = fail_with(1, &mut run(&full));
    assert!(refused.ends_with("syslog did not take 2 lines"), "{refused}");

    let _syslogd = Syslogd::start(&rig);
    for file in [&full, &empty, &rig.folder.path("none")] {
        succeed(&mut run(file));
    }
    let count = || rig.log().lines().count();
    until("six lines", || count() == 6);
    let log = rig.log();
    let said: Vec<_> = log.lines().map(|line| line.split('|').collect::<Vec<_>>()).collect();
    let ends =
        ["/full can be read", "", "/empty is empty", "", "/none: No such file or directory", ""];
    let levels = ["info", "debug", "warning", "debug", "err", "debug"];
    for ((said, end), level) in said.iter().zip(ends).zip(levels) {
        let [_, facility, severity, name, pid, text] = said[..] else { panic!("{log}") };
        assert_eq!((facility, severity, name), ("daemon", level, "mydaemon"), "{log}");
        let end = if end.is_empty() { format!("tried by process {pid}") } else { end.to_owned() };
        assert!(text.ends_with(&end), "{text} does not end with {end}");
    }
}

#[test]
fn log_example_writes_each_line_to_its_file_and_to_syslog() {
    let Some(rig) = Rig::new() else { return };
    let _syslogd = Syslogd::start(&rig);
    let (log, pidfile) = (rig.folder.path("load.log"), rig.folder.path("load.pid"));
    let mut command = command(&example(&rig.folder, "log_to_file_and_syslog"));
    command.arg("--log").arg(&log).arg("--pidfile").arg(&pidfile).args(["--interval", "20"]);
    succeed(rig.namespace.enter(&mut command));
    let daemon = Daemon::of(&pidfile);
    let pid = daemon.pid;
    until("some lines", || read(&log).lines().count() > 5);
    daemon.stop();

    until("the last line", || rig.log().ends_with("|stopped\n"));
    let from_file: Vec<_> =
        read(&log).lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    let from_syslog: Vec<_> = rig
        .log()
        .lines()
        .map(|line| {
            let [_, _, level, name, pid, text] = line.splitn(6, '|').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            format!("{name}[{pid}] {level}: {text}")
        })
        .collect();
    assert_eq!(from_file, from_syslog);
    assert_eq!(from_file[0], format!("load-watcher[{pid}] notice: started, every 20 ms"));
}
