//! Sockets that were passed, as sd_listen_fds(3) has it, and those that a daemon makes itself.

mod common;

use std::{
    fs::{self, File},
    io::Read,
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::{UnixDatagram, UnixListener, UnixStream},
            process::CommandExt,
        },
    },
    path::PathBuf,
    process::Command,
};

use common::{Daemon, Folder, command, foreground::Foreground, program, run, succeed, text, until};
use nix::libc;

struct Rig {
    folder: Folder,
    program: PathBuf,
}

impl Rig {
    fn new() -> Self {
        let folder = Folder::new();
        let program = program(&folder, "sockets");
        Rig { folder, program }
    }

    fn command(&self, steps: &[&str]) -> Command {
        let mut command = command(&self.program);
        command.args(steps).current_dir(&self.folder);
        command
    }

    #[track_caller]
    fn said(&self, steps: &[&str]) -> String {
        text(&succeed(&mut self.command(steps)).stdout)
    }
}

/// As a service manager does it: the descriptors from 3 up, and the number of the process that is executed.
fn pass(command: &mut Command, fds: Vec<OwnedFd>, names: Option<&str>) {
    let mut assignments = format!("LISTEN_FDS={}", fds.len());
    if let Some(names) = names {
        assignments += &format!(" LISTEN_FDNAMES={names}");
    }
    // The shell becomes the program, so its number is right.
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec env LISTEN_PID=$$ {assignments} \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    // SAFETY: dup2(2) is async-signal-safe.
    unsafe {
        shell.pre_exec(move || {
            // Out of the way first.
            let high: Vec<_> =
                fds.iter().map(|fd| libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD, 50)).collect();
            for (number, fd) in high.into_iter().enumerate() {
                libc::dup2(fd, 3 + number as i32);
                libc::close(fd);
            }
            Ok(())
        })
    };
    *command = shell;
}

fn tcp() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn answer(mut stream: impl Read) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn what_was_passed_is_counted_named_and_close_on_exec() {
    let rig = Rig::new();
    let steps = ["count", "name=2", "name=3", "name=4", "name=5", "is=3", "is=4"];
    let mut command = rig.command(&steps);
    let file = File::open("/dev/null").unwrap();
    pass(&mut command, vec![tcp().0.into(), file.into()], Some("http:store"));
    let said = text(&succeed(&mut command).stdout);
    assert_eq!(
        said,
        "2 \nNULL\nhttp\nstore\nNULL\n\
        3: socket 1 inet 1 unix 0 fifo 0 stream 1 datagram 0 listening 1 cloexec 1\n\
        4: socket 0 inet 0 unix 0 fifo 0 stream 0 datagram 0 listening 0 cloexec 1\n"
    );
}

#[test]
fn without_names_all_are_unknown() {
    let rig = Rig::new();
    let mut command = rig.command(&["name=3", "count"]);
    pass(&mut command, vec![tcp().0.into()], None);
    assert_eq!(text(&succeed(&mut command).stdout), "unknown\n1 \n");
}

#[test]
fn what_was_passed_to_another_process_is_not_ours() {
    let rig = Rig::new();
    let mut command = rig.command(&["count"]);
    command.env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    assert_eq!(text(&succeed(&mut command).stdout), "0 \n");
    assert_eq!(rig.said(&["count"]), "0 \n");
    if common::test_with() == "valgrind" {
        return; // which has no pidfd_open
    }
    let mut command = rig.command(&["count"]);
    pass(&mut command, vec![tcp().0.into()], None);
    command.env("LISTEN_PIDFDID", "1");
    assert_eq!(text(&succeed(&mut command).stdout), "0 \n");
}

#[test]
fn descriptors_that_are_promised_and_not_there_are_an_error() {
    if common::test_with() == "valgrind" {
        return; // which has one there
    }
    let rig = Rig::new();
    for count in ["1", "4000000000", "2147483647"] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec env LISTEN_PID=$$ LISTEN_FDS={count} \"$@\""), "sh"]);
        let said = text(&succeed(shell.arg(&rig.program).args(["count", "name=3"])).stdout);
        assert_eq!(said, "-1 LISTEN_FDS tells of descriptors that are not open\nNULL\n");
    }
}

