//! What a process gives up of files and ports (Landlock), as a C program sees it.

mod common;

use std::{collections::BTreeMap, fs, net::TcpListener, path::PathBuf, process::Command};

use common::{Folder, command, is_root, program, skip, succeed, test_with, text};
use nix::libc::{EACCES, ENOSYS, EOPNOTSUPP, EXDEV};

fn is_plain() -> bool {
    test_with().is_empty()
}

/// tests/programs/access.c beside a tree: in "d" files, of which "x" can be executed, and the folders "e" and "g".
struct Rig {
    folder: Folder,
    program: PathBuf,
}

/// valgrind does not know these system calls.
fn lacks_landlock() -> bool {
    test_with() == "valgrind"
}

fn passes(case: &str) {
    if !lacks_landlock() {
        common::passes("access", &[case]);
    }
}

impl Rig {
    fn new() -> Option<Self> {
        if lacks_landlock() {
            return None;
        }
        let folder = Folder::new();
        let program = program(&folder, "access");
        let rig = Rig { folder, program };
        rig.plant();
        Some(rig)
    }

    fn plant(&self) {
        let tree = self.folder.path("d");
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir_all(tree.join("e")).unwrap();
        fs::create_dir_all(tree.join("g")).unwrap();
        for name in ["f", "u", "old", "here"] {
            fs::write(tree.join(name), "text").unwrap();
        }
        fs::copy(&self.program, tree.join("x")).unwrap();
    }

    /// The errno of each action, or 0.
    #[track_caller]
    fn tried(&self, allowed: &[&str], actions: &[&str]) -> BTreeMap<String, i32> {
        self.plant();
        let mut command = command(&self.program);
        command.args(allowed).arg("-").args(actions).current_dir(&self.folder);
        let output = text(&succeed(&mut command).stdout);
        let result = |line: &str| {
            let (action, errno) = line.rsplit_once(' ').unwrap();
            (action.to_owned(), errno.parse().unwrap())
        };
        output.lines().map(result).collect()
    }
}

/// What needs each letter. They do not hinder each other.
const READING: &[&str] = &["read:d/f", "list:d"];
const WRITING: &[&str] = &["write:d/f", "truncate:d/f"];
const CHANGING: &[&str] = &[
    "mkdir:d/new-folder",
    "symlink:d/new-link",
    "fifo:d/new-fifo",
    "socket:d/new-socket",
    "link:d/f,d/linked",
    "rename:d/old,d/new",
    "rename:d/here,d/g/there",
    "unlink:d/u",
    "rmdir:d/e",
];

#[test]
fn each_letter_gives_what_it_says_and_nothing_else() {
    let Some(rig) = Rig::new() else { return };
    let all = [READING, WRITING, CHANGING].concat();
    for (letters, given) in
        [("r", READING), ("w", WRITING), ("c", CHANGING), ("rwc", &all), ("x", &[])]
    {
        let rule = format!("d={letters}");
        for (action, errno) in rig.tried(&[&rule], &all) {
            let refused = if action.contains(",d/g/") { EXDEV } else { EACCES };
            match given.contains(&action.as_str()) {
                true => assert_eq!(errno, 0, "{letters}: {action}"),
                false => {
                    assert!([EACCES, refused].contains(&errno), "{letters}: {action}: {errno}")
                }
            }
        }
    }
}

#[test]
fn files_are_made_by_who_may_write_and_change() {
    let Some(rig) = Rig::new() else { return };
    for (rule, errno) in [("d=wc", 0), ("d=c", EACCES), ("d=w", EACCES), ("d=r", EACCES)] {
        assert_eq!(rig.tried(&[rule], &["make:d/new"])["make:d/new"], errno, "{rule}");
    }
}

#[test]
fn devices_are_made_by_nobody() {
    if !is_root() {
        return skip("needs root to make devices");
    }
    let Some(rig) = Rig::new() else { return };
    assert_eq!(rig.tried(&["d=rwxc"], &["device:d/null"])["device:d/null"], EACCES);
    assert_eq!(rig.tried(&["/=rwxc"], &["device:d/null"])["device:d/null"], EACCES);
}

