//! What a process is allowed after rsd_drop_privileges(): what was given up is tried and refused, what was kept works.

mod common;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::PathBuf,
    process::Command,
};

use common::{Folder, command, is_root, program, run, skip, test_with, text};
use nix::libc::{EACCES, EBUSY, EINVAL, ENOENT, EPERM};

/// tests/programs/drop_privileges.c in a folder that everybody may enter.
struct Rig {
    folder: Folder,
    program: PathBuf,
}

/// What the program printed.
struct Said {
    text: String,
}

impl Rig {
    fn new() -> Option<Self> {
        if !is_root() {
            skip("needs root, which is given up");
            return None;
        }
        let folder = Folder::new();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let program = program(&folder, "drop_privileges");
        Some(Rig { folder, program })
    }

    fn command(&self, options: &[&str], actions: &[&str]) -> Command {
        let mut command = command(&self.program);
        command.args(options).arg("-").args(actions).current_dir(&self.folder);
        command
    }

    #[track_caller]
    fn drop(&self, options: &[&str], actions: &[&str]) -> Said {
        let output = run(&mut self.command(options, actions));
        let text = text(&output.stdout);
        assert!(
            text.starts_with("dropped\n"),
            "{options:?}: {text}{}",
            common::text(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(0), "{}", common::text(&output.stderr));
        Said { text }
    }

    /// The errno and the sentence of a refusal that has changed nothing.
    #[track_caller]
    fn is_refused(&self, options: &[&str]) -> (i32, String) {
        let text = text(&run(&mut self.command(options, &[])).stdout);
        assert!(text.ends_with("\nunchanged\n"), "{options:?}: {text}");
        refusal(&text).unwrap_or_else(|| panic!("{options:?}: {text}"))
    }
}

fn refusal(text: &str) -> Option<(i32, String)> {
    let (errno, sentence) = text.lines().next()?.strip_prefix("refused ")?.split_once(' ')?;
    Some((errno.parse().unwrap(), sentence.to_owned()))
}

impl Said {
    /// The errno of each action.
    fn results(&self) -> BTreeMap<&str, i32> {
        let result = |line| {
            let (action, errno) = str::rsplit_once(line, ' ')?;
            Some((action, errno.parse().ok()?))
        };
        self.text.lines().filter_map(result).collect()
    }

