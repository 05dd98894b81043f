//! Unix stream sockets, as who connects and who listens sees them.

use core::{ffi::CStr, ptr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libc::c_int;
use nix::errno::Errno;

use super::{
    check,
    file::{above_stdio, owned},
    memory::Buffer,
    user::GROUPS_MAX,
};

/// Where a Unix socket is.
pub struct Address {
    address: libc::sockaddr_un,
    length: libc::socklen_t,
}

impl Address {
    /// ENAMETOOLONG.
    pub fn path(path: &CStr) -> nix::Result<Self> {
        Address::new(path.to_bytes_with_nul())
    }

    /// A name in the abstract namespace. ENAMETOOLONG.
    pub fn name(name: &[u8]) -> nix::Result<Self> {
        let mut bytes = Buffer::<109>::new();
        bytes.push(b"\0");
        bytes.push(name);
        Address::new(bytes.as_bytes())
    }

    #[inline(never)]
    fn new(bytes: &[u8]) -> nix::Result<Self> {
        let mut address =
            libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
        let room = address.sun_path.get_mut(..bytes.len()).ok_or(Errno::ENAMETOOLONG)?;
        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from as libc::c_char);
        let length = size_of_val(&address.sun_family) + bytes.len();
        Ok(Address { address, length: length as libc::socklen_t })
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

/// A Unix socket that is close-on-exec and none of stdio's.
pub fn unix(kind: c_int) -> nix::Result<OwnedFd> {
    // SAFETY: socket(2) takes no pointers.
    above_stdio(owned(unsafe { libc::socket(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0) })?)
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
fn limit(socket: BorrowedFd, limit_ms: i32) -> nix::Result<()> {
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
const BACKLOG: c_int = 4096;

pub fn listen(socket: BorrowedFd) -> nix::Result<()> {
    // SAFETY: listen(2) takes no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) }).map(drop)
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
