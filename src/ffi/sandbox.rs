//! The C face of the sandbox.

use core::ffi::{c_char, c_int, c_uint};

use super::{
    RSD_UMASK_NONE,
    boundary::{self, optional, run},
    privileges::{self, rsd_privileges},
    promises::answer,
};
use crate::{
    error::{Error, Result},
    privileges as room,
    sandbox::{
        Options, Sandbox,
        report::{self, Part},
    },
    sys::process::Scope,
};

/// rsd_sandbox_state.asked and in_force: limits.
pub const RSD_SANDBOX_LIMITS: c_uint = 1;
/// rsd_sandbox_state.asked and in_force: cgroup.
pub const RSD_SANDBOX_CGROUP: c_uint = 2;
/// rsd_sandbox_state.asked and in_force: profile.
pub const RSD_SANDBOX_PROFILE: c_uint = 4;
/// rsd_sandbox_state.asked and in_force: context.
pub const RSD_SANDBOX_CONTEXT: c_uint = 8;
/// rsd_sandbox_state.asked and in_force: privileges.
pub const RSD_SANDBOX_PRIVILEGES: c_uint = 16;
/// rsd_sandbox_state.asked and in_force: executing a program gives nothing (no_new_privs).
pub const RSD_SANDBOX_NO_NEW_PRIVILEGES: c_uint = 32;
/// rsd_sandbox_state.asked and in_force: no core dumps, not to be read by others of the user (PR_SET_DUMPABLE).
pub const RSD_SANDBOX_NO_DUMPS: c_uint = 64;
/// rsd_sandbox_state.asked and in_force: access.
pub const RSD_SANDBOX_ACCESS: c_uint = 128;
/// rsd_sandbox_state.asked and in_force: promises.
pub const RSD_SANDBOX_PROMISES: c_uint = 256;

const _: () = assert!(RSD_SANDBOX_PROMISES == 1 << Part::Promises as u32);

/// What rsd_sandbox() is to do. What is left out (0, NULL) has its default. Write it with RSD_SANDBOX(), which
/// fills in the size.
#[repr(C)]
pub struct rsd_sandbox_options {
    /// sizeof(struct rsd_sandbox_options): how much of it the program knows.
    pub size: usize,
    /// Not 0: of cgroup, profile, context, access and promises what this kernel does not have, or a container forbids
    /// (ENOSYS, EOPNOTSUPP) is left out, of access where it only lacks ports those alone, as is a cgroup that cannot be made; rsd_sandbox_report() tells that. 0: it is
    /// an error.
    pub best_effort: c_int,
    /// As for rsd_set_limits(). NULL: "core=0". "": none.
    pub limits: *const c_char,
    /// The name of a group for rsd_limit_resources(). NULL: none.
    pub cgroup: *const c_char,
    /// Its limits. NULL: none.
    pub cgroup_limits: *const c_char,
    /// As for rsd_change_profile(), which must allow all that follows. NULL: none.
    pub profile: *const c_char,
    /// As for rsd_change_context(). NULL: none.
    pub context: *const c_char,
    /// The umask. 0: leave it. Or RSD_UMASK_NONE.
    pub umask: c_int,
    /// RSD_PRIVILEGES(...): as for rsd_drop_privileges(). NULL: user, groups and capabilities stay.
    pub privileges: *const rsd_privileges,
    /// Not 0: core dumps, and being read by other processes of the user, stay allowed (PR_SET_DUMPABLE).
    pub allow_dumps: c_int,
    /// Files and TCP ports: rules as "r:/etc/mydaemon rwc:/var/lib/mydaemon bind:80", with the letters of
    /// rsd_allow_path(), and "bind:" and "connect:" as for rsd_allow_port(). What was allowed by these
    /// before is allowed, too, in this sandbox and each later one, until rsd_restrict_access() has used it.
    /// "": no files but those. NULL: not restricted.
    pub access: *const c_char,
    /// As for rsd_promise(). NULL: not restricted.
    pub promises: *const c_char,
    /// What happens to other system calls: RSD_REFUSE, RSD_KILL or RSD_RECORD.
    pub otherwise: c_int,
}

/// Give up, for good, all that the daemon does not need, in the only order in which that can be done.
///
/// In this order: limits, cgroup, profile, context, umask, privileges, no_new_privs, no dumps, access, promises. No
/// new privileges and no dumps are always part of it. Each step is what the function of that name says, which see:
/// what it needs, what it proves, what the library and the program can still do afterwards. Names are looked up and
/// paths are opened first, so that access and promises need not allow that.
///
/// Call it when all is open that the daemon needs (ports, logs, the control socket, devices), before rsd_ready(),
/// and before other threads run. It can be called again: each call can only take away more, but for the umask, which
/// is the latest, and limits, which who has CAP_SYS_RESOURCE can raise. Promises refuse what later calls would need,
/// but for fewer promises and less access. With RSD_RECORD the process that is told of calls is outside of all this.
///
/// @param options  RSD_SANDBOX(...), or a struct whose size member is set; NULL: all defaults
/// @return         0, or -1 with errno set, as by the functions of the parts: EINVAL for a mistake in the options.
///                 After an error the process may be half way: it must end.
///                 EINVAL      an option cannot be used, see rsd_last_error(); nothing has changed
///                 E2BIG       the options are of a newer version and ask for what this one lacks
///                 EBUSY       other threads run, and would stay free
///                 EPERM       something cannot be given up, or is not gone afterwards
///                 ENOSYS, EOPNOTSUPP  the kernel lacks it, and best_effort is 0
///                 or any errno of rsd_set_limits(), rsd_limit_resources(), rsd_change_profile(),
///                 rsd_change_context(), rsd_drop_privileges(), rsd_allow_path(), rsd_restrict_access(),
///                 rsd_promise(), prctl(2)
///
/// Not thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_sandbox(options: *const rsd_sandbox_options) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or such a struct, whose strings outlive this call.
        let options = unsafe { read(options) }?;
        Sandbox::prepare(&options)?.apply(Scope::Process).map(|()| 0)
    })
}

