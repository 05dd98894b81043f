//! The C face of pid files.

use core::ffi::{c_char, c_int};
use std::os::fd::IntoRawFd;

use super::boundary::{optional, required, run};
use crate::{
    error::Error,
    pidfile::{self, Place},
    sys::file,
};

/// Make sure that only one instance of this daemon runs.
///
/// Locks the file and leaves the caller's pid in it. A file that nobody has locked is stale,
/// whatever it says, and is replaced. The file appears with its content and its lock at once: nobody
/// ever sees it empty, partial, or locked with somebody else's pid. Where no new file can be made in
/// the directory, an existing one is locked and written over instead.
///
/// The lock lasts until the returned descriptor is closed in every process that has it, so keep it
/// open. Test for the lock (flock(2)), never for the file. When daemonize() or rsd_daemonize()
/// follows, the daemon has the lock and its own pid in the file (in up to eight such files); do not
/// give them the same path again. The file stays when the process
/// ends; rsd_remove_pidfile() removes it.
///
/// @param pidfile  file to lock, usually "/run/NAME.pid"; relative to the working directory
/// @return         a close-on-exec descriptor, not 0, 1 or 2; or -1 with errno set:
///                 EEXIST  another process holds the lock; rsd_last_error() names it
///                 EINVAL  pidfile is NULL or empty, or a FIFO, a socket or a device
///                 ELOOP   pidfile is a symbolic link
///                 EISDIR  pidfile is a directory
///                 EMLINK  pidfile has hard links
///                 EPERM   pidfile belongs neither to root nor to the caller
///                 or any errno of open(2), flock(2), fcntl(2), write(2), link(2) and unlink(2)
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[cfg(not(no_drop_in_names))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lock_pidfile(pidfile: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { lock(pidfile) }
}

/// lock_pidfile() under a name that no program has for itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_lock_pidfile(pidfile: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { lock(pidfile) }
}

/// # Safety
/// `pidfile` is NULL or a C string that lives as long as the call.
#[inline(never)] // two names, one copy
unsafe fn lock(pidfile: *const c_char) -> c_int {
    run(|| {
        // SAFETY: our contract.
        let path = unsafe { required(pidfile, "pidfile is NULL") }?;
        Ok(pidfile::lock_for_program(path)?.into_raw_fd())
    })
}

/// Remove a pid file that lock_pidfile() locked, and close the lock.
///
/// Call it as the last thing before the process ends. The file of daemonize() and rsd_daemonize() is
/// removed without it. Where the directory does not allow the removal, the file is emptied.
///
/// @param pidfile  the path given to lock_pidfile()
/// @param lock     the descriptor that it returned; closed when the call succeeds
/// @return         0, or -1 with errno set and the file left alone:
///                 EINVAL  pidfile is NULL or empty
///                 EBADF   lock is not open
///                 ESTALE  another file or none stands at pidfile by now
///                 EPERM   the file names another process: a child does not remove its parent's
///                 or any errno of unlink(2) and ftruncate(2)
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_remove_pidfile(pidfile: *const c_char, lock: c_int) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let path = unsafe { optional(pidfile) };
        let path = path.ok_or_else(|| Error::invalid("pidfile is NULL"))?;
        let held = file::borrowed(lock)
            .ok_or_else(|| Error::cannot(nix::errno::Errno::EBADF, "use the lock"))?;
        pidfile::remove(&Place::here(path)?, held)?;
        file::close(lock);
        Ok(0)
    })
}
