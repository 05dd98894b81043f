//! The C face of signalling and stopping a daemon from outside.

use core::ffi::{c_char, c_int, c_uint};

use super::boundary::{required, run};
use crate::{error::Error, lifecycle};

/// Learn which process holds a pid file, whose lock is held by lock_pidfile() or daemonize().
///
/// The lock decides (flock(2)): a file that nobody has locked names nobody, whatever it says. A process
/// that a locked file names is only believed if the file stands at its path, belongs to root, the
/// caller, or a user who could signal that process anyway (its real or its saved one), and is open in
/// that process (/proc/PID/fd). Where that cannot be seen, as for a process of another user or one that
/// may not be dumped (PR_SET_DUMPABLE), or without /proc, it is believed without, unless anybody may
/// write to the file.
///
/// The file must be readable. Its lock is looked at with a shared one for a moment, which keeps no
/// daemon from starting.
///
/// @param pidfile  the file, relative to the working directory
/// @return         the pid, above 0; 0: nobody holds the file, or there is none; or -1 with errno set:
///                 EINVAL  pidfile is NULL or empty, or a FIFO, a socket or a device
///                 ELOOP   pidfile is a symbolic link
///                 EISDIR  pidfile is a directory
///                 EMLINK  pidfile has hard links
///                 ESRCH   it is locked, but names no process that can be the one: it is empty, holds
///                         something else than a pid, or names a process that does not have it open
///                 EPERM   it belongs to a user who has no say about the process that it names; or
///                         anybody may write to it, and the process cannot be seen
///                 or any errno of open(2), flock(2) and read(2)
///
/// The process may end at any time, and another one may have its number then: do not give the pid to
/// kill(2), but call rsd_signal_daemon().
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_pidfile_holder(pidfile: *const c_char) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let path = unsafe { required(pidfile, "pidfile is NULL") }?;
        Ok(lifecycle::holder(path)?.map_or(0, |pid| pid.as_raw()))
    })
}

/// Send a signal to the daemon that holds a pid file, in the place of kill(2) with a pid read from it.
///
/// The signal reaches the process that rsd_pidfile_holder() tells of, or nobody: it is sent through a
/// pidfd (pidfd_open(2)) that was opened before the lock was seen held for the last time, so that it
/// never reaches a later process of the same pid.
///
/// @param pidfile  the file, relative to the working directory
/// @param signo    the signal; 0 sends none and only asks whether it were possible
/// @return         the pid that it was sent to, or -1 with errno set and nothing sent:
///                 ESRCH   nobody holds the file, or as for rsd_pidfile_holder()
///                 EPERM   the kernel does not let the caller signal that process (kill(2)); or as for
///                         rsd_pidfile_holder()
///                 EINVAL  signo is no signal; or as for rsd_pidfile_holder()
///                 ENOSYS  the kernel has no pidfd_open(2) (before Linux 5.3)
///                 EMFILE, ENFILE, ENOMEM  as of pidfd_open(2)
///                 or another errno of rsd_pidfile_holder()
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_signal_daemon(pidfile: *const c_char, signo: c_int) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let path = unsafe { required(pidfile, "pidfile is NULL") }?;
        Ok(lifecycle::signal(path, signo)?.as_raw())
    })
}

/// rsd_stop_daemon(): a daemon that has not ended after the timeout is killed (SIGKILL).
pub const RSD_STOP_KILL: c_uint = 1;

/// Stop the daemon that holds a pid file, and wait until it is gone.
///
/// Sends SIGTERM, and SIGCONT so that a stopped process hears it. Returns as soon as the process has
/// ended and the lock is free, also where a worker that it left behind had it longer: then a new one
/// can start. A daemon that takes the file meanwhile is left alone, as is what the path names by then.
///
/// It waits for events, without looking again and again (pidfd_open(2), inotify(7)); only where no
/// inotify instance can be had, it looks for a worker's lock 50 times a second. Signals that the caller
/// handles do not end the wait.
///
/// @param pidfile     the file, relative to the working directory
/// @param timeout_ms  how long to wait for the end; 0: not at all; -1: without limit
/// @param flags       0, or RSD_STOP_KILL: a process that is left after that time is killed, and may
///                    take another 5 seconds to be gone
/// @return            the pid that was stopped; 0: nobody holds the file; or -1 with errno set:
///                    ETIMEDOUT  the process has not ended, or somebody else still has the lock:
///                               rsd_last_error() tells which
///                    EDEADLK    the caller holds the file itself
///                    EINVAL     timeout_ms is below -1, or flags has a bit that does not exist; or as
///                               for rsd_pidfile_holder()
///                    or another errno of rsd_signal_daemon()
///
/// A daemon that removes its pid file and only then ends is nobody in between.
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_stop_daemon(
    pidfile: *const c_char,
    timeout_ms: c_int,
    flags: c_uint,
) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let path = unsafe { required(pidfile, "pidfile is NULL") }?;
        if timeout_ms < -1 {
            return Err(Error::invalid("timeout_ms is below -1"));
        }
        if flags & !RSD_STOP_KILL != 0 {
            return Err(Error::invalid("flags has a bit that does not exist"));
        }
        let stopped = lifecycle::stop(path, timeout_ms, flags & RSD_STOP_KILL != 0)?;
        Ok(stopped.map_or(0, |pid| pid.as_raw()))
    })
}
