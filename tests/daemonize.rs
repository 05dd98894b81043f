//! Becoming a daemon, as C programs and whoever starts them see it.

mod common;

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use common::{Child, Daemon, fail_with, is_locked, is_root, rig::Rig, skip, succeed, text};
use nix::{libc, unistd::Pid};

#[test]
fn the_daemon_is_complete_when_the_caller_returns() {
    let rig = Rig::new();
    let daemon = rig.start(&["simple=d.pid"]);

    let [_, _, group, session, terminal] = &daemon.stat()[..5] else { panic!() };
    assert_ne!(session, &daemon.pid.to_string(), "it leads its session");
    assert_ne!(group, &daemon.pid.to_string());
    assert_eq!(terminal, "0");
    let session: i32 = session.parse().unwrap();
    assert_ne!(Some(Pid::from_raw(session)), nix::unistd::getsid(None).ok());
    assert_eq!(daemon.cwd(), Path::new("/"));
    assert_eq!(daemon.status("Umask"), "0022");
    for number in 0..3 {
        assert_eq!(daemon.fd(number).as_deref(), Some("/dev/null"));
    }
    assert!(is_locked(&rig.folder.path("d.pid")));
    // The program itself blocks TERM and INT while it is not waiting.
    let blocked = u64::from_str_radix(&daemon.status("SigBlk"), 16).unwrap();
    assert_eq!(blocked & !0x4002, 0, "{blocked:x}");

    daemon.stop();
    rig.assert_nothing_left();
}

#[test]
fn every_descriptor_of_the_library_is_closed_on_exec() {
    let rig = Rig::new();
    let daemon = rig.start(&["simple=d.pid"]);
    for (number, target) in daemon.fds().into_iter().filter(|fd| fd.0 > 2) {
        if target.contains("d.pid") || target.ends_with("(deleted)") || Path::new(&target).is_dir()
        {
            let info = fs::read_to_string(format!("/proc/{}/fdinfo/{number}", daemon.pid)).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
            let flags = i32::from_str_radix(flags, 8).unwrap();
            assert_ne!(flags & libc::O_CLOEXEC, 0, "{number} {target}");
        }
    }
}

#[test]
fn without_a_pid_file_there_is_none() {
    let rig = Rig::new();
    succeed(&mut rig.command(&["simple="]));
    let [pid] = rig.processes()[..] else { panic!("{:?}", rig.processes()) };
    Daemon::of_pid(pid).stop();
    rig.assert_nothing_left();
}

#[test]
fn a_second_instance_is_refused_and_told_the_first_ones_pid() {
    let rig = Rig::new();
    let first = rig.start(&["simple=d.pid"]);
    let message = fail_with(1, &mut rig.command(&["simple=d.pid"]));
    let expected =
        format!("daemon: {} already running as pid {}, which holds d.pid", libc::EEXIST, first.pid);
    assert_eq!(message, expected);
    assert_eq!(rig.processes(), [first.pid]);
    first.stop();
    rig.assert_nothing_left();
}

#[test]
fn descriptors_and_signals_of_the_program_are_left_alone() {
    let rig = Rig::new();
    let arguments = ["open=kept", "ignore=10", "block=12", "handle=17", "simple=d.pid"];
    let daemon = rig.start(&arguments);
    let kept = rig.folder.path("kept");
    assert!(daemon.fds().iter().any(|fd| Path::new(&fd.1) == kept));
    let bits = |name| u64::from_str_radix(&daemon.status(name), 16).unwrap();
    assert_ne!(bits("SigIgn") & 1 << 9, 0);
    assert_ne!(bits("SigBlk") & 1 << 11, 0);
    assert_ne!(bits("SigCgt") & 1 << 16, 0);
    daemon.stop();
}

#[test]
fn a_program_with_threads_is_refused_unless_it_asks() {
    let rig = Rig::new();
    let sentence = "cannot go into the background: other threads run, which fork would end";
    rig.refused(libc::EBUSY, sentence, &["start-thread=1", "simple=d.pid"]);
    let daemon = rig.start(&["start-thread=1", "pidfile=./d.pid", "allow_threads=1"]);
    assert_eq!(daemon.status("Threads"), "1");
    daemon.stop();
}

#[test]
fn process_1_is_refused() {
    if !is_root() {
        return skip("needs root for a pid namespace");
    }
    let rig = Rig::new();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]).arg(&rig.program).arg("simple=");
    let message = fail_with(1, &mut command);
    let sentence = "cannot go into the background: this is process 1, whose end is everybody's";
    assert_eq!(message, format!("daemon: {} {sentence}", libc::ENOTSUP));
}

#[test]
fn a_daemon_cannot_become_one_again() {
    let rig = Rig::new();
    let daemon = rig.start(&["pidfile=./d.pid", "log_file=d.log", "again=1"]);
    let log = fs::read_to_string(rig.folder.path("d.log")).unwrap();
    let sentence = "cannot become a daemon: this process is one already";
    assert_eq!(log, format!("{} {sentence}\n", libc::EALREADY));
    daemon.stop();
}

