//! The log and a real syslog daemon: rsyslogd, on a /dev/log that nobody else sees.

mod common;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{net::UnixDatagram, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use common::{
    Child, Daemon, Folder, command, example, fail_with, is_root,
    lines::{Logger, Told, numbers, told_lost},
    program, read, skip, status_of, succeed, until,
};
use nix::{
    libc,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const RSYSLOGD: &str = "/usr/sbin/rsyslogd";

/// A mount namespace with a /dev and a /run of its own. It ends with the test.
struct Namespace {
    holder: Child,
    namespace: OwnedFd,
    folder: Folder,
}

const SET_UP: &str = "
    mount -t tmpfs tmpfs /run
    mkdir /run/dev
    mount -t tmpfs -o mode=755 tmpfs /run/dev
    for device in null zero full random urandom tty; do
        touch /run/dev/$device
        mount --bind /dev/$device /run/dev/$device
    done
    ln -s /proc/self/fd /run/dev/fd
    mount --move /run/dev /dev
    echo ready
    read until_the_test_ends";

impl Namespace {
    /// None, and said so, where it cannot be made.
    fn new() -> Option<Self> {
        if !is_root() || !Path::new(RSYSLOGD).exists() {
            skip("needs root and rsyslogd");
            return None;
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", SET_UP]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = Child(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(holder.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line != "ready\n" {
            skip("no mount namespace can be made");
            return None;
        }
        let namespace = File::open(format!("/proc/{}/ns/mnt", holder.pid())).unwrap().into();
        Some(Namespace { holder, namespace, folder: Folder::new() })
    }

    fn enter<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let namespace = self.namespace.as_raw_fd();
        // SAFETY: setns(2) is async-signal-safe.
        unsafe {
            command.pre_exec(move || match libc::setns(namespace, libc::CLONE_NEWNS) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            })
        }
    }

    fn logger(&self, target: &str) -> Logger {
        let mut command = command(&program(&self.folder, "log_lines"));
        Logger::start(self.enter(command.args(["counter", target])))
    }

    fn log(&self) -> String {
        read(&self.folder.path("messages"))
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

/// A running rsyslogd.
struct Syslogd {
    child: Child,
}

impl Syslogd {
    /// Returns when it listens. What it has read it has written, when it is ended by TERM: nothing is queued
    /// inside. Its own escapes are off, so as to see what was sent.
    #[track_caller]
    fn start(namespace: &Namespace) -> Self {
        let folder = namespace.folder.as_ref().display();
        let configuration = format!(
            r#"
            global(workDirectory="{folder}" parser.escapeControlCharactersOnReceive="off")
            main_queue(queue.type="Direct")
            module(load="imuxsock" SysSock.RateLimit.Interval="0")
            template(name="all" type="string" string="%PRI%|%syslogfacility-text%|%syslogseverity-text%|%programname%|%procid%|%msg:2:$%\n")
            if $programname != "rsyslogd" then action(type="omfile" file="{folder}/messages" template="all")
            "#
        );
        let path = |name| namespace.folder.path(name);
        fs::write(path("rsyslog.conf"), configuration).unwrap();
        let mut command = Command::new(RSYSLOGD);
        command.arg("-n").arg("-f").arg(path("rsyslog.conf")).arg("-i").arg(path("syslogd.pid"));
        let child = Child::start(namespace.enter(&mut command));
        let socket = format!("/proc/{}/root/dev/log", namespace.holder.pid());
        let probe = UnixDatagram::unbound().unwrap();
        until("rsyslogd listens", || probe.connect(&socket).is_ok());
        Syslogd { child }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.pid()), signal).unwrap();
    }

    #[track_caller]
    fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        assert!(self.child.wait().success());
    }

    /// Stops all its threads where they are.
    #[track_caller]
    fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        let threads = format!("/proc/{}/task", self.child.pid());
        let is_stopped = |thread: PathBuf| read(&thread.join("status")).contains("State:\tT");
        until("rsyslogd stands still", || {
            fs::read_dir(&threads).unwrap().all(|thread| is_stopped(thread.unwrap().path()))
        });
    }
}

/// How many lines a socket's queue can hold: one more than the limit.
fn queue_length() -> usize {
    let limit = read(Path::new("/proc/sys/net/unix/max_dgram_qlen"));
    limit.trim().parse::<usize>().unwrap() + 1
}

