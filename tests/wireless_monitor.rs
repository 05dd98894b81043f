//! c-examples/wireless_monitor.c, as its users see it, and the demo, which runs it.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use common::{
    Daemon, Folder, at_once, children_of, command, compile, example, fail_with,
    foreground::Foreground, has_ended_within, log::Log, read, root, run, status_of, succeed,
    test_with, text, until,
};
use nix::sys::signal::Signal;

struct Monitor {
    program: PathBuf,
    log: Log,
    folder: Folder,
}

impl Monitor {
    fn new() -> Self {
        let folder = Folder::new();
        let program = example(&folder, "wireless_monitor");
        Monitor::of(program, folder)
    }

    fn of(program: PathBuf, folder: Folder) -> Self {
        Monitor { program, log: Log(folder.path("monitor.log")), folder }
    }

    fn pidfile(&self) -> PathBuf {
        self.folder.path("monitor.pid")
    }

    fn config(&self) -> PathBuf {
        self.folder.path("monitor.conf")
    }

    fn command(&self, scan: &str, more: &[&str]) -> Command {
        let mut command = command(&self.program);
        command.args(["--scan", scan, "--interval", "1000"]);
        command.arg("--pidfile").arg(self.pidfile());
        command.arg("--log").arg(&self.log.0);
        command.args(more);
        command
    }

    #[track_caller]
    fn start(&self, scan: &str, more: &[&str]) -> Daemon {
        succeed(&mut self.command(scan, more));
        Daemon::of(&self.pidfile())
    }

    /// With a configuration file of this content.
    #[track_caller]
    fn start_with_config(&self, scan: &str, config: &str) -> Daemon {
        fs::write(self.config(), config).unwrap();
        self.start(scan, &["--config", self.config().to_str().unwrap()])
    }
}

/// A command that ends when its child does.
const LONG_SCAN: &str = "sleep 1000 & wait";

/// The two processes of the long scan, once they run.
#[track_caller]
fn scanners(monitor: &Daemon) -> Vec<Daemon> {
    let both = || {
        let shell = *monitor.children().first()?;
        let sleep = *children_of(shell).first()?;
        (status_of(sleep, "Name") == "sleep").then_some([shell, sleep])
    };
    until("the scan runs", || both().is_some());
    both().unwrap().map(Daemon::of_pid).into()
}

