//! Stderr: a terminal, a supervisor's pipe, or the journal's socket. It belongs to the program, and whoever
//! reads it may have stopped to.

use std::{
    io::IoSlice,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::stat::{Mode, SFlag},
};

use super::{
    health::Health,
    line::{Header, Line},
};
use crate::sys::{
    file::{self, PathBuffer},
    load::{environment, identity},
    memory::Buffer,
    signal, socket,
};

pub struct Stderr {
    /// Each line begins with its level instead of the name (sd-daemon(3)).
    is_journal: bool,
    pub health: Health,
}

impl Stderr {
    pub const fn plain() -> Self {
        Stderr { is_journal: false, health: Health::new() }
    }

    pub fn new() -> Self {
        Stderr { is_journal: is_journal(), health: Health::new() }
    }

    pub fn put(&self, line: &Line) {
        self.health.deliver(line, |line| {
            let mut header = Header::new();
            if self.is_journal {
                header.push(b"<");
                header.push_number(line.level as u32, 1);
                header.push(b">");
            } else {
                header.push(line.speaker.name);
                header.push(b": ");
            }
            let pieces = [header.as_bytes(), line.text, b"\n"].map(IoSlice::new);
            let stderr = file::borrowed(2).ok_or(Errno::EBADF)?;
            self.health.patiently(stderr, || write(stderr, &pieces))
        });
    }
}

/// Whole, or not at all.
fn write(stderr: BorrowedFd, pieces: &[IoSlice; 3]) -> nix::Result<()> {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let written = match socket::send_pieces(stderr, pieces) {
        Err(Errno::ENOTSOCK) => {
            signal::without(libc::SIGPIPE, Errno::EPIPE, || write_to_file(stderr, pieces))?
        }
        sent => sent?,
    };
    if written == length { Ok(()) } else { Err(Errno::ENOSPC) }
}

fn write_to_file(stderr: BorrowedFd, pieces: &[IoSlice]) -> nix::Result<usize> {
    let mode = file::fstat(stderr)
        .map_or(SFlag::empty(), |stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT);
    if mode == SFlag::S_IFIFO {
        // Since Linux 6.4 a pipe can be written to without waiting, whoever else has it.
        match file::write_pieces_now(stderr, pieces) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => {}
            written => return written,
        }
    }
    let is_special = mode == SFlag::S_IFIFO || mode == SFlag::S_IFCHR;
    match if is_special { own_open_file(stderr) } else { None } {
        Some(own) => file::write_pieces(own.as_fd(), pieces),
        // Another thread may fill a pipe after the look at it.
        None if !file::is_writable_within(stderr, 0)? => Err(Errno::EAGAIN),
        None => file::write_pieces(stderr, pieces),
    }
}

/// A pipe or terminal opened anew, for one line: its open file is also the parent's, which must not get
/// O_NONBLOCK. `None`: that is not allowed.
fn own_open_file(stderr: BorrowedFd) -> Option<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut buffer = PathBuffer::new();
    file::open(file::proc_path(stderr, &mut buffer).ok()?, flags, Mode::empty()).ok()
}

/// Whether JOURNAL_STREAM says that stderr is the journal: "DEVICE:INODE".
fn is_journal() -> bool {
    let Some(stream) = environment(c"JOURNAL_STREAM") else { return false };
    let Ok(stderr) = identity(2) else { return false };
    let mut expected = Buffer::<48>::new();
    expected.push_long(stderr.device, 1);
    expected.push(b":");
    expected.push_long(stderr.inode, 1);
    stream.to_bytes() == expected.as_bytes()
}
