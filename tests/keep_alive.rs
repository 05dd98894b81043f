//! A worker that is started again when it crashes, and its parent, which is the daemon for everybody else.

mod common;

use std::{
    collections::HashMap,
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use common::{
    Child, Daemon, Folder, command, example, fail_with, foreground::Foreground, has_ended_within,
    is_locked, is_root, manager::Manager, passes, port, program, read, run, skip, status_of,
    succeed, test_with, text, until,
};
use nix::sys::signal::Signal;

#[test]
fn worker_asks_its_parent_and_gets_descriptors() {
    for case in ["asks", "nobody-answers", "parent-is-gone"] {
        passes("keep_alive", &[case]);
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    passes("keep_alive", &["is-refused"]);
}

#[test]
fn parent_leaves_as_its_worker_did() {
    passes("keep_alive", &["statuses"]);
    passes("keep_alive", &["sigchld-is-ignored"]);
}

#[test]
fn what_a_terminal_sends_reaches_the_worker_once() {
    passes("keep_alive", &["terminal"]);
}

#[test]
fn dead_worker_asks_for_nothing() {
    passes("keep_alive", &["dead-worker-asks-for-nothing"]);
}

#[test]
fn answer_is_that_of_its_request() {
    passes("keep_alive", &["answers-are-not-mixed-up"]);
    if test_with() != "valgrind" {
        // Which keeps its own limit of descriptors.
        passes("keep_alive", &["no-room-for-a-descriptor"]);
    }
}

#[test]
fn forked_child_of_a_worker_keeps_no_way_to_the_parent() {
    passes("keep_alive", &["forked-child-keeps-no-channel"]);
}

#[test]
fn worker_cannot_tell_the_manager_who_is_main() {
    passes("keep_alive", &["manager-is-not-told-by-a-worker-who-is-main"]);
}

#[test]
fn who_only_tells_does_not_wait_for_answers() {
    passes("keep_alive", &["who-only-tells-does-not-wait-for-answers"]);
}

#[test]
fn worker_learns_that_the_manager_is_gone() {
    passes("keep_alive", &["barrier-fails-where-nobody-reads"]);
}

#[test]
fn parent_is_not_kept_from_signals() {
    passes("keep_alive", &["manager-does-not-read"]);
    passes("keep_alive", &["closing-does-not-take-long"]);
}

#[test]
fn answer_may_close_all_descriptors() {
    passes("keep_alive", &["parent-loses-its-descriptors"]);
}

#[test]
fn worker_that_gave_up_is_heard_whatever_its_status() {
    passes("keep_alive", &["last-words-are-told"]);
}

#[test]
fn worker_that_aborts_by_itself_was_not_asked_to() {
    passes("keep_alive", &["aborts-while-it-ends"]);
}

#[test]
fn job_control_is_passed_on_where_there_is_a_handler() {
    passes("keep_alive", &["job-control"]);
}

#[test]
fn launcher_learns_why_there_is_no_worker() {
    passes("keep_alive", &["no-descriptor-for-signals"]);
}

/// tests/programs/supervised.c with a worker.
struct Rig {
    folder: Folder,
    program: PathBuf,
}

/// Each restart after 10 ms, 20 ms, ...
const ALIVE: &str = "alive=0:10:0";

impl Rig {
    fn new() -> Self {
        let folder = Folder::new();
        let program = program(&folder, "supervised");
        Rig { folder, program }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.program);
        command.args(["log=log", "pidfile=./d.pid"]).args(arguments).current_dir(&self.folder);
        command
    }

    /// In the background.
    #[track_caller]
    fn start(&self, arguments: &[&str]) -> Daemon {
        succeed(&mut self.command(arguments));
        Daemon::of(&self.pidfile())
    }

    /// A child of this test, when a worker is there.
    fn start_as_child(&self, arguments: &[&str]) -> (Child, Daemon) {
        let child = Child::start(self.command(&["foreground=1"]).args(arguments));
        let daemon = Daemon::of_pid(child.pid());
        until("it is ready", || worker_of(&daemon).is_some());
        (child, daemon)
    }

    fn pidfile(&self) -> PathBuf {
        self.folder.path("d.pid")
    }

    fn log(&self) -> String {
        read(&self.folder.path("log"))
    }

    /// What a worker does next.
    fn next(&self, what: &str) {
        fs::write(self.folder.path("next"), what).unwrap();
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        until("the lock is free", || !is_locked(&self.pidfile()));
        assert!(!self.pidfile().exists());
    }
}

/// The number of the worker, when it has said by its name that it is ready.
fn worker_of(daemon: &Daemon) -> Option<i32> {
    let pid = *daemon.children().first()?;
    (status_of(pid, "Name") == "worker-ready").then_some(pid)
}

/// It ends with the value.
#[track_caller]
fn worker(daemon: &Daemon) -> Daemon {
    let mut found = None;
    until("a worker serves", || {
        found = worker_of(daemon);
        found.is_some()
    });
    Daemon::of_pid(found.unwrap())
}

#[track_caller]
fn crash(daemon: &Daemon) {
    worker(daemon).signal(Signal::SIGKILL);
}

#[test]
fn worker_that_crashes_is_started_again_until_there_were_too_many() {
    let rig = Rig::new();
    let daemon = rig.start(&["alive=3:10:0", "foreground=0"]);
    for delay in [10, 20, 40] {
        crash(&daemon);
        let line = format!("the worker was killed by SIGKILL; it is started again in {delay} ms");
        until(&line, || rig.log().contains(&line));
        assert!(is_locked(&rig.pidfile()));
        assert_eq!(read(&rig.pidfile()), format!("{}\n", daemon.pid));
    }
    crash(&daemon);
    daemon.wait_end();
    let line = "the worker was killed by SIGKILL; given up after 3 restarts within 60000 ms";
    assert!(rig.log().contains(line), "{}", rig.log());
    rig.assert_nothing_left();
}

#[test]
fn whoever_starts_it_learns_how_the_first_worker_began() {
    let rig = Rig::new();
    for (what, status, why) in [
        ("fail=3:no interface", 3, "no interface"),
        ("exit=4", 4, "the worker exited with status 4 before it was ready"),
        ("exit=0", 1, "the worker exited with status 0 before it was ready"),
        ("kill=9", 137, "the worker was killed by SIGKILL before it was ready"),
    ] {
        rig.next(what);
        let said = fail_with(status, &mut rig.command(&[ALIVE, "foreground=0", "name=it"]));
        assert_eq!(said, format!("it: {why}"));
        rig.assert_nothing_left();
    }
    let long = "a".repeat(3000);
    let fail = format!("fail=3:{long}");
    let said = fail_with(3, &mut rig.command(&[ALIVE, "foreground=0", "name=it", &fail]));
    assert_eq!(said, format!("it: {long}"));
    // One that takes its time is waited for.
    rig.next("sleep=1");
    let begin = Instant::now();
    let daemon = rig.start(&[ALIVE, "foreground=0"]);
    assert!(begin.elapsed() > Duration::from_millis(900));
    daemon.stop();
    rig.assert_nothing_left();
}

#[test]
fn worker_that_ends_by_itself_is_the_end() {
    let rig = Rig::new();
    let (mut child, daemon) = rig.start_as_child(&[ALIVE]);
    let worker = worker(&daemon);
    worker.signal(Signal::SIGTERM);
    assert_eq!(child.wait().code(), Some(0));
    assert!(rig.log().contains("the worker has ended"), "{}", rig.log());
    rig.assert_nothing_left();
}

#[test]
fn signals_are_passed_on_and_the_end_is_orderly() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGABRT] {
        let rig = Rig::new();
        let (mut child, daemon) = rig.start_as_child(&[ALIVE]);
        let worker = worker(&daemon);
        daemon.signal(signal);
        assert_eq!(child.wait().code(), Some(0), "{signal}");
        worker.wait_end();
        assert!(!rig.log().contains("started again"), "{}", rig.log());
        rig.assert_nothing_left();
    }
}

