//! Asking a daemon: one command, and its whole answer. What answers may be anything, so nothing of it is kept
//! but what fits, and no answer is waited for longer than asked.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::{errno::Errno, fcntl::OFlag, sys::stat::Mode};

use crate::{
    deadline::{Deadline, FOR_EVER},
    error::{Error, Line, OrCannot, Result},
    sys::{
        file::{self, OwnedFd, PathBuffer},
        socket,
        stream::{self, Address},
    },
    text,
};

/// With the end of its line.
const COMMAND_MAX: usize = 4096;
/// A status line that is longer is none.
const STATUS_MAX: usize = 4096;
/// An answer that is longer is none.
const TEXT_MAX: usize = 64 << 20;

/// `rsd_control_request`: the length of the answer's text.
pub fn request(path: &CStr, command: &[u8], reply: &mut [u8], timeout_ms: i32) -> Result<i32> {
    let mut answer = Answer::new(reply);
    let asked = ask(path, command, &mut answer, timeout_ms);
    answer.end();
    asked.map(|()| answer.length as i32)
}

fn ask(path: &CStr, command: &[u8], answer: &mut Answer, timeout_ms: i32) -> Result<()> {
    if command.iter().all(|byte| b" \t\r".contains(byte)) {
        return Err(Error::invalid("the command is empty"));
    }
    if command.contains(&b'\n') {
        return Err(Error::invalid("the command has more than one line"));
    }
    let mut line = [0; COMMAND_MAX];
    let length = text::join(&mut line, &[command, b"\n"]);
    if length <= command.len() {
        return Err(Error::invalid("the command is longer than 4095 bytes"));
    }
    if timeout_ms < -1 {
        return Err(Error::invalid("timeout_ms is less than -1"));
    }
    let deadline = Deadline::after(timeout_ms);
    let daemon = connect(path, &deadline, timeout_ms)?;
    let asked = send(daemon.as_fd(), line.get(..length).unwrap_or_default(), &deadline)
        .and_then(|()| answer.receive(daemon.as_fd(), &deadline));
    match asked {
        Ok(Received::Yes) => Ok(()),
        Ok(Received::No) => Err(answer.reason()),
        Ok(Received::Garbage) => {
            Err(no_answer(path, b"does not speak the protocol of this library"))
        }
        Err(Errno::ECONNRESET | Errno::EPIPE) => {
            Err(no_answer(path, b"ended before its answer did"))
        }
        Err(Errno::ETIMEDOUT) => Err(too_slow(path, b"did not answer", timeout_ms)),
        Err(errno) => Err(Error::cannot_at(errno, "ask", path.to_bytes())),
    }
}

#[inline(never)]
fn no_answer(path: &CStr, why: &[u8]) -> Error {
    Error::new(Errno::EPROTO, &[path.to_bytes(), b" ", why])
}

#[inline(never)]
fn too_slow(path: &CStr, what: &[u8], limit_ms: i32) -> Error {
    let mut limit = Line::new();
    limit.push_number(limit_ms as u32);
    let pieces = [path.to_bytes(), b" ", what, b" within ", limit.as_bytes(), b" ms"];
    Error::new(Errno::ETIMEDOUT, &pieces)
}

fn connect(path: &CStr, deadline: &Deadline, timeout_ms: i32) -> Result<OwnedFd> {
    let bytes = path.to_bytes();
    if bytes.is_empty() || bytes == b"@" {
        return Err(Error::invalid("the path of the control socket is empty"));
    }
    let socket = stream::waits().or_cannot("make a socket")?;
    let connected = match bytes.strip_prefix(b"@") {
        Some(name) => connect_to(socket.as_fd(), Address::name(name), deadline),
        None => match connect_to(socket.as_fd(), Address::path(path), deadline) {
            Err(Errno::ENAMETOOLONG) => connect_to_long(socket.as_fd(), path, deadline),
            connected => connected,
        },
    };
    match connected {
        Ok(()) => Ok(socket),
        Err(Errno::ETIMEDOUT) => Err(too_slow(path, b"took no connection", timeout_ms)),
        Err(errno) => Err(Error::cannot_at(errno, "connect to", bytes)),
    }
}

fn connect_to(
    socket: BorrowedFd,
    address: nix::Result<Address>,
    deadline: &Deadline,
) -> nix::Result<()> {
    let address = address?;
    deadline.retry(|left| stream::connect(socket, &address, left))
}

