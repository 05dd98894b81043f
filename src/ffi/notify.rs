//! The C face of what the service manager is told.

use core::{
    ffi::{CStr, c_char, c_int},
    slice,
};

use super::boundary::{required, run};
use crate::{
    error::{Error, Result},
    notify,
};

/// Tell the service manager something, as sd_notify(3) does: rsd_notify("STATUS=Compacting...").
///
/// rsd_ready(), rsd_fail(), rsd_status(), rsd_begin_reload() and what follows it, the end of the daemon and, in
/// rsd_wait() and rsd_dispatch(), the watchdog tell it already. This is for the rest, such as
/// "EXTEND_TIMEOUT_USEC=10000000". The socket is the one that NOTIFY_SOCKET names when the library first looks,
/// which rsd_daemonize() does: a path, "@" and an abstract name, or "vsock:CID:PORT" (also "vsock-stream:",
/// "vsock-dgram:", "vsock-seqpacket:"). It stays open, and so works after chroot(2) and in a sandbox. By default
/// (NotifyAccess=main) systemd listens to the main process of the service alone: in the background, to the daemon from
/// rsd_ready() on.
///
/// In a worker of rsd_keep_alive(), 1 only means that its parent has it, which tells the manager if that makes room
/// within 20 ms. In a forked child of the worker it is ENOTCONN.
///
/// @param state  lines "NAME=VALUE", as in sd_notify(3)
/// @return       1; 0 where no service manager waits; or -1 with errno set:
///               EINVAL        state is NULL or empty, or NOTIFY_SOCKET is no address
///               ENAMETOOLONG  NOTIFY_SOCKET is too long for an address
///               EAGAIN        the manager has not taken it in 5 seconds
///               EMSGSIZE      it is too long; in a worker: longer than RSD_MESSAGE_MAX
///               or any errno of socket(2), connect(2), sendmsg(2)
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_notify(state: *const c_char) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let state = unsafe { state_of(state) }?;
        notify::tell(&[state.to_bytes()]).map(c_int::from)
    })
}

/// Tell the service manager something about descriptors, which it gets copies of.
///
/// For "FDSTORE=1\nFDNAME=NAME": systemd keeps them (FileDescriptorStoreMax=) and passes them to the next start of
/// this service, where rsd_listen_fds() has them under that name. With vsock there are no descriptors. In a worker of
/// rsd_keep_alive() the call waits until its parent has told the manager, and SO_LINGER of a socket is switched off.
///
/// @param state  as for rsd_notify()
/// @param fds    the descriptors, which stay open here
/// @param count  how many, at most 253
/// @return       as for rsd_notify(), and also:
///               EINVAL      fds is NULL, or count is more than 253
///               EBADF       one of fds is not open
///               EMFILE      the parent of the worker has no room for them
///               EOPNOTSUPP  NOTIFY_SOCKET is a vsock
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_notify_fds(
    state: *const c_char,
    fds: *const c_int,
    count: usize,
) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let state = unsafe { state_of(state) }?;
        let fds = match (fds.is_null(), count) {
            (_, 0) => &[],
            (true, _) => return Err(Error::invalid("fds is NULL")),
            (false, count) if count > notify::FDS_MAX => {
                return Err(Error::invalid("more than 253 descriptors cannot be sent"));
            }
            // SAFETY: the caller passes so many.
            (false, count) => unsafe { slice::from_raw_parts(fds, count) },
        };
        notify::tell_with(&[state.to_bytes()], fds).map(c_int::from)
    })
}

/// Wait until the service manager has read all that it was told before.
///
/// For a process that ends right after it has told something: systemd finds the service of whoever told it by
/// the process.
///
/// @param timeout_ms  how long at most, in milliseconds; -1: for as long as it takes
/// @return            1; 0 where no service manager waits; or -1 with errno set as for rsd_notify(), and also:
///                    ETIMEDOUT   it has not read it in that time
///                    EOPNOTSUPP  NOTIFY_SOCKET is a vsock
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_notify_barrier(timeout_ms: c_int) -> c_int {
    run(|| {
        if timeout_ms < -1 {
            return Err(Error::invalid("timeout_ms is less than -1"));
        }
        notify::barrier(timeout_ms).map(c_int::from)
    })
}

/// # Safety
/// `state` is NULL or a C string that lives as long as the call.
unsafe fn state_of<'a>(state: *const c_char) -> Result<&'a CStr> {
    // SAFETY: the same contract.
    let state = unsafe { required(state, "state is NULL") }?;
    if state.is_empty() { Err(Error::invalid("state is empty")) } else { Ok(state) }
}
