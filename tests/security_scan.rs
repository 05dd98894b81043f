//! What c-examples/security_scanner.c finds, by its --scan: each test has a tree of its own.

mod common;

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{PermissionsExt, chown, symlink},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::Command,
};

use common::{
    Folder, command, fail_with, is_root,
    namespace::Namespace,
    run,
    scanner::{build, build_with_races, lines_of, plant, scan_once},
    skip, succeed, test_with, text,
};
use nix::{
    fcntl::{OFlag, openat},
    sys::stat::{Mode, mkdirat},
};

struct Tree {
    folder: Folder,
    program: PathBuf,
}

impl Tree {
    fn new() -> Option<Self> {
        let folder = Folder::new();
        let program = build(&folder)?;
        Some(Tree::of(folder, program))
    }

    fn with_races() -> Option<Self> {
        let folder = Folder::new();
        let program = build_with_races(&folder)?;
        Some(Tree::of(folder, program))
    }

    fn of(folder: Folder, program: PathBuf) -> Self {
        plant(folder.path("tree"), None, 0o755);
        Tree { folder, program }
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path("tree").join(name)
    }

    /// The lines, in their order, with paths from the tree on and without numbers of users and times.
    #[track_caller]
    fn found(&self) -> Vec<String> {
        self.shown(&scan_once(&self.program, &[self.path("").as_os_str()]))
    }

    fn shown(&self, lines: &[Vec<u8>]) -> Vec<String> {
        let tree = self.path("").display().to_string();
        let shown = |line: &Vec<u8>| {
            let line = text(line).replace(&tree, "").replace(tree.trim_end_matches('/'), "TREE");
            let from = line.find(", user ").unwrap_or(line.find(": ").unwrap());
            let to = [", changed ", ": "].iter().find_map(|end| line.find(end)).unwrap();
            let facts = line[..from].to_owned();
            let path = line.split_once(": ").unwrap().1;
            assert!(from <= to, "{line}");
            format!("{facts}: {path}")
        };
        lines.iter().map(shown).collect()
    }
}

#[test]
fn a_scan_finds_what_anybody_may_write_except_folders_like_tmp() {
    let Some(tree) = Tree::new() else { return };
    for mode in [0o644, 0o664, 0o666, 0o602, 0o1666] {
        plant(tree.path(format!("file {mode:04o}")), Some(""), mode);
    }
    for mode in [0o755, 0o775, 0o777, 0o1777, 0o702] {
        plant(tree.path(format!("folder {mode:04o}")), None, mode);
    }
    plant(tree.path("folder 0755/below"), Some(""), 0o646);
    plant(tree.path("folder 1777/below"), None, 0o757);

    assert_eq!(
        tree.found(),
        [
            "world-writable file, mode 0602: file 0602",
            "world-writable file, mode 0646: folder 0755/below",
            "world-writable file, mode 0666: file 0666",
            "world-writable file, mode 1666: file 1666",
            "world-writable folder, mode 0702: folder 0702",
            "world-writable folder, mode 0757: folder 1777/below",
            "world-writable folder, mode 0777: folder 0777",
        ]
    );
}

#[test]
fn a_scan_finds_what_makes_anybody_somebody_else() {
    let Some(tree) = Tree::new() else { return };
    for mode in [0o4755, 0o2755, 0o6755, 0o4000, 0o4757] {
        plant(tree.path(format!("{mode:04o}")), Some("program"), mode);
    }
    plant(tree.path("group of what is made in it"), None, 0o2755);

    let lines = scan_once(&tree.program, &[tree.path("").as_os_str()]);

    assert_eq!(
        tree.shown(&lines),
        [
            "set-group-id file, mode 2755: 2755",
            "set-user-id file, mode 4000: 4000",
            "set-user-id file, mode 4755: 4755",
            "set-user-id set-group-id file, mode 6755: 6755",
            "world-writable set-user-id file, mode 4757: 4757",
        ]
    );
    for line in lines {
        assert!(text(&line).contains(", 7 bytes, changed 20"), "{}", text(&line));
    }
}

