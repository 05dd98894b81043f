//! c-examples/network_scanner.c with the real nmap, on the loopback interface alone.

mod common;

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::symlink,
    path::PathBuf,
    process::Command,
};

use common::{
    Daemon, Folder, at_once, command, compile, example, fail_with, foreground::Foreground,
    has_ended_within, is_root, log::Log, root, run, skip, status_of, succeed, test_with, text,
    until,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const GREETING: &str = "SSH-2.0-OpenSSH_9.2\r\n";

struct Scanner {
    program: PathBuf,
    log: Log,
    folder: Folder,
    port: String,
}

/// Where the real nmap is.
#[track_caller]
fn nmap() -> Option<PathBuf> {
    let place = run(Command::new("sh").args(["-c", "command -v nmap"]));
    if !place.status.success() {
        skip("nmap is not installed");
        return None;
    }
    Some(text(&place.stdout).trim_end().into())
}

impl Scanner {
    /// For this port of 127.0.0.1.
    fn of(port: u16) -> Option<Self> {
        nmap()?;
        let folder = Folder::new();
        let program = example(&folder, "network_scanner");
        Some(Scanner::with(program, folder, port))
    }

    fn with(program: PathBuf, folder: Folder, port: u16) -> Self {
        let log = Log(folder.path("scanner.log"));
        let scanner = Scanner { program, log, folder, port: port.to_string() };
        scanner.write("127.0.0.1\n");
        scanner
    }

    /// For a port where somebody listens and greets, or says nothing: then a scan takes long.
    fn of_listener(greeting: &'static str) -> Option<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for mut connection in listener.incoming().flatten() {
                let _ = connection.write_all(greeting.as_bytes());
                open.push(connection);
            }
        });
        Scanner::of(port)
    }

    /// For a port where nobody listens.
    fn of_closed_port() -> Option<Self> {
        // Port 1 is one that the kernel gives to nobody who asks for any.
        Scanner::of(1)
    }

    fn targets(&self) -> PathBuf {
        self.folder.path("targets.txt")
    }

    fn pidfile(&self) -> PathBuf {
        self.folder.path("scanner.pid")
    }

    fn write(&self, targets: &str) {
        fs::write(self.targets(), targets).unwrap();
    }

    fn command(&self, environment: &[(&str, &str)]) -> Command {
        let mut command = command(&self.program);
        command.arg("--targets").arg(self.targets()).arg("--pidfile").arg(self.pidfile());
        command.arg("--log").arg(&self.log.0);
        command.env("SCAN_PORTS", &self.port).envs(environment.iter().copied());
        command
    }

    #[track_caller]
    fn start(&self, environment: &[(&str, &str)]) -> Daemon {
        succeed(&mut self.command(environment));
        Daemon::of(&self.pidfile())
    }

    /// Overwrites the targets, and HUP.
    fn reload(&self, daemon: &Daemon, targets: &str) {
        self.write(targets);
        daemon.signal(Signal::SIGHUP);
    }
}

/// The nmaps that run, once there are so many.
#[track_caller]
fn await_nmaps(daemon: &Daemon, count: usize) -> Vec<i32> {
    let nmaps = || -> Vec<_> {
        let children = daemon.children().into_iter();
        children.filter(|&pid| status_of(pid, "Name") == "nmap").collect()
    };
    until(&format!("{count} nmaps"), || nmaps().len() == count);
    nmaps()
}

// --- what is found -----------------------------------------------------------------------------

#[test]
fn scanner_logs_an_open_port_and_what_listens_there() {
    let Some(scanner) = Scanner::of_listener(GREETING) else { return };
    let daemon = scanner.start(&[]);

    scanner.log.await_text("127.0.0.1: scan complete, 1 open\n");

    let log = scanner.log.text();
    let found: Vec<_> = log.lines().filter(|line| line.contains("/tcp")).collect();
    let [found] = found[..] else { panic!("{log}") };
    let beginning = format!(" localhost (127.0.0.1): {}/tcp open ", scanner.port);
    assert!(found.contains(&beginning) && found.contains("OpenSSH 9.2"), "{log}");
    daemon.stop();
}

