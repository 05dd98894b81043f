//! The C face of access.

use core::ffi::{c_char, c_int};

use super::boundary::{required, run};
use crate::access;

/// Allow what rsd_restrict_access() would refuse: a file or folder, with all that lies beneath it.
///
/// Until then nothing is refused. The same path may be allowed more than once, which adds up, as does what is
/// allowed to a folder above it. The path is opened now, symbolic links are followed, and what is allowed is what
/// stands there now, whatever takes its place later. A forked child has a copy of what was allowed, and adds to that alone.
///
/// Pipes and sockets, to which /dev/stdout may lead, are never restricted, whatever is said about them.
///
/// @param path    relative to the working directory
/// @param access  letters of:
///                r  read files, list folders
///                w  write to files, truncate them, ioctl(2) of devices
///                x  execute files; programs that are linked dynamically need r (and x) for their libraries
///                c  make, remove, link and rename files, folders, sockets, FIFOs and symbolic links; only for a
///                   folder. Devices can never be made.
/// @return        0, or -1 with errno set and nothing more allowed:
///                EINVAL      path or access is NULL, access is empty, or has another letter
///                ENOTDIR     c for what is no folder
///                ENOSYS      the kernel has no Landlock (before Linux 5.13, or built without)
///                EOPNOTSUPP  Landlock was not enabled at boot, or a filter around the process forbids it
///                ENOMEM      there is no memory
///                or any errno of open(2)
///
/// Thread-safe. Not async-signal-safe. Since 0.1. See landlock(7).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_allow_path(path: *const c_char, access: *const c_char) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or C strings that outlive this call.
        let path = unsafe { required(path, "path is NULL") }?;
        // SAFETY: as above.
        let access = unsafe { required(access, "access is NULL") }?;
        access::allow_path(path, access).map(|()| 0)
    })
}

/// Allow a TCP port, which restricts all others: binding to them with the first "b", connecting with the first "c".
///
/// As long as no port was allowed for binding (connecting), that is not restricted. UDP and other sockets are not
/// concerned. The kernel does not see three ways to other ports: MPTCP (IPPROTO_MPTCP of socket(2), which reaches
/// servers of TCP and is refused by rsd_promise()), sendto(2) and sendmsg(2) with MSG_FASTOPEN, and listen(2) without
/// bind(2), on a free port.
///
/// @param port    0 to 65535; binding to 0 is to be given a free one
/// @param access  letters of: b bind(2), c connect(2)
/// @return        0, or -1 with errno set and nothing more allowed:
///                EINVAL      port is out of range, access is NULL, empty, or has another letter
///                EOPNOTSUPP  the kernel does not restrict ports (before Linux 6.7), or Landlock was not
///                            enabled at boot
///                ENOSYS      the kernel has no Landlock
///                ENOMEM      there is no memory
///
/// Thread-safe. Not async-signal-safe. Since 0.1. See landlock(7).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_allow_port(port: c_int, access: *const c_char) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let access = unsafe { required(access, "access is NULL") }?;
        access::allow_port(port, access).map(|()| 0)
    })
}

/// Give up all access to files and folders that was not allowed by rsd_allow_path(), for good.
///
/// It holds for this process, its children and the programs that it executes, also for root. What is refused
/// fails with EACCES; renaming and linking from one folder into another may fail with EXDEV. What is open stays
/// usable. Without any rsd_allow_path() before there is no way to files at all. Ports as rsd_allow_port() says.
/// Further calls can only take away more: then what lies open is what all of them allow.
///
/// Not refused by the kernel: changing mode, owner and times of files, extended attributes and access lists, learning
/// that a file is there (stat(2), access(2), statfs(2), what a symbolic link says) and that files change (inotify(7),
/// with their names), entering folders, chroot(2), locks, connecting to Unix sockets. Code is not kept out: memory
/// can be executed (memfd_create(2)), the dynamic linker executes what it may read, and dlopen(3) asks only for r;
/// a promise without exec and prot_exec does that. Before Linux 6.2 (version 3) nor is truncate(2),
/// before 6.10 (version 5) ioctl(2) of devices; before 5.19 (version 2) nothing can be renamed or linked from one
/// folder into another, whatever is allowed. Programs executed afterwards gain no privileges (no_new_privs).
///
/// What the library needs afterwards: the folder of a pid file or a control socket, c, or it is emptied or left at
/// the end; that of a log file, rwc for rotation and reopening. A daemon gets and answers requests on a control
/// socket, logs to syslog and to what is open, and runs its main loop without any.
///
/// @return the version of Landlock's interface that is in force, from 1 up; or -1 with errno set and nothing
///         restricted (but no_new_privs may be set), what was allowed is kept for the next call:
///         EBUSY         other threads run, which would stay free
///         ENOENT, EACCES  whether other threads run cannot be told: a filter refuses unshare(2), and /proc
///                       is missing
///         ENOSYS        the kernel has no Landlock (before Linux 5.13, or built without)
///         EOPNOTSUPP    Landlock was not enabled at boot, or a filter around the process forbids it
///         EAFNOSUPPORT  a port was allowed, and the kernel was built without TCP
///         E2BIG         this was done 16 times
///         EBADF         the program has closed descriptors of this library
///         or another errno of landlock_create_ruleset(2), landlock_add_rule(2), prctl(2) and
///         landlock_restrict_self(2)
///
/// Not thread-safe. Not async-signal-safe. Since 0.1. See landlock(7).
#[unsafe(no_mangle)]
pub extern "C" fn rsd_restrict_access() -> c_int {
    run(|| access::restrict().map(|version| version as c_int))
}
