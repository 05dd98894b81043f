//! tests/programs/control.c, a daemon with a control socket, and its clients.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{Folder, command, foreground::Foreground, program};

/// How long any answer may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon whose socket is "socket" in the folder. It ends with the test.
pub struct Server {
    pub daemon: Foreground,
    pub folder: Folder,
    pub socket: PathBuf,
}

impl Server {
    /// Mode 0600, and no trouble with reloads.
    pub fn new() -> Self {
        Server::with("0", "", "commit", &mut |_| {})
    }

    pub fn that_reloads(how: &str) -> Self {
        Server::with("0", "", how, &mut |_| {})
    }

    pub fn with(
        mode: &str,
        owner: &str,
        reload: &str,
        prepare: &mut dyn FnMut(&mut Command),
    ) -> Self {
        let folder = Folder::new();
        let mut command = command(&program(&folder, "control"));
        let socket = folder.path("socket");
        command.arg(&socket).args([mode, owner, reload]);
        prepare(&mut command);
        let daemon = Foreground::start(&folder, &mut command, "ready\n");
        Server { daemon, folder, socket }
    }

    pub fn pid(&self) -> i32 {
        self.daemon.process.pid
    }

    pub fn client(&self) -> Client {
        Client::new(&self.socket)
    }

    #[track_caller]
    pub fn ask(&self, line: &str) -> Answer {
        self.client().ask(line)
    }

    /// Sends this and no more, and reads up to the end.
    #[track_caller]
    pub fn exchange(&self, bytes: &[u8]) -> String {
        let mut client = self.client();
        client.send(bytes);
        client.end();
        client.rest()
    }

    /// Of "used": "descriptors", "memory" or "loops".
    #[track_caller]
    pub fn used(&self, what: &str) -> i64 {
        let answer = self.ask("used");
        let value = answer.text.iter().find_map(|line| line.strip_prefix(what));
        value.unwrap_or_else(|| panic!("{answer:?}")).trim().parse().unwrap()
    }
}

pub struct Client {
    pub stream: UnixStream,
    /// What was read and belongs to later answers.
    read: Vec<u8>,
}

/// What the daemon says to a line.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// Without the blanks.
    pub text: Vec<String>,
    /// "ok", or "error REASON".
    pub end: String,
}

impl Answer {
    #[track_caller]
    pub fn ok(&self) -> String {
        assert_eq!(self.end, "ok", "{self:?}");
        self.text.join("\n")
    }

    #[track_caller]
    pub fn error(&self) -> &str {
        self.end.strip_prefix("error ").unwrap_or_else(|| panic!("{self:?}"))
    }
}

impl Client {
    pub fn new(socket: &Path) -> Self {
        Client::of(UnixStream::connect(socket).unwrap())
    }

    pub fn of(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream, read: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Nothing more is sent.
    pub fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    #[track_caller]
    pub fn ask(&mut self, line: &str) -> Answer {
        self.send(format!("{line}\n"));
        self.answer()
    }

    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        let mut text = Vec::new();
        loop {
            let line = self.line().unwrap_or_else(|| panic!("closed after {text:?}"));
            match line.strip_prefix(' ') {
                Some(line) => text.push(line.to_owned()),
                None => return Answer { text, end: line },
            }
        }
    }

    /// None: the daemon has closed the connection.
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).take(end).collect();
                return Some(String::from_utf8(line).unwrap());
            }
            let mut bytes = [0; 65536];
            match self.stream.read(&mut bytes) {
                Ok(0) if self.read.is_empty() => return None,
                Ok(0) => panic!("the last line has no end: {:?}", super::text(&self.read)),
                Ok(count) => self.read.extend_from_slice(&bytes[..count]),
                Err(error) => panic!("no line: {error}"),
            }
        }
    }

    /// All that is sent until the daemon closes the connection.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        let mut all = std::mem::take(&mut self.read);
        self.stream.read_to_end(&mut all).unwrap();
        super::text(&all)
    }

    /// Whether the daemon sends anything, or closes the connection, within this time.
    pub fn hears_within(&self, limit: Duration) -> bool {
        use nix::poll::{PollFd, PollFlags, poll};
        let fd = std::os::fd::AsFd::as_fd(&self.stream);
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
        poll(&mut fds, limit.as_millis() as u16).unwrap() == 1
    }
}
