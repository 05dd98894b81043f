//! Sockets, as who connects and who listens sees them.

use core::{ffi::CStr, ptr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use libc::c_int;
use nix::errno::Errno;

use super::{
    check,
    file::{OwnedFd, above_stdio, owned},
    memory::Buffer,
    user::GROUPS_MAX,
};

/// Where a socket is.
#[derive(Clone, Copy)]
pub struct Address {
    address: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Address {
    /// ENAMETOOLONG.
    pub fn path(path: &CStr) -> nix::Result<Self> {
        Address::new(path.to_bytes_with_nul())
    }

    /// As `path`, without its NUL.
    pub fn path_of(path: &[u8]) -> nix::Result<Self> {
        Address::joined(path, b"\0")
    }

    /// A name in the abstract namespace. ENAMETOOLONG.
    pub fn name(name: &[u8]) -> nix::Result<Self> {
        Address::joined(b"\0", name)
    }

    fn joined(first: &[u8], rest: &[u8]) -> nix::Result<Self> {
        let mut bytes = Buffer::<109>::new();
        bytes.push(first);
        bytes.push(rest);
        Address::new(bytes.as_bytes())
    }

    #[inline(never)]
    fn new(bytes: &[u8]) -> nix::Result<Self> {
        let mut address =
            libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
        let room = address.sun_path.get_mut(..bytes.len()).ok_or(Errno::ENAMETOOLONG)?;
        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from as libc::c_char);
        let length = size_of_val(&address.sun_family) + bytes.len();
        Ok(Address { length: length as libc::socklen_t, ..Address::wrap(address) })
    }

    /// An address of any family that begins with it.
    fn wrap<T: Copy>(from: T) -> Self {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        // SAFETY: all zeros is valid: integers.
        let mut address: libc::sockaddr_storage = unsafe { core::mem::zeroed() };
        // SAFETY: both are addresses of C, and the room is as large as the largest.
        unsafe { (&raw mut address).cast::<T>().write(from) };
        Address { address, length: size_of::<T>() as libc::socklen_t }
    }

    /// IPv4. None: every address of this host.
    pub fn inet(host: Option<&CStr>, port: u16) -> Option<Self> {
        // SAFETY: all zeros is valid: integers.
        let mut address: libc::sockaddr_in = unsafe { core::mem::zeroed() };
        address.sin_family = libc::AF_INET as libc::sa_family_t;
        address.sin_port = port.to_be();
        let to = (&raw mut address.sin_addr).cast();
        // SAFETY: a C string, and room for an address of that family.
        let is_one =
            host.is_none_or(|host| unsafe { inet_pton(libc::AF_INET, host.as_ptr(), to) } == 1);
        is_one.then(|| Address::wrap(address))
    }

    /// IPv6. None: every address of this host.
    pub fn inet6(host: Option<&CStr>, port: u16) -> Option<Self> {
        // SAFETY: all zeros is valid: integers.
        let mut address: libc::sockaddr_in6 = unsafe { core::mem::zeroed() };
        address.sin6_family = libc::AF_INET6 as libc::sa_family_t;
        address.sin6_port = port.to_be();
        let to = (&raw mut address.sin6_addr).cast();
        // SAFETY: a C string, and room for an address of that family.
        let is_one =
            host.is_none_or(|host| unsafe { inet_pton(libc::AF_INET6, host.as_ptr(), to) } == 1);
        is_one.then(|| Address::wrap(address))
    }

    /// Where a socket is bound.
    pub fn of(socket: BorrowedFd) -> nix::Result<Self> {
        // SAFETY: all zeros is valid: integers.
        let mut address: libc::sockaddr_storage = unsafe { core::mem::zeroed() };
        let mut length = size_of_val(&address) as libc::socklen_t;
        let start = (&raw mut address).cast();
        // SAFETY: as much room as the length says.
        check(unsafe { libc::getsockname(socket.as_raw_fd(), start, &mut length) })?;
        Ok(Address { address, length })
    }

    pub fn family(&self) -> c_int {
        self.address.ss_family.into()
    }

    /// 0: it has none.
    pub fn port(&self) -> u16 {
        match self.as_bytes().get(2..4) {
            Some(&[high, low]) if [libc::AF_INET, libc::AF_INET6].contains(&self.family()) => {
                u16::from_be_bytes([high, low])
            }
            _ => 0,
        }
    }

    /// The path of a Unix socket, or "\0" and its abstract name. Empty: it has none.
    pub fn unix_path(&self) -> &[u8] {
        let path = self.as_bytes().get(2..).filter(|_| self.family() == libc::AF_UNIX);
        match path.unwrap_or_default() {
            [0] => b"",
            path @ [0, ..] => path,
            path => path.split(|&byte| byte == 0).next().unwrap_or_default(),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        let length = (self.length as usize).min(size_of_val(&self.address));
        // SAFETY: so many bytes are there, all written when it was made.
        unsafe { core::slice::from_raw_parts((&raw const self.address).cast(), length) }
    }

    /// A socket for it that is close-on-exec and none of stdio's.
    pub fn socket(&self, kind: c_int) -> nix::Result<OwnedFd> {
        open(self.family(), kind)
    }

    /// connect(2), which a signal does not end.
    pub fn connect(&self, socket: BorrowedFd) -> nix::Result<()> {
        super::retry(|| self.connect_once(socket))
    }

    fn connect_once(&self, socket: BorrowedFd) -> nix::Result<()> {
        let address = (&raw const self.address).cast();
        // SAFETY: an address and its length, which live across the call.
        check(unsafe { libc::connect(socket.as_raw_fd(), address, self.length) }).map(drop)
    }

    /// The socket stands here from now on.
    pub fn bind(&self, socket: BorrowedFd) -> nix::Result<()> {
        let address = (&raw const self.address).cast();
        // SAFETY: an address and its length, which live across the call.
        check(unsafe { libc::bind(socket.as_raw_fd(), address, self.length) }).map(drop)
    }

    /// Whether somebody listens here. ECONNREFUSED: nobody does.
    pub fn probe(&self) -> nix::Result<()> {
        match self.connect(never_waits()?.as_fd()) {
            // It has more clients than it can take just now.
            Err(Errno::EAGAIN) => Ok(()),
            // A socket of another kind that is open.
            Err(Errno::EPROTOTYPE) => Ok(()),
            result => result,
        }
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Address) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

unsafe extern "C" {
    fn inet_pton(family: c_int, text: *const libc::c_char, to: *mut libc::c_void) -> c_int;
}

/// A Unix socket that is close-on-exec and none of stdio's.
pub fn unix(kind: c_int) -> nix::Result<OwnedFd> {
    open(libc::AF_UNIX, kind)
}

pub fn open(family: c_int, kind: c_int) -> nix::Result<OwnedFd> {
    // SAFETY: socket(2) takes no pointers.
    above_stdio(owned(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) })?)
}

pub fn never_waits() -> nix::Result<OwnedFd> {
    unix(libc::SOCK_STREAM | libc::SOCK_NONBLOCK)
}

pub fn waits() -> nix::Result<OwnedFd> {
    unix(libc::SOCK_STREAM)
}

/// connect(2), which waits while too many others do (-1: for as long as it takes). EAGAIN when the time is over;
/// EINTR.
pub fn connect(socket: BorrowedFd, to: &Address, limit_ms: i32) -> nix::Result<()> {
    limit(socket, limit_ms)?;
    to.connect_once(socket)
}

/// send(2) without SIGPIPE, which waits for room as `connect` does. How much was taken.
pub fn send(socket: BorrowedFd, bytes: &[u8], limit_ms: i32) -> nix::Result<usize> {
    limit(socket, limit_ms)?;
    let (start, length) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: the pointer and the length are those of one slice, which lives across the call.
    let sent = unsafe { libc::send(socket.as_raw_fd(), start, length, libc::MSG_NOSIGNAL) };
    check(sent as c_int).map(|count| count as usize)
}

/// How long connect(2) and send(2) wait.
#[inline(never)]
pub fn limit(socket: BorrowedFd, limit_ms: i32) -> nix::Result<()> {
    // To the kernel 0 is no limit.
    let limit_ms = if limit_ms < 0 { 0 } else { limit_ms.max(1) };
    let limit = libc::timeval {
        tv_sec: limit_ms.wrapping_div(1000).into(),
        tv_usec: i64::from(limit_ms.wrapping_rem(1000)) * 1000,
    };
    let (value, length) = (ptr::from_ref(&limit).cast(), size_of_val(&limit) as libc::socklen_t);
    let (level, option) = (libc::SOL_SOCKET, libc::SO_SNDTIMEO);
    // SAFETY: a timeval and its length, which live across the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) }).map(drop)
}

/// How many clients may wait until they are accepted. The kernel has a limit of its own.
pub(crate) const BACKLOG: c_int = 4096;
/// What goes with a kind in socket(2).
pub const FLAGS: c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;

pub fn listen(socket: BorrowedFd, backlog: c_int) -> nix::Result<()> {
    // SAFETY: listen(2) takes no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) }).map(drop)
}

/// Another process may bind its port as soon as this one has ended, although connections of it are left.
pub fn reuse_address(socket: BorrowedFd) -> nix::Result<()> {
    let on: c_int = 1;
    let (value, length) = (ptr::from_ref(&on).cast(), size_of_val(&on) as libc::socklen_t);
    let (level, option) = (libc::SOL_SOCKET, libc::SO_REUSEADDR);
    // SAFETY: an int and its length, which live across the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) }).map(drop)
}

/// SOCK_STREAM, SOCK_DGRAM, ... ENOTSOCK.
pub fn kind(socket: BorrowedFd) -> nix::Result<c_int> {
    number(socket, libc::SO_TYPE)
}

/// AF_INET, AF_UNIX, ...
pub fn family(socket: BorrowedFd) -> nix::Result<c_int> {
    number(socket, libc::SO_DOMAIN)
}

/// Whether it waits for connections.
pub fn is_listening(socket: BorrowedFd) -> nix::Result<bool> {
    number(socket, libc::SO_ACCEPTCONN).map(|listens| listens != 0)
}

fn number(socket: BorrowedFd, name: c_int) -> nix::Result<c_int> {
    let mut value = 0;
    option(socket, name, &mut value).map(|_| value)
}

/// The next client, on a socket that never waits. EAGAIN: there is none.
pub fn accept(socket: BorrowedFd) -> nix::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let null = core::ptr::null_mut();
    // SAFETY: nobody asks for the address.
    let client = unsafe { libc::accept4(socket.as_raw_fd(), null, null.cast(), flags) };
    above_stdio(owned(client)?)
}