#[test]
fn a_line_has_facility_level_name_pid_and_text() {
    let Some(namespace) = Namespace::new() else { return };
    let _syslogd = Syslogd::start(&namespace);
    let mut logger = namespace.logger("syslog");

    for level in 0..8 {
        logger.ask(&format!("say {level} the <text> of level {level}: 100%"));
    }

    until("all lines", || namespace.log().contains("of level 7"));
    let levels = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    let pid = logger.child.pid();
    let expected = levels.iter().enumerate().map(|(level, name)| {
        let priority = 19 * 8 + level;
        format!("{priority}|local3|{name}|counter|{pid}|the <text> of level {level}: 100%\n")
    });
    assert_eq!(namespace.log(), expected.collect::<String>());
}

#[test]
fn a_message_cannot_forge_a_second_one() {
    let Some(namespace) = Namespace::new() else { return };
    let _syslogd = Syslogd::start(&namespace);
    let mut logger = namespace.logger("syslog");

    logger.ask("say 6 bad\n<8>Jan  1 00:00:00 root[1]: forged\r\x1b[31m\u{9b}31m\t\x7f\n");
    logger.ask("log 1");

    namespace.await_numbers(1);
    let log = namespace.log();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    let text = r"bad\n<8>Jan  1 00:00:00 root[1]: forged\r\x1b[31m\x9b31m\t\x7f";
    assert_eq!(lines[0], format!("158|local3|info|counter|{}|{text}", logger.child.pid()));
}

#[test]
fn a_long_message_is_cut_and_says_so() {
    let Some(namespace) = Namespace::new() else { return };
    let _syslogd = Syslogd::start(&namespace);
    let mut logger = namespace.logger("syslog");

    let told = logger.ask(&format!("say 6 {}", "longer ".repeat(2000)));
    assert_eq!(told, Told { sent: 1, lost: 0, errno: 0 });

    until("it arrives", || namespace.log().ends_with('\n'));
    let log = namespace.log();
    let text = log.rsplit('|').next().unwrap();
    assert!(text.starts_with("longer longer ") && text.ends_with("[cut]\n"), "{log}");
    assert!((3000..4096).contains(&text.len()), "{} bytes", text.len());
}

#[test]
fn a_syslog_daemon_that_is_started_later_is_told_how_many_lines_it_missed() {
    let Some(namespace) = Namespace::new() else { return };
    let mut logger = namespace.logger("syslog");
    assert_eq!(logger.ask("log 3"), Told { sent: 3, lost: 3, errno: libc::ENOENT });

    let _syslogd = Syslogd::start(&namespace);
    assert_eq!(logger.ask("log 2"), Told { sent: 5, lost: 3, errno: 0 });

    assert_eq!(namespace.await_numbers(2), [4, 5]);
    let log = namespace.log();
    let notice =
        format!("156|local3|warning|counter|{}|3 lines were lost here: ", logger.child.pid());
    assert!(log.starts_with(&notice), "{log}");
}

#[test]
fn a_restart_loses_what_was_logged_meanwhile_and_tells_how_many() {
    let Some(namespace) = Namespace::new() else { return };
    let syslogd = Syslogd::start(&namespace);
    let mut logger = namespace.logger("syslog");
    for count in 1..=10 {
        logger.ask("log 10");
        namespace.await_numbers(count * 10);
    }

    syslogd.stop();
    assert_eq!(logger.ask("log 50").lost, 50);
    let _syslogd = Syslogd::start(&namespace);
    assert_eq!(logger.ask("log 100"), Told { sent: 250, lost: 50, errno: 0 });

    let expected: Vec<_> = (1..=100).chain(151..=250).collect();
    assert_eq!(namespace.await_numbers(200), expected);
    assert_eq!(told_lost(&namespace.log()), 50);
}

#[test]
fn under_load_a_restart_is_survived_and_only_its_queue_is_lost_unseen() {
    let Some(namespace) = Namespace::new() else { return };
    let mut logger = namespace.logger("syslog");
    let mut syslogd = Syslogd::start(&namespace);
    const RESTARTS: usize = 3;
    let latest = || numbers(&namespace.log(), "counter").pop().unwrap_or(0);
    logger.tell("load");
    for _ in 0..RESTARTS {
        let before = latest();
        until("lines arrive", || latest() > before);
        syslogd.stop();
        syslogd = Syslogd::start(&namespace);
    }
    let before = latest();
    until("lines arrive after the restarts", || latest() > before);
    let Told { sent, lost, .. } = logger.ask("stop");
    until("the reader has caught up", || {
        // If the last of them were lost, the next one tells.
        logger.ask("log 1");
        told_lost(&namespace.log()) <= lost && latest() > sent
    });

    let received: Vec<_> = numbers(&namespace.log(), "counter");
    assert!(received.is_sorted(), "out of order");
    let received = received.iter().filter(|&&number| number <= sent).count();
    let missing = sent - received;
    println!("{sent} sent, {missing} missing, of which {lost} told of");
    assert!(lost > 0, "nothing was logged during the restarts");
    assert!(missing >= lost, "{missing} missing, {lost} told of");
    // And the one that each had read, but not written.
    assert!(missing <= lost + RESTARTS * (queue_length() + 1), "{missing} missing, {lost} told of");
    drop(syslogd);
}

