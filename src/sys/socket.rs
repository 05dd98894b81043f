//! Messages on a socket.

use core::ffi::CStr;
use std::{
    io::IoSlice,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use super::{
    check,
    file::owned,
    stream::{self, Address},
};
use libc::c_int;

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

/// A datagram socket that is connected to this path and never waits.
pub fn connect(path: &CStr) -> nix::Result<OwnedFd> {
    let socket = stream::unix(libc::SOCK_DGRAM | libc::SOCK_NONBLOCK)?;
    Address::path(path)?.connect(socket.as_fd())?;
    Ok(socket)
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