#[test]
fn in_the_foreground_the_text_goes_to_stderr() {
    let rig = Rig::new();
    let fail = ["foreground=1", "pidfile=./d.pid", "name=scanner", "fail=3:no interface"];
    assert_eq!(fail_with(3, &mut rig.command(&fail)), "scanner: no interface");
    rig.assert_nothing_left();
}

#[test]
fn readiness_is_said_by_the_daemon_alone() {
    let rig = Rig::new();
    let daemon = rig.start(&["pidfile=./d.pid", "ready-in-child=1", "exit-in-child=1"]);
    assert!(rig.folder.path("d.pid").exists(), "a child that exits leaves the pid file alone");
    daemon.stop();
    common::until("its children end", || rig.processes().is_empty());
    rig.assert_nothing_left();
}

#[test]
fn options_set_directory_umask_and_pid_file() {
    let rig = Rig::new();
    fs::create_dir(rig.folder.path("work")).unwrap();
    let arguments = ["pidfile=./d.pid", "directory=work", "umask=027", "pidfile_mode=0600"];
    let daemon = rig.start(&arguments);
    assert_eq!(daemon.cwd(), rig.folder.path("work"));
    assert_eq!(daemon.status("Umask"), "0027");
    let mode = fs::metadata(rig.folder.path("d.pid")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    daemon.stop();

    let daemon = rig.start(&["pidfile=./d.pid", "directory=.", "umask=-2"]);
    assert_eq!(daemon.cwd(), fs::canonicalize(&rig.folder).unwrap());
    assert_eq!(daemon.status("Umask"), "0000");
    daemon.stop();

    let mut command = rig.command(&["pidfile=./d.pid", "umask=-1"]);
    // SAFETY: umask(2) is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::umask(0o077);
            Ok(())
        })
    };
    succeed(&mut command);
    let daemon = Daemon::of(&rig.folder.path("d.pid"));
    assert_eq!(daemon.status("Umask"), "0077");
    daemon.stop();
}

#[test]
fn a_bare_name_stands_in_run() {
    if !is_root() {
        return skip("needs root to write to /run");
    }
    let rig = Rig::new();
    let name = format!("rsdaemon-test-{}", std::process::id());
    for given in [name.clone(), format!("{name}.pid")] {
        succeed(&mut rig.command(&[&format!("pidfile={given}")]));
        let path = Path::new("/run").join(format!("{name}.pid"));
        Daemon::of(&path).stop();
        assert!(!path.exists());
    }
}

#[test]
fn a_pid_file_at_ready_appears_with_it() {
    let rig = Rig::new();
    let sentence = "the daemon exited with status 4 before it was ready";
    rig.refused(libc::ECHILD, sentence, &["pidfile=./d.pid", "pidfile_when=1", "exit=4"]);

    let daemon = rig.start(&["pidfile=./d.pid", "pidfile_when=1"]);
    assert!(is_locked(&rig.folder.path("d.pid")));
    let second = &["pidfile=./d.pid", "pidfile_when=1", "fail=7:never got here"];
    let message = fail_with(1, &mut rig.command(second));
    assert!(message.contains(&format!("already running as pid {}", daemon.pid)), "{message}");
    daemon.stop();
    rig.assert_nothing_left();
}

#[test]
fn in_the_foreground_the_process_stays_and_all_else_happens() {
    let rig = Rig::new();
    let up = rig.folder.path("up");
    let mark = format!("mark={}", up.display());
    // The flags come first: TERM may arrive at any moment after the mark.
    let arguments = &["flags-first=1", "foreground=1", "pidfile=./d.pid", &mark];
    let mut child = Child::start(&mut rig.command(arguments));
    common::until("the daemon is ready", || up.exists());
    let daemon = Daemon::of(&rig.folder.path("d.pid"));
    assert_eq!(daemon.pid, child.pid());
    assert_eq!(daemon.cwd(), Path::new("/"));
    assert_eq!(daemon.status("Umask"), "0022");
    let session = nix::unistd::getsid(None).unwrap().to_string();
    assert_eq!(daemon.stat()[3], session, "it stays in the session of whoever started it");
    daemon.stop();
    assert_eq!(child.wait().code(), Some(0));
    fs::remove_file(up).unwrap();
    rig.assert_nothing_left();
}

#[test]
fn one_fork_makes_a_session_leader() {
    let rig = Rig::new();
    let daemon = rig.start(&["pidfile=./d.pid", "session_leader=1"]);
    assert_eq!(daemon.stat()[3], daemon.pid.to_string());
    daemon.stop();
    rig.assert_nothing_left();
}

