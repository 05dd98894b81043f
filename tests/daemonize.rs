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

use common::{
    Child, Daemon, Folder, command, fail_with, is_locked, is_root, program, skip, succeed, text,
};
use nix::{
    libc,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The test daemon in a folder of its own, where it is started.
struct Rig {
    folder: Folder,
    program: std::path::PathBuf,
}

impl Rig {
    fn new() -> Self {
        let folder = Folder::new();
        let program = program(&folder, "daemon");
        Rig { folder, program }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.program);
        command.args(arguments).current_dir(&self.folder);
        command
    }

    #[track_caller]
    fn start(&self, arguments: &[&str]) -> Daemon {
        succeed(&mut self.command(arguments));
        Daemon::of(&self.folder.path("d.pid"))
    }

    /// Fails with status 1 and "ERRNO SENTENCE", and nothing is left.
    #[track_caller]
    fn refused(&self, errno: i32, sentence: &str, arguments: &[&str]) {
        let message = fail_with(1, &mut self.command(arguments));
        let expected = format!("daemon: {errno} {sentence}");
        assert_eq!(without_path(&message, self.folder.as_ref()), expected);
        self.assert_nothing_left();
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        assert_eq!(self.folder.names(), ["daemon"]);
        assert_eq!(self.processes(), Vec::<i32>::new());
    }

    /// Who runs this program.
    fn processes(&self) -> Vec<i32> {
        let is_ours = |pid: i32| {
            let exe = fs::read_link(format!("/proc/{pid}/exe"));
            exe.is_ok_and(|exe| exe == self.program) || {
                // valgrind runs it under another name.
                let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let program = self.program.as_os_str().as_encoded_bytes();
                arguments.split(|&byte| byte == 0).any(|argument| argument == program)
            }
        };
        let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|&pid| is_ours(pid) && !common::status_of(pid, "State").starts_with('Z'))
            .collect()
    }
}

fn without_path(message: &str, folder: &Path) -> String {
    message.replace(&format!("{}/", folder.display()), "")
}

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
fn what_stdio_has_buffered_is_written_once() {
    let rig = Rig::new();
    let output = succeed(&mut rig.command(&["print=hello", "simple=d.pid"]));
    assert_eq!(text(&output.stdout), "hello");
    Daemon::of(&rig.folder.path("d.pid")).stop();
}

#[test]
fn closed_stdio_is_on_dev_null_and_nothing_of_the_library_is_there() {
    for closed in [&["close=0"][..], &["close=1"], &["close=2"], &["close=0", "close=1", "close=2"]]
    {
        let rig = Rig::new();
        let arguments: Vec<_> = closed.iter().chain(&["simple=d.pid"]).copied().collect();
        let daemon = rig.start(&arguments);
        for number in 0..3 {
            assert_eq!(daemon.fd(number).as_deref(), Some("/dev/null"), "{closed:?}");
        }
        daemon.stop();
    }
}

