//! Descriptors: locks, places above stdio, polling, paths under /proc.

use core::{
    ffi::{CStr, c_char, c_int, c_uint},
    hint::assert_unchecked,
    ptr::NonNull,
    slice,
};
use std::{
    io::IoSlice,
    os::fd::{self, AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd},
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag},
    sys::stat::{FileStat, Mode, SFlag},
    unistd::UnlinkatFlags,
};

use super::{
    check, limit, retry,
    seccomp::{Act, refuse_deadly},
};
use crate::text;

/// A descriptor that is closed with the value. It is std's but for the borrowing, of which older compilers do not see that
/// it cannot panic.
#[derive(Debug)]
pub struct OwnedFd(fd::OwnedFd);

impl AsFd for OwnedFd {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        let fd = self.as_raw_fd();
        // SAFETY: ours, so open and not negative, for as long as we are borrowed.
        unsafe {
            assert_unchecked(fd >= 0);
            BorrowedFd::borrow_raw(fd)
        }
    }
}

impl AsRawFd for OwnedFd {
    #[inline]
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl IntoRawFd for OwnedFd {
    #[inline]
    fn into_raw_fd(self) -> RawFd {
        self.0.into_raw_fd()
    }
}

/// Wraps what a system call returned: a new descriptor, or -1 and errno.
#[inline(never)]
pub fn owned(fd: RawFd) -> nix::Result<OwnedFd> {
    // Here and not in `check`, so that the compiler sees that the conversion cannot panic.
    Errno::result(fd)?;
    // SAFETY: not negative, so the call just made this descriptor and nobody else has it.
    Ok(OwnedFd(unsafe { fd::OwnedFd::from_raw_fd(fd) }))
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

// nix's functions take any kind of descriptor and path, and are compiled anew for each: from here
// on there is one of each.

/// Flags for a path at which anything may stand: no link is followed, no other end of a FIFO waited for, and no
/// terminal becomes ours.
pub const WARILY: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY);

/// openat(2), and the descriptor is none of stdio's.
#[inline(never)]
pub fn open_at(at: BorrowedFd, path: &CStr, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
    let flags = flags | OFlag::O_CLOEXEC;
    match flags & OFlag::O_ACCMODE {
        OFlag::O_RDONLY => refuse_deadly(Act::Look)?,
        OFlag::O_WRONLY => refuse_deadly(Act::Write)?,
        _ => refuse_deadly(Act::Update).and(refuse_deadly(Act::Write))?,
    }
    if flags.contains(OFlag::O_CREAT) || flags.contains(OFlag::O_TMPFILE) {
        refuse_deadly(Act::Change)?;
    }
    let opened = retry(|| nix::fcntl::openat(at, path, flags, mode))?;
    above_stdio(OwnedFd(opened))
}

/// open(2), and the descriptor is none of stdio's.
pub fn open(path: &CStr, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
    open_at(nix::fcntl::AT_FDCWD, path, flags, mode)
}

#[inline(never)]
pub fn fstat(fd: BorrowedFd) -> nix::Result<FileStat> {
    nix::sys::stat::fstat(fd)
}

/// fstatat(2) of the path itself, also where it is a link.
#[inline(never)]
pub fn lstat_at(at: BorrowedFd, path: &CStr) -> nix::Result<FileStat> {
    refuse_deadly(Act::Look)?;
    nix::sys::stat::fstatat(at, path, AtFlags::AT_SYMLINK_NOFOLLOW)
}

#[inline(never)]
pub fn unlink_at(at: BorrowedFd, path: &CStr) -> nix::Result<()> {
    refuse_deadly(Act::Change)?;
    nix::unistd::unlinkat(at, path, UnlinkatFlags::NoRemoveDir)
}

#[inline(never)]
pub fn link_at(
    from_at: BorrowedFd,
    from: &CStr,
    at: BorrowedFd,
    path: &CStr,
    flags: AtFlags,
) -> nix::Result<()> {
    refuse_deadly(Act::Change)?;
    nix::unistd::linkat(from_at, from, at, path, flags)
}

#[inline(never)]
pub fn truncate(fd: BorrowedFd, length: i64) -> nix::Result<()> {
    retry(|| nix::unistd::ftruncate(fd, length))
}

/// dup2(2): `number` becomes another descriptor of the same open file.
#[inline(never)]
pub fn duplicate_to(fd: BorrowedFd, number: RawFd) -> nix::Result<()> {
    // SAFETY: dup2(2) takes no pointers; the numbers given are those of stdio, which nobody owns.
    retry(|| check(unsafe { libc::dup2(fd.as_raw_fd(), number) })).map(drop)
}

/// dup3(2): as `duplicate_to`, and close-on-exec.
pub fn put_at(fd: BorrowedFd, number: RawFd) -> nix::Result<()> {
    // SAFETY: dup3(2) takes no pointers; the number is one of ours.
    retry(|| check(unsafe { libc::dup3(fd.as_raw_fd(), number, libc::O_CLOEXEC) })).map(drop)
}

/// readlink(2). How long it is.
pub fn read_link(path: &CStr, to: &mut [u8]) -> nix::Result<usize> {
    // SAFETY: a C string, and as much room as it says.
    let length = unsafe { libc::readlink(path.as_ptr(), to.as_mut_ptr().cast(), to.len()) };
    check(length as c_int).map(|length| length as usize)
}

/// A copy on the first free number from `least` up.
pub fn copy_above(fd: BorrowedFd, least: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: fcntl(2) with F_DUPFD_CLOEXEC reads no memory of ours.
    owned(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) })
}