/// Nothing more is sent or received, whoever has a copy of the descriptor.
pub fn shut_down(socket: BorrowedFd) {
    // SAFETY: shutdown(2) takes no pointers.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
}

/// Who is at the other end.
#[derive(Clone, Copy)]
pub struct Peer {
    pub pid: libc::pid_t,
    pub uid: libc::uid_t,
    pub gid: libc::gid_t,
}

/// getsockopt(2) for as much as there is room for. How many bytes there are.
fn option<T>(socket: BorrowedFd, name: c_int, value: &mut T) -> nix::Result<usize> {
    let mut length = size_of_val(value) as libc::socklen_t;
    // SAFETY: a writable value and its size; the callers ask for integers.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw mut *value).cast(),
            &mut length,
        )
    })?;
    Ok(length as usize)
}

/// As it was when it connected.
pub fn peer(socket: BorrowedFd) -> nix::Result<Peer> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    option(socket, libc::SO_PEERCRED, &mut peer)?;
    Ok(Peer { pid: peer.pid, uid: peer.uid, gid: peer.gid })
}

/// Whether the other end had this supplementary group when it connected (Linux 4.13).
pub fn is_peer_in(socket: BorrowedFd, group: libc::gid_t) -> bool {
    const SO_PEERGROUPS: c_int = 59;
    let mut groups = [0 as libc::gid_t; GROUPS_MAX];
    let length = option(socket, SO_PEERGROUPS, &mut groups).unwrap_or(0);
    let count = length.wrapping_div(size_of::<libc::gid_t>());
    groups.get(..count).unwrap_or_default().contains(&group)
}
