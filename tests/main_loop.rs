//! Waiting for signals, as a C program does it: rsd_wait(), rsd_dispatch(), rsd_fd().

mod common;

use std::{fs, process::Command};

use common::{
    Daemon, Folder, command, compiler, is_locked, passes, prefix, program, root, succeed, text,
};
use nix::sys::signal::Signal;

/// A run under valgrind takes a hundred times as long.
fn rounds(plain: u32) -> String {
    if common::test_with() == "valgrind" { plain.div_ceil(100) } else { plain }.to_string()
}

#[test]
fn a_wait_lasts_as_long_as_it_was_asked_to() {
    passes("wait", &["times"]);
}

#[test]
fn a_signal_is_told_once_and_a_flag_that_stays_set_does_not_wake() {
    passes("wait", &["told-once"]);
}

#[test]
fn a_handler_of_the_program_ends_the_wait() {
    passes("wait", &["own-handlers"]);
}

#[test]
fn a_wait_leaves_the_signal_mask_as_it_was() {
    passes("wait", &["mask-after"]);
    if common::test_with() != "valgrind" {
        passes("wait", &["mask-in-handlers"]); // there they run when ppoll(2) is over
    }
}

#[test]
fn a_handler_may_jump_out_of_a_wait() {
    passes("wait", &["jumped-out"]);
}

#[test]
fn the_descriptor_is_readable_while_a_signal_is_untold() {
    passes("wait", &["descriptor"]);
}

#[test]
fn the_descriptor_knows_what_came_before_it() {
    passes("wait", &["descriptor-late"]);
}

#[test]
fn without_descriptors_a_wait_fails_in_its_time() {
    passes("wait", &["no-descriptors"]);
}

#[test]
fn what_fails_for_want_of_descriptors_leaves_none_open() {
    passes("wait", &["few-descriptors"]);
}

#[test]
fn a_signal_is_seen_in_a_loop_that_always_has_something_to_do() {
    passes("wait", &["busy-loop"]);
}

#[test]
fn to_be_stopped_and_continued_does_not_end_a_wait() {
    passes("wait", &["stopped"]);
}

#[test]
fn nothing_is_done_while_nothing_happens() {
    if !common::test_with().is_empty() {
        return; // those make system calls of their own
    }
    let folder = Folder::new();
    let trace = folder.path("trace");
    let mut strace = Command::new("strace");
    strace.arg("-o").arg(&trace).arg(program(&folder, "wait")).arg("idle");
    let Ok(output) = strace.output() else {
        return common::skip("no strace");
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    let trace = fs::read_to_string(trace).unwrap();
    let idle: Vec<&str> = trace
        .split("\"idle\\n\"")
        .skip(1)
        .map(|rest| rest.split("write(2, \"over").next().unwrap())
        .collect();
    assert_eq!(idle.len(), 2, "{trace}");
    for calls in idle {
        // After the rest of the line that said so: the wait, and a few looks before and after it.
        let calls: Vec<&str> = calls.lines().skip(1).collect();
        println!("{calls:#?}");
        assert!(calls.len() <= 12, "{calls:#?}");
    }
}

#[test]
fn an_old_program_that_closes_all_descriptors_can_wait_all_the_same() {
    passes("wait", &["all-closed"]);
}

#[test]
fn numbers_that_the_program_has_taken_for_its_files_are_left_alone() {
    passes("wait", &["all-closed-and-taken"]);
    passes("wait", &["all-closed-and-taken-by-epoll"]);
}

#[test]
fn a_signal_between_the_look_at_the_flag_and_the_wait_is_not_slept_over() {
    passes("lost_wakeup", &["wait", &rounds(20_000)]);
}

#[test]
fn nor_one_between_the_look_and_poll() {
    passes("lost_wakeup", &["poll", &rounds(20_000)]);
}

#[test]
fn nor_one_between_the_look_and_epoll() {
    passes("lost_wakeup", &["epoll", &rounds(20_000)]);
    passes("lost_wakeup", &["edge", &rounds(20_000)]);
}

#[test]
fn nor_one_around_the_first_wait_of_a_process() {
    passes("lost_wakeup", &["first", &rounds(2_000)]);
}

#[test]
fn a_signal_that_another_thread_receives_ends_the_wait() {
    passes("threads", &["another-receives", &rounds(300)]);
}

#[test]
fn a_signal_that_the_waiting_thread_has_blocked_ends_the_wait() {
    passes("threads", &["main-has-it-blocked", &rounds(300)]);
}

#[test]
fn of_two_threads_that_wait_one_is_told() {
    passes("threads", &["two-wait", &rounds(2000)]);
}

#[test]
fn a_thread_that_asks_for_the_descriptor_takes_no_signal_from_one_that_polls_it() {
    passes("threads", &["descriptor-is-hammered", &rounds(5_000)]);
}

#[test]
fn threads_that_hammer_for_the_next_signal_get_each_once() {
    passes("threads", &["next-is-hammered", &rounds(20_000)]);
}

#[test]
fn all_threads_get_the_same_descriptor() {
    passes("threads", &["all-ask-first", &rounds(40)]);
}

#[test]
fn a_signal_of_a_child_never_wakes_its_parent() {
    passes("forks", &["child-signals"]);
}

#[test]
fn a_signal_of_the_parent_never_wakes_its_child() {
    passes("forks", &["parent-signals"]);
}

#[test]
fn a_child_with_its_parents_pid_is_another_process() {
    passes("forks", &["same-pid"]);
}

#[test]
fn a_child_that_says_it_is_one_has_nothing_of_its_parents_open() {
    passes("forks", &["nothing-is-left-open"]);
}

#[test]
fn a_child_that_closed_all_keeps_what_it_has_opened_then() {
    passes("forks", &["child-closes-all"]);
}

#[test]
fn a_child_of_many_threads_finds_nothing_locked() {
    passes("threads", &["fork-meanwhile", &rounds(1000)]);
}

#[test]
fn a_lock_does_not_outlive_the_parent_in_a_child_that_says_it_is_one() {
    passes("forks", &["lock-is-the-parents"]);
}

#[test]
fn who_is_no_child_can_say_so_without_consequence() {
    passes("forks", &["no-child"]);
}

#[test]
fn a_daemon_is_replaced_although_its_child_lives_on() {
    let folder = Folder::new();
    let program = program(&folder, "forks");
    let pidfile = folder.path("d.pid");
    let start = || {
        succeed(command(&program).arg("daemon").arg(&pidfile));
        let daemon = Daemon::of(&pidfile);
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.pid));
        let child = children.unwrap().trim().parse().expect("one child");
        (daemon, Daemon::of_pid(child))
    };
    let (first, left) = start();
    first.stop();
    assert!(!is_locked(&pidfile) && !pidfile.exists());
    let (second, left_too) = start();
    left.signal(Signal::SIGUSR1);
    left.wait_end();
    assert!(is_locked(&pidfile));
    second.stop();
    left_too.signal(Signal::SIGUSR1);
    left_too.wait_end();
    assert!(!pidfile.exists());
}

#[test]
fn programs_that_are_executed_inherit_nothing_of_it() {
    passes("executed", &["daemon-with-everything"]);
}

#[test]
fn a_library_that_was_unloaded_still_sets_its_flags() {
    let folder = Folder::new();
    let program = folder.path("dlopened");
    let source = root().join("tests/programs/dlopened.c");
    succeed(compiler("c", "c11").arg(source).arg("-o").arg(&program).arg("-ldl"));
    succeed(command(&program).arg(prefix().join("lib/librsdaemon.so")));
}