/// write(2)
#[inline(never)]
pub fn write(fd: BorrowedFd, bytes: &[u8]) -> nix::Result<usize> {
    retry(|| nix::unistd::write(fd, bytes))
}

/// writev(2): the pieces one after the other, at the end of a file opened with O_APPEND as one write.
pub fn write_pieces(fd: BorrowedFd, pieces: &[IoSlice]) -> nix::Result<usize> {
    let count = pieces.len() as libc::c_int;
    retry(|| {
        // SAFETY: an IoSlice is an iovec, and all of it lives across the call.
        check(unsafe { libc::writev(fd.as_raw_fd(), pieces.as_ptr().cast(), count) } as i32)
    })
    .map(|count| count as usize)
}

/// As `write_pieces`, and EAGAIN instead of waiting, whatever the flags of the open file are. EOPNOTSUPP where
/// the kernel or the file cannot do that.
pub fn write_pieces_now(fd: BorrowedFd, pieces: &[IoSlice]) -> nix::Result<usize> {
    let (fd, start, count) = (fd.as_raw_fd(), pieces.as_ptr(), pieces.len());
    let flags = libc::c_long::from(libc::RWF_NOWAIT);
    // SAFETY: an IoSlice is an iovec, and all of it lives across the call; -1: at the file's position.
    let written =
        unsafe { libc::syscall(libc::SYS_pwritev2, fd, start, count, -1i64, -1i64, flags) };
    check(written as i32).map(|count| count as usize)
}

/// Whether writing a little would not wait, now or in so many microseconds. EPIPE: nobody reads it.
pub fn is_writable_within(fd: BorrowedFd, limit_us: u32) -> nix::Result<bool> {
    let mut polled = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    let limit = libc::timespec {
        tv_sec: limit_us.wrapping_div(1_000_000).into(),
        tv_nsec: i64::from(limit_us.wrapping_rem(1_000_000)) * 1000,
    };
    // SAFETY: one entry and a time, which live across the call, and no mask.
    check(unsafe { libc::ppoll(&mut polled, 1, &limit, core::ptr::null()) })?;
    if polled.revents & libc::POLLNVAL != 0 {
        return Err(Errno::EBADF);
    }
    if polled.revents & libc::POLLERR != 0 {
        return Err(Errno::EPIPE);
    }
    Ok(polled.revents & libc::POLLOUT != 0)
}

/// isatty(3)
pub fn is_terminal(fd: BorrowedFd) -> bool {
    nix::unistd::isatty(fd) == Ok(true)
}

/// renameat(2), which replaces what stands at `to`.
fn rename(from: &CStr, to: &CStr) -> nix::Result<()> {
    // SAFETY: two C strings.
    check(unsafe { libc::rename(from.as_ptr(), to.as_ptr()) }).map(drop)
}

