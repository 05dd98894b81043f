//! The pid file: one holder, never a wrong content, and no file that could be anything else.

mod common;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    process::{ChildStdin, Command, Stdio},
};

use common::{
    Folder, command, fail_with, has_ended_within, is_locked, is_root, pidfile::each_other_kind_at,
    program, skip, try_flock,
};
use nix::libc;

struct Rig {
    folder: Folder,
    program: PathBuf,
}

/// A process that holds a lock until it is let go.
struct Holder {
    child: common::Child,
    stdin: Option<ChildStdin>,
    fd: i32,
    output: BufReader<std::process::ChildStdout>,
}

impl Holder {
    fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// Lets it go on; its status and what it says then.
    fn finish(mut self) -> (Option<i32>, String) {
        drop(self.stdin.take());
        let status = self.child.wait();
        let mut rest = String::new();
        self.output.read_line(&mut rest).unwrap();
        (status.code(), rest.trim().to_owned())
    }
}

impl Rig {
    fn new() -> Self {
        let folder = Folder::new();
        let program = program(&folder, "lock");
        Rig { folder, program }
    }

    fn pidfile(&self) -> PathBuf {
        self.folder.path("d.pid")
    }

    fn command(&self) -> Command {
        let mut command = command(&self.program);
        command.arg("d.pid").current_dir(&self.folder);
        command
    }

    #[track_caller]
    fn hold(&self, mut command: Command) -> Holder {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = common::Child(command.spawn().unwrap());
        let stdin = child.0.stdin.take();
        let mut output = BufReader::new(child.0.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let fd = line.trim().parse().expect("the lock is granted");
        Holder { child, stdin, fd, output }
    }

    fn content(&self) -> String {
        fs::read_to_string(self.pidfile()).unwrap()
    }

    #[track_caller]
    fn refused(&self, errno: i32, sentence: &str) {
        let message = fail_with(1, &mut self.command());
        assert_eq!(message, format!("lock: {errno} {sentence}"));
    }
}

#[test]
fn a_new_file_holds_the_pid_and_the_lock() {
    let rig = Rig::new();
    let holder = rig.hold(rig.command());
    assert!(holder.fd > 2);
    assert_eq!(rig.content(), format!("{}\n", holder.pid()));
    assert!(is_locked(&rig.pidfile()));
    let stat = fs::metadata(rig.pidfile()).unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.nlink()), (0o644, 1));
    assert_eq!(holder.finish().0, Some(0));
    assert!(rig.pidfile().exists(), "it stays");
    assert!(!is_locked(&rig.pidfile()));
    assert_eq!(rig.folder.names(), ["d.pid", "lock"]);
}

#[test]
fn the_loser_learns_the_holders_pid() {
    let rig = Rig::new();
    let holder = rig.hold(rig.command());
    let pid = holder.pid();
    rig.refused(libc::EEXIST, &format!("already running as pid {pid}, which holds d.pid"));
    assert_eq!(rig.content(), format!("{pid}\n"), "the loser changes nothing");
}

#[test]
fn whatever_stands_in_an_unlocked_file_is_stale() {
    let longest = "9".repeat(100_000);
    let mine = format!("{}\n", std::process::id());
    for content in
        ["", "0\n", "-1\n", "1\n", "-4711\n", "garbage", "99999999999\n", &longest, &mine]
    {
        let rig = Rig::new();
        fs::write(rig.pidfile(), content).unwrap();
        let holder = rig.hold(rig.command());
        assert_eq!(rig.content(), format!("{}\n", holder.pid()));
    }
}

#[test]
fn a_locked_file_with_garbage_names_nobody() {
    for content in ["", "0\n", "-1\n", "-4711\n", "12x\n", "garbage", "99999999999\n", "\n"] {
        let rig = Rig::new();
        fs::write(rig.pidfile(), content).unwrap();
        let holder = fs::File::open(rig.pidfile()).unwrap();
        assert!(try_flock(&holder, libc::LOCK_EX));
        rig.refused(libc::EEXIST, "already running, which holds d.pid");
    }
}

#[test]
fn a_look_at_the_lock_does_not_disturb() {
    let rig = Rig::new();
    fs::write(rig.pidfile(), "4711\n").unwrap();
    let look = fs::File::open(rig.pidfile()).unwrap();
    assert!(try_flock(&look, libc::LOCK_SH));
    let holder = rig.hold(rig.command());
    assert_eq!(rig.content(), format!("{}\n", holder.pid()));
}

