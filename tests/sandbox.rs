//! All that a daemon gives up in one call: what was taken away is tried and refused, what was kept works, and the
//! report says what is so.

mod common;

use std::{collections::BTreeMap, ffi::OsStr, process::Command};

use common::{
    Daemon, is_root, read, run,
    sandbox::{Rig, STRANGER, as_stranger, as_user, results, said},
    skip, test_with, until,
};
use nix::libc::{EACCES, EBUSY, EINVAL, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, SIGSYS};

/// valgrind does not know Landlock, and its own calls would be refused.
fn is_filtered() -> bool {
    test_with() != "valgrind"
}

#[track_caller]
fn assert_results<const N: usize>(said: &BTreeMap<String, i64>, expected: [(&str, i32); N]) {
    for (action, result) in expected {
        assert_eq!(said.get(action), Some(&i64::from(result)), "{action} of {said:?}");
    }
    assert_eq!(said.len(), N, "{said:?}");
}

const EVERYTHING: [&str; 5] = [
    "limits=core=0 fsize=1M",
    "user=65534",
    "umask=027",
    "access=r:d",
    "promises=stdio rpath inet proc exec",
];

#[test]
fn all_is_given_up_in_one_call() {
    if !is_root() {
        return skip("needs root, which is given up");
    }
    if !is_filtered() {
        return;
    }
    let expected = [
        ("read:d/f", 0),
        ("read:/etc/passwd", EACCES),
        ("write:d/f", EPERM),
        ("make:d/g", EPERM),
        ("bind:1", EACCES),
        ("exec:/bin/true", EACCES),
        ("root", EPERM),
        ("namespace", EPERM),
        ("trace", EPERM),
        ("dumpable", 0),
        ("nnp", 1),
        ("uid", STRANGER as i32),
        ("size", 1 << 20),
        ("core", 0),
        ("umask", 0o027),
    ];
    let rig = Rig::new();
    assert_results(&rig.tried("now", &EVERYTHING, &expected.map(|(action, _)| action)), expected);
}

#[test]
fn any_user_may_give_up_the_rest() {
    if !is_root() {
        return skip("needs root to become a user");
    }
    if !is_filtered() {
        return;
    }
    let rig = Rig::new();
    let actions = ["read:d/f", "read:/etc/passwd", "write:d/f", "bind:1", "nnp", "uid"];
    let mut command = as_stranger(&rig);
    command.env("ASAN_OPTIONS", "detect_leaks=0"); // which needs /proc
    command.args(["now", "access=rw:d", "promises=stdio rpath wpath", "-"]).args(actions);
    assert_results(
        &results(&said(&mut command)),
        [
            ("read:d/f", 0),
            ("read:/etc/passwd", EACCES),
            ("write:d/f", 0),
            ("bind:1", EPERM),
            ("nnp", 1),
            ("uid", STRANGER as i32),
        ],
    );
}

#[test]
fn without_options_nothing_is_dumped_and_nothing_is_gained() {
    let rig = Rig::new();
    let actions = ["dumpable", "nnp", "core", "read:d/f", "exec:/bin/true"];
    let said = rig.tried("now", &[], &actions);
    let expected =
        [("dumpable", 0), ("nnp", 1), ("core", 0), ("read:d/f", 0), ("exec:/bin/true", 0)];
    assert_results(&said, expected);
    assert_eq!(rig.tried("now", &["allow_dumps"], &["dumpable"])["dumpable"], 1);
}

#[test]
fn the_report_says_what_was_asked_and_what_is_so() {
    if !is_root() {
        return skip("needs root, which is given up");
    }
    let rig = Rig::new();
    let said = rig.said("now", &["limits=core=0 fsize=1M", "user=65534"], &["report"]);
    let expected = "limits: in force: core=0 fsize=1M\n\
        privileges: in force: user=65534 capabilities=none\n\
        no new privileges: in force\n\
        no dumps: in force\n\
        asked 71 missing 0\n";
    assert_eq!(said, expected);
    if is_filtered() {
        let said = rig.said("now", &["access=r:d", "promises=stdio"], &["report"]);
        let expected = "limits: in force: core=0\n\
            no new privileges: in force\n\
            no dumps: in force\n\
            access: in force: r:d\n\
            promises: in force: stdio\n\
            asked 1e1 missing 0\n";
        assert_eq!(said, expected);
    }
    assert_eq!(rig.said("act", &[], &["report"]), "asked 0 missing 0\n");
}

