//! The daemons of c-examples that have an event loop of their own and the library in it.

mod common;

use std::{fs, path::PathBuf, process::Command};

use common::{
    Daemon, Folder, at_once, command, compile, has_ended_within, log::Log, read, root, skip,
    succeed, text, until,
};
use nix::sys::signal::Signal;

struct EventLoop {
    name: &'static str,
    program: PathBuf,
    log: Log,
    folder: Folder,
}

/// Does it with each of the three, or with those that can be built here.
#[track_caller]
fn each(test: impl Fn(&EventLoop)) {
    for (name, package) in
        [("epoll_loop", ""), ("libevent_loop", "libevent_core"), ("glib_loop", "glib-2.0")]
    {
        let Some(flags) = flags_of(package) else {
            skip(&format!("{package} is not installed, which {name} needs"));
            continue;
        };
        let flags: Vec<_> = flags.split_whitespace().collect();
        let folder = Folder::new();
        let source = root().join(format!("c-examples/{name}.c"));
        let program = compile(&folder, name, &[source], &flags);
        test(&EventLoop { name, program, log: Log(folder.path("log")), folder });
    }
}

fn flags_of(package: &str) -> Option<String> {
    if package.is_empty() {
        return Some(String::new());
    }
    let output = Command::new("pkg-config").args(["--cflags", "--libs", package]).output().ok()?;
    output.status.success().then(|| text(&output.stdout))
}

impl EventLoop {
    fn pidfile(&self) -> PathBuf {
        self.folder.path("loop.pid")
    }

    #[track_caller]
    fn start(&self, script: &str) -> Daemon {
        let mut command = command(&self.program);
        command.arg(self.pidfile()).arg(&self.log.0).args(["sh", "-c", script]);
        succeed(&mut command);
        Daemon::of(&self.pidfile())
    }
}

#[test]
fn end_of_a_command_is_told_with_what_it_said() {
    each(|example| {
        let daemon = example.start("echo a word; exit 7");

        example.log.await_text("a word\ncommand ended with status 0x700\n");

        daemon.stop();
    });
}

#[test]
fn hup_is_told_with_its_sender_each_time() {
    each(|example| {
        let daemon = example.start("true");
        let sender = (std::process::id(), nix::unistd::getuid());
        let told = format!("Hangup from process {} of user {}\n", sender.0, sender.1);

        for count in 1..=3 {
            daemon.signal(Signal::SIGHUP);
            until("HUP is told", || example.log.text().matches(&told).count() == count);
        }

        daemon.stop();
    });
}

#[test]
fn timer_of_the_loop_goes_on_beside_signals_and_commands() {
    each(|example| {
        let daemon = example.start("sleep 1000");
        example.log.await_text("tick\n");

        daemon.signal(Signal::SIGHUP);

        example.log.await_text("Hangup from");
        let ticks = || example.log.text().matches("tick\n").count();
        let before = ticks();
        until("it ticks on", || ticks() > before);
        daemon.stop();
    });
}

#[test]
fn term_ends_the_loop_at_once() {
    each(|example| {
        let daemon = example.start("true");
        example.log.await_text("command ended with status 0\n");

        daemon.signal(Signal::SIGTERM);

        assert!(has_ended_within(daemon.pid, at_once()), "{}", example.name);
        assert!(!example.pidfile().exists(), "{}", example.name);
        let log = example.log.text();
        assert!(log.contains("Terminated from process ") && log.ends_with("stopped\n"), "{log}");
    });
}

#[test]
fn term_ends_a_command_that_runs_with_the_daemon() {
    each(|example| {
        let pid = example.folder.path("pid");
        let script = format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 1000", pid.display());
        let daemon = example.start(&script);
        until("the command runs", || pid.exists());
        let runs = Daemon::of_pid(read(&pid).trim().parse().unwrap());

        daemon.signal(Signal::SIGTERM);

        assert!(has_ended_within(daemon.pid, at_once()), "{}", example.name);
        assert!(has_ended_within(runs.pid, at_once()), "{}: its command is left", example.name);
        example.log.await_text("command ended with status 0xf\n");
    });
}

#[test]
fn command_that_cannot_be_run_is_told_to_whoever_starts_the_daemon() {
    each(|example| {
        let mut command = command(&example.program);
        command.arg(example.pidfile()).arg(&example.log.0).arg("no-such-command-anywhere");

        let message = common::fail_with(1, &mut command);

        assert!(message.contains("No such file or directory"), "{message}");
        assert!(!example.pidfile().exists(), "{}", example.name);
        assert_eq!(fs::read_to_string(&example.log.0).unwrap(), "", "{}", example.name);
    });
}
