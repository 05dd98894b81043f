//! What a target did not take: counted, and told in a line of its own as soon as one is taken.

use std::{
    os::fd::BorrowedFd,
    sync::atomic::{
        AtomicBool, AtomicI32,
        Ordering::{Relaxed, SeqCst},
    },
};

use nix::errno::Errno;

use super::line::Line;
use crate::sys::{
    file,
    memory::Buffer,
    process::{OfProcess, generation},
};

pub struct Health {
    /// Of why the latest line was lost; 0: it was not.
    errno: AtomicI32,
    lost: OfProcess,
    /// Those of them that no line has told of yet.
    untold: OfProcess,
    /// Whoever reads it did not for long when we last waited, and has not since.
    is_stuck: AtomicBool,
}

/// How long a reader who is behind is waited for: so often, so many microseconds.
const WAITS: u32 = 3;
const WAIT_US: u32 = 150;

/// What the program is told.
#[derive(Clone, Copy, Default)]
pub struct Told {
    pub errno: i32,
    pub lost: u32,
}

impl Health {
    pub const fn new() -> Self {
        Health {
            errno: AtomicI32::new(0),
            lost: OfProcess::new(),
            untold: OfProcess::new(),
            is_stuck: AtomicBool::new(false),
        }
    }

    pub fn told(&self) -> Told {
        Told { errno: self.errno.load(SeqCst), lost: self.lost.get(generation()) }
    }

    /// Has a line written, after one that tells how many were lost before it.
    pub fn deliver(&self, line: &Line, write: impl Fn(&Line) -> nix::Result<()>) {
        let process = generation();
        if self.untold.get(process) > 0 {
            let count = self.untold.change(process, |_| 0);
            let text = notice(count, self.errno.load(SeqCst));
            let told =
                Line { level: libc::LOG_WARNING, text: text.as_bytes(), fields: &[], ..*line };
            if let Err(errno) = write(&told) {
                self.lose(errno, count);
                return;
            }
        }
        match write(line) {
            Ok(()) if self.errno.load(Relaxed) == 0 => {}
            Ok(()) => self.errno.store(0, SeqCst),
            Err(errno) => self.lose(errno, 0),
        }
    }

    /// Writes what must not wait, and for a moment waits all the same, so that a burst of lines is not lost
    /// to a reader who is only a little behind.
    pub fn patiently<T>(
        &self,
        fd: BorrowedFd,
        write: impl Fn() -> nix::Result<T>,
    ) -> nix::Result<T> {
        let mut written = write();
        for _ in 0..WAITS {
            if written.as_ref().err() != Some(&Errno::EAGAIN) {
                if self.is_stuck.load(Relaxed) {
                    self.is_stuck.store(false, SeqCst);
                }
                return written;
            }
            if self.is_stuck.load(SeqCst) {
                return written;
            }
            let _ = file::is_writable_within(fd, WAIT_US);
            written = write();
        }
        if written.as_ref().err() == Some(&Errno::EAGAIN) {
            self.is_stuck.store(true, SeqCst);
        }
        written
    }

    /// One more, and so many that were not told of.
    #[cold]
    fn lose(&self, errno: Errno, untold: u32) {
        let process = generation();
        self.errno.store(errno as i32, SeqCst);
        self.lost.change(process, |count| count.saturating_add(1));
        self.untold.change(process, |count| count.saturating_add(1).saturating_add(untold));
    }
}

#[cold]
fn notice(count: u32, errno: i32) -> Buffer<96> {
    let mut text = Buffer::new();
    text.push_number(count, 1);
    text.push(if count == 1 { b" line was lost here: " } else { b" lines were lost here: " });
    // strerror(3) must not be called in a signal handler.
    match Errno::from_raw(errno) {
        Errno::EAGAIN | Errno::ENOBUFS => text.push(b"nobody read them"),
        Errno::ENOENT | Errno::ECONNREFUSED | Errno::EPIPE => text.push(b"nobody listened"),
        Errno::ENOSPC | Errno::EDQUOT => text.push(b"no space left"),
        Errno::EROFS => text.push(b"read-only file system"),
        _ => {
            text.push(b"errno ");
            text.push_number(errno as u32, 1);
            true
        }
    };
    text
}