#[test]
fn the_report_remembers_all_sandboxes() {
    if !is_root() {
        return skip("needs root, which is given up");
    }
    let rig = Rig::new();
    let options = ["limits=core=0 fsize=1M", "user=65534", "then", "limits=fsize=1K stack=1M"];
    let expected = "limits: in force: core=0 fsize=1K stack=1M\n\
        privileges: in force: user=65534 capabilities=none\n\
        no new privileges: in force\n\
        no dumps: in force\n\
        asked 71 missing 0\n";
    assert_eq!(rig.said("now", &options, &["report"]), expected);
    // What is allowed again is not what was given up.
    let options = ["user=65534", "then", "allow_dumps", "limits="];
    let expected = expected.replace(" fsize=1K stack=1M", "");
    assert_eq!(rig.said("now", &options, &["report"]), expected);
    if !is_filtered() {
        return;
    }
    let expected = "limits: in force: core=0\n\
        no new privileges: in force\n\
        no dumps: in force\n\
        access: in force: r:d r:/etc\n\
        access: in force: r:d\n\
        promises: in force: stdio rpath\n\
        promises: in force: stdio (or be killed)\n\
        asked 1e1 missing 0\n";
    let options = ["access=r:d r:/etc", "then", "access=r:d", "then", "promises=stdio rpath"];
    let options = [&options[..], &["then", "promises=stdio", "otherwise=1"]].concat();
    assert_eq!(rig.said("now", &options, &["report"]), expected);
}

#[test]
fn recorded_promises_are_not_in_force() {
    if !test_with().is_empty() {
        return; // the tools' own calls would be recorded, too
    }
    let rig = Rig::new();
    let said = rig.said("now", &["promises=stdio", "otherwise=2"], &["report"]);
    assert!(said.contains("promises: NOT in force: stdio (recorded only)\n"), "{said}");
    assert!(said.contains("asked 161 missing 100\n"), "{said}");
}

#[test]
fn other_groups_are_seen() {
    if !is_root() {
        return skip("needs root, which is given up");
    }
    let rig = Rig::new();
    let options = ["capabilities=setgid"];
    let said = rig.said("now", &options, &["report", "groups:42", "report"]);
    let (before, after) = said.split_once("groups:42 0\n").unwrap();
    assert!(before.contains("privileges: in force: "), "{said}");
    assert!(after.contains("privileges: NOT in force any more: "), "{said}");
}

#[test]
fn a_sandbox_can_be_entered_again_after_promises_that_kill() {
    if !test_with().is_empty() {
        return; // the tools' own calls are not promised
    }
    let rig = Rig::new();
    let options = [
        "promises=stdio rpath",
        "otherwise=1",
        "then",
        "access=r:d",
        "then",
        "promises=stdio",
        "otherwise=1",
    ];
    assert_results(&rig.tried("now", &options, &["nnp"]), [("nnp", 1)]);
}

#[test]
fn a_daemon_that_would_be_killed_for_its_pid_file_empties_it() {
    if !test_with().is_empty() {
        return; // the tools' own calls are not promised
    }
    let rig = Rig::new();
    let daemon = start(&rig, &["promises=stdio unix", "otherwise=1"], &[]);
    daemon.stop();
    assert_eq!(read(&rig.folder.path("out")), format!("control {EPERM}\n"));
    assert!(rig.folder.path("d.pid").exists());
    assert_eq!(read(&rig.folder.path("d.pid")), "");
}

