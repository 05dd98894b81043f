//! Where a control socket may stand, and whose files are left alone.

mod common;

use std::process::Command;

use common::{
    Folder, command, passes, passes_in, program, read, skip, succeed, test_with, text, until,
};
use nix::sys::signal::Signal;

#[test]
fn a_socket_that_nobody_serves_is_replaced() {
    passes("control_path", &["stale"]);
}

#[test]
fn a_socket_of_any_kind_that_somebody_else_serves_is_left_alone() {
    passes("control_path", &["foreign-and-alive"]);
}

#[test]
fn any_other_file_is_left_alone() {
    passes("control_path", &["other-files"]);
}

#[test]
fn a_directory_where_everybody_may_rename_files_is_refused() {
    passes("control_path", &["directories"]);
}

#[test]
fn the_mode_is_what_was_asked_for_whatever_the_umask() {
    passes("control_path", &["modes"]);
}

#[test]
fn what_stands_there_instead_is_not_removed() {
    passes("control_path", &["replaced"]);
}

#[test]
fn what_came_there_in_the_middle_of_the_call_is_left_alone() {
    passes("control_path", &["replaced-between"]);
}

#[test]
fn however_a_process_ends_the_next_one_can_serve() {
    passes("control_path", &["ends"]);
}

#[test]
fn with_too_few_descriptors_nothing_is_left() {
    passes("control_path", &["few-descriptors"]);
}

#[test]
fn a_stranger_does_not_get_in_before_mode_and_owner_are_set() {
    let rounds = if test_with() == "valgrind" { "50" } else { "2000" };
    passes_in(&[("ROUNDS", rounds)], "control_path", &["nobody-too-early"]);
}

#[test]
fn without_proc_it_works_or_says_why_not() {
    passes("control_path", &["without-proc"]);
}

#[test]
fn never_do_two_serve_one_path_however_many_want_to_and_are_killed() {
    let folder = Folder::new();
    let [time, pause] =
        if test_with() == "valgrind" { ["6000", "400000"] } else { ["3000", "6000"] };
    let mut fight = command(&program(&folder, "control_fight"));
    let output = succeed(fight.args(["4", time, pause]).current_dir(&folder));
    let told = text(&output.stdout);
    eprint!("{told}");
    let numbers = told.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u32>().ok());
    let least = if test_with() == "valgrind" { [1, 1, 1] } else { [200, 1, 100] };
    assert!(numbers.zip(least).all(|(number, least)| number >= least), "{told}");
}

/// The calls in their order: also where no stranger is fast enough.
#[test]
fn nobody_is_let_in_before_mode_and_owner_are_set() {
    if !test_with().is_empty() {
        return; // strace would show the tool's calls
    }
    if Command::new("strace").arg("-V").output().is_err() {
        return skip("there is no strace");
    }
    let folder = Folder::new();
    let trace = folder.path("trace");
    let mut strace = Command::new("strace");
    strace.arg("-o").arg(&trace).arg(program(&folder, "control"));
    let owner = if common::is_root() { "64001:64002" } else { "" };
    strace.args(["socket", "0666", owner, "commit"]).current_dir(&folder);
    let daemon = common::foreground::Foreground::start(&folder, &mut strace, "ready\n");
    let calls = read(&trace);
    let at = |call: &str| {
        let at = calls.lines().position(|line| line.starts_with(call));
        at.unwrap_or_else(|| panic!("no {call} in {calls}"))
    };
    assert!(at("linkat(") < at("bind("), "the lock is there first");
    assert!(at("fchmod(") < at("listen("));
    assert!(at("bind(") < at("fchmodat("), "the umask took something away");
    assert!(at("fchmodat(") < at("listen("));
    if common::is_root() {
        assert!(at("bind(") < at("fchownat(") && at("fchownat(") < at("listen("));
    }
    assert!(!calls.contains("umask("), "the umask is the whole process's");
    until("strace has a child", || !daemon.process.children().is_empty());
    let child = common::Daemon::of_pid(daemon.process.children()[0]);
    child.signal(Signal::SIGTERM);
    daemon.process.wait_end();
    let calls = read(&trace);
    let removed = |name: &str| {
        calls
            .lines()
            .collect::<Vec<_>>()
            .iter()
            .rposition(|line| line.contains("unlink") && line.contains(name))
    };
    assert!(removed("\"socket\"") < removed("\"socket.lock\""), "the lock goes last");
}
