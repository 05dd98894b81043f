//! The C face of signal flags.

use core::ffi::c_int;

use super::boundary::run;
use crate::{error::Error, signals};

/// `sig_atomic_t`, which is an int wherever Linux runs. In the header: volatile sig_atomic_t.
pub type SignalFlag = c_int;

/// Let signals set variables of the program.
///
/// SIGTERM and SIGINT set *shutdown_flag to 1, SIGHUP sets *reload_flag to 1; the program looks at
/// them in its loop and sets *reload_flag back to 0 itself. SIGPIPE is ignored, so that writing to a
/// closed connection fails with EPIPE instead of ending the daemon; programs that it executes inherit
/// that. The handled signals are unblocked in the calling thread, also where the caller of the
/// program had them blocked or ignored. They interrupt system calls: sleep(3) returns early, others
/// fail with EINTR. The handler stores and does nothing else.
///
/// A signal that arrives between the look at the flag and the sleep that follows is seen only after
/// that sleep, as with every flag.
///
/// Call it before or after daemonize(), before threads are started. A second call moves the flags.
///
/// @param shutdown_flag  a variable that lives as long as the process
/// @param reload_flag    the same; NULL: SIGHUP is ignored
/// @return               0, or -1 with errno set and nothing changed:
///                       EINVAL  shutdown_flag is NULL
///                       or any errno of sigaction(2) and pthread_sigmask(3)
///
/// Not thread-safe: signal actions belong to the process. Not async-signal-safe. Since 0.1.
#[cfg(not(no_drop_in_names))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn install_signal_flags(
    shutdown_flag: *mut SignalFlag,
    reload_flag: *mut SignalFlag,
) -> c_int {
    install(shutdown_flag, reload_flag)
}

/// install_signal_flags() under a name that no program has for itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_install_signal_flags(
    shutdown_flag: *mut SignalFlag,
    reload_flag: *mut SignalFlag,
) -> c_int {
    install(shutdown_flag, reload_flag)
}

#[inline(never)] // two names, one copy
fn install(shutdown: *mut SignalFlag, reload: *mut SignalFlag) -> c_int {
    run(|| {
        if shutdown.is_null() {
            return Err(Error::invalid("shutdown_flag is NULL"));
        }
        signals::install_flags(shutdown, reload).map(|()| 0)
    })
}
