//! rsd_drop_privileges() when system calls fail.

mod common;

use std::{fs, process::Command};

use common::{
    drop::{Rig, refusal},
    run, test_with, text,
};
use nix::libc::{ENOSYS, EPERM, EPROTO};

/// Each call fails, or does nothing and says that it worked: once, and whenever it is made. What the program is told
/// in the end is the truth.
#[test]
fn whatever_fails_nobody_is_told_success_who_is_not_what_was_asked_for() {
    let Some(rig) = Rig::new() else { return };
    if !test_with().is_empty() {
        return; // strace would show the tool's calls
    }
    fs::create_dir_all(rig.folder.path("jail")).unwrap();
    let keep = "capabilities=net_bind_service,net_raw";
    let all =
        [keep, "ambient", "user=nobody", "groups=adm,audio", "root=jail", "no_new_privileges"];
    let ids =
        ["setgroups", "setresgid", "setresuid", "getresuid", "getresgid", "getgroups", "setuid"];
    let root = ["chroot", "chdir", "fchdir", "capset", "capget", "unshare"];
    let root_without_ids = ["capset", "capget", "unshare"];
    for (options, calls) in [
        (&all[..], &[&ids[..], &root].concat()[..]),
        (
            &[&all[..4], &["no_new_privileges", "threads=2"]].concat(),
            &[&ids[..], &["seccomp"]].concat(),
        ),
        (
            &["user=nobody", "root=jail", "no_new_privileges", "threads=2"],
            &["getdents64", "lseek", "read", "statx"],
        ),
        (&[keep], &root_without_ids),
        (&["user=nobody", "groups="], &ids),
    ] {
        let (_, truth) = injected(&rig, options, "capset", None);
        assert!(truth.starts_with("dropped\n"), "{options:?}: {truth}");
        for call in calls {
            let mut refused = 0;
            for fault in ["error=EPERM", "error=EINVAL", "error=ENOSYS", "retval=0"] {
                let each = (1..=14).chain((15..).step_by(3)).map(|when| when.to_string());
                for when in std::iter::once("1+".to_owned()).chain(each) {
                    let inject = format!("{call}:{fault}:when={when}");
                    let (was_injected, said) = injected(&rig, options, call, Some(&inject));
                    if !was_injected {
                        break;
                    }
                    // The dynamic loader makes such calls, too.
                    let is_loaders = said.contains("error while loading shared libraries")
                        || said.contains("symbol lookup error");
                    if !is_loaders {
                        refused += check_truth(&inject, &said, &truth);
                    }
                }
            }
            // The fault is felt, but where not to be able to ask is no reason.
            let may_fail = ["unshare", "chdir", "lseek", "statx"].contains(call);
            assert!(refused > 0 || may_fail, "{options:?} {call}");
        }
    }
}

/// As above for prctl(2), which is called hundreds of times: some of these.
#[test]
fn whatever_prctl_says_nobody_is_told_success_who_is_not_what_was_asked_for() {
    let Some(rig) = Rig::new() else { return };
    if !test_with().is_empty() {
        return; // strace would show the tool's calls
    }
    let keep = "capabilities=net_bind_service,net_raw";
    for options in [
        &[keep, "ambient", "user=nobody", "no_new_privileges"][..],
        &[keep, "ambient", "user=nobody", "no_new_privileges", "threads=1"],
        &["user=nobody"],
        &["null"],
    ] {
        let (_, truth) = injected(&rig, options, "prctl", None);
        assert!(truth.starts_with("dropped\n"), "{options:?}: {truth}");
        for fault in ["error=EPERM", "error=EINVAL", "error=ENOSYS", "retval=0"] {
            let mut refused = 0;
            // From some call on, and some alone.
            for when in ["1+", "70+", "140+", "210+", "280+", "350+"] {
                let inject = format!("prctl:{fault}:when={when}");
                refused += check_truth(
                    &inject,
                    &injected(&rig, options, "prctl", Some(&inject)).1,
                    &truth,
                );
            }
            assert!(refused > 0, "{options:?} {fault}");
            for when in (1..).step_by(23) {
                let inject = format!("prctl:{fault}:when={when}");
                let (was_injected, said) = injected(&rig, options, "prctl", Some(&inject));
                if !was_injected {
                    break;
                }
                check_truth(&inject, &said, &truth);
            }
        }
    }
}

/// Whether the call was tampered with before the program had its result, and what it said. Addresses and numbers of
/// threads are not in it.
fn injected(rig: &Rig, options: &[&str], call: &str, inject: Option<&str>) -> (bool, String) {
    let trace = rig.folder.path("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&trace);
    command.args(["-e", &format!("trace={call},write")]);
    if let Some(inject) = inject {
        command.args(["-e", &format!("inject={inject}")]);
    }
    command.arg(&rig.program).args(options).args(["-", "truth"]).current_dir(&rig.folder);
    let output = run(&mut command);
    let trace = common::read(&trace);
    let calls = trace.split("write(1, \"").next().unwrap();
    (calls.contains("(INJECTED)"), text(&output.stdout) + &text(&output.stderr))
}

/// The calls by which the program looks what it may.
const LOOKS: [&str; 4] = ["getdents64", "lseek", "prctl", "read"];

/// 1 if it was refused.
#[track_caller]
fn check_truth(inject: &str, said: &str, truth: &str) -> i32 {
    match refusal(said) {
        Some((errno, sentence)) => {
            assert!(errno > 0 && sentence.len() > 10, "{inject}: {said}");
            // Who looks whether anything has changed is deceived, too, where all calls are.
            let is_seen =
                !inject.ends_with('+') || !LOOKS.contains(&inject.split(':').next().unwrap());
            if is_seen && ![EPERM, ENOSYS, EPROTO].contains(&errno) {
                assert!(said.ends_with("\nunchanged\n"), "{inject}: {said}");
            }
            1
        }
        None => {
            assert_eq!(said, truth, "{inject}");
            0
        }
    }
}