#[test]
fn kept_stdio_that_was_closed_is_filled() {
    if common::test_with() == "valgrind" {
        return; // valgrind opens its log there after the fork
    }
    let rig = Rig::new();
    let daemon = rig.start(&["close=1", "pidfile=./d.pid", "stdio=2"]);
    assert_eq!(daemon.fd(1).as_deref(), Some("/dev/null"));
    assert_ne!(daemon.fd(2).as_deref(), Some("/dev/null"));
    daemon.stop();
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
fn an_ignored_sigchld_does_not_hide_how_the_daemon_ended() {
    let rig = Rig::new();
    let sentence = "the daemon exited with status 7 before it was ready";
    rig.refused(libc::ECHILD, sentence, &["ignore=17", "exit=7"]);
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
fn a_daemon_that_dies_is_reported_with_how_it_died() {
    let rig = Rig::new();
    let pidfile = "pidfile=./d.pid";
    let exited = "the daemon exited with status 7 before it was ready";
    rig.refused(libc::ECHILD, exited, &[pidfile, "exit=7"]);
    let finished = "the daemon exited with status 0 before it was ready";
    rig.refused(libc::ECHILD, finished, &[pidfile, "exit=0"]);
    let killed = "the daemon was killed by SIGKILL before it was ready";
    rig.refused(libc::ECHILD, killed, &[pidfile, "die=9"]);
    rig.refused(libc::ECHILD, killed, &[pidfile, "session_leader=1", "die=9"]);
    // Whether there is a core dump depends on the machine.
    let message = fail_with(1, &mut rig.command(&[pidfile, "die=11"]));
    assert!(message.contains("the daemon was killed by SIGSEGV"), "{message}");
    rig.assert_nothing_left();
}

#[test]
fn a_daemon_that_dies_is_reported_although_its_child_lives_and_the_child_is_ended() {
    let rig = Rig::new();
    let sentence = "the daemon exited with status 7 before it was ready";
    rig.refused(libc::ECHILD, sentence, &["pidfile=./d.pid", "fork=1", "exit=7"]);
}

#[test]
fn a_daemon_that_gives_up_chooses_status_and_text() {
    let rig = Rig::new();
    let fail = ["pidfile=./d.pid", "name=scanner", "fail=3:no such interface: wlan0"];
    let message = fail_with(3, &mut rig.command(&fail));
    assert_eq!(message, "scanner: no such interface: wlan0");
    rig.assert_nothing_left();
    // 0 would be a lie.
    assert_eq!(fail_with(1, &mut rig.command(&["fail=0:nothing to do"])), "nothing to do");
    let long = format!("fail=2:{}", "x".repeat(10_000));
    assert_eq!(fail_with(2, &mut rig.command(&[&long])), "x".repeat(4096));
}

#[test]
fn in_the_foreground_the_text_goes_to_stderr() {
    let rig = Rig::new();
    let fail = ["foreground=1", "pidfile=./d.pid", "name=scanner", "fail=3:no interface"];
    assert_eq!(fail_with(3, &mut rig.command(&fail)), "scanner: no interface");
    rig.assert_nothing_left();
}

#[test]
fn a_ready_timeout_ends_the_half_started_daemon() {
    let rig = Rig::new();
    let sentence = "the daemon was not ready within 300 ms and was ended";
    let arguments = ["pidfile=./d.pid", "ready_timeout_ms=300", "fork=1", "hang=1"];
    rig.refused(libc::ETIMEDOUT, sentence, &arguments);
}

#[test]
fn a_program_that_closes_all_descriptors_is_told() {
    let rig = Rig::new();
    let sentence = "the daemon closed the descriptors of its library before it was ready";
    rig.refused(libc::EPIPE, sentence, &["pidfile=./d.pid", "close-all=1", "hang=1"]);
    // rsd_ready() tells the daemon, too.
    let sentence = "the daemon exited with status 6 before it was ready";
    rig.refused(libc::ECHILD, sentence, &["pidfile=./d.pid", "close-all=1"]);
}

#[test]
fn a_cancelled_start_takes_the_daemon_with_it() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        let rig = Rig::new();
        let up = rig.folder.path("up");
        let mark = format!("mark={}", up.display());
        let mut launcher =
            Child::start(&mut rig.command(&["pidfile=./d.pid", "fork=1", &mark, "hang=1"]));
        common::until("the daemon starts", || up.exists());
        kill(Pid::from_raw(launcher.pid()), signal).unwrap();
        let status = launcher.wait();
        let number = std::os::unix::process::ExitStatusExt::signal(&status);
        if common::test_with().is_empty() {
            assert_eq!(number, Some(signal as i32));
        }
        fs::remove_file(up).unwrap();
        rig.assert_nothing_left();
    }
}

