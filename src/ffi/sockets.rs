//! The C face of the sockets a daemon listens on.

use core::{
    ffi::{c_char, c_int, c_uint},
    ptr,
};
use std::os::fd::BorrowedFd;

use nix::{errno::Errno, sys::stat::SFlag};

use super::boundary::{self, optional, run};
use crate::{
    error::{Error, OrCannot, Result},
    sockets::{self, Options},
    sys::{
        file,
        stream::{self, Address},
    },
};

/// The first descriptor that a service manager passes.
pub const RSD_LISTEN_FDS_START: c_int = 3;

/// A socket that rsd_listen() is to have. What is left out (0, NULL) has its default. Write it with RSD_SOCKET(),
/// which fills in the size.
#[repr(C)]
pub struct rsd_socket_options {
    /// sizeof(struct rsd_socket_options)
    pub size: usize,
    /// What FileDescriptorName= of the socket unit says. NULL: the first that was passed and is of this type.
    pub name: *const c_char,
    /// Where, as ListenStream= of systemd.socket(5) has it: "80" is that port of all addresses, IPv6 and IPv4;
    /// "127.0.0.1:80", "[::1]:80"; a path; "@" and an abstract name. NULL: only what was passed.
    pub address: *const c_char,
    /// SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET. 0: SOCK_STREAM.
    pub r#type: c_int,
    /// How many clients may wait for accept(2), less where the kernel's limit is. 0: 4096.
    pub backlog: c_int,
    /// The permissions of a path, whatever the umask. 0: 0600.
    pub mode: c_uint,
    /// Its owner, by name or number, with the group of that user. NULL: who this process is.
    pub owner: *const c_char,
}

/// How many descriptors the service manager has passed to this process: RSD_LISTEN_FDS_START and those behind it.
///
/// As sd_listen_fds(3), and also after the forks of rsd_daemonize(), which looks before them whether they are meant
/// for this process (LISTEN_PID, LISTEN_PIDFDID); call it before forks of your own. They become close-on-exec. After a
/// restart, those that the manager kept (rsd_notify_fds()) are among them.
///
/// @return  0 or more; or -1 with errno set:
///          EBADF   LISTEN_FDS tells of descriptors that are not open
///          ENOMEM  there is no memory
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_listen_fds() -> c_int {
    run(sockets::count)
}

/// The name of a descriptor that was passed.
///
/// @param fd  RSD_LISTEN_FDS_START or one behind it
/// @return    what LISTEN_FDNAMES calls it, valid until the process ends; "unknown" where it has no name; NULL: it
///            was not passed
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_listen_fd_name(fd: c_int) -> *const c_char {
    let mut name = ptr::null();
    boundary::undisturbed(|| sockets::name(fd, &mut |found| name = found.as_ptr()));
    name
}

/// A socket to listen on: passed by whoever has started the daemon, or made here.
///
///     int http = rsd_listen(RSD_SOCKET(.name = "http", .address = "8080"));
///
/// Looked for is, in this order, what was passed and not returned before: under the name, or at the address
/// (rsd_listen_fds()); then stdin, if inetd(8) has passed it for all connections ("wait"). Where nothing was passed it
/// is made: a port with SO_REUSEADDR; a path as rsd_open_control() does, so that of two daemons one fails, a stale
/// socket is replaced, and it is removed when the process exits normally, with PATH.lock beside it.
/// A type that does not fit is an error, whoever has made it.
///
/// @param options  RSD_SOCKET(...), or a struct whose size member is set
/// @return         a close-on-exec descriptor, which waits in accept(2) unless the manager passed another;
///                 or -1 with errno set:
///                 EINVAL       options is NULL or lacks its size; the address is none; type or backlog is out of
///                              range; or mode has other bits than permissions
///                 EPROTOTYPE   what was passed is of another type, or does not listen
///                 ENOTSOCK     what was passed under the name is no socket
///                 ENOENT       nothing was passed, and there is no address
///                 EADDRINUSE   somebody else listens there
///                 E2BIG        the options are of a newer version
///                 ENOTSOCK, EPERM, ... for a path as rsd_open_control()
///                 or any errno of socket(2), bind(2), listen(2)
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_listen(options: *const rsd_socket_options) -> c_int {
    run(|| {
        if options.is_null() {
            return Err(Error::invalid("options is NULL"));
        }
        // SAFETY: the caller passes a struct of the size that its first member tells.
        let given: rsd_socket_options = unsafe { boundary::options(options) }?;
        // SAFETY: the strings in it outlive this call.
        let string = |string| unsafe { optional(string) };
        let kind = match given.r#type {
            0 => libc::SOCK_STREAM,
            kind @ (libc::SOCK_STREAM | libc::SOCK_DGRAM | libc::SOCK_SEQPACKET) => kind,
            _ => return Err(Error::invalid("type is out of range")),
        };
        if given.backlog < 0 {
            return Err(Error::invalid("backlog is negative"));
        }
        sockets::listen(&Options {
            name: string(given.name),
            address: string(given.address),
            kind,
            backlog: if given.backlog == 0 { stream::BACKLOG } else { given.backlog },
            mode: given.mode,
            owner: string(given.owner),
        })
    })
}

