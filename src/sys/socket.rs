//! Messages on a socket.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use libc::c_int;

use super::{check, file::owned};

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