/// By a descriptor of the socket in the file system, whose name under /proc is short.
#[inline(never)]
fn connect_to_long(socket: BorrowedFd, path: &CStr, deadline: &Deadline) -> nix::Result<()> {
    let there = file::open(path, OFlag::O_PATH, Mode::empty())?;
    let mut buffer = PathBuffer::new();
    let short = file::proc_path(there.as_fd(), &mut buffer)?;
    match connect_to(socket, Address::path(short), deadline) {
        // The socket is there, so /proc is not.
        Err(Errno::ENOENT) => Err(Errno::ENAMETOOLONG),
        connected => connected,
    }
}

/// Sends all of it, or as much as the other side took before it closed: it may have said why.
fn send(daemon: BorrowedFd, line: &[u8], deadline: &Deadline) -> nix::Result<()> {
    let mut rest = line;
    while !rest.is_empty() {
        match deadline.retry(|left| stream::send(daemon, rest, left)) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::EPIPE | Errno::ECONNRESET) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

enum Received {
    Yes,
    No,
    Garbage,
}

/// In which line of an answer its next byte belongs.
#[derive(Clone, Copy)]
enum At {
    Start,
    Text,
    Status,
}

/// An answer: any number of lines that begin with a blank, and a last one that does not.
struct Answer<'a> {
    reply: &'a mut [u8],
    /// Of the text.
    length: usize,
    at: At,
    status: Line,
    status_length: usize,
}

impl<'a> Answer<'a> {
    fn new(reply: &'a mut [u8]) -> Self {
        Answer { reply, length: 0, at: At::Start, status: Line::new(), status_length: 0 }
    }

    /// Until it is complete. ETIMEDOUT; ECONNRESET: it ended before.
    #[inline(never)]
    fn receive(&mut self, daemon: BorrowedFd, deadline: &Deadline) -> nix::Result<Received> {
        let mut bytes = [0; 4096];
        loop {
            match socket::receive(daemon, &mut bytes) {
                Ok(0) => return Err(Errno::ECONNRESET),
                Ok(count) => {
                    let received = bytes.get(..count).unwrap_or_default();
                    if let Some(received) = received.iter().find_map(|&byte| self.take(byte)) {
                        return Ok(received);
                    }
                    // Who never stops is not waited for, but has no more time than others.
                    if deadline.is_over() {
                        return Err(Errno::ETIMEDOUT);
                    }
                }
                Err(Errno::EAGAIN) => {
                    if !deadline.poll(Some(daemon), FOR_EVER)? {
                        return Err(Errno::ETIMEDOUT);
                    }
                }
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Takes the next byte; what the answer is, if that ends it.
    fn take(&mut self, byte: u8) -> Option<Received> {
        match (self.at, byte) {
            (At::Start, b' ') => self.at = At::Text,
            (At::Text, b'\n') => {
                self.put(byte);
                self.at = At::Start;
            }
            (At::Text, _) => {
                let is_plain = byte == b'\t' || !byte.is_ascii_control();
                self.put(if is_plain { byte } else { b'?' });
            }
            (At::Status, b'\n') => {
                return Some(match self.status.as_bytes() {
                    b"ok" => Received::Yes,
                    status if reason(status).is_some() => Received::No,
                    _ => Received::Garbage,
                });
            }
            (At::Start | At::Status, _) => {
                self.at = At::Status;
                self.status.push(&[byte]);
                self.status_length += 1;
                if !may_be_status(self.status.as_bytes()) || self.status_length > STATUS_MAX {
                    return Some(Received::Garbage);
                }
            }
        }
        (self.length > TEXT_MAX).then_some(Received::Garbage)
    }

    fn put(&mut self, byte: u8) {
        if let Some(place) = self.reply.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
    }

    /// Makes the reply a C string.
    fn end(&mut self) {
        let end = self.length.min(self.reply.len().saturating_sub(1));
        if let Some(end) = self.reply.get_mut(end) {
            *end = 0;
        }
    }

    #[inline(never)]
    fn reason(&self) -> Error {
        let reason = reason(self.status.as_bytes()).unwrap_or_default();
        let none: &[u8] = b"the daemon refused, and did not say why";
        Error::new(Errno::EREMOTEIO, &[if reason.is_empty() { none } else { reason }])
    }
}

fn reason(status: &[u8]) -> Option<&[u8]> {
    match status {
        b"error" => Some(b""),
        _ => status.strip_prefix(b"error "),
    }
}

/// Whether a status line may begin like this.
fn may_be_status(start: &[u8]) -> bool {
    b"ok".starts_with(start) || b"error ".starts_with(start) || start.starts_with(b"error ")
}
