//! Rotation: FILE becomes FILE.1, FILE.1 becomes FILE.2 and so on. Any number of processes may do it: one at a
//! time has the write lock of FILE. A process that is killed in the middle leaves a gap in the names, which
//! the next rotation fills, and a FILE.1 without FILE, which whoever writes next makes.

use core::ffi::CStr;
use std::os::fd::AsFd;

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag},
    sys::stat::{FileStat, Mode},
};

use super::file::LogFile;
use crate::sys::{
    file::{self, Lock, PathBuffer},
    load::Identity,
    memory::Buffer,
};

/// When a file is rotated, and what is kept.
#[derive(Clone, Copy)]
pub struct Rotation {
    /// Bytes; 0: whatever its size.
    pub limit: u64,
    /// How many files besides FILE.
    pub count: u32,
    /// Seconds; 0: whatever its age.
    pub age_s: i64,
}

/// Rotates, if that is still due when we have the lock.
#[inline(never)]
pub fn rotate(log: &LogFile, is_due: impl Fn(&FileStat) -> bool) -> nix::Result<()> {
    let path = log.path.as_c_str();
    // Not the descriptor that we write to: a forked process has the same open file, and so the same lock.
    let lock = match file::open(path, OFlag::O_WRONLY | file::WARILY, Mode::empty()) {
        Err(Errno::ENOENT) => return log.open_and_take(),
        lock => lock?,
    };
    let stat = file::fstat(lock.as_fd())?;
    let identity = Identity::from(stat);
    if identity != log.descriptor.identity() {
        // Somebody else has rotated.
        return log.open_and_take();
    }
    if !file::try_write_lock(lock.as_fd())? {
        return Err(Errno::EALREADY);
    }
    // Before we had the lock somebody else may have rotated, or written less than we believed.
    if !log.is_in_place(identity) {
        return log.open_and_take();
    }
    if !is_due(&stat) {
        log.note_size(&stat);
        return Ok(());
    }
    let names = Names { path };
    let free = names.make_room(log.rotation.count)?;
    for number in (0..free).rev() {
        names.with(number, |from| names.with(number + 1, |to| file::rename_to_free(from, to)))?;
    }
    log.open_and_take()
}

struct Names<'a> {
    path: &'a CStr,
}

impl Names<'_> {
    fn with<T>(&self, number: u32, act: impl FnOnce(&CStr) -> nix::Result<T>) -> nix::Result<T> {
        let mut shown = Buffer::<16>::new();
        if number > 0 {
            shown.push(b".");
            shown.push_number(number, 1);
        }
        let mut buffer = PathBuffer::new();
        act(buffer.join(&[self.path.to_bytes(), shown.as_bytes()])?)
    }

    fn exists(&self, number: u32) -> nix::Result<bool> {
        match self.with(number, |name| file::lstat_at(AT_FDCWD, name)) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Whether a process writes to it still, and would lose what it writes next.
    fn is_in_use(&self, number: u32) -> bool {
        let flags = OFlag::O_RDONLY | file::WARILY;
        let opened = self.with(number, |name| file::open(name, flags, Mode::empty()));
        opened.is_ok_and(|fd| file::try_lock(fd.as_fd(), Lock::Exclusive) == Ok(false))
    }

    /// The first free number, up to which all files can move one on. Beyond `count` are only files that are
    /// still in use; others are removed. (Not replaced by the one before them: ext4 would write that to the
    /// disk first.)
    fn make_room(&self, count: u32) -> nix::Result<u32> {
        let mut free = None;
        for number in 1..count {
            if !self.exists(number)? {
                free = Some(number);
                break;
            }
        }
        for number in count..=u32::MAX {
            if !self.exists(number)? {
                return Ok(free.unwrap_or(number));
            }
            if (free.is_none() || number > count) && !self.is_in_use(number) {
                self.with(number, |name| file::unlink_at(AT_FDCWD, name))?;
                free = free.or(Some(number));
            }
        }
        Err(Errno::ENOSPC)
    }
}