#[test]
fn signal_in_a_pause_ends_it_at_once() {
    let rig = Rig::new();
    let (mut child, daemon) = rig.start_as_child(&["alive=0:10000:0"]);
    crash(&daemon);
    until("it pauses", || rig.log().contains("started again in 10000 ms"));
    daemon.signal(Signal::SIGTERM);
    assert!(has_ended_within(daemon.pid, common::at_once()));
    assert_eq!(child.wait().code(), Some(0));
}

#[test]
fn worker_that_does_not_end_is_killed_after_the_time_for_it() {
    let rig = Rig::new();
    let (mut child, daemon) = rig.start_as_child(&["alive=0:10:300"]);
    let worker = worker(&daemon);
    worker.signal(Signal::SIGSTOP);
    let begin = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(child.wait().code(), Some(128 + 9));
    assert!(begin.elapsed() >= Duration::from_millis(300));
    worker.wait_end();
    rig.assert_nothing_left();
}

#[test]
fn worker_ends_with_its_parent_and_nobody_else_starts_before() {
    let rig = Rig::new();
    for user in [None, Some("nobody")] {
        if user.is_some() && !is_root() {
            skip("needs root to give it up");
            continue;
        }
        let drop = user.map(|user| format!("drop={user}"));
        let arguments: Vec<_> =
            [ALIVE, "foreground=0"].into_iter().chain(drop.as_deref()).collect();
        let daemon = rig.start(&arguments);
        let worker = worker(&daemon);
        assert_eq!(worker.status("Uid") != daemon.status("Uid"), user.is_some());
        worker.signal(Signal::SIGSTOP); // also one that hangs
        daemon.signal(Signal::SIGKILL);
        worker.wait_end();
        until("the lock is free", || !is_locked(&rig.pidfile()));
    }
}

