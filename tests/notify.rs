//! What a service manager is told, as it arrives on NOTIFY_SOCKET.

mod common;

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    process::{Command, Stdio},
};

use common::{
    Child, Daemon, Folder, command, fail_with, foreground::Foreground, is_root, manager::Manager,
    program, read, run, skip, test_with, text, until,
};
use nix::{libc, sys::signal::Signal};

fn monotonic_us() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

#[test]
fn a_daemon_in_the_foreground_tells_how_it_is_doing_from_start_to_end() {
    let manager = Manager::new();
    let mut command = manager.command(&["foreground=1", "status=opening\nMAINPID=1"]);
    let daemon = Foreground::start(&manager.folder, &mut command, "ready: 0\n");
    manager.assert_told("STATUS=opening?MAINPID=1"); // no second line can be forged
    manager.assert_told("READY=1");

    let before = monotonic_us();
    daemon.process.signal(Signal::SIGHUP);
    let told = manager.told();
    let usec = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    let usec = usec.parse::<u64>().unwrap();
    assert!((before..=monotonic_us()).contains(&usec), "{usec} {before}");
    manager.assert_told("READY=1\nSTATUS=opening?MAINPID=1");

    fs::write(manager.folder.path("bad"), "").unwrap();
    daemon.process.signal(Signal::SIGHUP);
    manager.told();
    manager.assert_told("READY=1\nSTATUS=the reload has failed: it is bad");

    daemon.process.signal(Signal::SIGUSR1); // no loop, no word
    manager.assert_told_no_more();
    daemon.kill();
}

#[test]
fn the_end_is_told_once() {
    let manager = Manager::new();
    let mut command = manager.command(&["foreground=1"]);
    let daemon = Foreground::start(&manager.folder, &mut command, "ready: 0\n");
    manager.assert_told("READY=1");
    daemon.stop();
    manager.assert_told("STOPPING=1");
    manager.assert_told_no_more();
}

#[test]
fn from_the_background_the_launcher_hands_over_to_the_daemon_and_waits_until_that_is_read() {
    let manager = Manager::new();
    let mut command = manager.command(&["pidfile=./d.pid"]);
    let mut launcher = Child::start(command.stdout(Stdio::null()));
    let told = manager.told();
    let daemon = Daemon::of(&manager.folder.path("d.pid"));
    assert_eq!(told, format!("MAINPID={}\nREADY=1", daemon.pid));
    // The barrier is a descriptor that is to be closed.
    assert!(launcher.0.try_wait().unwrap().is_none());
    manager.assert_told("BARRIER=1");
    assert_eq!(launcher.wait().code(), Some(0));
    daemon.stop();
    manager.assert_told("STOPPING=1");
}

#[test]
fn what_another_process_was_executed_for_does_not_get_a_new_main_process() {
    let manager = Manager::new();
    let mut command = manager.command(&["pidfile=./d.pid"]);
    let mut launcher = Child::start(command.env("SYSTEMD_EXEC_PID", "1").stdout(Stdio::null()));
    manager.assert_told("READY=1");
    manager.assert_told("BARRIER=1");
    launcher.wait();
    Daemon::of(&manager.folder.path("d.pid")).stop();
}

#[test]
fn why_there_is_no_daemon_is_told_with_its_status() {
    for foreground in ["foreground=1", "foreground=0"] {
        let manager = Manager::new();
        let mut command = manager.command(&[foreground, "fail=3:no interface\nREADY=1"]);
        fail_with(3, &mut command);
        manager.assert_told("STATUS=no interface?READY=1\nEXIT_STATUS=3");
        manager.assert_told_no_more();
    }
}

#[test]
fn an_error_of_the_start_is_told_with_its_errno() {
    let manager = Manager::new();
    let mut command = manager.command(&["pidfile=missing/d.pid"]);
    let sentence = fail_with(1, &mut command);
    let sentence = sentence.trim_end().rsplit_once("supervised: ").unwrap().1;
    manager.assert_told(&format!("STATUS={sentence}\nERRNO={}", libc::ENOENT));
    manager.assert_told_no_more();
}

