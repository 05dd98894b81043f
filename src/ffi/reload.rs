//! The C face of reloads.

use core::ffi::{c_char, c_int};

use super::boundary::{optional, run};
use crate::{reload, status};

/// Say that the configuration is being read anew, because SIGHUP has arrived or for any other reason.
///
/// Then rsd_commit_reload() says that the new one is in force, or rsd_abort_reload() that the old one still
/// is, and why. Whoever asked for the reload before this call, by the command reload of the control
/// socket, gets that outcome. A service manager (NOTIFY_SOCKET) is told that it begins ("RELOADING=1" with
/// MONOTONIC_USEC) and that it is over ("READY=1"), with the reason as STATUS where it failed.
///
///     if (reload_flag) {
///         reload_flag = 0;
///         rsd_begin_reload();
///         struct config *new = read_config(path);
///         if (new)
///             rsd_commit_reload();
///         else
///             rsd_abort_reload("line 12: no such interface");
///     }
///
/// A reload that was begun and not ended is begun anew.
///
/// @return  0
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_begin_reload() -> c_int {
    run(|| {
        reload::begin();
        Ok(0)
    })
}

/// Say that the new configuration is in force.
///
/// @return  0, or -1 with errno set:
///          EINVAL  rsd_begin_reload() was not called before
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_commit_reload() -> c_int {
    run(|| reload::end(None).map(|()| 0))
}

/// Say that the old configuration stays in force.
///
/// @param reason  for whoever asked, in one line; NULL: "failed"
/// @return        0, or -1 with errno set:
///                EINVAL  rsd_begin_reload() was not called before
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_abort_reload(reason: *const c_char) -> c_int {
    // SAFETY: the caller passes NULL or a C string that outlives this call.
    let reason = unsafe { optional(reason) }.unwrap_or(c"failed");
    run(|| reload::end(Some(reason.to_bytes())).map(|()| 0))
}

/// Say in one line how the daemon is doing, for the command status of the control socket and for the service manager
/// (STATUS).
///
/// @param text  copied; control characters become '?'. NULL or "": nothing
/// @return      0
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_status(text: *const c_char) -> c_int {
    // SAFETY: the caller passes NULL or a C string that outlives this call.
    let text = unsafe { optional(text) }.unwrap_or_default();
    run(|| {
        status::set_text(text.to_bytes());
        Ok(0)
    })
}
