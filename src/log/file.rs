//! The file of the log: lines are appended to it, each in one write. What stands at its path is looked at once
//! a second, so that a file that was moved away is not written to for ever.

use core::ffi::CStr;
use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::atomic::{
        AtomicBool, AtomicI32, AtomicI64, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag},
    sys::stat::{FileStat, Mode, fchmod},
    unistd::{Gid, Uid, fchown},
};

use super::{
    Options,
    descriptor::Descriptor,
    health::Health,
    line::{Line, Whole},
    rotation::{self, Rotation},
};
use crate::{
    error::{OrCannot, Result},
    privileges, stdio,
    sys::{
        file::{self, Lock, OwnedFd, PathBuffer, Text},
        load::Identity,
        signal,
        time::{Moment, now},
    },
};

pub struct LogFile {
    /// From the root on.
    pub path: Text,
    /// Of a new file. `None`: 0640 less the umask.
    mode: Option<Mode>,
    owner: Option<(Uid, Gid)>,
    pub rotation: Rotation,
    redirect_stdio: bool,
    pub descriptor: Descriptor,
    /// When the file was begun, in seconds.
    begun: AtomicI64,
    /// How long it is, as far as we know: others may have written since we looked.
    size: AtomicU64,
    /// How long it was then.
    seen_size: AtomicU64,
    /// The second in which the path was last looked at.
    looked_at: AtomicI64,
    /// The second in which a rotation last failed.
    failed_at: AtomicI64,
    /// RLIMIT_FSIZE.
    size_limit: AtomicU64,
    /// Nothing stood at the path when it was last looked at.
    is_missing: AtomicBool,
    /// A line was written in part.
    is_torn: AtomicBool,
    reopen_errno: AtomicI32,
    pub health: Health,
}

/// A file that was just opened.
struct Opened {
    fd: OwnedFd,
    stat: FileStat,
}

impl LogFile {
    pub fn open(path: &CStr, options: &Options) -> Result<Self> {
        let owner = options.file_owner.map(privileges::find_owner).transpose()?;
        let log = LogFile {
            path: absolute(path)?,
            mode: options.file_mode,
            owner,
            rotation: options.rotation,
            redirect_stdio: options.redirect_stdio,
            descriptor: Descriptor::none(),
            begun: AtomicI64::new(0),
            size: AtomicU64::new(0),
            seen_size: AtomicU64::new(0),
            looked_at: AtomicI64::new(0),
            failed_at: AtomicI64::new(0),
            size_limit: AtomicU64::new(u64::MAX),
            is_missing: AtomicBool::new(false),
            is_torn: AtomicBool::new(false),
            reopen_errno: AtomicI32::new(0),
            health: Health::new(),
        };
        let opened = log.open_new().map_err(|errno| stdio::refused_log(errno, path))?;
        log.take(opened).or_cannot_at("open", path)?;
        Ok(log)
    }

    pub fn close(&self) {
        self.descriptor.close();
    }

    /// What stands at the path now, or a new file.
    #[inline(never)]
    fn open_new(&self) -> nix::Result<Opened> {
        let path = self.path.as_c_str();
        let mut is_new = false;
        let mut opened = Err(Errno::ENOENT);
        for _ in 0..8 {
            opened = stdio::open_log(path, OFlag::empty(), Mode::empty());
            if opened.as_ref().err() != Some(&Errno::ENOENT) {
                break;
            }
            let mode = self.mode.unwrap_or(Mode::from_bits_truncate(0o640));
            opened = stdio::open_log(path, OFlag::O_CREAT | OFlag::O_EXCL, mode);
            is_new = opened.is_ok();
            if opened.as_ref().err() != Some(&Errno::EEXIST) {
                break;
            }
        }
        let fd = opened?;
        let stat = stdio::examine_log(&fd)?;
        if stat.st_nlink > 1 {
            return Err(Errno::EMLINK);
        }
        if is_new {
            let owned = self.owner.map_or(Ok(()), |(uid, gid)| fchown(&fd, Some(uid), Some(gid)));
            let made = owned.and_then(|()| self.mode.map_or(Ok(()), |mode| fchmod(&fd, mode)));
            if let Err(errno) = made {
                let _ = file::unlink_at(AT_FDCWD, path);
                return Err(errno);
            }
        }
        Ok(Opened { fd, stat })
    }