#[test]
fn scanner_tells_syslog_what_it_found() {
    if nmap().is_none() {
        return;
    }
    let folder = Folder::new();
    let sources = ["c-examples/network_scanner.c", "tests/programs/syslog_to_stderr.c"];
    let sources = sources.map(|source| root().join(source));
    let program = compile(&folder, "network_scanner", &sources, &[]);
    let scanner = Scanner::with(program, folder, 1);

    let daemon = scanner.start(&[]);

    scanner.log.await_text("syslog 6: 127.0.0.1: scan complete, 0 open\n");
    daemon.stop();
}

#[test]
fn scanner_logs_closed_ports_only_for_debugging() {
    for (debug, shown) in [("no", false), ("yes", true)] {
        let Some(scanner) = Scanner::of_closed_port() else { return };
        let daemon = scanner.start(&[("DAEMON_DEBUG", debug)]);

        scanner.log.await_text("127.0.0.1: scan complete, 0 open\n");

        assert_eq!(scanner.log.text().contains("1/tcp closed"), shown, "{}", scanner.log.text());
        daemon.stop();
    }
}

#[test]
fn scanner_logs_what_nmap_complains_about() {
    let Some(scanner) = Scanner::of_closed_port() else { return };
    scanner.write("127.0.0.1/99\n");
    let daemon = scanner.start(&[]);

    scanner.log.await_text("127.0.0.1/99: Illegal netmask");

    daemon.stop();
}

#[test]
fn scanner_logs_a_scan_that_fails_or_takes_too_long() {
    let Some(scanner) = Scanner::of_listener("") else { return };
    let daemon = scanner.start(&[("SCAN_TIMEOUT", "1")]);
    scanner.log.await_text("127.0.0.1: not scanned within 1 s\n");
    daemon.stop();

    let daemon = scanner.start(&[("SCAN_PORTS", "no port")]);
    scanner.log.await_text("127.0.0.1: nmap failed with 1\n");
    daemon.stop();
}

#[test]
fn scanner_without_nmap_says_so_and_lives_on() {
    if test_with() == "valgrind" {
        return; // valgrind is searched in PATH, too
    }
    let Some(scanner) = Scanner::of_closed_port() else { return };
    let path = scanner.folder.path("bin");
    fs::create_dir(&path).unwrap();
    let daemon = scanner.start(&[("PATH", path.to_str().unwrap()), ("SCAN_INTERVAL", "1")]);

    let complaint = "127.0.0.1: cannot scan: ";
    scanner.log.await_text(complaint);
    assert!(scanner.log.text().contains("No such file or directory"), "{}", scanner.log.text());
    symlink(nmap().unwrap(), path.join("nmap")).unwrap();

    scanner.log.await_text("127.0.0.1: scan complete, 0 open\n");
    daemon.stop();
}

// --- rounds ------------------------------------------------------------------------------------

#[test]
fn scanner_begins_a_round_each_interval() {
    let Some(scanner) = Scanner::of_closed_port() else { return };
    let daemon = scanner.start(&[("SCAN_INTERVAL", "1")]);

    scanner.log.await_count("127.0.0.1: scan complete, 0 open", 3);

    daemon.stop();
}

#[test]
fn scanner_begins_no_round_while_one_goes_on() {
    let Some(scanner) = Scanner::of_listener("") else { return };
    let daemon = scanner.start(&[("SCAN_INTERVAL", "1")]);
    let nmap = await_nmaps(&daemon, 1);

    scanner.log.await_count("no new round, since the one before goes on", 2);

    assert_eq!(daemon.children(), nmap);
    daemon.stop();
}

#[test]
fn scanner_has_nmap_give_up_what_it_does_not_need() {
    let Some(scanner) = Scanner::of_listener("") else { return };
    let daemon = scanner.start(&[]);
    let nmap = await_nmaps(&daemon, 1)[0];

    assert_eq!(status_of(nmap, "NoNewPrivs"), "1");
    if test_with() != "valgrind" {
        // Which does not know it, and the effort is the best one.
        assert_eq!(status_of(nmap, "Seccomp"), "2");
    }
    assert_eq!(status_of(nmap, "CapPrm"), "0000000000000000");
    if is_root() {
        assert_eq!(status_of(nmap, "Uid"), "65534\t65534\t65534\t65534");
    }
    daemon.stop();
}

