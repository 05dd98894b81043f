//! The C face of promises.

use core::ffi::{c_char, c_int};

use super::boundary::{required, run};
use crate::{
    error::{Error, Result},
    promises::{Otherwise, Promises},
    sys::process::Scope,
};

/// For rsd_promise(): a system call that was not promised fails with EPERM.
pub const RSD_REFUSE: c_int = 0;
/// For rsd_promise(): a system call that was not promised ends the process by SIGSYS.
pub const RSD_KILL: c_int = 1;
/// For rsd_promise(): a system call that was not promised passes, and is told of at the end.
pub const RSD_RECORD: c_int = 2;

pub(super) fn answer(number: c_int) -> Result<Otherwise> {
    match number {
        RSD_REFUSE => Ok(Otherwise::Refuse),
        RSD_KILL => Ok(Otherwise::Kill),
        RSD_RECORD => Ok(Otherwise::Record),
        _ => Err(Error::invalid("otherwise is none of RSD_REFUSE, RSD_KILL and RSD_RECORD")),
    }
}

/// Promise which system calls this process makes from now on, in all its threads, its children and the
/// programs it executes, for good. What an intruder would do with the process is refused by the kernel.
///
/// The words, with one space or more between them, in the manner of OpenBSD's pledge(2):
///
///     stdio      what is open: read, write, send, lock, wait for; memory, threads, time, signals to
///                itself. What the C library does by itself, and the main loop with its signals and timers.
///     rpath      open files for reading, list folders, learn of files
///     wpath      open files for writing, truncate them
///     cpath      make, rename and remove files and folders
///     fattr      change mode, owner, times and extended attributes of files
///     inet       sockets of IPv4 and IPv6
///     unix       sockets of AF_UNIX: syslog, the journal, sd_notify, the control socket
///     dns        look up names and addresses: UDP, and files for reading. Name servers whose answers are
///                too long for UDP need inet, too.
///     tty        set up terminals (what a terminal is, is told under stdio)
///     proc       make processes, signal others, sessions and groups, scheduling
///     prot_exec  make memory executable: dlopen(3), just-in-time compilers
///     exec       execute programs, which are under the same promises; prot_exec is part of it. A program
///                that is not linked statically needs rpath to find its libraries.
///     id         become another user or group, give up capabilities, set limits
///
/// The table of system calls for each word is docs/promises.md. The filter sees numbers, not what
/// pointers point to: which files and which addresses is a matter of rsd_allow_path() and
/// rsd_allow_port(). No word gives ptrace(2), mount(2), new namespaces, bpf(2), modules, keys, raw
/// packets (AF_PACKET) and the like. System calls that are newer than this library, and clone3(2),
/// openat2(2) and io_uring, whose arguments cannot be seen, fail with ENOSYS, so that programs do without.
///
/// What the library needs afterwards: all of the main loop and a log to stderr, stdio; a log to syslog or
/// the journal, unix; one to a file, rpath wpath cpath, and fattr to rotate it with an owner; rsd_run() and rsd_spawn(), proc and exec (with rpath for programs linked dynamically);
/// rsd_open_control(), unix cpath fattr rpath; removing the pid file at the end, cpath wpath; reading
/// the status of processes, rpath; daemonize() with all of its options is called before.
///
/// What the C library reads late needs rpath, too: the time zone (call tzset(3) before), locales, users.
///
/// Further calls only take away: a system call must be promised in each of them. The strictest answer of
/// all wins.
///
/// With RSD_RECORD the process is not hindered, but a process apart is told of the calls that were not
/// promised; stdio is always promised there. It writes a line to the log, if one is open, for each word
/// that is found missing, and, when no process is left of those that are under these promises, one line
/// to the stderr of now: "promises: stdio rpath inet", all words that were given or needed, and calls that
/// no word gives. It cannot tell words apart that give the same calls, and then names the first that is
/// enough. It is no wall: what is told may change meanwhile. If somebody kills that process, all calls that
/// it would have been told of fail with ENOSYS. Where this process is the one that orphans go to
/// (PR_SET_CHILD_SUBREAPER, or the first of its namespace), that process becomes a child of it.
///
/// Programs executed afterwards gain no privileges (no_new_privs is set).
///
/// @param promises   the words; "": none, which leaves only the ending
/// @param otherwise  what happens to other calls: RSD_REFUSE, RSD_KILL or RSD_RECORD
/// @return           0, or -1 with errno set:
///                   EINVAL      promises is NULL or has a word that there is not (rsd_last_error() names
///                               it), or otherwise is none of the three; nothing has happened
///                   ENOSYS      the kernel has no filters (before Linux 4.14, or built without)
///                   EOPNOTSUPP  it does not know RSD_RECORD (before Linux 5.5), or a filter around the process forbids another
///                   ENOTSUP     the filter is not made for this kind of processor: only for x86-64,
///                               aarch64 and riscv64 (the same number as EOPNOTSUPP)
///                   EBUSY       another thread has put a filter before itself alone; or with RSD_RECORD,
///                               calls are recorded already
///                   or any errno of seccomp(2) and, with RSD_RECORD, fork(2) and socketpair(2)
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_promise(promises: *const c_char, otherwise: c_int) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let promises = unsafe { required(promises, "promises is NULL") }?;
        Promises::prepare(promises, answer(otherwise)?)?.apply(Scope::Process).map(|()| 0)
    })
}