/// As a kernel without it answers: strict, best effort.
#[test]
fn what_the_kernel_lacks_is_an_error_or_is_left_out_and_told() {
    if !test_with().is_empty() {
        return; // strace would show the tool's calls
    }
    let rig = Rig::new();
    let with = |inject: &str, options: &[&str], actions: &[&str]| {
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "/dev/null", "-e", &format!("inject={inject}")]);
        command.arg(&rig.program).arg("now").args(options).arg("-").args(actions);
        said(command.current_dir(&rig.folder))
    };
    let no_landlock = "this kernel has no Landlock: it is older than Linux 5.13, or built without";
    let no_seccomp = "cannot promise: this kernel has no filters of system calls (seccomp)";
    let around = "a filter that this process runs under keeps it from";
    let (no_more, forbidden) =
        (format!("cannot promise: {around} another"), format!("{around} Landlock"));
    for (call, errno, as_told, why, name, option) in [
        ("landlock_create_ruleset", "ENOSYS", ENOSYS, no_landlock, "access", "access=r:d"),
        ("landlock_create_ruleset", "EPERM", EOPNOTSUPP, &forbidden, "access", "access=r:d"),
        ("seccomp", "EINVAL", ENOSYS, no_seccomp, "promises", "promises=stdio rpath"),
        ("seccomp", "EPERM", EOPNOTSUPP, &no_more, "promises", "promises=stdio rpath"),
    ] {
        let inject = format!("{call}:error={errno}");
        assert_eq!(with(&inject, &[option], &["nnp"]), format!("refused {as_told} {why}\n"));
        let said = with(&inject, &["best_effort", option], &["report", "read:/etc/passwd"]);
        let asked = option.split_once('=').unwrap().1;
        assert!(said.contains(&format!("{name}: MISSING ({why}): {asked}\n")), "{said}");
        assert!(said.contains("no dumps: in force\n"), "{said}");
        assert!(said.ends_with("read:/etc/passwd 0\n"), "{said}");
        // It is still told after a sandbox that asks for something else, until one has it.
        let missing = format!("{name}: MISSING ({why}): {asked}\n");
        for (then, is_told) in
            [("limits=nofile=64", true), (&*format!("{option} "), true), (option, false)]
        {
            let once = format!("{inject}:when=1");
            let said = with(&once, &["best_effort", option, "then", then], &["report"]);
            assert_eq!(said.contains(&missing), is_told, "{then}: {said}");
            assert_eq!(said.ends_with(" missing 0\n"), !is_told, "{then}: {said}");
            let in_force = format!("\n{}: in force: ", name);
            assert_eq!(said.contains(&in_force), then.starts_with(name), "{then}: {said}");
        }
    }
}

/// As a kernel from before 6.7 answers, which asked four times here.
#[test]
fn in_the_best_of_efforts_files_are_restricted_where_ports_cannot_be() {
    if !test_with().is_empty() {
        return; // strace would show the tool's calls
    }
    let rig = Rig::new();
    let with = |options: &[&str]| {
        let mut command = Command::new("strace");
        let inject = "inject=landlock_create_ruleset:retval=3:when=1..3";
        command.args(["-qq", "-o", "/dev/null", "-e", inject]).arg(&rig.program).arg("now");
        command.args(options).args(["-", "report", "read:/etc/passwd", "read:d/f", "connect:1"]);
        said(command.current_dir(&rig.folder))
    };
    let why = "this kernel does not restrict TCP ports: it is older than Linux 6.7";
    let said = with(&["best_effort", "access=r:d connect:80"]);
    assert!(said.contains("access: in force: r:d\n"), "{said}");
    assert!(said.contains(&format!("access: MISSING ({why}): connect:80\n")), "{said}");
    assert!(said.contains("asked e1 missing 80\n"), "{said}");
    for (action, errno) in [("read:/etc/passwd", EACCES), ("read:d/f", 0)] {
        assert!(said.contains(&format!("{action} {errno}\n")), "{action}: {said}");
    }
    let said = with(&["access=r:d connect:80"]);
    assert_eq!(said, format!("refused {EOPNOTSUPP} {why}\n"));
}

/// stdout is one here.
#[test]
fn a_pipe_may_be_among_what_is_allowed() {
    if !is_filtered() {
        return;
    }
    let rig = Rig::new();
    let said = rig.tried("now", &["access=w:/dev/stdout r:d"], &["read:d/f", "read:/etc/passwd"]);
    assert_results(&said, [("read:d/f", 0), ("read:/etc/passwd", EACCES)]);
}

