//! The names of capabilities, and sets of them.

use core::ffi::CStr;

use nix::errno::Errno;

use crate::{
    error::{Error, Result},
    sys::{capability::COUNT_MAX, memory::Buffer},
    text,
};

/// Capabilities: bit N is number N.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Set(pub u64);

/// All names with commas fit.
pub type Names = Buffer<768>;

impl Set {
    pub const NONE: Set = Set(0);

    pub fn of(number: u32) -> Self {
        Set(1u64.checked_shl(number).unwrap_or(0))
    }

    pub fn has(self, number: u32) -> bool {
        self.0 & Set::of(number).0 != 0
    }

    pub fn with(self, other: Set) -> Self {
        Set(self.0 | other.0)
    }

    pub fn without(self, other: Set) -> Self {
        Set(self.0 & !other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn is_within(self, other: Set) -> bool {
        self.without(other).is_empty()
    }

    pub fn numbers(self) -> impl Iterator<Item = u32> {
        (0..COUNT_MAX).filter(move |&number| self.has(number))
    }

    /// "net_raw,setuid": what `parse` reads.
    #[inline(never)]
    pub fn names(self) -> Names {
        let mut names = Names::new();
        for number in self.numbers() {
            if !names.as_bytes().is_empty() {
                names.push(b",");
            }
            match NAMES.get(number as usize) {
                Some(name) => names.push(name.as_bytes()),
                None => {
                    names.push_number(number, 1);
                    true
                }
            };
        }
        names
    }
}

/// In the order of their numbers (linux/capability.h).
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// "net_bind_service,CAP_NET_RAW". Newer ones than those above by number.
#[inline(never)]
pub fn parse(list: &CStr) -> Result<Set> {
    let mut set = Set::NONE;
    if list.is_empty() {
        return Ok(set);
    }
    for name in list.to_bytes().split(|&byte| byte == b',') {
        let name = name.trim_ascii();
        let Some(number) = number(name) else {
            let pieces: [&[u8]; 3] = [b"there is no capability named \"", name, b"\""];
            return Err(Error::new(Errno::EINVAL, &pieces));
        };
        set = set.with(Set::of(number));
    }
    Ok(set)
}

fn number(name: &[u8]) -> Option<u32> {
    let name = match name.split_at_checked(4) {
        Some((start, rest)) if start.eq_ignore_ascii_case(b"cap_") => rest,
        _ => name,
    };
    let is_it = |known: &&str| known.as_bytes().eq_ignore_ascii_case(name);
    match NAMES.iter().position(is_it) {
        Some(number) => Some(number as u32),
        None => text::number(name).filter(|&number| number < COUNT_MAX),
    }
}
