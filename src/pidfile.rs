//! The pid file: a lock that one daemon holds for life, on a file that holds its pid.
//!
//! The lock is flock(2), exclusive, and belongs to the open file. A file appears at the path with
//! its lock held and its pid written, or not at all: it is made without a name (O_TMPFILE) and then
//! linked. So whoever finds the path locked can trust the pid in it, and whoever finds it unlocked
//! knows that nobody runs, whatever it says. A stale file is removed, never reused, as long as the
//! directory allows that.

mod holder;
mod in_place;
mod newborn;
mod place;

use core::ffi::CStr;
use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    thread::yield_now,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::{
        stat::{FileStat, Mode, SFlag, fchmod},
        uio::{pread, pwrite},
    },
    unistd::{Gid, Pid, Uid, fchown, geteuid, getpid},
};

use self::newborn::Newborn;
pub use self::{holder::Holder, place::Place};
use crate::{
    error::{Error, Line, OrCannot, Result},
    handed,
    kept::Kept,
    sys::{
        file::{self, Lock, OwnedFd},
        load::{self, Identity},
        process::generation,
        retry,
        thread::Mutex,
    },
    text,
};

/// How often we look again when another start changes the file under our hands. Each time means
/// that somebody else got further, so this is only met if that somebody is stopped in the middle.
const ATTEMPTS: usize = 1000;

/// What a new pid file is to be like.
#[derive(Clone, Copy, Default)]
pub struct Style {
    /// None: 0644 less the umask.
    pub mode: Option<Mode>,
    pub owner: Option<(Uid, Gid)>,
}

impl Style {
    /// A file of a stranger's could be anything: only root's, ours and the asked-for owner's serve.
    fn trusts(&self, owner: u32) -> bool {
        owner == 0
            || owner == geteuid().as_raw()
            || self.owner.is_some_and(|(uid, _)| uid.as_raw() == owner)
    }

    /// Gives the file what was asked for, whatever the umask.
    #[inline(never)]
    fn apply(&self, place: &Place, file: BorrowedFd) -> Result<()> {
        if let Some(mode) = self.mode {
            fchmod(file, mode).map_err(place.cannot("set the mode of"))?;
        }
        if let Some((uid, gid)) = self.owner {
            fchown(file, Some(uid), Some(gid)).map_err(place.cannot("set the owner of"))?;
        }
        Ok(())
    }
}

/// Locks the pid file for this process. The lock lasts until every process that has the descriptor
/// has closed it.
pub fn lock(place: &Place, style: &Style) -> Result<OwnedFd> {
    // It names the daemon before until this one is ready.
    if let Some(lock) = handed::take_lock(&|stat| place.is(stat)) {
        return Ok(lock);
    }
    let mut newborn = match Newborn::make(place, style) {
        Ok(newborn) => newborn,
        Err(error) => return in_place::lock(place, style, error),
    };
    for _ in 0..ATTEMPTS {
        match newborn.link(place) {
            Ok(()) => return Ok(newborn.into_file()),
            Err(Errno::EEXIST) => {}
            Err(Errno::ENOENT) if newborn.is_nameless() => {
                newborn = Newborn::make_named(place, style)?;
                continue;
            }
            Err(errno) => {
                // A file system without hard links: there the file is empty for a moment.
                let _ = place.open(OFlag::O_RDWR | OFlag::O_CREAT, newborn::mode(style));
                return in_place::lock(place, style, place.cannot("create")(errno));
            }
        }
        if let Cleared::NotAllowed(errno) = clear_stale(place, style)? {
            return in_place::lock(place, style, place.cannot("remove the stale")(errno));
        }
    }
    Err(busy(place))
}

/// Whether a new file can be linked now.
pub enum Cleared {
    Free,
    /// The stale file may not be removed.
    NotAllowed(Errno),
}

