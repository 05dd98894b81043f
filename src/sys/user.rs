//! The user and group databases, through the C library and so through NSS, and the process's ids.

use core::ffi::CStr;

use libc::{gid_t, uid_t};
use nix::errno::Errno;

use super::check;

/// What the user database says.
#[derive(Clone, Copy)]
pub struct User {
    pub uid: uid_t,
    pub gid: gid_t,
}

/// The longest list of supplementary groups that is handled.
pub(crate) const GROUPS_MAX: usize = 1024;

/// Memory for what the databases return, grown until it fits. Given back on drop.
struct Scratch {
    start: *mut libc::c_void,
    length: usize,
}

impl Scratch {
    const FIRST: usize = 1024;
    const LAST: usize = 1 << 20;

    fn grow(&mut self) -> nix::Result<()> {
        let length = (self.length * 4).max(Scratch::FIRST);
        if length > Scratch::LAST {
            return Err(Errno::ERANGE);
        }
        // SAFETY: `start` is NULL or what this function got before.
        let start = unsafe { libc::realloc(self.start, length) };
        if start.is_null() {
            return Err(Errno::ENOMEM);
        }
        self.start = start;
        self.length = length;
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: NULL, or what realloc(3) gave us, and nobody else frees it.
        unsafe { libc::free(self.start) };
    }
}

/// Calls a lookup with ever more memory. It returns an errno, and whether it found something.
#[inline(never)]
fn look_up(call: &mut dyn FnMut(*mut libc::c_char, usize) -> (i32, bool)) -> nix::Result<bool> {
    let mut scratch = Scratch { start: core::ptr::null_mut(), length: 0 };
    scratch.grow()?;
    loop {
        match call(scratch.start.cast(), scratch.length) {
            (_, true) => return Ok(true),
            // getpwnam(3): these also mean "not found".
            (0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM, false) => {
                return Ok(false);
            }
            (libc::ERANGE, false) => scratch.grow()?,
            (libc::EINTR, false) => {}
            (errno, false) => return Err(Errno::from_raw(errno)),
        }
    }
}

fn zeroed<T: Copy>() -> T {
    // SAFETY: only used for passwd and group: integers and pointers, for which zeros are valid.
    unsafe { core::mem::zeroed() }
}

pub fn user_by_name(name: &CStr) -> nix::Result<Option<User>> {
    let mut entry: libc::passwd = zeroed();
    let is_found = look_up(&mut |memory, length| {
        let mut found = core::ptr::null_mut();
        // SAFETY: a C string, two writable outputs, and `length` bytes of writable memory.
        let errno =
            unsafe { libc::getpwnam_r(name.as_ptr(), &mut entry, memory, length, &mut found) };
        (errno, !found.is_null())
    })?;
    Ok(is_found.then_some(User { uid: entry.pw_uid, gid: entry.pw_gid }))
}

pub fn user_by_id(uid: uid_t) -> nix::Result<Option<User>> {
    let mut entry: libc::passwd = zeroed();
    let is_found = look_up(&mut |memory, length| {
        let mut found = core::ptr::null_mut();
        // SAFETY: two writable outputs, and `length` bytes of writable memory.
        let errno = unsafe { libc::getpwuid_r(uid, &mut entry, memory, length, &mut found) };
        (errno, !found.is_null())
    })?;
    Ok(is_found.then_some(User { uid: entry.pw_uid, gid: entry.pw_gid }))
}

pub fn group_by_name(name: &CStr) -> nix::Result<Option<gid_t>> {
    let mut entry: libc::group = zeroed();
    let is_found = look_up(&mut |memory, length| {
        let mut found = core::ptr::null_mut();
        // SAFETY: a C string, two writable outputs, and `length` bytes of writable memory.
        let errno =
            unsafe { libc::getgrnam_r(name.as_ptr(), &mut entry, memory, length, &mut found) };
        (errno, !found.is_null())
    })?;
    Ok(is_found.then_some(entry.gr_gid))
}

/// The groups that the database gives `user`, and `group`. How many there are; E2BIG if too many.
pub fn groups_of(user: &CStr, group: gid_t, list: &mut [gid_t; GROUPS_MAX]) -> nix::Result<usize> {
    let mut count = GROUPS_MAX as libc::c_int;
    // SAFETY: a C string, and a writable list with its length.
    let result = unsafe { libc::getgrouplist(user.as_ptr(), group, list.as_mut_ptr(), &mut count) };
    match usize::try_from(count) {
        Ok(count) if result >= 0 => Ok(count),
        _ => Err(Errno::E2BIG),
    }
}

/// setgroups(2) through the C library, so that it holds for all threads.
pub fn set_groups(groups: &[gid_t]) -> nix::Result<()> {
    // SAFETY: the pointer and the length are those of one slice, which lives across the call.
    check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }).map(drop)
}

/// How many supplementary groups this process has.
pub fn group_count() -> nix::Result<usize> {
    // SAFETY: with size 0 nothing is written.
    let count = unsafe { libc::getgroups(0, core::ptr::null_mut()) };
    check(count).map(|count| count as usize)
}
