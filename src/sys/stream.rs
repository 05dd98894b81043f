//! Unix stream sockets, as who connects to them sees them.

use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use libc::c_int;
use nix::errno::Errno;

use super::{
    check,
    file::{above_stdio, owned},
};

/// Where a Unix socket is.
pub struct Address {
    address: libc::sockaddr_un,
    length: usize,
}

impl Address {
    /// A path with its NUL, or with a NUL before it a name in the abstract namespace. ENAMETOOLONG.
    #[inline(never)]
    pub fn new(bytes: &[u8]) -> nix::Result<Self> {
        let mut address =
            libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
        let room = address.sun_path.get_mut(..bytes.len()).ok_or(Errno::ENAMETOOLONG)?;
        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from as libc::c_char);
        let length = size_of_val(&address.sun_family) + bytes.len();
        Ok(Address { address, length })
    }
}

/// A socket that is close-on-exec and none of stdio's.
pub fn new() -> nix::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: socket(2) takes no pointers.
    above_stdio(owned(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?)
}

/// connect(2), which waits while too many others do (-1: for as long as it takes). EAGAIN when the time is over;
/// EINTR.
pub fn connect(socket: BorrowedFd, to: &Address, limit_ms: i64) -> nix::Result<()> {
    limit(socket, limit_ms)?;
    let (address, length) = (&raw const to.address, to.length as libc::socklen_t);
    // SAFETY: an address and its length, which live across the call.
    check(unsafe { libc::connect(socket.as_raw_fd(), address.cast(), length) }).map(drop)
}

/// send(2) without SIGPIPE, which waits for room as `connect` does. How much was taken.
pub fn send(socket: BorrowedFd, bytes: &[u8], limit_ms: i64) -> nix::Result<usize> {
    limit(socket, limit_ms)?;
    let (start, length) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: the pointer and the length are those of one slice, which lives across the call.
    let sent = unsafe { libc::send(socket.as_raw_fd(), start, length, libc::MSG_NOSIGNAL) };
    check(sent as c_int).map(|count| count as usize)
}

/// How long connect(2) and send(2) wait.
#[inline(never)]
fn limit(socket: BorrowedFd, limit_ms: i64) -> nix::Result<()> {
    // To the kernel 0 is no limit.
    let limit_ms = if limit_ms < 0 { 0 } else { limit_ms.max(1) };
    let limit = libc::timeval {
        tv_sec: limit_ms.wrapping_div(1000),
        tv_usec: limit_ms.wrapping_rem(1000) * 1000,
    };
    let (value, length) = (ptr::from_ref(&limit).cast(), size_of_val(&limit) as libc::socklen_t);
    let (level, option) = (libc::SOL_SOCKET, libc::SO_SNDTIMEO);
    // SAFETY: a timeval and its length, which live across the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) }).map(drop)
}