/// As programs do that fork workers of their own.
#[test]
fn worker_that_says_it_was_forked_still_shares_the_lock() {
    let rig = Rig::new();
    let daemon = rig.start(&[ALIVE, "foreground=0", "after-fork=1"]);
    let worker = worker(&daemon);
    // The file was made without a name, where that can be.
    let is_lock = |fd: &(i32, String)| fd.1.contains("/#") || fd.1.contains("d.pid");
    let locks =
        |process: &Daemon| -> Vec<_> { process.fds().into_iter().filter(is_lock).collect() };
    assert_eq!(locks(&daemon).len(), 1);
    assert_eq!(locks(&worker), locks(&daemon));
    daemon.stop();
    rig.assert_nothing_left();
}

#[test]
fn worker_shares_a_lock_that_is_taken_when_it_is_ready() {
    let rig = Rig::new();
    let daemon = rig.start(&[ALIVE, "foreground=0", "at-ready=1"]);
    let worker = worker(&daemon);
    worker.signal(Signal::SIGSTOP);
    let has_lock = |process: &Daemon| {
        process.fds().iter().any(|fd| fd.1.contains("/#") || fd.1.contains("d.pid"))
    };
    assert!(has_lock(&daemon) && has_lock(&worker));
    worker.signal(Signal::SIGCONT);
    daemon.stop();
    rig.assert_nothing_left();
}

