//! The C face of AppArmor and SELinux.

use core::ffi::{c_char, c_int};

use super::boundary::{required, run};
use crate::{
    confinement::{Confinement, Module},
    sys::process::Scope,
};

/// Confine this process by a profile of AppArmor that is loaded, for good or as far as that profile allows.
///
/// As aa_change_profile(2), and then it is looked whether the profile is in force. Whether it enforces or only
/// complains is for the administrator. A process that is confined already needs a rule for it (change_profile).
/// Programs that are executed are confined as the profile says.
///
/// What is asked for after this call, such as the change of the user, the profile must allow. A thread has a
/// profile of its own: call it before there are others.
///
/// @param profile  its name as aa-status(8) shows it, with the names before it that belong to it
/// @return         0, or -1 with errno set and, except where it was set, nothing changed:
///                 EINVAL      profile is NULL, empty, longer than 4000 bytes, or has control characters; or the
///                             kernel knows no such name
///                 EOPNOTSUPP  AppArmor is not enabled in this kernel, or /sys is not mounted
///                 EBUSY       there are other threads
///                 ENOENT      no such profile is loaded, or /proc is not mounted
///                 EACCES, EPERM  the present profile does not allow it, or no_new_privs does not
///                 EPERM       it was set, but the kernel names another one afterwards
///                 or another errno of open(2), read(2) and write(2)
///
/// Not thread-safe: only for a process of one thread. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_change_profile(profile: *const c_char) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let profile = unsafe { required(profile, "profile is NULL") }?;
        Confinement::prepare(Module::AppArmor, profile)?.apply(Scope::Process).map(|()| 0)
    })
}

/// Confine this process by a context of SELinux.
///
/// As setcon(3), and then it is looked whether the context is in force. The policy must allow it (setcurrent,
/// dyntransition); whether it is enforced is for the administrator. What is asked for after this call, such as the
/// change of the user, the new context must allow. A thread has a context of its own: call it before there are
/// others.
///
/// @param context  "USER:ROLE:TYPE:LEVEL", written as id -Z shows it
/// @return         0, or -1 with errno set and, except where it was set, nothing changed:
///                 EINVAL      context is NULL, empty, longer than 4000 bytes, or has control characters; or the
///                             policy knows no such context
///                 EOPNOTSUPP  SELinux is not enabled in this kernel
///                 EBUSY       there are other threads
///                 ENOENT      /proc is not mounted
///                 EACCES      the policy does not allow it
///                 EPERM       no_new_privs does not allow it; or it was set, but the kernel names another one
///                             afterwards, as it does when the same is written in another way
///                 or another errno of open(2), read(2) and write(2)
///
/// Not thread-safe: only for a process of one thread. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_change_context(context: *const c_char) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let context = unsafe { required(context, "context is NULL") }?;
        Confinement::prepare(Module::Selinux, context)?.apply(Scope::Process).map(|()| 0)
    })
}
