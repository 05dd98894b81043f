//! What the program inherits without asking, and what becomes of it.

mod common;

use std::{fs, os::unix::process::CommandExt, process::Command};

use common::{Daemon, rig::Rig, succeed};
use nix::libc;

#[test]
fn only_inherited_descriptors_are_closed_and_only_on_request() {
    let rig = Rig::new();
    let inherit = |arguments: &[&str]| {
        let mut command = rig.command(arguments);
        let [a, b] = ["a", "b"].map(|name| fs::File::create(rig.folder.path(name)).unwrap());
        // SAFETY: dup2(2) is async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                use std::os::fd::AsRawFd;
                libc::dup2(a.as_raw_fd(), 40);
                libc::dup2(b.as_raw_fd(), 41);
                Ok(())
            })
        };
        succeed(&mut command);
        Daemon::of(&rig.folder.path("d.pid"))
    };
    let daemon = inherit(&["pidfile=./d.pid", "close_inherited=1", "keep=41", "open=own"]);
    assert_eq!(daemon.fd(40), None);
    assert_eq!(daemon.fd(41).as_deref(), rig.folder.path("b").to_str());
    assert!(daemon.fds().iter().any(|fd| fd.1.ends_with("/own")));
    daemon.stop();

    let daemon = inherit(&["pidfile=./d.pid"]);
    assert!(daemon.fd(40).is_some());
    daemon.stop();

    // The program's own file on an inherited number.
    let own = ["close=40", "open=x", "pidfile=./d.pid", "close_inherited=1"];
    let daemon = inherit(&own);
    assert!(daemon.fds().iter().any(|fd| fd.1.ends_with("/x")));
    daemon.stop();
}

#[test]
fn sockets_passed_by_a_service_manager_are_kept() {
    let rig = Rig::new();
    let file = fs::File::create(rig.folder.path("socket")).unwrap();
    let script = "exec env LISTEN_PID=$$ LISTEN_FDS=1 \"$@\" 3>&0 4>&0";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(&rig.program);
    command.args(["pidfile=./d.pid", "close_inherited=1"]).current_dir(&rig.folder);
    assert!(command.stdin(file).status().unwrap().success());
    let daemon = Daemon::of(&rig.folder.path("d.pid"));
    assert_eq!(daemon.fd(3).as_deref(), rig.folder.path("socket").to_str());
    assert_ne!(daemon.fd(4).as_deref(), rig.folder.path("socket").to_str());
    daemon.stop();
}

#[test]
fn only_inherited_signal_state_is_reset_and_only_on_request() {
    let rig = Rig::new();
    let inherit = |arguments: &[&str]| {
        let mut command = rig.command(arguments);
        // SAFETY: signal(2) and sigprocmask(2) are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGUSR1, libc::SIG_IGN);
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&mut set);
                libc::sigaddset(&mut set, libc::SIGUSR2);
                libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
                Ok(())
            })
        };
        succeed(&mut command);
        let daemon = Daemon::of(&rig.folder.path("d.pid"));
        let bits = |name| u64::from_str_radix(&daemon.status(name), 16).unwrap();
        let state = [
            bits("SigIgn") & 1 << 9 != 0,
            bits("SigBlk") & 1 << 11 != 0,
            bits("SigIgn") & 1 << 27 != 0,
        ];
        daemon.stop();
        state
    };
    // 28 is WINCH, which the program ignores itself.
    assert_eq!(inherit(&["pidfile=./d.pid", "ignore=28"]), [true, true, true]);
    let reset = ["pidfile=./d.pid", "ignore=28", "reset_signals=1"];
    assert_eq!(inherit(&reset), [false, false, true]);
}

#[test]
fn resetting_signals_leaves_the_flags_alone() {
    let rig = Rig::new();
    let mut command = rig.command(&["flags-first=1", "pidfile=./d.pid", "reset_signals=1"]);
    // SAFETY: signal(2) is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            Ok(())
        })
    };
    succeed(&mut command);
    let daemon = Daemon::of(&rig.folder.path("d.pid"));
    let caught = u64::from_str_radix(&daemon.status("SigCgt"), 16).unwrap();
    assert_ne!(caught & 1 << 12, 0, "PIPE has its empty handler: {caught:x}");
    daemon.stop();
}
