//! The C face of workers.

use core::{
    ffi::{c_int, c_uint, c_void},
    slice,
};
use std::os::fd::IntoRawFd;

use nix::errno::Errno;

use super::boundary::{self, run};
use crate::{
    error::{Error, Result},
    keep_alive::{self, Options, Side},
    sys::file::{self, OwnedFd},
    worker,
};

/// rsd_keep_alive(): this process is the worker.
pub const RSD_IS_WORKER: c_int = 257;

/// The longest request of rsd_ask_parent(), the longest answer, and in a worker the longest text of rsd_notify(), in bytes.
pub const RSD_MESSAGE_MAX: usize = 4096;

const _: () = assert!(RSD_MESSAGE_MAX == worker::MESSAGE_MAX);

/// What the parent does for a worker that calls rsd_ask_parent(). It should be quick: nothing else is done meanwhile, no
/// signal is passed on, and the watchdog is not fed. All signals are blocked, also in what it executes, unless that
/// unblocks them. It must not wait for the worker's process (as by waitpid(-1, ...)). A worker whose channel it closes
/// (closefrom(3)) is killed and started again. Whatever stands in the request may come from somebody who has taken the
/// worker over.
///
/// @param request  what the worker has sent, of that length in bytes
/// @param answer   where the answer goes; there is room for RSD_MESSAGE_MAX bytes
/// @param fd       -1; a descriptor that is put here is passed to the worker, and closed in the parent
/// @param arg      as in the options
/// @return         the length of the answer in bytes, or -1 with errno set, which rsd_ask_parent() fails with
#[allow(non_camel_case_types)] // as C has it
pub type rsd_answer_callback = Option<
    unsafe extern "C" fn(
        request: *const c_void,
        length: usize,
        answer: *mut c_void,
        fd: *mut c_int,
        arg: *mut c_void,
    ) -> c_int,
>;

/// How rsd_keep_alive() keeps a worker alive. What is left out (0, NULL) has its default. Write it with
/// RSD_KEEP_ALIVE(), which fills in the size.
#[repr(C)]
pub struct rsd_keep_alive_options {
    /// sizeof(struct rsd_keep_alive_options): how much of it the program knows.
    pub size: usize,
    /// How many restarts there may be within interval_ms; the crash after that is the end. 0: 5. -1: without end.
    pub max_restarts: c_int,
    /// Counted from the first of them, in milliseconds. 0: 60000.
    pub interval_ms: c_uint,
    /// The pause before a restart, in milliseconds, twice as long for each one within interval_ms. 0: 100.
    pub delay_ms: c_uint,
    /// The longest pause, in milliseconds. 0: 10000.
    pub max_delay_ms: c_uint,
    /// How long a worker that is asked to end may take until it is killed (SIGKILL), in milliseconds. 0: as long as it
    /// likes.
    pub kill_after_ms: c_uint,
    /// What the parent does for the worker: the part of the program that keeps its rights. NULL: nothing.
    pub answer: rsd_answer_callback,
    /// Handed to it.
    pub arg: *mut c_void,
}

/// Go on in a worker that is started again when it crashes.
///
///     int status = rsd_keep_alive(NULL);
///     if (status != RSD_IS_WORKER)
///         return status;
///     ... rsd_drop_privileges(), rsd_ready(), main loop ...
///
/// To be called after rsd_daemonize() or daemonize(), once everything is there that all workers share: sockets, which
/// stay open over a crash, and the log, which tells of each. The call returns in each worker, a forked child. Meanwhile
/// this process is its parent, stays the daemon that everybody sees, and does nothing but this:
///
/// - It passes on signals that it is sent (not those from a terminal, which the worker gets itself), of SIGTSTP, SIGTTIN,
///   SIGTTOU and SIGCONT those for which the program has a handler or which it ignores. In a pause there is nobody to have
///   them: only those that end the daemon count. What is sent to the whole process group or cgroup reaches the worker
///   twice: with systemd, KillMode=mixed prevents that.
/// - What the worker says by rsd_ready(), rsd_fail(), rsd_status(), rsd_notify() and for reloads and the watchdog it
///   tells the launcher and the service manager, but for MAINPID and NOTIFYACCESS, and for STOPPING unless the daemon was
///   asked to end: another worker may follow. What rsd_fail() says is told when the worker has ended. After a crash
///   the first rsd_ready() of the next worker tells READY=1 and the status again.
/// - A worker that ends with status 0, or after SIGTERM, SIGINT, SIGQUIT or SIGABRT came, is the end of the daemon. One that ends
///   in another way is started again after a pause; after too many restarts the daemon gives up, as by rsd_fail().
///   One that ends before the daemon was ever ready is a start that has failed.
/// - It does what answer is for: with rsd_drop_privileges() in the worker, the daemon is split into a small part with
///   rights and a large one without.
/// - As process 1, it waits for orphans.
///
/// If the parent ends, the worker gets SIGKILL, also after rsd_drop_privileges(); not after a bare setuid(2), which
/// makes the kernel forget that. As long as either runs, the pid file is locked. Open the control socket
/// (rsd_open_control()) in the worker. A daemon with a worker cannot be upgraded (rsd_upgrade()). After a restart, the
/// worker has the time of the watchdog until rsd_ready(); rsd_notify("WATCHDOG=1") gives it more.
///
/// @param options  RSD_KEEP_ALIVE(...), or a struct whose size member is set; NULL: all defaults
/// @return         RSD_IS_WORKER in each worker. In the parent, when all is over, the status with which main() is to
///                 return, 0 to 255: that of the worker; 0, if a signal that asked it to end has ended it; 128 and the
///                 signal that has killed it otherwise; rsd_last_error() has why, if it was given up. Or -1 with errno set, and no worker was started:
///                 EINVAL    max_restarts is less than -1, or options lacks its size
///                 E2BIG     the options are of a newer version than this library
///                 EALREADY  this process is a worker
///                 EBUSY     other threads run, or the control socket is open
///                 or an errno of fork(2), socketpair(2), signalfd(2); these rsd_fail() has been told
///
/// Not thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_keep_alive(options: *const rsd_keep_alive_options) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or options as they should be.
        let given = unsafe { boundary::options(options) }?;
        let options = convert(&given)?;
        let answer = |request: &[u8], reply: &mut [u8]| answer(&given, request, reply);
        match keep_alive::keep_alive(&options, &answer)? {
            Side::Worker => Ok(RSD_IS_WORKER),
            Side::Parent(status, why) => {
                why.as_ref().map(boundary::note);
                Ok(status & 0xff)
            }
        }
    })
}

