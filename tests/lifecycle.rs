//! Signalling and stopping a daemon by its pid file: the one that holds it, or nobody.

mod common;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use common::{
    Child, Daemon, Folder, at_once, command, is_locked, is_root, pidfile::each_other_kind_at,
    program, skip, succeed, text, try_flock,
};
use nix::{
    libc,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Enough for one look.
const MOMENT: Duration = Duration::from_millis(1);

/// Whose processes and files are not ours.
const STRANGER: u32 = 65534;

struct Rig {
    folder: Folder,
    program: PathBuf,
}

/// A daemon in the foreground, child of the test.
struct Served {
    child: Child,
    output: BufReader<ChildStdout>,
    pid: i32,
    worker: Option<Daemon>,
}

impl Served {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits for its end and reaps it.
    #[track_caller]
    fn ends(&mut self) {
        assert!(self.child.wait().success());
    }

    fn is_running(&self) -> bool {
        !common::has_ended_within(self.pid, MOMENT)
    }
}

impl Rig {
    fn new() -> Self {
        let folder = Folder::new();
        let program = program(&folder, "lifecycle");
        Rig { folder, program }
    }

    fn pidfile(&self) -> PathBuf {
        self.folder.path("d.pid")
    }

    fn write(&self, content: &str) {
        fs::write(self.pidfile(), content).unwrap();
    }

    #[track_caller]
    fn serve(&self, what: &[&str]) -> Served {
        self.served(Command::new(&self.program), what)
    }

    #[track_caller]
    fn served(&self, mut command: Command, what: &[&str]) -> Served {
        command.args(["serve", "d.pid"]).args(what).current_dir(&self.folder);
        command.env("ASAN_OPTIONS", "detect_leaks=0");
        let mut child = Child(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
        let output = BufReader::new(child.0.stdout.take().unwrap());
        let pid = child.pid();
        let mut served = Served { child, output, pid, worker: None };
        assert_eq!(served.line(), pid.to_string());
        if what.contains(&"worker") {
            served.worker = Some(Daemon::of_pid(served.line().parse().unwrap()));
        }
        assert_eq!(served.line(), "up");
        served
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.program);
        command.args(arguments).current_dir(&self.folder);
        command
    }

    /// One call on d.pid: what it says.
    #[track_caller]
    fn call(&self, what: &str, more: &[&str]) -> String {
        said(self.command(&[what, "d.pid"]).args(more))
    }

    #[track_caller]
    fn holder(&self) -> String {
        self.call("holder", &[])
    }

    #[track_caller]
    fn stop(&self) -> String {
        self.call("stop", &["20000"])
    }

    /// Nobody is found by any of the calls.
    #[track_caller]
    fn nobody_runs(&self, why: &str) {
        assert_eq!(self.holder(), "0", "{why}");
        assert_eq!(self.call("signal", &["15"]), "-1 3 not running: nobody holds d.pid", "{why}");
        assert_eq!(self.stop(), "0", "{why}");
    }

    /// All calls are refused with this errno and sentence.
    #[track_caller]
    fn refused(&self, errno: i32, sentence: &str) {
        let expected = format!("-1 {errno} {sentence}");
        assert_eq!(self.holder(), expected);
        assert_eq!(self.call("signal", &["15"]), expected);
        assert_eq!(self.call("stop", &["20000", "1"]), expected);
    }

    /// The same program under strace(1), which tampers with a system call.
    fn tampered(&self, inject: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "trace", "-e", inject]).arg(&self.program).args(arguments);
        command.current_dir(&self.folder);
        command
    }
}

#[track_caller]
fn said(command: &mut Command) -> String {
    text(&succeed(command).stdout).trim_end().to_owned()
}

/// valgrind has no pidfd_open(2) before 3.21: what the calls say then is tested without it.
fn has_pidfd() -> bool {
    common::test_with() != "valgrind"
}

fn as_stranger(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    let user = STRANGER.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(program);
    command
}

/// A process that ends if it gets a signal: alone in its group, and so also if its group gets one.
fn witness() -> Child {
    use std::os::unix::process::CommandExt;
    Child::start(Command::new("sleep").arg("1000").process_group(0))
}

fn is_running(child: &Child) -> bool {
    !common::has_ended_within(child.pid(), MOMENT)
}