/// Makes sure that nobody holds the pid file, and removes a stale one.
///
/// A holder is seen by a shared lock's being refused: takers only take shared locks and so never
/// look like holders. Between takers a write lock decides who removes the file by its name.
pub fn clear_stale(place: &Place, style: &Style) -> Result<Cleared> {
    for _ in 0..ATTEMPTS {
        let Some(stale) = open_to_take(place, style)? else {
            return Ok(Cleared::Free);
        };
        if !file::try_lock(stale.as_fd(), Lock::Shared).map_err(place.cannot("lock"))? {
            return Err(already_running(place, &stale));
        }
        let stat = file::fstat(stale.as_fd()).map_err(place.cannot("examine"))?;
        if stat.st_nlink > 1 {
            return Err(hard_linked(place));
        }
        let is_mine = file::try_write_lock(stale.as_fd()).map_err(place.cannot("lock"))?;
        if is_mine && place.is(&stat) {
            match place.unlink() {
                Ok(()) | Err(Errno::ENOENT) => return Ok(Cleared::Free),
                Err(errno) => return Ok(Cleared::NotAllowed(errno)),
            }
        }
        yield_now();
    }
    Err(busy(place))
}

/// Opens the file that stands here, if one does. Looks before it opens: opening some devices acts.
fn open_existing(
    place: &Place,
    flags: OFlag,
    check: &dyn Fn(&FileStat) -> Result<()>,
) -> Result<Option<OwnedFd>> {
    match place.stat() {
        Ok(stat) => examine(place, &stat).and_then(|()| check(&stat))?,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(place.cannot("examine")(errno)),
    }
    let file = match place.open(flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(place.cannot("open")(errno)),
    };
    let stat = file::fstat(file.as_fd()).map_err(place.cannot("examine"))?;
    examine(place, &stat).and_then(|()| check(&stat))?;
    Ok(Some(file))
}

/// The existing file, to be taken over.
fn open_to_take(place: &Place, style: &Style) -> Result<Option<OwnedFd>> {
    open_existing(place, OFlag::O_RDWR, &|stat| match style.trusts(stat.st_uid) {
        true => Ok(()),
        false => Err(strangers(place)),
    })
}

fn examine(place: &Place, stat: &FileStat) -> Result<()> {
    let (errno, why): (Errno, &[u8]) = match file::kind(stat) {
        SFlag::S_IFREG => return Ok(()),
        SFlag::S_IFLNK => (Errno::ELOOP, b"it is a symbolic link"),
        SFlag::S_IFDIR => (Errno::EISDIR, b"it is a directory"),
        SFlag::S_IFIFO => (Errno::EINVAL, b"it is a FIFO"),
        SFlag::S_IFSOCK => (Errno::EINVAL, b"it is a socket"),
        _ => (Errno::EINVAL, b"it is a device"),
    };
    Err(refused(errno, place.shown(), why))
}

/// Removes the pid file if `lock` is its lock and this process wrote it.
pub fn remove(place: &Place, lock: BorrowedFd) -> Result<()> {
    let stat = file::fstat(lock).map_err(place.cannot("examine the lock of"))?;
    let looked = place.holds(&stat);
    if looked == Ok(false) {
        return Err(refused(Errno::ESTALE, place.shown(), b"it is not the file that is locked"));
    }
    if read_pid(lock).map_err(place.cannot("read"))? != Some(getpid().as_raw()) {
        return Err(refused(Errno::EPERM, place.shown(), b"it names another process"));
    }
    looked
        .and_then(|_| place.unlink())
        .or_else(|errno| empty(lock, errno))
        .map_err(place.cannot("remove"))?;
    for entry in LOCKED_FOR_PROGRAM.lock().iter_mut() {
        *entry = entry.filter(|locked| locked.fd != lock.as_raw_fd());
    }
    Ok(())
}

/// Where we are not allowed to look for the file or to remove it any more, an empty one names nobody.
fn empty(lock: BorrowedFd, errno: Errno) -> nix::Result<()> {
    match errno {
        Errno::EACCES | Errno::EPERM | Errno::EROFS | Errno::EBUSY => file::truncate(lock, 0),
        errno => Err(errno),
    }
}

/// A pid file that is held by this process until it ends.
pub struct Held {
    place: Place,
    lock: Kept,
}

impl Held {
    pub fn new(place: Place, lock: OwnedFd) -> Result<Self> {
        match known_or_removed(&place, &lock) {
            Ok(identity) => Ok(Held { place, lock: Kept::known(lock, identity) }),
            Err(error) => Err(error),
        }
    }