#[test]
fn programs_are_executed_where_that_is_allowed() {
    let Some(rig) = Rig::new() else { return };
    let x = "execute:d/x";
    let system = ["/=r", "/usr=x"];
    // It says that it knows no such case.
    assert_eq!(rig.tried(&[system[0], system[1], "d=x"], &[x])[x], 2);
    assert_eq!(rig.tried(&system, &[x])[x], EACCES);
    assert_eq!(rig.tried(&[system[0], system[1], "d=rwc"], &[x])[x], EACCES);
}

#[test]
fn a_file_alone_can_be_allowed() {
    let Some(rig) = Rig::new() else { return };
    let actions = ["read:d/f", "write:d/f", "truncate:d/f", "read:d/x", "list:d", "unlink:d/f"];
    let tried = rig.tried(&["d/f=rwx"], &actions);
    for (action, errno) in tried {
        assert_eq!(errno == 0, actions[..3].contains(&action.as_str()), "{action}: {errno}");
    }
}

#[test]
fn what_was_allowed_adds_up() {
    let Some(rig) = Rig::new() else { return };
    let actions = ["read:d/f", "write:d/f", "read:d/x", "write:d/x"];
    let tried = rig.tried(&["d=r", "d/f=w", "d/f=r"], &actions);
    for (action, errno) in tried {
        assert_eq!(errno == 0, action != "write:d/x", "{action}: {errno}");
    }
}

#[test]
fn without_any_rule_there_is_no_way_to_files() {
    let Some(rig) = Rig::new() else { return };
    let actions = ["read:/etc/passwd", "list:/", "write:/dev/null", "mkdir:d/new", "read:d/f"];
    assert!(rig.tried(&[], &actions).values().all(|&errno| errno == EACCES));
}

#[test]
fn devices_are_controlled_by_who_may_write() {
    let Some(rig) = Rig::new() else { return };
    let action = "ioctl:/dev/ptmx";
    assert_eq!(rig.tried(&["/dev=rw"], &[action])[action], 0);
    assert_eq!(rig.tried(&["/dev=r"], &[action])[action], EACCES);
}

#[test]
fn other_ports_than_those_allowed_are_refused() {
    let Some(rig) = Rig::new() else { return };
    let listeners = [0; 2].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
    let [one, other] = listeners.each_ref().map(|at| at.local_addr().unwrap().port());
    let [to_one, to_other] = [one, other].map(|port| format!("connect:{port}"));
    let connects = [to_one.as_str(), to_other.as_str(), "bind:0"];
    let tried = rig.tried(&[&format!("{one}:c")], &connects);
    assert_eq!((tried[&to_one], tried[&to_other], tried["bind:0"]), (0, EACCES, 0));

    let tried = rig.tried(&["0:b"], &["bind:0", "bind:1", &to_one]);
    assert_eq!((tried["bind:0"], tried["bind:1"], tried[&to_one]), (0, EACCES, 0));

    let tried = rig.tried(&[&format!("{one}:bc")], &["bind:0", &to_one, &to_other]);
    assert_eq!((tried["bind:0"], tried[&to_one], tried[&to_other]), (EACCES, 0, EACCES));
}

#[test]
fn bad_arguments_are_refused_and_leave_nothing() {
    passes("misuse");
}

#[test]
fn no_other_thread_stays_free() {
    passes("threads");
}

#[test]
fn what_is_open_stays_usable() {
    passes("open");
}

#[test]
fn the_rules_are_closed_at_the_end() {
    passes("descriptors");
}

#[test]
fn a_program_that_closed_the_rules_is_told() {
    if is_plain() {
        passes("closed");
    }
}

#[test]
fn later_calls_only_take_away() {
    passes("twice");
}

#[test]
fn there_is_an_end_to_it() {
    passes("too-often");
}

