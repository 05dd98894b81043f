//! What a process is allowed after rsd_drop_privileges(): what was given up is tried and refused, what was kept works.

mod common;

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
};

use common::{
    drop::{BIND, NONE, Rig},
    skip, test_with,
};
use nix::libc::{self, EACCES, EBUSY, EINVAL, ENOENT, EPERM};

#[test]
fn what_root_could_do_is_refused_to_a_user() {
    let Some(rig) = Rig::new() else { return };
    fs::write(rig.folder.path("secret"), "secret").unwrap();
    fs::set_permissions(rig.folder.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let kill = format!("kill:{}", std::process::id());
    let trace = format!("trace:{}", std::process::id());
    let privileged = [
        "read:secret",
        "chown:secret",
        "bind:1",
        "raw",
        &kill,
        &trace,
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

/// Writes what setcap(8) writes for "net_raw=ep".
fn give_net_raw(path: &std::path::Path) -> bool {
    let words: [u32; 5] = [0x0200_0001, 1 << 13, 0, 0, 0];
    let value: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let path = CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    let name = c"security.capability";
    // SAFETY: two C strings, and a value with its length.
    unsafe {
        libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) == 0
    }
}

#[test]
fn programs_whose_files_have_capabilities_get_no_more_than_those_kept() {
    let Some(rig) = Rig::new() else { return };
    let copy = rig.folder.path("with-net-raw");
    fs::copy("/bin/grep", &copy).unwrap();
    if !give_net_raw(&copy) {
        return skip("files have no capabilities here");
    }
    let has_it = "run:./with-net-raw -q 'CapEff:.0000000000002000' /proc/self/status";
    let starts = "run:./with-net-raw -q CapEff /proc/self/status";
    for (options, result) in [
        (&["capabilities=net_raw"][..], [0, 0]),
        (&["capabilities=net_raw", "no_new_privileges"], [1, 0]),
        // The program demands it, so it is not executed.
        (&["capabilities=net_bind_service"], [126, 126]),
    ] {
        let options = [&["user=nobody"], options].concat();
        let said = rig.drop(&options, &[has_it, starts]);
        let results = said.results();
        assert_eq!([results[has_it], results[starts]], result, "{options:?}");
    }
}

#[test]
fn a_user_namespace_can_still_be_made_but_not_within_another_root_directory() {
    let Some(rig) = Rig::new() else { return };
    if test_with() == "valgrind" {
        return; // which has a thread of its own
    }
    fs::create_dir(rig.folder.path("jail")).unwrap();
    let user = ["user=nobody", "no_new_privileges"];
    let said = rig.drop(&user, &["namespace"]);
    if said.results()["namespace"] != 0 {
        return skip("no user namespace can be made");
    }
    let said = rig.drop(&[&user[..], &["root=jail"]].concat(), &["namespace"]);
    assert_eq!(said.results()["namespace"], EPERM);
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
        (&["user=nobody", "size=4097"], libc::E2BIG, "newer version"),
        (&["root=no-such"], ENOENT, "cannot open no-such"),
        (&["threads=2"], EBUSY, "only a change of the user"),
        (&["threads=2", "user=nobody"], EBUSY, "without no_new_privileges"),
        (&["threads=2", "no_new_privileges"], EBUSY, "only a change of the user"),
        (&["become=65534", "user=daemon"], EPERM, "cannot change the group"),
        (&["become=65534", "user=65534", "group=4"], EPERM, "cannot change the group"),
        (&["become=65534", "user=65534", "groups=4"], EPERM, "cannot set the supplementary groups"),
    ] {
        let (told, sentence) = rig.is_refused(options);
        assert!(told == errno && sentence.contains(piece), "{options:?}: {told} {sentence}");
    }
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
fn a_folder_that_is_open_leads_out_of_the_root_directory() {
    let Some(rig) = Rig::new() else { return };
    fs::create_dir(rig.folder.path("jail")).unwrap();
    fs::write(rig.folder.path("secret"), "").unwrap();
    fs::set_permissions(rig.folder.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let options = ["outside=.", "root=jail", "user=nobody"];
    let actions = ["outside:..", "outside:jail", "outside:secret"];
    let said = rig.drop(&options, &actions);
    let results = actions.map(|action| said.results()[action]);
    assert_eq!(results, [0, 0, EACCES]);
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
        ("file", libc::ENOTDIR, "cannot open file"),
    ] {
        let (told, sentence) = rig.is_refused(&[&format!("root={name}")]);
        assert!(told == errno && sentence.contains(piece), "{name}: {told} {sentence}");
    }
    rig.drop(&["root=sticky/jail"], &[]);
    rig.drop(&["root=link"], &[]);
}
