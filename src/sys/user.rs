//! The user and group databases, through the C library and so through NSS, and the process's ids.

use core::ffi::CStr;

use libc::{c_int, gid_t, uid_t};
use nix::errno::Errno;

use super::{check, process::Scope};

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

/// What the databases are asked for.
enum Query<'a> {
    UserByName(&'a CStr),
    UserById(uid_t),
    GroupByName(&'a CStr),
}

/// Asks with ever more memory. A group comes back as a user without a uid.
#[inline(never)]
fn look_up(query: Query) -> nix::Result<Option<User>> {
    let mut scratch = Scratch { start: core::ptr::null_mut(), length: 0 };
    // SAFETY: integers and pointers, for which zeros are valid.
    let mut user: libc::passwd = unsafe { core::mem::zeroed() };
    // SAFETY: as above.
    let mut group: libc::group = unsafe { core::mem::zeroed() };
    let mut found_user = core::ptr::null_mut();
    let mut found_group = core::ptr::null_mut();
    scratch.grow()?;
    loop {
        let (memory, length) = (scratch.start.cast(), scratch.length);
        let errno = match query {
            // SAFETY: a C string, two writable outputs, and `length` bytes of writable memory.
            Query::UserByName(name) => unsafe {
                libc::getpwnam_r(name.as_ptr(), &mut user, memory, length, &mut found_user)
            },
            // SAFETY: two writable outputs, and `length` bytes of writable memory.
            Query::UserById(uid) => unsafe {
                libc::getpwuid_r(uid, &mut user, memory, length, &mut found_user)
            },
            // SAFETY: a C string, two writable outputs, and `length` bytes of writable memory.
            Query::GroupByName(name) => unsafe {
                libc::getgrnam_r(name.as_ptr(), &mut group, memory, length, &mut found_group)
            },
        };
        if !found_user.is_null() {
            return Ok(Some(User { uid: user.pw_uid, gid: user.pw_gid }));
        }
        if !found_group.is_null() {
            return Ok(Some(User { uid: uid_t::MAX, gid: group.gr_gid }));
        }
        match errno {
            // getpwnam(3): these also mean "not found".
            0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM => return Ok(None),
            libc::ERANGE => scratch.grow()?,
            libc::EINTR => {}
            errno => return Err(Errno::from_raw(errno)),
        }
    }
}

pub fn user_by_name(name: &CStr) -> nix::Result<Option<User>> {
    look_up(Query::UserByName(name))
}

pub fn user_by_id(uid: uid_t) -> nix::Result<Option<User>> {
    look_up(Query::UserById(uid))
}

pub fn group_by_name(name: &CStr) -> nix::Result<Option<gid_t>> {
    Ok(look_up(Query::GroupByName(name))?.map(|found| found.gid))
}

/// The groups that the database gives `user`, and `group`. How many there are; E2BIG if too many.
pub fn groups_of(user: &CStr, group: gid_t, list: &mut [gid_t; GROUPS_MAX]) -> nix::Result<usize> {
    let mut count = GROUPS_MAX as c_int;
    // SAFETY: a C string, and a writable list with its length.
    let result = unsafe { libc::getgrouplist(user.as_ptr(), group, list.as_mut_ptr(), &mut count) };
    match usize::try_from(count) {
        Ok(count) if result >= 0 => Ok(count),
        _ => Err(Errno::E2BIG),
    }
}

// Where ids once had 16 bits, the calls of that time still have the plain names.
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
mod number {
    pub use libc::{
        SYS_setgroups as SETGROUPS, SYS_setresgid as SETRESGID, SYS_setresuid as SETRESUID,
        SYS_setuid as SETUID,
    };
}
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
mod number {
    pub use libc::{
        SYS_setgroups32 as SETGROUPS, SYS_setresgid32 as SETRESGID, SYS_setresuid32 as SETRESUID,
        SYS_setuid32 as SETUID,
    };
}

/// setgroups(2); of a process through the C library, so that it holds for all threads.
pub fn set_groups(groups: &[gid_t], scope: Scope) -> nix::Result<()> {
    let (length, start) = (groups.len(), groups.as_ptr());
    let result = match scope {
        // SAFETY: the pointer and the length are those of one slice, which lives across the call.
        Scope::Process => unsafe { libc::setgroups(length, start) },
        // SAFETY: as above.
        Scope::Child => unsafe { libc::syscall(number::SETGROUPS, length, start) as c_int },
    };
    check(result).map(drop)
}

/// setresgid(2) of all three.
pub fn set_group(id: gid_t, scope: Scope) -> nix::Result<()> {
    let result = match scope {
        // SAFETY: no pointers.
        Scope::Process => unsafe { libc::setresgid(id, id, id) },
        // SAFETY: as above.
        Scope::Child => unsafe { libc::syscall(number::SETRESGID, id, id, id) as c_int },
    };
    check(result).map(drop)
}

/// setresuid(2) of all three.
pub fn set_user(id: uid_t, scope: Scope) -> nix::Result<()> {
    let result = match scope {
        // SAFETY: no pointers.
        Scope::Process => unsafe { libc::setresuid(id, id, id) },
        // SAFETY: as above.
        Scope::Child => unsafe { libc::syscall(number::SETRESUID, id, id, id) as c_int },
    };
    check(result).map(drop)
}

/// setuid(2) of this thread alone, to be refused: the C library's ends a process of which one thread may do it and
/// another may not.
pub fn become_root() -> nix::Result<()> {
    // SAFETY: no pointers.
    let result = unsafe { libc::syscall(number::SETUID, libc::c_long::from(0)) };
    check(result as c_int).map(drop)
}

/// The supplementary groups of this thread.
#[inline(never)]
pub fn groups(list: &mut [gid_t; GROUPS_MAX]) -> nix::Result<&[gid_t]> {
    // SAFETY: a writable list with its length.
    let count = unsafe { libc::getgroups(GROUPS_MAX as c_int, list.as_mut_ptr()) };
    Ok(list.get(..check(count)? as usize).unwrap_or_default())
}
