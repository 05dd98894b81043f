//! Descriptors 0, 1 and 2, and the log file.

mod common;

use std::{fs, os::unix::fs::MetadataExt, process::Command};

use common::{Daemon, fail_with, is_root, rig::Rig, skip, succeed, text};
use nix::libc;

#[test]
fn what_stdio_has_buffered_is_written_once() {
    let rig = Rig::new();
    let output = succeed(&mut rig.command(&["print=hello", "simple=d.pid"]));
    assert_eq!(text(&output.stdout), "hello");
    Daemon::of(&rig.folder.path("d.pid")).stop();
}

#[test]
fn closed_stdio_is_on_dev_null_and_nothing_of_the_library_is_there() {
    for closed in [&["close=0"][..], &["close=1"], &["close=2"], &["close=0", "close=1", "close=2"]]
    {
        let rig = Rig::new();
        let arguments: Vec<_> = closed.iter().chain(&["simple=d.pid"]).copied().collect();
        let daemon = rig.start(&arguments);
        for number in 0..3 {
            assert_eq!(daemon.fd(number).as_deref(), Some("/dev/null"), "{closed:?}");
        }
        daemon.stop();
    }
}

#[test]
fn kept_stdio_that_was_closed_is_filled() {
    if common::test_with() == "valgrind" {
        return; // valgrind opens its log there after the fork
    }
    let rig = Rig::new();
    let daemon = rig.start(&["close=1", "pidfile=./d.pid", "stdio=2"]);
    assert_eq!(daemon.fd(1).as_deref(), Some("/dev/null"));
    assert_ne!(daemon.fd(2).as_deref(), Some("/dev/null"));
    daemon.stop();
}

#[test]
fn output_goes_to_the_log_file_at_once_or_when_ready() {
    let rig = Rig::new();
    let daemon = rig.start(&["pidfile=./d.pid", "log_file=d.log", "say=hello"]);
    let log = rig.folder.path("d.log");
    assert_eq!(fs::read_to_string(&log).unwrap(), "hello\n");
    assert_eq!(fs::metadata(&log).unwrap().mode() & 0o777, 0o640);
    daemon.stop();

    let kept = ["pidfile=./d.pid", "log_file=d.log", "stdio=3", "say=on the terminal"];
    let output = succeed(&mut rig.command(&kept));
    assert_eq!(text(&output.stderr), "on the terminal\n");
    let daemon = Daemon::of(&rig.folder.path("d.pid"));
    assert_eq!(fs::read_to_string(&log).unwrap(), "hello\n");
    assert_eq!(daemon.fd(1).as_deref(), log.to_str());
    assert_eq!(daemon.fd(2).as_deref(), log.to_str());
    assert_eq!(daemon.fd(0).as_deref(), Some("/dev/null"));
    daemon.stop();
}

#[test]
fn a_log_file_that_is_none_is_refused() {
    let rig = Rig::new();
    let fifo = rig.folder.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let message = fail_with(1, &mut rig.command(&["log_file=fifo"]));
    assert!(message.contains("fifo as log file: it is not a regular file"), "{message}");
    let message = fail_with(1, &mut rig.command(&["log_file=/dev/full"]));
    assert!(message.contains("it is not a regular file"), "{message}");
    std::os::unix::fs::symlink("target", rig.folder.path("link")).unwrap();
    let message = fail_with(1, &mut rig.command(&["log_file=link"]));
    assert!(message.contains("cannot open the log file link"), "{message}");
    assert!(!rig.folder.path("target").exists());
}

#[test]
fn a_null_device_that_is_none_is_refused() {
    if !is_root() {
        return skip("needs root for a mount namespace");
    }
    let rig = Rig::new();
    let run = |prepare: &str| {
        let script = format!("mount -t tmpfs none /dev && {prepare} exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]).arg(&rig.program).arg("simple=");
        fail_with(1, command.current_dir(&rig.folder))
    };
    let missing = "cannot open /dev/null: No such file or directory";
    assert_eq!(run(""), format!("daemon: {} {missing}", libc::ENOENT));
    let file = "cannot use /dev/null: it is not the null device";
    assert_eq!(run(": > /dev/null;"), format!("daemon: {} {file}", libc::ENODEV));
    rig.assert_nothing_left();
}