/// # Safety
/// `options` is NULL or a struct of the size that its first member tells, whose strings and structs live for 'a.
#[inline(never)]
pub(super) unsafe fn read<'a>(options: *const rsd_sandbox_options) -> Result<Options<'a>> {
    // SAFETY: our contract.
    let given: rsd_sandbox_options = unsafe { boundary::options(options) }?;
    // SAFETY: our contract.
    let string = |string| unsafe { optional::<'a>(string) };
    let cgroup =
        string(given.cgroup).map(|name| (name, string(given.cgroup_limits).unwrap_or_default()));
    if cgroup.is_none() && !given.cgroup_limits.is_null() {
        return Err(Error::invalid("cgroup_limits is given, but no cgroup"));
    }
    let promises = match string(given.promises) {
        Some(words) => Some((words, answer(given.otherwise)?)),
        None if given.otherwise != 0 => {
            return Err(Error::invalid("otherwise is given, but no promises"));
        }
        None => None,
    };
    Ok(Options {
        best_effort: given.best_effort != 0,
        limits: string(given.limits).unwrap_or(c"core=0"),
        cgroup,
        profile: string(given.profile),
        context: string(given.context),
        umask: match given.umask {
            0 => None,
            RSD_UMASK_NONE => Some(0),
            mask if (1..=0o777).contains(&mask) => Some(mask as u32),
            _ => return Err(Error::invalid("umask is out of range")),
        },
        privileges: match given.privileges.is_null() {
            true => None,
            // SAFETY: our contract.
            false => Some(room::Options {
                forbids_new_privileges: true,
                ..unsafe { privileges::read(given.privileges) }?
            }),
        },
        allows_dumps: given.allow_dumps != 0,
        access: string(given.access),
        promises,
    })
}

/// What rsd_get_sandbox_state() tells.
#[repr(C)]
pub struct rsd_sandbox_state {
    /// sizeof(struct rsd_sandbox_state), set by the program.
    pub size: usize,
    /// What rsd_sandbox() was asked for, of all calls together: RSD_SANDBOX_... 0: there was none.
    pub asked: c_uint,
    /// What of that is in force, and was not left out by any call.
    pub in_force: c_uint,
}

/// Ask which parts of the sandbox are in force: asked & ~in_force is what is missing.
///
/// The kernel is asked anew each time. What it does not tell (access), or what may not be asked any more (a file of
/// /proc, behind access or promises) counts as in force, as nobody gets rid of it; limits and cgroups others
/// may change, and a limit that became stricter is another one, too. Promises that are only recorded (RSD_RECORD)
/// are not in force.
///
/// @param state  with its size set; filled in
/// @return       0, or -1 with errno set:
///               EINVAL  state is NULL or its size is too small
///
/// Thread-safe: it tells of the calling thread. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_get_sandbox_state(state: *mut rsd_sandbox_state) -> c_int {
    run(|| {
        // SAFETY: by the contract of this function.
        let size = unsafe { boundary::size_of_state(state) }?;
        let [asked, in_force] = report::bits();
        // SAFETY: not NULL, and large enough by its size.
        unsafe { state.write(rsd_sandbox_state { size, asked, in_force }) };
        Ok(0)
    })
}

/// Tell in words what rsd_sandbox() was asked for and how it stands, a line for each part. After several calls each
/// access and each promise has its line, as all of them hold together, and what was left out by one of them, too;
/// of limits with one name, and of the other parts, the latest is told:
///
///     limits: in force: core=0 nofile=64
///     cgroup: MISSING (this process is in no cgroup of version 2): scanner memory.max=64M
///     privileges: in force: user=scanner capabilities=net_raw
///
/// The command "status" of the control socket tells it, too.
///
/// @param text  room for the text and a NUL after it; NULL: only its length is wanted
/// @param room  of text, in bytes; what does not fit is cut
/// @return      the length of the whole text, as from snprintf(3); 0: there was no rsd_sandbox()
///
/// Thread-safe: it tells of the calling thread. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_sandbox_report(text: *mut c_char, room: usize) -> c_int {
    run(|| {
        let room = if text.is_null() { 0 } else { room };
        let mut length = 0;
        report::tell(&mut |line| {
            for &byte in line.iter().chain(b"\n") {
                if length + 1 < room {
                    // SAFETY: within the room that the caller has told.
                    unsafe { text.add(length).write(byte as c_char) };
                }
                length += 1;
            }
            Ok(())
        })?;
        if let Some(last) = room.checked_sub(1) {
            // SAFETY: as above.
            unsafe { text.add(length.min(last)).write(0) };
        }
        Ok(length as c_int)
    })
}