#[test]
fn a_scan_tells_the_owner() {
    if !is_root() {
        return skip("needs root to give files away");
    }
    let Some(tree) = Tree::new() else { return };
    plant(tree.path("file"), Some(""), 0o666);
    chown(tree.path("file"), Some(12), Some(345)).unwrap();

    let lines = scan_once(&tree.program, &[tree.path("").as_os_str()]);

    assert!(text(&lines[0]).contains(", user 12, group 345: /"), "{}", text(&lines[0]));
}

#[test]
fn a_name_cannot_forge_a_line() {
    let Some(tree) = Tree::new() else { return };
    let long = "n".repeat(255);
    let names = [&b"a\nset-user-id file: sh"[..], b"b\x1b[2J\x7f", b"c\\x0a", b"\xff", b" : x "];
    for name in names.into_iter().chain([long.as_bytes()]) {
        plant(tree.path(OsStr::from_bytes(name)), Some(""), 0o666);
    }

    let lines = scan_once(&tree.program, &[tree.path("").as_os_str()]);

    let start = tree.path("").as_os_str().as_bytes().to_vec();
    let paths = lines.iter().map(|line| {
        let at = line.windows(start.len()).position(|window| window == start).unwrap();
        &line[at + start.len()..]
    });
    let expected = [
        &b" : x "[..],
        b"a\\x0aset-user-id file: sh",
        b"b\\x1b[2J\\x7f",
        b"c\\x5cx0a",
        long.as_bytes(),
        b"\xff",
    ];
    assert_eq!(paths.collect::<Vec<_>>(), expected);
}

#[test]
fn a_scan_follows_no_link() {
    let Some(tree) = Tree::new() else { return };
    plant(tree.folder.path("outside"), None, 0o755);
    plant(tree.folder.path("outside/file"), Some(""), 0o666);
    symlink("../outside", tree.path("to a folder")).unwrap();
    symlink("../outside/file", tree.path("to a file")).unwrap();
    symlink(".", tree.path("to itself")).unwrap();
    symlink("..", tree.path("up")).unwrap();
    symlink("nowhere", tree.path("to nothing")).unwrap();
    assert_eq!(tree.found(), [""; 0]);

    for link in ["to a folder", "to a folder///"] {
        let lines = scan_once(&tree.program, &[tree.path(link).as_os_str()]);
        assert_eq!(tree.shown(&lines), ["not scanned (Not a directory): to a folder/"]);
    }
}

#[test]
fn a_scan_tells_which_folders_are_missing_and_scans_the_others() {
    let Some(tree) = Tree::new() else { return };
    plant(tree.path("a"), None, 0o777);
    plant(tree.path("b"), None, 0o755);
    plant(tree.path("b/file"), Some(""), 0o666);
    let folders = ["a", "none", "b///", "b/file"].map(|name| tree.path(name));

    let lines = scan_once(&tree.program, &folders.each_ref().map(|folder| folder.as_os_str()));

    assert_eq!(
        tree.shown(&lines),
        [
            "not scanned (No such file or directory): none/",
            "not scanned (Not a directory): b/file/",
            "world-writable file, mode 0666: b/file",
            "world-writable file, mode 0666: b/file",
            "world-writable folder, mode 0777: a",
        ]
    );
}

