//! Signal flags, as a C program sees them.

mod common;

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use common::{Child, Folder, command, program, succeed};
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
fn without_a_reload_flag_hangup_is_ignored() {
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