#[test]
fn a_mistake_is_an_error_and_nothing_has_changed() {
    let rig = Rig::new();
    for (options, errno, sentence) in [
        (&["limits=core=x"][..], EINVAL, "cannot use the limit core=x: that is no amount"),
        (&["promises=stdio fish"], EINVAL, "cannot promise fish: there is no such word"),
        (&["access=rz:d"], EINVAL, ""),
        (&["access=r:nowhere"], ENOENT, ""),
        (&["user=nobody-at-all"], EINVAL, "cannot use user nobody-at-all: there is no such user"),
        (&["umask=7777"], EINVAL, "umask is out of range"),
        (&["otherwise=1"], EINVAL, "otherwise is given, but no promises"),
        (&["promises=stdio", "otherwise=7"], EINVAL, ""),
        (&["cgroup_limits=pids.max=1"], EINVAL, "cgroup_limits is given, but no cgroup"),
        (&["cgroup=a/b"], EINVAL, "cannot name a cgroup \"a/b\": it takes one name, without /"),
    ] {
        if options[0].starts_with("access") && !is_filtered() {
            continue;
        }
        for effort in [&[][..], &["best_effort"]] {
            let said = rig.said("now", &[effort, options].concat(), &[]);
            assert!(
                said.starts_with(&format!("refused {errno} {sentence}")),
                "{options:?}: {said}"
            );
        }
        // As an option of others, too.
        for how in ["daemon", "run"] {
            let said = rig.said(how, options, &[]);
            assert!(
                said.starts_with(&format!("refused {errno} {sentence}")),
                "{options:?}: {said}"
            );
        }
        assert!(!rig.folder.path("d.pid").exists());
    }
}

#[test]
fn other_threads_do_not_stay_free() {
    if !is_filtered() {
        return;
    }
    let rig = Rig::new();
    let said = rig.said("now", &["thread", "access=r:d"], &[]);
    assert!(said.starts_with(&format!("refused {EBUSY} ")), "{said}");
    // What the kernel brings to them all is brought to them all.
    let said = rig.tried("now", &["thread", "promises=stdio"], &["nnp", "read:d/f"]);
    assert_results(&said, [("nnp", 1), ("read:d/f", EPERM)]);
}

/// A daemon of `command`, which serves until it is stopped.
fn start(rig: &Rig, options: &[&str], actions: &[&str]) -> Daemon {
    assert_eq!(rig.said("daemon", options, actions), "");
    Daemon::of(&rig.folder.path("d.pid"))
}

#[test]
fn a_daemon_starts_in_its_sandbox() {
    if !is_root() {
        return skip("needs root, which is given up");
    }
    let rig = Rig::new();
    let options = if is_filtered() {
        vec!["user=65534", "access=rwc:.", "promises=stdio rpath wpath cpath fattr unix"]
    } else {
        vec!["user=65534"]
    };
    let actions = ["uid", "dumpable", "read:/etc/shadow", "root", "report"];
    let daemon = start(&rig, &options, &actions);
    let out = read(&rig.folder.path("out"));
    for line in [
        "uid 65534\n",
        "dumpable 0\n",
        &format!("read:/etc/shadow {EACCES}\n"),
        &format!("root {EPERM}\n"),
        " missing 0\n",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    // Its control socket, which is opened in the sandbox, tells the same.
    let status = common::control::Client::new(&rig.folder.path("d.ctl")).ask("status").ok();
    assert!(
        status.contains("\nsandbox: privileges: in force: user=65534 capabilities=none\n"),
        "{status}"
    );
    daemon.stop();
    // The folder is the user's, so that they could be removed.
    assert!(!rig.folder.path("d.pid").exists());
    assert!(!rig.folder.path("d.ctl").exists());
}

/// Found only in the new process.
#[test]
fn a_start_that_cannot_be_confined_is_a_failure_of_the_caller() {
    if !is_root() {
        return skip("needs root to become a user");
    }
    let rig = Rig::new();
    let mut command = as_stranger(&rig);
    let said = said(command.args(["daemon", "user=daemon", "-"]));
    let expected = format!("refused {EPERM} cannot change the group: ");
    assert!(said.starts_with(&expected), "{said}");
    assert!(!rig.folder.path("d.pid").exists());
}

#[test]
fn a_command_runs_in_its_sandbox_and_its_parent_does_not() {
    let rig = Rig::new();
    let mut options = vec!["umask=027", "limits=core=0 fsize=1M"];
    let mut expected =
        vec![("read:d/f", 0), ("umask", 0o027), ("size", 1 << 20), ("core", 0), ("nnp", 1)];
    if is_root() {
        options.push("user=65534");
        expected.extend([("uid", STRANGER as i32), ("root", EPERM)]);
    }
    if test_with().is_empty() {
        options.extend(["access=rx:/ rx:d", "promises=stdio rpath exec"]);
        expected.extend([("write:d/f", EPERM), ("namespace", EPERM)]);
    }
    let actions: Vec<_> = expected.iter().map(|(action, _)| *action).collect();
    let mut said = rig.tried("run", &options, &actions);
    assert_eq!(said.remove("status"), Some(0), "{said:?}");
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(action, result)| ((*action).to_owned(), i64::from(*result)))
        .collect();
    assert_eq!(said, expected);
}

