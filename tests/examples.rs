//! The programs in c-examples, as their users see them, and the demo.

mod common;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use common::{
    Daemon, Folder, command, compile, compiler, example, fail_with, has_ended_within, is_locked,
    prefix, root, run, succeed, test_with, text, until,
};
use nix::sys::signal::Signal;

/// How long "at once" may take.
fn at_once() -> Duration {
    Duration::from_secs(if test_with().is_empty() { 2 } else { 10 })
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A program that stays in the foreground; killed when the test ends.
struct Foreground {
    child: Child,
    process: Daemon,
    output: PathBuf,
}

impl Foreground {
    /// Returns when the program has printed `sign`.
    #[track_caller]
    fn start(folder: &Folder, command: &mut Command, sign: &str) -> Self {
        let output = folder.path("output");
        let file = File::create(&output).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let process = Daemon::of_pid(child.id() as i32);
        let foreground = Foreground { child, process, output };
        until(sign, || read(&foreground.output).contains(sign));
        foreground
    }

    /// TERM, wait, and demand status 0. What it printed.
    #[track_caller]
    fn stop(mut self) -> String {
        self.process.signal(Signal::SIGTERM);
        self.process.wait_end();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{}", read(&self.output));
        read(&self.output)
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn with(program: &Path, arguments: &[&Path]) -> Command {
    let mut command = command(program);
    command.args(arguments);
    command
}

// --- template ----------------------------------------------------------------------------------

struct Template {
    folder: Folder,
    program: PathBuf,
    config: PathBuf,
    pidfile: PathBuf,
}

impl Template {
    fn new() -> Self {
        let folder = Folder::new();
        let config = folder.path("mydaemon.conf");
        fs::write(&config, "").unwrap();
        Template {
            program: example(&folder, "template"),
            config,
            pidfile: folder.path("mydaemon.pid"),
            folder,
        }
    }

    fn command(&self) -> Command {
        with(&self.program, &[&self.config, &self.pidfile])
    }
}

#[test]
fn template_runs_in_the_background_under_the_pid_in_its_pid_file() {
    let template = Template::new();
    succeed(&mut template.command());

    let daemon = Daemon::of(&template.pidfile);
    let [_, _, _, session, terminal, ..] = &daemon.stat()[..] else { panic!() };
    assert_ne!(*session, daemon.pid.to_string(), "it leads its session");
    assert_eq!(terminal, "0");
    assert_eq!(daemon.cwd(), Path::new("/"));
    assert!(is_locked(&template.pidfile));
}

#[test]
fn template_refuses_a_second_start_and_names_the_first() {
    let template = Template::new();
    succeed(&mut template.command());
    let first = Daemon::of(&template.pidfile);

    let message = fail_with(1, &mut template.command());

    let expected = format!("mydaemon: already running as pid {}, ", first.pid);
    assert!(message.contains(&expected), "{message}");
    assert_eq!(Daemon::of(&template.pidfile).pid, first.pid);
}

#[test]
fn template_ends_on_term_and_its_pid_file_is_gone() {
    let template = Template::new();
    succeed(&mut template.command());

    Daemon::of(&template.pidfile).stop();

    assert!(!template.pidfile.exists());
}

#[test]
fn template_goes_on_after_hup() {
    let template = Template::new();
    succeed(&mut template.command());
    let daemon = Daemon::of(&template.pidfile);

    daemon.signal(Signal::SIGHUP);
    // Signals are taken in order of their numbers: were HUP not ignored, TERM would come too late.
    daemon.stop();

    assert!(!template.pidfile.exists(), "HUP killed it");
}

#[test]
fn template_without_its_config_fails_on_the_terminal() {
    let template = Template::new();
    fs::remove_file(&template.config).unwrap();

    let message = fail_with(1, &mut template.command());

    let expected = format!("Config file not found: {}", template.config.display());
    assert!(message.contains(&expected), "{message}");
    assert!(!template.pidfile.exists());
}

#[test]
fn template_that_cannot_have_its_pid_file_fails_on_the_terminal() {
    let mut template = Template::new();
    template.pidfile = template.folder.path("no-such-folder/mydaemon.pid");

    let message = fail_with(1, &mut template.command());

    assert!(message.contains("No such file or directory"), "{message}");
}

/// tests/programs/own_names.c with the library in the form that the arguments name.
fn own_names(folder: &Folder, library: &[String]) -> PathBuf {
    let program = folder.path("own_names");
    let source = root().join("tests/programs/own_names.c");
    succeed(compiler("c", "c11").arg(source).arg("-o").arg(&program).args(library));
    program
}

/// Runs it from start to stop; the files that it had mapped.
fn live(folder: &Folder, program: &Path) -> String {
    let (pidfile, lock) = (folder.path("own.pid"), folder.path("own.lock"));
    succeed(&mut with(program, &[&pidfile, &lock]));
    let daemon = Daemon::of(&pidfile);
    assert_eq!(read(&lock), format!("{}\n", daemon.pid));

    let other_lock = folder.path("other.lock");
    let message = fail_with(1, &mut with(program, &[&pidfile, &other_lock]));
    assert!(message.contains(&format!("already running as pid {}", daemon.pid)), "{message}");

    let maps = read(Path::new(&format!("/proc/{}/maps", daemon.pid)));
    daemon.stop();
    assert!(!pidfile.exists());
    maps
}

#[test]
fn program_with_functions_of_the_same_names_works_with_the_shared_library() {
    let folder = Folder::new();
    let library = prefix().join("lib").display().to_string();
    let shared = [format!("-L{library}"), "-lrsdaemon".into(), format!("-Wl,-rpath,{library}")];

    let maps = live(&folder, &own_names(&folder, &shared));

    assert!(maps.contains("librsdaemon.so"), "{maps}");
}

#[test]
fn program_with_functions_of_the_same_names_works_with_the_static_library() {
    let folder = Folder::new();
    let archive = prefix().join("lib/librsdaemon.a").display().to_string();

    let maps = live(&folder, &own_names(&folder, &[archive]));

    assert!(!maps.contains("librsdaemon.so"), "{maps}");
}

// --- single_instance ---------------------------------------------------------------------------

#[test]
fn second_instance_is_refused_and_told_the_first_ones_pid() {
    let folder = Folder::new();
    let program = example(&folder, "single_instance");
    let pidfile = folder.path("single.pid");
    let first = Foreground::start(&folder, &mut with(&program, &[&pidfile]), "running");

    let message = fail_with(1, &mut with(&program, &[&pidfile]));

    let expected = format!("already running as pid {}, ", first.process.pid);
    assert!(message.contains(&expected), "{message}");
}

#[test]
fn single_instance_ends_on_term_and_removes_its_file() {
    let folder = Folder::new();
    let program = example(&folder, "single_instance");
    let pidfile = folder.path("single.pid");
    let instance = Foreground::start(&folder, &mut with(&program, &[&pidfile]), "running");
    assert_eq!(read(&pidfile), format!("{}\n", instance.process.pid));

    instance.stop();

    assert!(!pidfile.exists());
}

#[test]
fn file_of_a_killed_instance_keeps_nobody_out() {
    let folder = Folder::new();
    let program = example(&folder, "single_instance");
    let pidfile = folder.path("single.pid");
    Foreground::start(&folder, &mut with(&program, &[&pidfile]), "running").kill();
    assert!(pidfile.exists());

    let next = Foreground::start(&folder, &mut with(&program, &[&pidfile]), "running");

    assert_eq!(read(&pidfile), format!("{}\n", next.process.pid));
}

// --- foreground --------------------------------------------------------------------------------

/// Arguments for c-examples/foreground.c, with a config file that is there.
fn foreground(folder: &Folder, program: &Path, more: &[&str]) -> Command {
    let config = folder.path("mydaemon.conf");
    fs::write(&config, "").unwrap();
    let pidfile = folder.path("mydaemon.pid");
    let mut command = command(program);
    command.arg("--config").arg(config).arg("--pidfile").arg(pidfile).args(more);
    command
}

#[test]
fn in_the_foreground_the_started_process_is_the_daemon_and_has_the_pid_file() {
    let folder = Folder::new();
    let program = example(&folder, "foreground");
    let pidfile = folder.path("mydaemon.pid");
    let mut command = foreground(&folder, &program, &["--foreground"]);

    let daemon = Foreground::start(&folder, &mut command, "ready");

    assert_eq!(read(&pidfile), format!("{}\n", daemon.process.pid));
    assert!(is_locked(&pidfile));
    let output = daemon.stop();
    assert!(output.ends_with("stopped\n"), "{output}");
    assert!(!pidfile.exists());
}

#[test]
fn in_the_background_the_started_process_leaves_when_the_daemon_is_ready() {
    let folder = Folder::new();
    let program = example(&folder, "foreground");
    let pidfile = folder.path("mydaemon.pid");

    let output = succeed(&mut foreground(&folder, &program, &[]));

    assert_eq!(text(&output.stdout), "", "the daemon has the terminal's stdout");
    assert!(is_locked(&pidfile));
    Daemon::of(&pidfile).stop();
    assert!(!pidfile.exists());
}

#[test]
fn foreground_and_background_keep_each_other_out() {
    let folder = Folder::new();
    let program = example(&folder, "foreground");
    succeed(&mut foreground(&folder, &program, &[]));
    let daemon = Daemon::of(&folder.path("mydaemon.pid"));

    let message = fail_with(1, &mut foreground(&folder, &program, &["--foreground"]));

    assert!(message.contains(&format!("already running as pid {}", daemon.pid)), "{message}");
}

#[test]
fn daemon_that_cannot_start_tells_why_with_its_own_status_in_both_ways() {
    let folder = Folder::new();
    let program = example(&folder, "foreground");
    for way in [&[][..], &["--foreground"]] {
        let mut command = foreground(&folder, &program, way);
        fs::remove_file(folder.path("mydaemon.conf")).unwrap();

        let message = fail_with(3, &mut command);

        let config = folder.path("mydaemon.conf");
        let expected =
            format!("mydaemon: cannot read {}: No such file or directory", config.display());
        assert!(message.contains(&expected), "{way:?}: {message}");
        assert!(!folder.path("mydaemon.pid").exists(), "{way:?}");
    }
}

// --- wireless_monitor --------------------------------------------------------------------------

struct Monitor {
    folder: Folder,
    program: PathBuf,
}

impl Monitor {
    fn new() -> Self {
        let folder = Folder::new();
        let program = example(&folder, "wireless_monitor");
        Monitor { folder, program }
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
        command.arg("--log").arg(self.folder.path("monitor.log"));
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

    fn log(&self) -> String {
        read(&self.folder.path("monitor.log"))
    }

    #[track_caller]
    fn await_log(&self, piece: &str) {
        until(&format!("{piece:?} in the log"), || self.log().contains(piece));
    }

    /// How many lines of the log say exactly this, after the time.
    fn count(&self, text: &str) -> usize {
        let log = self.log();
        let said = log.lines().filter_map(|line| line.get("2000-12-31 23:59:59 ".len()..));
        said.filter(|said| *said == text).count()
    }

    #[track_caller]
    fn await_count(&self, text: &str, count: usize) {
        until(&format!("{text:?} {count} times in the log"), || self.count(text) == count);
    }

    /// A command that writes its own pid and that of a child, and ends when the child does.
    fn long_scan(&self) -> String {
        let pids = self.folder.path("pids").display().to_string();
        format!("sleep 1000 & echo $$ $! > {pids}.new; mv {pids}.new {pids}; wait")
    }

    /// The two processes of the long scan, once they run.
    #[track_caller]
    fn scanners(&self) -> Vec<Daemon> {
        let pids = self.folder.path("pids");
        until("the scan runs", || pids.exists());
        let pids = read(&pids);
        pids.split_whitespace().map(|pid| Daemon::of_pid(pid.parse().unwrap())).collect()
    }
}

#[test]
fn monitor_logs_each_line_that_a_scan_shows_with_the_time() {
    let monitor = Monitor::new();
    let daemon = monitor.start(r#"echo 'ESSID:"one"'; printf 'ESSID:"two"'"#, &[]);

    monitor.await_log("scan complete\n");

    let log = monitor.log();
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
    let monitor = Monitor { folder, program };

    let daemon = monitor.start("echo network; exit 4", &[]);

    monitor.await_log("syslog 6: network\n");
    monitor.await_log("syslog 4: scan failed with status 4\n");
    daemon.stop();
}

#[test]
fn monitor_scans_again_after_the_interval() {
    let monitor = Monitor::new();
    let start = Instant::now();
    let daemon = monitor.start("echo network", &["--interval", "1"]);

    monitor.await_count("network", 3);

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
        monitor.await_log(why);
        daemon.stop();
        assert!(!monitor.log().contains("scan complete"), "{scan}");
    }
}

#[test]
fn monitor_reads_its_config_again_on_hup_and_scans() {
    let monitor = Monitor::new();
    let daemon = monitor.start_with_config("echo never", "scan=echo before\n");
    monitor.await_count("before", 1);

    fs::write(monitor.config(), "interval=500\nscan=echo after=all\n").unwrap();
    daemon.signal(Signal::SIGHUP);

    monitor.await_log("reloaded, every 500 s: echo after=all\n");
    monitor.await_count("after=all", 1);
    daemon.stop();
    assert_eq!((monitor.count("before"), monitor.count("never")), (1, 0));
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
        monitor.await_log("scan complete\n");

        fs::write(monitor.config(), config).unwrap();
        daemon.signal(Signal::SIGHUP);

        let path = monitor.config().display().to_string();
        monitor.await_log(&format!("kept the old settings: {path}: {why}\n"));
        monitor.await_count("good", 2);
        daemon.stop();
        assert_eq!(monitor.count("worse"), 0);
    }
}

#[test]
fn monitor_keeps_its_settings_when_the_config_is_gone() {
    let monitor = Monitor::new();
    let daemon = monitor.start_with_config("echo good", "interval=900\n");
    monitor.await_log("scan complete\n");

    fs::remove_file(monitor.config()).unwrap();
    daemon.signal(Signal::SIGHUP);

    monitor.await_log("monitor.conf: No such file or directory\n");
    daemon.stop();
}

#[test]
fn monitor_reloads_after_a_scan_that_hup_met() {
    let monitor = Monitor::new();
    let gate = monitor.folder.path("gate");
    succeed(Command::new("mkfifo").arg(&gate));
    let scan = format!("read line < {}; echo got $line", gate.display());
    let daemon = monitor.start_with_config(&scan, "interval=900\n");
    until("the scan runs", || !children_of(daemon.pid).is_empty());

    fs::write(monitor.config(), "interval=500\nscan=echo next\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    fs::write(&gate, "through\n").unwrap();

    monitor.await_count("got through", 1);
    monitor.await_count("next", 1);
    daemon.stop();
}

fn children_of(pid: i32) -> String {
    read(Path::new(&format!("/proc/{pid}/task/{pid}/children")))
}

#[test]
fn monitor_ends_at_once_on_term_between_scans() {
    let monitor = Monitor::new();
    let daemon = monitor.start("echo network", &[]);
    monitor.await_log("scan complete\n");

    daemon.signal(Signal::SIGTERM);

    assert!(has_ended_within(daemon.pid, at_once()));
    assert!(!monitor.pidfile().exists());
    assert!(monitor.log().ends_with(" stopped\n"), "{}", monitor.log());
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
    let daemon = monitor.start(&monitor.long_scan(), &[]);
    let scanners = monitor.scanners();
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
    let first = monitor.start(&monitor.long_scan(), &[]);
    let _scanners = monitor.scanners();
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
    monitor.await_log("scan complete\n");
    let log = monitor.log();
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
    assert_eq!(monitor.log(), "");
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
