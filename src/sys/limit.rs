//! The limits of resources of a process.

use super::check;

pub(crate) const UNLIMITED: u64 = libc::RLIM64_INFINITY;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub soft: u64,
    pub hard: u64,
}

/// The type of RLIMIT_NOFILE and the like.
pub type Resource = libc::__rlimit_resource_t;

/// prlimit(2), by the system call: the C library's wrappers differ in the types of both.
#[inline(never)]
fn limit(resource: Resource, new: Option<&libc::rlimit64>) -> nix::Result<libc::rlimit64> {
    let new = new.map_or(core::ptr::null(), core::ptr::from_ref);
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let own: libc::pid_t = 0;
    // SAFETY: NULL or a limit to set, and one to be written, which live across the call.
    let result = unsafe { libc::syscall(libc::SYS_prlimit64, own, resource, new, &raw mut old) };
    check(result as libc::c_int).map(|_| old)
}

pub fn get(resource: Resource) -> nix::Result<Limit> {
    limit(resource, None).map(|limit| Limit { soft: limit.rlim_cur, hard: limit.rlim_max })
}

pub fn set(resource: Resource, new: Limit) -> nix::Result<()> {
    let new = libc::rlimit64 { rlim_cur: new.soft, rlim_max: new.hard };
    limit(resource, Some(&new)).map(drop)
}