/// What a pid file may say about processes that must not be signalled.
fn wrong_contents(witnesses: &[&Child]) -> Vec<String> {
    let mut contents: Vec<String> =
        ["", "\n", "0\n", "-1\n", "1x\n", "garbage\n", " 1\n", "99999999999\n", "2147483647\n"]
            .map(str::to_owned)
            .into();
    let shell = nix::unistd::getppid().to_string();
    contents.extend(["1\n".to_owned(), "2\n".to_owned(), shell, std::process::id().to_string()]);
    for witness in witnesses {
        contents.extend([format!("{}\n", witness.pid()), format!("-{}\n", witness.pid())]);
    }
    contents
}

fn witnesses() -> Vec<Child> {
    let mut witnesses = vec![witness()];
    if is_root() {
        let mut command = as_stranger(Path::new("sleep"));
        witnesses.push(Child::start(command.arg("1000")));
    }
    witnesses
}

#[test]
fn without_a_file_nobody_runs() {
    Rig::new().nobody_runs("no file");
}

#[test]
fn whatever_an_unlocked_file_says_nobody_runs_and_nobody_is_signalled() {
    let rig = Rig::new();
    let witnesses = witnesses();
    for content in wrong_contents(&witnesses.iter().collect::<Vec<_>>()) {
        rig.write(&content);
        rig.nobody_runs(&content);
    }
    assert!(witnesses.iter().all(is_running));
}

#[test]
fn a_locked_file_names_nobody_who_does_not_have_it_open() {
    let rig = Rig::new();
    let witnesses = witnesses();
    for content in wrong_contents(&witnesses.iter().collect::<Vec<_>>()) {
        if content.trim_end() == std::process::id().to_string() {
            continue; // it has
        }
        if content == "1\n" && fs::read_link("/proc/1/fd/0").is_err() {
            skip("process 1 may not be looked into, so it would be believed");
            continue;
        }
        // A new file: a child of another test may have inherited the lock of the one before for a moment.
        let _ = fs::remove_file(rig.pidfile());
        rig.write(&content);
        let lock = fs::File::open(rig.pidfile()).unwrap();
        assert!(try_flock(&lock, libc::LOCK_EX));
        let said = [rig.holder(), rig.call("signal", &["15"]), rig.call("stop", &["20000", "1"])];
        for said in said {
            let is_right =
                said.starts_with("-1 3 no daemon to be found: d.pid is locked, but names ");
            assert!(is_right, "{content:?}: {said}");
        }
    }
    assert!(witnesses.iter().all(is_running));
}

#[test]
fn a_stranger_who_locks_the_file_cannot_have_others_signalled() {
    if !is_root() {
        return skip("needs root to be another user");
    }
    let rig = Rig::new();
    let witness = witness();
    fs::set_permissions(&rig.folder, fs::Permissions::from_mode(0o755)).unwrap();
    rig.write(&format!("{}\n", witness.pid()));
    let mut command = as_stranger(Path::new("flock"));
    command.arg(rig.pidfile()).args(["sleep", "1000"]);
    let _stranger = Child::start(&mut command);
    common::until("the stranger has the lock", || is_locked(&rig.pidfile()));
    let sentence = format!(
        "no daemon to be found: d.pid is locked, but names process {}, which does not have it open",
        witness.pid()
    );
    rig.refused(libc::ESRCH, &sentence);
    assert!(is_running(&witness));
}

#[test]
fn the_file_of_a_stranger_says_nothing_about_others() {
    if !is_root() {
        return skip("needs root to be another user");
    }
    let rig = Rig::new();
    let served = rig.serve(&[]);
    chown(rig.pidfile(), Some(STRANGER), None).unwrap();
    rig.refused(libc::EPERM, "cannot use d.pid: it belongs to another user");
    assert!(served.is_running());
}

#[test]
fn a_stranger_s_file_may_name_the_stranger_s_daemon() {
    if !is_root() {
        return skip("needs root to be another user");
    }
    let rig = Rig::new();
    fs::set_permissions(&rig.folder, fs::Permissions::from_mode(0o777)).unwrap();
    let mut served = rig.served(as_stranger(&rig.program), &[]);
    assert_eq!(rig.holder(), served.pid.to_string());
    if has_pidfd() {
        assert_eq!(rig.stop(), served.pid.to_string());
        served.ends();
        rig.nobody_runs("stale, and a stranger's");
    }
}