#[test]
fn scanner_runs_as_many_scans_at_once_as_it_is_told() {
    let Some(scanner) = Scanner::of_listener("") else { return };
    scanner.write("127.0.0.1\nlocalhost\n127.0.0.1/32\n");
    let daemon = scanner.start(&[("SCAN_AT_ONCE", "2")]);
    let first = await_nmaps(&daemon, 2);
    assert_eq!(daemon.children(), first);

    kill(Pid::from_raw(first[0]), Signal::SIGKILL).unwrap();

    scanner.log.await_text(": nmap ended by Killed\n");
    let next = await_nmaps(&daemon, 2);
    assert_eq!(daemon.children(), next);
    assert!(!next.contains(&first[0]) && next.contains(&first[1]), "{first:?} {next:?}");
    let third = || text(&fs::read(format!("/proc/{}/cmdline", next[1])).unwrap());
    until("it is executed", || !third().is_empty());
    let expected = format!("nmap -p {} -sV 127.0.0.1/32 ", scanner.port).replace(' ', "\0");
    assert_eq!(third(), expected);
    daemon.stop();
}

// --- signals -----------------------------------------------------------------------------------

#[test]
fn scanner_ends_at_once_on_term_during_scans_and_leaves_no_nmap() {
    let Some(scanner) = Scanner::of_listener("") else { return };
    scanner.write("127.0.0.1\nlocalhost\n");
    let daemon = scanner.start(&[]);
    let nmaps = await_nmaps(&daemon, 2).into_iter().map(Daemon::of_pid);
    let nmaps: Vec<_> = nmaps.collect();

    daemon.signal(Signal::SIGTERM);

    assert!(has_ended_within(daemon.pid, at_once()));
    for nmap in nmaps {
        assert!(has_ended_within(nmap.pid, at_once()), "{} is left", nmap.pid);
    }
    assert!(!scanner.pidfile().exists());
    let log = scanner.log.text();
    assert!(log.contains(" localhost: scan given up\n") && log.ends_with(" stopped\n"), "{log}");
}

#[test]
fn scanner_ends_at_once_on_term_between_scans() {
    let Some(scanner) = Scanner::of_closed_port() else { return };
    let daemon = scanner.start(&[]);
    scanner.log.await_text("scan complete");

    daemon.signal(Signal::SIGTERM);

    assert!(has_ended_within(daemon.pid, at_once()));
    assert!(!scanner.pidfile().exists());
}

#[test]
fn scanner_scans_the_new_targets_after_hup() {
    let Some(scanner) = Scanner::of_closed_port() else { return };
    scanner.write("# nobody yet\n\n");
    let daemon = scanner.start(&[]);
    scanner.log.await_text("started, every 300 s, targets: 0\n");

    scanner.reload(&daemon, "# two\n\n 127.0.0.1 # the first\nlocalhost");

    scanner.log.await_text("reloaded, every 300 s, targets: 2\n");
    scanner.log.await_text("127.0.0.1: scan complete, 0 open\n");
    scanner.log.await_text("localhost: scan complete, 0 open\n");
    daemon.stop();
}

#[test]
fn scanner_does_not_scan_twice_at_once_what_hup_meets() {
    let Some(scanner) = Scanner::of_listener("") else { return };
    let daemon = scanner.start(&[]);
    let first = await_nmaps(&daemon, 1)[0];

    scanner.reload(&daemon, "127.0.0.1\nlocalhost\n");

    let both = await_nmaps(&daemon, 2);
    let second = fs::read(format!("/proc/{}/cmdline", both[1])).unwrap();
    assert!(both[0] == first && text(&second).ends_with("\0localhost\0"), "{both:?}");
    daemon.stop();
}

