//! rsd_drop_privileges() called by who is not simply root: ordinary users, programs with set-user-ID, root of a user
//! namespace, processes of several threads.

mod common;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    process::Command,
};

use common::{
    drop::{BIND, NONE, Rig, Said, refusal},
    run, skip, test_with, text,
};
use nix::libc::{EACCES, EBUSY, EPERM};

/// What a program in the rig's folder says that user and group 1 (daemon) executes, with these supplementary groups.
fn as_daemon(rig: &Rig, groups: &str, program: &str, arguments: &str) -> String {
    let script = format!("exec {program} {arguments}");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "1", "--regid", "1"]);
    match groups {
        "" => command.arg("--clear-groups"),
        groups => command.args(["--groups", groups]),
    };
    let output = run(command.args(["sh", "-c", &script]).current_dir(&rig.folder));
    text(&output.stdout) + &text(&output.stderr)
}

/// A copy of the program with these bits, that belongs to root and group adm.
fn with_bits(rig: &Rig, name: &str, mode: u32) {
    let copy = rig.folder.path(name);
    fs::copy(&rig.program, &copy).unwrap();
    chown(&copy, Some(0), Some(4)).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).unwrap();
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
fn an_ordinary_user_may_call_it_for_itself_with_the_groups_it_has() {
    let Some(rig) = Rig::new() else { return };
    if test_with() == "valgrind" {
        return; // setpriv would be what it runs
    }
    let copy = rig.folder.path("as-root");
    fs::copy("/bin/grep", &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).unwrap();
    let gains = "'run:./as-root -q Uid:.1.0 /proc/self/status'";
    // Its own group may stand among the others, as login(1) has it, or not, as in containers.
    for groups in ["", "1"] {
        for (options, gained) in [("", 0), ("user=daemon", 0), ("user=daemon no_new_privileges", 1)]
        {
            let actions = format!("{options} - truth setuid:0 setgroups {gains}");
            let said = as_daemon(&rig, groups, "./drop_privileges", &actions);
            assert!(said.starts_with("dropped\n"), "{groups} {options}: {said}");
            let said = Said { text: said };
            let (results, gains) = (said.results(), gains.trim_matches('\''));
            assert_eq!((results["setuid:0"], results["setgroups"]), (EPERM, EPERM), "{options}");
            assert_eq!(results[gains], gained, "{options}");
            assert_eq!(said.of_threads("Uid"), ["1 1 1 1"]);
            assert_eq!(said.of_threads("Groups"), [groups]);
        }
    }
    // What is more, or less, than what was asked for.
    for (groups, options) in
        [("4", "user=daemon"), ("1,4", "user=daemon groups="), ("", "groups=4")]
    {
        let said = as_daemon(&rig, groups, "./drop_privileges", options);
        let (errno, sentence) = refusal(&said).unwrap();
        assert_eq!(errno, EPERM, "{said}");
        assert!(sentence.starts_with("cannot set the supplementary groups"), "{sentence}");
    }
}

#[test]
fn a_set_user_id_program_gives_up_its_owner_also_while_it_acts_as_who_called_it() {
    let Some(rig) = Rig::new() else { return };
    if !test_with().is_empty() {
        return; // such programs are none for the tools
    }
    with_bits(&rig, "as-root", 0o4755);
    for options in ["", "lowered", "no_new_privileges", "lowered no_new_privileges"] {
        let actions = format!("{options} user=daemon - truth setuid:0");
        let said = as_daemon(&rig, "", "./as-root", &actions);
        assert!(said.starts_with("dropped\n"), "{options}: {said}");
        let said = Said { text: said };
        assert_eq!(said.results()["setuid:0"], EPERM);
        assert_eq!(said.of_threads("Uid"), ["1 1 1 1"]);
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(said.of_threads(set), [NONE], "{options} {set}");
        }
    }
}

#[test]
fn a_set_group_id_program_gives_up_its_group() {
    let Some(rig) = Rig::new() else { return };
    if !test_with().is_empty() {
        return; // such programs are none for the tools
    }
    with_bits(&rig, "as-adm", 0o2755);
    let said = as_daemon(&rig, "", "./as-adm", "user=daemon - truth setgid:4");
    assert!(said.starts_with("dropped\n"), "{said}");
    let said = Said { text: said };
    assert_eq!(said.of_threads("Gid"), ["1 1 1 1"]);
    assert_eq!(said.results()["setgid:4"], EPERM);
}

