//! The C face of cgroups.

use core::ffi::{c_char, c_int};

use super::boundary::{required, run};
use crate::cgroup::Group;

/// Limit what this process and its children use together, by a cgroup made for them (version 2, cgroups(7)).
///
/// rsd_limit_resources("scanner", "memory.max=64M pids.max=16 cpu.max=50%") makes the group "scanner" below the one
/// that the process is in, enters it with all its threads, and sets the limits. Children that it starts from then on
/// are in it, too. Call it before there are children.
///
///     memory.max, memory.high, memory.swap.max   bytes, perhaps with K, M, G or T (of 1024), or "max"
///     pids.max                                   processes and threads, or "max"
///     cpu.max                                    of one processor: "50%", "150%"; "max"; or as the kernel has
///                                                it, with a comma: "50000,100000"
///     cpu.weight, io.weight                      1 to 10000 against other groups, usually 100
///
/// The process must be allowed to make groups there, as root is, or who has Delegate=yes of systemd. Unless its
/// group is the first one of the system, no other process may be in that: the kernel limits only the parts of a
/// group without processes of its own. memory.max below what the process uses already may have the kernel end it.
///
/// The group stays when the process ends, empty: nobody can remove the group that he is in. The next call with its
/// name makes it anew, and a service manager removes it with its own.
///
/// @param group   a name for it, without "/"
/// @param limits  words with blanks between; "": the group alone
/// @return        0, or -1 with errno set and everything as it was, as far as the kernel allows:
///                EINVAL      group or limits is NULL; group is no single name; rsd_last_error() names a word that is
///                            no limit, has no such value, or was there before; or the kernel refuses a value
///                EOPNOTSUPP  the process is in no cgroup of version 2, no mount shows that, or a controller is not
///                            available in it: not delegated, or bound to version 1
///                EACCES, EPERM  the group of the process is not delegated to it; or a limit was set and is not in
///                            force
///                EROFS       /sys/fs/cgroup cannot be written to, as in many containers
///                EBUSY       a group of that name has processes or groups in it; or other processes are in the
///                            group of this one
///                ENOENT      /proc is not mounted; or the kernel has no such limit (memory.swap.max, io.weight)
///                or another errno of open(2), mkdir(2), rmdir(2), read(2) and write(2)
///
/// Not thread-safe: two threads would move each other. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_limit_resources(group: *const c_char, limits: *const c_char) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let group = unsafe { required(group, "group is NULL") }?;
        // SAFETY: as above.
        let limits = unsafe { required(limits, "limits is NULL") }?;
        Group::prepare(group, limits)?.apply().map(|()| 0)
    })
}