#[test]
fn service_manager_is_told_by_the_parent_what_the_worker_says() {
    let manager = Manager::new();
    let arguments = [
        "foreground=1",
        ALIVE,
        "status=serving",
        "notify=MAINPID=1",
        "notify=X_ANY=1",
        "barrier=5000",
    ];
    let mut command = manager.command(&arguments);
    // Of each message, who has sent it: systemd listens to the main process alone.
    nix::sys::socket::setsockopt(&manager.socket, nix::sys::socket::sockopt::PassCred, &true)
        .unwrap();
    let child = Child::start(&mut command);
    let main = Daemon::of_pid(child.pid());
    let told = || manager.told_by(main.pid);
    assert_eq!(told(), "STATUS=serving");
    assert_eq!(told(), "X_ANY=1");
    assert_eq!(told(), "BARRIER=1");
    assert_eq!(told(), "READY=1");
    let first = worker(&main);
    main.signal(Signal::SIGHUP);
    assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told(), "READY=1\nSTATUS=serving");
    first.signal(Signal::SIGKILL);
    assert_eq!(told(), "STATUS=the worker was killed by SIGKILL; it is started again in 10 ms");
    // It may have crashed in a reload, so it is said again that it is ready.
    for again in ["STATUS=serving", "X_ANY=1", "BARRIER=1", "READY=1\nSTATUS=serving"] {
        assert_eq!(told(), again);
    }
    let _second = worker(&main);
    main.signal(Signal::SIGTERM);
    assert_eq!(told(), "STOPPING=1");
}

/// It passes on signals, and waits for whoever is left behind.
#[test]
fn process_1_has_a_worker() {
    if !is_root() {
        return skip("needs root for a process namespace");
    }
    let rig = Rig::new();
    let program = rig.command(&["foreground=2", ALIVE, "orphan=1", "orphan=1"]);
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    unshare.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    unshare.arg(program.get_program()).args(program.get_args()).current_dir(&rig.folder);
    let unshare = Foreground::start(&rig.folder, &mut unshare, "ready: 0\n");
    let [init] = unshare.process.children()[..] else { panic!("{:?}", unshare.process.children()) };
    let init = Daemon::of_pid(init);
    let first = worker(&init);
    until("nobody is left but the worker", || init.children() == [first.pid]);
    first.signal(Signal::SIGKILL);
    until("there is another one", || ![&[][..], &[first.pid]].contains(&&init.children()[..]));
    let _second = worker(&init);
    init.signal(Signal::SIGTERM);
    init.wait_end();
    unshare.process.wait_end();
}

