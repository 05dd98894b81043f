//! The C face of asking a daemon on its control socket.

use core::{
    ffi::{c_char, c_int},
    slice,
};

use super::boundary::{required, run};
use crate::{
    control::client,
    error::{Error, Result},
};

/// Ask a running daemon on its control socket (rsd_open_control()), from another process.
///
/// Connects, sends one command, and waits for the whole answer. Control characters in it other than tab
/// and the ends of lines become '?', so that it may be printed to a terminal. A daemon that
/// asks itself waits in vain.
///
/// @param path        the socket: a path of any length, or "@NAME" for an abstract one
/// @param command     one line without its end, at most 4095 bytes: the command and its arguments, separated
///                    by blanks; an argument with blanks in it stands in double quotes
/// @param reply       gets the lines of the answer, each with its "\n", and a NUL; of what is longer, as
///                    much as fits. After a failure: what came until then
/// @param size        of reply, in bytes. 0: the answer is not wanted, and reply may be NULL
/// @param timeout_ms  for all of it, in milliseconds; -1: no limit
/// @return            the length of the whole answer without its NUL, as of snprintf(3); or -1 with errno
///                    set:
///                    EREMOTEIO     the daemon says no; rsd_last_error() is its reason
///                    ETIMEDOUT     it did not answer in time, or took no connection
///                    ECONNREFUSED  nobody serves there, or it is no socket
///                    ENOENT        there is nothing
///                    EACCES        this user may not connect
///                    EPROTO        what answers is something else, or ended before its answer did, or said
///                                  more than 64 MiB
///                    EPROTOTYPE    it is a socket of another kind
///                    EINVAL        path or command is NULL or empty, or command has several lines or is too
///                                  long, or reply is NULL, or timeout_ms is less than -1
///                    ENAMETOOLONG  path; from 108 bytes on also without /proc
///                    or another errno of socket(2), connect(2), send(2), recv(2)
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_control_request(
    path: *const c_char,
    command: *const c_char,
    reply: *mut c_char,
    size: usize,
    timeout_ms: c_int,
) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or as many bytes as `size` says.
        let reply = unsafe { room(reply, size) }?;
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let path = unsafe { required(path, "path is NULL") }?;
        // SAFETY: as for `path`.
        let command = unsafe { required(command, "command is NULL") }?;
        client::request(path, command.to_bytes(), reply, timeout_ms)
    })
}

/// # Safety
/// `reply` is NULL or has `size` bytes.
unsafe fn room<'a>(reply: *mut c_char, size: usize) -> Result<&'a mut [u8]> {
    match (reply.is_null(), size) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(Error::invalid("reply is NULL but size is not 0")),
        // No object is larger.
        (false, size) if size > isize::MAX as usize => Err(Error::invalid("size is out of range")),
        (false, size) => {
            // SAFETY: not NULL, so our contract gives it at least one byte.
            unsafe { *reply = 0 };
            // SAFETY: our contract.
            Ok(unsafe { slice::from_raw_parts_mut(reply.cast(), size) })
        }
    }
}
