//! The limits of resources of a process.

use super::check;

/// How many there are.
pub(crate) const COUNT: usize = 16;
pub(crate) const UNLIMITED: u64 = libc::RLIM64_INFINITY;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub soft: u64,
    pub hard: u64,
}

/// The kernel's numbers, which are not the same on all processors, by name in alphabetical order.
#[allow(clippy::unnecessary_cast)] // another type with another C library
const NUMBERS: [u32; COUNT] = [
    libc::RLIMIT_AS as u32,
    libc::RLIMIT_CORE as u32,
    libc::RLIMIT_CPU as u32,
    libc::RLIMIT_DATA as u32,
    libc::RLIMIT_FSIZE as u32,
    libc::RLIMIT_LOCKS as u32,
    libc::RLIMIT_MEMLOCK as u32,
    libc::RLIMIT_MSGQUEUE as u32,
    libc::RLIMIT_NICE as u32,
    libc::RLIMIT_NOFILE as u32,
    libc::RLIMIT_NPROC as u32,
    libc::RLIMIT_RSS as u32,
    libc::RLIMIT_RTPRIO as u32,
    libc::RLIMIT_RTTIME as u32,
    libc::RLIMIT_SIGPENDING as u32,
    libc::RLIMIT_STACK as u32,
];

/// prlimit(2), by the system call: the C library's wrappers differ in the types of both.
fn limit(index: usize, new: Option<&libc::rlimit64>) -> nix::Result<libc::rlimit64> {
    let number = NUMBERS.get(index).copied().unwrap_or(u32::MAX);
    let new = new.map_or(core::ptr::null(), core::ptr::from_ref);
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let own: libc::pid_t = 0;
    // SAFETY: NULL or a limit to set, and one to be written, which live across the call.
    let result = unsafe { libc::syscall(libc::SYS_prlimit64, own, number, new, &raw mut old) };
    check(result as libc::c_int).map(|_| old)
}

pub fn get(index: usize) -> nix::Result<Limit> {
    limit(index, None).map(|limit| Limit { soft: limit.rlim_cur, hard: limit.rlim_max })
}

pub fn set(index: usize, new: Limit) -> nix::Result<()> {
    let new = libc::rlimit64 { rlim_cur: new.soft, rlim_max: new.hard };
    limit(index, Some(&new)).map(drop)
}
