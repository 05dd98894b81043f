//! The same program under supervisors that set nothing for it, as process 1, and how it chooses to stay or to go into the
//! background.

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use common::{
    Daemon, Folder, command, fail_with, foreground::Foreground, is_root, manager::Manager, program,
    read, run, skip, succeed, text, until,
};
use nix::sys::signal::Signal;

/// tests/programs/supervised.c in the folder of a service.
struct Rig {
    folder: Folder,
    program: PathBuf,
}

impl Rig {
    fn new() -> Self {
        let folder = Folder::new();
        let program = program(&folder, "supervised");
        Rig { folder, program }
    }

    /// A supervisor's script, which ends with this line.
    fn script(&self, path: &str, line: &str) {
        let path = self.folder.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let set_up: String = command(&self.program)
            .get_envs()
            .filter_map(|(name, value)| {
                Some(format!("export {}='{}'\n", name.to_str()?, value?.to_str()?))
            })
            .collect();
        let folder = self.folder.as_ref().display();
        let program = command(&self.program);
        let program: Vec<_> = [program.get_program()]
            .into_iter()
            .chain(program.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        let line = line.replace("PROGRAM", &program.join(" "));
        fs::write(&path, format!("#!/bin/sh\n{set_up}cd '{folder}'\n{line}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn log(&self) -> String {
        read(&self.folder.path("log"))
    }
}

fn is_installed(program: &str) -> bool {
    let is_there = Path::new("/usr/bin").join(program).exists();
    if !is_there {
        skip(&format!("needs {program}"));
    }
    is_there
}

#[test]
fn s6_waits_until_the_daemon_is_ready_and_restarts_it() {
    if !is_installed("s6-supervise") {
        return;
    }
    let rig = Rig::new();
    rig.script("service/run", "exec PROGRAM foreground=2 notify_fd=3 log=log 2>&1");
    fs::write(rig.folder.path("service/notification-fd"), "3\n").unwrap();
    let service = rig.folder.path("service");
    let mut supervise = Command::new("s6-supervise");
    let supervise = Foreground::start(&rig.folder, supervise.arg(&service), "ready: 0\n");
    // Up, and ready.
    succeed(Command::new("s6-svwait").args(["-U", "-t", "10000"]).arg(&service));
    assert!(rig.log().contains("in the foreground: a supervisor waits"), "{}", rig.log());
    let pid = || {
        let output = succeed(Command::new("s6-svstat").args(["-o", "pid,ready"]).arg(&service));
        text(&output.stdout).trim_end().to_owned()
    };
    let first = pid();
    assert!(first.ends_with(" true"), "{first}");
    succeed(Command::new("s6-svc").args(["-wR", "-T", "10000", "-r"]).arg(&service));
    let second = pid();
    assert!(second.ends_with(" true") && second != first, "{first} {second}");
    succeed(Command::new("s6-svc").args(["-wD", "-T", "10000", "-xd"]).arg(&service));
    supervise.process.wait_end();
    assert_eq!(rig.log().matches("in the foreground").count(), 2);
}

#[test]
fn runit_starts_restarts_and_stops_it() {
    if !is_installed("runsv") {
        return;
    }
    let rig = Rig::new();
    // runit sets nothing to know it by: its script says what is wanted.
    rig.script("service/run", "exec PROGRAM foreground=1 pidfile=./d.pid 2>&1");
    let service = rig.folder.path("service");
    let runsv = Foreground::start(&rig.folder, Command::new("runsv").arg(&service), "ready: 0\n");
    let first = read(&rig.folder.path("d.pid"));
    let status = text(&run(Command::new("sv").arg("status").arg(&service)).stdout);
    assert!(status.contains(&format!("(pid {})", first.trim_end())), "{status}");
    succeed(Command::new("sv").arg("restart").arg(&service));
    until("another one runs", || {
        let now = read(&rig.folder.path("d.pid"));
        !now.is_empty() && now != first
    });
    succeed(Command::new("sv").args(["-w", "10", "exit"]).arg(&service));
    runsv.process.wait_end();
    assert!(!rig.folder.path("d.pid").exists());
}

/// Process 1 of a container: what reaches it is not ended by default, and orphans are its children.
fn as_process_1(rig: &Rig, line: &str, sign: &str) -> Foreground {
    rig.script("init", line);
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(rig.folder.path("init"));
    Foreground::start(&rig.folder, &mut unshare, sign)
}

#[test]
fn process_1_stays_in_the_foreground_and_ends_on_term() {
    if !is_root() {
        return skip("needs root for a process namespace");
    }
    let rig = Rig::new();
    let unshare =
        as_process_1(&rig, "exec PROGRAM foreground=2 log=log pidfile=./d.pid", "ready: 0\n");
    assert_eq!(read(&rig.folder.path("d.pid")), "1\n");
    assert!(rig.log().contains("in the foreground: this is process 1"), "{}", rig.log());
    let [init] = unshare.process.children()[..] else { panic!("{:?}", unshare.process.children()) };
    Daemon::of_pid(init).stop();
    unshare.process.wait_end();
    assert!(!rig.folder.path("d.pid").exists());
}

/// The kernel keeps from process 1 what it has no handler for.
#[test]
fn process_1_without_handlers_is_ended_by_term_and_int() {
    if !is_root() {
        return skip("needs root for a process namespace");
    }
    for (signal, status) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let rig = Rig::new();
        // What runs the tests in the background may ignore SIGINT, which is inherited.
        let line = "exec env --default-signal PROGRAM foreground=2 log=log pause=1";
        let mut unshare = as_process_1(&rig, line, "ready: 0\n");
        let [init] = unshare.process.children()[..] else { panic!() };
        let init = Daemon::of_pid(init);
        init.signal(signal);
        init.wait_end();
        assert_eq!(unshare.wait(), Some(status));
    }
}

#[test]
fn busybox_init_runs_it_and_restarts_it() {
    if !is_root() {
        return skip("needs root for a process namespace");
    }
    if !is_installed("busybox") {
        return;
    }
    let rig = Rig::new();
    rig.script("respawn", "exec PROGRAM foreground=1 pidfile=./d.pid log=log >> output 2>&1");
    let inittab = format!("::respawn:{}\n", rig.folder.path("respawn").display());
    fs::write(rig.folder.path("inittab"), inittab).unwrap();
    // Its own /etc/inittab and a console that is nobody's.
    let script = format!(
        "mount -t tmpfs tmpfs /mnt && mkdir /mnt/etc && cp /etc/passwd /etc/group /mnt/etc/ && cp '{0}/inittab' /mnt/etc/inittab && mount --bind /mnt/etc /etc \
        && exec busybox init",
        rig.folder.as_ref().display()
    );
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--pid",
        "--mount",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "sh",
        "-c",
        &script,
    ]);
    let unshare = Foreground::start(&rig.folder, &mut unshare, "");
    let pid = || read(&rig.folder.path("d.pid"));
    until("it runs", || read(&rig.folder.path("output")).contains("ready: 0"));
    let first = pid();
    let mut kill = Command::new("nsenter");
    let [init] = unshare.process.children()[..] else { panic!("{:?}", unshare.process.children()) };
    kill.arg(format!("--target={init}")).args([
        "--pid",
        "--mount",
        "kill",
        "-KILL",
        first.trim_end(),
    ]);
    succeed(&mut kill);
    until("another one runs", || !pid().is_empty() && pid() != first);
    unshare.kill();
}

