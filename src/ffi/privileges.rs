//! The C face of giving up root.

use core::ffi::{c_char, c_int};

use super::boundary::{self, optional, run};
use crate::{
    error::Result,
    privileges::{Options, Privileges},
    sys::process::Scope,
};

/// What rsd_drop_privileges() is to leave. What is left out (0, NULL) has its default. Write it with
/// RSD_PRIVILEGES(), which fills in the size.
#[repr(C)]
pub struct rsd_privileges {
    /// sizeof(struct rsd_privileges): how much of it the program knows.
    pub size: usize,
    /// The user to become, by name or number, with all three ids; not root. NULL: stay.
    pub user: *const c_char,
    /// The group to become, by name or number. NULL: that of user.
    pub group: *const c_char,
    /// The supplementary groups, by names or numbers: "adm,audio". "": none. NULL: those of a user given
    /// by name; of one given by number, or with a group alone, none.
    pub groups: *const c_char,
    /// The folder to become "/" and the working directory (chroot(2)). It and all folders above it must
    /// belong to root, and nobody else may write to them, but to those above that are sticky. Symbolic
    /// links in the path are followed: they are not looked at. A folder that is open, from outside, leads out
    /// again, as those do that the library has open for pid file and control socket, and as do other processes
    /// outside: it confines best together with user. NULL: stay.
    pub root: *const c_char,
    /// The capabilities to keep: "net_bind_service,net_raw", with or without "cap_", or numbers. With user
    /// neither setuid nor setgid, with root not sys_chroot: they lead back. Others are as good as root, too
    /// (sys_admin, sys_ptrace, sys_module, dac_override, chown, fowner, setfcap ...). NULL, "": none.
    pub capabilities: *const c_char,
    /// Not 0: the programs that the process executes have these capabilities, too. Otherwise only those whose
    /// files give them (setcap(8)) have.
    pub ambient: c_int,
    /// Not 0: executing a program gives nothing that the process does not have: set-user-ID bits and
    /// capabilities of files count for nothing (no_new_privs).
    pub no_new_privileges: c_int,
}

/// Give up root for good, and prove it.
///
/// All names are looked up and root is opened first. Then, in this order: no_new_privileges, root directory, bounding
/// set, groups, ids, capabilities, securebits, ambient capabilities. Whatever was not to be kept is gone from the
/// permitted, effective, inheritable, ambient and bounding set; user ids, 0 too, have no meaning for capabilities any
/// more (securebits NOROOT, NO_SETUID_FIXUP, KEEP_CAPS off, all locked). At the end all of it is read back from the
/// kernel, for each thread where there is a /proc, and the way back to user 0 is tried, which has to fail.
///
/// Without user the process stays who it is, and only loses groups (if group or groups is given) and capabilities.
/// User 0 without capabilities still owns root's files, and may write to them: give a user where you can.
///
/// A process that is nobody special may call it for who it is, too: that succeeds when there is nothing to give up.
/// A program with set-user-ID or set-group-ID gives up its owner and group with user (who called it), also while it
/// acts as who called it. Without the capability setpcap the bounding set and the securebits stay as they are. Then
/// giving up anything needs no_new_privileges, and what user 0 keeps, the programs that it executes have; who has
/// nothing to give up may do without, and set-user-ID programs work for it as before.
///
/// A process may still make a user namespace (unshare(2)), in which it has all capabilities over what belongs to
/// that, where the system lets users do so; not with root, and rsd_promise() refuses it.
///
/// With other threads: they get the ids and groups, and lose all capabilities with that; those that are kept are
/// the calling thread's alone, and of threads it makes later. As their bounding sets cannot be changed,
/// no_new_privileges is needed, which is brought to all by a filter of system calls that lets everything pass. A
/// thread that changed its own ids, capabilities or root directory by bare system calls is an error, as are threads
/// that the kernel made for io_uring(7). So call it before threads are made.
///
/// What the library needs afterwards: a pid file in a folder where the user may not remove files, such as /run, is
/// emptied at the end instead of removed, and a control socket there is left. A log file that is open is written on;
/// rotating or reopening it needs a folder (and a file) where the user may write, as does whatever is opened later.
/// A folder of the user's, made before by root or the service manager (/run/NAME, /var/log/NAME), is the way. With
/// root, too, pid file and control socket are removed where they are; the path of a log file, names of users, time
/// zones and /dev/log are looked for in the new root directory. What the kernel forgets when the user changes:
/// PR_SET_PDEATHSIG, and that core dumps are allowed (PR_SET_DUMPABLE).
///
/// @param privileges  RSD_PRIVILEGES(...), or a struct whose size member is set; NULL: all defaults, which is to
///                    give up all capabilities
/// @return            0, or -1 with errno set. After EPERM, ENOSYS and EPROTO the process may be half way: it must
///                    end. After any other nothing has changed.
///                    EINVAL  no such user, group or capability; user is root, or is a number without an
///                            entry and there is no group; what is kept would lead back (see capabilities);
///                            the options lack their size
///                    E2BIG   the options are of a newer version and ask for what this one lacks, or there are
///                            more than 1024 groups
///                    EBUSY   other threads run, and user or no_new_privileges is missing, or /proc is, or one
///                            has ids or capabilities of its own
///                    EPERM   a capability to keep is not there; root does not belong to root, or others may
///                            write to it; something cannot be given up, whatever the reason; the user
///                            namespace does not have an id; something is not gone afterwards, or root could
///                            come back
///                    ENOSYS  other threads run, and the kernel has no seccomp(2) (built without), or it lacks
///                            another call that is needed
///                    EPROTO  the kernel's answers make no sense
///                    ENOENT, ENOTDIR, ...  as of open(2) for root and /proc/self/task
///                    or any errno of getpwnam(3), getgrnam(3), capget(2), prctl(2)
///
/// Not thread-safe. Not async-signal-safe. Since 0.1. See capabilities(7). Linux 4.3; with threads 4.10.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_drop_privileges(privileges: *const rsd_privileges) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or such a struct, whose strings outlive this call.
        let options = unsafe { read(privileges) }?;
        Privileges::prepare(&options)?.apply(Scope::Process).map(|()| 0)
    })
}

/// # Safety
/// `privileges` is NULL or a struct of the size that its first member tells, whose strings live for 'a.
pub(super) unsafe fn read<'a>(privileges: *const rsd_privileges) -> Result<Options<'a>> {
    // SAFETY: our contract.
    let given: rsd_privileges = unsafe { boundary::options(privileges) }?;
    // SAFETY: our contract.
    let string = |string| unsafe { optional::<'a>(string) };
    Ok(Options {
        user: string(given.user),
        group: string(given.group),
        groups: string(given.groups),
        root: string(given.root),
        capabilities: string(given.capabilities),
        is_ambient: given.ambient != 0,
        forbids_new_privileges: given.no_new_privileges != 0,
    })
}