/// More than fit in any queue.
fn more_than_fit() -> usize {
    3 * queue_length()
}

#[test]
fn a_syslog_daemon_that_stands_still_does_not_stop_the_program() {
    let Some(namespace) = Namespace::new() else { return };
    let syslogd = Syslogd::start(&namespace);
    let mut logger = namespace.logger("syslog");
    logger.ask("log 1");
    namespace.await_numbers(1);

    syslogd.freeze();
    let told = logger.ask(&format!("log {}", more_than_fit()));
    assert_eq!((told.sent, told.errno), (more_than_fit() + 1, libc::EAGAIN));
    assert!(told.lost >= more_than_fit() - queue_length(), "{told:?}");
    println!("{told:?}");

    syslogd.signal(Signal::SIGCONT);
    let received = namespace.await_numbers(told.sent - told.lost);
    assert_eq!(received, (1..=received.len()).collect::<Vec<_>>());
    let after = logger.ask("log 1");
    assert_eq!(after, Told { sent: told.sent + 1, lost: told.lost, errno: 0 });
    namespace.await_numbers(received.len() + 1);
    let log = namespace.log();
    let notice = format!("|{} lines were lost here: nobody read them", told.lost);
    let last: Vec<_> = log.lines().rev().take(2).collect();
    assert!(last[0].ends_with(&format!("|counter line {}.", after.sent)), "{last:?}");
    assert!(last[1].ends_with(&notice), "{last:?}");
}

#[test]
fn syslog_of_the_c_library_stops_the_program_there() {
    let Some(namespace) = Namespace::new() else { return };
    let syslogd = Syslogd::start(&namespace);
    let mut logger = namespace.logger("libc");

    syslogd.freeze();
    logger.tell(&format!("log {}", more_than_fit()));
    until("it waits in the kernel", || status_of(logger.child.pid(), "State").starts_with('S'));
    assert!(
        !logger.has_answered_within(Duration::from_secs(2)),
        "syslog(3) does not wait any more"
    );

    syslogd.signal(Signal::SIGCONT);
    assert_eq!(logger.answer().sent, more_than_fit());
    namespace.await_numbers(more_than_fit());
}

// --- the examples ------------------------------------------------------------------------------

#[test]
fn syslog_example_tells_what_came_of_it() {
    let Some(namespace) = Namespace::new() else { return };
    let program = example(&namespace.folder, "syslog");
    let (full, empty) = (namespace.folder.path("full"), namespace.folder.path("empty"));
    fs::write(&full, "something").unwrap();
    fs::write(&empty, "").unwrap();
    let mut run = |file: &Path| {
        let mut command = command(&program);
        namespace.enter(&mut command);
        command.arg(file);
        command
    };

    let refused = fail_with(1, &mut run(&full));
    assert!(refused.ends_with("syslog did not take 2 lines"), "{refused}");

    let _syslogd = Syslogd::start(&namespace);
    for file in [&full, &empty, &namespace.folder.path("none")] {
        succeed(&mut run(file));
    }
    let count = || namespace.log().lines().count();
    until("six lines", || count() == 6);
    let log = namespace.log();
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
    let Some(namespace) = Namespace::new() else { return };
    let _syslogd = Syslogd::start(&namespace);
    let (log, pidfile) = (namespace.folder.path("load.log"), namespace.folder.path("load.pid"));
    let mut command = command(&example(&namespace.folder, "log_to_file_and_syslog"));
    command.arg("--log").arg(&log).arg("--pidfile").arg(&pidfile).args(["--interval", "1"]);
    succeed(namespace.enter(&mut command));
    let daemon = Daemon::of(&pidfile);
    let pid = daemon.pid;
    until("some lines", || read(&log).lines().count() > 10);
    daemon.stop();

    until("the last line", || namespace.log().ends_with("|stopped\n"));
    let from_file: Vec<_> =
        read(&log).lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    let from_syslog: Vec<_> = namespace
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
    assert_eq!(from_file[0], format!("load-watcher[{pid}] notice: started, every 1 ms"));
}
