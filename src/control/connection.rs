//! A client, and what stands between it and us: the beginning of a line, the rest of an answer.

use nix::errno::Errno;

use super::{answer::Answer, listener::Access, waiting::Reload, words::Words};
use crate::{
    error::Error,
    kept::Kept,
    poller::{self, Interest, Source},
    sys::{
        file::OwnedFd,
        memory::{Buffer, Bytes},
        process::monotonic_ms,
        socket,
        stream::{self, Peer},
    },
};

/// The longest line, its newline included; also in the header.
const LINE_MAX: usize = 4096;

/// How long a client may take for a line, and for taking something of its answer.
const PATIENCE_MS: i64 = 10_000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The next line is to come.
    Listening,
    /// Its request is being served.
    Served,
    /// It is to be told how a reload ends.
    Waiting(Reload),
}

pub struct Connection {
    socket: Kept,
    pub peer: Peer,
    pub access: Access,
    pub stage: Stage,
    /// Tells this connection from another one with its number.
    pub serial: u32,
    /// The client sends nothing more.
    has_ended: bool,
    /// None: the main loop is told nothing of it.
    interest: Option<Interest>,
    /// What was read of the next lines.
    line: Bytes,
    /// There is a whole one in it.
    has_line: bool,
    /// What of an answer is not sent yet.
    answer: Bytes,
    /// How much of it is.
    sent: usize,
    /// In monotonic milliseconds.
    pub deadline: Option<i64>,
    /// When it last sent or took something.
    pub active_at: i64,
}

/// What there is to be done for a client.
pub enum Next {
    Nothing,
    Serve(Words),
    /// The line is none.
    Refuse(Error),
    Close,
}

impl Connection {
    pub fn new(socket: OwnedFd, peer: Peer, access: Access, serial: u32) -> nix::Result<Self> {
        Ok(Connection {
            socket: Kept::new(socket)?,
            peer,
            access,
            stage: Stage::Listening,
            serial,
            has_ended: false,
            interest: None,
            line: Bytes::new(),
            has_line: false,
            answer: Bytes::new(),
            sent: 0,
            deadline: None,
            active_at: monotonic_ms(),
        })
    }

    /// Has the main loop tell of it. Nothing of the program's ran since it was accepted.
    pub fn begin(&mut self, number: usize) -> nix::Result<()> {
        let socket = self.socket.unchecked().ok_or(Errno::EBADF)?;
        self.interest = Some(Interest::Readable);
        poller::add(socket, Source::Client(number))
    }

    /// The same anew, since the descriptors of the main loop were lost.
    pub fn attend(&mut self, number: usize) -> nix::Result<()> {
        self.interest = None;
        self.settle(number)
    }

    /// Nothing of a request or an answer is under way.
    pub fn is_idle(&self) -> bool {
        self.stage == Stage::Listening && !self.has_answer()
    }

    /// Who may be closed for another one: idle ones, then those that take their answer; first who did nothing for
    /// the longest time.
    pub fn worth(&self) -> Option<(bool, i64)> {
        (self.stage == Stage::Listening).then_some((self.has_answer(), self.active_at))
    }

    /// A whole line was read and waits for its turn.
    pub fn is_due(&self) -> bool {
        self.is_idle() && self.has_line
    }

    /// It can be read from or written to, or the client is gone.
    pub fn is_ready(&mut self, number: usize) -> Next {
        let next = match self.stage {
            Stage::Listening if self.has_answer() => match self.flush() {
                Ok(()) if self.is_over() => Next::Close,
                Ok(()) => Next::Nothing,
                Err(_) => Next::Close,
            },
            Stage::Listening => self.read(),
            // Another thread serves it meanwhile, and looks again then.
            Stage::Served => {
                self.muffle();
                return Next::Nothing;
            }
            // Nothing else is told of it than that the client is gone.
            Stage::Waiting(_) if self.interest == Some(Interest::Nothing) => Next::Close,
            Stage::Waiting(_) => Next::Nothing,
        };
        match self.settle(number) {
            Err(_) if matches!(next, Next::Nothing) => Next::Close,
            _ => next,
        }
    }

    /// Also that the client is gone would be told again and again.
    fn muffle(&mut self) {
        if let Ok(socket) = self.socket.get() {
            poller::remove(socket);
            self.interest = None;
        }
    }

