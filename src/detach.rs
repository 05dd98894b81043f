//! Background or foreground, from what whoever executed this very process has set for it: an old parent's number, or
//! what another process was told, says nothing.

use core::ffi::CStr;

use nix::unistd::getpid;

use crate::{sockets, sys::load, text};

/// What a program may ask for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Detach {
    Always,
    Never,
    Automatic,
}

/// What it is, and why, for a person.
#[derive(Clone, Copy)]
pub struct Choice {
    pub is_foreground: bool,
    pub why: &'static str,
}

const ASKED: &str = "the program has asked for it";

/// `waits_on_fd`: the program was told of a descriptor on which a supervisor waits.
pub fn choose(wanted: Detach, waits_on_fd: bool) -> Choice {
    let foreground = |why| Choice { is_foreground: true, why };
    let background = |why| Choice { is_foreground: false, why };
    let is_set = |name| load::environment(name).is_some();
    match wanted {
        Detach::Always => background(ASKED),
        Detach::Never => foreground(ASKED),
        _ if getpid().as_raw() == 1 => foreground("this is process 1"),
        _ if waits_on_fd => foreground("a supervisor waits on a notification descriptor"),
        _ if is_this_process(c"SYSTEMD_EXEC_PID") && is_set(c"PIDFILE") => {
            background("systemd waits for this process to leave a daemon behind (PIDFILE)")
        }
        _ if is_this_process(c"SYSTEMD_EXEC_PID") => {
            foreground("systemd has executed this process (SYSTEMD_EXEC_PID)")
        }
        _ if is_this_process(c"LISTEN_PID") => {
            foreground("sockets were passed to this process (LISTEN_PID)")
        }
        _ if is_set(c"NOTIFY_SOCKET") && !was_executed_for_another() => {
            foreground("a service manager waits for this process (NOTIFY_SOCKET)")
        }
        _ if sockets::is_under_inetd() => foreground("stdin is a socket, as under inetd"),
        _ => background("no supervisor has said that it waits for this process"),
    }
}

/// Whether systemd has executed another process: what that has handed down is not meant for this one.
pub fn was_executed_for_another() -> bool {
    load::environment(c"SYSTEMD_EXEC_PID").is_some() && !is_this_process(c"SYSTEMD_EXEC_PID")
}

/// Whether the variable has the number of this process.
pub fn is_this_process(name: &CStr) -> bool {
    let number = load::environment(name).and_then(|pid| text::number(pid.to_bytes()));
    number == Some(getpid().as_raw() as u32)
}