#[test]
fn who_is_somebody_else_only_in_part_becomes_it_wholly() {
    let Some(rig) = Rig::new() else { return };
    fs::write(rig.folder.path("secret"), "").unwrap();
    fs::set_permissions(rig.folder.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let options = ["in-part", "user=nobody", "groups="];
    let said = rig.drop(&options, &["truth", "read:secret", "setfsuid:0"]);
    assert_eq!(said.of_threads("Uid"), ["65534 65534 65534 65534"]);
    assert_eq!(said.of_threads("Gid"), ["65534 65534 65534 65534"]);
    let results = said.results();
    assert_eq!((results["read:secret"], results["setfsuid:0"]), (EACCES, EPERM));
}

#[test]
fn more_groups_than_anybody_has_are_given_up() {
    let Some(rig) = Rig::new() else { return };
    if test_with() == "valgrind" {
        return; // setpriv would be what it runs
    }
    let numbers: Vec<_> = (1..=1500).map(|number: u32| number.to_string()).collect();
    for options in [&["groups="][..], &["user=nobody"]] {
        let mut command = Command::new("setpriv");
        command.args(["--groups", &numbers.join(",")]).arg(&rig.program).args(options);
        let said = text(&run(command.args(["-", "setgroups"]).current_dir(&rig.folder)).stdout);
        assert_eq!(said, format!("dropped\nsetgroups {EPERM}\n"), "{options:?}");
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
fn in_a_user_namespace_what_cannot_be_given_up_is_an_error() {
    let Some(rig) = Rig::new() else { return };
    if test_with() == "valgrind" {
        return; // it would only see the other programs
    }
    let nested = |groups: &str, options: &str| {
        let script =
            format!("exec unshare --user --map-root-user ./drop_privileges {options} - truth");
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", groups]);
        text(&run(command.args(["sh", "-c", &script]).current_dir(&rig.folder)).stdout)
    };
    let said = nested("--groups=65534,4", "null");
    if said.is_empty() {
        return skip("no user namespace can be made");
    }
    assert!(said.starts_with("dropped\n"), "{said}");
    assert_eq!(Said { text: said }.of_threads("CapPrm"), [NONE]);
    for options in ["user=nobody", "groups=", "group=0"] {
        let (errno, sentence) = refusal(&nested("--groups=65534,4", options)).unwrap();
        assert!(errno == EPERM && sentence.contains("set the supplementary groups"), "{sentence}");
    }
    // Nor is an id that the namespace does not have the mistake of who asks for it: not EINVAL.
    for (options, action) in [
        ("user=1 group=0 no_new_privileges", "change the user"),
        ("user=1 no_new_privileges", "change the group"),
    ] {
        let (errno, sentence) = refusal(&nested("--clear-groups", options)).unwrap();
        assert_eq!(errno, EPERM, "{sentence}");
        let expected = format!("cannot {action}: this user namespace does not have that id");
        assert_eq!(sentence, expected);
    }
    let kept = "capabilities=net_bind_service,net_raw no_new_privileges";
    let said = Said { text: nested("--clear-groups", kept) };
    assert_eq!(said.of_threads("CapPrm"), ["0000000000002400"], "{}", said.text);
}

#[test]
fn without_proc_only_a_process_of_one_thread_can_be_sure() {
    let Some(rig) = Rig::new() else { return };
    let without = |options: &str| {
        let script = format!(
            "mount -t tmpfs none /proc && exec ./drop_privileges {options} - setuid:0 setfsuid:0"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
        text(&run(command.env("QUIET", "1").current_dir(&rig.folder)).stdout)
    };
    if !test_with().is_empty() {
        return; // neither tool works without /proc
    }
    for options in ["user=nobody", "in-part user=nobody groups="] {
        let expected = format!("dropped\nsetuid:0 {EPERM}\nsetfsuid:0 {EPERM}\n");
        assert_eq!(without(options), expected, "{options}");
    }
    let (errno, sentence) = refusal(&without("user=nobody no_new_privileges threads=1")).unwrap();
    assert!(errno == EBUSY && sentence.contains("without /proc"), "{sentence}");
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
fn threads_that_are_not_like_the_others_are_an_error() {
    let Some(rig) = Rig::new() else { return };
    if test_with() == "valgrind" {
        return; // which does not know seccomp(2)
    }
    fs::create_dir(rig.folder.path("jail")).unwrap();
    let options = ["user=nobody", "no_new_privileges", "root=jail"];
    // The C library ends a process of which one thread may not do what another one may.
    for odd in ["odd-thread=weak", "odd-thread=user"] {
        let (errno, sentence) = rig.is_refused(&[&options[..], &[odd]].concat());
        assert_eq!(errno, EBUSY, "{odd}: {sentence}");
        assert!(sentence.ends_with("another thread has ids or capabilities of its own"));
    }
    for (odd, piece) in [
        ("odd-thread=keeps", "a thread has capabilities that were not to be kept"),
        ("odd-thread=root", "a thread has a root directory of its own"),
    ] {
        let said = text(&run(&mut rig.command(&[&options[..], &[odd]].concat(), &[])).stdout);
        let (errno, sentence) = refusal(&said).unwrap();
        assert!(errno == EPERM && sentence.ends_with(piece), "{odd}: {sentence}");
    }
}