/// How tests/programs/supervised.c chooses in this environment, and why, as it logs it.
#[track_caller]
fn chosen(environment: &[&str], stdin: Option<std::os::fd::OwnedFd>) -> String {
    let rig = Rig::new();
    let assignments = environment.join(" ");
    rig.script(
        "start",
        &format!("exec env {assignments} PROGRAM foreground=2 log=log pidfile=./d.pid"),
    );
    let mut start = Command::new(rig.folder.path("start"));
    if let Some(stdin) = stdin {
        start.stdin(stdin);
    }
    let output = fs::File::create(rig.folder.path("output")).unwrap();
    let mut child = common::Child(start.stdout(output).spawn().unwrap());
    until("it says why", || rig.log().contains("ground: "));
    let daemon = Daemon::of(&rig.folder.path("d.pid"));
    let is_same = daemon.pid == child.pid();
    daemon.stop();
    child.wait();
    let log = rig.log();
    let place = if is_same { "in the foreground: " } else { "in the background: " };
    let (_, why) = log.split_once(place).unwrap_or_else(|| panic!("{place} {log}"));
    format!("{}{}", if is_same { "stays: " } else { "leaves: " }, why.lines().next().unwrap())
}

#[test]
fn what_was_set_for_this_process_decides_and_nothing_else() {
    let manager = Manager::new();
    let socket = format!("NOTIFY_SOCKET='{}'", manager.folder.path("notify").display());
    for (environment, expected) in [
        (&[][..], "leaves: no supervisor has said that it waits for this process"),
        (&["SYSTEMD_EXEC_PID=$$"], "stays: systemd has executed this process (SYSTEMD_EXEC_PID)"),
        (
            &["SYSTEMD_EXEC_PID=$$", "PIDFILE=/run/it.pid"],
            "leaves: systemd waits for this process to leave a daemon behind (PIDFILE)",
        ),
        (&["SYSTEMD_EXEC_PID=1"], "leaves: no supervisor has said that it waits for this process"),
        (&["PIDFILE=x"], "leaves: no supervisor has said that it waits for this process"),
        (&["LISTEN_PID=$$"], "stays: sockets were passed to this process (LISTEN_PID)"),
        (
            &["LISTEN_PID=1", "LISTEN_FDS=1"],
            "leaves: no supervisor has said that it waits for this process",
        ),
        (
            &["INVOCATION_ID=1", "JOURNAL_STREAM=1:1"],
            "leaves: no supervisor has said that it waits for this process",
        ),
    ] {
        assert_eq!(chosen(environment, None), expected, "{environment:?}");
    }
    let expected = "stays: a service manager waits for this process (NOTIFY_SOCKET)";
    assert_eq!(chosen(&[&socket], None), expected);
}