    /// Of what another process holds: a worker shares the lock of its parent.
    pub fn copy(place: Place, lock: OwnedFd) -> Option<Self> {
        Kept::new(lock).ok().map(|lock| Held { place, lock })
    }

    /// The number of our descriptor of the lock, for one to be handed over.
    pub fn number(&self) -> i32 {
        self.lock.number()
    }

    /// Whether no other process has taken it over, and that is certain.
    pub fn is_ours(&self) -> bool {
        if handed::is_before_s(self.lock.number()) {
            return false;
        }
        if !handed::may_be_another_s() {
            return true;
        }
        let read = || self.lock.get().and_then(read_pid);
        let pid = read().or_else(|_| read());
        pid.is_ok_and(|pid| pid.is_none_or(|pid| pid == getpid().as_raw()))
    }

    /// It names this process from now on.
    pub fn claim(&self) {
        if let Ok(lock) = self.lock.get() {
            let _ = claim(lock);
        }
    }

    /// Who has the file.
    pub fn owner(&self) -> nix::Result<Uid> {
        file::fstat(self.lock.get()?).map(|stat| Uid::from_raw(stat.st_uid))
    }

    /// EBADF if the program has not left the lock alone.
    pub fn check(&self) -> nix::Result<()> {
        self.lock.get().map(drop)
    }

    /// Removes the file, unless another process has taken it over, and lets go of the lock.
    #[inline(never)]
    pub fn release(self) {
        if let (true, true, Ok(lock)) = (self.is_ours(), self.place.is_intact(), self.lock.get()) {
            let looked = file::fstat(lock).and_then(|stat| self.place.holds(&stat));
            if looked != Ok(false) {
                let removed = looked.and_then(|_| self.place.unlink());
                let _ = removed.or_else(|errno| empty(lock, errno));
            }
        }
    }
}

/// What `lock_pidfile` has locked: a program that daemonizes afterwards needs the daemon's pid in
/// these files. The descriptors are the program's; here is only what they were.
static LOCKED_FOR_PROGRAM: Mutex<[Option<ForProgram>; 8]> = Mutex::new([None; 8]);

#[derive(Clone, Copy)]
struct ForProgram {
    fd: i32,
    identity: Identity,
    /// The process whose lock it is; a forked child only has a copy.
    generation: u32,
}

