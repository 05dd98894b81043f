//! What the daemon before this one hands over: its locks and its sockets, on the descriptors from a number on, and first of
//! them the channel on which it waits to hear that this one is ready. Meant for the process whose number is told with it.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use nix::sys::stat::{FileStat, SFlag};

use crate::{
    pidfile,
    sys::{
        file::{self, OwnedFd},
        load::{self, Identity},
        memory::Table,
        process::generation,
        stream::{self, Address},
        thread::Mutex,
    },
    text,
};

/// "FIRST:COUNT:IS_FOREGROUND:PID"
pub const VARIABLE: &core::ffi::CStr = c"RSDAEMON_UPGRADE";

struct Handed {
    channel: Option<OwnedFd>,
    /// None: it was taken. Behind the lock of a socket that stands in the file system comes the socket.
    fds: Table<Option<OwnedFd>>,
    /// Locks that were taken: their files name the daemon before until this one is ready, and are its until then.
    locks: Table<(i32, Identity)>,
    is_foreground: bool,
    /// The daemon before serves no more.
    is_over: bool,
    /// A forked child is handed nothing.
    generation: u32,
}

enum Known {
    NotYet,
    Nothing,
    Something(Handed),
}

static HANDED: Mutex<Known> = Mutex::new(Known::NotYet);

/// Acts on what was handed over, if something was.
#[inline(never)]
fn with<T>(act: impl FnOnce(&mut Handed) -> Option<T>) -> Option<T> {
    let mut known = HANDED.lock();
    if matches!(*known, Known::NotYet) {
        *known = Handed::look().map_or(Known::Nothing, Known::Something);
    }
    match &mut *known {
        Known::Something(handed) if handed.generation == generation() => act(handed),
        _ => None,
    }
}

impl Handed {
    fn look() -> Option<Self> {
        let told = load::environment(VARIABLE)?.to_bytes();
        let mut numbers = told.split(|&byte| byte == b':').map(text::number);
        let mut next = || numbers.next().flatten().and_then(|number| i32::try_from(number).ok());
        let (first, count) = (next()?, next()?);
        let is_foreground = next()? != 0;
        let pid = next()?;
        let last = first.checked_add(count)?;
        if pid != nix::unistd::getpid().as_raw() || first < 3 || count < 1 {
            return None;
        }
        let channel = file::borrowed(first)?;
        if stream::kind(channel) != Ok(libc::SOCK_SEQPACKET) {
            return None; // the program has closed it
        }
        let mut handed = Handed {
            channel: None,
            fds: Table::new(),
            locks: Table::new(),
            is_foreground,
            is_over: false,
            generation: generation(),
        };
        for fd in first..last {
            if file::set_close_on_exec(fd).is_err() {
                continue;
            }
            let fd = file::owned(fd).ok()?;
            if handed.channel.is_none() {
                handed.channel = Some(fd);
            } else {
                handed.fds.insert(Some(fd)).ok()?;
            }
        }
        Some(handed)
    }

    /// The first that is such a one.
    fn take(&mut self, is: impl Fn(BorrowedFd) -> bool) -> Option<(usize, OwnedFd)> {
        let is = |fd: &mut OwnedFd| is(fd.as_fd());
        self.fds.iter().find_map(|(number, fd)| Some((number, fd.take_if(is)?)))
    }

    fn take_lock(&mut self, is: &dyn Fn(&FileStat) -> bool) -> Option<(usize, OwnedFd)> {
        let is_lock = |fd: BorrowedFd| {
            file::fstat(fd).is_ok_and(|stat| file::kind(&stat) == SFlag::S_IFREG && is(&stat))
        };
        let (number, lock) = self.take(is_lock)?;
        let identity = load::identity(lock.as_raw_fd()).ok()?;
        self.locks.insert((lock.as_raw_fd(), identity)).ok()?;
        Some((number, lock))
    }
}

/// To the daemon before this one.
pub fn channel() -> Option<OwnedFd> {
    with(|handed| handed.channel.take())
}

/// Whether there is something that nobody has asked for yet.
pub fn has_more() -> bool {
    with(|handed| handed.fds.iter().any(|(_, fd)| fd.is_some()).then_some(())).is_some()
}

/// How the daemon runs that this process was started to succeed, if it was.
pub fn is_foreground() -> Option<bool> {
    with(|handed| Some(handed.is_foreground))
}

/// Whether the daemon before still serves, on the same sockets.
pub fn is_served() -> bool {
    with(|handed| (!handed.is_over).then_some(())).is_some()
}

/// This process was succeeded, and has locks and sockets together with another daemon.
static IS_SUCCEEDED: AtomicBool = AtomicBool::new(false);

/// Another process is the daemon from now on.
pub fn is_succeeded() {
    IS_SUCCEEDED.store(true, Relaxed);
}

/// Whether another daemon has taken over what this one has.
pub fn may_be_another_s() -> bool {
    IS_SUCCEEDED.load(Relaxed)
}

/// Whether this is the lock of the daemon before, which still serves.
pub fn is_before_s(lock: i32) -> bool {
    let is_it = |(_, (number, _)): (usize, &mut (i32, Identity))| *number == lock;
    with(|handed| (!handed.is_over && handed.locks.iter().any(is_it)).then_some(())).is_some()
}

/// The lock of a file that is such a one.
pub fn take_lock(is: &dyn Fn(&FileStat) -> bool) -> Option<OwnedFd> {
    with(|handed| handed.take_lock(is)).map(|(_, lock)| lock)
}

/// A lock, and the socket that it guards.
pub fn take_guarded(is: &dyn Fn(&FileStat) -> bool) -> Option<(OwnedFd, Option<OwnedFd>)> {
    with(|handed| {
        let (number, lock) = handed.take_lock(is)?;
        let is_socket = |fd: &mut OwnedFd| {
            Address::of(fd.as_fd()).is_ok_and(|address| address.unix_path().starts_with(b"/"))
        };
        let socket = handed.fds.get(number + 1).and_then(|fd| fd.take_if(is_socket));
        Some((lock, socket))
    })
}

/// A socket that is such a one.
pub fn take_socket(is: &dyn Fn(BorrowedFd) -> bool) -> Option<OwnedFd> {
    with(|handed| handed.take(is)).map(|(_, socket)| socket)
}

/// This process is the daemon from now on: its number goes into the files whose locks it has taken, and nothing is left
/// of what it has not.
#[inline(never)]
pub fn succeed() -> nix::Result<()> {
    let succeeded = with(|handed| {
        for (_, (number, identity)) in handed.locks.iter() {
            // A lock that the program has closed meanwhile was let go of.
            let is_there = load::identity(*number) == Ok(*identity);
            let lock = file::borrowed(*number).filter(|_| is_there);
            if let Some(Err(errno)) = lock.map(pidfile::claim) {
                return Some(Err(errno));
            }
        }
        (handed.fds, handed.locks) = Default::default();
        handed.is_over = true;
        Some(Ok(()))
    });
    succeeded.unwrap_or(Ok(()))
}
