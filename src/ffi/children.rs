//! The C face of watched children.

use core::ffi::{c_int, c_void};

use super::boundary::run;
use crate::{children, error::Error, sys::callback::Callback};

/// Called from rsd_dispatch() or rsd_wait() when a watched child has ended and was waited for.
///
/// @param pid     the child
/// @param status  as of waitpid(2), for WIFEXITED() and its like; -1 if somebody else in this
///                process has waited for the child, or nobody can because SIGCHLD is ignored
/// @param arg     as given to rsd_watch_child()
#[allow(non_camel_case_types)] // as C has it
pub type rsd_child_callback =
    Option<unsafe extern "C" fn(pid: c_int, status: c_int, arg: *mut c_void)>;

/// Have a child of this process waited for, and be told how it ended.
///
/// Only this child is waited for, once it has ended; system(3), popen(3) and waitpid(2) for others
/// go on working. SIGCHLD is not touched. A child that has ended before is told of, too. Where the
/// kernel has no pidfd_open(2) (before Linux 5.3, or by a filter), children are looked at every 20 ms.
///
/// @param pid       a child of this process that nobody else waits for
/// @param callback  called once
/// @param arg       handed to it
/// @return          0, or -1 with errno set:
///                  EINVAL  pid is not above 0, or callback is NULL
///                  ECHILD  pid is no child of this process, or was waited for
///                  EEXIST  it is watched, or is a command of rsd_spawn()
///                  EMFILE, ENFILE, ENOMEM, or any errno of pidfd_open(2), or as for rsd_fd()
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_watch_child(
    pid: c_int,
    callback: rsd_child_callback,
    arg: *mut c_void,
) -> c_int {
    run(|| {
        let function = callback.ok_or_else(|| Error::invalid("callback is NULL"))?;
        children::watch(pid, Callback { function, arg }).map(|()| 0)
    })
}

/// Watch a child no more: its callback is not called, and it is for the program to wait for it. (If
/// another thread dispatches, the callback may be running already: then the result is ENOENT.)
///
/// @return  0, or -1 with errno set:
///          ENOENT  pid is not watched, or was told of
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_forget_child(pid: c_int) -> c_int {
    run(|| children::forget(pid).map(|()| 0))
}

/// Have all children waited for that nobody knows, from rsd_dispatch() and rsd_wait().
///
/// For process 1 of a container, which inherits orphans, and for daemons that fork and forget. It takes
/// SIGCHLD, which interrupts no system call that SA_RESTART can spare. Watched children and commands
/// are told of as ever. But what the program waits for itself, it has to wait for before the next
/// rsd_dispatch() or rsd_wait(): pclose(3) and waitpid(2) find no child afterwards (ECHILD).
/// system(3) in the thread that dispatches goes on working. It pauses while a command is being ended of
/// which only the first process is gone yet, at most for its kill_after_ms.
///
/// Call it after daemonize(): a forked child does not reap.
///
/// @param on  not 0: from now on, and those that have ended already; 0: no more, and SIGCHLD is given
///            back
/// @return    0, or -1 with errno set:
///            EBUSY  the program has a handler of its own for SIGCHLD
///            or as for rsd_fd() and rsd_flag_signal()
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_reap_children(on: c_int) -> c_int {
    run(|| children::reap(on != 0).map(|()| 0))
}
