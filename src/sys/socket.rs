//! Messages on a socket.

use core::ffi::CStr;
use std::{
    io::IoSlice,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use libc::c_int;
use nix::errno::Errno;

use super::{
    check,
    file::{above_stdio, owned},
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

/// A datagram socket that is connected to this address and never waits.
pub fn connect(path: &CStr) -> nix::Result<OwnedFd> {
    let mut address = libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
    let bytes = path.to_bytes_with_nul();
    let room = address.sun_path.get_mut(..bytes.len()).ok_or(Errno::ENAMETOOLONG)?;
    room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from as libc::c_char);
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket(2) takes no pointers.
    let socket = above_stdio(owned(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?)?;
    let length = size_of_val(&address) as libc::socklen_t;
    super::retry(|| {
        // SAFETY: an address and its length, which live across the call.
        check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) })
    })?;
    Ok(socket)
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