#[test]
fn without_rsd_daemonize_it_is_ready_all_the_same_and_once() {
    let manager = Manager::new();
    let mut command = manager.command(&["start=0"]);
    let daemon = Foreground::start(&manager.folder, &mut command, "ready: 0\n");
    manager.assert_told("READY=1");
    daemon.stop();
}

#[test]
fn an_abstract_socket_is_told_too() {
    let folder = Folder::new();
    let name = format!("rsdaemon-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::with(folder, UnixDatagram::bind_addr(&address).unwrap());
    let mut command = manager.command(&["foreground=1", "notify=STATUS=here"]);
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let daemon = Foreground::start(&manager.folder, &mut command, "notify: 1\n");
    manager.assert_told("STATUS=here");
    manager.assert_told("READY=1");
    daemon.stop();
}

#[test]
fn without_a_manager_all_succeeds_and_nothing_happens() {
    let folder = Folder::new();
    let program = program(&folder, "supervised");
    let mut command = command(&program);
    command.args(["foreground=1", "notify=STATUS=x", "barrier=1000", "status=y"]);
    let daemon = Foreground::start(&folder, command.current_dir(&folder), "ready: 0\n");
    let output = daemon.stop();
    assert_eq!(output, "notify: 0\nbarrier: 0\nready: 0\n");
}

#[test]
fn an_address_that_is_none_is_an_error_of_who_is_ready() {
    let folder = Folder::new();
    let program = program(&folder, "supervised");
    let long = format!("/{}", "x".repeat(108));
    for (address, why) in [
        ("relative", "Invalid argument"),
        ("@", "Invalid argument"),
        ("", "Invalid argument"),
        ("vsock:1", "Invalid argument"),
        ("vsock:x:2", "Invalid argument"),
        (long.as_str(), "File name too long"),
        ("/nowhere/notify", "No such file or directory"),
    ] {
        let mut command = command(&program);
        command.arg("foreground=1").env("NOTIFY_SOCKET", address).current_dir(&folder);
        let message = fail_with(1, &mut command);
        assert!(message.ends_with(&format!("{address}: {why}")), "{message}");
        assert!(message.contains("cannot tell the service manager at"), "{message}");
    }
}

#[test]
fn a_manager_that_listens_anew_and_a_program_that_closes_all_are_no_hindrance() {
    let mut manager = Manager::new();
    let mut command = manager.command(&["foreground=1", "close-all=1"]);
    let daemon = Foreground::start(&manager.folder, &mut command, "ready: 0\n");
    manager.assert_told("READY=1");
    fs::remove_file(manager.folder.path("notify")).unwrap();
    manager.socket = UnixDatagram::bind(manager.folder.path("notify")).unwrap();
    // A program that another test is about to execute may have the old one for a moment.
    manager.socket.set_nonblocking(true).unwrap();
    let mut told = [0; 12];
    until("it is told", || {
        daemon.process.signal(Signal::SIGHUP);
        manager.socket.recv(&mut told).is_ok()
    });
    assert_eq!(&told, b"RELOADING=1\n");
    daemon.stop();
}

#[test]
fn after_chroot_the_manager_is_still_told() {
    if !is_root() {
        return skip("needs root for chroot");
    }
    let manager = Manager::new();
    let mut command = manager.command(&["foreground=1", "chroot=/proc"]);
    let daemon = Foreground::start(&manager.folder, &mut command, "ready: 0\n");
    manager.assert_told("READY=1");
    daemon.stop();
    manager.assert_told("STOPPING=1");
}

/// What is mentioned only is left out; a word that counts waits for room, and says so when there is none.
#[test]
fn a_manager_that_does_not_read_keeps_nobody_waiting_for_long() {
    let manager = Manager::new();
    // As many as its queue takes, not only as one sender may send.
    loop {
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        if sender.send_to(b"X=1", manager.folder.path("notify")).is_err() {
            break;
        }
    }
    let mut command = manager.command(&["foreground=1", "status=1", "status=2"]);
    let message = fail_with(1, &mut command);
    assert!(message.contains("Resource temporarily unavailable"), "{message}");
}

#[test]
fn a_barrier_that_nobody_lets_through_is_over_in_time() {
    let manager = Manager::new();
    let message = fail_with(1, &mut manager.command(&["foreground=1", "barrier=50"]));
    assert!(message.contains("has not read in time"), "{message}");
    manager.assert_told("BARRIER=1");
}

#[test]
fn a_supervisor_on_a_descriptor_gets_one_newline_when_the_daemon_is_ready() {
    for foreground in ["foreground=1", "foreground=2"] {
        let folder = Folder::new();
        let program = program(&folder, "supervised");
        let fifo = folder.path("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "exec 7<>fifo; exec \"$@\"", "sh"]).arg(&program);
        let tool = common::command(&program);
        command.envs(tool.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.args([foreground, "notify_fd=7"]).current_dir(&folder);
        let reader = fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
        let daemon = Foreground::start(&folder, &mut command, "ready: 0\n");
        let fds = daemon.process.fds();
        assert!(!fds.iter().any(|fd| fd.1.ends_with("/fifo")), "{fds:?}");
        let mut told = [0; 8];
        assert_eq!(nix::unistd::read(&reader, &mut told), Ok(1));
        assert_eq!(told[0], b'\n');
        daemon.stop();
    }
}

#[test]
fn a_notification_descriptor_that_is_not_open_is_refused() {
    let folder = Folder::new();
    let program = program(&folder, "supervised");
    for (fd, why) in [
        ("77", "Bad file descriptor"),
        ("1", "notify_fd is out of range"),
        ("-1", "notify_fd is out of range"),
    ] {
        let mut command = command(&program);
        let message = fail_with(1, command.args([&format!("notify_fd={fd}")]));
        assert!(message.contains(why), "{message}");
    }
}

/// There is no other machine here that could listen, so what the kernel would do is left out: this is what it is asked.
#[test]
fn a_vsock_gets_each_message_on_a_connection_of_its_own() {
    if !test_with().is_empty() {
        return; // strace would show the tool's calls
    }
    let folder = Folder::new();
    let program = program(&folder, "supervised");
    let strace = || {
        let mut strace = Command::new("strace");
        strace.arg("-o").arg(folder.path("trace")).stdin(Stdio::null());
        strace
    };
    for (address, kind) in
        [("vsock-stream:7:77", "SOCK_STREAM"), ("vsock-seqpacket:7:77", "SOCK_SEQPACKET")]
    {
        let mut strace = strace();
        strace.args(["-e", "inject=socket:retval=0"]);
        strace.args([
            "-e",
            "inject=connect,setsockopt,shutdown:retval=0",
            "-e",
            "inject=sendmsg:retval=10",
        ]);
        strace.arg(&program).args(["foreground=1", "notify=STATUS=far", "exit=0"]);
        let output =
            run(strace.env("NOTIFY_SOCKET", address).current_dir(&folder).stdin(Stdio::null()));
        assert_eq!(text(&output.stdout), "notify: 1\n");
        let trace = read(&folder.path("trace"));
        let calls: Vec<_> = trace.lines().filter(|line| line.contains("INJECTED")).collect();
        let asked = calls.join("\n");
        assert!(asked.contains(&format!("socket(AF_VSOCK, {kind}|SOCK_CLOEXEC, 0)")), "{asked}");
        assert!(
            asked.contains("{sa_family=AF_VSOCK, svm_cid=0x7, svm_port=0x4d, svm_flags=0}, 16)"),
            "{asked}"
        );
        assert!(asked.contains("iov_base=\"STATUS=far\""), "{asked}");
        assert!(asked.contains("SHUT_WR)"), "{asked}");
    }
    // Without a kind the first that the kernel has.
    let mut strace = strace();
    strace.args(["-e", "inject=socket:error=ENODEV"]).arg(&program);
    strace.args(["foreground=1", "notify=STATUS=far"]).env("NOTIFY_SOCKET", "vsock:7:77");
    let message = fail_with(1, &mut strace);
    assert!(message.starts_with("cannot tell the service manager at vsock:7:77: No such device"));
    let trace = read(&folder.path("trace"));
    let kinds = trace.lines().filter_map(|line| line.strip_prefix("socket(AF_VSOCK, SOCK_"));
    let kinds: Vec<_> = kinds.map(|rest| rest.split('|').next().unwrap()).take(3).collect();
    assert_eq!(kinds, ["DGRAM", "SEQPACKET", "STREAM"]);
}
