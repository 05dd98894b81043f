//! The capabilities of this thread, and what executing a program makes of them: bounding and ambient set, securebits
//! (capabilities(7)). The C library has no part in them, and they are each thread's own.

use libc::{c_int, c_long};
use nix::errno::Errno;

use super::check;

/// Sets of capabilities: bit N is number N.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
}

/// No kernel can have more: they are the bits of such a set.
pub(crate) const COUNT_MAX: u32 = u64::BITS;

pub(crate) const SETGID: u32 = 6;
pub(crate) const SETUID: u32 = 7;
pub(crate) const SETPCAP: u32 = 8;
pub(crate) const SYS_CHROOT: u32 = 18;

/// Of the securebits: the capabilities of user 0 are nobody's by executing.
const NOROOT: u32 = 1 << 0;
const NOROOT_LOCKED: u32 = 1 << 1;
/// Becoming user 0, or another user, changes none.
pub(crate) const NO_SETUID_FIXUP: u32 = 1 << 2;
const NO_SETUID_FIXUP_LOCKED: u32 = 1 << 3;
/// They are kept, but not in effect, when the user changes for one that is not 0. Executing clears it.
pub(crate) const KEEP_CAPS: u32 = 1 << 4;
const KEEP_CAPS_LOCKED: u32 = 1 << 5;
/// With these no user id means anything to capabilities any more, for good.
pub(crate) const NO_ROOT: u32 =
    NOROOT | NOROOT_LOCKED | NO_SETUID_FIXUP | NO_SETUID_FIXUP_LOCKED | KEEP_CAPS_LOCKED;

const VERSION_3: u32 = 0x2008_0522;

fn halves(set: u64) -> [u32; 2] {
    [set as u32, (set >> 32) as u32]
}

/// capget(2)
#[inline(never)]
pub fn get() -> nix::Result<Sets> {
    let header = [VERSION_3, 0];
    // Effective, permitted and inheritable, the low and the high half. Not zeros: those would be good news.
    let mut sets = [[u32::MAX; 3]; 2];
    // SAFETY: capget(2) reads a header and writes two of these structs, which live across the call.
    let result = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
    check(result as c_int)?;
    let [low, high] = sets;
    let set = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
    let [effective, permitted, inheritable] = low;
    let [high_effective, high_permitted, high_inheritable] = high;
    Ok(Sets {
        effective: set(effective, high_effective),
        permitted: set(permitted, high_permitted),
        inheritable: set(inheritable, high_inheritable),
    })
}

/// capset(2)
#[inline(never)]
pub fn set(sets: Sets) -> nix::Result<()> {
    let header = [VERSION_3, 0];
    let [effective, high_effective] = halves(sets.effective);
    let [permitted, high_permitted] = halves(sets.permitted);
    let [inheritable, high_inheritable] = halves(sets.inheritable);
    let sets =
        [[effective, permitted, inheritable], [high_effective, high_permitted, high_inheritable]];
    // SAFETY: capset(2) reads a header and two of these structs, which live across the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    check(result as c_int).map(drop)
}

/// prctl(2) with numbers alone.
#[inline(never)]
fn prctl(option: c_int, first: u32, second: u32) -> nix::Result<u32> {
    let (first, second, none) = (c_long::from(first as i32), c_long::from(second as i32), 0);
    let none: c_long = none;
    // SAFETY: the callers' options take no pointers.
    let result = unsafe { libc::syscall(libc::SYS_prctl, option, first, second, none, none) };
    check(result as c_int).map(|result| result as u32)
}

/// Those of the numbers for which the kernel says yes. EINVAL is its no to a number that it does not have.
fn collect(mut has: impl FnMut(u32) -> nix::Result<u32>) -> nix::Result<u64> {
    let mut set = 0;
    for number in 0..COUNT_MAX {
        match has(number) {
            Ok(0) => {}
            Ok(1) => set |= 1 << number,
            Err(Errno::EINVAL) if number > 0 => {}
            // None of the answers that there are.
            Ok(_) => return Err(Errno::EPROTO),
            Err(errno) => return Err(errno),
        }
    }
    Ok(set)
}

/// Those that this kernel has.
pub fn known() -> nix::Result<u64> {
    collect(|number| prctl(libc::PR_CAPBSET_READ, number, 0).map(|_| 1))
}

/// The bounding set: what executing a program may give at most.
pub fn bounding() -> nix::Result<u64> {
    collect(|number| prctl(libc::PR_CAPBSET_READ, number, 0))
}

/// Takes one out of the bounding set, for good.
pub fn drop_bounding(number: u32) -> nix::Result<()> {
    prctl(libc::PR_CAPBSET_DROP, number, 0).map(drop)
}

/// The ambient set: what a program without rights of its own has when it is executed (Linux 4.3).
pub fn ambient() -> nix::Result<u64> {
    let is_set = libc::PR_CAP_AMBIENT_IS_SET as u32;
    collect(|number| prctl(libc::PR_CAP_AMBIENT, is_set, number))
}

pub fn raise_ambient(number: u32) -> nix::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u32, number).map(drop)
}

pub fn clear_ambient() -> nix::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u32, 0).map(drop)
}

pub fn securebits() -> nix::Result<u32> {
    prctl(libc::PR_GET_SECUREBITS, 0, 0)
}

pub fn set_securebits(bits: u32) -> nix::Result<()> {
    prctl(libc::PR_SET_SECUREBITS, bits, 0).map(drop)
}

/// KEEP_CAPS alone, which needs no capability.
pub fn keep(on: bool) -> nix::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, on.into(), 0).map(drop)
}

/// Whether executing a program can give no more than what there is.
pub fn forbids_new_privileges() -> nix::Result<bool> {
    prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0).map(|answer| answer == 1)
}