    /// Writes to this file from now on. Whoever rotates sees by the lock that somebody does, and does not
    /// remove it (on a file system without locks he does not see it).
    #[inline(never)]
    fn take(&self, opened: Opened) -> nix::Result<()> {
        let _ = file::try_lock(opened.fd.as_fd(), Lock::Shared);
        let now = now().second;
        let is_empty = opened.stat.st_size == 0;
        let birth = || file::birth(opened.fd.as_fd()).unwrap_or(opened.stat.st_mtime);
        self.begun.store(if is_empty { now } else { birth() }, SeqCst);
        self.descriptor.replace(opened.fd)?;
        self.note_size(&opened.stat);
        self.is_torn.store(false, SeqCst);
        self.is_missing.store(false, SeqCst);
        Ok(())
    }

    pub fn note_size(&self, stat: &FileStat) {
        self.size.store(stat.st_size as u64, SeqCst);
        self.seen_size.store(stat.st_size as u64, SeqCst);
    }

    pub fn stdio(&self) -> Option<BorrowedFd<'static>> {
        self.descriptor.get().ok().filter(|_| self.redirect_stdio && self.descriptor.is_ours())
    }

    pub fn redirect_stdio(&self) {
        if let Some(fd) = self.stdio() {
            let _ = stdio::redirect_output(fd);
        }
    }

    pub fn reopen_errno(&self) -> i32 {
        self.reopen_errno.load(SeqCst)
    }

    /// The new file is opened before the old one is let go of.
    pub fn reopen(&self) -> Result<()> {
        self.try_reopen().map_err(|errno| stdio::refused_log(errno, self.path.as_c_str()))
    }

    fn try_reopen(&self) -> nix::Result<()> {
        self.noting_errno(|| self.descriptor.exclusively(|| self.open_and_take()))
    }

    /// Once more if it was moved away in the middle: then nobody has seen that we write to it.
    pub fn open_and_take(&self) -> nix::Result<()> {
        for _ in 0..8 {
            self.take(self.open_new()?)?;
            if self.is_in_place(self.descriptor.identity()) {
                break;
            }
        }
        self.redirect_stdio();
        Ok(())
    }

    fn noting_errno<T>(&self, act: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
        let result = act();
        let errno = result.as_ref().err().map_or(0, |errno| *errno as i32);
        // EALREADY: somebody else does it, which is no failure of it.
        if errno != Errno::EALREADY as i32 {
            self.reopen_errno.store(errno, SeqCst);
        }
        result
    }

    pub fn is_in_place(&self, identity: Identity) -> bool {
        let there = file::lstat_at(AT_FDCWD, self.path.as_c_str());
        there.is_ok_and(|there| Identity::from(there) == identity)
    }

    pub fn put(&self, line: &Line) {
        let now = line.now.second;
        if self.looked_at.load(Relaxed) != now && self.looked_at.swap(now, SeqCst) != now {
            self.look(now);
        }
        self.health.deliver(line, |line| {
            let mut whole = Whole::new();
            // Ends one that was written in part, as happens when the disk is full.
            let is_torn = self.is_torn.load(Relaxed);
            if is_torn {
                whole.push(b"\n");
            }
            line.push_for_file(&mut whole);
            let length = whole.as_bytes().len() as u64;
            if self.is_full(length, now) {
                self.rotate(now, |log, stat| log.would_be_too_long(stat, length));
            }
            self.append(whole.as_bytes(), line.now)?;
            if is_torn {
                self.is_torn.store(false, SeqCst);
            }
            Ok(())
        });
    }

    /// Looks at what has become of the file meanwhile.
    #[cold]
    #[inline(never)]
    fn look(&self, now: i64) {
        let there = file::lstat_at(AT_FDCWD, self.path.as_c_str());
        let is_lost = match there {
            Ok(there) if Identity::from(there) == self.descriptor.identity() => {
                self.note_size(&there);
                false
            }
            // Perhaps logrotate(8) has just moved it and is about to make a new one, which must not be in its
            // way: the moved one goes on until the next look.
            Err(Errno::ENOENT) if self.was_moved() && !self.is_missing.swap(true, SeqCst) => false,
            Ok(_) | Err(Errno::ENOENT) => true,
            // It cannot be seen any more, in another root perhaps: the old one goes on.
            Err(_) => false,
        };
        if is_lost {
            let _ = self.try_reopen();
        }
        if self.is_old(now) {
            self.rotate(now, |log, stat| stat.st_size > 0 && log.is_old(now));
        }
    }

    /// Whether it has a name still, which is another one.
    fn was_moved(&self) -> bool {
        let stat = self.descriptor.get().and_then(file::fstat);
        stat.is_ok_and(|stat| stat.st_nlink > 0) && self.descriptor.is_ours()
    }

    fn is_old(&self, now: i64) -> bool {
        let age = self.rotation.age_s;
        age > 0 && now - self.begun.load(SeqCst) >= age && self.size.load(SeqCst) > 0
    }

    /// Whether the file has no room for a line. Others may write to it: after a part of the limit it is
    /// looked at again.
    fn is_full(&self, length: u64, now: i64) -> bool {
        let limit = self.rotation.limit;
        if limit == 0 || self.failed_at.load(Relaxed) == now {
            return false;
        }
        let unseen = self.size.load(Relaxed).saturating_sub(self.seen_size.load(Relaxed));
        if unseen > limit >> 4 {
            if let Ok(stat) = self.descriptor.get().and_then(file::fstat) {
                self.note_size(&stat);
            }
        }
        let size = self.size.load(Relaxed);
        size > 0 && size + length > limit
    }

    fn would_be_too_long(&self, stat: &FileStat, length: u64) -> bool {
        stat.st_size > 0 && stat.st_size as u64 + length > self.rotation.limit
    }

    #[cold]
    #[inline(never)]
    fn rotate(&self, now: i64, is_due: impl Fn(&LogFile, &FileStat) -> bool) {
        let rotated = self.noting_errno(|| {
            self.descriptor.exclusively(|| rotation::rotate(self, |stat| is_due(self, stat)))
        });
        if rotated.is_err_and(|errno| errno != Errno::EALREADY) {
            self.failed_at.store(now, SeqCst);
        }
    }

    fn append(&self, line: &[u8], now: Moment) -> nix::Result<()> {
        let written = match self.write(line, now) {
            Err(Errno::EBADF) => self.write_anew(line, now),
            written => written,
        }?;
        self.size.fetch_add(written as u64, Relaxed);
        if written == line.len() { Ok(()) } else { Err(self.note_torn()) }
    }

    /// Why a line was written in part.
    #[cold]
    #[inline(never)]
    fn note_torn(&self) -> Errno {
        self.is_torn.store(true, SeqCst);
        // At a new limit the kernel first stops in the middle of a line: the next one would raise SIGXFSZ.
        self.note_size_limit();
        if self.size_limit.load(SeqCst) == u64::MAX { Errno::ENOSPC } else { Errno::EFBIG }
    }

    fn note_size_limit(&self) {
        self.size_limit.store(file::size_limit(), SeqCst);
    }

    #[inline(always)]
    fn write(&self, line: &[u8], now: Moment) -> nix::Result<usize> {
        if self.descriptor.is_unseen(now) {
            self.see(now)?;
        }
        self.write_to(self.descriptor.get()?, line)
    }

    #[cold]
    #[inline(never)]
    fn see(&self, now: Moment) -> nix::Result<()> {
        self.note_size_limit();
        self.descriptor.see(now)
    }

    #[inline(always)]
    fn write_to(&self, fd: BorrowedFd, line: &[u8]) -> nix::Result<usize> {
        match self.size_limit.load(Relaxed) {
            u64::MAX => file::write(fd, line),
            limit => write_below(limit, fd, line),
        }
    }

    /// The descriptor is not ours any more.
    #[cold]
    #[inline(never)]
    fn write_anew(&self, line: &[u8], now: Moment) -> nix::Result<usize> {
        match self.try_reopen() {
            Ok(()) => self.write(line, now),
            // Somebody else is at it, who may be what this handler has interrupted.
            Err(_) => self.write_to(self.open_new()?.fd.as_fd(), line),
        }
    }
}

/// A line beyond RLIMIT_FSIZE must not end the program by SIGXFSZ, nor be written in part.
#[cold]
#[inline(never)]
fn write_below(limit: u64, fd: BorrowedFd, line: &[u8]) -> nix::Result<usize> {
    if file::fstat(fd)?.st_size as u64 + line.len() as u64 > limit {
        return Err(Errno::EFBIG);
    }
    signal::without(libc::SIGXFSZ, Errno::EFBIG, || file::write(fd, line))
}

/// The path as it is seen from the working directory now.
#[inline(never)]
fn absolute(path: &CStr) -> Result<Text> {
    let mut whole = PathBuffer::new();
    let whole = if path.to_bytes().first() == Some(&b'/') {
        whole.join(&[path.to_bytes()])
    } else {
        let mut folder = PathBuffer::new();
        folder
            .working_directory()
            .and_then(|folder| whole.join(&[folder.to_bytes(), b"/", path.to_bytes()]))
    };
    let whole = whole.or_cannot_at("use the path", path)?;
    Text::new(whole.to_bytes()).or_cannot_at("use the path", path)
}
