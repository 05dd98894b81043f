//! What some system calls are asked for besides their number: each check that applies needs a word of its own.

#![allow(dead_code)] // not all are of each architecture

use super::words::*;

/// Half of an argument. The kernel reads most as an int, so that the high half does not matter.
#[derive(Clone, Copy)]
pub struct Half {
    pub argument: u8,
    pub is_high: bool,
}

/// Something about an argument.
pub struct Condition {
    pub half: Half,
    pub mask: u32,
    /// Whether it is to be one of the values, or none of them.
    pub is_one_of: bool,
    pub values: &'static [u32],
}

/// When all conditions hold, one of the words is needed.
pub struct Check {
    pub when: &'static [Condition],
    pub needs: Words,
}

/// As a value: the pid of the process that promises.
pub(crate) const THIS_PROCESS: u32 = u32::MAX - 4095;

const ALL: u32 = u32::MAX;

const fn half(argument: u8, mask: u32, is_one_of: bool, values: &'static [u32]) -> Condition {
    Condition { half: Half { argument, is_high: false }, mask, is_one_of, values }
}

const fn is(argument: u8, values: &'static [u32]) -> Condition {
    half(argument, ALL, true, values)
}

const fn is_not(argument: u8, values: &'static [u32]) -> Condition {
    half(argument, ALL, false, values)
}

/// Any bit of the mask is set.
const fn has(argument: u8, mask: u32) -> Condition {
    half(argument, mask, false, &[0])
}

const fn lacks(argument: u8, mask: u32) -> Condition {
    half(argument, mask, true, &[0])
}

const fn high_is_set(argument: u8) -> Condition {
    Condition { half: Half { argument, is_high: true }, mask: ALL, is_one_of: false, values: &[0] }
}

const fn check(when: &'static [Condition], needs: Words) -> Check {
    Check { when, needs }
}

const O_ACCMODE: u32 = 3;
const O_CREAT: u32 = 0o100;
const O_TRUNC: u32 = 0o1000;
/// Without the O_DIRECTORY that is part of O_TMPFILE.
const TMPFILE: u32 = 0o20000000;

macro_rules! opening {
    ($flags:literal) => {
        &[
            check(&[half($flags, O_ACCMODE, true, &[0])], RPATH.or(DNS)),
            check(&[half($flags, O_ACCMODE, true, &[2, 3])], RPATH),
            check(&[has($flags, O_ACCMODE)], WPATH),
            check(&[has($flags, O_TRUNC)], WPATH),
            check(&[has($flags, O_CREAT | TMPFILE)], CPATH),
        ]
    };
}
pub(crate) const OPEN: &[Check] = opening!(1);
pub(crate) const OPENAT: &[Check] = opening!(2);

/// creat(2), which is an open(2) with O_CREAT, O_WRONLY and O_TRUNC.
pub(crate) const CREAT: &[Check] = &[check(&[], CPATH)];

const AT_EMPTY_PATH: u32 = 0x1000;
/// The C libraries ask for an open file by an empty path.
pub(crate) const FSTATAT: &[Check] = &[check(&[lacks(3, AT_EMPTY_PATH)], RPATH.or(DNS))];
pub(crate) const STATX: &[Check] = &[check(&[lacks(2, AT_EMPTY_PATH)], RPATH.or(DNS))];

const AF_UNIX: u32 = libc::AF_UNIX as u32;
const AF_INET: u32 = libc::AF_INET as u32;
const AF_INET6: u32 = libc::AF_INET6 as u32;
const AF_NETLINK: u32 = libc::AF_NETLINK as u32;
const SOCK_TYPE: u32 = 0xf;
const SOCK_STREAM: u32 = libc::SOCK_STREAM as u32;
const SOCK_DGRAM: u32 = libc::SOCK_DGRAM as u32;
const SOCK_RAW: u32 = libc::SOCK_RAW as u32;
const SOCK_PACKET: u32 = 10;
const IPPROTO_TCP: u32 = libc::IPPROTO_TCP as u32;

