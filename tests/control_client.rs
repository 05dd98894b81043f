//! Asking on a control socket, where what answers may be anything.

mod common;

use std::{
    fs,
    io::{Read, Write},
    os::{
        fd::AsRawFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use common::{
    DEADLINE, Folder, at_once, command, is_root, program, skip, succeed, test_with, text,
};
use nix::libc;

/// What the call returned and left behind.
#[derive(Debug, PartialEq)]
struct Outcome {
    result: i32,
    errno: i32,
    sentence: String,
    reply: String,
}

impl Outcome {
    #[track_caller]
    fn of(output: &[u8]) -> Self {
        let output = text(output);
        let (line, reply) = output.split_once('\n').unwrap_or_else(|| panic!("{output:?}"));
        let mut words = line.splitn(3, ' ');
        let mut next = || words.next().unwrap_or_else(|| panic!("{output:?}"));
        Outcome {
            result: next().parse().unwrap_or_else(|_| panic!("{output:?}")),
            errno: next().parse().unwrap(),
            sentence: next().to_owned(),
            reply: reply.to_owned(),
        }
    }

    fn text(reply: &str) -> Self {
        let (result, reply) = (reply.len() as i32, reply.to_owned());
        Outcome { result, errno: 0, sentence: String::new(), reply }
    }
}

/// The C program and a socket in a folder of their own.
struct Rig {
    folder: Folder,
    program: PathBuf,
}

impl Rig {
    fn new() -> Self {
        let folder = Folder::new();
        let program = program(&folder, "control_client");
        Rig { folder, program }
    }

    /// Relative to the folder: the address of a socket is short.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.program);
        command.args(arguments).current_dir(&self.folder);
        command
    }

    #[track_caller]
    fn ask(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(&succeed(&mut self.command(arguments)).stdout)
    }

    #[track_caller]
    fn refused(&self, errno: i32, sentence: &str, arguments: &[&str]) {
        let outcome = self.ask(arguments);
        let expected = (-1, errno, sentence);
        let told = (outcome.result, outcome.errno, outcome.sentence.as_str());
        assert_eq!(told, expected, "{arguments:?}");
    }

    /// A socket "s" that somebody listens on.
    fn listen(&self) -> UnixListener {
        let path = self.folder.path("s");
        let _ = fs::remove_file(&path);
        bind(&path)
    }

    /// Serves one connection on "s".
    fn serve(&self, server: impl FnOnce(UnixStream) + Send + 'static) {
        let listener = self.listen();
        thread::spawn(move || server(listener.accept().unwrap().0));
    }

    /// Reads a line, and answers with these bytes; then waits for the end.
    fn answer(&self, answer: impl AsRef<[u8]>) {
        let answer = answer.as_ref().to_owned();
        self.serve(move |mut stream| {
            line(&mut stream);
            let _ = stream.write_all(&answer);
            let _ = stream.read(&mut [0]);
        });
    }
}

/// By a short name: the path of the folder may be too long for an address.
fn bind(path: &Path) -> UnixListener {
    let folder = fs::File::open(path.parent().unwrap()).unwrap();
    let short = format!("/proc/self/fd/{}", folder.as_raw_fd());
    UnixListener::bind(Path::new(&short).join(path.file_name().unwrap())).unwrap()
}

fn line(stream: &mut UnixStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') && stream.read(&mut byte).unwrap() == 1 {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

#[test]
fn the_lines_of_an_answer_come_without_their_blank() {
    let rig = Rig::new();
    rig.answer(" pid 4711\n  indented\n \n a\tb \u{e4}\nok\n");
    let reply = "pid 4711\n indented\n\na\tb \u{e4}\n";
    assert_eq!(rig.ask(&["s", "status", "100", "-1"]), Outcome::text(reply));

    rig.answer("ok\n");
    assert_eq!(rig.ask(&["s", "ping", "100", "5000"]), Outcome::text(""));
}

#[test]
fn the_command_is_sent_as_it_is_with_an_end_of_its_line() {
    let rig = Rig::new();
    for asked in ["ping", "say \"two words\"  \\\" x", "\u{e4}\t\u{1}", &"x".repeat(4095)] {
        let (tell, told) = mpsc::channel();
        rig.serve(move |mut stream| {
            tell.send(line(&mut stream)).unwrap();
            stream.write_all(b"ok\n").unwrap();
        });
        assert_eq!(rig.ask(&["s", asked, "10", "5000"]), Outcome::text(""));
        assert_eq!(told.recv().unwrap(), format!("{asked}\n"));
    }
}

#[test]
fn a_reply_that_is_too_small_is_cut_and_the_length_is_that_of_the_whole() {
    let rig = Rig::new();
    for (size, reply) in
        [("0", ""), ("1", ""), ("2", "a"), ("5", "abcd"), ("6", "abcd\n"), ("9", "abcd\nef\n")]
    {
        rig.answer(" abcd\n ef\nok\n");
        let outcome = rig.ask(&["s", "x", size, "5000"]);
        assert_eq!(outcome, Outcome { result: 8, ..Outcome::text(reply) });
    }
}

#[test]
fn the_daemons_no_is_its_reason_and_its_text_is_kept() {
    let rig = Rig::new();
    rig.answer(" line 7: what is this\nerror cannot read it\n");
    let no = |sentence: &str, reply: &str| Outcome {
        result: -1,
        errno: libc::EREMOTEIO,
        sentence: sentence.to_owned(),
        reply: reply.to_owned(),
    };
    let expected = no("cannot read it", "line 7: what is this\n");
    assert_eq!(rig.ask(&["s", "reload", "100", "5000"]), expected);
    for answer in ["error\n", "error \n"] {
        rig.answer(answer);
        let expected = no("the daemon refused, and did not say why", "");
        assert_eq!(rig.ask(&["s", "reload", "100", "5000"]), expected);
    }
    rig.answer("error \x1b[31m\0a\tb\r\n");
    assert_eq!(rig.ask(&["s", "reload", "100", "5000"]), no("?[31m?a?b?", ""));
    rig.answer(format!("error {}\n", "x".repeat(4000)));
    let outcome = rig.ask(&["s", "reload", "100", "5000"]);
    assert_eq!((outcome.errno, outcome.sentence), (libc::EREMOTEIO, "x".repeat(506)));
}

#[test]
fn an_answer_cannot_do_anything_to_a_terminal() {
    let rig = Rig::new();
    rig.answer(b" \x1b[2J\0 \x07\x7f\r\nok\n");
    assert_eq!(rig.ask(&["s", "x", "100", "5000"]), Outcome::text("?[2J? ???\n"));
}

#[test]
fn what_is_no_answer_is_told_at_once() {
    let rig = Rig::new();
    let sentence = "s does not speak the protocol of this library";
    for garbage in [
        &b"\n"[..],
        b"OK\n",
        b"oker\n",
        b"ok \n",
        b"ok\r\n",
        b"errors\n",
        b"o\n",
        b"\0",
        b"\xff\xfe",
        b" text\nHTTP/1.1 400 Bad Request",
        b"SSH-2.0-OpenSSH_9.6",
    ] {
        // No end of the line comes, nor that of the connection.
        rig.answer(garbage);
        rig.refused(libc::EPROTO, sentence, &["s", "x", "100", "-1"]);
    }
    rig.answer(format!("error {}", "x".repeat(5000)));
    rig.refused(libc::EPROTO, sentence, &["s", "x", "100", "-1"]);
}

#[test]
fn an_answer_that_ends_in_the_middle_is_none() {
    let rig = Rig::new();
    for part in ["", " ", " text", " text\n", " text\no", "ok", "error", "error why"] {
        rig.serve(move |mut stream| {
            line(&mut stream);
            stream.write_all(part.as_bytes()).unwrap();
        });
        let sentence = "s ended before its answer did";
        rig.refused(libc::EPROTO, sentence, &["s", "x", "100", "-1"]);
    }
    // With what was sent not read, the connection is reset; also before it could be sent.
    rig.serve(drop);
    rig.refused(libc::EPROTO, "s ended before its answer did", &["s", "x", "100", "-1"]);
}

#[test]
fn who_is_turned_away_before_he_asks_is_told_why() {
    let rig = Rig::new();
    rig.serve(|mut stream| stream.write_all(b"error too many connections\n").unwrap());
    rig.refused(libc::EREMOTEIO, "too many connections", &["s", "x", "100", "-1"]);
}

#[test]
fn a_silent_daemon_is_waited_for_as_long_as_asked() {
    let rig = Rig::new();
    rig.answer("");
    let start = Instant::now();
    rig.refused(libc::ETIMEDOUT, "s did not answer within 300 ms", &["s", "x", "100", "300"]);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(300) && took < at_once(), "{took:?}");
    rig.answer("");
    rig.refused(libc::ETIMEDOUT, "s did not answer within 0 ms", &["s", "x", "100", "0"]);
}

#[test]
fn a_daemon_that_dribbles_gets_no_more_time() {
    let rig = Rig::new();
    rig.serve(|mut stream| {
        while stream.write_all(b" \n").is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    });
    let start = Instant::now();
    rig.refused(libc::ETIMEDOUT, "s did not answer within 300 ms", &["s", "x", "100", "300"]);
    assert!(start.elapsed() < at_once());
}

#[test]
fn bytes_may_come_one_at_a_time() {
    let rig = Rig::new();
    rig.serve(|mut stream| {
        line(&mut stream);
        for byte in b" one\n two\nok\n" {
            stream.write_all(&[*byte]).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
    });
    assert_eq!(rig.ask(&["s", "x", "100", "5000"]), Outcome::text("one\ntwo\n"));
}

#[test]
fn megabytes_in_a_line_are_counted_and_endless_ones_are_no_answer() {
    let rig = Rig::new();
    let long = format!(" {}\nok\n", "x".repeat(3 << 20));
    rig.answer(&long);
    let outcome = rig.ask(&["s", "x", "4", "20000"]);
    assert_eq!(outcome, Outcome { result: (3 << 20) + 1, ..Outcome::text("xxx") });

    rig.serve(|mut stream| {
        let _ = stream.write_all(b" ");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let sentence = "s does not speak the protocol of this library";
    rig.refused(libc::EPROTO, sentence, &["s", "x", "4", "-1"]);
}

#[test]
fn signals_do_not_disturb_and_the_time_counts_on() {
    let rig = Rig::new();
    rig.serve(|mut stream| {
        line(&mut stream);
        thread::sleep(Duration::from_millis(200));
        stream.write_all(b" done\nok\n").unwrap();
    });
    assert_eq!(rig.ask(&["s", "x", "100", "10000", "storm"]), Outcome::text("done\n"));

    rig.answer("");
    let start = Instant::now();
    let sentence = "s did not answer within 300 ms";
    rig.refused(libc::ETIMEDOUT, sentence, &["s", "x", "100", "300", "storm"]);
    assert!(start.elapsed() >= Duration::from_millis(300) && start.elapsed() < at_once());
}

/// A listener that never accepts, and the connection that it has room for.
fn full(rig: &Rig) -> (UnixListener, UnixStream) {
    let listener = rig.listen();
    // SAFETY: listen(2) takes no pointers.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let folder = fs::File::open(&rig.folder).unwrap();
    let first = UnixStream::connect(format!("/proc/self/fd/{}/s", folder.as_raw_fd())).unwrap();
    (listener, first)
}

#[test]
fn a_daemon_that_takes_no_connections_is_waited_for_as_long_as_asked() {
    let rig = Rig::new();
    let _full = full(&rig);
    for more in [&[][..], &["storm"]] {
        let start = Instant::now();
        let arguments = [&["s", "x", "100", "300"], more].concat();
        rig.refused(libc::ETIMEDOUT, "s took no connection within 300 ms", &arguments);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(300) && took < at_once(), "{took:?}");
    }
    rig.refused(libc::ETIMEDOUT, "s took no connection within 0 ms", &["s", "x", "100", "0"]);
}

#[test]
fn a_daemon_that_takes_connections_late_is_asked_then() {
    let rig = Rig::new();
    let (listener, first) = full(&rig);
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        drop(listener.accept().unwrap());
        drop(first);
        let (mut stream, _) = listener.accept().unwrap();
        line(&mut stream);
        stream.write_all(b" late\nok\n").unwrap();
    });
    assert_eq!(rig.ask(&["s", "x", "100", "-1", "storm"]), Outcome::text("late\n"));
}

#[test]
fn where_nobody_serves_there_is_no_answer() {
    let rig = Rig::new();
    let refused = |errno, path: &str, why: &str| {
        let sentence = format!("cannot connect to {path}: {why}");
        rig.refused(errno, &sentence, &[path, "x", "100", "5000"]);
    };
    refused(libc::ENOENT, "none", "No such file or directory");
    refused(libc::ENOENT, "none/s", "No such file or directory");
    fs::write(rig.folder.path("file"), "").unwrap();
    refused(libc::ECONNREFUSED, "file", "Connection refused");
    refused(libc::ENOTDIR, "file/s", "Not a directory");
    fs::create_dir(rig.folder.path("folder")).unwrap();
    refused(libc::ECONNREFUSED, "folder", "Connection refused");
    drop(rig.listen());
    refused(libc::ECONNREFUSED, "s", "Connection refused");
    refused(libc::ECONNREFUSED, "@rsdaemon-nobody-serves-this", "Connection refused");
    let folder = fs::File::open(&rig.folder).unwrap();
    let datagrams = format!("/proc/self/fd/{}/datagrams", folder.as_raw_fd());
    let _datagrams = UnixDatagram::bind(datagrams).unwrap();
    refused(libc::EPROTOTYPE, "datagrams", "Protocol wrong type for socket");
    std::os::unix::fs::symlink("loop", rig.folder.path("loop")).unwrap();
    refused(libc::ELOOP, "loop", "Too many levels of symbolic links");
}

#[test]
fn who_may_not_connect_is_told() {
    if !is_root() {
        return skip("needs root to become another user");
    }
    let rig = Rig::new();
    let _listener = rig.listen();
    fs::set_permissions(rig.folder.path("s"), fs::Permissions::from_mode(0o600)).unwrap();
    let sentence = "cannot connect to s: Permission denied";
    rig.refused(libc::EACCES, sentence, &["s", "x", "100", "5000", "nobody"]);
}

#[test]
fn arguments_that_cannot_be_used_are_refused() {
    let rig = Rig::new();
    let _listener = rig.listen();
    let invalid = |sentence, arguments: &[&str]| rig.refused(libc::EINVAL, sentence, arguments);
    invalid("path is NULL", &["s", "x", "9", "9", "no-path"]);
    invalid("the path of the control socket is empty", &["", "x", "9", "9"]);
    invalid("the path of the control socket is empty", &["@", "x", "9", "9"]);
    invalid("command is NULL", &["s", "x", "9", "9", "no-command"]);
    for empty in ["", " ", "\t \r"] {
        invalid("the command is empty", &["s", empty, "9", "9"]);
    }
    for lines in ["x\n", "\nx", "x\ny"] {
        invalid("the command has more than one line", &["s", lines, "9", "9"]);
    }
    for length in [4096, 9999] {
        let sentence = "the command is longer than 4095 bytes";
        invalid(sentence, &["s", &"x".repeat(length), "9", "9"]);
    }
    invalid("reply is NULL but size is not 0", &["s", "x", "9", "9", "no-reply"]);
    invalid("timeout_ms is less than -1", &["s", "x", "9", "-2"]);
}

#[test]
fn paths_of_any_length_work() {
    let rig = Rig::new();
    let long = ["n".repeat(200), "m".repeat(200)].join("/");
    fs::create_dir(rig.folder.path(&"n".repeat(200))).unwrap();
    let serve = |path: String| {
        // Bound under a short name first: the last part alone may be too long for an address.
        let listener = rig.listen();
        fs::rename(rig.folder.path("s"), rig.folder.path(&path)).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            line(&mut stream);
            stream.write_all(b" here\nok\n").unwrap();
        });
        assert_eq!(rig.ask(&[&path, "x", "9", "5000"]), Outcome::text("here\n"), "{path}");
    };
    serve(long);
    for length in 106..=110 {
        serve("x".repeat(length));
    }
    let none = "y".repeat(150);
    let sentence = format!("cannot connect to {none}: No such file or directory");
    rig.refused(libc::ENOENT, &sentence, &[&none, "x", "9", "5000"]);
    fs::write(rig.folder.path(&none), "").unwrap();
    let sentence = format!("cannot connect to {none}: Connection refused");
    rig.refused(libc::ECONNREFUSED, &sentence, &[&none, "x", "9", "5000"]);
    let name = "z".repeat(256);
    let sentence = format!("cannot connect to {name}: File name too long");
    rig.refused(libc::ENAMETOOLONG, &sentence, &[&name, "x", "9", "5000"]);
}