#[test]
fn a_daemon_whose_launcher_was_killed_learns_it_and_ends() {
    let rig = Rig::new();
    // The daemon stops itself before it is ready, so that the launcher can be killed first.
    let up = rig.folder.path("up");
    let mark = format!("mark={}", up.display());
    let mut launcher =
        Child::start(&mut rig.command(&["pidfile=./d.pid", "log_file=d.log", &mark, "die=19"]));
    common::until("the daemon starts", || up.exists());
    let daemon = Daemon::of(&rig.folder.path("d.pid"));
    common::until("the daemon stops", || daemon.status("State").starts_with('T'));
    launcher.0.kill().unwrap();
    launcher.wait();
    daemon.signal(Signal::SIGCONT);
    daemon.wait_end();
    common::until("no process is left", || rig.processes().is_empty());
    assert_eq!(rig.folder.names(), ["d.log", "daemon", "up"]);
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
fn output_goes_to_the_log_file_at_once_or_when_ready() {
    let rig = Rig::new();
    let daemon = rig.start(&["pidfile=./d.pid", "log_file=d.log", "say=hello"]);
    let log = rig.folder.path("d.log");
    assert_eq!(fs::read_to_string(&log).unwrap(), "hello\n");
    assert_eq!(fs::metadata(&log).unwrap().mode() & 0o777, 0o640);
    daemon.stop();

    let kept = ["pidfile=./d.pid", "log_file=d.log", "stdio=3", "say=on the terminal"];
    let output = succeed(&mut rig.command(&kept));
    assert_eq!(text(&output.stderr), "on the terminal\n");
    let daemon = Daemon::of(&rig.folder.path("d.pid"));
    assert_eq!(fs::read_to_string(&log).unwrap(), "hello\n");
    assert_eq!(daemon.fd(1).as_deref(), log.to_str());
    assert_eq!(daemon.fd(2).as_deref(), log.to_str());
    assert_eq!(daemon.fd(0).as_deref(), Some("/dev/null"));
    daemon.stop();
}

#[test]
fn a_log_file_that_is_none_is_refused() {
    let rig = Rig::new();
    let fifo = rig.folder.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let message = fail_with(1, &mut rig.command(&["log_file=fifo"]));
    assert!(message.contains("fifo"), "{message}");
    let message = fail_with(1, &mut rig.command(&["log_file=/dev/full"]));
    assert!(message.contains("it is not a regular file"), "{message}");
    std::os::unix::fs::symlink("target", rig.folder.path("link")).unwrap();
    let message = fail_with(1, &mut rig.command(&["log_file=link"]));
    assert!(message.contains("cannot open link"), "{message}");
    assert!(!rig.folder.path("target").exists());
}

#[test]
fn in_the_foreground_the_process_stays_and_all_else_happens() {
    let rig = Rig::new();
    let up = rig.folder.path("up");
    let mark = format!("mark={}", up.display());
    let mut child = Child::start(&mut rig.command(&["foreground=1", "pidfile=./d.pid", &mark]));
    common::until("the daemon is ready", || up.exists());
    let daemon = Daemon::of(&rig.folder.path("d.pid"));
    assert_eq!(daemon.pid, child.pid());
    assert_eq!(daemon.cwd(), Path::new("/"));
    assert_eq!(daemon.status("Umask"), "0022");
    let session = nix::unistd::getsid(None).unwrap().to_string();
    assert_eq!(daemon.stat()[3], session, "it stays in the session of whoever started it");
    common::until("it waits for signals", || daemon.status("SigCgt") != "0000000000000000");
    daemon.stop();
    assert!(child.wait().success());
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
fn only_inherited_descriptors_are_closed_and_only_on_request() {
    let rig = Rig::new();
    let inherit = |arguments: &[&str]| {
        let mut command = rig.command(arguments);
        let [a, b] = ["a", "b"].map(|name| fs::File::create(rig.folder.path(name)).unwrap());
        // SAFETY: dup2(2) is async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                use std::os::fd::AsRawFd;
                libc::dup2(a.as_raw_fd(), 40);
                libc::dup2(b.as_raw_fd(), 41);
                Ok(())
            })
        };
        succeed(&mut command);
        Daemon::of(&rig.folder.path("d.pid"))
    };
    let daemon = inherit(&["pidfile=./d.pid", "close_inherited=1", "keep=41", "open=own"]);
    assert_eq!(daemon.fd(40), None);
    assert_eq!(daemon.fd(41).as_deref(), rig.folder.path("b").to_str());
    assert!(daemon.fds().iter().any(|fd| fd.1.ends_with("/own")));
    daemon.stop();

    let daemon = inherit(&["pidfile=./d.pid"]);
    assert!(daemon.fd(40).is_some());
    daemon.stop();

    // The program's own file on an inherited number.
    let own = ["close=40", "open=x", "pidfile=./d.pid", "close_inherited=1"];
    let daemon = inherit(&own);
    assert!(daemon.fds().iter().any(|fd| fd.1.ends_with("/x")));
    daemon.stop();
}