#[test]
fn a_notify_socket_that_was_handed_down_keeps_nobody_in_the_foreground() {
    let rig = Rig::new();
    // Nobody reads it, so nobody lets the barrier through: the launcher gives up on it.
    let socket = "NOTIFY_SOCKET=/nowhere/notify";
    rig.script(
        "start",
        &format!(
            "exec env SYSTEMD_EXEC_PID=1 {socket} PROGRAM foreground=2 log=log pidfile=./d.pid"
        ),
    );
    let output = run(&mut Command::new(rig.folder.path("start")));
    assert_eq!(output.status.code(), Some(0));
    let message = text(&output.stderr);
    assert!(message.contains("cannot tell the service manager at /nowhere/notify"), "{message}");
    Daemon::of(&rig.folder.path("d.pid")).stop();
}

#[test]
fn stdin_that_serves_or_comes_from_afar_is_inetds() {
    let unix = std::os::unix::net::UnixStream::pair().unwrap().0;
    let expected = "leaves: no supervisor has said that it waits for this process";
    assert_eq!(chosen(&[], Some(unix.into())), expected); // as of sshd
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let expected = "stays: stdin is a socket, as under inetd";
    assert_eq!(chosen(&[], Some(far.into())), expected);
    assert_eq!(chosen(&[], Some(listener.into())), expected);
}

#[test]
fn what_is_neither_background_nor_foreground_is_refused() {
    let rig = Rig::new();
    for foreground in ["foreground=3", "foreground=-1"] {
        let message = fail_with(1, command(&rig.program).arg(foreground));
        assert!(message.contains("foreground is out of range"), "{message}");
    }
}