pub(crate) const SOCKET: &[Check] = &[
    check(&[is(0, &[AF_UNIX])], UNIX.or(DNS)),
    check(&[is(0, &[AF_INET, AF_INET6]), half(1, SOCK_TYPE, true, &[SOCK_DGRAM])], INET.or(DNS)),
    check(&[is(0, &[AF_INET, AF_INET6]), half(1, SOCK_TYPE, false, &[SOCK_DGRAM])], INET),
    // The kernel makes one of AF_PACKET of it.
    check(&[is(0, &[AF_INET, AF_INET6]), half(1, SOCK_TYPE, true, &[SOCK_PACKET])], NONE),
    // TCP and nothing else: MPTCP and SMC reach what TCP does, past all that looks at TCP.
    check(
        &[
            is(0, &[AF_INET, AF_INET6]),
            half(1, SOCK_TYPE, true, &[SOCK_STREAM]),
            is_not(2, &[0, IPPROTO_TCP]),
        ],
        NONE,
    ),
    // What addresses there are (NETLINK_ROUTE), and nothing else of the kernel's.
    check(&[is(0, &[AF_NETLINK])], INET.or(DNS)),
    check(&[is(0, &[AF_NETLINK]), is_not(2, &[0])], NONE),
    check(&[is_not(0, &[AF_UNIX, AF_INET, AF_INET6, AF_NETLINK])], NONE),
];
pub(crate) const SOCKETPAIR: &[Check] = &[
    check(&[is_not(0, &[AF_UNIX])], NONE),
    // One of a pair may send to any other socket. AF_UNIX takes the raw type for datagrams.
    check(&[half(1, SOCK_TYPE, true, &[SOCK_DGRAM, SOCK_RAW])], UNIX.or(DNS)),
];

const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;
pub(crate) const CLONE: &[Check] =
    &[check(&[has(0, NAMESPACES)], NONE), check(&[lacks(0, libc::CLONE_THREAD as u32)], PROC)];

/// Alone CLONE_THREAD changes nothing: it tells whether there are other threads.
pub(crate) const UNSHARE: &[Check] =
    &[check(&[is_not(0, &[libc::CLONE_THREAD as u32])], NONE), check(&[high_is_set(0)], NONE)];

const S_IFMT: u32 = libc::S_IFMT;
const DEVICES: &[u32] = &[libc::S_IFCHR, libc::S_IFBLK];
pub(crate) const MKNOD: &[Check] = &[check(&[half(1, S_IFMT, true, DEVICES)], NONE)];
pub(crate) const MKNODAT: &[Check] = &[check(&[half(2, S_IFMT, true, DEVICES)], NONE)];

pub(crate) const KILL: &[Check] = &[check(&[is_not(0, &[THIS_PROCESS])], PROC)];
/// The C library musl sends signals to its own threads so, when a thread changes the ids of all.
pub(crate) const TKILL: &[Check] = &[check(&[is_not(0, &[THIS_PROCESS])], PROC.or(ID))];
/// glibc changes the ids of all threads so.
pub(crate) const TGKILL: &[Check] = KILL;

pub(crate) const PROTECTION: &[Check] =
    &[check(&[has(2, libc::PROT_EXEC as u32)], PROT_EXEC.or(EXEC))];

/// A new limit is given: the pointer is not NULL.
pub(crate) const PRLIMIT: &[Check] =
    &[check(&[has(2, ALL)], PROC.or(ID)), check(&[high_is_set(2)], PROC.or(ID))];

const ASKING: u32 = 0xffff_ffff;
pub(crate) const PERSONALITY: &[Check] = &[check(&[is_not(0, &[ASKING])], NONE)];

/// F_SETOWN, F_SETSIG, F_SETOWN_EX: who gets signals. F_NOTIFY: of what happens in a folder.
pub(crate) const FCNTL: &[Check] =
    &[check(&[is(1, &[8, 10, 15])], PROC), check(&[is(1, &[1026])], RPATH)];

// By the numbers of linux/prctl.h.
const PRCTL_ID: &[u32] = &[8, 24, 28];
/// PR_CAP_AMBIENT, of which PR_CAP_AMBIENT_IS_SET only asks.
const PRCTL_AMBIENT: &[u32] = &[47];
const PRCTL_PROC: &[u32] = &[4];
const PRCTL_ALL: &[u32] = &[
    // pdeathsig, dumpable, names, seccomp, capabilities and securebits (asked for)
    1, 2, 3, 7, 15, 16, 21, 22, 23, 27, //
    // timer slack, subreaper, no_new_privs, tid address, transparent huge pages, names of memory
    29, 30, 36, 37, 38, 39, 40, 41, 42, 0x53564d41, //
    4, 8, 24, 28, 47,
];
pub(crate) const PRCTL: &[Check] = &[
    check(&[is(0, PRCTL_ID)], ID),
    check(&[is(0, PRCTL_AMBIENT), is_not(1, &[1])], ID),
    check(&[is(0, PRCTL_PROC)], PROC.or(ID)),
    check(&[is_not(0, PRCTL_ALL)], NONE),
];