#[test]
fn what_is_no_pid_file_is_refused() {
    let rig = Rig::new();
    let path = rig.pidfile();
    let _lock = {
        fs::write(rig.folder.path("real"), "1\n").unwrap();
        let lock = fs::File::open(rig.folder.path("real")).unwrap();
        assert!(try_flock(&lock, libc::LOCK_EX));
        lock
    };
    each_other_kind_at(&path, "real", |errno, sentence| rig.refused(errno, sentence));

    fs::hard_link(rig.folder.path("real"), &path).unwrap();
    rig.refused(libc::EMLINK, "cannot use d.pid: it has hard links");

    let said = said(&mut rig.command(&["stop", "/dev/zero", "-1"]));
    assert_eq!(said, format!("-1 {} cannot use /dev/zero: it is a device", libc::EINVAL));
}

#[test]
fn bad_arguments_are_refused() {
    let rig = Rig::new();
    let invalid = |arguments: &[&str], sentence: &str| {
        let said = said(&mut rig.command(arguments));
        assert_eq!(said, format!("-1 {} {sentence}", libc::EINVAL));
    };
    for call in ["holder", "signal", "stop"] {
        invalid(&[call], "pidfile is NULL");
        let number = if call == "signal" { "15" } else { "-1" };
        invalid(&[call, "", number], "the path of the pid file is empty");
    }
    for signo in ["-1", "65", "2147483647", "-2147483648"] {
        invalid(&["signal", "d.pid", signo], "signo is no signal");
    }
    for timeout in ["-2", "-2147483648"] {
        invalid(&["stop", "d.pid", timeout], "timeout_ms is below -1");
    }
    for flags in ["2", "3", "-1"] {
        invalid(&["stop", "d.pid", "0", flags], "flags has a bit that does not exist");
    }
    let said = said(&mut rig.command(&["holder", "lifecycle/d.pid"]));
    assert_eq!(said, "-1 20 cannot examine lifecycle/d.pid: Not a directory");
}

#[test]
fn the_holder_gets_the_signal() {
    let rig = Rig::new();
    let mut served = rig.serve(&[]);
    let pid = served.pid.to_string();
    assert_eq!(rig.holder(), pid);
    if !has_pidfd() {
        let said = rig.call("signal", &["10"]);
        assert!(said.starts_with("-1 38 cannot signal a process that may have ended"), "{said}");
        return;
    }
    for signo in ["10", "0", "1"] {
        assert_eq!(rig.call("signal", &[signo]), pid);
    }
    assert_eq!([served.line(), served.line()], ["got 10", "got 01"]);
    assert!(served.is_running());
}

#[test]
fn whom_the_kernel_protects_is_not_signalled() {
    if !is_root() {
        return skip("needs root to be another user");
    }
    if !has_pidfd() {
        return;
    }
    let rig = Rig::new();
    fs::set_permissions(&rig.folder, fs::Permissions::from_mode(0o755)).unwrap();
    let served = rig.serve(&[]);
    let call = |what: &str| {
        let mut command = as_stranger(&rig.program);
        said(command.args([what, "d.pid", "15"]).current_dir(&rig.folder))
    };
    assert_eq!(call("holder"), served.pid.to_string());
    let expected = format!(
        "-1 1 cannot signal process {}, which holds d.pid: Operation not permitted",
        served.pid
    );
    assert_eq!(call("signal"), expected);
    assert_eq!(call("stop"), expected);
    assert!(served.is_running());
}

/// Runs a script as the first process of a namespace, as $1 the program.
#[track_caller]
fn in_namespace(rig: &Rig, script: &str) {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-euc", script, "sh"]);
    command.arg(&rig.program).current_dir(&rig.folder);
    command.env("ASAN_OPTIONS", "detect_leaks=0");
    println!("{}", text(&succeed(&mut command).stdout));
}

/// Starts the daemon, and has a function that gives its pid, once it has been reaped, to a new process.
const SCRIPT: &str = r#"
    fail() { echo "$*" >&2; cat trace >&2; exit 1; }
    start() {
        rm -f said d.pid
        mkfifo said
        "$program" serve d.pid "$@" > said &
        pid=$!
        while read -r word; do
            case $word in up) break ;; esac
        done < said
        [ "$(cat d.pid)" = $pid ]
    }
    end_and_reuse() {
        kill -KILL $pid
        wait $pid || true
        echo $((pid - 1)) > /proc/sys/kernel/ns_last_pid
        sleep 1000 &
        [ $! = $pid ] || fail "the new process is $! and not $pid"
    }
    spared() {
        sleep 0.1
        case $(cat /proc/$pid/stat) in '' | *') Z '*) fail "$pid was signalled" ;; esac
    }
    program=$1
"#;

