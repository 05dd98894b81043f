//! What whoever starts a daemon learns when it does not come up.

mod common;

use std::{fs, process::Command};

use common::{
    Child, Daemon, Folder, command, fail_with, is_root, program, rig::Rig, skip, succeed,
};
use nix::{
    libc,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

#[test]
fn an_ignored_sigchld_does_not_hide_how_the_daemon_ended() {
    let rig = Rig::new();
    let sentence = "the daemon exited with status 7 before it was ready";
    rig.refused(libc::ECHILD, sentence, &["ignore=17", "exit=7"]);
}

#[test]
fn a_daemon_that_dies_is_reported_with_how_it_died() {
    let rig = Rig::new();
    let pidfile = "pidfile=./d.pid";
    let exited = "the daemon exited with status 7 before it was ready";
    rig.refused(libc::ECHILD, exited, &[pidfile, "exit=7"]);
    let finished = "the daemon exited with status 0 before it was ready";
    rig.refused(libc::ECHILD, finished, &[pidfile, "exit=0"]);
    let killed = "the daemon was killed by SIGKILL before it was ready";
    rig.refused(libc::ECHILD, killed, &[pidfile, "die=9"]);
    rig.refused(libc::ECHILD, killed, &[pidfile, "session_leader=1", "die=9"]);
    // Whether there is a core dump depends on the machine.
    let message = fail_with(1, &mut rig.command(&[pidfile, "die=11"]));
    assert!(message.contains("the daemon was killed by SIGSEGV"), "{message}");
    rig.assert_nothing_left();
}

#[test]
fn a_daemon_that_dies_is_reported_although_its_child_lives_and_the_child_is_ended() {
    let rig = Rig::new();
    let sentence = "the daemon exited with status 7 before it was ready";
    rig.refused(libc::ECHILD, sentence, &["pidfile=./d.pid", "fork=1", "exit=7"]);
}

#[test]
fn a_daemon_that_gives_up_chooses_status_and_text() {
    let rig = Rig::new();
    let fail = ["pidfile=./d.pid", "name=scanner", "fail=3:no such interface: wlan0"];
    let message = fail_with(3, &mut rig.command(&fail));
    assert_eq!(message, "scanner: no such interface: wlan0");
    rig.assert_nothing_left();
    // 0 would be a lie.
    assert_eq!(fail_with(1, &mut rig.command(&["fail=0:nothing to do"])), "nothing to do");
    let long = format!("fail=2:{}", "x".repeat(10_000));
    assert_eq!(fail_with(2, &mut rig.command(&[&long])), "x".repeat(4096));
}

#[test]
fn a_ready_timeout_ends_the_half_started_daemon() {
    let rig = Rig::new();
    let sentence = "the daemon was not ready within 300 ms and was ended";
    let arguments = ["pidfile=./d.pid", "ready_timeout_ms=300", "fork=1", "hang=1"];
    rig.refused(libc::ETIMEDOUT, sentence, &arguments);
}

#[test]
fn a_program_that_closes_all_descriptors_is_told() {
    let rig = Rig::new();
    let sentence = "the daemon closed the descriptors of its library before it was ready";
    rig.refused(libc::EPIPE, sentence, &["pidfile=./d.pid", "close-all=1", "hang=1"]);
    // rsd_ready() tells the daemon, too.
    let sentence = "the daemon exited with status 6 before it was ready";
    rig.refused(libc::ECHILD, sentence, &["pidfile=./d.pid", "close-all=1"]);
}

#[test]
fn a_cancelled_start_takes_the_daemon_with_it() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        let rig = Rig::new();
        let up = rig.folder.path("up");
        let mark = format!("mark={}", up.display());
        let mut launcher =
            Child::start(&mut rig.command(&["pidfile=./d.pid", "fork=1", &mark, "hang=1"]));
        common::until("the daemon starts", || up.exists());
        kill(Pid::from_raw(launcher.pid()), signal).unwrap();
        let status = launcher.wait();
        let number = std::os::unix::process::ExitStatusExt::signal(&status);
        if common::test_with().is_empty() {
            assert_eq!(number, Some(signal as i32));
        }
        fs::remove_file(up).unwrap();
        rig.assert_nothing_left();
    }
}

#[test]
fn a_daemon_whose_launcher_was_killed_learns_it_and_ends() {
    let rig = Rig::new();
    // The daemon stops itself before it is ready, so that the launcher can be killed first.
    let up = rig.folder.path("up");
    let mark = format!("mark={}", up.display());
    let mut launcher =
        Child::start(&mut rig.command(&["pidfile=./d.pid", "log_file=d.log", &mark, "die=19"]));
    common::until("the daemon starts", || up.exists());
    let daemon = Daemon::of(&rig.folder.path("d.pid"));
    common::until("the daemon stops", || daemon.status("State").starts_with('T'));
    launcher.0.kill().unwrap();
    launcher.wait();
    // Under valgrind, which forks where we vfork, the middle process may take longer to end, and has the
    // launcher's end of the channel.
    common::until("only the daemon is left", || rig.processes() == [daemon.pid]);
    daemon.signal(Signal::SIGCONT);
    daemon.wait_end();
    common::until("no process is left", || rig.processes().is_empty());
    assert_eq!(rig.folder.names(), ["d.log", "daemon", "up"]);
}

#[test]
fn the_daemon_knows_its_processor() {
    let folder = Folder::new();
    let program = program(&folder, "processor");
    succeed(command(&program).args(["./d.pid", "log"]).current_dir(&folder));
    let log = fs::read_to_string(folder.path("log")).unwrap();
    assert!(!log.is_empty());
    for line in log.lines() {
        let (really, believed) = line.split_once(' ').unwrap();
        assert_eq!(really, believed, "{log}");
    }
}

#[test]
fn a_daemon_that_cannot_be_killed_does_not_hang_the_caller() {
    if !is_root() {
        return skip("needs root to drop the right to kill");
    }
    let rig = Rig::new();
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-kill", "--inh-caps=-kill"]).arg(&rig.program);
    command.args(["user=nobody", "ready_timeout_ms=200", "sleep=6"]).current_dir(&rig.folder);
    let message = fail_with(1, &mut command);
    assert!(
        message.ends_with("and was ended; not all of its processes could be ended"),
        "{message}"
    );
    for pid in rig.processes() {
        drop(Daemon::of_pid(pid));
    }
}
