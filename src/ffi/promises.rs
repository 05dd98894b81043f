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
///     cpath      make, rename and remove files and folders, but no devices
///     fattr      change mode, owner, times and extended attributes of files
///     inet       sockets of IPv4 and IPv6; of streams only TCP, not MPTCP
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
/// Some words give more than they say. bind(2) of an AF_UNIX socket makes a file without cpath (inet, unix, dns).
/// Who has CAP_NET_ADMIN can change interfaces and routes by inet or dns (NETLINK_ROUTE): drop it. wpath can write
/// code into /proc/self/mem without prot_exec, unless the process is not root and not dumpable, or access to /proc
/// is restricted, as rsd_sandbox() does. And what is open stays open: MSG_FASTOPEN connects a TCP socket by stdio.
///
/// What the library needs afterwards: all of the main loop and a log to stderr, stdio; a log to syslog or the
/// journal, unix; one to a file, rpath wpath cpath, and fattr to rotate it with an owner; rsd_run() and rsd_spawn(),
/// proc exec, and rpath for programs linked dynamically or without an input; rsd_open_control(), unix rpath wpath
/// cpath fattr; removing its socket or the pid file at the end, rpath cpath (otherwise the socket is left and the
/// pid file is emptied); reading the status of processes, rpath; daemonize() with all of its options is called
/// before. With RSD_KILL the library does not open, examine or remove files without the words for it: what would be
/// the end of the process fails with EPERM. Neither the C library nor a program executed afterwards knows of that.
///
/// What the C library does late needs more, unless it is done once before. With RSD_REFUSE most of it has a way out:
///
///     time zone    nothing after setenv("TZ", ":/etc/localtime", 0) and tzset(3). Otherwise glibc looks at the file
///                  at each localtime(3), mktime(3) and strftime(3): without rpath the time is UTC from then on.
///     threads      pthread_exit(3) and pthread_cancel(3) of glibc load libgcc_s.so.1 and abort if they cannot, also
///                  with RSD_REFUSE; backtrace(3) loads it, too: link with it or dlopen(3) it before. With RSD_KILL
///                  rpath: free(3) in a thread of glibc reads /proc once, pthread_setname_np(3) of another thread
///                  and pthread_getattr_np(3) of the first do. With musl, pthread_kill(3), pthread_cancel(3) and
///                  timers with SIGEV_THREAD need proc or id.
///     processors   get_nprocs(3) and sysconf(3) of _SC_NPROCESSORS_ONLN: rpath with RSD_KILL
///     users        rpath, with RSD_KILL unix as well (nscd is asked first), and prot_exec for modules of
///                  nsswitch.conf other than "files"; so under dns for those other than "files" and "dns"
///     interfaces   if_nametoindex(3) and its like: unix with RSD_KILL
///     text         locales, rpath; iconv_open(3), rpath prot_exec
///     syslog(3)    unix, and the time zone as above
///
/// Further calls only take away: a system call must be promised in each of them. The strictest answer of
/// all wins.
///
/// With RSD_RECORD, which comes before all other promises, the process is not hindered, but a process apart is told of the calls that were not
/// promised; stdio is always promised there. It writes a line to the log, if one is open, for each word
/// that is found missing, and, when no process is left of those that are under these promises, one line
/// to the stderr of now: "promises: stdio rpath inet", all words that were given or needed, and calls that
/// no word gives. It cannot tell words apart that give the same calls, and then names the first that is
/// enough. It is no wall: what is told may change meanwhile. If somebody kills that process, all calls that
/// it would have been told of fail with ENOSYS. Where this process is the one that orphans go to
/// (PR_SET_CHILD_SUBREAPER, or the first of its namespace), that process becomes a child of it. It has the user and
/// the rights that this one has when it is started, which is before the rest in rsd_sandbox(), and keeps them.
///
/// Programs executed afterwards gain no privileges (no_new_privs is set).
///
/// @param promises   the words; "": none, which leaves only the ending
/// @param otherwise  what happens to other calls: RSD_REFUSE, RSD_KILL or RSD_RECORD
/// @return           0, or -1 with errno set:
///                   EINVAL      promises is NULL or has a word that there is not (rsd_last_error() names
///                               it), or otherwise is none of the three; nothing has happened
///                   ENOSYS      the kernel has no filters (before Linux 4.14, or built without)
///                   EOPNOTSUPP  it does not know RSD_RECORD (before Linux 5.5), or a filter around the process
///                               forbids another
///                   ENOTSUP     the filter is not made for this kind of processor: only for x86-64,
///                               aarch64 and riscv64 (the same number as EOPNOTSUPP)
///                   EBUSY       another thread has put a filter before itself alone; or with RSD_RECORD,
///                               calls are recorded already, or promises were made before
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