#[test]
fn a_process_that_got_the_pid_of_a_dead_daemon_is_spared_while_a_worker_has_the_lock() {
    if !is_root() {
        return skip("needs root to choose a pid");
    }
    in_namespace(
        &Rig::new(),
        &format!(
            r#"{SCRIPT}
            start worker
            end_and_reuse
            for call in holder "signal 15" "stop 5000 1"; do
                set -- $call
                what=$1; shift
                said=$("$program" $what d.pid "$@")
                case $said in
                "-1 3 "*"names process $pid, which does not have it open") ;;
                *) fail "$call: $said" ;;
                esac
            done
            spared"#
        ),
    );
}

#[test]
fn a_process_that_gets_the_pid_while_the_call_is_under_way_is_spared() {
    if !is_root() {
        return skip("needs root to choose a pid");
    }
    if !common::test_with().is_empty() {
        return; // strace
    }
    // Before the pidfd is opened, before the lock is looked at again, and before the signal is sent.
    for (delayed, with) in [
        ("pidfd_open:delay_enter=300000:when=1", ""),
        ("pidfd_open:delay_enter=300000:when=1", "worker"),
        ("pidfd_open:delay_exit=300000:when=1", ""),
        ("pidfd_open:delay_exit=300000:when=1", "worker"),
        ("pidfd_send_signal:delay_enter=300000:when=1", ""),
    ] {
        for call in ["signal d.pid 15", "stop d.pid 5000 1"] {
            let call_name = delayed.split(':').next().unwrap();
            in_namespace(
                &Rig::new(),
                &format!(
                    r#"{SCRIPT}
                    start {with}
                    strace -qq -o trace -e inject={delayed} "$program" {call} > said.call &
                    caller=$!
                    while ! grep -q '{call_name}(' trace 2>/dev/null; do sleep 0.01; done
                    end_and_reuse
                    wait $caller
                    grep -q DELAYED trace || fail "nothing was delayed"
                    spared
                    echo "{delayed} {with} {call}: $(cat said.call)""#
                ),
            );
        }
    }
}

#[test]
fn a_process_that_gets_the_pid_and_cannot_be_seen_is_spared() {
    if !is_root() {
        return skip("needs root to choose a pid");
    }
    if !common::test_with().is_empty() {
        return; // strace
    }
    in_namespace(
        &Rig::new(),
        &format!(
            r#"{SCRIPT}
            start
            unshare --mount sh -ec 'mount -t tmpfs none /proc && exec "$@"' sh \
                strace -qq -o trace -e inject=pidfd_open:delay_enter=300000:when=1 \
                "$program" signal d.pid 15 > said.call &
            caller=$!
            while ! grep -q 'pidfd_open(' trace 2>/dev/null; do sleep 0.01; done
            end_and_reuse
            wait $caller
            grep -q DELAYED trace || fail "nothing was delayed"
            spared
            said=$(cat said.call)
            [ "$said" = "-1 3 not running: nobody holds d.pid" ] || fail "$said""#
        ),
    );
}

#[test]
fn a_daemon_that_ends_before_the_pidfd_is_opened_is_nobody() {
    if !common::test_with().is_empty() {
        return; // strace
    }
    for (call, expected) in [
        (&["holder", "d.pid"][..], "0"),
        (&["signal", "d.pid", "15"], "-1 3 not running: nobody holds d.pid"),
        (&["stop", "d.pid", "-1"], "0"),
    ] {
        let rig = Rig::new();
        let mut served = rig.serve(&[]);
        let mut command = rig.tampered("inject=pidfd_open:delay_enter=300000:when=1", call);
        let caller = thread::spawn(move || said(&mut command));
        let trace = rig.folder.path("trace");
        common::until("the call begins", || common::read(&trace).contains("flock("));
        kill(Pid::from_raw(served.pid), Signal::SIGTERM).unwrap();
        served.ends();
        assert_eq!(caller.join().unwrap(), expected);
    }
}

#[test]
fn a_thread_is_no_daemon() {
    let rig = Rig::new();
    let served = rig.serve(&["thread"]);
    common::until("the thread is named", || {
        let content = common::read(&rig.pidfile());
        content != format!("{}\n", served.pid) && content.ends_with('\n')
    });
    let said = rig.call("signal", &["15"]);
    assert!(said.starts_with("-1 3 ") || !has_pidfd(), "{said}");
    assert!(served.is_running());
}

