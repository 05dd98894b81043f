//! A start in which anything fails, at any moment, ends in a complete daemon or in a sentence.

#![allow(unsafe_code)]

mod common;
#[cfg(target_arch = "x86_64")]
mod fault;

/// Runs the check where it can: it changes registers, and it must see the program's own calls.
#[cfg(target_arch = "x86_64")]
fn check(name: &str, change: impl FnOnce(&mut fault::Program)) {
    if !common::test_with().is_empty() {
        return common::skip("faults are for programs without valgrind and sanitizers");
    }
    let mut program = fault::Program {
        source: common::root().join(format!("tests/programs/{name}.c")),
        arguments: &["./daemon.pid"],
        ready: fault::READY,
        pidfile: "daemon.pid",
        keeps_pidfile: false,
        log: None,
        descriptors: &[fault::PIDFILE, fault::FOLDER],
    };
    change(&mut program);
    fault::check(&program);
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