fn convert(c: &rsd_keep_alive_options) -> Result<Options> {
    let or = |value: c_uint, default| if value == 0 { default } else { value };
    let defaults = Options::default();
    Ok(Options {
        max_restarts: match c.max_restarts {
            0 => defaults.max_restarts,
            -1 => None,
            most => Some(
                u32::try_from(most).map_err(|_| Error::invalid("max_restarts is less than -1"))?,
            ),
        },
        interval_ms: or(c.interval_ms, defaults.interval_ms),
        delay_ms: or(c.delay_ms, defaults.delay_ms),
        max_delay_ms: or(c.max_delay_ms, defaults.max_delay_ms),
        kill_after_ms: (c.kill_after_ms != 0).then_some(c.kill_after_ms),
    })
}

/// Calls the program's callback.
fn answer(
    c: &rsd_keep_alive_options,
    request: &[u8],
    reply: &mut [u8],
) -> nix::Result<(usize, Option<OwnedFd>)> {
    let function = c.answer.ok_or(Errno::EOPNOTSUPP)?;
    let mut fd = -1;
    Errno::clear();
    let (place, length) = (reply.as_mut_ptr().cast(), request.len());
    // SAFETY: by the contract of rsd_keep_alive the function takes these; all of it lives across the call.
    let answered = unsafe { function(request.as_ptr().cast(), length, place, &mut fd, c.arg) };
    let errno = Errno::last();
    let fd = (fd >= 0).then(|| file::owned(fd)).transpose()?;
    match usize::try_from(answered) {
        Ok(length) if length <= reply.len() => Ok((length, fd)),
        Ok(_) => Err(Errno::EMSGSIZE),
        Err(_) if errno as c_int == 0 => Err(Errno::EIO),
        Err(_) => Err(errno),
    }
}

/// Ask the parent for something that this worker has no right to do itself: the answer callback of rsd_keep_alive() gets
/// the request.
///
/// The call waits until the parent has answered. Other threads of the worker that ask meanwhile wait, too; so do
/// rsd_ready(), rsd_notify_fds() and rsd_notify_barrier(), which the parent answers. A forked child has lost its way to
/// the parent with its first call of this library, such as rsd_after_fork().
///
/// @param request  what is asked for, as the callback understands it
/// @param length   its length in bytes, at most RSD_MESSAGE_MAX
/// @param answer   where the answer goes; may be NULL if size is 0
/// @param size     how much room there is, in bytes
/// @param fd       gets the descriptor that came with the answer, which is close-on-exec, or -1. NULL: it is closed
/// @return         the length of the answer in bytes, or -1 with errno set:
///                 EINVAL      request is NULL but length is not 0, or answer is NULL but size is not 0
///                 EMSGSIZE    the request is too long, or the answer longer than size
///                 EMFILE      there is no room for the descriptor that came with the answer
///                 EPERM       this process is no worker (not its forked child, either)
///                 EOPNOTSUPP  there is no callback
///                 EIO         the callback returned -1 without an errno
///                 EBADF       the program has closed descriptors of this library
///                 EPIPE, ECONNRESET  the parent has ended
///                 or what the callback set; or an errno of sendmsg(2), recvmsg(2), poll(2)
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_ask_parent(
    request: *const c_void,
    length: usize,
    answer: *mut c_void,
    size: usize,
    fd: *mut c_int,
) -> c_int {
    // SAFETY: the caller passes NULL or the address of an int.
    let mut place = unsafe { fd.as_mut() };
    if let Some(place) = &mut place {
        **place = -1;
    }
    run(|| {
        let request = match (request.is_null(), length) {
            (_, 0) => &[],
            (false, length) if length <= RSD_MESSAGE_MAX => {
                // SAFETY: the caller passes so many bytes.
                unsafe { slice::from_raw_parts(request.cast(), length) }
            }
            (false, _) => {
                return Err(Error::new(
                    Errno::EMSGSIZE,
                    &[b"the request is longer than RSD_MESSAGE_MAX"],
                ));
            }
            _ => return Err(Error::invalid("request is NULL but length is not 0")),
        };
        let answer = match (answer.is_null(), size) {
            (_, 0) => &mut [],
            // SAFETY: the caller passes so many writable bytes; no answer is longer than the other.
            (false, size) => unsafe {
                slice::from_raw_parts_mut(answer.cast(), size.min(RSD_MESSAGE_MAX))
            },
            _ => return Err(Error::invalid("answer is NULL but size is not 0")),
        };
        let (length, passed) = worker::ask(request, answer)?;
        if let (Some(place), Some(passed)) = (place, passed) {
            *place = passed.into_raw_fd();
        }
        Ok(length as c_int)
    })
}