#[test]
fn a_scan_enters_no_other_file_system() {
    let Some(tree) = Tree::new() else { return };
    let Some(namespace) = Namespace::new() else { return };
    plant(tree.path("mount point"), None, 0o755);
    let script =
        "mount -t tmpfs -o mode=777 tmpfs \"$0\" && : > \"$0/file\" && chmod 666 \"$0/file\"";
    let mut mount = Command::new("sh");
    mount.args(["-c", script]).arg(tree.path("mount point"));
    succeed(namespace.enter(&mut mount));

    let scan = |folder: PathBuf| {
        let mut scan = command(&tree.program);
        scan.arg("--scan").arg(folder);
        text(&succeed(namespace.enter(&mut scan)).stdout)
    };
    let from_above = scan(tree.path(""));
    assert!(from_above.starts_with("world-writable folder, mode 0777, "), "{from_above}");
    assert_eq!(from_above.lines().count(), 1, "{from_above}");
    assert_eq!(scan(tree.path("mount point")).lines().count(), 2);
}

#[test]
fn a_scan_tells_what_it_may_not_read() {
    let Some(tree) = Tree::new() else { return };
    plant(tree.path("closed"), None, 0o755);
    plant(tree.path("closed/file"), Some(""), 0o666);
    plant(tree.path("no search"), None, 0o755);
    plant(tree.path("no search/file"), Some(""), 0o666);
    plant(tree.path("closed"), None, 0o002);
    plant(tree.path("no search"), None, 0o744);
    plant(tree.path("open"), Some(""), 0o666);
    let mut scan = command(&tree.program);
    scan.arg("--scan").arg(tree.path(""));
    if is_root() {
        for path in ["closed", "no search"] {
            chown(tree.path(path), Some(0), Some(0)).unwrap();
        }
        scan.uid(65534).gid(65534);
        let mut look = Command::new("test");
        if !run(look.arg("-x").arg(&tree.program).uid(65534)).status.success() {
            return skip("another user cannot execute what lies here");
        }
    }

    let output = succeed(&mut scan);
    for path in ["closed", "no search"] {
        plant(tree.path(path), None, 0o755);
    }

    let found = tree.shown(&lines_of(&output));
    // Of a folder that may be read and not searched the names are known.
    assert_eq!(
        found,
        [
            "not scanned (Permission denied): closed/",
            "not scanned (Permission denied): no search/file/",
            "world-writable file, mode 0666: open",
            "world-writable folder, mode 0002: closed",
        ]
    );
}

#[test]
fn what_vanishes_during_a_scan_is_passed_over() {
    let Some(tree) = Tree::with_races() else { return };
    for name in ["vanishing file", "seen"] {
        plant(tree.path(name), Some(""), 0o666);
    }
    plant(tree.path("vanishing folder"), None, 0o755);

    assert_eq!(tree.found(), ["world-writable file, mode 0666: seen"]);

    assert!(!tree.path("vanishing file").exists() && !tree.path("vanishing folder").exists());
}

#[test]
fn a_folder_that_becomes_a_link_during_a_scan_is_not_followed() {
    let Some(tree) = Tree::with_races() else { return };
    plant(tree.folder.path("elsewhere"), None, 0o755);
    plant(tree.folder.path("elsewhere/secret"), Some(""), 0o666);
    plant(tree.path("swapped folder"), None, 0o755);

    assert_eq!(tree.found(), ["not scanned (Not a directory): swapped folder/"]);

    assert!(tree.path("swapped folder/secret").exists());
}

#[test]
fn a_folder_that_cannot_be_read_to_its_end_is_told() {
    let Some(tree) = Tree::with_races() else { return };
    plant(tree.path("folder"), None, 0o755);
    plant(tree.path("folder/the last on a broken disk"), Some(""), 0o644);

    assert_eq!(tree.found(), ["not scanned (Input/output error): folder/"]);
}

