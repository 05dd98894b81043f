//! Filters of system calls (seccomp(2)), and the process that is told of calls that a filter does not decide.

use std::{
    io::IoSlice,
    os::fd::{AsRawFd, BorrowedFd},
    sync::atomic::{AtomicU8, Ordering},
};

use libc::{c_int, c_long, c_uint, sock_filter};
use nix::errno::Errno;

use super::{
    check,
    file::{self, OwnedFd},
    process::Scope,
    retry, socket,
};

/// What is done with files by their names.
#[derive(Clone, Copy)]
pub enum Act {
    /// Learn of them, open them for reading.
    Look = 1,
    /// Open them for reading and writing.
    Update = 2,
    Write = 4,
    /// Make, remove.
    Change = 8,
}

/// The acts for which the kernel would end this process.
static DEADLY: AtomicU8 = AtomicU8::new(0);

/// From now on this library does without.
pub fn note_deadly(act: Act) {
    DEADLY.fetch_or(act as u8, Ordering::Relaxed);
}

/// EPERM instead of the end.
pub fn refuse_deadly(act: Act) -> nix::Result<()> {
    match DEADLY.load(Ordering::Relaxed) & act as u8 {
        0 => Ok(()),
        _ => Err(Errno::EPERM),
    }
}

/// What became of a filter.
pub enum Installed {
    Filter,
    /// The descriptor that tells of calls.
    Listener(OwnedFd),
    /// This thread has a filter that the calling one has not.
    Differs(libc::pid_t),
}

fn seccomp(operation: c_uint, flags: u32, argument: *const libc::c_void) -> nix::Result<c_long> {
    // SAFETY: the callers pass what seccomp(2) reads or writes for this operation.
    Errno::result(unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, argument) })
}

/// Whether the kernel knows this answer of a filter. ENOSYS: there are no filters at all.
#[inline(never)]
pub fn knows(answer: u32) -> nix::Result<bool> {
    let argument = (&raw const answer).cast();
    match seccomp(libc::SECCOMP_GET_ACTION_AVAIL, 0, argument) {
        Ok(_) => Ok(true),
        Err(Errno::EOPNOTSUPP) => Ok(false),
        // Before Linux 4.14, or built without filters.
        Err(Errno::EINVAL) => Err(Errno::ENOSYS),
        Err(errno) => Err(errno),
    }
}

/// Rights that a program has beyond its user's are not gained by executing any more: what a filter asks for.
pub fn forbid_new_privileges() -> nix::Result<()> {
    let (option, on, none): (c_int, c_long, c_long) = (libc::PR_SET_NO_NEW_PRIVS, 1, 0);
    // SAFETY: PR_SET_NO_NEW_PRIVS takes no pointers.
    let result = unsafe { libc::syscall(libc::SYS_prctl, option, on, none, none, none) };
    check(result as c_int).map(drop)
}

/// Whether this thread has a filter.
pub fn is_in_force() -> nix::Result<bool> {
    // SAFETY: PR_GET_SECCOMP takes no pointers.
    check(unsafe { libc::prctl(libc::PR_GET_SECCOMP) }).map(|mode| mode == 2)
}

/// Puts a filter before this thread, or all of the process.
#[inline(never)]
pub fn install(code: &[sock_filter], scope: Scope, listens: bool) -> nix::Result<Installed> {
    let program = libc::sock_fprog { len: code.len() as u16, filter: code.as_ptr().cast_mut() };
    let argument = (&raw const program).cast();
    let all = scope == Scope::Process;
    let mut flags = if all { libc::SECCOMP_FILTER_FLAG_TSYNC as u32 } else { 0 };
    if !listens {
        return match seccomp(libc::SECCOMP_SET_MODE_FILTER, flags, argument)? {
            0 => Ok(Installed::Filter),
            thread => Ok(Installed::Differs(thread as libc::pid_t)),
        };
    }
    flags |= libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32;
    if all {
        flags |= libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH as u32;
    }
    // A signal does not end a call that is being looked at (Linux 5.19).
    let patient = flags | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV as u32;
    let made = match seccomp(libc::SECCOMP_SET_MODE_FILTER, patient, argument) {
        Err(Errno::EINVAL) => seccomp(libc::SECCOMP_SET_MODE_FILTER, flags, argument)?,
        made => made?,
    };
    Ok(Installed::Listener(file::owned(made as c_int)?))
}

/// A call that waits for an answer.
#[derive(Clone, Copy)]
pub struct Told {
    id: u64,
    /// The thread that calls.
    pub thread: u32,
    pub number: u32,
    pub architecture: u32,
    pub arguments: [u64; 6],
}

/// Longer than the structs of any kernel up to now, which tells how much it writes.
type Room = [u64; 64];

/// Whether no filter keeps this process from `receive`.
pub fn may_receive() -> bool {
    let mut room: Room = [0; 64];
    // SAFETY: writable memory, to which nothing is written, as there is no such descriptor.
    let got = unsafe { libc::ioctl(-1, libc::SECCOMP_IOCTL_NOTIF_RECV as _, room.as_mut_ptr()) };
    check(got) == Err(Errno::EBADF)
}