#[test]
fn scanner_keeps_its_targets_when_the_new_ones_are_bad_and_logs_why() {
    let Some(scanner) = Scanner::of_closed_port() else { return };
    let daemon = scanner.start(&[("SCAN_INTERVAL", "1")]);
    let long = "a".repeat(256);
    let endless = format!("# {}", "b".repeat(2000));
    let many = "127.0.0.1\n".repeat(1001);
    for (targets, why) in [
        ("localhost\n-oN/etc/motd\n", "-oN/etc/motd"),
        ("localhost\n--script=all\n", "--script=all"),
        ("localhost -sU\n", "localhost -sU"),
        ("localhost\n$(id)\n", "$(id)"),
        ("a;b\n", "a;b"),
        ("\u{1b}[2J\n", "?[2J"),
        (&long, &long),
        (&endless, "a line is too long"),
        (&many, "too many targets"),
    ] {
        scanner.reload(&daemon, targets);
        let path = scanner.targets().display().to_string();
        scanner.log.await_text(&format!("kept the old targets: {path}: {why}\n"));
    }

    fs::remove_file(scanner.targets()).unwrap();
    daemon.signal(Signal::SIGHUP);
    scanner.log.await_text("targets.txt: No such file or directory\n");
    fs::create_dir(scanner.targets()).unwrap();
    daemon.signal(Signal::SIGHUP);
    scanner.log.await_text("targets.txt: Is a directory\n");

    let scanned = "127.0.0.1: scan complete, 0 open";
    let before = scanner.log.count(scanned);
    until("the old target is scanned", || scanner.log.count(scanned) > before);
    assert!(!scanner.log.text().contains("localhost: "), "{}", scanner.log.text());
    daemon.stop();
}

// --- environment and arguments -----------------------------------------------------------------

#[test]
fn scanner_tells_what_it_cannot_use_of_its_environment_and_keeps_the_defaults() {
    let Some(scanner) = Scanner::of_closed_port() else { return };
    let bad = [
        ("SCAN_INTERVAL", "soon"),
        ("SCAN_TIMEOUT", "0"),
        ("SCAN_AT_ONCE", "65"),
        ("DAEMON_DEBUG", "maybe"),
        ("DAEMON_LOG_LEVEL", "loud"),
    ];
    let daemon = scanner.start(&bad);

    scanner.log.await_text("started, every 300 s, targets: 1\n");
    let log = scanner.log.text();
    for (name, value) in bad {
        let told = |line: &&str| line.contains(name) && line.contains(value);
        assert!(log.lines().any(|line| told(&line)), "{name}: {log}");
    }
    daemon.stop();
}

#[test]
fn scanner_logs_from_the_level_on_that_it_is_told() {
    let Some(scanner) = Scanner::of_listener(GREETING) else { return };
    let daemon = scanner.start(&[("DAEMON_LOG_LEVEL", "NOTICE"), ("SCAN_INTERVAL", "1")]);

    let found = format!(": {}/tcp open ", scanner.port);
    until("found twice", || scanner.log.text().matches(&found).count() == 2);

    assert!(!scanner.log.text().contains("scan complete"), "{}", scanner.log.text());
    daemon.stop();
}

#[test]
fn scanner_in_the_foreground_logs_to_stdout() {
    let Some(scanner) = Scanner::of_closed_port() else { return };
    let mut command = scanner.command(&[]);
    command.arg("--foreground");

    let daemon = Foreground::start(&scanner.folder, &mut command, "scan complete, 0 open\n");

    assert!(scanner.pidfile().exists());
    let output = daemon.stop();
    assert!(output.ends_with(" stopped\n"), "{output}");
    assert_eq!(scanner.log.text(), "");
    assert!(!scanner.pidfile().exists());
}

#[test]
fn scanner_with_bad_targets_does_not_start() {
    let Some(scanner) = Scanner::of_closed_port() else { return };
    let targets = scanner.targets().display().to_string();

    scanner.write("-iL/etc/passwd\n");
    let message = fail_with(1, &mut scanner.command(&[]));
    assert!(message.contains(&format!("{targets}: -iL/etc/passwd")), "{message}");

    fs::remove_file(scanner.targets()).unwrap();
    let message = fail_with(1, &mut scanner.command(&[]));
    assert!(message.contains(&format!("{targets}: No such file or directory")), "{message}");
    assert!(!scanner.pidfile().exists());
}

#[test]
fn scanner_with_bad_arguments_does_not_start() {
    let Some(scanner) = Scanner::of_closed_port() else { return };
    for arguments in
        [&["--targets", "targets.txt"][..], &["--targets"], &["--nonsense", "1"], &["1", "2"]]
    {
        let message = fail_with(2, scanner.command(&[]).args(arguments));
        assert!(message.contains("makes no sense"), "{arguments:?}: {message}");
        assert!(!scanner.pidfile().exists(), "{arguments:?}");
    }
}
