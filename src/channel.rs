//! What the daemon tells its launcher: exactly one word, in one message. A channel that ends
//! without a word means that the daemon is gone.

use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;

use crate::{
    error::{self, Error, OrCannot, Result},
    sys::{file::above_stdio, socket},
};

/// The longest text of a daemon that gives up; a longer one is cut.
pub(crate) const TEXT_MAX: usize = 4096;

/// The word, as the launcher hears it.
pub enum Word<'a> {
    Ready,
    /// The library failed in the daemon.
    Failed(Error),
    /// The program gave up, with a status and a text of its own.
    GaveUp {
        status: i32,
        text: &'a [u8],
    },
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
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    socket::pair()
        .and_then(|(ours, daemons)| Ok((above_stdio(ours)?, above_stdio(daemons)?)))
        .or_cannot("make a channel to the daemon")
}

impl Message {
    fn new(kind: u8, number: i32, text: &[u8]) -> Self {
        let mut bytes = [0; 5 + TEXT_MAX];
        let head = [kind].into_iter().chain(number.to_ne_bytes());
        let content = head.chain(text.iter().copied().take(TEXT_MAX));
        bytes.iter_mut().zip(content).for_each(|(to, from)| *to = from);
        Message { length: 5 + text.len().min(TEXT_MAX), bytes }
    }

    pub fn ready() -> Self {
        Message::new(READY, 0, b"")
    }

    pub fn failed(error: &Error) -> Self {
        let kind = if error.lacks_reason { FAILED_LACKS_REASON } else { FAILED };
        Message::new(kind, error.errno as i32, error::sentence().as_bytes())
    }

    pub fn gave_up(status: i32, text: &[u8]) -> Self {
        Message::new(GAVE_UP, status, text)
    }

    pub fn send(&self, daemon: BorrowedFd) -> nix::Result<()> {
        socket::send(daemon, self.bytes.get(..self.length).unwrap_or_default())
    }

    /// Receives without waiting. `None`: the channel ended, or what came is no word.
    pub fn receive(launcher: BorrowedFd) -> nix::Result<Option<Self>> {
        let mut message = Message::new(0, 0, b"");
        message.length = socket::receive(launcher, &mut message.bytes)?;
        Ok((message.length >= 5).then_some(message))
    }

    pub fn word(&self) -> Option<Word<'_>> {
        let (head, text) = self.bytes.get(..self.length)?.split_at_checked(5)?;
        let &[kind, a, b, c, d] = head else { return None };
        let number = i32::from_ne_bytes([a, b, c, d]);
        Some(match kind {
            READY => Word::Ready,
            GAVE_UP => Word::GaveUp { status: number, text },
            FAILED | FAILED_LACKS_REASON => Word::Failed(Error {
                lacks_reason: kind == FAILED_LACKS_REASON,
                ..Error::new(Errno::from_raw(number), &[text])
            }),
            _ => return None,
        })
    }
}
