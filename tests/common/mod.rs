//! What all tests use: C programs compiled against the installed library, folders and daemons that
//! go away with the test.
//!
//! RSDAEMON_PREFIX is where the library is installed (make test does that). RSDAEMON_TEST_WITH is
//! empty, "valgrind" or "sanitizers". RSDAEMON_TEST_STRICT turns what cannot run here into a failure.

#![allow(dead_code)] // each test file uses its part

pub mod control;
pub mod drop;
pub mod foreground;
pub mod kernel;
pub mod lines;
pub mod log;
pub mod machine;
pub mod manager;
pub mod namespace;
pub mod pidfile;
pub mod rig;
pub mod sandbox;
pub mod scanner;
pub mod syslogd;

use std::{
    env, fs,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, poll},
    sys::signal::{SigHandler, Signal, kill},
    unistd::Pid,
};

/// How long anything may take. Only reached when something hangs.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the library is installed.
pub fn prefix() -> PathBuf {
    let prefix = env::var_os("RSDAEMON_PREFIX").map_or(root().join("target/stage"), PathBuf::from);
    assert!(
        prefix.join("lib/librsdaemon.so").exists(),
        "the library is not installed in {prefix:?}: run the tests by make test"
    );
    prefix
}

pub fn test_with() -> String {
    env::var("RSDAEMON_TEST_WITH").unwrap_or_default()
}

/// Says that a test could not do its work here, and returns.
#[track_caller]
pub fn skip(why: &str) {
    assert!(env::var_os("RSDAEMON_TEST_STRICT").is_none(), "cannot run here: {why}");
    eprintln!("SKIPPED: {why}");
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A new folder that is removed when the test ends.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rsdaemon-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

/// The C compiler with the flags for a program that links the installed library.
pub fn compiler(language: &str, standard: &str) -> Command {
    let tool = cc::Build::new()
        .cpp(language == "c++")
        .target("x86_64-unknown-linux-gnu")
        .host("x86_64-unknown-linux-gnu")
        .opt_level(1)
        .cargo_metadata(false)
        .get_compiler();
    let mut command = Command::new(tool.path());
    command.arg(format!("-std={standard}"));
    command.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-O1"]);
    command.arg("-D_GNU_SOURCE");
    if test_with() == "sanitizers" {
        command.arg("-fsanitize=address,undefined");
    }
    command.arg("-I").arg(prefix().join("include"));
    command
}

/// Compiles C sources into `folder` and links them with the shared library.
pub fn compile(folder: &Folder, name: &str, sources: &[PathBuf], more: &[&str]) -> PathBuf {
    let program = folder.path(name);
    let library = prefix().join("lib");
    let mut command = compiler("c", "c11");
    command.args(sources).arg("-o").arg(&program).args(more);
    command.arg("-L").arg(&library).arg("-lrsdaemon");
    command.arg(format!("-Wl,-rpath,{}", library.display()));
    succeed(&mut command);
    program
}

/// Compiles tests/programs/NAME.c.
pub fn program(folder: &Folder, name: &str) -> PathBuf {
    let source = root().join(format!("tests/programs/{name}.c"));
    compile(folder, name, &[source], &["-pthread"])
}

/// Compiles c-examples/NAME.c.
pub fn example(folder: &Folder, name: &str) -> PathBuf {
    let source = root().join(format!("c-examples/{name}.c"));
    compile(folder, name, &[source], &[])
}

/// A program of ours, run under what RSDAEMON_TEST_WITH says, and with all signals at their defaults,
/// whatever the tests have inherited: nohup(1) and shells ignore some.
pub fn command(program: &Path) -> Command {
    let mut command = wrapped(program);
    let reset = || {
        for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
            // SAFETY: the default action runs none of our code.
            unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }?;
        }
        Ok(())
    };
    // SAFETY: only system calls between fork and exec.
    unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, reset) };
    command
}

