//! Messages on a socket.

use core::ffi::CStr;
use std::{
    io::IoSlice,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use super::{
    check,
    file::{OwnedFd, above_stdio, owned},
    memory::Buffer,
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
    send_with(socket, message, libc::MSG_NOSIGNAL).map(drop)
}

#[inline(never)]
fn send_with(socket: BorrowedFd, bytes: &[u8], flags: c_int) -> nix::Result<usize> {
    super::retry(|| {
        // SAFETY: the pointer and the length are those of one slice, which lives across the call.
        let sent =
            unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
        check(sent as c_int)
    })
    .map(|count| count as usize)
}

/// Receives one message without waiting. Its length; 0 is the end.
pub fn receive(socket: BorrowedFd, message: &mut [u8]) -> nix::Result<usize> {
    // SAFETY: the pointer and the length are those of one slice, which lives across the call.
    unsafe { receive_at(socket, message.as_mut_ptr(), message.len()) }
}

/// As `receive`, behind what is in the buffer.
pub fn receive_more<const ROOM: usize>(
    socket: BorrowedFd,
    buffer: &mut Buffer<ROOM>,
) -> nix::Result<usize> {
    // SAFETY: recv(2) writes as many bytes as it says.
    unsafe {
        buffer.append(|end, room| {
            // SAFETY: so much room is there.
            receive_at(socket, end, room)
        })
    }
}

/// # Safety
/// There is writable memory for so many bytes.
#[inline(never)]
unsafe fn receive_at(socket: BorrowedFd, start: *mut u8, room: usize) -> nix::Result<usize> {
    super::retry(|| {
        // SAFETY: our contract.
        let received =
            unsafe { libc::recv(socket.as_raw_fd(), start.cast(), room, libc::MSG_DONTWAIT) };
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
    send_with(socket, bytes, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
}

/// As many descriptors as the kernel passes at once (SCM_MAX_FD).
pub(crate) const FDS_MAX: usize = 253;

/// What goes with a message, as cmsg(3) lays it out.
#[repr(C)]
struct Passed {
    header: libc::cmsghdr,
    fds: [c_int; FDS_MAX],
}

/// Sends the pieces as one message, with copies of descriptors, without waiting and without SIGPIPE.
#[inline(never)]
pub fn send_with_fds(socket: BorrowedFd, pieces: &[IoSlice], fds: &[c_int]) -> nix::Result<()> {
    if fds.is_empty() {
        return send_pieces(socket, pieces).map(drop);
    }
    // SAFETY: all zeros is valid: integers.
    let mut passed: Passed = unsafe { core::mem::zeroed() };
    let length = size_of_val(&passed.header) + size_of_val(fds);
    passed.fds.iter_mut().zip(fds).for_each(|(to, from)| *to = *from);
    passed.header.cmsg_level = libc::SOL_SOCKET;
    passed.header.cmsg_type = libc::SCM_RIGHTS;
    passed.header.cmsg_len = length as _;
    send_now(socket, pieces, (&raw mut passed).cast(), length).map(drop)
}

/// A message that has come.
pub struct Received {
    /// 0 is the end.
    pub length: usize,
    /// Descriptors came with it for which this process has no room.
    pub has_lost_fds: bool,
}

/// Receives one message, and hands over the descriptors that came with it, which are close-on-exec. `flags`:
/// MSG_DONTWAIT, or 0.
#[inline(never)]
pub fn receive_with_fds(
    socket: BorrowedFd,
    bytes: &mut [u8],
    flags: c_int,
    take: &mut dyn FnMut(OwnedFd),
) -> nix::Result<Received> {
    // SAFETY: all zeros is valid: integers.
    let mut passed: Passed = unsafe { core::mem::zeroed() };
    let mut piece = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: all zeros is a valid msghdr: null pointers and lengths of 0.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &mut piece;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut passed).cast();
    message.msg_controllen = size_of::<Passed>() as _;
    let length = super::retry(|| {
        let flags = flags | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: all of the message lives across the call.
        check(unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, flags) } as c_int)
    })?;
    let is_passed = message.msg_controllen as usize >= size_of_val(&passed.header)
        && passed.header.cmsg_level == libc::SOL_SOCKET
        && passed.header.cmsg_type == libc::SCM_RIGHTS;
    let size = (passed.header.cmsg_len as usize).saturating_sub(size_of_val(&passed.header));
    let count = if is_passed { size.wrapping_div(size_of::<c_int>()) } else { 0 };
    let mut has_lost_fds = message.msg_flags & libc::MSG_CTRUNC != 0;
    for fd in passed.fds.get(..count).unwrap_or_default() {
        match owned(*fd).and_then(above_stdio) {
            Ok(fd) => take(fd),
            Err(_) => has_lost_fds = true,
        }
    }
    Ok(Received { length: length as usize, has_lost_fds })
}

/// Sends the pieces as one message, without waiting and without SIGPIPE. How much was taken.
pub fn send_pieces(socket: BorrowedFd, pieces: &[IoSlice]) -> nix::Result<usize> {
    send_now(socket, pieces, core::ptr::null_mut(), 0)
}

fn send_now(
    socket: BorrowedFd,
    pieces: &[IoSlice],
    control: *mut core::ffi::c_void,
    control_length: usize,
) -> nix::Result<usize> {
    // SAFETY: all zeros is a valid msghdr: null pointers and lengths of 0.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len() as _;
    message.msg_control = control;
    message.msg_controllen = control_length as _;
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    super::retry(|| {
        // SAFETY: an IoSlice is an iovec; sendmsg(2) only reads, and all of it lives across the call.
        check(unsafe { libc::sendmsg(socket.as_raw_fd(), &message, flags) } as c_int)
    })
    .map(|count| count as usize)
}

/// A socket does not keep whoever closes it waiting (SO_LINGER). Nothing happens to what is no such socket.
pub fn forbid_linger(socket: BorrowedFd) {
    let mut linger = libc::linger { l_onoff: 0, l_linger: 0 };
    let mut length = size_of_val(&linger) as libc::socklen_t;
    let (fd, level, name) = (socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER);
    // SAFETY: a linger of that length, and the length, are writable and live across the call.
    let got = unsafe { libc::getsockopt(fd, level, name, (&raw mut linger).cast(), &mut length) };
    if got == 0 && linger.l_onoff != 0 && linger.l_linger != 0 {
        linger = libc::linger { l_onoff: 0, l_linger: 0 };
        // SAFETY: a linger of that length lives across the call.
        unsafe { libc::setsockopt(fd, level, name, (&raw const linger).cast(), length) };
    }
}
