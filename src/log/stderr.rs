//! Stderr: a terminal, a supervisor's pipe, or the journal's socket. It belongs to the program, and whoever
//! reads it may have stopped to.

use std::{
    io::IoSlice,
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::stat::{FileStat, Mode, SFlag},
};

use super::{
    descriptor::Descriptor,
    health::Health,
    line::{Header, Line},
};
use crate::sys::{
    file::{self, OwnedFd, PathBuffer},
    load::{Identity, environment, identity},
    memory::Buffer,
    signal, socket,
};

pub struct Stderr {
    /// Each line begins with its level instead of the name (sd-daemon(3)).
    is_journal: bool,
    /// Whether a terminal is kept open.
    keeps: bool,
    /// The terminal that stderr is, as an open file of our own: its owner can stop it, and whoever is not that
    /// user any more when that happens may not open it.
    terminal: Descriptor,
    pub health: Health,
}

impl Stderr {
    pub const fn plain() -> Self {
        Stderr {
            is_journal: false,
            keeps: false,
            terminal: Descriptor::none(),
            health: Health::new(),
        }
    }

    pub fn new() -> Self {
        let stderr = Stderr { is_journal: is_journal(), keeps: true, ..Stderr::plain() };
        if let Some(fd) = file::borrowed(2) {
            let _ = file::fstat(fd).map(|stat| stderr.terminal(fd, stat).is_some());
        }
        stderr
    }

    /// Lets go of the terminal, which a daemon must not keep.
    pub fn close(&self) {
        self.terminal.close();
    }

    /// Opened anew if stderr is another one now. `None`: it is no terminal, or that is not allowed.
    fn terminal(&self, stderr: BorrowedFd, stat: FileStat) -> Option<BorrowedFd<'static>> {
        if !self.keeps || file::kind(&stat) != SFlag::S_IFCHR {
            return None;
        }
        if Identity::from(stat) != self.terminal.identity() || !self.terminal.is_ours() {
            if !file::is_terminal(stderr) {
                return None;
            }
            let open = || self.terminal.replace(own_open_file(stderr)?);
            self.terminal.exclusively(open).ok()?;
        }
        self.terminal.get().ok()
    }

    /// Whole, or not at all.
    fn write(&self, stderr: BorrowedFd, pieces: &[IoSlice; 3]) -> nix::Result<()> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let written = match socket::send_pieces(stderr, pieces) {
            Err(Errno::ENOTSOCK) => {
                let write = || self.write_to_file(stderr, pieces);
                signal::without(libc::SIGPIPE, Errno::EPIPE, write)?
            }
            sent => sent?,
        };
        if written == length { Ok(()) } else { Err(Errno::ENOSPC) }
    }

    fn write_to_file(&self, stderr: BorrowedFd, pieces: &[IoSlice]) -> nix::Result<usize> {
        let stat = file::fstat(stderr)?;
        if file::kind(&stat) == SFlag::S_IFIFO {
            // Since Linux 6.4 a pipe can be written to without waiting, whoever else has it.
            match file::write_pieces_now(stderr, pieces) {
                Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => {}
                written => return written,
            }
        }
        if let Some(terminal) = self.terminal(stderr, stat) {
            return file::write_pieces(terminal, pieces);
        }
        let is_special = matches!(file::kind(&stat), SFlag::S_IFIFO | SFlag::S_IFCHR);
        match if is_special { own_open_file(stderr) } else { Err(Errno::ENOTTY) } {
            Ok(own) => file::write_pieces(own.as_fd(), pieces),
            // Another thread may fill a pipe after the look at it.
            Err(_) if !file::is_writable_within(stderr, 0)? => Err(Errno::EAGAIN),
            Err(_) => file::write_pieces(stderr, pieces),
        }
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
            self.health.patiently(stderr, || self.write(stderr, &pieces))
        });
    }
}

/// A pipe or terminal opened anew: its open file is also the parent's, which must not get O_NONBLOCK.
fn own_open_file(stderr: BorrowedFd) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut buffer = PathBuffer::new();
    file::open(file::proc_path(stderr, &mut buffer)?, flags, Mode::empty())
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