#[test]
fn children_have_the_rules_and_the_restriction() {
    passes("children");
}

#[test]
fn what_a_child_allows_is_its_own() {
    passes("childs-own");
}

#[test]
fn without_proc_no_thread_stays_free_either() {
    match is_root() {
        true => passes("without-proc"),
        false => skip("needs root to mount"),
    }
}

#[test]
fn log_and_control_socket_go_on_and_nothing_is_left() {
    passes("library");
}

/// As older kernels answer, which know less.
#[test]
fn older_versions_restrict_what_they_know() {
    if !is_plain() {
        return; // strace would show the tool's calls
    }
    let Some(rig) = Rig::new() else { return };
    let actions = ["rename:d/here,d/g/there", "truncate:d/f", "write:d/f", "ioctl:/dev/ptmx"];
    for (version, errnos) in [
        (1, [EXDEV, 0, EACCES, 0]),
        (2, [0, 0, EACCES, 0]),
        (3, [0, EACCES, EACCES, 0]),
        (5, [0, EACCES, EACCES, EACCES]),
    ] {
        rig.plant();
        let mut command = Command::new("strace");
        let inject = format!("inject=landlock_create_ruleset:retval={version}:when=1..3");
        command.args(["-qq", "-f", "-o", "/dev/null", "-e", &inject]).arg(&rig.program);
        command.args(["d=rc", "/dev=r", "-"]).args(actions).current_dir(&rig.folder);
        let said = text(&succeed(&mut command).stdout);
        let expected =
            actions.iter().zip(errnos).map(|(action, errno)| format!("{action} {errno}\n"));
        assert_eq!(said, expected.collect::<String>(), "{version}");
    }
}

#[test]
fn any_user_may_do_it() {
    match is_root() {
        true => passes("user"),
        false => skip("needs root to become another user"),
    }
}

/// With a fault in the calls of Landlock and prctl(2): what is said, or that nothing is refused after an error.
#[test]
fn whatever_fails_is_told_and_is_no_restriction() {
    if !is_plain() {
        return; // strace would show the tool's calls
    }
    let Some(rig) = Rig::new() else { return };
    let said = |inject: &str, allowed: &[&str]| {
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "/dev/null", "-e"]).arg(format!("inject={inject}"));
        command.arg(&rig.program).args(allowed).args(["-", "read:d/f", "read:/etc/passwd"]);
        let output = common::run(command.current_dir(&rig.folder));
        text(&output.stdout) + &text(&output.stderr)
    };
    let no_kernel = "this kernel has no Landlock: it is older than Linux 5.13, or built without";
    let create = "landlock_create_ruleset:error=ENOSYS";
    assert_eq!(said(create, &[]), format!("restrict {ENOSYS} {no_kernel}\n"));
    assert!(said(create, &["d=r"]).contains(no_kernel));
    let disabled = "Landlock is not enabled: it is missing from the kernel's parameter lsm=";
    let create = "landlock_create_ruleset:error=EOPNOTSUPP";
    assert_eq!(said(create, &[]), format!("restrict {EOPNOTSUPP} {disabled}\n"));
    for (fault, what) in [
        ("landlock_add_rule:error=ENOMEM", "cannot restrict access: Cannot allocate memory"),
        ("landlock_add_rule:error=ENOMEM:when=2", "cannot restrict access: Cannot allocate memory"),
        ("landlock_create_ruleset:error=EMFILE:when=4", "cannot restrict access: Too many"),
        ("landlock_restrict_self:error=E2BIG", "cannot restrict access: Argument list too long"),
        ("prctl:error=EPERM", "cannot restrict access: Operation not permitted"),
    ] {
        let said = said(fault, &["d=r", "1:b"]);
        assert!(said.contains(what) && !said.contains("read:"), "{fault}: {said}");
    }
    // Version 3, which knows no ports and no devices.
    let old = "landlock_create_ruleset:retval=3:when=1";
    assert!(said(old, &["1:b"]).contains("does not restrict TCP ports"));
}