    /// A field of the statuses of all threads.
    fn of_threads(&self, name: &str) -> Vec<String> {
        let field = |line: &str| {
            let (_, rest) = line.split_once(&format!("{name}:\t"))?;
            let words = rest.split_whitespace().take_while(|word| !word.ends_with(':'));
            Some(words.collect::<Vec<_>>().join(" "))
        };
        self.text.lines().filter_map(field).collect()
    }
}

/// net_bind_service
const BIND: &str = "0000000000000400";
const NONE: &str = "0000000000000000";

#[test]
fn what_root_could_do_is_refused_to_a_user() {
    let Some(rig) = Rig::new() else { return };
    fs::write(rig.folder.path("secret"), "secret").unwrap();
    fs::set_permissions(rig.folder.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let kill = format!("kill:{}", std::process::id());
    let privileged = [
        "read:secret",
        "chown:secret",
        "bind:1",
        "raw",
        &kill,
        "mount:.",
        "chroot:.",
        "setuid:0",
        "setgid:0",
        "setgroups",
    ];
    let all = [&["truth"], &privileged[..]].concat();
    let said = rig.drop(&["user=nobody", "groups=adm,audio"], &all);
    for (action, errno) in said.results() {
        let expected = match action {
            "truth" => 0,
            "read:secret" | "bind:1" => EACCES,
            _ => EPERM,
        };
        assert_eq!(errno, expected, "{action}");
    }
    assert_eq!(said.results().len(), all.len());
    assert_eq!(said.of_threads("Uid"), ["65534 65534 65534 65534"]);
    assert_eq!(said.of_threads("Gid"), ["65534 65534 65534 65534"]);
    assert_eq!(said.of_threads("Groups"), ["4 29"]);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(said.of_threads(set), [NONE], "{set}");
    }
    assert!(said.text.contains("securebits 2f "), "{}", said.text);
}

#[test]
fn groups_are_those_of_the_user_those_given_or_none() {
    let Some(rig) = Rig::new() else { return };
    for (options, gid, groups) in [
        (&["user=nobody"][..], "65534", "65534"),
        (&["user=nobody", "groups="], "65534", ""),
        (&["user=nobody", "group=daemon", "groups=4, audio"], "1", "4 29"),
        (&["user=65534", "group=1"], "1", ""),
        (&["group=daemon"], "1", ""),
        (&["groups=adm"], "0", "4"),
    ] {
        let said = rig.drop(options, &["truth"]);
        assert_eq!(said.of_threads("Gid"), [[gid; 4].join(" ")], "{options:?}");
        assert_eq!(said.of_threads("Groups"), [groups], "{options:?}");
    }
}

#[test]
fn root_without_capabilities_owns_its_files_and_has_no_more() {
    let Some(rig) = Rig::new() else { return };
    fs::write(rig.folder.path("of-1"), "").unwrap();
    chown(rig.folder.path("of-1"), Some(1), Some(1)).unwrap();
    fs::set_permissions(rig.folder.path("of-1"), fs::Permissions::from_mode(0o600)).unwrap();
    for options in [&["null"][..], &["capabilities="], &["no_new_privileges"]] {
        let show = "run:grep -q 'CapEff:.0000000000000000' /proc/self/status";
        let actions = ["read:of-1", "chown:of-1", "mount:.", "setuid:1", "keepcaps", show];
        let said = rig.drop(options, &actions);
        assert_eq!(
            said.results(),
            BTreeMap::from([
                ("read:of-1", EACCES),
                ("chown:of-1", EPERM),
                ("mount:.", EPERM),
                ("setuid:1", EPERM),
                ("keepcaps", EPERM),
                (show, 0)
            ]),
            "{options:?}"
        );
    }
}

#[test]
fn limits_are_not_raised_any_more() {
    let Some(rig) = Rig::new() else { return };
    if test_with() == "valgrind" {
        return; // which has limits of its own
    }
    // The machine itself may not allow it.
    let said = rig.drop(&["nofile=512", "null"], &["raise"]);
    assert_eq!(said.results(), BTreeMap::from([("raise", EPERM)]));
}

#[test]
fn what_is_kept_works_and_only_ambient_ones_reach_programs() {
    let Some(rig) = Rig::new() else { return };
    let show = "run:grep -q 'CapEff:.0000000000000400' /proc/self/status";
    let none = "run:grep -q 'CapEff:.0000000000000000' /proc/self/status";
    let (keep, user) = ("capabilities=CAP_NET_BIND_SERVICE", "user=nobody");
    for (options, ambient) in [
        (&[user, keep][..], false),
        (&[user, keep, "ambient"], true),
        (&[user, keep, "ambient", "no_new_privileges"], true),
        (&[keep], false),
        (&[keep, "ambient"], true),
    ] {
        let said = rig.drop(options, &["truth", "bind:1", "raw", show, none, "thread"]);
        let results = said.results();
        assert_eq!((results["bind:1"], results["raw"]), (0, EPERM), "{options:?}");
        assert_eq!(
            (results[show], results[none]),
            (!ambient as i32, ambient as i32),
            "{options:?}"
        );
        // With the status of a thread that was made later.
        let held = if ambient { [BIND; 2] } else { [NONE; 2] };
        assert_eq!(said.of_threads("CapInh"), held, "{options:?}");
        assert_eq!(said.of_threads("CapAmb"), held, "{options:?}");
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(said.of_threads(set), [BIND; 2], "{options:?} {set}");
        }
    }
}

