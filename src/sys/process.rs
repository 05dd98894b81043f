//! Processes: forks, how a child ended, the attributes of this process.

use std::os::fd::OwnedFd;

use nix::errno::Errno;

use super::{check, file};

unsafe extern "C" {
    /// Defined in fork_twice.c, which says what it does.
    fn rsd_fork_twice(daemon: *mut libc::pid_t) -> libc::pid_t;
}

/// Which side of the fork this is.
pub enum Fork {
    /// The new process.
    Daemon,
    /// The process that called, with the child to wait for and, where it is known, the daemon.
    Caller { child: libc::pid_t, daemon: Option<libc::pid_t> },
}

/// fork(2), and the child leads a new session.
pub fn fork_once() -> nix::Result<Fork> {
    // SAFETY: the child only makes system calls until its setup is done; it allocates nothing and
    // takes no lock.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Fork::Daemon),
        child => Ok(Fork::Caller { child, daemon: Some(child) }),
    }
}

/// Two forks with the session led by the first child, which has ended when the caller goes on.
pub fn fork_twice() -> nix::Result<Fork> {
    let mut daemon = 0;
    // SAFETY: `daemon` lives across the call, and the process that returns 0 has its own copy of
    // this memory. As after fork(2), it only makes system calls until its setup is done.
    match check(unsafe { rsd_fork_twice(&mut daemon) })? {
        0 => Ok(Fork::Daemon),
        child => Ok(Fork::Caller { child, daemon: (daemon > 0).then_some(daemon) }),
    }
}

/// Which children to wait for.
#[derive(Clone, Copy)]
pub enum Wait {
    Process(libc::pid_t),
    Group(libc::pid_t),
}

/// How a child ended.
#[derive(Clone, Copy)]
pub enum End {
    Exited(i32),
    Killed { signo: i32, dumped_core: bool },
}

/// waitid(2) for children that ended. `Ok(None)`: none has yet (only with WNOHANG in `flags`).
#[inline(never)]
pub fn wait(which: Wait, flags: i32) -> nix::Result<Option<End>> {
    let (kind, id) = match which {
        Wait::Process(pid) => (libc::P_PID, pid),
        Wait::Group(group) => (libc::P_PGID, group),
    };
    // SAFETY: all zeros is a valid siginfo_t: integers and pointers.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    super::retry(|| {
        // SAFETY: `info` is writable and lives across the call.
        check(unsafe { libc::waitid(kind, id as libc::id_t, &mut info, libc::WEXITED | flags) })
    })?;
    // SAFETY: waitid(2) fills in the fields of a child's siginfo, or leaves the zeros.
    if unsafe { info.si_pid() } == 0 {
        return Ok(None);
    }
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    Ok(Some(if info.si_code == libc::CLD_EXITED {
        End::Exited(status)
    } else {
        End::Killed { signo: status, dumped_core: info.si_code == libc::CLD_DUMPED }
    }))
}

/// A descriptor that becomes readable when the process ends (Linux 5.3).
pub fn pidfd_open(pid: libc::pid_t) -> nix::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes no pointers. It returns an int, close-on-exec from birth.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    file::above_stdio(file::owned(fd as i32)?)
}

/// Whether orphaned descendants become children of this process (PR_SET_CHILD_SUBREAPER).
pub fn is_subreaper() -> bool {
    let mut set: libc::c_int = 0;
    // SAFETY: PR_GET_CHILD_SUBREAPER writes an int, which lives across the call.
    unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &mut set) == 0 && set != 0 }
}

#[inline(never)]
pub fn set_subreaper(on: bool) -> nix::Result<()> {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes no pointers.
    let result = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, libc::c_ulong::from(on)) };
    check(result).map(drop)
}

/// Leaves at once, without exit handlers and without flushing stdio.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Registers `handler` for a normal exit. ENOMEM when the C library has no room.
pub fn at_exit(handler: extern "C" fn()) -> nix::Result<()> {
    // SAFETY: the library is never unmapped (-z nodelete), so the handler outlives the process.
    match unsafe { libc::atexit(handler) } {
        0 => Ok(()),
        _ => Err(Errno::ENOMEM),
    }
}

/// Writes out what C's stdio has buffered, so that no two processes do.
pub fn flush_stdio() {
    // SAFETY: fflush(NULL) is allowed at any time outside signal handlers.
    unsafe { libc::fflush(core::ptr::null_mut()) };
}

/// Milliseconds of CLOCK_MONOTONIC.
#[inline(never)]
pub fn monotonic_ms() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable and lives across the call; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec * 1000 + now.tv_nsec.wrapping_div(1_000_000)
}

/// umask(2), which cannot fail. nix's panics on bits it does not know.
pub fn set_umask(mask: libc::mode_t) {
    // SAFETY: umask(2) takes no pointers.
    unsafe { libc::umask(mask) };
}