/// Whether a descriptor is such a socket, as sd_is_socket(3).
///
/// @param fd         the descriptor
/// @param family     AF_INET, AF_UNIX, ...; AF_UNSPEC (0): any
/// @param type       SOCK_STREAM, ...; 0: any
/// @param listening  1: it listens; 0: it does not; -1: either
/// @return           1, 0, or -1 with errno set: EBADF
///
/// Thread-safe. Async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_is_socket(
    fd: c_int,
    family: c_int,
    r#type: c_int,
    listening: c_int,
) -> c_int {
    run(|| is_socket(fd, family, r#type, listening).map(c_int::from))
}

/// Whether a descriptor is such an Internet socket, as sd_is_socket_inet(3).
///
/// @param fd         the descriptor
/// @param family     AF_INET, AF_INET6; AF_UNSPEC (0): either
/// @param type       SOCK_STREAM, ...; 0: any
/// @param listening  1: it listens; 0: it does not; -1: either
/// @param port       the port it is bound to; 0: any
/// @return           1, 0, or -1 with errno set: EBADF; EINVAL: port is no port
///
/// Thread-safe. Async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_is_socket_inet(
    fd: c_int,
    family: c_int,
    r#type: c_int,
    listening: c_int,
    port: c_int,
) -> c_int {
    run(|| {
        let port = u16::try_from(port).map_err(|_| Error::invalid("port is out of range"))?;
        if !is_socket(fd, family, r#type, listening)? {
            return Ok(0);
        }
        let address = Address::of(borrowed(fd)?).or_cannot("examine a socket")?;
        let is_inet = [libc::AF_INET, libc::AF_INET6].contains(&address.family());
        Ok((is_inet && (port == 0 || address.port() == port)).into())
    })
}

/// Whether a descriptor is such a Unix socket, as sd_is_socket_unix(3).
///
/// @param fd         the descriptor
/// @param type       SOCK_STREAM, ...; 0: any
/// @param listening  1: it listens; 0: it does not; -1: either
/// @param path       the path it is bound to, or "@" and an abstract name; NULL: any
/// @return           1, 0, or -1 with errno set: EBADF
///
/// Thread-safe. Async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_is_socket_unix(
    fd: c_int,
    r#type: c_int,
    listening: c_int,
    path: *const c_char,
) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let path = unsafe { optional(path) };
        if !is_socket(fd, libc::AF_UNIX, r#type, listening)? {
            return Ok(0);
        }
        let address = Address::of(borrowed(fd)?).or_cannot("examine a socket")?;
        let is_there = match (path.map(|path| path.to_bytes()), address.unix_path()) {
            (None, _) => true,
            (Some([b'@', wanted @ ..]), [0, name @ ..]) => wanted == name,
            (Some(wanted), path) => wanted == path,
        };
        Ok(is_there.into())
    })
}

/// Whether a descriptor is a FIFO or a pipe, as sd_is_fifo(3).
///
/// @param fd    the descriptor
/// @param path  where the FIFO stands; NULL: anywhere
/// @return      1, 0, or -1 with errno set: EBADF
///
/// Thread-safe. Async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_is_fifo(fd: c_int, path: *const c_char) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let path = unsafe { optional(path) };
        let stat = file::fstat(borrowed(fd)?).or_cannot("examine a descriptor")?;
        let is_there = |path| {
            nix::sys::stat::stat(path)
                .is_ok_and(|there| (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino))
        };
        Ok((file::kind(&stat) == SFlag::S_IFIFO && path.is_none_or(is_there)).into())
    })
}

fn borrowed(fd: c_int) -> Result<BorrowedFd<'static>> {
    file::borrowed(fd).ok_or(Errno::EBADF).or_cannot("examine a descriptor")
}

fn is_socket(fd: c_int, family: c_int, kind: c_int, listening: c_int) -> Result<bool> {
    let fd = borrowed(fd)?;
    let is_right = |wanted, is: fn(BorrowedFd) -> nix::Result<c_int>| match is(fd) {
        Ok(is) => Ok(wanted == 0 || wanted == is),
        Err(errno) => Err(errno),
    };
    let is_one = || {
        Ok(is_right(kind, stream::kind)?
            && is_right(family, stream::family)?
            && (listening < 0 || stream::is_listening(fd)? == (listening != 0)))
    };
    match is_one() {
        Err(Errno::ENOTSOCK) => Ok(false),
        result => result.or_cannot("examine a descriptor"),
    }
}
