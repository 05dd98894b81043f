//! What the daemon tells its launcher: exactly one word, in one message. A channel that ends
//! without a word means that the daemon is gone.

use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;

use crate::{
    error::{self, Error, OrCannot, Result},
    sys::{file::above_stdio, socket},
    text,
};

/// The longest text of a daemon that gives up; a longer one is cut.
pub(crate) const TEXT_MAX: usize = 4096;

/// The word; with an error goes the sentence of its thread.
pub enum Word<'a> {
    /// The daemon of this pid serves; how it is doing, in one line, or nothing.
    Ready { pid: i32, status: &'a [u8] },
    /// The library failed in the daemon.
    Failed(Error),
    /// The program gave up, with a status and a text of its own.
    GaveUp { status: i32, text: &'a [u8] },
}

const READY: u8 = 1;
const FAILED: u8 = 2;
const FAILED_LACKS_REASON: u8 = 3;
const GAVE_UP: u8 = 4;

/// A kind, an int, a text.
pub struct Message {
    length: usize,
    bytes: [u8; 5 + TEXT_MAX],
}

/// The launcher's end and the daemon's.
#[inline(never)]
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    socket::pair()
        .and_then(|(ours, daemons)| Ok((above_stdio(ours)?, above_stdio(daemons)?)))
        .or_cannot("make a channel to the daemon")
}

/// Says the daemon's word.
#[inline(never)]
pub fn send(daemon: BorrowedFd, word: &Word) -> nix::Result<()> {
    let sentence;
    let (kind, number, text): (u8, i32, &[u8]) = match word {
        Word::Ready { pid, status } => (READY, *pid, status),
        Word::GaveUp { status, text } => (GAVE_UP, *status, text),
        Word::Failed(Error(errno)) => {
            sentence = error::sentence();
            let kind = if sentence.lacks_reason { FAILED_LACKS_REASON } else { FAILED };
            (kind, *errno as i32, sentence.line.as_bytes())
        }
    };
    let mut bytes = [0; 5 + TEXT_MAX];
    let length = text::join(&mut bytes, &[&[kind], &number.to_ne_bytes(), text]);
    socket::send(daemon, bytes.get(..length).unwrap_or_default())
}

impl Message {
    pub fn new() -> Self {
        Message { length: 0, bytes: [0; 5 + TEXT_MAX] }
    }

    /// Receives without waiting. False: the channel ended, or what came is no word.
    #[inline(never)]
    pub fn receive(&mut self, launcher: BorrowedFd) -> nix::Result<bool> {
        self.length = socket::receive(launcher, &mut self.bytes)?;
        Ok(self.length >= 5)
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
            _ => return None,
        })
    }
}