#[test]
fn a_process_that_nobody_may_look_into_is_believed_unless_anybody_could_have_named_it() {
    if !has_pidfd() {
        return;
    }
    let rig = Rig::new();
    fs::set_permissions(&rig.folder, fs::Permissions::from_mode(0o777)).unwrap();
    let user = || if is_root() { as_stranger(&rig.program) } else { Command::new(&rig.program) };
    let call = |arguments: &[&str]| said(user().args(arguments).current_dir(&rig.folder));

    let mut served = rig.served(user(), &["undumpable"]);
    let pid = served.pid.to_string();
    assert_eq!(call(&["holder", "d.pid"]), pid);
    fs::set_permissions(rig.pidfile(), fs::Permissions::from_mode(0o666)).unwrap();
    let expected = format!("-1 {} cannot use d.pid: anybody may write to it", libc::EPERM);
    assert_eq!(call(&["stop", "d.pid", "-1"]), expected);
    fs::set_permissions(rig.pidfile(), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(call(&["stop", "d.pid", "-1"]), pid);
    served.ends();
}

#[test]
fn without_proc_the_holder_is_believed() {
    if !is_root() {
        return skip("needs root to mount");
    }
    let rig = Rig::new();
    let served = rig.serve(&[]);
    let call = |arguments: &[&str]| {
        let script = "mount -t tmpfs none /proc && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", script, "sh"]).arg(&rig.program).args(arguments);
        said(command.current_dir(&rig.folder))
    };
    // Sanitizers want /proc.
    if common::test_with().is_empty() {
        assert_eq!(call(&["holder", "d.pid"]), served.pid.to_string());
        assert_eq!(call(&["stop", "d.pid", "20000"]), served.pid.to_string());
    }
}

#[test]
fn a_stopped_daemon_is_gone_when_the_call_returns() {
    if !has_pidfd() {
        return;
    }
    let rig = Rig::new();
    let mut served = rig.serve(&["slow=100"]);
    assert_eq!(rig.stop(), served.pid.to_string());
    assert!(!served.is_running());
    assert!(!is_locked(&rig.pidfile()));
    served.ends();
    rig.nobody_runs("it was stopped");
}

#[test]
fn the_daemon_of_daemonize_is_stopped() {
    if !has_pidfd() {
        return;
    }
    let rig = Rig::new();
    let daemon = common::rig::Rig::new();
    let pidfile = daemon.folder.path("d.pid");
    let path = pidfile.to_str().unwrap();
    for _ in 0..20 {
        let running = daemon.start(&["pidfile=./d.pid"]);
        assert_eq!(said(&mut rig.command(&["holder", path])), running.pid.to_string());
        assert_eq!(said(&mut rig.command(&["stop", path, "20000"])), running.pid.to_string());
        daemon.assert_nothing_left();
    }
}

#[test]
fn a_daemon_that_is_suspended_is_stopped_too() {
    if !has_pidfd() {
        return;
    }
    let rig = Rig::new();
    let mut served = rig.serve(&[]);
    kill(Pid::from_raw(served.pid), Signal::SIGSTOP).unwrap();
    common::until("it is suspended", || common::status_of(served.pid, "State").starts_with('T'));
    assert_eq!(rig.stop(), served.pid.to_string());
    served.ends();
}

#[test]
fn a_daemon_that_ignores_sigterm_is_killed_if_that_is_wanted() {
    if !has_pidfd() {
        return;
    }
    let rig = Rig::new();
    let mut served = rig.serve(&["stubborn"]);
    let expected = |ms: u32| {
        let pid = served.pid;
        format!("-1 110 process {pid}, which holds d.pid, has not ended within {ms} ms")
    };
    let begin = Instant::now();
    assert_eq!(rig.call("stop", &["200"]), expected(200));
    assert!(begin.elapsed() >= Duration::from_millis(199));
    assert_eq!(rig.call("stop", &["0"]), expected(0));
    assert!(served.is_running());
    assert_eq!(rig.call("stop", &["50", "1"]), served.pid.to_string());
    assert!(!served.is_running());
    let status = served.child.wait();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
}

#[test]
fn a_daemon_that_stops_itself_is_told_so() {
    let rig = Rig::new();
    let mut command = rig.command(&["self", "d.pid"]);
    if has_pidfd() {
        let expected = "-1 35 d.pid is held by this process, which cannot wait for its own end";
        assert_eq!(said(&mut command), expected);
    }
}

/// Starts the call and returns what it says once it has, with the moment.
fn stop_in_background(mut command: Command) -> thread::JoinHandle<(String, Instant)> {
    thread::spawn(move || (said(&mut command), Instant::now()))
}

