//! Messages on a socket.

use core::ffi::CStr;
use std::{
    io::IoSlice,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use libc::c_int;
use nix::errno::Errno;

use super::{
    check,
    file::{above_stdio, owned},
    user::GROUPS_MAX,
};

/// Two connected Unix sockets that keep messages apart. nix's may panic on what the kernel returns.
pub fn pair() -> nix::Result<(OwnedFd, OwnedFd)> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    let mut fds = [-1; 2];
    // SAFETY: socketpair(2) writes two ints, which live across the call.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
    Ok((owned(fds[0])?, owned(fds[1])?))
}

/// Sends a message that is either taken whole or fails, without SIGPIPE.
pub fn send(socket: BorrowedFd, message: &[u8]) -> nix::Result<()> {
    super::retry(|| {
        // SAFETY: the pointer and the length are those of one slice, which lives across the call.
        let sent = unsafe {
            libc::send(
                socket.as_raw_fd(),
                message.as_ptr().cast(),
                message.len(),
                libc::MSG_NOSIGNAL,
            )
        };
        check(sent as c_int)
    })
    .map(drop)
}

/// Receives one message without waiting. Its length; 0 is the end.
pub fn receive(socket: BorrowedFd, message: &mut [u8]) -> nix::Result<usize> {
    super::retry(|| {
        // SAFETY: the pointer and the length are those of one slice, which lives across the call.
        let received = unsafe {
            libc::recv(
                socket.as_raw_fd(),
                message.as_mut_ptr().cast(),
                message.len(),
                libc::MSG_DONTWAIT,
            )
        };
        check(received as c_int)
    })
    .map(|length| length as usize)
}

/// Where a Unix socket stands.
pub struct Address {
    address: libc::sockaddr_un,
    length: libc::socklen_t,
}

impl Address {
    /// ENAMETOOLONG: no room for so many bytes and what stands around them.
    fn new(before: &[u8], bytes: &[u8], after: &[u8]) -> nix::Result<Self> {
        let mut address =
            libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
        let length = before.len() + bytes.len() + after.len();
        let room = address.sun_path.get_mut(..length).ok_or(Errno::ENAMETOOLONG)?;
        let bytes = before.iter().chain(bytes).chain(after);
        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from as libc::c_char);
        let length = size_of::<libc::sa_family_t>() + length;
        Ok(Address { address, length: length as libc::socklen_t })
    }

    pub fn path(path: &CStr) -> nix::Result<Self> {
        Address::new(b"", path.to_bytes(), b"\0")
    }

    /// In the abstract namespace.
    pub fn name(name: &[u8]) -> nix::Result<Self> {
        Address::new(b"\0", name, b"")
    }

    fn connect(&self, socket: BorrowedFd) -> nix::Result<()> {
        super::retry(|| {
            // SAFETY: an address and its length, which live across the call.
            check(unsafe {
                libc::connect(socket.as_raw_fd(), (&raw const self.address).cast(), self.length)
            })
        })
        .map(drop)
    }

    /// The socket stands here from now on.
    pub fn bind(&self, socket: BorrowedFd) -> nix::Result<()> {
        // SAFETY: an address and its length, which live across the call.
        check(unsafe {
            libc::bind(socket.as_raw_fd(), (&raw const self.address).cast(), self.length)
        })
        .map(drop)
    }

    /// Whether somebody listens here. ECONNREFUSED: nobody does.
    pub fn probe(&self) -> nix::Result<()> {
        match self.connect(stream()?.as_fd()) {
            // It has more clients than it can take just now.
            Err(Errno::EAGAIN) => Ok(()),
            // A socket of another kind that is open.
            Err(Errno::EPROTOTYPE) => Ok(()),
            result => result,
        }
    }
}

fn unix(kind: c_int) -> nix::Result<OwnedFd> {
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket(2) takes no pointers.
    above_stdio(owned(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?)
}

/// A stream socket that never waits.
pub fn stream() -> nix::Result<OwnedFd> {
    unix(libc::SOCK_STREAM)
}

/// A datagram socket that is connected to this path and never waits.
pub fn connect(path: &CStr) -> nix::Result<OwnedFd> {
    let socket = unix(libc::SOCK_DGRAM)?;
    Address::path(path)?.connect(socket.as_fd())?;
    Ok(socket)
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

/// Sends what is taken at once, without SIGPIPE. How much that was.
pub fn send_some(socket: BorrowedFd, bytes: &[u8]) -> nix::Result<usize> {
    send_pieces(socket, &[IoSlice::new(bytes)])
}

/// Sends the pieces as one message, without waiting and without SIGPIPE. How much was taken.
pub fn send_pieces(socket: BorrowedFd, pieces: &[IoSlice]) -> nix::Result<usize> {
    // SAFETY: all zeros is a valid msghdr: null pointers and lengths of 0.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len() as _;
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    super::retry(|| {
        // SAFETY: an IoSlice is an iovec; sendmsg(2) only reads, and all of it lives across the call.
        check(unsafe { libc::sendmsg(socket.as_raw_fd(), &message, flags) } as c_int)
    })
    .map(|count| count as usize)
}