#[test]
fn sockets_passed_by_a_service_manager_are_kept() {
    let rig = Rig::new();
    let file = fs::File::create(rig.folder.path("socket")).unwrap();
    let script = "exec env LISTEN_PID=$$ LISTEN_FDS=1 \"$@\" 3>&0 4>&0";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(&rig.program);
    command.args(["pidfile=./d.pid", "close_inherited=1"]).current_dir(&rig.folder);
    assert!(command.stdin(file).status().unwrap().success());
    let daemon = Daemon::of(&rig.folder.path("d.pid"));
    assert_eq!(daemon.fd(3).as_deref(), rig.folder.path("socket").to_str());
    assert_ne!(daemon.fd(4).as_deref(), rig.folder.path("socket").to_str());
    daemon.stop();
}

#[test]
fn only_inherited_signal_state_is_reset_and_only_on_request() {
    let rig = Rig::new();
    let inherit = |arguments: &[&str]| {
        let mut command = rig.command(arguments);
        // SAFETY: signal(2) and sigprocmask(2) are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGUSR1, libc::SIG_IGN);
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&mut set);
                libc::sigaddset(&mut set, libc::SIGUSR2);
                libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
                Ok(())
            })
        };
        succeed(&mut command);
        let daemon = Daemon::of(&rig.folder.path("d.pid"));
        let bits = |name| u64::from_str_radix(&daemon.status(name), 16).unwrap();
        let state = [
            bits("SigIgn") & 1 << 9 != 0,
            bits("SigBlk") & 1 << 11 != 0,
            bits("SigIgn") & 1 << 27 != 0,
        ];
        daemon.stop();
        state
    };
    // 28 is WINCH, which the program ignores itself.
    assert_eq!(inherit(&["pidfile=./d.pid", "ignore=28"]), [true, true, true]);
    let reset = ["pidfile=./d.pid", "ignore=28", "reset_signals=1"];
    assert_eq!(inherit(&reset), [false, false, true]);
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
fn privileges_are_given_up_for_good() {
    if !is_root() {
        return skip("needs root");
    }
    let rig = Rig::new();
    let daemon = rig.start(&["pidfile=./d.pid", "user=nobody"]);
    let uid = daemon.status("Uid");
    assert!(uid.split_whitespace().all(|uid| uid == "65534"), "{uid}");
    assert_eq!(daemon.status("CapEff"), "0000000000000000");
    assert_eq!(daemon.status("CapPrm"), "0000000000000000");
    let groups = daemon.status("Groups");
    assert!(!groups.split_whitespace().any(|group| group == "0"), "{groups}");
    let gid = daemon.status("Gid");
    assert!(gid.split_whitespace().all(|gid| gid == "65534"), "{gid}");
    assert_eq!(fs::metadata(rig.folder.path("d.pid")).unwrap().uid(), 0);
    daemon.stop();

    // nobody may not remove it from root's folder: it names nobody any more.
    assert_eq!(fs::read_to_string(rig.folder.path("d.pid")).unwrap(), "");
    let daemon = rig.start(&["pidfile=./d.pid", "user=65534", "group=daemon"]);
    assert_eq!(daemon.status("Gid").split_whitespace().next(), Some("1"));
    assert_eq!(daemon.status("Groups"), "");
    daemon.stop();
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
fn who_may_not_change_the_user_is_told() {
    if !is_root() {
        return skip("needs root to become somebody who is not");
    }
    let rig = Rig::new();
    let message = fail_with(1, &mut rig.command(&["uid=65534", "user=daemon", "directory=."]));
    let sentence = "cannot set the supplementary groups: Operation not permitted";
    assert_eq!(message, format!("daemon: {} {sentence}", libc::EPERM));
    assert_eq!(rig.processes(), Vec::<i32>::new());
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
fn a_null_device_that_is_none_is_refused() {
    if !is_root() {
        return skip("needs root for a mount namespace");
    }
    let rig = Rig::new();
    let run = |prepare: &str| {
        let script = format!("mount -t tmpfs none /dev && {prepare} exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]).arg(&rig.program).arg("simple=");
        fail_with(1, command.current_dir(&rig.folder))
    };
    let missing = "cannot open /dev/null: No such file or directory";
    assert_eq!(run(""), format!("daemon: {} {missing}", libc::ENOENT));
    let file = "cannot use /dev/null: it is not the null device";
    assert_eq!(run(": > /dev/null;"), format!("daemon: {} {file}", libc::ENODEV));
    rig.assert_nothing_left();
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
fn the_daemon_knows_its_processor() {
    let folder = Folder::new();
    let program = program(&folder, "processor");
    succeed(command(&program).args(["./d.pid", "log"]).current_dir(&folder));
    let log = fs::read_to_string(folder.path("log")).unwrap();
    assert!(!log.is_empty());
    for line in log.lines() {
        let (really, believed) = line.split_once(' ').unwrap();
        assert_eq!(really, believed, "{log}");
    }
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
fn resetting_signals_leaves_the_flags_alone() {
    let rig = Rig::new();
    let mut command = rig.command(&["flags-first=1", "pidfile=./d.pid", "reset_signals=1"]);
    // SAFETY: signal(2) is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            Ok(())
        })
    };
    succeed(&mut command);
    let daemon = Daemon::of(&rig.folder.path("d.pid"));
    let ignored = u64::from_str_radix(&daemon.status("SigIgn"), 16).unwrap();
    assert_ne!(ignored & 1 << 12, 0, "PIPE is ignored: {ignored:x}");
    daemon.stop();
}

#[test]
fn groups_are_given_up_although_the_ids_are_right_already() {
    if !is_root() {
        return skip("needs root");
    }
    let rig = Rig::new();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--groups", "0,4"]).arg(&rig.program);
    command.args(["user=nobody", "directory=."]).current_dir(&rig.folder);
    let message = fail_with(1, &mut command);
    let sentence = "cannot set the supplementary groups: Operation not permitted";
    assert_eq!(message, format!("daemon: {} {sentence}", libc::EPERM));

    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.args(["--inh-caps=+setuid", "--ambient-caps=+setuid"]).arg(&rig.program);
    command.args(["user=65534", "group=65534", "directory=."]).current_dir(&rig.folder);
    let message = fail_with(1, &mut command);
    let sentence = "cannot give up privileges: root could come back";
    assert_eq!(message, format!("daemon: {} {sentence}", libc::EPERM));
}

#[test]
fn two_files_locked_before_both_go_with_the_daemon_and_nothing_else_is_written() {
    let rig = Rig::new();
    let daemon = rig.start(&["lock=d.pid", "lock=e.pid", "simple="]);
    assert_eq!(Daemon::of(&rig.folder.path("e.pid")).pid, daemon.pid);
    daemon.stop();
}

#[test]
fn a_daemon_that_cannot_be_killed_does_not_hang_the_caller() {
    if !is_root() {
        return skip("needs root to drop the right to kill");
    }
    let rig = Rig::new();
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-kill", "--inh-caps=-kill"]).arg(&rig.program);
    command.args(["user=nobody", "ready_timeout_ms=200", "sleep=6"]).current_dir(&rig.folder);
    let message = fail_with(1, &mut command);
    assert!(
        message.ends_with("and was ended; not all of its processes could be ended"),
        "{message}"
    );
    for pid in rig.processes() {
        drop(Daemon::of_pid(pid));
    }
}