#[test]
fn sockets_are_found_by_name_and_still_are_in_the_daemon() {
    let rig = Rig::new();
    let ((a, port_a), (b, port_b)) = (tcp(), tcp());
    for how in ["foreground", "daemon"] {
        let steps = [how, "listen=second::", "listen=first::", "listen=first::", "ready", "wait"];
        let mut command = rig.command(&steps);
        let fds = vec![a.try_clone().unwrap().into(), b.try_clone().unwrap().into()];
        pass(&mut command, fds, Some("first:second"));
        let output = rig.folder.path("output");
        let file = File::create(&output).unwrap();
        let mut child = command.stdin(std::process::Stdio::null()).stdout(file).spawn().unwrap();
        until("it is ready", || common::read(&output).contains("ready"));
        let said = common::read(&output);
        let daemon = Daemon::of(&rig.folder.path("d.pid"));
        assert!(said.starts_with("4: socket 1 inet 1"), "{said}");
        assert!(said.contains("\n3: socket 1 inet 1"), "{said}");
        assert!(
            said.contains(&format!("listen: {} no such socket was passed", libc::ENOENT)),
            "{said}"
        );
        for port in [port_a, port_b] {
            let served = answer(TcpStream::connect(("127.0.0.1", port)).unwrap());
            assert_eq!(served, format!("served by {}\n", daemon.pid));
        }
        daemon.stop();
        child.wait().unwrap();
    }
}

#[test]
fn one_that_has_another_name_is_found_by_its_address() {
    let rig = Rig::new();
    let (listener, port) = tcp();
    let unix = UnixListener::bind(rig.folder.path("s")).unwrap();
    let path = format!("listen=x::{}", rig.folder.path("s").display());
    let port = format!("listen=y::127.0.0.1:{port}");
    let mut command = rig.command(&[&path, &port]);
    pass(&mut command, vec![listener.into(), unix.into()], Some("it.socket:it.socket"));
    let said = text(&succeed(&mut command).stdout);
    assert!(said.starts_with("4: socket 1 inet 0 unix 1"), "{said}");
    assert!(said.contains("\n3: socket 1 inet 1 unix 0"), "{said}");
}

#[test]
fn the_type_is_checked() {
    let rig = Rig::new();
    let cases: [(OwnedFd, i32, i32, &str); 4] = [
        (
            UdpSocket::bind("127.0.0.1:0").unwrap().into(),
            libc::SOCK_STREAM,
            libc::EPROTOTYPE,
            "another type",
        ),
        (tcp().0.into(), libc::SOCK_DGRAM, libc::EPROTOTYPE, "another type"),
        (
            UnixStream::pair().unwrap().0.into(),
            libc::SOCK_STREAM,
            libc::EPROTOTYPE,
            "does not listen",
        ),
        (File::open("/dev/null").unwrap().into(), libc::SOCK_STREAM, libc::ENOTSOCK, "as a socket"),
    ];
    for (fd, kind, errno, why) in cases {
        let mut command = rig.command(&[&format!("listen=it:{kind}:")]);
        pass(&mut command, vec![fd], Some("it"));
        let said = text(&succeed(&mut command).stdout);
        assert!(said.starts_with(&format!("listen: {errno} ")) && said.contains(why), "{said}");
    }
}

#[test]
fn without_a_name_the_first_of_that_type_is_returned() {
    let rig = Rig::new();
    let mut command = rig.command(&["listen=:2:", "listen=::9"]);
    let fds = vec![tcp().0.into(), UdpSocket::bind("127.0.0.1:0").unwrap().into()];
    pass(&mut command, fds, None);
    let said = text(&succeed(&mut command).stdout);
    assert!(said.starts_with("4: socket 1 inet 1 unix 0 fifo 0 stream 0 datagram 1"), "{said}");
    assert!(said.contains("\n3: socket 1 inet 1 unix 0 fifo 0 stream 1"), "{said}");
}

#[test]
fn inetd_passes_a_socket_on_stdin() {
    let rig = Rig::new();
    let (listener, port) = tcp();
    let mut command = rig.command(&["listen=it::1", "ready", "wait"]);
    let file = File::create(rig.folder.path("output")).unwrap();
    let stdin: OwnedFd = listener.into();
    let mut child = command.stdin(stdin).stdout(file).spawn().unwrap();
    let served = answer(TcpStream::connect(("127.0.0.1", port)).unwrap());
    assert_eq!(served, format!("served by {}\n", child.id()));
    Daemon::of_pid(child.id() as i32).stop();
    child.wait().unwrap();
}