fn wrapped(program: &Path) -> Command {
    match test_with().as_str() {
        "valgrind" => {
            // A daemon's errors would go to /dev/null: each process writes a file, and make test
            // demands that all are empty.
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("valgrind");
            fs::create_dir_all(&folder).unwrap();
            let for_all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            fs::set_permissions(&folder, for_all).unwrap();
            let mut command = Command::new("valgrind");
            command.args(["-q", "--error-exitcode=99", "--leak-check=full"]);
            command.args(["--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"]);
            command.arg("--vgdb=no");
            command.arg(format!("--log-file={}/%p", folder.display()));
            command.arg("--trace-children=no").arg(program);
            command
        }
        "sanitizers" => {
            let mut command = Command::new(program);
            command.env("UBSAN_OPTIONS", "halt_on_error=1");
            // Leaks are valgrind's part: a process that forks and leaves is none to LSan.
            command.env("ASAN_OPTIONS", "detect_leaks=0:abort_on_error=1");
            command
        }
        _ => Command::new(program),
    }
}

/// Runs to the end, with a deadline, and returns what it printed. Output goes through files, so
/// that a daemon that keeps its stdout does not hold us.
pub fn run(command: &mut Command) -> Output {
    let folder = Folder::new();
    let file = |name| fs::File::create(folder.path(name)).unwrap();
    let mut child = command
        .stdin(std::process::Stdio::null())
        .stdout(file("out"))
        .stderr(file("err"))
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(has_ended_within(child.id() as i32, DEADLINE), "{command:?} hangs");
    Output {
        status: child.wait().unwrap(),
        stdout: fs::read(folder.path("out")).unwrap(),
        stderr: fs::read(folder.path("err")).unwrap(),
    }
}