#[test]
fn more_can_be_given_up_later_and_nothing_is_had_again() {
    let Some(rig) = Rig::new() else { return };
    // Twice, by a program that executes itself.
    let again = |more: &str| format!("run:./drop_privileges {more} | grep -q ^dropped");
    let same = again("capabilities=net_raw -");
    let less = again("user=nobody -");
    let more = again("capabilities=net_admin -");
    let actions = [same.as_str(), &less, &more];
    if test_with() == "valgrind" {
        return; // it would not see these
    }
    let keep = "capabilities=net_raw,setuid,setgid,setpcap";
    let said = rig.drop(&[keep, "ambient"], &actions);
    assert_eq!(said.results(), BTreeMap::from([(actions[0], 0), (&less, 0), (&more, 1)]));
}

#[test]
fn set_user_id_programs_give_nothing_back() {
    let Some(rig) = Rig::new() else { return };
    let copy = rig.folder.path("as-root");
    fs::copy("/bin/grep", &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).unwrap();
    let is_root = "run:./as-root -q 'Uid:.65534.0' /proc/self/status";
    let has_none = "run:./as-root -q 'CapPrm:.0000000000000000' /proc/self/status";
    for (options, user) in [
        (&["user=nobody"][..], 0),
        (&["user=nobody", "no_new_privileges"], 1),
        (&["user=nobody", "no_new_privileges", "threads=1"], 1),
    ] {
        if options.contains(&"threads=1") && test_with() == "valgrind" {
            continue; // which does not know seccomp(2)
        }
        let said = rig.drop(options, &[is_root, has_none]);
        assert_eq!(said.results(), BTreeMap::from([(is_root, user), (has_none, 0)]), "{options:?}");
    }
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_changed() {
    let Some(rig) = Rig::new() else { return };
    let by_root = "could come back";
    for (options, errno, piece) in [
        (&["user=root"][..], EINVAL, "cannot use user root: it is root"),
        (&["user=0"], EINVAL, "cannot use user 0: it is root"),
        (&["user=-1"], EINVAL, "no such user"),
        (&["user=4294967295"], EINVAL, "no such user"),
        (&["user="], EINVAL, "no such user"),
        (&["user=no-such"], EINVAL, "cannot use user no-such: there is no such user"),
        (&["user=12345"], EINVAL, "it has no entry, so give a group"),
        (&["user=nobody", "group=no-such"], EINVAL, "cannot use group no-such"),
        (&["user=nobody", "group=4294967295"], EINVAL, "no such group"),
        (&["user=nobody", "groups=adm,"], EINVAL, "no such group"),
        (&["user=nobody", "groups=adm,no-such"], EINVAL, "cannot use group no-such"),
        (&["capabilities=net_raw,no_such"], EINVAL, "no capability named \"no_such\""),
        (&["capabilities=,"], EINVAL, "no capability named \"\""),
        (&["capabilities=64"], EINVAL, "no capability named \"64\""),
        (&["capabilities=63"], EINVAL, "cannot keep 63: this kernel does not know it"),
        (&["user=nobody", "capabilities=setuid"], EINVAL, by_root),
        (&["user=nobody", "capabilities=chown,cap_setgid"], EINVAL, by_root),
        (&["root=.", "capabilities=sys_chroot"], EINVAL, "leads out again"),
        (&["become=65534", "capabilities=net_raw"], EPERM, "cannot keep net_raw: the process does"),
        (&["user=nobody", "size=4097"], nix::libc::E2BIG, "newer version"),
        (&["root=no-such"], ENOENT, "cannot open no-such"),
        (&["threads=2"], EBUSY, "only a change of the user"),
        (&["threads=2", "user=nobody"], EBUSY, "without no_new_privileges"),
        (&["threads=2", "no_new_privileges"], EBUSY, "only a change of the user"),
        (&["become=65534", "user=daemon"], EPERM, "cannot set the supplementary groups"),
        (&["become=65534", "user=65534", "group=4"], EPERM, "cannot set the supplementary groups"),
    ] {
        let (told, sentence) = rig.is_refused(options);
        assert!(told == errno && sentence.contains(piece), "{options:?}: {told} {sentence}");
    }
}

#[test]
fn somebody_who_is_nobody_special_gives_up_nothing() {
    let Some(rig) = Rig::new() else { return };
    let me = ["become=65534", "user=65534", "group=65534"];
    for options in [&me[..], &[&me[..], &["no_new_privileges"]].concat(), &me[..1]] {
        let said = rig.drop(options, &["truth", "setuid:0"]);
        assert_eq!(said.results()["setuid:0"], EPERM);
        assert_eq!(said.of_threads("Uid"), ["65534 65534 65534 65534"]);
    }
}

#[test]
fn who_cannot_limit_what_programs_get_needs_no_new_privileges() {
    let Some(rig) = Rig::new() else { return };
    let with = |options: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-setpcap"]).arg(&rig.program).args(options).arg("-");
        text(&run(command.arg("truth").current_dir(&rig.folder)).stdout)
    };
    if test_with() == "valgrind" {
        return; // setpriv would be what it runs
    }
    let (errno, sentence) = refusal(&with(&["user=nobody"])).unwrap();
    assert!(errno == EPERM && sentence.contains("no_new_privileges is needed"), "{sentence}");
    let said =
        Said { text: with(&["user=nobody", "no_new_privileges", "capabilities=net_bind_service"]) };
    assert_eq!(said.of_threads("CapPrm"), [BIND], "{}", said.text);
    assert_eq!(said.of_threads("NoNewPrivs"), ["1"]);
}