/// renameat2(2) to a name that nobody has: EEXIST if somebody does. Where the file system or the kernel
/// cannot do that, as rename(2).
pub fn rename_to_free(from: &CStr, to: &CStr) -> nix::Result<()> {
    let (at, from_path, to_path) = (libc::AT_FDCWD, from.as_ptr(), to.as_ptr());
    let flags = libc::RENAME_NOREPLACE;
    // SAFETY: two C strings.
    let renamed = unsafe { libc::syscall(libc::SYS_renameat2, at, from_path, at, to_path, flags) };
    match check(renamed as i32) {
        Err(Errno::EINVAL | Errno::ENOSYS) => rename(from, to),
        renamed => renamed.map(drop),
    }
}

/// statx(2), by the system call: the C library's own has another way out on an old kernel, which not all flags fit.
#[inline(never)]
pub fn statx(at: BorrowedFd, path: &CStr, flags: c_int, mask: c_uint) -> nix::Result<libc::statx> {
    // SAFETY: all zeros is a valid statx: integers.
    let mut stat: libc::statx = unsafe { core::mem::zeroed() };
    let (fd, path) = (at.as_raw_fd(), path.as_ptr());
    // SAFETY: a C string, and `stat` is writable.
    let asked = unsafe { libc::syscall(libc::SYS_statx, fd, path, flags, mask, &raw mut stat) };
    check(asked as c_int).map(|_| stat)
}

/// When the file was made, in seconds since the epoch; `None` where the file system does not know.
pub fn birth(fd: BorrowedFd) -> Option<i64> {
    let stat = statx(fd, c"", libc::AT_EMPTY_PATH, libc::STATX_BTIME).ok()?;
    (stat.stx_mask & libc::STATX_BTIME != 0).then_some(stat.stx_btime.tv_sec)
}

/// What kind of file it is: S_IFREG or the like.
pub fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// The soft limit of a file's size (RLIMIT_FSIZE).
pub fn size_limit() -> u64 {
    limit::get(libc::RLIMIT_FSIZE).map_or(u64::MAX, |limit| limit.soft)
}

/// A pipe: the end to read from and the end to write to, none of stdio's.
#[inline(never)]
pub fn pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: pipe2(2) writes two ints, which live across the call.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) })?;
    let (read, write) = (owned(fds[0])?, owned(fds[1])?);
    Ok((above_stdio(read)?, above_stdio(write)?))
}

/// From now on reading fails with EAGAIN instead of waiting. Only for the end of a pipe: it is the
/// open file that is changed.
pub fn set_nonblocking(fd: BorrowedFd) -> nix::Result<()> {
    // SAFETY: fcntl(2) with F_SETFL reads no memory of ours.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }).map(drop)
}

/// How many bytes a pipe holds (FIONREAD).
pub fn readable(pipe: BorrowedFd) -> nix::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes an int, which lives across the call.
    check(unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &mut count) })?;
    Ok(count.max(0) as usize)
}

