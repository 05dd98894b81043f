//! A start in which anything fails, at any moment, ends in a complete daemon or in a sentence.

#![allow(unsafe_code)]

mod common;
#[cfg(target_arch = "x86_64")]
mod fault;

/// The wrong outcomes, where that can be tested: not under tools that make calls of their own.
#[cfg(target_arch = "x86_64")]
fn wrong_outcomes(name: &str, change: impl FnOnce(&mut fault::Program)) -> Option<Vec<String>> {
    if !common::test_with().is_empty() {
        common::skip("faults are for programs without valgrind and sanitizers");
        return None;
    }
    let mut program = fault::Program {
        source: common::root().join(format!("tests/programs/{name}.c")),
        arguments: &["./daemon.pid"],
        ready: fault::READY,
        pidfile: "daemon.pid",
        keeps_pidfile: false,
        log: None,
        descriptors: &[fault::PIDFILE, fault::FOLDER],
        deadline: std::time::Duration::from_secs(20),
    };
    change(&mut program);
    fault::wrong_outcomes(&program)
}

#[cfg(target_arch = "x86_64")]
fn check(name: &str, change: impl FnOnce(&mut fault::Program)) {
    if let Some(wrong) = wrong_outcomes(name, change) {
        assert!(wrong.is_empty(), "{} wrong outcomes of {name}, see above", wrong.len());
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
    check("fault_daemonize", |_| {});
}

#[cfg(target_arch = "x86_64")]
#[test]
fn lock_pidfile_and_daemonize_start_or_say_why_not_whatever_fails() {
    check("fault_lock", |program| {
        program.keeps_pidfile = true;
        program.descriptors = &[fault::PIDFILE];
    });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn rsd_daemonize_starts_or_says_why_not_whatever_fails() {
    check("fault_options", |program| {
        program.arguments = &["./daemon.pid", "daemon.log"];
        program.log = Some("daemon.log");
    });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_pid_file_at_ready_appears_or_it_is_said_why_not_whatever_fails() {
    check("fault_ready", |_| {});
}

#[cfg(target_arch = "x86_64")]
#[test]
fn root_is_given_up_or_it_is_said_why_not_whatever_fails() {
    if !common::is_root() {
        return common::skip("needs root to give it up");
    }
    // Who is not root any more may not remove it from root's folder.
    check("fault_user", |program| program.keeps_pidfile = true);
}

/// A test that finds nothing anywhere would be none.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_program_that_looks_at_few_results_is_seen_through() {
    let wrong = wrong_outcomes("fault_naive", |program| {
        program.deadline = std::time::Duration::from_secs(1);
    });
    let Some(wrong) = wrong else { return };
    for what in [
        "status 0 without a daemon",
        "status 1, but a daemon runs",
        "status 1 and said \"\"",
        "hangs",
        "no locked pid file when the launcher left",
        "pid file is locked: false",
        "stdio: ",
        "directory: ",
        "caught signals: ",
        "ignored signals: ",
        "leads its session: ",
        "is in our session: ",
        "descriptors: ",
        "left daemon.pid",
        "does not say why",
    ] {
        assert!(wrong.iter().any(|wrong| wrong.contains(what)), "nothing is seen of: {what}");
    }
}
