//! Whatever fails at any moment, a start ends in a complete daemon or in a sentence, and a program that
//! waits and runs commands in the right output or in a sentence.

#![allow(unsafe_code)]

mod common;
#[cfg(target_arch = "x86_64")]
mod fault;

#[cfg(target_arch = "x86_64")]
use fault::{Background, FOLDER, Kind, PIDFILE, Program};

/// A daemon that keeps to the defaults.
#[cfg(target_arch = "x86_64")]
const DAEMON: Background =
    Background { keeps_pidfile: false, log: None, descriptors: &[PIDFILE, FOLDER] };

#[cfg(target_arch = "x86_64")]
fn program(name: &str) -> Program {
    Program {
        source: common::root().join(format!("tests/programs/{name}.c")),
        arguments: &["./daemon.pid"],
        kind: Kind::Background(DAEMON),
        deadline: std::time::Duration::from_secs(20),
    }
}

/// The wrong outcomes, where that can be tested: not under tools that make calls of their own.
#[cfg(target_arch = "x86_64")]
fn wrong_outcomes(program: Program) -> Option<Vec<String>> {
    if !common::test_with().is_empty() {
        common::skip("faults are for programs without valgrind and sanitizers");
        return None;
    }
    fault::wrong_outcomes(&program)
}

#[cfg(target_arch = "x86_64")]
#[track_caller]
fn check(program: Program) {
    if let Some(wrong) = wrong_outcomes(program) {
        assert!(wrong.is_empty(), "{} wrong outcomes, see above", wrong.len());
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[test]
fn faults() {
    common::skip("the fault tracer knows the registers of x86_64 only");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn daemonize_starts_or_says_why_not_whatever_fails() {
    check(program("fault_daemonize"));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn lock_pidfile_and_daemonize_start_or_say_why_not_whatever_fails() {
    let daemon = Background { keeps_pidfile: true, descriptors: &[PIDFILE], ..DAEMON };
    check(Program { kind: Kind::Background(daemon), ..program("fault_lock") });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn rsd_daemonize_starts_or_says_why_not_whatever_fails() {
    check(Program {
        arguments: &["./daemon.pid", "daemon.log"],
        kind: Kind::Background(Background { log: Some("daemon.log"), ..DAEMON }),
        ..program("fault_options")
    });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_pid_file_at_ready_appears_or_it_is_said_why_not_whatever_fails() {
    check(program("fault_ready"));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn root_is_given_up_or_it_is_said_why_not_whatever_fails() {
    if !common::is_root() {
        return common::skip("needs root to give it up");
    }
    // Who is not root any more may not remove it from root's folder.
    let daemon = Background { keeps_pidfile: true, ..DAEMON };
    check(Program { kind: Kind::Background(daemon), ..program("fault_user") });
}

/// A test that finds nothing anywhere would be none.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_program_that_looks_at_few_results_is_seen_through() {
    careless(
        program("fault_naive"),
        &[
            "status 0 without a daemon",
            "status 1, but a daemon runs",
            "status 1 and said \"\"",
            "hangs",
            "no locked pid file when the launcher left",
            "pid file is locked: false",
            "stdio: ",
            "directory: ",
            "caught signals: ",
            "leads its session: ",
            "is in our session: ",
            "descriptors: ",
            "left daemon.pid",
            "does not say why",
        ],
    );
}

/// The main loop, children and commands.
#[cfg(target_arch = "x86_64")]
fn in_foreground(name: &str, output: &'static str) -> Program {
    let deadline = std::time::Duration::from_secs(2);
    Program { arguments: &[], kind: Kind::Foreground(output), deadline, ..program(name) }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn signals_children_and_commands_work_or_say_why_not_whatever_fails() {
    check(in_foreground(
        "fault_loop",
        concat!(
            "signal: told 1, flag 7, 1 of 10\n",
            "wait: 0\n",
            "child: 3\n",
            "run: 5 \"<input>, open: 0 1 2, blocked: 0, ignored: 0, leads: 1\" \"error\"\n",
            "spawn: 5 \"<>, open: 0 1 2, blocked: 0, ignored: 0, leads: 1\" \"error\"\n",
            "signal: told 1, flag 8, 1 of 10\n",
            "restored: 1\n",
        ),
    ));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_control_socket_is_served_or_says_why_not_whatever_fails() {
    let deadline = std::time::Duration::from_secs(4);
    let output = "answered, nothing is left\n";
    check(Program { deadline, ..in_foreground("fault_control", output) });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn each_line_of_the_log_is_in_a_file_or_counted_as_lost_whatever_fails() {
    check(in_foreground("fault_log", "not accounted for: 0, twice: 0, torn: 0\n"));
}

/// Also killed at each call, and then the next start.
#[cfg(target_arch = "x86_64")]
#[test]
fn each_line_of_the_log_reaches_each_target_or_is_counted_there_whatever_fails() {
    check(Program { kind: Kind::Log, ..in_foreground("fault_targets", "") });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_program_that_runs_commands_carelessly_is_seen_through() {
    careless(
        in_foreground("fault_careless", "got: <input>\n"),
        &[
            "hangs",
            "status 0 and printed",
            "status 1 and said \"\"",
            "does not say why",
            "killed by SIGSEGV",
            "left a zombie",
            "left a child running",
        ],
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_program_that_logs_carelessly_is_seen_through() {
    careless(
        Program { kind: Kind::Log, ..in_foreground("fault_careless_log", "") },
        &[
            "hangs",
            "status 1 and said \"\"",
            "without an end",
            "has no line of ours",
            "more than once",
            "missing in the file and not counted",
            "missing in syslog and not counted",
            "missing in stderr and not counted",
            "not missing in the file and counted as lost",
            "Some(ENOSPC) is told for a reason",
            "longer than allowed",
            "left lock",
            "the next start: status 1",
        ],
    );
}

/// All of this must be found, or the test finds nothing anywhere.
#[cfg(target_arch = "x86_64")]
fn careless(program: Program, whats: &[&str]) {
    let deadline = std::time::Duration::from_secs(1);
    let Some(wrong) = wrong_outcomes(Program { deadline, ..program }) else { return };
    for what in whats {
        assert!(wrong.iter().any(|wrong| wrong.contains(what)), "nothing is seen of: {what}");
    }
}