#[test]
fn a_file_that_is_no_pid_file_is_refused() {
    let rig = Rig::new();
    let path = rig.pidfile();
    each_other_kind_at(&path, "target", |errno, sentence| rig.refused(errno, sentence));
    assert!(!rig.folder.path("target").exists());

    fs::write(&path, "4711\n").unwrap();
    fs::hard_link(&path, rig.folder.path("other")).unwrap();
    rig.refused(libc::EMLINK, "cannot use d.pid: it has hard links");
    assert_eq!(rig.content(), "4711\n");

    let device = fail_with(1, command(&rig.program).arg("/dev/zero"));
    assert_eq!(device, format!("lock: {} cannot use /dev/zero: it is a device", libc::EINVAL));
}

#[test]
fn a_file_of_another_user_is_refused() {
    if !is_root() {
        return skip("needs root to give a file away");
    }
    let rig = Rig::new();
    fs::write(rig.pidfile(), "1\n").unwrap();
    std::os::unix::fs::chown(rig.pidfile(), Some(65534), None).unwrap();
    rig.refused(libc::EPERM, "cannot use d.pid: it belongs to another user");
    assert_eq!(rig.content(), "1\n");
}

#[test]
fn bad_paths_are_refused() {
    let rig = Rig::new();
    let refused =
        |path: &str| fail_with(1, command(&rig.program).arg(path).current_dir(&rig.folder));
    let long_name = "x".repeat(300);
    let long_path = format!("/{}", "x/".repeat(3000));
    for (path, errno, sentence) in [
        ("", libc::EINVAL, "the path of the pid file is empty"),
        ("/", libc::EISDIR, "cannot use /: it is a directory"),
        ("a/", libc::EISDIR, "cannot use a/: it is a directory"),
        (".", libc::EISDIR, "cannot use .: it is a directory"),
        ("..", libc::EISDIR, "cannot use ..: it is a directory"),
        ("none/d.pid", libc::ENOENT, "cannot create none/d.pid: No such file or directory"),
        ("lock/d.pid", libc::ENOTDIR, "cannot examine lock/d.pid: Not a directory"),
        ("/proc/d.pid", libc::ENOENT, "cannot create /proc/d.pid: No such file or directory"),
        ("a\nb/d.pid", libc::ENOENT, "cannot create a?b/d.pid: No such file or directory"),
    ] {
        assert_eq!(refused(path), format!("lock: {errno} {sentence}"), "{path}");
    }
    assert!(refused(&long_name).starts_with(&format!("lock: {} ", libc::ENAMETOOLONG)));
    assert!(refused(&long_path).starts_with(&format!("lock: {} ", libc::EISDIR)));
    let long_path = format!("{long_path}y");
    assert!(refused(&long_path).starts_with(&format!("lock: {} ", libc::ENAMETOOLONG)));
    let null = fail_with(1, &mut command(&rig.program));
    assert_eq!(null, format!("lock: {} pidfile is NULL", libc::EINVAL));
    assert_eq!(rig.folder.names(), ["lock"]);
}

/// A user who owns the file but may not make another one beside it.
fn in_a_closed_folder(rig: &Rig, content: &str) -> Command {
    fs::write(rig.pidfile(), content).unwrap();
    std::os::unix::fs::chown(rig.pidfile(), Some(65534), None).unwrap();
    fs::set_permissions(&rig.folder, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.arg(&rig.program).arg("d.pid").current_dir(&rig.folder);
    command
}

#[test]
fn where_no_file_can_be_made_the_existing_one_is_written() {
    if !is_root() {
        return skip("needs root to be another user");
    }
    for content in ["", "1\n", "1234567890123\n"] {
        let rig = Rig::new();
        let command = in_a_closed_folder(&rig, content);
        let holder = rig.hold(command);
        assert_eq!(rig.content(), format!("{}\n", holder.pid()));
        assert!(is_locked(&rig.pidfile()));
        let message = fail_with(1, &mut in_a_closed_folder_again(&rig));
        assert!(message.contains(&format!("already running as pid {}", holder.pid())), "{message}");
    }
}

fn in_a_closed_folder_again(rig: &Rig) -> Command {
    let content = rig.content();
    in_a_closed_folder(rig, &content)
}

#[test]
fn what_cannot_be_removed_is_emptied() {
    if !is_root() {
        return skip("needs root to be another user");
    }
    let rig = Rig::new();
    let mut command = in_a_closed_folder(&rig, "1\n");
    command.arg("remove");
    assert_eq!(rig.hold(command).finish().0, Some(0));
    assert_eq!(rig.content(), "");
}

#[test]
fn a_folder_that_lets_nothing_be_made_is_an_error() {
    if !is_root() {
        return skip("needs root to be another user");
    }
    let rig = Rig::new();
    let mut command = in_a_closed_folder(&rig, "");
    fs::remove_file(rig.pidfile()).unwrap();
    let message = fail_with(1, &mut command);
    assert_eq!(message, format!("lock: {} cannot create d.pid: Permission denied", libc::EACCES));
}

#[test]
fn a_full_or_read_only_disk_is_an_error_and_nothing_is_left() {
    if !is_root() {
        return skip("needs root to mount");
    }
    let rig = Rig::new();
    let run = |options: &str, prepare: &str| {
        let script = format!(
            "mount -t tmpfs -o {options} none mnt && {{ {prepare}; }} && \"$@\"; status=$?; \
             ls mnt >&2; exit $status"
        );
        let _ = fs::create_dir(rig.folder.path("mnt"));
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]).arg(&rig.program).arg("mnt/d.pid");
        fail_with(1, command.current_dir(&rig.folder))
    };
    let full = run("size=4k", "head -c 4096 /dev/zero > mnt/full");
    let expected = "cannot write mnt/d.pid: No space left on device";
    assert_eq!(full, format!("lock: {} {expected}\nfull", libc::ENOSPC));
    let no_inode = run("nr_inodes=1", "true");
    let expected = "cannot create mnt/d.pid: No space left on device";
    assert_eq!(no_inode, format!("lock: {} {expected}", libc::ENOSPC));
    let read_only = run("ro", "true");
    let expected = "cannot create mnt/d.pid: Read-only file system";
    assert_eq!(read_only, format!("lock: {} {expected}", libc::EROFS));
}

