//! Landlock (landlock(7)): rules of files and ports that a process puts upon itself.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use super::{
    check,
    file::{OwnedFd, above_stdio, owned},
};

// Rights to what lies beneath a path. The first version of the interface knows those that say no other.
pub(crate) const EXECUTE: u64 = 1 << 0;
pub(crate) const WRITE_FILE: u64 = 1 << 1;
pub(crate) const READ_FILE: u64 = 1 << 2;
pub(crate) const READ_DIR: u64 = 1 << 3;
pub(crate) const REMOVE_DIR: u64 = 1 << 4;
pub(crate) const REMOVE_FILE: u64 = 1 << 5;
pub(crate) const MAKE_DIR: u64 = 1 << 7;
pub(crate) const MAKE_REG: u64 = 1 << 8;
pub(crate) const MAKE_SOCK: u64 = 1 << 9;
pub(crate) const MAKE_FIFO: u64 = 1 << 10;
pub(crate) const MAKE_SYM: u64 = 1 << 12;
/// From version 2 on.
pub(crate) const REFER: u64 = 1 << 13;
/// From version 3 on.
pub(crate) const TRUNCATE: u64 = 1 << 14;
/// From version 5 on.
pub(crate) const IOCTL_DEV: u64 = 1 << 15;

/// All that a version knows, also those that nobody is ever allowed here: to make devices.
pub fn known(version: u32) -> u64 {
    let highest = match version {
        0 | 1 => MAKE_SYM,
        2 => REFER,
        3 | 4 => TRUNCATE,
        _ => IOCTL_DEV,
    };
    (highest << 1) - 1
}

// Rights to a TCP port, from version 4 on.
pub(crate) const BIND_TCP: u64 = 1 << 0;
pub(crate) const CONNECT_TCP: u64 = 1 << 1;

/// struct landlock_ruleset_attr: what is refused unless a rule allows it.
#[repr(C)]
struct Ruleset {
    files: u64,
    ports: u64,
}

/// struct landlock_path_beneath_attr
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// struct landlock_net_port_attr
#[repr(C)]
struct Port {
    allowed: u64,
    port: u64,
}

const PATH_BENEATH: u32 = 1;
const NET_PORT: u32 = 2;

/// That of the kernel's interface, from 1 up. ENOSYS: there is none; EOPNOTSUPP: it was disabled at boot.
pub fn version() -> nix::Result<u32> {
    const VERSION: u32 = 1;
    let (none, length): (*const u8, usize) = (core::ptr::null(), 0);
    // SAFETY: asked for the version, the call reads no memory.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, length, VERSION) };
    match check(version as libc::c_int)? {
        0 => Err(Errno::ENOSYS),
        version => Ok(version as u32),
    }
}

/// Rules that refuse these, and allow nothing yet.
pub fn new_rules(files: u64, ports: u64) -> nix::Result<OwnedFd> {
    let ruleset = Ruleset { files, ports };
    // The first version knows only the first field.
    let length = if ports == 0 { size_of::<u64>() } else { size_of::<Ruleset>() };
    let flags: u32 = 0;
    // SAFETY: a struct and its length, which live across the call.
    let fd = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const ruleset, length, flags)
    };
    above_stdio(owned(fd as i32)?)
}

fn add(rules: BorrowedFd, kind: u32, rule: *const u8) -> nix::Result<()> {
    let (fd, flags): (i32, u32) = (rules.as_raw_fd(), 0);
    // SAFETY: the callers pass the struct of that kind, which lives across the call.
    let result = unsafe { libc::syscall(libc::SYS_landlock_add_rule, fd, kind, rule, flags) };
    check(result as libc::c_int).map(drop)
}

pub fn allow_path(rules: BorrowedFd, path: BorrowedFd, allowed: u64) -> nix::Result<()> {
    let rule = PathBeneath { allowed, parent: path.as_raw_fd() };
    add(rules, PATH_BENEATH, (&raw const rule).cast())
}

pub fn allow_port(rules: BorrowedFd, port: u16, allowed: u64) -> nix::Result<()> {
    let rule = Port { allowed, port: port.into() };
    add(rules, NET_PORT, (&raw const rule).cast())
}

/// For good, in the calling thread and all that it makes.
pub fn restrict_self(rules: BorrowedFd) -> nix::Result<()> {
    let (fd, flags): (i32, u32) = (rules.as_raw_fd(), 0);
    // SAFETY: landlock_restrict_self(2) takes no pointers.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, fd, flags) };
    check(result as libc::c_int).map(drop)
}