#[test]
fn a_stop_waits_for_the_worker_that_still_has_the_lock() {
    if !has_pidfd() {
        return;
    }
    for what in [&["worker"][..], &["worker", "remove"]] {
        let rig = Rig::new();
        let mut served = rig.serve(what);
        let stop = stop_in_background(rig.command(&["stop", "d.pid", "20000"]));
        served.ends();
        thread::sleep(Duration::from_millis(200));
        assert!(!stop.is_finished(), "the worker has the lock");
        let worker = served.worker.take().unwrap();
        let begin = Instant::now();
        worker.signal(Signal::SIGUSR1);
        let (said, end) = stop.join().unwrap();
        assert_eq!(said, served.pid.to_string());
        assert!(end - begin < at_once());
        worker.wait_end();
    }
}

#[test]
fn a_worker_that_stays_is_told_from_a_daemon_that_does() {
    if !has_pidfd() {
        return;
    }
    for flags in ["0", "1"] {
        let rig = Rig::new();
        let served = rig.serve(&["worker"]);
        let expected =
            format!("-1 110 process {} has ended, but not who else holds d.pid", served.pid);
        assert_eq!(rig.call("stop", &["100", flags]), expected);
        assert!(!served.is_running());
    }
}

#[test]
fn waiting_looks_at_nothing_again_and_again() {
    if !common::test_with().is_empty() {
        return; // strace
    }
    let calls_while_waiting = |what: &[&str], ms: u64| {
        let rig = Rig::new();
        let slow = format!("slow={ms}");
        let what: Vec<&str> = what.iter().copied().chain([&slow[..]]).collect();
        let mut served = rig.serve(&what);
        let stop = stop_in_background(rig.tampered("trace=all", &["stop", "d.pid", "-1"]));
        served.ends();
        if let Some(worker) = served.worker.take() {
            thread::sleep(Duration::from_millis(ms));
            worker.signal(Signal::SIGUSR1);
        }
        assert_eq!(stop.join().unwrap().0, served.pid.to_string());
        let trace = common::read(&rig.folder.path("trace"));
        let is_asleep = |line: &&str| line.starts_with("poll(");
        (trace.lines().count(), trace.lines().filter(is_asleep).count())
    };
    let (short, long) = (calls_while_waiting(&[], 100), calls_while_waiting(&[], 1500));
    assert_eq!(short, long);
    // All looks at first, and some when the file is closed.
    let (short, long) =
        (calls_while_waiting(&["worker"], 1500), calls_while_waiting(&["worker"], 3500));
    assert!(short.1.abs_diff(long.1) <= 12, "{short:?} {long:?}");
}

#[test]
fn signals_to_the_caller_change_neither_result_nor_time() {
    if !has_pidfd() {
        return;
    }
    let rig = Rig::new();
    let mut served = rig.serve(&["slow=300"]);
    let stop = |timeout: &str| {
        let begin = Instant::now();
        let said = said(rig.command(&["stop", "d.pid", timeout]).env("ALARM", "1"));
        (said, begin.elapsed())
    };
    assert_eq!(stop("-1").0, served.pid.to_string());
    served.ends();
    let served = rig.serve(&["stubborn"]);
    let (said, time) = stop("300");
    assert!(said.starts_with("-1 110 "), "{said}");
    assert!(time > Duration::from_millis(299) && time < at_once(), "{time:?}");
    assert!(served.is_running());
}

#[test]
fn an_old_kernel_is_an_answer_and_no_signal() {
    if !common::test_with().is_empty() {
        return; // strace
    }
    let rig = Rig::new();
    let mut served = rig.serve(&[]);
    let pid = served.pid.to_string();
    let old = |call: &str, error: &str, arguments: &[&str]| {
        said(&mut rig.tampered(&format!("inject={call}:error={error}"), arguments))
    };
    for (errno, error, why) in
        [(38, "ENOSYS", "Function not implemented"), (1, "EPERM", "Operation not permitted")]
    {
        assert_eq!(old("pidfd_open", error, &["holder", "d.pid"]), pid);
        for call in [&["signal", "d.pid", "15"][..], &["stop", "d.pid", "-1"]] {
            let said = old("pidfd_open", error, call);
            let expected = "cannot signal a process that may have ended (Linux 5.3)";
            assert_eq!(said, format!("-1 {errno} {expected}: {why}"));
            let said = old("pidfd_send_signal", error, call);
            assert_eq!(
                said,
                format!("-1 {errno} cannot signal process {pid}, which holds d.pid: {why}")
            );
        }
    }
    assert!(served.is_running());
    assert_eq!(old("inotify_init1", "ENOSYS", &["stop", "d.pid", "-1"]), pid);
    served.ends();
}

