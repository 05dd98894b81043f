//! Many starts, stops and readers at once.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Instant,
};

use common::{Child, Daemon, Folder, command, is_locked, program, succeed, text};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A run under valgrind takes a hundred times as long.
fn rounds(plain: u32) -> u32 {
    if common::test_with() == "valgrind" { plain.div_ceil(20) } else { plain }
}

fn start(program: &Path, folder: &Folder) -> Command {
    let mut command = command(program);
    command.arg("pidfile=./d.pid").current_dir(folder);
    command
}

#[test]
fn of_40_starts_at_once_exactly_one_survives_and_the_losers_say_who() {
    let folder = Folder::new();
    let program = program(&folder, "daemon");
    let pidfile = folder.path("d.pid");
    for round in 0..rounds(60) {
        // Fresh, or with what a killed one has left.
        if round % 2 == 1 {
            fs::write(&pidfile, "4194304\n").unwrap();
        }
        let starts: Vec<_> = (0..40)
            .map(|_| {
                let mut command = start(&program, &folder);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        let outputs: Vec<_> =
            starts.into_iter().map(|start| start.wait_with_output().unwrap()).collect();
        let daemon = Daemon::of(&pidfile);
        let expected =
            format!("daemon: 17 already running as pid {}, which holds ./d.pid\n", daemon.pid);
        let losers: Vec<_> = outputs.iter().filter(|output| !output.status.success()).collect();
        assert_eq!(losers.len(), 39, "round {round}");
        for loser in losers {
            assert_eq!(text(&loser.stderr), expected, "round {round}");
        }
        daemon.stop();
        assert!(!pidfile.exists(), "round {round}");
    }
}

/// Reads the file until it is told to stop. What is read while the file is locked must be the pid
/// of a living process and nothing else; what is read at any time must be a whole pid.
fn watch(pidfile: &Path, is_over: &AtomicBool) -> u32 {
    use std::io::Read;
    let mut locked = 0;
    while !is_over.load(Ordering::Relaxed) {
        let Ok(file) = fs::File::open(pidfile) else { continue };
        let is_held = || !common::try_flock(&file, nix::libc::LOCK_SH);
        let before = is_held();
        let mut content = String::new();
        (&file).read_to_string(&mut content).unwrap();
        let pid = content.strip_suffix('\n').and_then(|pid| pid.parse::<i32>().ok());
        let pid = pid.unwrap_or_else(|| panic!("read {content:?}"));
        let state = common::status_of(pid, "State");
        let after = is_held();
        if before && after {
            locked += 1;
            assert!(!state.is_empty(), "locked by {pid}, which does not exist");
        }
    }
    locked
}

#[test]
fn a_reader_never_sees_a_wrong_pid_file() {
    let folder = Folder::new();
    let program = program(&folder, "daemon");
    let pidfile = folder.path("d.pid");
    let is_over = AtomicBool::new(false);
    let seen = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| seen.fetch_add(watch(&pidfile, &is_over), Ordering::Relaxed));
        }
        for round in 0..rounds(300) {
            succeed(&mut start(&program, &folder));
            let daemon = Daemon::of(&pidfile);
            assert!(is_locked(&pidfile));
            // Stopped, or killed so that the next one finds a stale file.
            match round % 2 {
                0 => daemon.stop(),
                _ => {
                    daemon.signal(Signal::SIGKILL);
                    daemon.wait_end();
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(seen.into_inner() > 0, "the readers never saw a lock");
}

#[test]
fn a_start_that_is_cancelled_at_any_moment_leaves_a_daemon_or_nothing() {
    let folder = Folder::new();
    let program = program(&folder, "daemon");
    let pidfile = folder.path("d.pid");
    let (mut up, mut cancelled) = (0, 0);
    // How long a start takes here, under whatever it runs.
    let begin = Instant::now();
    assert!(Child::start(&mut start(&program, &folder)).wait().success());
    let whole = begin.elapsed();
    Daemon::of(&pidfile).stop();
    for round in 0..rounds(400) {
        let mut command = start(&program, &folder);
        let begin = Instant::now();
        let mut launcher = Child::start(&mut command);
        // Spread from the first moment to long after the last.
        let moment = whole * 3 * round / rounds(400);
        while begin.elapsed() < moment {
            std::hint::spin_loop();
        }
        let _ = kill(Pid::from_raw(launcher.pid()), Signal::SIGTERM);
        if launcher.wait().success() {
            up += 1;
            Daemon::of(&pidfile).stop();
        } else {
            cancelled += 1;
            assert!(!is_locked(&pidfile), "round {round}");
        }
        assert_eq!(folder.names(), ["daemon"], "round {round}");
    }
    println!("{up} up, {cancelled} cancelled");
    assert!(up > 0 && cancelled > 0, "{up} up, {cancelled} cancelled");
}

#[test]
fn a_daemon_that_is_killed_is_replaced_at_once() {
    let folder = Folder::new();
    let program = program(&folder, "daemon");
    let pidfile: PathBuf = folder.path("d.pid");
    for _ in 0..rounds(50) {
        succeed(&mut start(&program, &folder));
        let daemon = Daemon::of(&pidfile);
        daemon.signal(Signal::SIGKILL);
        daemon.wait_end();
        assert!(!is_locked(&pidfile));
    }
}
