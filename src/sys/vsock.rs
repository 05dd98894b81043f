//! Messages to the host of a virtual machine, or to another one: vsock(7).

use std::{
    io::IoSlice,
    os::fd::{AsFd, AsRawFd},
};

use libc::c_int;
use nix::errno::Errno;

use super::{
    check,
    file::{self, OwnedFd},
    retry, socket, stream,
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Stream,
    Datagram,
    Packets,
}

/// Sends a message on a socket of its own, of the first kind that the kernel has. It has arrived at return, but for
/// a datagram.
pub fn tell(kind: Option<Kind>, cid: u32, port: u32, message: &[IoSlice]) -> nix::Result<()> {
    let (kind, socket) = match kind {
        Some(kind) => (kind, open(kind)?),
        None => [Kind::Datagram, Kind::Packets]
            .into_iter()
            .find_map(|kind| open(kind).ok().map(|socket| (kind, socket)))
            .map_or_else(|| open(Kind::Stream).map(|socket| (Kind::Stream, socket)), Ok)?,
    };
    // SAFETY: all zeros is a valid sockaddr_vm: integers.
    let mut address: libc::sockaddr_vm = unsafe { core::mem::zeroed() };
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    address.svm_cid = cid;
    address.svm_port = port;
    let length = size_of_val(&address) as libc::socklen_t;
    stream::limit(socket.as_fd(), LIMIT_MS)?;
    retry(|| {
        // SAFETY: an address and its length, which live across the call.
        check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) })
    })?;
    socket::send_with_fds(socket.as_fd(), message, &[])?;
    if kind == Kind::Datagram {
        return Ok(());
    }
    // The end of the stream is the end of the message; the other side has read it when it closes, too.
    // SAFETY: shutdown(2) takes no pointers.
    check(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) })?;
    match file::poll([Some(socket.as_fd())], LIMIT_MS)? {
        [true] => Ok(()),
        [false] => Err(Errno::EAGAIN),
    }
}

/// How long the other side may take.
const LIMIT_MS: c_int = 5000;

fn open(kind: Kind) -> nix::Result<OwnedFd> {
    let kind = match kind {
        Kind::Stream => libc::SOCK_STREAM,
        Kind::Datagram => libc::SOCK_DGRAM,
        Kind::Packets => libc::SOCK_SEQPACKET,
    };
    stream::open(libc::AF_VSOCK, kind)
}