#[test]
fn without_inotify_the_worker_s_end_is_seen_too() {
    if !common::test_with().is_empty() {
        return; // strace
    }
    for call in ["inotify_init1", "inotify_add_watch"] {
        let rig = Rig::new();
        let mut served = rig.serve(&["worker"]);
        let inject = format!("inject={call}:error=EMFILE");
        let stop = stop_in_background(rig.tampered(&inject, &["stop", "d.pid", "-1"]));
        served.ends();
        thread::sleep(Duration::from_millis(100));
        assert!(!stop.is_finished(), "the worker has the lock");
        served.worker.take().unwrap().signal(Signal::SIGUSR1);
        assert_eq!(stop.join().unwrap().0, served.pid.to_string());
    }
}

fn rounds() -> u32 {
    match common::test_with().as_str() {
        "" => 300,
        _ => 30,
    }
}

/// Each daemon is followed at once by the next, which an old stop must neither kill nor wait for.
#[track_caller]
fn restart_again_and_again(rig: &Rig, daemon: impl Fn() -> Command) {
    let mut served = rig.served(daemon(), &["retry"]);
    for round in 0..rounds() {
        let mut stops = Vec::new();
        for _ in 0..=round % 3 {
            stops.push(stop_in_background(rig.command(&["stop", "d.pid", "20000"])));
        }
        let next = rig.served(daemon(), &["retry"]);
        served.ends();
        let mut next_was_stopped = false;
        for stop in stops {
            let said = stop.join().unwrap().0;
            next_was_stopped |= said == next.pid.to_string();
            let is_right = said == served.pid.to_string() || said == "0" || next_was_stopped;
            assert!(is_right, "round {round}: {said}");
        }
        // A stop that began late may have found the next one already.
        served = next;
        if next_was_stopped {
            served.ends();
            served = rig.served(daemon(), &["retry"]);
        }
        assert!(served.is_running(), "round {round}");
        assert_eq!(rig.call("signal", &["0"]), served.pid.to_string(), "round {round}");
    }
}

#[test]
fn a_restarted_daemon_is_not_killed_by_a_stop_of_the_one_before() {
    if has_pidfd() {
        let rig = Rig::new();
        restart_again_and_again(&rig, || Command::new(&rig.program));
    }
}

#[test]
fn nor_where_the_new_one_writes_over_the_old_one_s_file() {
    if !is_root() {
        return skip("needs root to be another user");
    }
    if has_pidfd() {
        let rig = Rig::new();
        rig.write("");
        chown(rig.pidfile(), Some(STRANGER), None).unwrap();
        fs::set_permissions(&rig.folder, fs::Permissions::from_mode(0o755)).unwrap();
        restart_again_and_again(&rig, || as_stranger(&rig.program));
    }
}

#[test]
fn of_many_stops_at_once_each_finds_the_daemon_or_nobody() {
    if !has_pidfd() {
        return;
    }
    let rig = Rig::new();
    for round in 0..rounds() / 10 {
        let mut served = rig.serve(if round % 2 == 0 { &["remove"] } else { &[] });
        let stop = || stop_in_background(rig.command(&["stop", "d.pid", "20000"]));
        let stops: Vec<_> = (0..10).map(|_| stop()).collect();
        let said: Vec<_> = stops.into_iter().map(|stop| stop.join().unwrap().0).collect();
        let pid = served.pid.to_string();
        assert!(said.iter().all(|said| *said == pid || said == "0"), "{said:?}");
        assert!(said.contains(&pid));
        served.ends();
    }
}

/// Each system call of a call, as strace(1) counts: its name, and the how manyth of that name.
fn calls_of(rig: &Rig, arguments: &[&str]) -> Vec<(String, usize)> {
    said(rig.tampered("trace=all", arguments).env("MARKED", "1"));
    let trace = common::read(&rig.folder.path("trace"));
    let is_mark = |line: &str| line.starts_with("close(-1000001)");
    let mut marks = 0;
    let mut calls: Vec<(String, usize)> = Vec::new();
    let mut ours = Vec::new();
    for line in trace.lines() {
        marks += usize::from(is_mark(line));
        let name = line.split('(').next().unwrap();
        let count = 1 + calls.iter().filter(|call| call.0 == name).count();
        calls.push((name.to_owned(), count));
        // strace does not let the call happen: a descriptor would stay open.
        let is_ours = marks == 1 && name != "close" && !name.starts_with("get");
        // Looking once more is as looking before.
        let is_news = ours.iter().filter(|call: &&(String, usize)| call.0 == name).count() < 8;
        if is_ours && is_news {
            ours.push((name.to_owned(), count));
        }
    }
    assert_eq!(marks, 2, "{trace}");
    ours
}

