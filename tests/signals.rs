//! What signals do after the calls of this library, as a C program sees it.

mod common;

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use common::{Child, Folder, command, passes, program, succeed};
use nix::{
    libc,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Starts the program, waits for its first line, sends the signals and expects status 0.
fn send(mut command: Command, signals: &[Signal]) {
    let mut child = Child(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    for &signal in signals {
        kill(Pid::from_raw(child.pid()), signal).unwrap();
    }
    assert!(child.wait().success());
}

fn in_mode(folder: &Folder, mode: &str) -> Command {
    let mut command = command(&program(folder, "signals"));
    command.arg(mode);
    command
}

#[test]
fn signals_set_their_flags_and_nothing_else() {
    let folder = Folder::new();
    succeed(&mut in_mode(&folder, "flags"));
}

#[test]
fn without_a_shutdown_flag_nothing_is_changed() {
    let folder = Folder::new();
    succeed(&mut in_mode(&folder, "null"));
}

#[test]
fn without_a_reload_flag_hangup_is_ignored_by_this_program_only() {
    let folder = Folder::new();
    succeed(&mut in_mode(&folder, "no-reload"));
}

#[test]
fn sleep_in_old_code_is_interrupted() {
    let folder = Folder::new();
    // Sent until it ends: the first may come between the line and the sleep.
    let mut command = in_mode(&folder, "sleep");
    let mut child = Child(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    common::until("it ends", || {
        let _ = kill(Pid::from_raw(child.pid()), Signal::SIGTERM);
        common::has_ended_within(child.pid(), std::time::Duration::from_millis(50))
    });
    assert!(child.wait().success());
}

#[test]
fn signals_that_were_inherited_blocked_or_ignored_work() {
    let folder = Folder::new();
    let inherit = |block: bool| {
        let mut command = in_mode(&folder, "flags");
        // SAFETY: signal(2) and sigprocmask(2) are async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&mut set);
                for signo in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
                    if block {
                        libc::sigaddset(&mut set, signo);
                    } else {
                        libc::signal(signo, libc::SIG_IGN);
                    }
                }
                libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
                Ok(())
            })
        };
        succeed(&mut command);
    };
    inherit(true);
    inherit(false);
}

#[test]
fn a_storm_of_one_signal_does_not_displace_another() {
    let folder = Folder::new();
    let mut storm = vec![Signal::SIGHUP; 100_000];
    storm.push(Signal::SIGTERM);
    send(in_mode(&folder, "storm"), &storm);
}

#[test]
fn each_signal_sets_its_variable_to_its_value_and_wakes() {
    passes("flag_signal", &["value"]);
}

#[test]
fn what_is_no_signal_or_cannot_be_one_is_refused_and_nothing_is_changed() {
    passes("flag_signal", &["arguments"]);
}

#[test]
fn a_flagged_signal_is_unblocked_in_the_calling_thread() {
    passes("flag_signal", &["unblocks"]);
}

#[test]
fn a_flagged_signal_interrupts_system_calls() {
    passes("flag_signal", &["interrupts"]);
}

#[test]
fn with_the_restart_option_system_calls_that_can_go_on() {
    passes("flag_signal", &["restarts"]);
}

#[test]
fn an_ignored_signal_does_nothing_and_system_calls_go_on() {
    passes("flag_signal", &["ignored"]);
}

#[test]
fn restore_puts_back_handler_ignore_default_and_block() {
    passes("flag_signal", &["restore"]);
}

#[test]
fn restore_leaves_what_the_program_has_installed_since() {
    passes("flag_signal", &["restore-keeps-newer"]);
}

#[test]
fn a_second_signal_ends_the_process_if_that_is_wanted() {
    passes("flag_signal", &["second-ends"]);
}

#[test]
fn options_are_set_as_a_whole_and_unknown_ones_refused() {
    passes("flag_signal", &["options"]);
}

/// The failures come from a filter of system calls, which would be in the way of valgrind's own.
fn with_a_filter(case: &str) {
    if common::test_with() != "valgrind" {
        passes("flag_signal", &[case]);
    }
}

#[test]
fn when_sigaction_fails_nothing_is_changed() {
    with_a_filter("sigaction-fails");
}

#[test]
fn when_the_signal_mask_cannot_be_changed_nothing_is() {
    with_a_filter("sigmask-fails");
}

#[test]
fn signals_are_told_the_lowest_first_with_their_number() {
    passes("arrivals", &["order"]);
}

#[test]
fn who_asks_for_the_next_signal_without_room_for_it_is_refused() {
    passes("arrivals", &["arguments"]);
}

#[test]
fn the_sender_of_the_latest_signal_is_told() {
    passes("arrivals", &["sender"]);
}

#[test]
fn a_sender_is_told_with_its_real_user() {
    passes("arrivals", &["sender-is-another-user"]);
}

#[test]
fn a_sender_that_cannot_be_seen_from_here_is_pid_0() {
    passes("arrivals", &["sender-cannot-be-seen"]);
}

#[test]
fn a_timer_and_a_descriptor_are_pid_0() {
    passes("arrivals", &["kernel"]);
}

#[test]
fn all_real_time_signals_can_be_flagged() {
    passes("arrivals", &["all-real-time"]);
}

#[test]
fn queued_real_time_signals_are_counted_exactly() {
    passes("arrivals", &["queued"]);
}

#[test]
fn in_a_storm_of_one_signal_both_are_told_and_counted() {
    let folder = Folder::new();
    let mut command = command(&program(&folder, "arrivals"));
    let mut child = Child(command.arg("storm").stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    for _ in 0..100_000 {
        kill(Pid::from_raw(child.pid()), Signal::SIGHUP).unwrap();
    }
    kill(Pid::from_raw(child.pid()), Signal::SIGTERM).unwrap();
    let hangups: u32 = lines.next().unwrap().unwrap().parse().unwrap();
    assert!((1..=100_000).contains(&hangups), "{hangups}");
    println!("{hangups} of 100000 told");
    assert!(child.wait().success());
}
