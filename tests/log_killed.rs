//! A program that is killed at any system call of its log, by what strace(1) injects.

mod common;

use std::{fs, os::unix::process::ExitStatusExt, process::Command};

use common::{Folder, command, program, run, skip, succeed, test_with};
use nix::libc;

#[test]
fn no_line_is_lost_at_whichever_call_the_program_is_killed() {
    if !test_with().is_empty() {
        return; // the calls are those of a plain program
    }
    if Command::new("strace").arg("-V").output().is_err() {
        return skip("there is no strace");
    }
    let home = Folder::new();
    let program = program(&home, "log_killed");
    for call in 1.. {
        let folder = Folder::new();
        let mut killed = Command::new("strace");
        killed.args(["-o", "/dev/null", "-e", &format!("inject=all:signal=KILL:when={call}")]);
        killed.arg(&program).arg("progress").current_dir(&folder);
        let status = run(&mut killed).status;
        let is_killed = status.signal() == Some(libc::SIGKILL);
        assert!(is_killed || status.success(), "killed at call {call}: {status}");
        let mut again = command(&program);
        succeed(again.args(["progress", "check"]).current_dir(&folder));
        let _ = fs::remove_dir_all(&folder);
        if !is_killed {
            assert!(call > 100, "it makes only {call} calls");
            break;
        }
    }
}