#[test]
fn what_nobody_has_passed_is_bound() {
    let rig = Rig::new();
    let (listener, port) = tcp();
    drop(listener);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let abstract_name = format!("@rsdaemon-sockets-{}", std::process::id());
    let steps = [
        format!("listen=a::127.0.0.1:{port}"),
        format!("listen=b:2:127.0.0.1:{udp}"),
        format!("listen=c::{abstract_name}"),
        format!("listen=d::{}", rig.folder.path("s").display()),
        format!("listen=e:2:{}", rig.folder.path("datagrams").display()),
    ];
    let mut steps: Vec<_> = steps.iter().map(String::as_str).collect();
    steps.extend(["daemon", "ready", "wait"]);
    let mut command = rig.command(&steps);
    let output = File::create(rig.folder.path("output")).unwrap();
    assert!(command.stdout(output).status().unwrap().success());
    let said = common::read(&rig.folder.path("output"));
    for kind in [
        "inet 1 unix 0 fifo 0 stream 1 datagram 0 listening 1 cloexec 1",
        "inet 1 unix 0 fifo 0 stream 0 datagram 1 listening 0",
        "inet 0 unix 1 fifo 0 stream 1 datagram 0 listening 1",
        "inet 0 unix 1 fifo 0 stream 0 datagram 1 listening 0",
    ] {
        assert!(said.contains(kind), "{said}");
    }
    let daemon = Daemon::of(&rig.folder.path("d.pid"));
    let served = format!("served by {}\n", daemon.pid);
    assert_eq!(answer(TcpStream::connect(("127.0.0.1", port)).unwrap()), served);
    assert_eq!(answer(UnixStream::connect(rig.folder.path("s")).unwrap()), served);
    let mode = fs::metadata(rig.folder.path("s")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(fs::metadata(rig.folder.path("datagrams")).unwrap().file_type().is_socket());
    UnixDatagram::unbound().unwrap().send_to(b"x", rig.folder.path("datagrams")).unwrap();

    // Another one is refused, and harms nothing.
    let said = rig.said(&[steps[0], steps[2], steps[3]]);
    let refused = format!("listen: {} ", libc::EADDRINUSE);
    assert_eq!(said.matches(&refused).count(), 3, "{said}");
    assert_eq!(answer(UnixStream::connect(rig.folder.path("s")).unwrap()), served);
    daemon.stop();
    for name in ["s", "s.lock", "datagrams", "datagrams.lock"] {
        assert!(!rig.folder.path(name).exists(), "{name}");
    }
}

#[test]
fn a_port_alone_is_on_all_addresses() {
    let rig = Rig::new();
    let (listener, port) = tcp();
    drop(listener);
    let mut command = rig.command(&[&format!("listen=a::{port}"), "ready", "wait"]);
    let daemon = Foreground::start(&rig.folder, &mut command, "ready\n");
    let hosts: &[&str] = match TcpListener::bind("[::1]:0") {
        Ok(_) => &["127.0.0.1", "::1"],
        Err(_) => &["127.0.0.1"],
    };
    for host in hosts {
        let served = answer(TcpStream::connect((*host, port)).unwrap());
        assert_eq!(served, format!("served by {}\n", daemon.process.pid));
    }
    daemon.stop();
}

#[test]
fn what_is_no_address_is_refused() {
    let rig = Rig::new();
    for address in [
        "x",
        ":80",
        "65536",
        "1.2.3.4",
        "1.2.3:80",
        "[::1]",
        "[::1:80",
        "::1:80",
        "@",
        "localhost:80",
        "-1",
        "1.2.3.4:",
        "+80",
    ] {
        let said = rig.said(&[&format!("listen=a::{address}")]);
        assert!(
            said.starts_with(&format!("listen: {} cannot use the address {address}", libc::EINVAL)),
            "{address}: {said}"
        );
    }
}

#[test]
fn checks_of_what_is_not_open_fail() {
    let rig = Rig::new();
    let said = rig.said(&["is=77", "is=-1"]);
    for fd in ["77", "-1"] {
        assert!(
            said.contains(&format!("{fd}: socket -1 inet -1 unix -1 fifo -1 stream -1")),
            "{said}"
        );
    }
}

/// The daemon of systemd-socket-activate(1), which executes it when a client connects.
#[test]
fn systemd_socket_activate_starts_it_in_the_foreground() {
    let rig = Rig::new();
    if run(Command::new("systemd-socket-activate").arg("--version")).status.code() != Some(0) {
        return common::skip("needs systemd-socket-activate");
    }
    let (listener, port) = tcp();
    drop(listener);
    let program = rig.command(&["count", "name=3", "listen=http::9", "ready", "wait"]);
    let mut activate = Command::new("systemd-socket-activate");
    activate.args(["--listen", &format!("127.0.0.1:{port}"), "--fdname=http"]);
    for (name, value) in program.get_envs() {
        if let Some(value) = value {
            activate.arg(format!(
                "--setenv={}={}",
                name.to_str().unwrap(),
                value.to_str().unwrap()
            ));
        }
    }
    activate.arg(program.get_program()).args(program.get_args()).current_dir(&rig.folder);
    let daemon = Foreground::start(&rig.folder, &mut activate, "Listening on");
    let served = answer(TcpStream::connect(("127.0.0.1", port)).unwrap());
    assert_eq!(served, format!("served by {}\n", daemon.process.pid));
    let said = daemon.stop();
    assert!(said.contains("1 \nhttp\n3: socket 1 inet 1"), "{said}");
}

#[test]
fn options_that_are_none_are_refused() {
    common::passes("sockets_misuse", &[]);
}