#[test]
fn all_threads_lose_what_is_given_up() {
    let Some(rig) = Rig::new() else { return };
    if test_with() == "valgrind" {
        return; // which does not know seccomp(2)
    }
    let options = ["threads=3", "user=nobody", "groups=adm", "no_new_privileges"];
    let keep = "capabilities=net_bind_service";
    for (options, kept) in
        [(&options[..], NONE), (&[&options[..], &[keep, "ambient"]].concat(), BIND)]
    {
        let said = rig.drop(options, &["truth"]);
        assert_eq!(said.of_threads("Uid"), ["65534 65534 65534 65534"; 4]);
        assert_eq!(said.of_threads("Gid"), ["65534 65534 65534 65534"; 4]);
        assert_eq!(said.of_threads("Groups"), ["4"; 4]);
        assert_eq!(said.of_threads("NoNewPrivs"), ["1"; 4]);
        for set in ["CapPrm", "CapEff", "CapAmb"] {
            let mut all = said.of_threads(set);
            all.sort();
            assert_eq!(all, [NONE, NONE, NONE, kept], "{set}");
        }
    }
    // The thread of main has ended, and still stands there as it was.
    let said = rig.drop(&["without-main", "user=nobody", "no_new_privileges"], &["thread"]);
    assert_eq!(said.of_threads("CapPrm"), [NONE]);
}

#[test]
fn the_root_directory_is_entered_and_does_not_lead_out() {
    let Some(rig) = Rig::new() else { return };
    fs::create_dir_all(rig.folder.path("jail/beneath")).unwrap();
    fs::write(rig.folder.path("outside"), "").unwrap();
    fs::write(rig.folder.path("jail/inside"), "").unwrap();
    let actions =
        ["cwd:/", "read:../outside", "read:inside", "read:/../../inside", "chroot:beneath"];
    for options in [&["root=jail"][..], &["root=jail", "user=nobody"]] {
        let said = rig.drop(options, &actions);
        let expected = actions.map(|action| {
            let errno = match action {
                "read:../outside" => ENOENT,
                "chroot:beneath" => EPERM,
                _ => 0,
            };
            (action, errno)
        });
        assert_eq!(said.results(), BTreeMap::from(expected), "{options:?}");
    }
}