/// c-examples/finger_server.c: the worker is nobody and has no way to files, and its parent opens the files.
#[test]
fn finger_server_reads_plans_without_any_right_to_them() {
    if !is_root() {
        return skip("needs root to give it up");
    }
    if test_with() == "valgrind" {
        return; // which has no seccomp(2)
    }
    let folder = Folder::new();
    let program = example(&folder, "finger_server");
    let (plans, address) = (folder.path("plans"), format!("127.0.0.1:{}", port()));
    fs::create_dir(&plans).unwrap();
    fs::set_permissions(&plans, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(plans.join("ada"), "the analytical engine\n").unwrap();
    fs::write(folder.path("secret"), "secret\n").unwrap();
    std::os::unix::fs::symlink(folder.path("secret"), plans.join("link")).unwrap();
    let pidfile = folder.path("d.pid");
    let mut start = command(&program);
    start.args(["start", "-l", &address, "--pidfile"]).arg(&pidfile).arg("-d").arg(&plans);
    succeed(&mut start);
    let daemon = Daemon::of(&pidfile);
    let finger = |name: &str| {
        let mut client = TcpStream::connect(&address).unwrap();
        client.write_all(format!("{name}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    };
    for _ in 0..2 {
        assert_eq!(finger("ada"), "the analytical engine\n");
        for nobody in ["bob", "", "../secret", "link", ".", "..", "a/b"] {
            assert_eq!(finger(nobody), "no plan\n", "{nobody}");
        }
        let worker = Daemon::of_pid(daemon.children()[0]);
        assert!(!worker.status("Uid").contains("0\t"), "{}", worker.status("Uid"));
        assert_eq!(worker.status("CapEff"), "0000000000000000");
        // A crash is a pause for who comes meanwhile, and no refusal.
        worker.signal(Signal::SIGSEGV);
    }
    assert_eq!(finger("ada"), "the analytical engine\n");
    daemon.stop();
    assert!(!pidfile.exists());
}

/// Its output, how it ended, and whether nobody is left.
fn with_fault(folder: &Folder, program: &Path, fault: &[&str]) -> Result<Option<i32>, String> {
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", "trace"]).args(fault).arg(program).current_dir(folder);
    let output = run(&mut command); // which panics where it hangs
    let is_left = |pid: &i32| {
        let path = fs::read_link(format!("/proc/{pid}/exe"));
        path.is_ok_and(|path| path == program)
    };
    let pids = || -> Vec<i32> {
        let processes = fs::read_dir("/proc").unwrap();
        processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
    };
    let (said, why) = (text(&output.stdout), text(&output.stderr));
    // strace(1) says so where a process is killed in the call.
    let why: String =
        why.split_inclusive('\n').filter(|line| !line.starts_with("strace: ")).collect();
    let status = output.status.code();
    let is_right = match status {
        // The other, where what failed is the sending of that.
        Some(0) => ["answered", "the worker exited with status 9"]
            .iter()
            .any(|why| said == format!("{why}; given up after 2 restarts within 60000 ms\n")),
        Some(1) => why.starts_with("fault_keep_alive: ") && why.len() > 30,
        _ => false,
    };
    until("nobody is left", || !pids().iter().any(is_left));
    if is_right { Ok(status) } else { Err(format!("{fault:?}: {status:?}: {said:?} {why:?}")) }
}

#[test]
fn whatever_fails_it_is_kept_alive_or_it_is_said_why_not() {
    if !test_with().is_empty() {
        return; // strace would show the tool's calls
    }
    let folder = Folder::new();
    let program = program(&folder, "fault_keep_alive");
    assert_eq!(with_fault(&folder, &program, &["-f"]), Ok(Some(0)));
    let trace = read(&folder.path("trace"));
    let (mut counts, mut is_marked) = (HashMap::<_, usize>::new(), false);
    let mut faults = Vec::new();
    let main = trace.split(' ').next().unwrap();
    for line in trace.lines() {
        let (pid, line) = line.split_once(' ').unwrap();
        let name = line.trim().split('(').next().unwrap();
        let is_call = line.contains('(') && !name.contains(['<', '+', '-', ' ']);
        // brk(2) has no error: it answers with what is in force.
        let is_left_out = ["exit_group", "close", "write", "rt_sigreturn", "brk"].contains(&name);
        is_marked |= line.contains("close(-1000001");
        if !is_call || is_left_out || name.starts_with("get") {
            continue;
        }
        let count = counts.entry((pid, name)).or_insert(0);
        *count += 1;
        // What the loader does not call: else the same number would hit it first.
        let is_loaders = counts.get(&(main, name)).is_some_and(|_| pid != main)
            && trace.split("close(-1000001").next().unwrap().contains(&format!("{name}("));
        if is_marked && !is_loaders {
            let count = counts[&(pid, name)];
            faults.push((pid == main, name, count));
        }
    }
    assert!(faults.len() > 25, "{faults:?}");
    let (mut wrong, mut complete) = (Vec::new(), 0);
    for (is_main, name, count) in &faults {
        for errno in ["ENOMEM", "EPERM", "EAGAIN", "EINTR"] {
            for from_here_on in ["", "+"] {
                let is_to_be_repeated = ["EINTR", "EAGAIN"].contains(&errno);
                // What is to be repeated for ever is repeated for ever.
                if is_to_be_repeated && (from_here_on == "+" || !CAN_BE_REPEATED.contains(name)) {
                    continue;
                }
                let fault = format!("inject={name}:error={errno}:when={count}{from_here_on}");
                let fault: Vec<_> =
                    ["-e", &fault].into_iter().chain((!is_main).then_some("-f")).collect();
                match with_fault(&folder, &program, &fault) {
                    Ok(status) => complete += usize::from(status == Some(0)),
                    Err(why) => wrong.push(why),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(complete > 20, "{complete} of {}", faults.len());
}

const CAN_BE_REPEATED: [&str; 5] = ["poll", "read", "recvmsg", "sendmsg", "waitid"];
