//! A daemon's own command line, as an administrator and his scripts use it.

mod common;

use std::{
    fs,
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            fs::{PermissionsExt, symlink},
            net::{UnixDatagram, UnixListener},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use common::{
    Daemon, Folder, command, foreground::Foreground, is_locked, is_root, program, read, run, skip,
    test_with, text, until,
};
use nix::{libc, sys::signal::Signal};

/// How a command ended, and what it wrote.
#[derive(Debug, PartialEq)]
struct Said {
    status: Option<i32>,
    out: String,
    err: String,
}

fn said(status: i32, out: &str, err: &str) -> Said {
    Said { status: Some(status), out: out.to_owned(), err: err.to_owned() }
}

/// tests/programs/command_line.c in a folder of its own.
struct Rig {
    folder: Folder,
    program: PathBuf,
}

impl Rig {
    fn new() -> Self {
        let folder = Folder::new();
        let program = program(&folder, "command_line");
        Rig { folder, program }
    }

    fn command(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Command {
        let mut command = command(&self.program);
        command.env("NAME", "scanner").env("PIDFILE", "./d.pid");
        command.envs(environment.iter().copied());
        command.args(arguments).current_dir(&self.folder);
        command
    }

    fn said(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Said {
        let output = run(&mut self.command(environment, arguments));
        Said { status: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Starts it, and nothing is said.
    #[track_caller]
    fn start_with(&self, environment: &[(&str, &str)]) -> Daemon {
        assert_eq!(self.said(environment, &["start"]), said(0, "", ""));
        assert!(is_locked(&self.pidfile()));
        Daemon::of(&self.pidfile())
    }

    #[track_caller]
    fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    fn pidfile(&self) -> PathBuf {
        self.folder.path("d.pid")
    }

    /// Serves one connection on "s": reads a line, and answers with these bytes.
    fn serve(&self, expected: &'static str, answer: &'static str) {
        let folder = File::open(&self.folder).unwrap();
        let path = format!("/proc/self/fd/{}/s", folder.as_raw_fd());
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = vec![0; expected.len()];
            stream.read_exact(&mut line).unwrap();
            assert_eq!(text(&line), expected);
            stream.write_all(answer.as_bytes()).unwrap();
            let _ = stream.read(&mut [0]);
        });
    }
}

/// valgrind lacks pidfd_open(2), and so nobody is signalled there.
fn lacks_pidfd() -> bool {
    test_with() == "valgrind"
}

fn is_alive(daemon: &Daemon) -> bool {
    !["", "Z"].contains(&daemon.status("State").get(..1).unwrap_or(""))
}

const CONTROL: (&str, &str) = ("CONTROL", "s");

// --- start -------------------------------------------------------------------------------------

#[test]
fn without_a_word_it_starts_and_says_nothing() {
    let rig = Rig::new();
    assert_eq!(rig.said(&[], &[]), said(0, "", ""));
    assert!(is_locked(&rig.pidfile()));
    Daemon::of(&rig.pidfile()).stop();
    assert!(!rig.pidfile().exists());
}

#[test]
fn a_start_while_it_runs_is_a_success_that_names_the_one() {
    let rig = Rig::new();
    let daemon = rig.start();
    let out = format!("scanner: already running as pid {}\n", daemon.pid);
    assert_eq!(rig.said(&[], &["start"]), said(0, &out, ""));
    assert_eq!(rig.said(&[], &[]), said(0, &out, ""));
    assert_eq!(Daemon::of(&rig.pidfile()).pid, daemon.pid);
}

#[test]
fn a_start_that_the_program_gives_up_ends_with_its_status_and_text() {
    let rig = Rig::new();
    let fail = &[("FAIL", "no such interface: wlan0")];
    let expected = said(3, "", "scanner: no such interface: wlan0\n");
    assert_eq!(rig.said(fail, &["start"]), expected);
    assert!(!rig.pidfile().exists());
    assert_eq!(rig.said(fail, &["run"]), expected);
    assert!(!rig.pidfile().exists());
}

#[test]
fn a_start_that_fails_is_told_with_its_reason() {
    let rig = Rig::new();
    let expected = "scanner: cannot open the directory of none/d.pid: No such file or directory\n";
    assert_eq!(rig.said(&[], &["--pidfile=none/d.pid"]), said(1, "", expected));
    let user = rig.said(&[], &["--user", "no-such-user"]);
    assert_eq!((user.status, user.out.as_str()), (Some(1), ""));
    assert!(user.err.starts_with("scanner: ") && user.err.contains("no-such-user"), "{user:?}");
    assert!(!rig.pidfile().exists());
}

#[test]
fn of_starts_at_the_same_time_one_makes_the_daemon_and_all_succeed() {
    let rig = Rig::new();
    for _ in 0..5 {
        let starts: Vec<Said> = thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(|| rig.said(&[], &["start"]))).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        let daemon = Daemon::of(&rig.pidfile());
        let already = said(0, &format!("scanner: already running as pid {}\n", daemon.pid), "");
        let made = starts.iter().filter(|&start| *start == said(0, "", "")).count();
        let refused = starts.iter().filter(|&start| *start == already).count();
        assert_eq!((made, refused), (1, 7), "{starts:?}");
        daemon.stop();
    }
}

// --- stop --------------------------------------------------------------------------------------

#[test]
fn stop_returns_when_it_is_gone_and_is_a_success_also_when_nobody_runs() {
    if lacks_pidfd() {
        return;
    }
    let rig = Rig::new();
    let daemon = rig.start();
    let out = format!("scanner: stopped, it was pid {}\n", daemon.pid);
    assert_eq!(rig.said(&[], &["stop"]), said(0, &out, ""));
    assert!(!is_alive(&daemon) && !rig.pidfile().exists());
    assert_eq!(rig.said(&[], &["stop"]), said(0, "scanner: not running\n", ""));
}

#[test]
fn one_that_ignores_term_is_not_said_to_have_stopped() {
    if lacks_pidfd() {
        return;
    }
    let rig = Rig::new();
    let daemon = rig.start_with(&[("NO_TERM", "1")]);
    let err = format!(
        "scanner: process {}, which holds ./d.pid, has not ended within 300 ms\n",
        daemon.pid
    );
    assert_eq!(rig.said(&[("TIMEOUT", "300")], &["stop"]), said(1, "", &err));
    assert_eq!(rig.said(&[("TIMEOUT", "300")], &["restart"]), said(1, "", &err));
    assert!(is_alive(&daemon));
    let named = read(&rig.pidfile());
    assert_eq!(named, format!("{}\n", daemon.pid), "another one was started");

    let out = format!("scanner: stopped, it was pid {}\n", daemon.pid);
    let killing = &[("TIMEOUT", "300"), ("KILLS", "1")];
    assert_eq!(rig.said(killing, &["stop"]), said(0, &out, ""));
    assert!(!is_alive(&daemon));
}

// --- restart -----------------------------------------------------------------------------------

#[test]
fn restart_makes_another_one_also_where_none_was() {
    if lacks_pidfd() {
        return;
    }
    let rig = Rig::new();
    assert_eq!(rig.said(&[], &["restart"]), said(0, "scanner: not running\n", ""));
    let first = Daemon::of(&rig.pidfile());

    let out = format!("scanner: stopped, it was pid {}\n", first.pid);
    assert_eq!(rig.said(&[], &["restart"]), said(0, &out, ""));

    assert!(!is_alive(&first));
    let second = Daemon::of(&rig.pidfile());
    assert_ne!(second.pid, first.pid);
    assert!(is_locked(&rig.pidfile()));
}

#[test]
fn what_could_not_start_is_not_restarted() {
    let rig = Rig::new();
    let daemon = rig.start();
    let pid = format!("{}\n", daemon.pid);
    for word in ["restart", "start", "run"] {
        let refused = rig.said(&[("CHECK", "3")], &[word, "--pidfile=./d.pid", "-c", "bad"]);
        assert_eq!(refused, said(3, "", "bad configuration\n"), "{word}");
        assert_eq!(read(&rig.folder.path("checked")), "-c\nbad\nNULL\n");
        assert_eq!(read(&rig.pidfile()), pid);
    }
    for status in ["-1", "256"] {
        let refused = rig.said(&[("CHECK", status)], &["restart"]);
        assert_eq!(refused, said(1, "", "bad configuration\n"), "{status}");
    }
    fs::remove_file(rig.folder.path("checked")).unwrap();
    assert_eq!(rig.said(&[("CHECK", "3")], &["status"]).status, Some(0));
    if !lacks_pidfd() {
        assert_eq!(rig.said(&[("CHECK", "3")], &["stop"]).status, Some(0));
    }
    assert!(!rig.folder.path("checked").exists());
}

#[test]
fn what_could_start_is_restarted() {
    if lacks_pidfd() {
        return;
    }
    let rig = Rig::new();
    let first = rig.start();
    let out = format!("scanner: stopped, it was pid {}\n", first.pid);
    assert_eq!(rig.said(&[("CHECK", "0")], &["restart"]), said(0, &out, ""));
    assert_ne!(Daemon::of(&rig.pidfile()).pid, first.pid);
}

// --- reload ------------------------------------------------------------------------------------

#[test]
fn reload_signals_who_has_a_handler() {
    if lacks_pidfd() {
        return;
    }
    let rig = Rig::new();
    let daemon = rig.start();
    let out = format!("scanner: asked pid {} to reload\n", daemon.pid);
    assert_eq!(rig.said(&[], &["reload"]), said(0, &out, ""));
    until("it reloads", || rig.folder.path("reloaded").exists());
}

#[test]
fn reload_leaves_alone_who_has_no_handler() {
    if lacks_pidfd() {
        return;
    }
    let rig = Rig::new();
    let daemon = rig.start_with(&[("NO_HUP", "1")]);
    let err = "scanner: cannot reload: it has no handler for SIGHUP\n";
    assert_eq!(rig.said(&[], &["reload"]), said(3, "", err));
    assert!(is_alive(&daemon));
    daemon.stop();
}

#[test]
fn reload_of_nobody_fails() {
    let rig = Rig::new();
    for environment in [&[][..], &[CONTROL]] {
        assert_eq!(rig.said(environment, &["reload"]), said(7, "", "scanner: not running\n"));
    }
}

#[test]
fn reload_by_the_control_socket_tells_what_came_of_it() {
    let rig = Rig::new();
    let _daemon = rig.start();
    rig.serve("reload\n", " 3 targets\n \t2 ports\nok\n");
    let out = "  3 targets\n  \t2 ports\nscanner: reloaded\n";
    assert_eq!(rig.said(&[CONTROL], &["reload"]), said(0, out, ""));
}

#[test]
fn reload_that_the_daemon_refuses_fails_with_its_reason() {
    let rig = Rig::new();
    let daemon = rig.start();
    rig.serve("reload\n", " scanner.conf, line 7\nerror unknown word: prot\n");
    let expected = said(1, "  scanner.conf, line 7\n", "scanner: unknown word: prot\n");
    assert_eq!(rig.said(&[CONTROL], &["reload"]), expected);

    rig.serve("reload\n", "");
    let expected = said(1, "", "scanner: s did not answer within 300 ms\n");
    assert_eq!(rig.said(&[CONTROL, ("TIMEOUT", "300")], &["reload"]), expected);

    fs::remove_file(rig.folder.path("s")).unwrap();
    let expected = said(1, "", "scanner: cannot connect to s: No such file or directory\n");
    assert_eq!(rig.said(&[CONTROL], &["reload"]), expected);
    assert!(!rig.folder.path("reloaded").exists(), "it was signalled as well");
    daemon.stop();
}

// --- status ------------------------------------------------------------------------------------

#[test]
fn status_is_that_of_lsb() {
    let rig = Rig::new();
    assert_eq!(rig.said(&[], &["status"]), said(3, "scanner: not running\n", ""));

    let daemon = rig.start();
    let out = format!("scanner: running as pid {}\n", daemon.pid);
    assert_eq!(rig.said(&[], &["status"]), said(0, &out, ""));

    daemon.signal(Signal::SIGKILL);
    daemon.wait_end();
    let out = "scanner: not running, but its pid file is left: ./d.pid\n";
    assert_eq!(rig.said(&[], &["status"]), said(1, out, ""));

    // Emptied at the end of a daemon that could not remove it.
    fs::write(rig.pidfile(), "").unwrap();
    assert_eq!(rig.said(&[], &["status"]), said(3, "scanner: not running\n", ""));

    fs::remove_file(rig.pidfile()).unwrap();
    symlink("elsewhere", rig.pidfile()).unwrap();
    let unknown = rig.said(&[], &["status"]);
    assert_eq!((unknown.status, unknown.out.as_str()), (Some(4), ""));
    assert!(unknown.err.starts_with("scanner: ") && unknown.err.contains("./d.pid"), "{unknown:?}");
}

#[test]
fn status_shows_what_the_daemon_says_of_itself() {
    let rig = Rig::new();
    let daemon = rig.start();
    let running = format!("scanner: running as pid {}\n", daemon.pid);
    rig.serve("status\n", " scanning 10.0.0.0/8\n \n \x1b[31m17 found\nok\n");
    let out = format!("{running}  scanning 10.0.0.0/8\n  \n  ?[31m17 found\n");
    assert_eq!(rig.said(&[CONTROL], &["status"]), said(0, &out, ""));

    // It runs, whether it answers or not.
    rig.serve("status\n", "error not for you\n");
    let expected = said(0, &running, "scanner: not for you\n");
    assert_eq!(rig.said(&[CONTROL], &["status"]), expected);
    fs::remove_file(rig.folder.path("s")).unwrap();
    let expected = said(0, &running, "scanner: cannot connect to s: No such file or directory\n");
    assert_eq!(rig.said(&[CONTROL], &["status"]), expected);
    daemon.stop();
}

// --- in the foreground -------------------------------------------------------------------------

#[test]
fn run_stays_in_the_foreground_with_its_output() {
    for arguments in [&["run"][..], &["--foreground"], &["start", "--foreground"]] {
        let rig = Rig::new();
        let mut command = rig.command(&[], arguments);
        let daemon = Foreground::start(&rig.folder, &mut command, "ready");
        assert_eq!(read(&rig.pidfile()), format!("{}\n", daemon.process.pid));
        assert_eq!(daemon.stop(), "ready\n");
        assert!(!rig.pidfile().exists());
    }
}

#[test]
fn run_with_a_log_file_writes_to_that() {
    let rig = Rig::new();
    let mut command = rig.command(&[("LOG", "log")], &["run"]);
    let child = common::Child::start(&mut command);
    until("it is ready", || read(&rig.folder.path("log")) == "ready\n");
    drop(child);
}

#[test]
fn run_while_another_one_runs_fails() {
    let rig = Rig::new();
    let daemon = rig.start();
    let err = format!("scanner: already running as pid {}, which holds ./d.pid\n", daemon.pid);
    assert_eq!(rig.said(&[], &["run"]), said(1, "", &err));
}

// --- rights ------------------------------------------------------------------------------------

#[test]
fn who_is_not_allowed_is_told_by_the_status() {
    if lacks_pidfd() {
        return;
    }
    if !is_root() {
        return skip("needs root to become another user");
    }
    let rig = Rig::new();
    let nobody = &[("BECOME", "65534")];
    fs::set_permissions(&rig.folder, PermissionsExt::from_mode(0o755)).unwrap();
    let start = rig.said(nobody, &["start"]);
    assert_eq!((start.status, start.out.as_str()), (Some(4), ""), "{start:?}");
    assert!(start.err.ends_with(": Permission denied\n"), "{start:?}");

    let daemon = rig.start();
    let err = format!(
        "scanner: cannot signal process {}, which holds ./d.pid: Operation not permitted\n",
        daemon.pid
    );
    for word in ["stop", "restart", "reload"] {
        // What catches the signal is open to all.
        assert_eq!(rig.said(nobody, &[word]), said(4, "", &err), "{word}");
    }
    let out = format!("scanner: running as pid {}\n", daemon.pid);
    assert_eq!(rig.said(nobody, &["status"]), said(0, &out, ""));
    fs::set_permissions(rig.pidfile(), PermissionsExt::from_mode(0o600)).unwrap();
    let status = rig.said(nobody, &["status"]);
    assert_eq!((status.status, status.out.as_str()), (Some(4), ""), "{status:?}");
    assert!(is_alive(&daemon));
}

#[test]
fn the_user_of_the_command_line_is_become() {
    if lacks_pidfd() {
        return;
    }
    if !is_root() {
        return skip("needs root to become another user");
    }
    let rig = Rig::new();
    fs::set_permissions(&rig.folder, PermissionsExt::from_mode(0o777)).unwrap();
    for arguments in [&["--user", "nobody"][..], &["--user=65534"]] {
        assert_eq!(rig.said(&[], arguments), said(0, "", ""));
        let daemon = Daemon::of(&rig.pidfile());
        assert_eq!(daemon.status("Uid"), "65534\t65534\t65534\t65534");
        let out = format!("scanner: stopped, it was pid {}\n", daemon.pid);
        assert_eq!(rig.said(&[], &["stop"]), said(0, &out, ""));
    }
}

// --- the words ---------------------------------------------------------------------------------

/// What is left of the arguments for the program.
#[track_caller]
fn left(rig: &Rig, arguments: &[&str]) -> (Said, String) {
    let said = rig.said(&[("ARGUMENTS", "arguments")], arguments);
    let left = read(&rig.folder.path("arguments"));
    let _ = fs::remove_file(rig.folder.path("arguments"));
    (said, left.replace('\n', " ").trim_end().to_owned())
}

#[test]
fn what_is_understood_is_taken_out_and_the_rest_stays_in_its_order() {
    let rig = Rig::new();
    let is_down = || said(3, "scanner: not running\n", "");
    for (arguments, expected) in [
        ("status", "NULL"),
        ("status -v --config x.conf -p 80 host", "-v --config x.conf -p 80 host NULL"),
        ("-v status host", "-v host NULL"),
        ("-c x.conf status host", "-c x.conf host NULL"),
        ("--config=x.conf status", "--config=x.conf NULL"),
        ("--pidfile ./e.pid -v status --user=nobody x", "-v x NULL"),
        ("--pidfile=./e.pid -v status x --user nobody y", "-v x y NULL"),
        ("-a --pidfile ./e.pid status -b --foreground -c", "-a -b -c NULL"),
        ("status --foreground", "NULL"),
        // The first word counts.
        ("status stop", "stop NULL"),
        ("-x status start", "-x start NULL"),
        // Behind these all is the program's.
        ("status -- stop --pidfile", "-- stop --pidfile NULL"),
        ("status -v -- --help", "-v -- --help NULL"),
        // These are none of ours.
        (
            "status --pidfiles=x --users --foreground=1 -h",
            "--pidfiles=x --users --foreground=1 -h NULL",
        ),
        ("status - ", "- NULL"),
        // The last of two counts.
        ("status --pidfile x/y --pidfile ./e.pid", "NULL"),
    ] {
        let words: Vec<_> = arguments.split_whitespace().collect();
        assert_eq!(left(&rig, &words), (is_down(), expected.to_owned()), "{arguments}");
    }
    // An empty argument is one.
    let (_, empty) = left(&rig, &["status", "", "-x", ""]);
    assert_eq!(empty, " -x  NULL");
}

#[test]
fn the_daemon_has_what_is_left_too() {
    let rig = Rig::new();
    for (arguments, expected) in [
        (&["-v", "--pidfile", "./e.pid", "start", "host"][..], "-v host NULL"),
        (&["--pidfile=./e.pid", "-c", "x.conf", "-v"], "-c x.conf -v NULL"),
        (&["--pidfile=./e.pid", "--", "host"], "-- host NULL"),
        (&["restart", "--pidfile", "./e.pid", "a", "b"], "a b NULL"),
    ] {
        let (start, left) = left(&rig, arguments);
        assert_eq!((start.status, start.err.as_str(), left.as_str()), (Some(0), "", expected));
        Daemon::of(&rig.folder.path("e.pid")).stop();
    }
    assert!(!rig.pidfile().exists());
}

#[test]
fn an_unknown_command_does_nothing() {
    let rig = Rig::new();
    for (arguments, unknown) in [
        (&["stat"][..], "stat"),
        (&["STOP"], "STOP"),
        (&["start "], "start "),
        (&[""], ""),
        (&["-"], "-"),
        (&["host", "start"], "host"),
        (&["--config=x", "stpo"], "stpo"),
        (&["-c", "x.conf", "stpo"], "stpo"),
        (&["--pidfile", "./e.pid", "stpo"], "stpo"),
        (&["--foreground", "stpo"], "stpo"),
        (&["a\x1bb\nc"], "a?b?c"),
    ] {
        let err = format!("scanner: unknown command: {unknown}; see --help\n");
        assert_eq!(rig.said(&[], arguments), said(2, "", &err), "{arguments:?}");
    }
    assert_eq!(rig.folder.names(), ["command_line"]);
}

#[test]
fn an_option_without_its_value_does_nothing() {
    let rig = Rig::new();
    for (arguments, option) in [
        (&["--pidfile"][..], "--pidfile"),
        (&["start", "--user"], "--user"),
        (&["start", "--pidfile="], "--pidfile"),
        (&["--user=", "stop"], "--user"),
        (&["--user", "", "stop"], "--user"),
    ] {
        let err = format!("scanner: {option} lacks its value; see --help\n");
        assert_eq!(rig.said(&[], arguments), said(2, "", &err), "{arguments:?}");
    }
    assert_eq!(rig.folder.names(), ["command_line"]);
}

#[test]
fn help_tells_the_words_and_the_programs_own_options() {
    let rig = Rig::new();
    let usage = ("USAGE", "  -v              say more\n\n  -c FILE         the \u{e4} file\n");
    for arguments in [&["--help"][..], &["start", "--help"], &["-x", "--help", "stop"]] {
        let help = rig.said(&[usage], arguments);
        assert_eq!((help.status, help.err.as_str()), (Some(0), ""));
        assert!(help.out.starts_with("usage: scanner [COMMAND]"), "{}", help.out);
        assert!(help.out.ends_with(&format!("\n\n{}", usage.1)), "{}", help.out);
        for word in ["start", "stop", "restart", "reload", "status", "run"] {
            assert!(help.out.contains(&format!("\n  {word} ")), "{word}");
        }
        for option in ["--pidfile PATH", "--user USER", "--foreground", "--help"] {
            assert!(help.out.contains(&format!("\n  {option} ")), "{option}");
        }
        assert!(help.out.lines().all(|line| line.len() <= 100));
    }
    let help = rig.said(&[], &["--help"]);
    assert!(help.out.ends_with("tell this\n"), "{}", help.out);
    assert_eq!(rig.folder.names(), ["command_line"]);
}

#[test]
fn without_a_name_it_is_that_of_the_program() {
    let rig = Rig::new();
    let nameless = |arguments: &[&str]| {
        let mut command = rig.command(&[], arguments);
        run(command.env_remove("NAME"))
    };
    let expected = "command_line: not running\n";
    assert_eq!(text(&nameless(&["status"]).stdout), expected);
    // Also in front of the text of rsd_fail().
    let mut command = rig.command(&[("FAIL", "why")], &["start"]);
    let output = run(command.env_remove("NAME"));
    assert_eq!(text(&output.stderr), "command_line: why\n");
}

#[test]
fn a_bare_name_stands_in_run_for_all_words() {
    if lacks_pidfd() {
        return;
    }
    if !is_root() {
        return skip("needs root to write to /run");
    }
    let rig = Rig::new();
    let name = format!("rsdaemon-test-{}", std::process::id());
    let pidfile = format!("--pidfile={name}");
    let path = Path::new("/run").join(format!("{name}.pid"));
    assert_eq!(rig.said(&[], &["start", &pidfile]), said(0, "", ""));
    let daemon = Daemon::of(&path);
    let out = format!("scanner: running as pid {}\n", daemon.pid);
    assert_eq!(rig.said(&[("PIDFILE", &name)], &["status"]), said(0, &out, ""));
    let out = format!("scanner: asked pid {} to reload\n", daemon.pid);
    assert_eq!(rig.said(&[], &["reload", &pidfile]), said(0, &out, ""));
    let out = format!("scanner: stopped, it was pid {}\n", daemon.pid);
    assert_eq!(rig.said(&[], &["stop", &format!("{pidfile}.pid")]), said(0, &out, ""));
    assert!(!path.exists());
}

#[test]
fn misuse_is_an_errno_and_a_sentence_on_stderr() {
    let folder = Folder::new();
    let program = program(&folder, "command_line_misuse");
    let output = run(command(&program).current_dir(&folder));
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{err}");
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 20, "{err}");
    for pair in lines.chunks(2) {
        let expected = pair[0].strip_prefix("expected: ").unwrap();
        assert_eq!(pair[1], format!("command_line_misuse: {expected}"));
    }
}

// --- the output --------------------------------------------------------------------------------

/// Runs it with this stdout and stderr; the status.
#[track_caller]
fn status_with(mut command: Command, output: OwnedFd) -> Option<i32> {
    let copy = output.try_clone().unwrap();
    let mut child = common::Child(command.stdout(output).stderr(copy).spawn().unwrap());
    drop(command);
    child.wait().code()
}

#[test]
fn the_status_is_right_although_nobody_can_be_told() {
    let rig = Rig::new();
    for (arguments, status) in
        [(&["status"][..], 3), (&["stop"], 0), (&["reload"], 7), (&["x"], 2), (&["--help"], 0)]
    {
        let full = File::options().write(true).open("/dev/full").unwrap().into();
        assert_eq!(status_with(rig.command(&[], arguments), full), Some(status), "{arguments:?}");

        // No SIGPIPE, neither for what stdio has buffered.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let command = rig.command(&[("UNBUFFERED_BEFORE", "before")], arguments);
        let ended = status_with(command, writer.into());
        assert_eq!(ended, Some(status), "{arguments:?}, a closed pipe");

        let mut closed = rig.command(&[], arguments);
        // SAFETY: close(2) is async-signal-safe.
        unsafe {
            closed.pre_exec(|| {
                libc::close(1);
                libc::close(2);
                Ok(())
            })
        };
        let mut child = common::Child::start(&mut closed);
        assert_eq!(child.wait().code(), Some(status), "{arguments:?}, closed");
    }
}

#[test]
fn each_line_is_one_write() {
    let rig = Rig::new();
    let _daemon = rig.start();
    rig.serve("status\n", " one\n two\nok\n");
    // Each write to it is a message.
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let command = rig.command(&[CONTROL, ("UNBUFFERED_BEFORE", "before")], &["status"]);
    assert_eq!(status_with(command, theirs.into()), Some(0));
    ours.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut message = [0; 100];
    let mut messages = Vec::new();
    while let Ok(length @ 1..) = ours.recv(&mut message) {
        messages.push(text(&message[..length]));
    }
    let running = format!("scanner: running as pid {}\n", Daemon::of(&rig.pidfile()).pid);
    assert_eq!(messages, ["before", &running, "  one\n", "  two\n"]);
}