/// Runs to the end and demands status 0.
#[track_caller]
pub fn succeed(command: &mut Command) -> Output {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs "PROGRAM CASE ..." of tests/programs/NAME.c (see cases.h) in a folder of its own and returns
/// what it printed. What says that it cannot run here is skipped; valgrind lacks some system calls.
#[track_caller]
pub fn passes(name: &str, arguments: &[&str]) -> String {
    passes_in(&[], name, arguments)
}

#[track_caller]
pub fn passes_in(environment: &[(&str, &str)], name: &str, arguments: &[&str]) -> String {
    let folder = Folder::new();
    let mut command = command(&program(&folder, name));
    command.envs(environment.iter().copied());
    let output = run(command.args(arguments).current_dir(&folder));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    match output.status.code() {
        Some(77) if test_with() == "valgrind" => {}
        Some(77) => skip(&format!("{name} {arguments:?}")),
        _ => assert!(output.status.success(), "{name} {arguments:?}: {}\n{stderr}", output.status),
    }
    stdout
}

/// Runs to the end, demands this status, and returns stderr without its last newline.
#[track_caller]
pub fn fail_with(status: i32, command: &mut Command) -> String {
    let output = run(command);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{command:?}: {:?} {stderr}", output.status);
    stderr.trim_end().to_owned()
}

/// A child of ours that is killed and reaped when the test ends.
pub struct Child(pub std::process::Child);

impl Child {
    /// Starts it without our stdout, so that nobody who reads that waits for what it leaves behind.
    pub fn start(command: &mut Command) -> Self {
        let null = std::process::Stdio::null;
        Child(command.stdin(null()).stdout(null()).stderr(null()).spawn().unwrap())
    }

    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    #[track_caller]
    pub fn wait(&mut self) -> std::process::ExitStatus {
        assert!(has_ended_within(self.pid(), DEADLINE), "{} does not end", self.pid());
        self.0.wait().unwrap()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pidfd_open(pid: i32) -> Option<OwnedFd> {
    // SAFETY: pidfd_open(2) takes no pointers.
    let fd = unsafe { nix::libc::syscall(nix::libc::SYS_pidfd_open, pid, 0) } as i32;
    // SAFETY: not negative, so it is a new descriptor of ours.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the process is gone, or a zombie, before the time is up.
pub fn has_ended_within(pid: i32, limit: Duration) -> bool {
    let Some(pidfd) = pidfd_open(pid) else { return true };
    has_ended(&pidfd, limit)
}

fn has_ended(pidfd: &OwnedFd, limit: Duration) -> bool {
    use std::os::fd::AsFd;
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    let start = Instant::now();
    while start.elapsed() < limit {
        let left = limit.saturating_sub(start.elapsed()).as_millis().clamp(1, 60_000) as u16;
        if poll(&mut fds, left) == Ok(1) {
            return true;
        }
    }
    false
}

/// How long "at once" may take.
pub fn at_once() -> Duration {
    Duration::from_secs(if test_with().is_empty() { 2 } else { 10 })
}

/// What is in a file; nothing where there is none.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Waits until `condition` holds, where there is no event to wait for.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A running daemon; killed when the test ends.
pub struct Daemon {
    pub pid: i32,
    pidfd: OwnedFd,
}

impl Daemon {
    pub fn of_pid(pid: i32) -> Self {
        let pidfd = pidfd_open(pid).unwrap_or_else(|| panic!("no process {pid}"));
        Daemon { pid, pidfd }
    }

    /// The one that the pid file names.
    #[track_caller]
    pub fn of(pidfile: &Path) -> Self {
        let content = fs::read_to_string(pidfile).unwrap_or_else(|e| panic!("{pidfile:?}: {e}"));
        let pid = content.strip_suffix('\n').and_then(|pid| pid.parse().ok());
        Daemon::of_pid(pid.unwrap_or_else(|| panic!("{pidfile:?} holds {content:?}")))
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal).unwrap();
    }

    #[track_caller]
    pub fn wait_end(&self) {
        assert!(has_ended(&self.pidfd, DEADLINE), "{} does not end", self.pid);
    }

    /// TERM, and wait.
    #[track_caller]
    pub fn stop(self) {
        self.signal(Signal::SIGTERM);
        self.wait_end();
    }

    /// A line of /proc/PID/status.
    pub fn status(&self, name: &str) -> String {
        status_of(self.pid, name)
    }

    /// Fields of /proc/PID/stat from the third on: state, ppid, pgrp, session, tty.
    pub fn stat(&self) -> Vec<String> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        after_name.split_whitespace().map(str::to_owned).collect()
    }

    pub fn children(&self) -> Vec<i32> {
        children_of(self.pid)
    }

    pub fn cwd(&self) -> PathBuf {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).unwrap()
    }

    /// Number and target of each open descriptor.
    pub fn fds(&self) -> Vec<(i32, String)> {
        let folder = format!("/proc/{}/fd", self.pid);
        let entries = fs::read_dir(folder).unwrap().filter_map(Result::ok);
        let mut fds: Vec<_> = entries
            .filter_map(|entry| {
                let number = entry.file_name().into_string().unwrap().parse().unwrap();
                let target = fs::read_link(entry.path()).ok()?;
                Some((number, target.to_string_lossy().into_owned()))
            })
            .collect();
        fds.sort();
        fds
    }

    pub fn fd(&self, number: i32) -> Option<String> {
        self.fds().into_iter().find(|fd| fd.0 == number).map(|fd| fd.1)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SAFETY: pidfd_send_signal(2) with NULL for siginfo reads no memory. A reused pid cannot
        // be hit.
        unsafe {
            nix::libc::syscall(
                nix::libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                nix::libc::SIGKILL,
                0,
                0,
            );
        }
    }
}

/// None of a process that has ended.
pub fn children_of(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

pub fn status_of(pid: i32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// flock(2) without waiting; whether it was granted.
pub fn try_flock(file: &fs::File, kind: i32) -> bool {
    // SAFETY: flock(2) takes no pointers.
    unsafe { nix::libc::flock(file.as_raw_fd(), kind | nix::libc::LOCK_NB) == 0 }
}

/// A TCP port that nobody listens on.
pub fn port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Whether anybody holds flock(2) on the file.
pub fn is_locked(path: &Path) -> bool {
    fs::File::open(path).is_ok_and(|file| !try_flock(&file, nix::libc::LOCK_SH))
}