    /// Its next line has to wait, and it is not looked at before `settle`. Whether that is so: an answer
    /// goes on.
    pub fn hold(&mut self) -> bool {
        let is_held = self.is_idle();
        if is_held {
            self.muffle();
            self.deadline = None;
        }
        is_held
    }

    pub fn is_held(&self) -> bool {
        self.is_idle() && self.interest.is_none()
    }

    /// Has the main loop tell what is of interest now, and no more.
    pub fn settle(&mut self, number: usize) -> nix::Result<()> {
        let interest = match self.stage {
            _ if self.has_answer() => Interest::Writable,
            Stage::Waiting(_) => Interest::Nothing,
            Stage::Listening if self.has_ended => Interest::Nothing,
            Stage::Listening | Stage::Served => Interest::Readable,
        };
        let is_in_the_middle = self.has_answer()
            || self.stage == Stage::Listening && self.line.len() > 0 && !self.is_due();
        if !matches!(self.stage, Stage::Waiting(_)) {
            let now = || monotonic_ms() + PATIENCE_MS;
            self.deadline = is_in_the_middle.then(|| self.deadline.unwrap_or_else(now));
        }
        if self.interest.is_none() {
            poller::add(self.socket.get()?, Source::Client(number))?;
            self.interest = Some(Interest::Readable);
        }
        if self.interest != Some(interest) {
            poller::change(self.socket.get()?, Source::Client(number), interest)?;
            self.interest = Some(interest);
        }
        Ok(())
    }

    /// The next line: one that was read before, or else what can be read now.
    pub fn read(&mut self) -> Next {
        let mut bytes = Buffer::<LINE_MAX>::new();
        bytes.push(self.line.as_slice());
        if !self.is_due() && !self.has_ended {
            let received = self.socket.get();
            match received.and_then(|socket| socket::receive_more(socket, &mut bytes)) {
                Ok(0) => self.has_ended = true,
                Ok(_) => {}
                Err(Errno::EAGAIN) => return Next::Nothing,
                Err(_) => return Next::Close,
            }
            self.active_at = monotonic_ms();
        }
        self.line = Bytes::new();
        self.has_line = false;
        let bytes = bytes.as_bytes();
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let (line, rest) = match end.and_then(|end| bytes.split_at_checked(end)) {
            Some((line, rest)) => (line, rest.get(1..).unwrap_or_default()),
            None if self.has_ended && bytes.is_empty() => return Next::Close,
            None if self.has_ended => (bytes, [].as_slice()),
            None if bytes.len() == LINE_MAX => {
                self.has_ended = true;
                self.stage = Stage::Served;
                let why: &[u8] = b"the line is too long";
                return Next::Refuse(Error::new(Errno::EPROTO, &[why]));
            }
            None => {
                let kept = self.line.push(bytes);
                return if kept.is_ok() { Next::Nothing } else { Next::Close };
            }
        };
        if self.line.push(rest).is_err() {
            return Next::Close;
        }
        self.has_line = rest.contains(&b'\n') || self.has_ended && !rest.is_empty();
        self.deadline = None;
        self.stage = Stage::Served;
        match Words::of(line) {
            Ok(words) => Next::Serve(words),
            Err(error) => Next::Refuse(error),
        }
    }

    /// Sends an answer, or what is taken of it at once. Whether the client stays.
    pub fn answer(&mut self, number: usize, answer: Answer) -> bool {
        self.stage = Stage::Listening;
        self.deadline = None;
        let Ok(answer) = answer.finished() else { return false };
        self.answer = answer;
        let sent = self.flush().and_then(|()| self.settle(number));
        sent.is_ok() && !self.is_over()
    }

    /// Nothing more is to come, in either direction.
    fn is_over(&self) -> bool {
        self.has_ended && self.is_idle() && self.line.len() == 0
    }

    fn has_answer(&self) -> bool {
        self.answer.len() > 0
    }

    fn flush(&mut self) -> nix::Result<()> {
        while let Some(left @ [_, ..]) = self.answer.as_slice().get(self.sent..) {
            match socket::send_some(self.socket.get()?, left) {
                Ok(count) => {
                    self.sent += count;
                    self.active_at = monotonic_ms();
                    self.deadline = Some(self.active_at + PATIENCE_MS);
                }
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
        self.answer = Bytes::new();
        self.sent = 0;
        Ok(())
    }

    /// A forked child may have a copy of the descriptor, which must not keep the client.
    pub fn close(self) {
        self.socket.close_after(|socket| {
            poller::remove(socket);
            stream::shut_down(socket);
        });
    }
}