#[test]
fn a_command_that_may_not_be_executed_is_an_error() {
    if !test_with().is_empty() {
        return; // the program itself would need more
    }
    let rig = Rig::new();
    for options in ["promises=stdio rpath", "access=r:d"] {
        let said = rig.said("run", &[options], &["nnp"]);
        let refused = if options.starts_with("access") { EACCES } else { EPERM };
        assert!(said.starts_with(&format!("refused {refused} cannot run ")), "{said}");
    }
    // Others of its kind have the group; the sentence is that of the sandbox.
    let said = rig.said("run", &["limits=fsize=1:2 fsize=3"], &["nnp"]);
    assert!(said.contains("this limit was there before"), "{said}");
}

#[test]
fn a_command_that_breaks_its_promise_is_killed_and_that_is_told() {
    if !test_with().is_empty() {
        return; // the tools' own calls are not promised
    }
    let rig = Rig::new();
    let options = ["promises=stdio rpath exec", "otherwise=1"];
    let said = rig.tried("run", &options, &["nnp", "namespace", "uid"]);
    assert_eq!(said["status"], i64::from(SIGSYS));
}

/// Under the name of a daemon, and to where its output goes.
#[test]
fn what_a_daemon_needs_is_recorded() {
    if !test_with().is_empty() {
        return; // the tools' own calls would be, too
    }
    let rig = Rig::new();
    let options = ["promises=stdio", "otherwise=2"];
    let daemon = start(&rig, &options, &["read:d/f", "namespace"]);
    daemon.stop();
    let told = "promises: stdio rpath wpath cpath fattr unix; no word gives: unshare\n";
    until("it is told", || read(&rig.folder.path("out")).contains(told));
    let said =
        rig.said("run", &["promises=stdio rpath exec", "otherwise=2"], &["read:d/f", "write:d/f"]);
    assert!(said.contains("write:d/f 0\n"), "{said}");
    assert!(said.contains("promises: stdio rpath wpath"), "{said}");
}

#[test]
fn root_of_a_user_namespace_is_confined_as_anybody() {
    if !is_filtered() {
        return;
    }
    if !is_root() {
        return skip("needs root to become a user who is it only there");
    }
    let rig = Rig::new();
    let in_namespace = |program: &OsStr| {
        let mut command = as_user(&rig, "unshare".as_ref());
        command
            .args(["--user", "--map-root-user"])
            .arg(program)
            .env("ASAN_OPTIONS", "detect_leaks=0");
        command
    };
    if !run(&mut in_namespace("true".as_ref())).status.success() {
        return skip("users may not make user namespaces here");
    }
    let actions = [
        "uid",
        "read:d/f",
        "read:/etc/passwd",
        "write:d/f",
        "bind:1",
        "root",
        "namespace",
        "report",
    ];
    let mut command = in_namespace(rig.program.as_ref());
    command.args(["now", "access=r:d", "promises=stdio rpath", "-"]).args(actions);
    let said = said(&mut command);
    for line in ["uid 0\n", "read:d/f 0\n", "asked 1e1 missing 0\n"] {
        assert!(said.contains(line), "{line}{said}");
    }
    for (action, errno) in [
        ("read:/etc/passwd", EACCES),
        ("write:d/f", EPERM),
        ("bind:1", EPERM),
        ("root", EPERM),
        ("namespace", EPERM),
    ] {
        assert!(said.contains(&format!("{action} {errno}\n")), "{action}: {said}");
    }
}