#[test]
fn without_proc_only_short_paths_work() {
    if !is_root() {
        return skip("needs root to hide /proc");
    }
    if !test_with().is_empty() {
        return; // which needs it
    }
    let rig = Rig::new();
    let long = "x".repeat(108);
    let listener = rig.listen();
    fs::hard_link(rig.folder.path("s"), rig.folder.path(&long)).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        line(&mut stream);
        stream.write_all(b"ok\n").unwrap();
    });
    let hidden = |path: &str| {
        let script = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(&rig.program);
        command.args([path, "x", "9", "5000"]).current_dir(&rig.folder);
        Outcome::of(&succeed(&mut command).stdout)
    };
    let refused = hidden(&long);
    let sentence = format!("cannot connect to {long}: File name too long");
    assert_eq!((refused.errno, refused.sentence), (libc::ENAMETOOLONG, sentence));
    assert_eq!(hidden("s"), Outcome::text(""));
}

#[test]
fn abstract_names_work_up_to_their_limit() {
    use std::os::linux::net::SocketAddrExt;
    let rig = Rig::new();
    let start = format!("rsdaemon-test-{}-", std::process::id());
    for name in [start.clone(), format!("{start:x<107}")] {
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            line(&mut stream);
            stream.write_all(b"ok\n").unwrap();
        });
        assert_eq!(rig.ask(&[&format!("@{name}"), "x", "9", "5000"]), Outcome::text(""));
    }
    let name = "@".repeat(109);
    let sentence = format!("cannot connect to {name}: File name too long");
    rig.refused(libc::ENAMETOOLONG, &sentence, &[&name, "x", "9", "5000"]);
}

