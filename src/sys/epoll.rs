//! epoll(7), and the two descriptors that wake who waits on it: a bell and a timer.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use super::{
    check,
    file::{self, OwnedFd},
};

/// The number of the bell.
pub(crate) const BELL: u64 = 0;

/// An epoll instance.
pub fn create() -> nix::Result<OwnedFd> {
    // SAFETY: epoll_create1(2) takes no pointers.
    file::above_stdio(file::owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?)
}

fn control(epoll: i32, operation: i32, fd: i32, events: i32, number: u64) -> nix::Result<()> {
    let mut event = libc::epoll_event { events: events as u32, u64: number };
    // SAFETY: `event` lives across the call.
    check(unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) }).map(drop)
}

/// `number` is told whenever `fd` is readable.
#[inline(never)]
pub fn add(epoll: BorrowedFd, fd: BorrowedFd, number: u64) -> nix::Result<()> {
    control(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), libc::EPOLLIN, number)
}

/// What is told of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    Readable,
    Writable,
    /// Only that the other side is gone.
    Nothing,
}

/// Changes what is told of a descriptor that was added.
#[inline(never)]
pub fn change(epoll: BorrowedFd, fd: BorrowedFd, number: u64, to: Interest) -> nix::Result<()> {
    let events = match to {
        Interest::Readable => libc::EPOLLIN,
        Interest::Writable => libc::EPOLLOUT,
        Interest::Nothing => 0,
    };
    control(epoll.as_raw_fd(), libc::EPOLL_CTL_MOD, fd.as_raw_fd(), events, number)
}

/// To be called before `fd` is closed: a forked child may have a copy, which keeps it in.
#[inline(never)]
pub fn remove(epoll: BorrowedFd, fd: BorrowedFd) {
    let _ = control(epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), 0, 0);
}

/// A descriptor in the epoll instance that is always ready, but not looked at: to ring is to have it
/// looked at once, and there is nothing to be read afterwards. The end of an empty pipe is always
/// ready to write, and its inode is its own; the other end must stay open.
pub fn add_bell(epoll: BorrowedFd) -> nix::Result<(OwnedFd, OwnedFd)> {
    let (other, bell) = file::pipe()?;
    control(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, bell.as_raw_fd(), libc::EPOLLONESHOT, BELL)?;
    Ok((bell, other))
}

/// Unless something else of the program's has the bell's number by now. Async-signal-safe.
pub fn ring(epoll: i32, bell: i32, inode: u64) {
    // SAFETY: all zeros is a valid stat: integers.
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: `stat` is writable and lives across the call.
    if unsafe { libc::fstat(bell, &mut stat) } == 0 && stat.st_ino != inode {
        return;
    }
    let events = libc::EPOLLOUT | libc::EPOLLONESHOT;
    let _ = control(epoll, libc::EPOLL_CTL_MOD, bell, events, BELL);
}

/// Whether `fd` was added to this epoll instance: the program may have closed either number and have
/// put its own there. An error: that cannot be told.
pub fn contains(epoll: BorrowedFd, fd: BorrowedFd) -> nix::Result<bool> {
    let (epoll, fd) = (epoll.as_raw_fd(), fd.as_raw_fd());
    match control(epoll, libc::EPOLL_CTL_ADD, fd, libc::EPOLLONESHOT, BELL) {
        Err(Errno::EEXIST) => Ok(true),
        Err(Errno::EBADF | Errno::EINVAL) => Ok(false),
        Err(errno) => Err(errno),
        Ok(()) => {
            // Another instance and another descriptor, both the program's.
            let _ = control(epoll, libc::EPOLL_CTL_DEL, fd, 0, 0);
            Ok(false)
        }
    }
}

/// Makes the bell silent, if it is one of this epoll instance; any error: that is not sure. What `contains`
/// tells of a descriptor that is known to be ours, in one call, and nothing happens to what is not ours.
pub fn hush(epoll: BorrowedFd, bell: BorrowedFd) -> nix::Result<()> {
    control(epoll.as_raw_fd(), libc::EPOLL_CTL_MOD, bell.as_raw_fd(), libc::EPOLLONESHOT, BELL)
}

/// How many descriptors are told at once.
const AT_ONCE: usize = 32;

/// What was ready at some time.
pub struct Ready {
    events: [libc::epoll_event; AT_ONCE],
    count: usize,
}

impl Ready {
    pub const fn nothing() -> Self {
        Ready { events: [libc::epoll_event { events: 0, u64: 0 }; AT_ONCE], count: 0 }
    }

    /// The numbers it was added with.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.events.iter().take(self.count).map(|event| event.u64)
    }
}

/// What is ready, without waiting.
pub fn ready(epoll: BorrowedFd) -> nix::Result<Ready> {
    let mut ready = Ready::nothing();
    let events = ready.events.as_mut_ptr();
    let count = super::retry(|| {
        // SAFETY: the pointer and the length are those of one array, which lives across the call.
        check(unsafe { libc::epoll_wait(epoll.as_raw_fd(), events, AT_ONCE as i32, 0) })
    })?;
    ready.count = count as usize;
    Ok(ready)
}

/// A timer of CLOCK_MONOTONIC that is not set.
pub fn timer() -> nix::Result<OwnedFd> {
    let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
    // SAFETY: timerfd_create(2) takes no pointers.
    let timer = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
    file::above_stdio(file::owned(timer)?)
}

/// The timer is readable from this time on (in the milliseconds of `process::monotonic_ms`). `None`:
/// not any more.
pub fn set_timer(timer: BorrowedFd, at_ms: Option<i64>) -> nix::Result<()> {
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let at = at_ms.map_or(zero, |at| libc::timespec {
        tv_sec: at.wrapping_div(1000),
        tv_nsec: at.wrapping_rem(1000) * 1_000_000,
    });
    let setting = libc::itimerspec { it_interval: zero, it_value: at };
    let flags = libc::TFD_TIMER_ABSTIME;
    // SAFETY: `setting` lives across the call, and nothing is asked back.
    let result =
        unsafe { libc::timerfd_settime(timer.as_raw_fd(), flags, &setting, core::ptr::null_mut()) };
    check(result).map(drop)
}
