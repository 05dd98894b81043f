//! A daemon that is replaced by a new start of its program: nobody is refused, and nothing has happened if the new one
//! does not get ready.

mod common;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use common::{
    Child, Daemon, Folder, command, control::Client, example, foreground::Foreground,
    has_ended_within, is_locked, is_root, manager::Manager, port, program, read, skip, status_of,
    succeed, test_with, text, until,
};
use nix::{
    libc::{ECHILD, EINTR, ENOENT, ETIMEDOUT},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

struct Rig {
    folder: Folder,
    program: PathBuf,
    port: u16,
}

impl Rig {
    fn new() -> Self {
        let folder = Folder::new();
        let program = program(&folder, "upgraded");
        Rig { folder, program, port: port() }
    }

    /// It ends with the value.
    fn start(&self, more: &[&str]) -> Daemon {
        let port = format!("port=127.0.0.1:{}", self.port);
        let path = format!("path={}", self.folder.path("d.sock").display());
        let mut command = command(&self.program);
        command.args(["pidfile=./d.pid", "control=./d.ctl", &port, &path]).args(more);
        succeed(command.current_dir(&self.folder));
        self.daemon()
    }

    fn pidfile(&self) -> PathBuf {
        self.folder.path("d.pid")
    }

    /// Who stands in the pid file.
    fn daemon(&self) -> Daemon {
        Daemon::of(&self.pidfile())
    }

    fn log(&self) -> String {
        read(&self.folder.path("log"))
    }

    /// Who answers at each of the places.
    #[track_caller]
    fn servers(&self) -> [i32; 3] {
        let mut texts = [String::new(), String::new()];
        let mut port = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        port.read_to_string(&mut texts[0]).unwrap();
        let mut path = UnixStream::connect(self.folder.path("d.sock")).unwrap();
        path.read_to_string(&mut texts[1]).unwrap();
        let [port, path] = texts.map(|text| text.trim_end().parse().unwrap());
        let status = Client::new(&self.folder.path("d.ctl")).ask("status").ok();
        let pid = status.split("pid: ").nth(1).unwrap_or_else(|| panic!("{status}"));
        [port, path, pid.split_whitespace().next().unwrap().parse().unwrap()]
    }

    #[track_caller]
    fn assert_served_by(&self, daemon: &Daemon) {
        assert_eq!(self.servers(), [daemon.pid; 3], "{}", self.log());
        assert!(is_locked(&self.pidfile()));
    }

    /// The one after it, when it has ended.
    #[track_caller]
    fn successor(&self, before: Daemon) -> Daemon {
        before.wait_end();
        let after = self.daemon();
        assert_ne!(after.pid, before.pid);
        self.assert_served_by(&after);
        after
    }

    /// What a new start does.
    fn next(&self, how: &str) {
        fs::write(self.folder.path("next"), how).unwrap();
    }

    /// The one that is to take over, while it waits.
    fn new_process(&self, before: &Daemon) -> Daemon {
        // Executed with the variable, not only forked.
        let is_new = |pid: &i32| {
            let path = fs::read_link(format!("/proc/{pid}/exe"));
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let is_told = text(&environment).contains(&format!(":{pid}\0"));
            *pid != before.pid && is_told && path.is_ok_and(|path| path == self.program)
        };
        let mut pid = None;
        until("a new one runs", || {
            let processes = fs::read_dir("/proc").unwrap();
            let mut pids =
                processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
            pid = pids.find(is_new);
            pid.is_some()
        });
        Daemon::of_pid(pid.unwrap())
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        let left = self.folder.names();
        let left: Vec<_> = left.iter().filter(|name| name.starts_with("d.")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_new_start_takes_over_by_signal_and_by_command() {
    let rig = Rig::new();
    // Who may give a socket to somebody else has to find it again.
    let first = rig.start(if is_root() { &["owner=nobody"] } else { &[] });
    rig.assert_served_by(&first);
    first.signal(Signal::SIGUSR2);
    let second = rig.successor(first);
    let said = Client::new(&rig.folder.path("d.ctl")).ask("upgrade").ok();
    assert_eq!(said, "");
    let third = rig.successor(second);
    third.stop();
    rig.assert_nothing_left();
    assert_eq!(rig.log().matches(" has taken over").count(), 2, "{}", rig.log());
}

#[test]
fn what_is_not_asked_for_again_is_given_up() {
    let rig = Rig::new();
    let first = rig.start(&["locked=other.pid", "late=1"]);
    let other = rig.folder.path("other.pid");
    rig.next(&format!("path={}", rig.folder.path("d.other").display()));
    first.signal(Signal::SIGUSR2);
    first.wait_end();
    let second = rig.daemon();
    let mut text = String::new();
    let mut there = UnixStream::connect(rig.folder.path("d.other")).unwrap();
    there.read_to_string(&mut text).unwrap();
    assert_eq!(text, format!("{}\n", second.pid));
    assert!(!rig.folder.path("d.sock").exists() && !rig.folder.path("d.sock.lock").exists());
    // rsd_lock_pidfile() before rsd_daemonize(), and a pid file that comes when ready.
    assert_eq!(read(&other), format!("{}\n", second.pid));
    assert!(is_locked(&other) && is_locked(&rig.pidfile()));
    second.stop();
    rig.assert_nothing_left();
    assert!(!is_locked(&other));
}

/// daemonize() is ready at once, before a program has asked for its sockets.
#[test]
fn a_new_start_that_would_lose_sockets_is_refused() {
    let rig = Rig::new();
    // daemonize() is ready before the program has its handlers.
    let serves =
        |pid: i32| until("it serves", || rig.log().contains(&format!("serves as {pid}\n")));
    let daemon = rig.start(&["at-once=1"]);
    serves(daemon.pid);
    daemon.signal(Signal::SIGUSR2);
    let why = "daemonize() is ready before it can take over sockets";
    until("it is refused", || rig.log().contains(why));
    rig.assert_served_by(&daemon);
    daemon.stop();
    rig.assert_nothing_left();

    // Without any there is nothing to lose.
    let mut start = command(&rig.program);
    start.args(["at-once=1", "pidfile=./d.pid"]).current_dir(&rig.folder);
    succeed(&mut start);
    let daemon = rig.daemon();
    serves(daemon.pid);
    daemon.signal(Signal::SIGUSR2);
    daemon.wait_end();
    let next = rig.daemon();
    assert_ne!(next.pid, daemon.pid);
    assert!(is_locked(&rig.pidfile()));
    serves(next.pid);
    next.stop();
    rig.assert_nothing_left();
}

/// It has no rights to come back to: it runs as the user that the old one has become.
#[test]
fn a_daemon_that_has_given_up_root_is_succeeded_by_one_that_has_not_got_it() {
    if !is_root() {
        return skip("needs root to give it up");
    }
    let rig = Rig::new();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    nix::unistd::chown(rig.folder.as_ref(), Some(nobody.uid), Some(nobody.gid)).unwrap();
    let first = rig.start(&["user=nobody"]);
    let uids = first.status("Uid");
    first.signal(Signal::SIGUSR2);
    let second = rig.successor(first);
    assert_eq!(second.status("Uid"), uids);
    assert!(!uids.contains("0\t"), "{uids}");
    second.stop();
    rig.assert_nothing_left();
}

/// c-examples/echo_server.c: whoever is connected is served to the end by who took him.
#[test]
fn echo_server_serves_old_clients_and_new_ones() {
    let folder = Folder::new();
    let program = example(&folder, "echo_server");
    let (pidfile, control) = (folder.path("d.pid"), folder.path("d.ctl"));
    let address = format!("127.0.0.1:{}", port());
    let mut start = command(&program);
    start.args(["start", "-l", &address, "-c"]).arg(&control).arg("--pidfile").arg(&pidfile);
    succeed(&mut start);
    let mut daemon = Daemon::of(&pidfile);
    let connect = || TcpStream::connect(&address).unwrap();
    let echo = |client: &mut TcpStream, text: &str| {
        client.write_all(text.as_bytes()).unwrap();
        let mut answer = vec![0; text.len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, text.as_bytes());
    };
    for by_command in [true, false] {
        let mut old = connect();
        echo(&mut old, "before");
        match by_command {
            true => assert_eq!(Client::new(&control).ask("upgrade").ok(), ""),
            false => daemon.signal(Signal::SIGUSR2),
        }
        until("the new one stands in the pid file", || {
            read(&pidfile) != format!("{}\n", daemon.pid)
        });
        echo(&mut old, "after");
        let mut new = connect();
        echo(&mut new, "new");
        assert!(!has_ended_within(daemon.pid, Duration::from_millis(100)));
        drop(old);
        daemon.wait_end();
        echo(&mut new, "still");
        daemon = Daemon::of(&pidfile);
    }
    // What an administrator sees who has installed nothing that runs.
    fs::write(folder.path("new"), "").unwrap();
    fs::rename(folder.path("new"), &program).unwrap();
    let said = Client::new(&control).ask("upgrade");
    assert!(said.end.contains(&format!("cannot run {}: ", program.display())), "{said:?}");
    echo(&mut connect(), "still");
    daemon.stop();
    assert!(!pidfile.exists() && !control.exists());
}

/// All that can happen to the new one.
#[test]
fn a_new_start_that_fails_changes_nothing() {
    let rig = Rig::new();
    let daemon = rig.start(&[]);
    until("it serves", || rig.log().contains("serves as"));
    let descriptors = daemon.fds().len();
    let before = fs::metadata(rig.pidfile()).unwrap().modified().unwrap();
    for (how, why) in [
        ("fail", format!("{ECHILD}: the new process gave up: the new one is bad")),
        ("late", format!("{ECHILD}: the new process gave up: the new one has all and is bad")),
        ("hang", format!("{ETIMEDOUT}: the daemon was not ready within 1000 ms and was ended")),
        ("crash", format!("{ECHILD}: the daemon ended before it was ready")),
        ("exit", format!("{ECHILD}: the daemon ended before it was ready")),
        ("refuse", format!("{ENOENT}: cannot open the directory of /nowhere/d.pid: No such file")),
    ] {
        rig.next(how);
        daemon.signal(Signal::SIGUSR2);
        until(how, || rig.log().contains(&why));
        rig.assert_served_by(&daemon);
        let said = Client::new(&rig.folder.path("d.ctl")).ask("upgrade");
        let (_, reason) = why.split_once(": ").unwrap();
        assert!(said.end.starts_with(&format!("error {reason}")), "{how}: {said:?}");
        rig.assert_served_by(&daemon);
        // Nothing has happened to the file, and nothing of the attempts is left.
        assert_eq!(fs::metadata(rig.pidfile()).unwrap().modified().unwrap(), before);
        assert_eq!(daemon.children(), []);
        until("the clients' descriptors are closed", || daemon.fds().len() == descriptors);
    }
    for (program, why) in
        [(None, "No such file or directory"), (Some("no program"), "Exec format error")]
    {
        let path = rig.folder.path("upgraded");
        fs::rename(&path, rig.folder.path("kept")).unwrap();
        if let Some(program) = program {
            fs::write(&path, program).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let said = Client::new(&rig.folder.path("d.ctl")).ask("upgrade");
        let expected = format!("error cannot run {}: {why}", path.display());
        assert_eq!(said.end, expected);
        rig.assert_served_by(&daemon);
        fs::rename(rig.folder.path("kept"), &path).unwrap();
    }
    fs::remove_file(rig.folder.path("next")).unwrap();
    daemon.signal(Signal::SIGUSR2);
    rig.successor(daemon).stop();
    rig.assert_nothing_left();
}

/// Whatever the new one asks for: until it is the daemon, the socket is as it was.
#[test]
fn sockets_get_another_mode_and_owner_with_the_new_one_and_no_other_type() {
    let rig = Rig::new();
    let daemon = rig.start(&["mode=0600"]);
    let socket = rig.folder.path("d.sock");
    let stat = || nix::sys::stat::stat(&socket).unwrap();
    rig.next("kind=5");
    daemon.signal(Signal::SIGUSR2);
    let why = "d.sock: the daemon before has a socket of another type there";
    until("it is refused", || rig.log().contains(why));
    rig.assert_served_by(&daemon);
    rig.next("mode=0666");
    daemon.signal(Signal::SIGUSR2);
    let daemon = rig.successor(daemon);
    assert_eq!(stat().st_mode & 0o777, 0o666);
    rig.next(if is_root() { "owner=nobody" } else { "fail" });
    daemon.signal(Signal::SIGUSR2);
    if !is_root() {
        daemon.stop();
        return skip("needs root for another owner");
    }
    let daemon = rig.successor(daemon);
    assert_ne!(stat().st_uid, 0);
    daemon.stop();
    rig.assert_nothing_left();
}

/// A socket that root has bound is served on by who is root no more.
#[test]
fn who_drops_its_privileges_is_upgraded_with_its_unix_sockets() {
    if !is_root() {
        return skip("needs root to give it up");
    }
    let rig = Rig::new();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    nix::unistd::chown(rig.folder.as_ref(), Some(nobody.uid), Some(nobody.gid)).unwrap();
    fs::write(rig.folder.path("log"), "").unwrap();
    nix::unistd::chown(&rig.folder.path("log"), Some(nobody.uid), None).unwrap();
    let first = rig.start(&["drop=nobody"]);
    until("it serves", || rig.log().contains("serves as"));
    first.signal(Signal::SIGUSR2);
    let second = rig.successor(first);
    assert!(!second.status("Uid").contains("0\t"));
    second.stop();
}

/// One that has a session of its own is no child of the process that made it, and is ended all the same.
#[test]
fn a_new_start_that_leads_its_session_is_ended_when_it_is_late() {
    if test_with() == "valgrind" {
        return; // which keeps its number from us
    }
    let rig = Rig::new();
    let daemon = rig.start(&["leader=1"]);
    rig.next("hang");
    daemon.signal(Signal::SIGUSR2);
    let new = rig.new_process(&daemon);
    new.wait_end();
    let why = format!("{ETIMEDOUT}: the daemon was not ready within 1000 ms and was ended\n");
    until("it is refused", || rig.log().contains(&why));
    rig.assert_served_by(&daemon);
    daemon.stop();
    rig.assert_nothing_left();
}

/// Also where it has taken the socket before it calls rsd_daemonize().
#[test]
fn a_new_start_that_fails_removes_what_is_its_and_nothing_else() {
    let rig = Rig::new();
    let early = format!("early={}", rig.folder.path("d.early").display());
    let daemon = rig.start(&[&early]);
    rig.next("fail");
    daemon.signal(Signal::SIGUSR2);
    let why = format!("{ECHILD}: the new process gave up: the new one is bad");
    until("it is refused", || rig.log().contains(&why));
    assert!(UnixStream::connect(rig.folder.path("d.early")).is_ok());
    let before = rig.folder.names();
    rig.next(&format!("path={}", rig.folder.path("d.other").display()));
    fs::write(rig.folder.path("bad"), "").unwrap();
    daemon.signal(Signal::SIGUSR2);
    until("it is refused", || rig.log().matches("the new process gave up: it is bad").count() == 1);
    fs::remove_file(rig.folder.path("bad")).unwrap();
    let mut after = rig.folder.names();
    after.retain(|name| name != "log");
    assert_eq!(after, before.into_iter().filter(|name| name != "log").collect::<Vec<_>>());
    rig.assert_served_by(&daemon);
    daemon.stop();
    rig.assert_nothing_left();
}

#[test]
fn who_was_told_to_end_is_not_upgraded() {
    let rig = Rig::new();
    let daemon = rig.start(&["ends-first=1"]);
    daemon.signal(Signal::SIGUSR2);
    daemon.wait_end();
    rig.assert_nothing_left();
    let why = format!("{EINTR}: cannot upgrade: the daemon was told to end");
    assert!(rig.log().contains(&why), "{}", rig.log());
}

/// A number that cannot be written is no success.
#[test]
fn a_new_start_that_cannot_write_the_pid_file_does_not_take_over() {
    let rig = Rig::new();
    let daemon = rig.start(&[]);
    rig.next("longest-file=0");
    daemon.signal(Signal::SIGUSR2);
    until("it is refused", || !read(&rig.folder.path("refused")).is_empty());
    rig.assert_served_by(&daemon);
    daemon.stop();
    rig.assert_nothing_left();
}

/// A release is a folder that a link leads to.
#[test]
fn a_link_that_leads_to_another_program_starts_that() {
    let mut rig = Rig::new();
    for release in ["1", "2"] {
        fs::create_dir(rig.folder.path(release)).unwrap();
        fs::copy(&rig.program, rig.folder.path(&format!("{release}/upgraded"))).unwrap();
    }
    let link = rig.folder.path("current");
    std::os::unix::fs::symlink("1/upgraded", &link).unwrap();
    rig.program = link.clone();
    let daemon = rig.start(&[]);
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("2/upgraded", &link).unwrap();
    daemon.signal(Signal::SIGUSR2);
    let next = rig.successor(daemon);
    if test_with() != "valgrind" {
        let program = fs::read_link(format!("/proc/{}/exe", next.pid)).unwrap();
        assert_eq!(program, rig.folder.path("2/upgraded"));
    }
    next.stop();
    rig.assert_nothing_left();
}

/// Neither what the new one has started before its first call, nor who finishes its clients, has the locks.
#[test]
fn after_a_crash_of_the_new_one_another_can_start() {
    let rig = Rig::new();
    let daemon = rig.start(&["drains=1", "locked=d.locked"]);
    rig.next("child=1");
    daemon.signal(Signal::SIGUSR2);
    until("it has taken over", || rig.log().contains(" has taken over"));
    let new = rig.daemon();
    assert_ne!(new.pid, daemon.pid);
    until("its number is there", || is_locked(&rig.folder.path("d.locked")));
    let child = Daemon::of_pid(new.children()[0]);
    new.signal(Signal::SIGKILL);
    new.wait_end();
    fs::remove_file(rig.folder.path("next")).unwrap();
    until("nobody has the locks", || {
        !is_locked(&rig.pidfile()) && !is_locked(&rig.folder.path("d.locked"))
    });
    let mut start = command(&rig.program);
    let path = format!("path={}", rig.folder.path("d.sock").display());
    start.args(["pidfile=./d.pid", "locked=d.locked", "control=./d.ctl", &path]);
    succeed(start.current_dir(&rig.folder));
    rig.daemon().stop();
    drop((daemon, child));
}

#[test]
fn the_watchdog_is_told_meanwhile() {
    let (manager, rig) = (Manager::new(), Rig::new());
    let mut start = command(&rig.program);
    start.args(["pidfile=./d.pid", "foreground=1"]).current_dir(&rig.folder);
    start.env("NOTIFY_SOCKET", manager.folder.path("notify")).env("WATCHDOG_USEC", "400000");
    let started = Child::start(&mut start);
    let daemon = Daemon::of_pid(started.pid());
    assert_eq!(manager.told(), "READY=1");
    until("it serves", || rig.log().contains("serves as"));
    rig.next("wait");
    daemon.signal(Signal::SIGUSR2);
    let new = rig.new_process(&daemon);
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 100]).is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    for _ in 0..3 {
        assert_eq!(manager.told(), "WATCHDOG=1");
    }
    fs::write(rig.folder.path("go"), "").unwrap();
    until("it hands over", || manager.told() == format!("MAINPID={}\nREADY=1", new.pid));
    until("it waits for that", || manager.told() == "BARRIER=1");
    daemon.wait_end();
    new.stop();
}

/// Also when the new one is ready, and only the service manager is waited for.
#[test]
fn a_stop_that_comes_late_is_not_lost() {
    let (manager, rig) = (Manager::new(), Rig::new());
    let mut start = command(&rig.program);
    start.args(["pidfile=./d.pid", "foreground=1"]).current_dir(&rig.folder);
    start.env("NOTIFY_SOCKET", manager.folder.path("notify"));
    let started = Child::start(&mut start);
    let daemon = Daemon::of_pid(started.pid());
    assert_eq!(manager.told(), "READY=1");
    until("it serves", || rig.log().contains("serves as"));
    daemon.signal(Signal::SIGUSR2);
    assert!(manager.told().starts_with("MAINPID="));
    daemon.signal(Signal::SIGTERM);
    // Its descriptor is closed now, which is the answer.
    assert_eq!(manager.told(), "BARRIER=1");
    assert_eq!(manager.told(), format!("MAINPID={}\nREADY=1", daemon.pid));
    assert_eq!(manager.told(), "BARRIER=1");
    daemon.wait_end();
    rig.assert_nothing_left();
    assert!(rig.log().contains(&format!("{EINTR}: ")), "{}", rig.log());
}

#[test]
fn a_daemon_that_is_to_end_meanwhile_ends_and_takes_the_new_one_with_it() {
    let rig = Rig::new();
    let daemon = rig.start(&[]);
    rig.next("wait");
    daemon.signal(Signal::SIGUSR2);
    let new = rig.new_process(&daemon);
    daemon.signal(Signal::SIGTERM);
    daemon.wait_end();
    new.wait_end();
    rig.assert_nothing_left();
    assert!(rig.log().contains(&format!("{EINTR}: the start was interrupted by a signal")));
}

/// Wherever it is: before the new one is ready, or while it takes over.
#[test]
fn a_daemon_that_is_killed_meanwhile_is_succeeded() {
    let rig = Rig::new();
    let daemon = rig.start(&[]);
    rig.next("wait");
    daemon.signal(Signal::SIGUSR2);
    let new = rig.new_process(&daemon);
    daemon.signal(Signal::SIGKILL);
    daemon.wait_end();
    assert!(is_locked(&rig.pidfile()));
    fs::write(rig.folder.path("go"), "").unwrap();
    until("it has taken over", || read(&rig.pidfile()) == format!("{}\n", new.pid));
    rig.assert_served_by(&new);
    new.stop();
    rig.assert_nothing_left();
}

/// Between our word that it may take over and its answer.
#[test]
fn a_new_one_that_ends_while_it_takes_over_leaves_the_old_one_as_it_was() {
    if !test_with().is_empty() {
        return; // strace would show the tool's calls
    }
    let rig = Rig::new();
    let daemon = rig.start(&[]);
    rig.next("wait");
    daemon.signal(Signal::SIGUSR2);
    let new = rig.new_process(&daemon);
    // Its pid file is the first that it truncates.
    let strace = Tracer::attach(&rig, new.pid, &["-e", "inject=ftruncate:signal=SIGKILL:when=1"]);
    fs::write(rig.folder.path("go"), "").unwrap();
    new.wait_end();
    strace.wait();
    let why = format!("{ECHILD}: cannot upgrade: the new process ended when it was to take over");
    until("it is told", || rig.log().contains(&why));
    assert_eq!(read(&rig.pidfile()), format!("{}\n", daemon.pid));
    rig.assert_served_by(&daemon);
    fs::remove_file(rig.folder.path("next")).unwrap();
    daemon.signal(Signal::SIGUSR2);
    rig.successor(daemon).stop();
    rig.assert_nothing_left();
}

/// strace(1) of a running daemon.
struct Tracer(Child);

impl Tracer {
    fn attach(rig: &Rig, pid: i32, more: &[&str]) -> Self {
        let _ = fs::remove_file(rig.folder.path("trace"));
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "trace", "-p", &pid.to_string()]).args(more);
        let tracer = Tracer(Child::start(command.current_dir(&rig.folder)));
        until("it is traced", || status_of(pid, "TracerPid") == tracer.0.pid().to_string());
        tracer
    }

    /// Until all that it traces has ended.
    fn wait(mut self) {
        self.0.wait();
    }

    /// It lets go.
    fn end(mut self) {
        kill(Pid::from_raw(self.0.pid()), Signal::SIGTERM).unwrap();
        self.0.wait();
    }
}

/// Each of the two, at each system call of an upgrade: either the new one serves and the old one ends, or the old one
/// serves, has said why, and nothing is left of the new one.
#[test]
fn whatever_fails_one_of_the_two_serves() {
    if !test_with().is_empty() {
        return; // strace would show the tool's calls
    }
    let rig = Rig::new();
    let mut daemon = rig.start(&[]);
    let mut calls = Vec::new();
    let mut outcomes = [0, 0];
    for trace_also_new in [false, true] {
        let follow: &[&str] = if trace_also_new { &["-f"] } else { &[] };
        let strace = Tracer::attach(&rig, daemon.pid, follow);
        daemon.signal(Signal::SIGUSR2);
        daemon.wait_end();
        daemon = rig.daemon();
        match trace_also_new {
            false => strace.wait(),
            true => strace.end(),
        }
        let trace = read(&rig.folder.path("trace"));
        let mut counted: Vec<(String, usize)> = Vec::new();
        for line in trace.lines() {
            let line = if trace_also_new { line.split_once(' ').unwrap().1.trim() } else { line };
            let name = line.split('(').next().unwrap();
            let is_call = line.contains('(') && !name.contains(['<', '+', '-', ' ']);
            // What cannot fail so, and what the test reads.
            let is_left_out = [
                "exit_group",
                "restart_syscall",
                "rt_sigreturn",
                "close",
                "execve",
                "write",
                "writev",
            ];
            if is_call && !is_left_out.contains(&name) && !name.starts_with("get") {
                match counted.iter_mut().find(|call| call.0 == name) {
                    Some(call) => call.1 += 1,
                    None => counted.push((name.to_owned(), 1)),
                }
            }
        }
        for (name, count) in counted {
            // Each in the old one; of the new one the first few, which are the C library's, and then some.
            let most = if trace_also_new { 6 } else { 10 };
            calls.extend((1..=count.min(most)).map(|when| (follow, name.clone(), when)));
        }
    }
    assert!(calls.len() > 60, "{calls:?}");
    let mut wrong = Vec::new();
    for (follow, name, when) in calls {
        let fault = format!("inject={name}:error=ENOMEM:when={when}");
        let refused = rig.folder.path("refused");
        let _ = fs::remove_file(&refused);
        let why = || fs::read_to_string(&refused).unwrap_or_default();
        let mut more = vec!["-e", &fault[..]];
        more.extend(follow);
        let strace = Tracer::attach(&rig, daemon.pid, &more);
        // Else what fails may be what rings for the main loop.
        until("it waits", || daemon.stat()[0] == "S");
        daemon.signal(Signal::SIGUSR2);
        let mut has_ended = false;
        until(&format!("{fault} {follow:?} is over"), || {
            has_ended = has_ended || has_ended_within(daemon.pid, Duration::from_millis(1));
            has_ended || why().ends_with('\n')
        });
        strace.end();
        if has_ended {
            outcomes[0] += 1;
            daemon = rig.daemon();
        } else {
            outcomes[1] += 1;
        }
        let servers = rig.servers();
        let is_right = servers == [daemon.pid; 3]
            && is_locked(&rig.pidfile())
            && read(&rig.pidfile()) == format!("{}\n", daemon.pid)
            && daemon.children().is_empty();
        let outcome = if has_ended { "upgraded".to_owned() } else { why() };
        println!("{fault} {follow:?}: {}", outcome.trim());
        if !is_right {
            wrong.push(format!("{fault} {follow:?}: {} of {servers:?}: {}", daemon.pid, why()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(outcomes.iter().all(|count| *count > 10), "{outcomes:?}");
    daemon.stop();
    rig.assert_nothing_left();
}

#[test]
fn who_is_no_daemon_or_has_a_supervisor_that_is_not_told_is_refused() {
    let rig = Rig::new();
    let mut command = command(&rig.program);
    command.args(["foreground=1", "pidfile=./d.pid", "control=./d.ctl"]);
    command.current_dir(&rig.folder);
    let daemon = Foreground::start(&rig.folder, &mut command, "");
    until("it serves", || rig.log().contains("serves as"));
    let said = Client::new(&rig.folder.path("d.ctl")).ask("upgrade");
    assert!(said.end.starts_with("error cannot upgrade: in the foreground"), "{said:?}");
    daemon.process.stop();
}

#[test]
fn process_1_is_refused() {
    if !is_root() {
        return skip("needs root for a process namespace");
    }
    let rig = Rig::new();
    let program = command(&rig.program);
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    unshare.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    unshare.arg(program.get_program()).args(program.get_args()).current_dir(&rig.folder);
    unshare.args(["foreground=1", "pidfile=./d.pid", "control=./d.ctl"]);
    let unshare = Foreground::start(&rig.folder, &mut unshare, "");
    until("it serves", || rig.log().contains("serves as 1"));
    let said = Client::new(&rig.folder.path("d.ctl")).ask("upgrade");
    assert!(said.end.starts_with("error cannot upgrade: this is process 1"), "{said:?}");
    unshare.kill();
}

/// As fast as they go, with clients all the time: each is answered.
#[test]
fn nobody_is_refused_while_it_is_upgraded_again_and_again() {
    let count = if test_with().is_empty() { 2000 } else { 20 };
    let rig = Rig::new();
    let mut daemon = rig.start(&[]);
    let (is_over, answers) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while !is_over.load(Relaxed) {
                    let mut text = String::new();
                    let mut port = TcpStream::connect(("127.0.0.1", rig.port)).unwrap();
                    port.read_to_string(&mut text).unwrap();
                    let mut path = UnixStream::connect(rig.folder.path("d.sock")).unwrap();
                    path.read_to_string(&mut text).unwrap();
                    assert_eq!(text.lines().count(), 2, "{text}");
                    answers.fetch_add(2, Relaxed);
                    // The lock is held at every moment.
                    assert!(is_locked(&rig.pidfile()));
                }
            });
        }
        let upgraded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..count {
                daemon.signal(Signal::SIGUSR2);
                daemon.wait_end();
                daemon = rig.daemon();
            }
        }));
        is_over.store(true, Relaxed);
        upgraded.unwrap();
    });
    rig.assert_served_by(&daemon);
    assert!(answers.load(Relaxed) > count, "{answers:?} answers in {count} upgrades");
    assert_eq!(rig.log().matches(" has taken over").count(), count as usize);
    daemon.stop();
    rig.assert_nothing_left();
}
