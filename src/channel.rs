//! What a daemon tells its launcher, and a worker its parent: words, each in one message. A channel that ends
//! without a word means that the other end is gone.

use std::{io::IoSlice, os::fd::BorrowedFd};

use nix::errno::Errno;

use crate::{
    error::{self, Error, OrCannot, Result},
    sys::{
        file::{OwnedFd, above_stdio},
        socket,
    },
    text,
};

/// The longest text of a daemon that gives up; a longer one is cut.
pub(crate) const TEXT_MAX: usize = 4096;

/// The word; with an error goes the sentence of its thread.
pub enum Word<'a> {
    /// The daemon of this pid serves; how it is doing, in one line, or nothing.
    Ready {
        pid: i32,
        status: &'a [u8],
    },
    /// The library failed in the daemon.
    Failed(Error),
    /// The program gave up, with a status and a text of its own.
    GaveUp {
        status: i32,
        text: &'a [u8],
    },
    /// For the service manager. 0: nobody waits for an answer.
    Tell {
        number: i32,
        lines: &'a [u8],
    },
    /// What a worker asks its parent for. The answer has the same number, so that one that comes too late is not taken
    /// for another one. (Ready of a worker has it instead of the pid.)
    Ask {
        number: i32,
        request: &'a [u8],
    },
    Answer {
        number: i32,
        text: &'a [u8],
    },
    Refused {
        number: i32,
        error: Error,
    },
}

const READY: u8 = 1;
const FAILED: u8 = 2;
const FAILED_LACKS_REASON: u8 = 3;
const GAVE_UP: u8 = 4;
const TELL: u8 = 5;
const ASK: u8 = 6;
const ANSWER: u8 = 7;
/// An errno, whether it lacks its reason, and the sentence.
const REFUSED: u8 = 8;

/// A kind, an int, a text.
pub struct Message {
    length: usize,
    has_lost_fds: bool,
    bytes: [u8; 5 + TEXT_MAX],
}

/// The launcher's end and the daemon's, or those of parent and worker.
#[inline(never)]
pub fn pair(cannot: &str) -> Result<(OwnedFd, OwnedFd)> {
    socket::pair()
        .and_then(|(ours, daemons)| Ok((above_stdio(ours)?, above_stdio(daemons)?)))
        .or_cannot(cannot)
}

/// Says a word.
#[inline(never)]
pub fn send(to: BorrowedFd, word: &Word) -> nix::Result<()> {
    let mut message = Message::new();
    message.put(word);
    socket::send(to, message.bytes())
}

/// The same with descriptors, and without waiting.
#[inline(never)]
pub fn send_with_fds(to: BorrowedFd, word: &Word, fds: &[i32]) -> nix::Result<()> {
    let mut message = Message::new();
    message.put(word);
    socket::send_with_fds(to, &[IoSlice::new(message.bytes())], fds)
}

impl Message {
    pub fn new() -> Self {
        Message { length: 0, has_lost_fds: false, bytes: [0; 5 + TEXT_MAX] }
    }

    fn put(&mut self, word: &Word) {
        let (sentence, errno);
        let mut reason: &[u8] = &[];
        let (kind, number, text): (u8, i32, &[u8]) = match word {
            Word::Ready { pid, status } => (READY, *pid, status),
            Word::GaveUp { status, text } => (GAVE_UP, *status, text),
            Word::Failed(Error(errno)) => {
                sentence = error::sentence();
                let kind = if sentence.lacks_reason { FAILED_LACKS_REASON } else { FAILED };
                (kind, *errno as i32, sentence.line.as_bytes())
            }
            Word::Tell { number, lines } => (TELL, *number, lines),
            Word::Ask { number, request } => (ASK, *number, request),
            Word::Answer { number, text } => (ANSWER, *number, text),
            Word::Refused { number, error: Error(what) } => {
                sentence = error::sentence();
                let [a, b, c, d] = (*what as i32).to_ne_bytes();
                errno = [a, b, c, d, u8::from(sentence.lacks_reason)];
                reason = sentence.line.as_bytes();
                (REFUSED, *number, &errno)
            }
        };
        let number = number.to_ne_bytes();
        self.length = text::join(&mut self.bytes, &[&[kind], &number, text, reason]);
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Receives without waiting. False: the channel ended, or what came is no word.
    #[inline(never)]
    pub fn receive(&mut self, from: BorrowedFd) -> nix::Result<bool> {
        self.length = socket::receive(from, &mut self.bytes)?;
        Ok(self.length >= 5)
    }

    /// The same with the descriptors that came with it. What is no word is no end here.
    #[inline(never)]
    pub fn receive_with_fds(
        &mut self,
        from: BorrowedFd,
        take: &mut dyn FnMut(OwnedFd),
    ) -> nix::Result<bool> {
        let flags = libc::MSG_DONTWAIT;
        let received = socket::receive_with_fds(from, &mut self.bytes, flags, take)?;
        (self.length, self.has_lost_fds) = (received.length, received.has_lost_fds);
        Ok(self.length > 0)
    }

    /// Descriptors came with it for which this process has no room.
    pub fn has_lost_fds(&self) -> bool {
        self.has_lost_fds
    }

    #[inline(never)]
    pub fn word(&self) -> Option<Word<'_>> {
        let (head, text) = self.bytes.get(..self.length)?.split_at_checked(5)?;
        let &[kind, a, b, c, d] = head else { return None };
        let number = i32::from_ne_bytes([a, b, c, d]);
        let failed = || Error::new(Errno::from_raw(number), &[text]);
        Some(match kind {
            READY => Word::Ready { pid: number, status: text },
            GAVE_UP => Word::GaveUp { status: number, text },
            FAILED => Word::Failed(failed()),
            FAILED_LACKS_REASON => Word::Failed(failed().without_reason()),
            TELL => Word::Tell { number, lines: text },
            ASK => Word::Ask { number, request: text },
            ANSWER => Word::Answer { number, text },
            REFUSED => {
                let (head, text) = text.split_at_checked(5)?;
                let &[a, b, c, d, lacks_reason] = head else { return None };
                let errno = Errno::from_raw(i32::from_ne_bytes([a, b, c, d]));
                let error = Error::new(errno, &[text]);
                let error = if lacks_reason == 0 { error } else { error.without_reason() };
                Word::Refused { number, error }
            }
            _ => return None,
        })
    }
}
