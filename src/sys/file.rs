//! Descriptors: locks, places above stdio, polling, paths under /proc.

use core::{
    ffi::{CStr, c_char},
    ptr::NonNull,
};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// Wraps what a system call returned: a new descriptor, or -1 and errno.
#[inline(never)]
pub fn owned(fd: RawFd) -> nix::Result<OwnedFd> {
    Errno::result(fd)?;
    // SAFETY: not negative, so the call just made this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Moves a descriptor out of 0, 1 and 2, which belong to stdio even while they are closed.
#[inline(never)]
pub fn above_stdio(fd: OwnedFd) -> nix::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    // SAFETY: fcntl(2) with F_DUPFD_CLOEXEC reads no memory of ours.
    owned(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })
}

/// The kind of flock(2) asked for.
#[derive(Clone, Copy)]
pub enum Lock {
    /// A holder's: it is a running daemon.
    Exclusive = libc::LOCK_EX as isize,
    /// A look: there is no holder while it is granted, and looks do not disturb each other.
    Shared = libc::LOCK_SH as isize,
}

/// flock(2) without waiting: false when another open file holds a lock that excludes it.
pub fn try_lock(fd: BorrowedFd, lock: Lock) -> nix::Result<bool> {
    let granted = super::retry(|| {
        // SAFETY: flock(2) takes no pointers.
        Errno::result(unsafe { libc::flock(fd.as_raw_fd(), lock as i32 | libc::LOCK_NB) })
    });
    match granted {
        Ok(_) => Ok(true),
        Err(Errno::EWOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// An open-file-description write lock (fcntl(2), F_OFD_SETLK) without waiting. It and flock(2) do
/// not see each other.
pub fn try_write_lock(fd: BorrowedFd) -> nix::Result<bool> {
    let whole_file = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: F_OFD_SETLK reads a struct flock, which lives across the call.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &whole_file) };
    match Errno::result(result) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// A descriptor that the caller only knows by its number, for the time of one call.
pub fn borrowed(fd: RawFd) -> Option<BorrowedFd<'static>> {
    if fd < 0 {
        return None;
    }
    // SAFETY: not negative. It may be closed, or be closed by the program at any time: then a
    // system call on it fails with EBADF or acts on what the program put there, as in C.
    Some(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Whether each descriptor is readable, hung up or in error, after waiting at most `timeout_ms`
/// (-1: for ever). An absent descriptor never is.
pub fn poll<const N: usize>(
    fds: [Option<BorrowedFd>; N],
    timeout_ms: i32,
) -> nix::Result<[bool; N]> {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd: fd.map_or(-1, |fd| fd.as_raw_fd()),
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: the pointer and the length are those of one array, which lives across the call.
    Errno::result(unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, timeout_ms) })?;
    Ok(polled.map(|fd| fd.revents != 0))
}

/// Which of `count` numbers from `first` up are open. EINVAL if `count` is above `limit`.
pub fn are_open<const N: usize>(first: RawFd, count: usize) -> nix::Result<[bool; N]> {
    let mut number = first;
    let mut polled = [0; N].map(|_: u8| {
        number += 1;
        libc::pollfd { fd: number - 1, events: 0, revents: 0 }
    });
    let count = count.min(N) as libc::nfds_t;
    // SAFETY: the array has at least `count` entries and lives across the call.
    Errno::result(unsafe { libc::poll(polled.as_mut_ptr(), count, 0) })?;
    let mut index = 0;
    Ok(polled.map(|fd| {
        index += 1;
        index <= count && fd.revents & libc::POLLNVAL == 0
    }))
}

/// The soft limit of descriptors (RLIMIT_NOFILE).
pub fn limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable and lives across the call.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur
}

/// Closes a descriptor by its number: one that was inherited and that no Rust value owns.
pub fn close(fd: RawFd) {
    // SAFETY: close(2) takes no pointers; the caller knows whose descriptor it is.
    unsafe { libc::close(fd) };
}

/// A NUL-terminated path in a fixed buffer, for places where there is no heap.
pub struct PathBuffer {
    bytes: [u8; libc::PATH_MAX as usize],
}

impl PathBuffer {
    /// The pieces one after the other; ENAMETOOLONG if they do not fit.
    #[inline(never)]
    pub fn new(pieces: &[&[u8]]) -> nix::Result<Self> {
        let mut bytes = [0; libc::PATH_MAX as usize];
        let mut rest = bytes.iter_mut();
        for piece in pieces {
            for byte in *piece {
                *rest.next().ok_or(Errno::ENAMETOOLONG)? = *byte;
            }
        }
        // The last byte stays NUL.
        rest.next().ok_or(Errno::ENAMETOOLONG)?;
        Ok(PathBuffer { bytes })
    }

    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

/// "/proc/self/fd/N".
pub fn proc_path(fd: BorrowedFd) -> nix::Result<PathBuffer> {
    let mut number = crate::error::Line::new();
    number.push_number(fd.as_raw_fd() as u32);
    PathBuffer::new(&[b"/proc/self/fd/", number.as_bytes()])
}

/// A copy of a string of the caller, for as long as the process lives or the owner needs it.
pub struct Text(NonNull<c_char>);

impl Text {
    /// Allocates, so not between fork and the end of the daemon's setup.
    pub fn new(path: &CStr) -> nix::Result<Self> {
        // SAFETY: a C string.
        let copy = unsafe { libc::strdup(path.as_ptr()) };
        NonNull::new(copy).map(Text).ok_or(Errno::ENOMEM)
    }

    pub fn as_c_str(&self) -> &CStr {
        // SAFETY: strdup(3) made this C string, and it is ours until drop.
        unsafe { CStr::from_ptr(self.0.as_ptr()) }
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: strdup(3) allocated it, and nobody else frees it.
        unsafe { libc::free(self.0.as_ptr().cast()) };
    }
}

// SAFETY: it owns its memory, which nobody changes.
unsafe impl Send for Text {}