// By the numbers of asm-generic/ioctls.h. TIOCSTI, which types for the user, is none of them.
/// FIONREAD, FIONBIO, FIOASYNC, FIOCLEX, FIONCLEX, TIOCOUTQ, TCGETS, TCGETS2, TIOCGWINSZ
const IOCTL_STDIO: &[u32] =
    &[0x541b, 0x5421, 0x5452, 0x5451, 0x5450, 0x5411, 0x5401, 0x802c_542a, 0x5413];
const IOCTL_TTY: &[u32] = &[
    0x5402,
    0x5403,
    0x5404,
    0x402c_542b,
    0x402c_542c,
    0x402c_542d,
    0x5409,
    0x540a,
    0x540b,
    0x540c,
    0x540d,
    0x540e,
    0x540f,
    0x5410,
    0x5414,
    0x5415,
    0x5416,
    0x5417,
    0x5418,
    0x5422,
    0x5425,
    0x5427,
    0x5428,
    0x5429,
    0x8004_5430,
    0x4004_5431,
    0x5441,
];
/// SIOCATMARK, and what can be asked of network interfaces
const IOCTL_INET: &[u32] = &[
    0x8905, 0x8910, 0x8912, 0x8913, 0x8915, 0x8917, 0x8919, 0x891b, 0x891d, 0x8921, 0x8927, 0x8933,
    0x8942,
];
/// FICLONE, FICLONERANGE
const IOCTL_WPATH: &[u32] = &[0x4004_9409, 0x4020_940d];
const IOCTL_ALL: &[u32] = &joined::<
    { IOCTL_STDIO.len() + IOCTL_TTY.len() + IOCTL_INET.len() + IOCTL_WPATH.len() },
>(&[IOCTL_STDIO, IOCTL_TTY, IOCTL_INET, IOCTL_WPATH]);

/// For constants alone: what does not fit is an error of the compiler's.
#[allow(clippy::indexing_slicing)]
const fn joined<const N: usize>(mut lists: &[&[u32]]) -> [u32; N] {
    let (mut all, mut count) = ([0; N], 0);
    while let [list, others @ ..] = lists {
        let mut list = *list;
        while let [first, rest @ ..] = list {
            (all[count], list) = (*first, rest);
            count += 1;
        }
        lists = others;
    }
    assert!(count == N);
    all
}

pub(crate) const IOCTL: &[Check] = &[
    check(&[is_not(1, IOCTL_ALL)], NONE),
    check(&[is_not(1, IOCTL_STDIO), is(1, IOCTL_TTY)], TTY),
    check(&[is_not(1, IOCTL_STDIO), is(1, IOCTL_INET)], INET.or(DNS)),
    check(&[is(1, IOCTL_WPATH)], WPATH),
];

macro_rules! lists {
    ($($name:ident = $number:literal),+) => {
        /// Where each stands in LISTS.
        pub mod id {
            pub(crate) const PLAIN: u8 = 0;
            $(pub(crate) const $name: u8 = $number;)+
        }
        /// The first is that of a call of which only the number counts.
        pub static LISTS: &[&[Check]] = &[&[], $($name),+];
    };
}
lists!(
    OPEN = 1,
    OPENAT = 2,
    CREAT = 3,
    FSTATAT = 4,
    STATX = 5,
    SOCKET = 6,
    SOCKETPAIR = 7,
    CLONE = 8,
    KILL = 9,
    TKILL = 10,
    TGKILL = 11,
    PROTECTION = 12,
    PRLIMIT = 13,
    PERSONALITY = 14,
    FCNTL = 15,
    PRCTL = 16,
    IOCTL = 17,
    UNSHARE = 18,
    MKNOD = 19,
    MKNODAT = 20
);