impl ForProgram {
    /// Whether it still is what it was.
    fn is_there(&self) -> nix::Result<bool> {
        match load::identity(self.fd) {
            Ok(now) => Ok(now == self.identity),
            Err(Errno::EBADF) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}

/// Of the locks of this process that the program has: their numbers.
pub fn each_for_program(act: &mut dyn FnMut(i32)) {
    for locked in LOCKED_FOR_PROGRAM.lock().iter().flatten() {
        if locked.generation == generation() && locked.is_there() == Ok(true) {
            act(locked.fd);
        }
    }
}

/// Another process is the daemon from now on: locks that it has taken over are closed.
pub fn is_succeeded() {
    for entry in LOCKED_FOR_PROGRAM.lock().iter_mut() {
        let is_another_s = |locked: &mut ForProgram| {
            let file = file::borrowed(locked.fd).filter(|_| locked.is_there() == Ok(true));
            let pid = file.and_then(|file| read_pid(file).ok().flatten());
            pid.is_some_and(|pid| pid != getpid().as_raw())
        };
        if let Some(locked) = entry.take_if(is_another_s) {
            file::close(locked.fd);
        }
    }
}

/// The locked file names this process from now on.
pub fn claim(file: BorrowedFd) -> nix::Result<()> {
    in_place::write(file)
}

/// As `claim`, where another process stands in it.
pub fn reclaim(file: BorrowedFd) -> nix::Result<()> {
    match read_pid(file) {
        Ok(Some(pid)) if pid == getpid().as_raw() => Ok(()),
        _ => claim(file),
    }
}

/// A forked child closes its copies, so that the locks end with the parent.
pub fn let_go_of_parents() {
    for entry in LOCKED_FOR_PROGRAM.lock().iter_mut() {
        let parents = entry.take_if(|locked| locked.generation != generation());
        if let Some(locked) = parents.filter(|locked| locked.is_there() == Ok(true)) {
            file::close(locked.fd);
        }
    }
}

/// Locks the pid file for the program, which owns the descriptor.
pub fn lock_for_program(path: &CStr) -> Result<OwnedFd> {
    let place = Place::here(path)?;
    let lock = lock(&place, &Style::default())?;
    let identity = known_or_removed(&place, &lock)?;
    let mut locked = LOCKED_FOR_PROGRAM.lock();
    let fd = lock.as_raw_fd();
    let is_over = |locked: ForProgram| locked.is_there() != Ok(true) || locked.fd == fd;
    if let Some(entry) = locked.iter_mut().find(|entry| entry.is_none_or(is_over)) {
        *entry = Some(ForProgram { fd, identity, generation: generation() });
    }
    Ok(lock)
}

/// Writes this process's pid into the files that the program has locked and that hold `pid`.
pub fn hand_over_from(pid: Pid) -> Result<()> {
    // Before or after a fork, so by no other thread.
    let Some(mut locked) = LOCKED_FOR_PROGRAM.try_lock() else {
        return Ok(());
    };
    for locked in locked.iter_mut().flatten() {
        if !locked.is_there().or_cannot("examine the pid file locked before")? {
            continue;
        }
        let Some(file) = file::borrowed(locked.fd) else { continue };
        if read_pid(file).or_cannot("read the pid file locked before")? == Some(pid.as_raw()) {
            in_place::write(file).or_cannot("write the pid file locked before")?;
            locked.generation = generation();
        }
    }
    Ok(())
}

/// What the new lock is; where that cannot be told, its file goes away again.
fn known_or_removed(place: &Place, lock: &OwnedFd) -> Result<Identity> {
    load::identity(lock.as_raw_fd()).map_err(|errno| {
        let _ = place.unlink().or_else(|errno| empty(lock.as_fd(), errno));
        place.failed(errno, "examine")
    })
}

fn already_running(place: &Place, file: &OwnedFd) -> Error {
    let mut pid = Line::new();
    if let Ok(Some(number)) = read_pid(file.as_fd()) {
        pid.push(b" as pid ");
        pid.push_number(number as u32);
    }
    Error::new(
        Errno::EEXIST,
        &[b"already running", pid.as_bytes(), b", which holds ", place.shown().to_bytes()],
    )
}

fn busy(place: &Place) -> Error {
    let path = place.shown().to_bytes();
    Error::new(Errno::EEXIST, &[b"already starting: another start is taking over ", path])
}

fn strangers(place: &Place) -> Error {
    refused(Errno::EPERM, place.shown(), b"it belongs to another user")
}

fn hard_linked(place: &Place) -> Error {
    refused(Errno::EMLINK, place.shown(), b"it has hard links")
}

pub fn refused(errno: Errno, path: &CStr, why: &[u8]) -> Error {
    Error::new(errno, &[b"cannot use ", path.to_bytes(), b": ", why])
}

/// The pid in the first line. Anything that is not one, 0 and negative numbers too, is nothing.
fn read_pid(file: BorrowedFd) -> nix::Result<Option<i32>> {
    let mut bytes = [0; 16];
    let length = retry(|| pread(file, &mut bytes, 0))?;
    Ok(parse_pid(bytes.get(..length).unwrap_or_default()))
}

fn parse_pid(bytes: &[u8]) -> Option<i32> {
    let text = bytes.split(|&byte| byte == b'\n').next()?;
    let pid = text::number(text).and_then(|pid| pid.try_into().ok());
    pid.filter(|&pid: &i32| pid > 0)
}

/// Our pid and a newline, in one write. How long that is.
fn write_pid(file: BorrowedFd) -> nix::Result<usize> {
    let mut digits = Line::new();
    digits.push_number(getpid().as_raw() as u32);
    let mut text = [0; 16];
    let length = text::join(&mut text, &[digits.as_bytes(), b"\n"]);
    let text = text.get(..length).unwrap_or_default();
    match retry(|| pwrite(file, text, 0))? {
        written if written == text.len() => Ok(written),
        _ => Err(Errno::ENOSPC),
    }
}