#[test]
fn without_descriptors_there_is_an_errno() {
    if test_with() == "valgrind" {
        return; // it has a limit of its own
    }
    let rig = Rig::new();
    let sentence = "cannot make a socket: Too many open files";
    rig.refused(libc::EMFILE, sentence, &["s", "x", "9", "5000", "full"]);
}

#[test]
fn the_descriptor_is_close_on_exec_and_none_of_stdios() {
    let rig = Rig::new();
    let (tell, told) = mpsc::channel::<UnixStream>();
    rig.serve(move |mut stream| {
        line(&mut stream);
        tell.send(stream).unwrap();
    });
    let mut command = rig.command(&["s", "x", "9", "-1", "closed"]);
    let mut child = common::Child::start(&mut command);
    let mut stream = told.recv_timeout(DEADLINE).unwrap();
    let process = common::Daemon::of_pid(child.pid());
    let fds = process.fds();
    let sockets: Vec<_> = fds.iter().filter(|fd| fd.1.starts_with("socket:")).collect();
    let [(number, _)] = sockets[..] else { panic!("{fds:?}") };
    assert!(*number > 2 && (*number < 100 || !test_with().is_empty()), "{fds:?}");
    let info = fs::read_to_string(format!("/proc/{}/fdinfo/{number}", child.pid())).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
    assert_ne!(i32::from_str_radix(flags, 8).unwrap() & libc::O_CLOEXEC, 0);
    stream.write_all(b"ok\n").unwrap();
    let status = child.wait();
    assert!(status.success(), "{status:?}");
}