/// Folders in each other, so deep, and a world-writable file in the last one.
fn dig(start: &Path, name: &str, depth: usize) {
    let mut folder: OwnedFd = File::open(start).unwrap().into();
    for _ in 0..depth {
        mkdirat(folder.as_fd(), name, Mode::S_IRWXU).unwrap();
        folder = openat(folder.as_fd(), name, OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    }
    let flags = OFlag::O_CREAT | OFlag::O_WRONLY;
    let file = openat(folder.as_fd(), "file", flags, Mode::empty()).unwrap();
    File::from(file).set_permissions(PermissionsExt::from_mode(0o666)).unwrap();
}

#[test]
fn a_path_may_be_longer_than_any_call_takes() {
    let Some(tree) = Tree::new() else { return };
    let name = "d".repeat(250);
    dig(&tree.path(""), &name, 40);

    let path = format!("{name}/").repeat(40) + "file";
    assert_eq!(tree.found(), [format!("world-writable file, mode 0666: {path}")]);
}

#[test]
fn what_lies_too_deep_is_told_and_hides_nothing_else() {
    let Some(tree) = Tree::new() else { return };
    dig(&tree.path(""), "d", 1010);
    plant(tree.path("z"), Some(""), 0o666);
    let scan = |limit: &str| {
        let mut scan = Command::new("prlimit");
        let inner = command(&tree.program);
        scan.arg(format!("--nofile={limit}")).arg(inner.get_program()).args(inner.get_args());
        scan.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = succeed(scan.arg("--scan").arg(tree.path("")));
        tree.shown(&lines_of(&output))
    };
    let [deep, other] = &scan("5000")[..] else { panic!() };
    assert_eq!(*deep, format!("not scanned (File name too long): {}", "d/".repeat(1000)));
    assert_eq!(*other, "world-writable file, mode 0666: z");

    if test_with() == "valgrind" {
        return; // it keeps descriptors for itself
    }
    let [deep, other] = &scan("50")[..] else { panic!() };
    assert!(deep.starts_with("not scanned (Too many open files): d/d/d/"), "{deep}");
    assert_eq!(*other, "world-writable file, mode 0666: z");
}

#[test]
fn a_scan_agrees_with_find_about_this_machine() {
    let Some(tree) = Tree::new() else { return };
    let folders = ["/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/local", "/etc", "/opt"];
    let folders: Vec<_> = folders.into_iter().filter(|folder| Path::new(folder).is_dir()).collect();
    let mut find = Command::new("find");
    find.args(&folders)
        .arg("-xdev")
        .args(["(", "-type", "f", "(", "-perm", "-2", "-o", "-perm", "/6000", ")"]);
    find.args(["-o", "-type", "d", "-perm", "-2", "!", "-perm", "-1000", ")", "-print"]);
    let find = text(&run(&mut find).stdout);
    let mut expected: Vec<_> = find.lines().map(OsString::from).collect();
    expected.sort();

    let folders: Vec<_> = folders.into_iter().map(OsStr::new).collect();
    let lines = scan_once(&tree.program, &folders);

    let path = |line: &Vec<u8>| {
        let line = text(line);
        Some(OsString::from(format!("/{}", line.split_once(": /")?.1)))
    };
    let found = lines.iter().filter(|line| !line.starts_with(b"not scanned"));
    let mut found: Vec<_> = found.filter_map(path).collect();
    found.sort();
    assert!(!expected.is_empty(), "find(1) finds nothing");
    assert_eq!(found, expected);
}

#[test]
fn a_scan_whose_output_is_lost_fails() {
    let Some(tree) = Tree::new() else { return };
    plant(tree.path("file"), Some(""), 0o666);
    let mut scan = command(&tree.program);
    scan.arg("--scan").arg(tree.path(""));
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" > /dev/full", "sh"]).arg(scan.get_program());
    shell
        .args(scan.get_args())
        .envs(scan.get_envs().filter_map(|(name, value)| Some((name, value?))));

    let message = fail_with(1, &mut shell);
    assert!(message.ends_with("No space left on device"), "{message}");

    let message = fail_with(1, command(&tree.program).args(["--scan", ""]));
    assert!(message.ends_with(" makes no sense"), "{message}");
    let long = "/x".repeat(2048);
    fail_with(1, command(&tree.program).args(["--scan", &long]));
    assert_eq!(fs::read_dir(tree.path("")).unwrap().count(), 1);
}