#[test]
fn bad_options_are_refused() {
    let rig = Rig::new();
    for (argument, sentence) in [
        ("pidfile_when=2", "pidfile_when is out of range"),
        ("umask=-3", "umask is out of range"),
        ("umask=01000", "umask is out of range"),
        ("stdio=4", "stdio is out of range"),
        ("pidfile_mode=010000", "pidfile_mode is out of range"),
        ("log_file_mode=-1", "log_file_mode is out of range"),
        ("pidfile=", "the path of the pid file is empty"),
        ("user=no-such-user", "cannot use user no-such-user: there is no such user"),
        ("group=no-such-group", "cannot use group no-such-group: there is no such group"),
        ("user=root", "cannot use user root: it is root"),
        ("user=0", "cannot use user 0: it is root"),
        ("user=", "cannot use user : there is no such user"),
        ("user=-1", "cannot use user -1: there is no such user"),
        ("user=4294967295", "cannot use user 4294967295: there is no such user"),
        ("user=3999999999", "cannot use user 3999999999: it has no entry, so give a group"),
        ("pidfile_owner=no-such-user", "cannot use user no-such-user: there is no such user"),
    ] {
        rig.refused(libc::EINVAL, sentence, &[argument]);
    }
    let sentence = "log_file has no use with RSD_STDIO_KEEP";
    rig.refused(libc::EINVAL, sentence, &["stdio=2", "log_file=d.log"]);
    let missing = "cannot open the working directory none: No such file or directory";
    rig.refused(libc::ENOENT, missing, &["directory=none"]);
    let missing = "cannot open the directory of none/d.pid: No such file or directory";
    rig.refused(libc::ENOENT, missing, &["pidfile=none/d.pid"]);
}

#[test]
fn the_pid_file_may_belong_to_the_user_and_is_taken_over_again() {
    if !is_root() {
        return skip("needs root");
    }
    let rig = Rig::new();
    for _ in 0..2 {
        let daemon = rig.start(&["pidfile=./d.pid", "pidfile_owner=nobody", "user=nobody"]);
        assert_eq!(fs::metadata(rig.folder.path("d.pid")).unwrap().uid(), 65534);
        daemon.stop();
    }
}

#[test]
fn a_file_locked_before_goes_with_the_daemon() {
    let rig = Rig::new();
    let daemon = rig.start(&["lock=d.pid", "simple="]);
    assert_eq!(rig.processes(), [daemon.pid]);
    assert!(is_locked(&rig.folder.path("d.pid")));
    let message = fail_with(1, &mut rig.command(&["lock=d.pid", "simple="]));
    assert!(message.contains(&format!("already running as pid {}", daemon.pid)), "{message}");
    daemon.stop();
    assert!(!is_locked(&rig.folder.path("d.pid")));
}

#[test]
fn too_few_descriptors_are_an_error_with_nothing_left() {
    let rig = Rig::new();
    if common::test_with() == "valgrind" {
        return; // valgrind moves the limit
    }
    for limit in 3..16 {
        let output = common::run(&mut rig.command(&[&format!("nofile={limit}"), "simple=d.pid"]));
        if output.status.success() {
            Daemon::of(&rig.folder.path("d.pid")).stop();
        } else {
            let message = text(&output.stderr);
            assert!(message.contains("Too many open files"), "{limit}: {message}");
        }
        rig.assert_nothing_left();
    }
}

#[test]
fn it_works_without_proc() {
    if !is_root() {
        return skip("needs root for a mount namespace");
    }
    let rig = Rig::new();
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs none /proc && exec \"$@\"";
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(&rig.program);
    let nobody = "setpriv --reuid 65534 --clear-groups";
    succeed(command.arg("simple=d.pid").current_dir(&rig.folder));
    Daemon::of(&rig.folder.path("d.pid")).stop();
    rig.assert_nothing_left();

    // Without the right to link by descriptor the file needs a temporary name.
    fs::set_permissions(&rig.folder, fs::Permissions::from_mode(0o777)).unwrap();
    let script = format!("mount -t tmpfs none /proc && exec {nobody} \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(&rig.program);
    succeed(command.arg("simple=d.pid").current_dir(&rig.folder));
    let daemon = Daemon::of(&rig.folder.path("d.pid"));
    assert_eq!(rig.folder.names(), ["d.pid", "daemon"]);
    daemon.stop();
    rig.assert_nothing_left();
}

#[test]
fn who_is_not_ready_does_not_become_it_by_asking_again() {
    let rig = Rig::new();
    // A directory comes between the start and "ready".
    let blocker = rig.folder.path("e.pid");
    let twice = format!("ready-twice={}", blocker.display());
    let arguments = ["pidfile=./e.pid", "pidfile_when=1", &twice];
    let message = fail_with(1, &mut rig.command(&arguments));
    let sentence = "the daemon exited with status 0 before it was ready";
    assert_eq!(message, format!("daemon: {} {sentence}", libc::ECHILD));
    fs::remove_dir(blocker).unwrap();
    rig.assert_nothing_left();
}

#[test]
fn two_files_locked_before_both_go_with_the_daemon_and_nothing_else_is_written() {
    let rig = Rig::new();
    let daemon = rig.start(&["lock=d.pid", "lock=e.pid", "simple="]);
    assert_eq!(Daemon::of(&rig.folder.path("e.pid")).pid, daemon.pid);
    daemon.stop();
}