/// A file without a name, in memory, that is read from the start and holds these bytes.
pub fn in_memory(content: &[u8]) -> nix::Result<OwnedFd> {
    // SAFETY: the name is a C string.
    let file = unsafe { libc::memfd_create(c"rsdaemon".as_ptr(), libc::MFD_CLOEXEC) };
    let file = above_stdio(owned(file)?)?;
    let mut rest = content;
    let mut offset = 0;
    while !rest.is_empty() {
        // At its place, so that the position stays at the start.
        let written = retry(|| nix::sys::uio::pwrite(&file, rest, offset))?;
        if written == 0 {
            return Err(Errno::EIO);
        }
        rest = rest.get(written..).unwrap_or_default();
        offset = offset.wrapping_add(written as i64);
    }
    Ok(file)
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
#[inline(never)]
pub fn try_lock(fd: BorrowedFd, lock: Lock) -> nix::Result<bool> {
    let granted = retry(|| {
        // SAFETY: flock(2) takes no pointers.
        check(unsafe { libc::flock(fd.as_raw_fd(), lock as i32 | libc::LOCK_NB) })
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
    match check(result) {
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
    check(unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, timeout_ms) })?;
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
    check(unsafe { libc::poll(polled.as_mut_ptr(), count, 0) })?;
    let mut index = 0;
    Ok(polled.map(|fd| {
        index += 1;
        index <= count && fd.revents & libc::POLLNVAL == 0
    }))
}

/// The soft limit of descriptors (RLIMIT_NOFILE).
pub fn limit() -> u64 {
    limit::get(libc::RLIMIT_NOFILE).map_or(0, |limit| limit.soft)
}

/// Two numbers that nobody can guess.
pub fn random() -> nix::Result<[u32; 2]> {
    let mut numbers = [0u32; 2];
    // SAFETY: the pointer and the length are those of one array, which lives across the call.
    check(unsafe { libc::getrandom(numbers.as_mut_ptr().cast(), size_of_val(&numbers), 0) } as i32)?;
    Ok(numbers)
}

pub fn is_close_on_exec(fd: RawFd) -> bool {
    // SAFETY: fcntl(2) with F_GETFD reads no memory of ours.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags != -1 && flags & libc::FD_CLOEXEC != 0
}

/// Programs that are executed do not get it. EBADF.
pub fn set_close_on_exec(fd: RawFd) -> nix::Result<()> {
    // SAFETY: fcntl(2) with F_SETFD reads no memory of ours.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}

/// Closes a descriptor by its number: one that was inherited and that no Rust value owns.
pub fn close(fd: RawFd) {
    // SAFETY: close(2) takes no pointers; the caller knows whose descriptor it is.
    unsafe { libc::close(fd) };
}

/// A path in a fixed buffer, for places where there is no heap.
pub struct PathBuffer([u8; libc::PATH_MAX as usize]);

impl PathBuffer {
    pub fn new() -> Self {
        PathBuffer([0; libc::PATH_MAX as usize])
    }

    /// getcwd(3)
    pub fn working_directory(&mut self) -> nix::Result<&CStr> {
        // SAFETY: a writable buffer and its length; getcwd(3) ends it with NUL.
        let path = unsafe { libc::getcwd(self.0.as_mut_ptr().cast(), self.0.len()) };
        if path.is_null() {
            return Err(Errno::last());
        }
        // SAFETY: as above.
        Ok(unsafe { CStr::from_ptr(self.0.as_ptr().cast()) })
    }

    /// The pieces one after the other; ENAMETOOLONG if they do not fit.
    #[inline(never)]
    pub fn join(&mut self, pieces: &[&[u8]]) -> nix::Result<&CStr> {
        let length = text::join(&mut self.0, pieces);
        *self.0.get_mut(length).ok_or(Errno::ENAMETOOLONG)? = 0;
        // SAFETY: a NUL stands at `length`, if not before.
        Ok(unsafe { CStr::from_ptr(self.0.as_ptr().cast()) })
    }
}

/// "/proc/self/fd/N".
pub fn proc_path<'a>(fd: BorrowedFd, buffer: &'a mut PathBuffer) -> nix::Result<&'a CStr> {
    let mut number = crate::error::Line::new();
    number.push_number(fd.as_raw_fd() as u32);
    buffer.join(&[b"/proc/self/fd/", number.as_bytes()])
}

/// A copy of a string of the caller, for as long as the process lives or the owner needs it.
pub struct Text {
    start: NonNull<c_char>,
    length: usize,
}

impl Text {
    /// Allocates, so not between fork and the end of the daemon's setup.
    #[inline(never)]
    pub fn new(text: &[u8]) -> nix::Result<Self> {
        // SAFETY: strndup(3) reads no more than that many bytes.
        let copy = unsafe { libc::strndup(text.as_ptr().cast(), text.len()) };
        let start = NonNull::new(copy).ok_or(Errno::ENOMEM)?;
        // SAFETY: strndup(3) returned a C string.
        let length = unsafe { CStr::from_ptr(copy) }.count_bytes();
        Ok(Text { start, length })
    }

    pub fn as_c_str(&self) -> &CStr {
        self.tail(0)
    }

    /// From this byte on.
    #[inline(never)]
    pub fn tail(&self, from: usize) -> &CStr {
        // SAFETY: strndup(3) made a string of that length and a NUL, and it is ours until drop.
        let bytes = unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.length + 1) };
        let bytes = bytes.get(from..).filter(|bytes| !bytes.is_empty()).unwrap_or(b"\0");
        // SAFETY: `new` measured up to the first NUL.
        unsafe { CStr::from_bytes_with_nul_unchecked(bytes) }
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: strndup(3) allocated it, and nobody else frees it.
        unsafe { libc::free(self.start.as_ptr().cast()) };
    }
}

// SAFETY: it owns its memory, which nobody changes.
unsafe impl Send for Text {}

// SAFETY: as above.
unsafe impl Sync for Text {}