#[test]
fn a_root_directory_that_others_may_change_is_refused() {
    let Some(rig) = Rig::new() else { return };
    let mode = |name: &str, mode| {
        let path = rig.folder.path(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("for-all", 0o777);
    mode("for-all/jail", 0o755);
    mode("sticky", 0o1777);
    mode("sticky/jail", 0o755);
    mode("for-group", 0o775);
    mode("of-1/jail", 0o755);
    chown(rig.folder.path("of-1"), Some(1), Some(0)).unwrap();
    symlink("sticky/jail", rig.folder.path("link")).unwrap();
    fs::write(rig.folder.path("file"), "").unwrap();
    for (name, errno, piece) in [
        ("for-all", EPERM, "for-all as root directory: others may write to it"),
        ("for-group", EPERM, "others may write to it"),
        ("sticky", EPERM, "others may write to it"),
        ("of-1", EPERM, "it does not belong to root"),
        ("for-all/jail", EPERM, "others may write to a folder above it"),
        ("of-1/jail", EPERM, "a folder above it does not belong to root"),
        ("file", nix::libc::ENOTDIR, "cannot open file"),
    ] {
        let (told, sentence) = rig.is_refused(&[&format!("root={name}")]);
        assert!(told == errno && sentence.contains(piece), "{name}: {told} {sentence}");
    }
    rig.drop(&["root=sticky/jail"], &[]);
    rig.drop(&["root=link"], &[]);
}

#[test]
fn in_a_user_namespace_groups_that_cannot_be_given_up_are_an_error() {
    let Some(rig) = Rig::new() else { return };
    if test_with() == "valgrind" {
        return; // it would only see the other programs
    }
    let nested = |options: &str| {
        let script =
            format!("exec unshare --user --map-root-user ./drop_privileges {options} - truth");
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--groups", "65534,4"]);
        text(&run(command.args(["sh", "-c", &script]).current_dir(&rig.folder)).stdout)
    };
    let said = nested("null");
    if said.is_empty() {
        return skip("no user namespace can be made");
    }
    assert!(said.starts_with("dropped\n"), "{said}");
    assert_eq!(Said { text: said }.of_threads("CapPrm"), [NONE]);
    for options in ["user=nobody", "groups=", "group=0"] {
        let (errno, sentence) = refusal(&nested(options)).unwrap();
        assert!(errno == EPERM && sentence.contains("set the supplementary groups"), "{sentence}");
    }
}

#[test]
fn without_proc_only_a_process_of_one_thread_can_be_sure() {
    let Some(rig) = Rig::new() else { return };
    let without = |options: &str| {
        let script =
            format!("mount -t tmpfs none /proc && exec ./drop_privileges {options} - setuid:0");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
        text(&run(command.env("QUIET", "1").current_dir(&rig.folder)).stdout)
    };
    if !test_with().is_empty() {
        return; // neither tool works without /proc
    }
    assert_eq!(without("user=nobody"), format!("dropped\nsetuid:0 {EPERM}\n"));
    let (errno, sentence) = refusal(&without("user=nobody no_new_privileges threads=1")).unwrap();
    assert!(errno == EBUSY && sentence.contains("without /proc"), "{sentence}");
}

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
        (&[keep], &root_without_ids),
        (&["user=nobody", "groups="], &ids),
    ] {
        let (_, truth) = injected(&rig, options, "capset", None);
        assert!(truth.starts_with("dropped\n"), "{options:?}: {truth}");
        for call in calls {
            let mut refused = 0;
            for fault in ["error=EPERM", "error=EINVAL", "error=ENOSYS", "retval=0"] {
                for when in ["1+", "1", "2", "3", "4", "5", "6", "7", "8"] {
                    let inject = format!("{call}:{fault}:when={when}");
                    let (was_injected, said) = injected(&rig, options, call, Some(&inject));
                    if !was_injected {
                        break;
                    }
                    refused += check_truth(&inject, &said, &truth);
                }
            }
            // The fault is felt, but where not to be able to ask is no reason.
            assert!(refused > 0 || *call == "unshare" || *call == "chdir", "{options:?} {call}");
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

/// 1 if it was refused.
#[track_caller]
fn check_truth(inject: &str, said: &str, truth: &str) -> i32 {
    match refusal(said) {
        Some((errno, sentence)) => {
            assert!(errno > 0 && sentence.len() > 10, "{inject}: {said}");
            1
        }
        None => {
            assert_eq!(said, truth, "{inject}");
            0
        }
    }
}
