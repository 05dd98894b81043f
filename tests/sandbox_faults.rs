//! rsd_sandbox() when system calls fail.

mod common;

use std::{fs, process::Command};

use common::{is_root, run, sandbox::Rig, skip, test_with, text};

/// What a process in the sandbox below may not do: the result is another one.
const TAKEN_AWAY: [(&str, &str); 6] = [
    ("read:/etc/passwd", "0"),
    ("write:d/f", "0"),
    ("exec:/bin/true", "0"),
    ("root", "0"),
    ("namespace", "0"),
    ("uid", "0"),
];

const CALLS: [&str; 19] = [
    "capget",
    "capset",
    "getgroups",
    "getresgid",
    "getresuid",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "newfstatat",
    "openat",
    "prctl",
    "prlimit64",
    "read",
    "seccomp",
    "setgroups",
    "setresgid",
    "setresuid",
    "setuid",
    "unshare",
];

/// Each call fails in turn: who is told success is confined, and so is a command that is executed.
#[test]
fn whatever_fails_nobody_is_told_success_who_is_not_confined() {
    if !is_root() {
        return skip("needs root, which is given up");
    }
    if !test_with().is_empty() {
        return; // strace would show the tool's calls
    }
    let rig = Rig::new();
    for (how, access, promises) in [
        ("now", "access=r:d", "promises=stdio rpath proc exec"),
        ("run", "access=rx:/usr rx:/lib rx:/lib64 rx:.", "promises=stdio rpath proc exec"),
    ] {
        let mut refused = 0;
        for call in CALLS {
            for (errno, step) in [("EPERM", 17), ("EINVAL", 1000)] {
                for when in (1..=8).step_by(1 + step / 500).chain((9..).step_by(step)) {
                    let inject = format!("{call}:error={errno}:when={when}");
                    let (was_injected, said) = injected(&rig, how, &[access, promises], &inject);
                    if !was_injected {
                        break;
                    }
                    refused += usize::from(said.contains("refused "));
                    for (action, free) in TAKEN_AWAY {
                        let is_free = said.contains(&format!("{action} {free}\n"));
                        assert!(!is_free, "{how} {inject}: {said}");
                    }
                }
            }
        }
        assert!(refused > 60, "{how}: {refused}");
    }
}

/// Whether the call was tampered with, and what was said.
fn injected(rig: &Rig, how: &str, options: &[&str], inject: &str) -> (bool, String) {
    let trace = rig.folder.path("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&trace).args(["-e", &format!("inject={inject}")]);
    command.arg(&rig.program).args([how, "user=65534"]).args(options).arg("-");
    command.args(TAKEN_AWAY.map(|(action, _)| action));
    let output = run(command.current_dir(&rig.folder));
    let trace = fs::read_to_string(&trace).unwrap();
    (trace.contains("(INJECTED)"), text(&output.stdout) + &text(&output.stderr))
}
