//! A descriptor of the log. It keeps its number when what is behind it is opened anew, so that threads and
//! signal handlers write to it without a lock; and the number is a high one, which a program that closes all it
//! finds does not get back soon for a file of its own.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd},
    sync::atomic::{
        AtomicI32, AtomicI64, AtomicU32, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
};

use nix::errno::Errno;

use crate::sys::{
    file::{self, OwnedFd},
    load::{Identity, identity_of_written},
    process::generation,
    time::Moment,
};

pub struct Descriptor {
    /// -1: none.
    number: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
    /// The stretch of time in which it was last seen to be ours.
    seen_in: AtomicI64,
    /// The process that is opening it anew, as a generation; 0: none.
    opener: AtomicU32,
}

/// The first number that is tried, and others where RLIMIT_NOFILE is lower.
const PLACES: [i32; 3] = [1000, 200, 3];

/// To look at it at each line would cost half a line more: it is looked at once in 64 microseconds, which is sooner
/// than a program can close a thousand descriptors and take their numbers.
fn stretch(now: Moment) -> i64 {
    now.second << 14 | i64::from(now.microsecond >> 6)
}

impl Descriptor {
    pub const fn none() -> Self {
        Descriptor {
            number: AtomicI32::new(-1),
            device: AtomicU64::new(0),
            inode: AtomicU64::new(0),
            seen_in: AtomicI64::new(0),
            opener: AtomicU32::new(0),
        }
    }

    pub fn get(&self) -> nix::Result<BorrowedFd<'static>> {
        file::borrowed(self.number.load(SeqCst)).ok_or(Errno::EBADF)
    }

    pub fn identity(&self) -> Identity {
        Identity { device: self.device.load(SeqCst), inode: self.inode.load(SeqCst) }
    }

    /// Whether the program has left it alone.
    pub fn is_ours(&self) -> bool {
        identity_of_written(self.number.load(SeqCst)).is_ok_and(|now| now == self.identity())
    }

    /// Whether it was not looked at for so long that it may be the program's now.
    pub fn is_unseen(&self, now: Moment) -> bool {
        self.seen_in.load(Relaxed) != stretch(now)
    }

    /// Looks at it. EBADF: the program has closed it, or has something of its own there.
    #[cold]
    #[inline(never)]
    pub fn see(&self, now: Moment) -> nix::Result<()> {
        if !self.is_ours() {
            return Err(Errno::EBADF);
        }
        self.seen_in.store(stretch(now), SeqCst);
        Ok(())
    }

    /// Opens it anew, unless that is being done already: by another thread, or by what a signal handler has
    /// interrupted. EALREADY.
    pub fn exclusively<T>(&self, open: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
        let me = generation();
        let before = self.opener.load(SeqCst);
        if before == me || self.opener.compare_exchange(before, me, SeqCst, SeqCst).is_err() {
            return Err(Errno::EALREADY);
        }
        let opened = open();
        // Also where it failed: whoever asked for it has perhaps done something to it.
        self.seen_in.store(0, SeqCst);
        if opened.is_err() && !self.is_ours() {
            // What the program has there must not be taken for ours.
            self.number.store(-1, SeqCst);
        }
        self.opener.store(0, SeqCst);
        opened
    }

    /// From now on it is this one.
    pub fn replace(&self, fd: OwnedFd) -> nix::Result<()> {
        let new = identity_of_written(fd.as_raw_fd())?;
        if self.is_ours() {
            file::put_at(fd.as_fd(), self.number.load(SeqCst))?;
        } else {
            let [high, lower, lowest] = PLACES;
            let copy = file::copy_above(fd.as_fd(), high)
                .or_else(|_| file::copy_above(fd.as_fd(), lower))
                .or_else(|_| file::copy_above(fd.as_fd(), lowest))?;
            self.number.store(copy.into_raw_fd(), SeqCst);
        }
        self.device.store(new.device, SeqCst);
        self.inode.store(new.inode, SeqCst);
        Ok(())
    }

    /// Closes it, if the program has left it alone.
    pub fn close(&self) {
        let number = self.number.load(SeqCst);
        if self.is_ours() {
            file::close(number);
        }
        self.number.store(-1, SeqCst);
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.close();
    }
}
