//! c-examples/simple_daemon.c: the guide's SimpleDaemon, and what an init script would do with it.

mod common;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use common::{
    Daemon, Folder, at_once, command, compile, example, fail_with, foreground::Foreground,
    is_locked, log::Log, read, root, succeed, test_with, text, until,
};
use nix::sys::signal::Signal;

struct Simple {
    folder: Folder,
    program: PathBuf,
    log: Log,
}

impl Simple {
    fn of(folder: Folder, program: PathBuf) -> Self {
        let log = Log(folder.path("daemon.log"));
        Simple { program, log, folder }
    }

    fn new() -> Self {
        let folder = Folder::new();
        let program = example(&folder, "simple_daemon");
        Simple::of(folder, program)
    }

    fn pidfile(&self) -> PathBuf {
        self.folder.path("mydaemon.pid")
    }

    fn command(&self, word: &str) -> Command {
        let mut command = command(&self.program);
        command.arg(word).arg("--pidfile").arg(self.pidfile());
        if ["start", "restart", "run"].contains(&word) {
            command.arg(&self.log.0);
        }
        command
    }

    /// Says something and succeeds.
    #[track_caller]
    fn says(&self, word: &str) -> String {
        text(&succeed(&mut self.command(word)).stdout)
    }

    #[track_caller]
    fn start(&self) -> Daemon {
        assert_eq!(self.says("start"), "");
        assert!(is_locked(&self.pidfile()));
        Daemon::of(&self.pidfile())
    }
}

#[test]
fn it_works_logs_and_ends_on_term_and_int_without_its_pid_file() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let simple = Simple::new();
        let daemon = simple.start();
        let name = format!("mydaemon[{}]", daemon.pid);
        simple.log.await_text(&format!("{name} info: Performing work...\n"));

        let start = Instant::now();
        daemon.signal(signal);
        daemon.wait_end();

        assert!(start.elapsed() < at_once(), "it was in the ten seconds between two rounds");
        assert!(!simple.pidfile().exists());
        let log = simple.log.text();
        let said: Vec<_> = log.lines().filter_map(|line| line.split_once(" info: ")).collect();
        let said: Vec<_> = said.into_iter().map(|line| line.1).collect();
        let started = format!("Daemon started with PID {}", daemon.pid);
        let place = "in the background: no supervisor has said that it waits for this process";
        assert_eq!(said, [place, &started, "Performing work...", "Shutting down"], "{log}");
    }
}

#[test]
fn hup_does_nothing() {
    let simple = Simple::new();
    let daemon = simple.start();
    simple.log.await_text("Performing work...");
    daemon.signal(Signal::SIGHUP);
    // Signals are taken in order of their numbers.
    daemon.stop();
    assert!(simple.log.text().ends_with("Shutting down\n"), "HUP killed it");
}

#[test]
fn a_round_that_fails_is_logged_and_the_next_one_comes() {
    let folder = Folder::new();
    let source = read(&root().join("c-examples/simple_daemon.c"));
    let work = "rsd_log(LOG_INFO, \"Performing work...\");\n    return 0;";
    let failing = source.replace(work, "errno = ENOSPC;\n    return -1;");
    let failing = failing.replace("10 * 1000", "10");
    assert_ne!(failing, source);
    fs::write(folder.path("failing.c"), failing).unwrap();
    let program = compile(&folder, "failing", &[folder.path("failing.c")], &[]);
    let simple = Simple::of(folder, program);

    let daemon = simple.start();

    let error = "Error in loop: No space left on device\n";
    until("three rounds", || simple.log.text().matches(error).count() >= 3);
    daemon.stop();
}

#[test]
fn in_the_foreground_the_log_is_on_stderr_too() {
    let simple = Simple::new();
    let daemon =
        Foreground::start(&simple.folder, &mut simple.command("run"), "Performing work...");
    assert_eq!(read(&simple.pidfile()), format!("{}\n", daemon.process.pid));
    let shown = daemon.stop();
    assert_eq!(shown.lines().count(), simple.log.text().lines().count(), "{shown}");
    assert!(shown.ends_with("mydaemon: Shutting down\n"), "{shown}");
}

#[test]
fn an_init_script_needs_nothing_but_its_words() {
    let simple = Simple::new();
    assert_eq!(simple.command("status").output().unwrap().status.code(), Some(3));
    let first = simple.start();
    assert_eq!(simple.says("status"), format!("mydaemon: running as pid {}\n", first.pid));
    assert_eq!(simple.says("start"), format!("mydaemon: already running as pid {}\n", first.pid));
    if test_with() == "valgrind" {
        return; // it lacks pidfd_open(2)
    }
    assert_eq!(simple.says("restart"), format!("mydaemon: stopped, it was pid {}\n", first.pid));
    let second = Daemon::of(&simple.pidfile());
    assert_ne!(second.pid, first.pid);
    assert_eq!(simple.says("stop"), format!("mydaemon: stopped, it was pid {}\n", second.pid));
    assert!(!simple.pidfile().exists());
    assert_eq!(simple.says("stop"), "mydaemon: not running\n");
    assert_eq!(simple.log.text().matches("Shutting down").count(), 2);
}

#[test]
fn a_log_that_cannot_be_written_is_told_to_who_starts_it() {
    let mut simple = Simple::new();
    simple.log.0 = simple.folder.path("no-such-folder/daemon.log");
    let message = fail_with(1, &mut simple.command("start"));
    assert!(message.starts_with("mydaemon: cannot "), "{message}");
    assert!(message.ends_with("no-such-folder/daemon.log: No such file or directory"), "{message}");
    assert!(!simple.pidfile().exists());
}

#[test]
fn a_command_that_does_not_exist_does_nothing() {
    let simple = Simple::new();
    let message = fail_with(2, &mut simple.command("begin"));
    assert_eq!(message, "mydaemon: unknown command: begin; see --help");
    assert!(!simple.pidfile().exists() && !simple.log.0.exists());
}

/// Lines that are neither empty nor a comment. In Python also no text that is a statement of its own.
fn code_lines(source: &str) -> usize {
    let is_code = |line: &&str| {
        let line = line.trim();
        !line.is_empty()
            && !["/*", "*", "#!", "# ", "\"\"\""].iter().any(|start| line.starts_with(start))
    };
    source.lines().filter(is_code).count()
}

/// RSDAEMON_GUIDE: the guide's text, to count what is replaced, too.
#[test]
fn it_is_shorter_than_what_it_replaces() {
    let ours = code_lines(&read(&root().join("c-examples/simple_daemon.c")));
    println!("simple_daemon.c: {ours} lines of code");
    let Some(guide) = env::var_os("RSDAEMON_GUIDE") else {
        return assert!(ours <= 30, "{ours}");
    };
    let guide = fs::read_to_string(Path::new(&guide)).unwrap();
    let python = guide.split_once("### Simpler Python Daemon").unwrap().1;
    let python = python.split("```").nth(1).unwrap().strip_prefix("python\n").unwrap();
    let theirs = code_lines(python);
    println!("SimpleDaemon: {theirs} lines of code");
    assert!(ours < theirs, "{ours} lines, SimpleDaemon {theirs}");
}