#[test]
fn a_stale_file_on_a_full_disk_is_taken_over() {
    if !is_root() {
        return skip("needs root to mount");
    }
    let rig = Rig::new();
    let script = "mount -t tmpfs -o size=8k none mnt && echo 4711 > mnt/d.pid && \
         head -c 4096 /dev/zero > mnt/full && { \"$@\" < /dev/null && cat mnt/d.pid; }";
    fs::create_dir(rig.folder.path("mnt")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(&rig.program).arg("mnt/d.pid");
    let output = common::succeed(command.current_dir(&rig.folder));
    let lines = common::text(&output.stdout);
    let pid = lines.lines().nth(1).unwrap();
    assert!(pid != "4711" && pid.parse::<u32>().is_ok(), "{lines}");
}

#[test]
fn a_file_system_without_nameless_files_or_links_serves() {
    // No such file system is at hand everywhere, so strace answers for it.
    let without_nameless = ["-e", "inject=openat:error=EOPNOTSUPP", "-P", "."];
    let without_links = ["-e", "inject=linkat:error=EPERM"];
    for inject in [&without_nameless[..], &without_links] {
        for stale in [false, true] {
            let rig = Rig::new();
            if stale {
                fs::write(rig.pidfile(), "1234567890\n").unwrap();
            }
            let mut command = Command::new("strace");
            command.args(["-qq", "-o", "trace"]).args(inject).arg(&rig.program).arg("d.pid");
            let holder = rig.hold({
                command.current_dir(&rig.folder);
                command
            });
            let trace = fs::read_to_string(rig.folder.path("trace")).unwrap();
            assert!(trace.contains("(INJECTED)"), "{trace}");
            assert!(is_locked(&rig.pidfile()));
            let pid: i32 = rig.content().trim().parse().unwrap();
            assert_eq!(common::status_of(pid, "PPid"), holder.pid().to_string());
            assert_eq!(rig.folder.names(), ["d.pid", "lock", "trace"]);
        }
    }
}

#[test]
fn a_file_is_removed_by_its_owner_only() {
    let rig = Rig::new();
    let mut command = rig.command();
    command.arg("remove");
    assert_eq!(rig.hold(command).finish().0, Some(0));
    assert_eq!(rig.folder.names(), ["lock"]);

    let mut command = rig.command();
    command.arg("child");
    assert_eq!(rig.hold(command).finish(), (Some(0), libc::EPERM.to_string()));
    assert!(rig.pidfile().exists());

    // Somebody replaced the file.
    let mut command = rig.command();
    command.arg("remove");
    let holder = rig.hold(command);
    fs::remove_file(rig.pidfile()).unwrap();
    fs::write(rig.pidfile(), "1\n").unwrap();
    assert_eq!(holder.finish().0, Some(1));
    assert_eq!(rig.content(), "1\n");
}

#[test]
fn a_killed_holder_leaves_a_stale_file_that_is_taken_over_at_once() {
    let rig = Rig::new();
    for _ in 0..20 {
        let mut holder = rig.hold(rig.command());
        assert_eq!(rig.content(), format!("{}\n", holder.pid()));
        holder.child.0.kill().unwrap();
        assert!(has_ended_within(holder.pid(), common::DEADLINE));
    }
}
