//! The C face of limits.

use core::ffi::{c_char, c_int};

use super::boundary::{required, run};
use crate::limits::Limits;

/// Limit what this process and its children may use: "core=0 nofile=1024:4096 nproc=64 as=512M".
///
/// Each word is NAME=SOFT:HARD, or NAME=BOTH. The names and units are those of setrlimit(2): as, data, fsize,
/// core, memlock, msgqueue, rss and stack in bytes; cpu in seconds, rttime in microseconds; nofile, nproc, locks
/// and sigpending as numbers; nice and rtprio. An amount may end in K, M, G or T (of 1024), or is "unlimited".
/// What is not named stays.
///
/// All of them are set, or none: those first that may be refused. Without privileges (CAP_SYS_RESOURCE) a hard
/// limit that was lowered cannot be raised again.
///
/// This library needs a few descriptors (nofile) for itself: the main loop four, each open log one or two, the
/// control socket three and one for each client. A log file that reaches fsize is rotated, and lines that do
/// not fit are counted as lost. nproc counts all processes of the user, and does not hold for root.
///
/// @param limits  words with blanks between; "": nothing is changed
/// @return        0, or -1 with errno set and nothing changed:
///                EINVAL  limits is NULL, or rsd_last_error() names a word that is none, has no such name or
///                        amount, a soft limit above the hard one, or one limit twice
///                EPERM   a hard limit would have to be raised, or nofile above /proc/sys/fs/nr_open
///                ENOSYS  the kernel, or a filter, has no prlimit(2)
///                or another errno of prlimit(2); if it refuses to lower a limit after others were lowered, as it
///                never does by itself, those stay lowered without privileges
///
/// Thread-safe: a limit holds for all threads. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_set_limits(limits: *const c_char) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let limits = unsafe { required(limits, "limits is NULL") }?;
        Limits::parse(limits)?.apply().map(|()| 0)
    })
}
