//! The C face of the upgrade.

use core::ffi::{c_char, c_int};

use super::boundary::run;
use crate::{
    error::{Error, Result},
    sys::process::Arguments,
    upgrade,
};

/// Start this program anew, as it is on disk now, beside this daemon, and let it take over: an upgrade without a refused
/// connection, and without a moment in which nobody holds the pid file.
///
/// The new process gets copies of what this library knows of: the locks of pid files, the control socket, the sockets
/// of rsd_listen() and those that were passed to rsd_listen_fds(). It runs main() from the start, with the same
/// environment, in the present working directory; its rsd_daemonize(), which does not fork there, or daemonize(),
/// rsd_lock_pidfile(), rsd_listen() and rsd_open_control() find what was handed over, where they are asked for the same
/// path or address. A Unix socket gets the mode and owner that are asked for there when the new process is the daemon.
/// A pid file keeps its mode and owner. Log files it opens anew; both may write to them. rsd_command() starts there,
/// whatever its word.
///
/// This call returns when the new process has called rsd_ready() and stands in the pid files, and a service manager
/// (NOTIFY_SOCKET) was told of the new main process. Then the control socket, the pid files and the files of Unix sockets
/// are not this process's any more, and descriptors of rsd_lock_pidfile() are closed: it should close those that it
/// listens on, finish what its clients have begun, and return from main. Clients that connect meanwhile wait, or are
/// served by the new process. Until then the watchdog of the service manager is told for as long as this call waits.
///
/// If the new process ends, gives up (rsd_fail()), or is not ready in time, it is ended with its process group, and this
/// process goes on as if nothing had been. A signal that ends a daemon (SIGTERM, SIGINT, SIGQUIT, SIGHUP) ends the
/// attempt, and is delivered; one that comes when the new process has the pid files already is sent to that. If this
/// process ends meanwhile, the new one serves.
///
/// The pid changes, so this is for the background, and for the foreground under a manager that is told of it
/// (systemd); under s6, runit and as process 1 of a container the supervisor restarts the service instead. A new
/// process has only the rights that this one has kept: after rsd_drop_privileges() or rsd_sandbox() it must need no others.
/// A program that closes descriptors that it does not know, or executes another, before it calls this library, cannot take
/// over; one that calls daemonize(), which is ready at once, only what it has asked for before. Where somebody has removed
/// the file of a Unix socket, the new process cannot take it over, and the daemon has to be restarted.
///
/// The callback of a control command may call it, and answers before this process ends: see c-examples/echo_server.c.
///
/// @param argv        the path of the program and its arguments, with a NULL after the last. NULL: those of this process,
///                    as they stand in its memory now, and the path by which it was executed, also a symbolic link;
///                    where that was relative, or led elsewhere when it became a daemon, the path of its file
/// @param timeout_ms  how long the new process may take until it is ready, in milliseconds; -1: as long as it takes
/// @return            0: the new process is the daemon. -1, with errno set, and this one is:
///                    EINVAL     timeout_ms is less than -1, or argv is empty
///                    EPERM      this process is no daemon of rsd_daemonize() that is ready
///                    ENOTSUP    it is process 1, or in the foreground without a manager that is told
///                    ENOENT, EACCES, ... the program cannot be executed: execve(2)
///                    ETIMEDOUT  the new process was not ready in time
///                    ECHILD     it ended before, or gave up: rsd_last_error() has its text
///                    EINTR      a signal has cancelled the start, or has told this process to end before
///                    EBADF      the program has closed the lock of the pid file, or that of a Unix socket
///                    E2BIG      more than 250 sockets and locks
///                    or what rsd_daemonize() returns in the new process, or an errno of socketpair(2), vfork(2),
///                    fork(2), and what tells the service manager (see rsd_notify())
///
/// Not thread-safe: no other thread may use the library or change the environment meanwhile. Not async-signal-safe.
/// Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_upgrade(argv: *const *mut c_char, timeout_ms: c_int) -> c_int {
    run(|| {
        let timeout_ms = match timeout_ms {
            -1 => None,
            ms => {
                Some(u32::try_from(ms).map_err(|_| Error::invalid("timeout_ms is less than -1"))?)
            }
        };
        // SAFETY: the caller passes NULL, or arguments that outlive this call.
        let arguments = unsafe { arguments(argv) }?;
        upgrade::upgrade(arguments, timeout_ms).map(|()| 0)
    })
}

/// # Safety
/// NULL, or as `Arguments::new` wants them.
unsafe fn arguments(argv: *const *mut c_char) -> Result<Option<Arguments>> {
    if argv.is_null() {
        return Ok(None);
    }
    // SAFETY: our contract.
    let arguments = unsafe { Arguments::new(argv) };
    arguments.map(Some).ok_or_else(|| Error::invalid("argv is empty"))
}