/// The next call. `None`: it is gone, for its thread was killed.
pub fn receive(listener: BorrowedFd) -> nix::Result<Option<Told>> {
    let mut room: Room = [0; 64];
    // SAFETY: there is more room than the struct has, all zeros as the kernel demands.
    let got = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV as _, room.as_mut_ptr())
    };
    match check(got) {
        Ok(_) => {}
        Err(Errno::ENOENT | Errno::EINTR) => return Ok(None),
        Err(errno) => return Err(errno),
    }
    // SAFETY: aligned, long enough, and any bytes are valid.
    let told = unsafe { room.as_ptr().cast::<libc::seccomp_notif>().read() };
    Ok(Some(Told {
        id: told.id,
        thread: told.pid,
        number: told.data.nr as u32,
        architecture: told.data.arch,
        arguments: told.data.args,
    }))
}

/// Lets the call pass.
pub fn let_pass(listener: BorrowedFd, told: &Told) {
    let mut room: Room = [0; 64];
    let answer = libc::seccomp_notif_resp {
        id: told.id,
        val: 0,
        error: 0,
        flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
    };
    // SAFETY: aligned, and long enough.
    unsafe { room.as_mut_ptr().cast::<libc::seccomp_notif_resp>().write(answer) };
    // SAFETY: there is more room than the struct has.
    unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND as _, room.as_mut_ptr())
    };
}

/// The beginning of what is at this address in that thread. How much; 0 where it may not be read.
pub fn peek(thread: u32, address: u64, to: &mut [u8]) -> usize {
    let local = libc::iovec { iov_base: to.as_mut_ptr().cast(), iov_len: to.len() };
    // Not beyond the page, behind which there may be nothing.
    let length = to.len().min(4096 - (address & 4095) as usize);
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: length };
    // SAFETY: writes into `to`, and reads from the other process, or fails.
    let got = unsafe { libc::process_vm_readv(thread as libc::pid_t, &local, 1, &remote, 1, 0) };
    usize::try_from(got).unwrap_or(0)
}

/// Sends a descriptor. It is one sendmsg(2), which no filter of ours refuses or has to be told of.
pub fn send_descriptor(socket: BorrowedFd, fd: BorrowedFd) -> nix::Result<()> {
    socket::send_with_fds(socket, &[IoSlice::new(&[0])], &[fd.as_raw_fd()])
}

/// Waits for a descriptor. `None`: nobody will send one.
pub fn receive_descriptor(socket: BorrowedFd) -> Option<OwnedFd> {
    let mut received = None;
    let _ = socket::receive_with_fds(socket, &mut [0], 0, &mut |fd| received = Some(fd));
    received
}

/// Runs `act` in a process of its own that is no child of this one, in a session of its own, and that no signal but
/// KILL ends. Of descriptors it has stderr and the socket, as number 3.
///
/// It is made by bare system calls: nobody's SIGCHLD handler runs, nobody's wait(2) sees the process between, and
/// no fork handler.
pub fn spawn_apart(socket: BorrowedFd, act: impl FnOnce(BorrowedFd)) -> nix::Result<()> {
    let zero: c_long = 0;
    let bare_fork = || {
        // SAFETY: as fork(2) without a signal at its end. The child only makes system calls and writes to the log,
        // which has no lock.
        unsafe { libc::syscall(libc::SYS_clone, zero, zero, zero, zero, zero) }
    };
    let between = Errno::result(bare_fork())?;
    if between == 0 {
        // SAFETY: no pointers.
        unsafe { libc::setsid() };
        let apart = bare_fork();
        if apart == 0 {
            be_apart(socket);
            if let Some(socket) = file::borrowed(3) {
                act(socket);
            }
        }
        super::process::exit_now(if apart < 0 { Errno::last_raw() } else { 0 });
    }
    let mut status = 0;
    retry(|| {
        // SAFETY: `status` is writable. __WALL: a child without a signal at its end, too.
        check(unsafe { libc::waitpid(between as libc::pid_t, &mut status, libc::__WALL) })
    })?;
    match libc::WEXITSTATUS(status) {
        0 => Ok(()),
        errno => Err(Errno::from_raw(errno)),
    }
}

fn be_apart(socket: BorrowedFd) {
    let all = super::signal::Set::all();
    let _ = super::signal::change_mask(super::signal::How::Set, &all);
    let raw = socket.as_raw_fd();
    // SAFETY: no pointers but C strings. What these numbers were is of no use to this process.
    unsafe {
        if raw != 3 {
            libc::dup3(raw, 3, libc::O_CLOEXEC);
        }
        libc::syscall(libc::SYS_close_range, 4u32, u32::MAX, 0u32);
        libc::chdir(c"/".as_ptr());
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if null >= 0 {
            libc::dup2(null, 0);
            libc::dup2(null, 1);
            if null > 3 {
                libc::close(null);
            }
        } else {
            libc::close(0);
            libc::close(1);
        }
        libc::prctl(libc::PR_SET_NAME, c"rsd_promises".as_ptr());
    }
}

/// Waits for a call or a message. Whether there is one; otherwise nobody is on the other side any more: no process is
/// under the filter (Linux 5.9).
pub fn await_news(fd: BorrowedFd) -> bool {
    let mut one = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, which lives across the call.
    let polled = retry(|| check(unsafe { libc::poll(&mut one, 1, -1) }));
    polled.is_ok() && one.revents & libc::POLLIN != 0
}