#[test]
fn monitor_logs_each_line_that_a_scan_shows_with_the_time() {
    let monitor = Monitor::new();
    let daemon = monitor.start(r#"echo 'ESSID:"one"'; printf 'ESSID:"two"'"#, &[]);

    monitor.log.await_text("scan complete\n");

    let log = monitor.log.text();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 4, "{log}");
    let expected = [r#"ESSID:"one""#, r#"ESSID:"two""#, "scan complete"];
    for (line, end) in lines[1..].iter().zip(expected) {
        let (time, rest) = line.split_at("2000-12-31 23:59:59 ".len());
        let shape = time.replace(|c: char| c.is_ascii_digit(), "0");
        assert_eq!((shape.as_str(), rest), ("0000-00-00 00:00:00 ", end), "{log}");
    }
    daemon.stop();
}

#[test]
fn monitor_tells_syslog_what_it_saw() {
    let folder = Folder::new();
    let sources = ["c-examples/wireless_monitor.c", "tests/programs/syslog_to_stderr.c"];
    let sources = sources.map(|source| root().join(source));
    let program = compile(&folder, "wireless_monitor", &sources, &[]);
    let monitor = Monitor::of(program, folder);

    let daemon = monitor.start("echo network; exit 4", &[]);

    monitor.log.await_text("syslog 6: network\n");
    monitor.log.await_text("syslog 4: scan failed with status 4\n");
    daemon.stop();
}

#[test]
fn monitor_scans_again_after_the_interval() {
    let monitor = Monitor::new();
    let start = Instant::now();
    let daemon = monitor.start("echo network", &["--interval", "1"]);

    monitor.log.await_count("network", 3);

    assert!(start.elapsed() >= Duration::from_secs(2), "it does not wait between scans");
    daemon.stop();
}

#[test]
fn monitor_logs_why_a_scan_failed() {
    for (scan, why) in [
        ("echo no such device >&2; exit 4", "no such device\n"),
        ("exit 4", "scan failed with status 4\n"),
        ("no-such-command-anywhere", "scan failed with status 127\n"),
        ("kill -KILL $$", "scan ended by signal: Killed\n"),
    ] {
        let monitor = Monitor::new();
        let daemon = monitor.start(scan, &[]);
        monitor.log.await_text(why);
        daemon.stop();
        assert!(!monitor.log.text().contains("scan complete"), "{scan}");
    }
}

#[test]
fn monitor_reads_its_config_again_on_hup_and_scans() {
    let monitor = Monitor::new();
    let daemon = monitor.start_with_config("echo never", "scan=echo before\n");
    monitor.log.await_count("before", 1);

    fs::write(monitor.config(), "interval=500\nscan=echo after=all\n").unwrap();
    daemon.signal(Signal::SIGHUP);

    monitor.log.await_text("reloaded, every 500 s: echo after=all\n");
    monitor.log.await_count("after=all", 1);
    daemon.stop();
    assert_eq!((monitor.log.count("before"), monitor.log.count("never")), (1, 0));
}

#[test]
fn monitor_keeps_its_settings_when_the_new_ones_are_bad_and_logs_why() {
    for (config, why) in [
        ("scan=echo worse\ninterval=soon\n", "interval=soon"),
        ("scan=echo worse\ninterval=0\n", "interval=0"),
        ("scan=echo worse\ninterval=5x\n", "interval=5x"),
        ("scan=echo worse\ncolour=blue\n", "colour=blue"),
        ("scan=echo worse\nnonsense\n", "nonsense"),
        ("scan=echo worse\nscan=\n", "scan="),
    ] {
        let monitor = Monitor::new();
        let daemon = monitor.start_with_config("echo good", "interval=900\n");
        monitor.log.await_text("scan complete\n");

        fs::write(monitor.config(), config).unwrap();
        daemon.signal(Signal::SIGHUP);

        let path = monitor.config().display().to_string();
        monitor.log.await_text(&format!("kept the old settings: {path}: {why}\n"));
        monitor.log.await_count("good", 2);
        daemon.stop();
        assert_eq!(monitor.log.count("worse"), 0);
    }
}

#[test]
fn monitor_keeps_its_settings_when_the_config_is_gone() {
    let monitor = Monitor::new();
    let daemon = monitor.start_with_config("echo good", "interval=900\n");
    monitor.log.await_text("scan complete\n");

    fs::remove_file(monitor.config()).unwrap();
    daemon.signal(Signal::SIGHUP);

    monitor.log.await_text("monitor.conf: No such file or directory\n");
    daemon.stop();
}

#[test]
fn monitor_reloads_after_a_scan_that_hup_met() {
    let monitor = Monitor::new();
    let gate = monitor.folder.path("gate");
    succeed(Command::new("mkfifo").arg(&gate));
    let scan = format!("read line < {}; echo got $line", gate.display());
    let daemon = monitor.start_with_config(&scan, "interval=900\n");
    until("the scan runs", || !daemon.children().is_empty());

    fs::write(monitor.config(), "interval=500\nscan=echo next\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    fs::write(&gate, "through\n").unwrap();

    monitor.log.await_count("got through", 1);
    monitor.log.await_count("next", 1);
    daemon.stop();
}

#[test]
fn monitor_ends_at_once_on_term_between_scans() {
    let monitor = Monitor::new();
    let daemon = monitor.start("echo network", &[]);
    monitor.log.await_text("scan complete\n");

    daemon.signal(Signal::SIGTERM);

    assert!(has_ended_within(daemon.pid, at_once()));
    assert!(!monitor.pidfile().exists());
    assert!(monitor.log.text().ends_with(" stopped\n"), "{}", monitor.log.text());
}

#[test]
fn monitor_never_sleeps_over_a_term() {
    let monitor = Monitor::new();
    for attempt in 0..if test_with().is_empty() { 100 } else { 5 } {
        let daemon = monitor.start("true", &[]);
        // Somewhere between its start, its first scan and the wait after that.
        std::thread::sleep(Duration::from_micros(attempt * 50));
        daemon.signal(Signal::SIGTERM);
        assert!(has_ended_within(daemon.pid, at_once()), "attempt {attempt}");
        assert!(!monitor.pidfile().exists(), "attempt {attempt}");
    }
}

#[test]
fn monitor_ends_at_once_on_term_during_a_scan_and_leaves_no_process() {
    let monitor = Monitor::new();
    let daemon = monitor.start(LONG_SCAN, &[]);
    let scanners = scanners(&daemon);
    assert_eq!(scanners.len(), 2);

    daemon.signal(Signal::SIGTERM);

    assert!(has_ended_within(daemon.pid, at_once()));
    assert!(!monitor.pidfile().exists());
    for scanner in scanners {
        assert!(has_ended_within(scanner.pid, at_once()), "{} is left", scanner.pid);
    }
}

#[test]
fn scan_that_outlives_a_killed_monitor_does_not_keep_the_next_one_out() {
    let monitor = Monitor::new();
    let first = monitor.start(LONG_SCAN, &[]);
    let _scanners = scanners(&first);
    first.signal(Signal::SIGKILL);
    first.wait_end();

    let second = monitor.start("echo network", &[]);

    assert_ne!(second.pid, first.pid);
    second.stop();
}

#[test]
fn scan_starts_with_signals_as_in_a_shell() {
    let monitor = Monitor::new();
    let daemon = monitor.start("grep -E '^Sig(Blk|Ign)' /proc/self/status", &[]);
    monitor.log.await_text("scan complete\n");
    let log = monitor.log.text();
    let value = |name: &str| {
        let line = log.lines().find_map(|line| line.split_once(name)).unwrap().1;
        u64::from_str_radix(line.trim(), 16).unwrap()
    };

    // PIPE, HUP, INT, TERM and CHLD.
    let signals = 1 << 12 | 1 | 1 << 1 | 1 << 14 | 1 << 16;
    assert_eq!((value("SigBlk:") & signals, value("SigIgn:") & signals), (0, 0), "{log}");
    daemon.stop();
}

#[test]
fn second_monitor_is_refused_and_told_the_first_ones_pid() {
    let monitor = Monitor::new();
    let first = monitor.start("echo network", &[]);

    let message = fail_with(1, &mut monitor.command("echo network", &[]));

    assert!(message.contains(&format!("already running as pid {}, ", first.pid)), "{message}");
    first.stop();
}

#[test]
fn monitor_in_the_foreground_logs_to_stdout() {
    let monitor = Monitor::new();
    let mut command = monitor.command("echo network", &["--foreground"]);

    let daemon = Foreground::start(&monitor.folder, &mut command, "scan complete\n");

    assert_eq!(read(&monitor.pidfile()), format!("{}\n", daemon.process.pid));
    let output = daemon.stop();
    assert!(output.contains(" network\n") && output.ends_with(" stopped\n"), "{output}");
    assert_eq!(monitor.log.text(), "");
    assert!(!monitor.pidfile().exists());
}

#[test]
fn monitor_with_a_bad_config_does_not_start() {
    let monitor = Monitor::new();
    fs::write(monitor.config(), "interval=soon\n").unwrap();
    let config = monitor.config().display().to_string();

    let message = fail_with(1, &mut monitor.command("echo network", &["--config", &config]));

    assert!(message.contains(&format!("{config}: interval=soon")), "{message}");
    assert!(!monitor.pidfile().exists());
}

#[test]
fn monitor_with_bad_arguments_does_not_start() {
    let monitor = Monitor::new();
    for arguments in
        [&["--interval", "never"][..], &["--interval"], &["--nonsense", "1"], &["1", "2"]]
    {
        let message = fail_with(2, &mut monitor.command("echo network", arguments));
        assert!(message.contains("makes no sense"), "{arguments:?}: {message}");
        assert!(!monitor.pidfile().exists(), "{arguments:?}");
    }
}

// --- the demo ----------------------------------------------------------------------------------

fn demo(folder: &Folder) -> Command {
    let mut command = Command::new("sh");
    command.arg(root().join("c-examples/demo.sh")).arg(folder.as_ref());
    fs::create_dir(folder.path("tmp")).unwrap();
    command.env("TMPDIR", folder.path("tmp"));
    command.env("ASAN_OPTIONS", "detect_leaks=0");
    command
}

#[test]
fn demo_passes_all_its_steps_and_leaves_nothing() {
    let folder = Folder::new();
    example(&folder, "wireless_monitor");
    example(&folder, "simple_daemon");

    let output = succeed(&mut demo(&folder));

    let output = text(&output.stdout);
    for step in ["start:", "pid file:", "second start: status 1:", "HUP:", "TERM:", "its log:"] {
        assert!(output.contains(step), "{output}");
    }
    let pid = output.split_once("pid file: ").unwrap().1.lines().next().unwrap();
    assert!(has_ended_within(pid.parse().unwrap(), Duration::from_secs(1)));
    assert_eq!(fs::read_dir(folder.path("tmp")).unwrap().count(), 0);
}

#[test]
fn demo_fails_and_leaves_nothing_when_a_step_is_not_as_it_should_be() {
    let source = read(&root().join("c-examples/wireless_monitor.c"));
    for (right, wrong, complaint) in [
        (".pidfile = pidfile", ".pidfile = pidfile ? NULL : log", "no pid file"),
        ("    setvbuf(", "    unlink(pidfile);\n    setvbuf(", "a second start left with status 0"),
        ("\"stopped\");\n    return 0", "\"stopped\");\n    _exit(0)", "pid file is still there"),
    ] {
        let folder = Folder::new();
        assert_eq!(source.matches(right).count(), 1, "{right}");
        let faulty = folder.path("faulty.c");
        fs::write(&faulty, source.replace(right, wrong)).unwrap();
        let program = compile(&folder, "wireless_monitor", &[faulty], &[]);
        example(&folder, "simple_daemon");

        let output = run(&mut demo(&folder));

        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains(complaint), "{message}");
        assert_eq!(fs::read_dir(folder.path("tmp")).unwrap().count(), 0);
        until("nothing of it runs", || !anybody_runs(&program));
    }
}

fn anybody_runs(program: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut running = processes.filter_map(|process| process.path().join("exe").read_link().ok());
    running.any(|running| running == program)
}