const ERRNOS: [&str; 9] =
    ["EINTR", "ENOMEM", "EIO", "ENOSYS", "EMFILE", "ESRCH", "EAGAIN", "EPERM", "ENOENT"];

const CAN_BE_INTERRUPTED: [&str; 6] = ["openat", "flock", "pread64", "read", "getdents64", "poll"];

#[test]
fn whatever_fails_a_stop_is_complete_or_says_why_not() {
    if !common::test_with().is_empty() {
        return; // strace
    }
    let rig = Rig::new();
    let arguments = ["stop", "d.pid", "3000"];
    let serve = |worker: &str| {
        let _ = fs::remove_file(rig.pidfile()); // which a worker may have for a while
        rig.serve(&[worker, "worker"])
    };
    let calls = |worker: &'static str| {
        let _served = serve(worker);
        calls_of(&rig, &arguments).into_iter().map(move |call| (worker, call))
    };
    // inotify(7) is for a worker that takes its time.
    let is_inotify = |call: &(_, (String, _))| call.1.0.starts_with("inotify_");
    let late: Vec<_> = calls("brief=600").filter(is_inotify).collect();
    assert_eq!(late.len(), 2);
    let mut wrong = Vec::new();
    let mut complete = 0;
    for (worker, (name, count)) in calls("brief=20").chain(late) {
        for errno in ERRNOS {
            if errno == "EINTR" && !CAN_BE_INTERRUPTED.contains(&&name[..]) {
                continue;
            }
            let fault = format!("inject={name}:error={errno}:when={count}");
            let served = serve(worker);
            let output = common::run(&mut rig.tampered(&fault, &arguments));
            let said = text(&output.stdout).trim_end().to_owned();
            let pid = served.pid.to_string();
            let is_gone = !served.is_running();
            let is_right = match said.as_str() {
                "0" => errno == "ENOENT" && !is_gone,
                _ if errno == "EINTR" => said == pid,
                said if said == pid => is_gone && !is_locked(&rig.pidfile()),
                said => said.starts_with("-1 ") && said.split(' ').count() > 4,
            };
            complete += u32::from(said == pid);
            if !is_right || !output.status.success() {
                let why = text(&output.stderr);
                wrong.push(format!("{fault}: {said:?}, gone: {is_gone}, {} {why}", output.status));
            }
            println!("{fault}: {said}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(complete > 0, "never complete");
}

/// Where /proc hides the process, it is believed: these errnos say so.
const HIDDEN: [&str; 3] = ["ESRCH", "EPERM", "ENOENT"];

#[test]
fn whatever_fails_nobody_is_signalled_who_does_not_have_the_file_open() {
    if !common::test_with().is_empty() {
        return; // strace
    }
    let rig = Rig::new();
    let witness = witness();
    rig.write(&format!("{}\n", witness.pid()));
    let lock = fs::File::open(rig.pidfile()).unwrap();
    assert!(try_flock(&lock, libc::LOCK_EX));
    for arguments in [&["signal", "d.pid", "15"][..], &["stop", "d.pid", "100", "1"]] {
        // What is looked at again and again fails each time, or once.
        let mut names: Vec<_> = calls_of(&rig, arguments).into_iter().collect();
        names.truncate(30);
        for (name, count) in names {
            for errno in ERRNOS {
                for more in ["", "+"] {
                    if HIDDEN.contains(&errno) || (errno == "EINTR" && more == "+") {
                        continue;
                    }
                    let fault = format!("inject={name}:error={errno}:when={count}{more}");
                    let output = common::run(&mut rig.tampered(&fault, arguments));
                    assert!(is_running(&witness), "{fault}");
                    let said = text(&output.stdout);
                    // Its own output may fail, too.
                    let is_silent = said.is_empty() && more == "+";
                    assert!(
                        said.starts_with("-1 ") || said == "0\n" || is_silent,
                        "{fault}: {said}"
                    );
                }
            }
        }
    }
}
