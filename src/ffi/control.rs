//! The C face of the control socket.

use core::{
    ffi::{c_char, c_int, c_uint, c_void},
    ptr, slice,
};

use super::{
    boundary::{optional, required, run},
    log::ArgumentList,
};
use crate::{
    control::{self, Called, Kind, Request, WORDS_MAX, client},
    error::{Error, OrCannot, Result},
    sys::{callback::Callback, memory::Printed},
};

/// What a client of the control socket asks for, and who it is.
#[repr(C)]
pub struct rsd_control_request {
    /// sizeof(struct rsd_control_request), set by the library.
    pub size: usize,
    /// How many words were sent, the command among them.
    pub argc: c_int,
    /// The words, the command first, and NULL after the last. They live until the callback returns.
    pub argv: *const *const c_char,
    /// The client's process when it connected, as numbered where this process runs. 0: it is not seen
    /// from here. It may be another process by now.
    pub pid: c_int,
    /// The client's effective user when it connected.
    pub uid: c_uint,
    /// The client's effective group when it connected.
    pub gid: c_uint,
}

/// Called from rsd_dispatch() or rsd_wait() for a command that a client has sent.
///
/// What it prints (rsd_control_print()) is the answer; unless it says rsd_control_fail() the command has
/// succeeded. It should be quick, as the loop waits for it. One that itself waits (rsd_wait(), rsd_run()) has
/// other requests served meanwhile, in callbacks upon its own; where 16 of them have not returned, further
/// requests wait for one that does.
///
/// @param request  valid until the callback returns
/// @param arg      as given to rsd_control_command()
#[allow(non_camel_case_types)] // as C has it
pub type rsd_control_callback =
    Option<unsafe extern "C" fn(request: *mut rsd_control_request, arg: *mut c_void)>;

/// What a callback is handed: the public part, and behind it what is ours.
#[repr(C)]
struct Handed {
    public: rsd_control_request,
    request: Request,
}

/// Calls the program, and sends the answer.
pub fn call_command(called: Called) {
    let Called { request, callback } = called;
    let mut argv = [ptr::null(); WORDS_MAX + 1];
    let mut argc = 0;
    for (place, word) in argv.iter_mut().take(WORDS_MAX).zip(request.words()) {
        *place = word.as_ptr();
        argc += 1;
    }
    let peer = request.peer();
    let public = rsd_control_request {
        size: size_of::<rsd_control_request>(),
        argc,
        argv: argv.as_ptr(),
        pid: peer.pid,
        uid: peer.uid,
        gid: peer.gid,
    };
    let mut handed = Handed { public, request };
    // SAFETY: by the contract of rsd_control_command the function takes these. The words are on the
    // heap, so they have not moved.
    unsafe { (callback.function)((&raw mut handed).cast(), callback.arg) };
    control::called(handed.request);
}

/// Open a Unix socket on which whoever is allowed to can give this daemon commands.
///
/// rsd_dispatch() and rsd_wait() serve it; no client can make them wait. The commands are those of
/// rsd_control_command() and rsd_control_query(), and these:
///
///     help         the commands that this client may use (query)
///     ping         nothing, successfully (query)
///     status       pid, since when, state, the text of rsd_status(), reloads, lines that the log lost (query)
///     reload       as SIGHUP, and waits for the outcome: see rsd_begin_reload()
///     stop         as SIGTERM
///     log-level    shows the level of the log, or sets it: log-level debug
///     reopen-logs  rsd_reopen_log()
///
/// The protocol, for socat(1), nc(1) and rsd_control_request(): the client sends lines of at most
/// RSD_CONTROL_LINE_MAX bytes, each a command and its arguments, at most RSD_CONTROL_WORDS_MAX words, with
/// blanks or tabs between. In double quotes a word may contain those, and \" and \\ for a quote and a
/// backslash. A line is answered by any number of lines that begin with a blank, the text, and one that
/// does not: "ok", or "error REASON". The answers come in the order of the lines. A client that
/// shuts down its writing side gets what is left of its answers:
///
///     echo status | socat -t 60 - UNIX-CONNECT:/run/mydaemon.sock
///
/// Who may: the owner of the socket, the group of the socket if mode lets it write, root, and the user that
/// this process runs as may use everything; anybody else whom mode lets write may use queries. The kernel tells
/// who connects (SO_PEERCRED, SO_PEERGROUPS of unix(7), socket(7)). User and group 65534, as whom
/// the kernel shows everybody from outside of a user namespace, are nobody's own here.
///
/// One process at a time serves a path: it holds PATH.lock, a file as that of lock_pidfile() with mode
/// 0600. A socket that another one serves is left alone; one that nobody does, since its process was
/// killed, is replaced. Until mode and owner are right nobody can connect. When this process exits normally
/// (as for daemonize()), or by rsd_close_control(), both files are removed, if they can be; what is left is
/// replaced by the next. A client has ten seconds for each line and for taking each piece of an answer, an
/// idle one as long as it likes. Of RLIMIT_NOFILE at most half is used for clients, then the one that was
/// idle longest is closed, or else the one that has taken nothing of its answer longest.
///
/// Call it after daemonize(), since a forked child does not serve its parent's socket.
///
/// @param path   of the socket, usually "/run/NAME/control"; relative to the working directory. One
///               that is too long for sockaddr_un works as long as its last part has at most 80 bytes.
///               "@NAME": NAME in the abstract namespace of unix(7), without files and lock; then mode
///               and owner are enforced here
/// @param mode   its permissions, whatever the umask. 0: 0600
/// @param owner  "USER", "USER:GROUP" or ":GROUP", by names or numbers; a user without a group has its own.
///               NULL: whoever this process runs as
/// @return       0, or -1 with errno set:
///               EINVAL      path is NULL or empty, mode has other bits than permissions, or there
///                           is no such user or group
///               EALREADY    this process has opened one already
///               EADDRINUSE  another process serves it; rsd_last_error() names it
///               ENOTSOCK    something else than a socket stands at path
///               EPERM       anybody may rename files in the directory, or the owner cannot be set
///               ENAMETOOLONG  the last part of path is too long
///               EMFILE, ENFILE, ENOMEM, or any errno of lock_pidfile(), socket(2), bind(2), listen(2),
///               chown(2), chmod(2), unlink(2), or as for rsd_fd()
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_open_control(
    path: *const c_char,
    mode: c_uint,
    owner: *const c_char,
) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or C strings that outlive this call.
        let (path, owner) = unsafe { (required(path, "path is NULL")?, optional(owner)) };
        control::open(path, mode, owner).map(|()| 0)
    })
}

/// A request of the control socket has at most so many bytes, its newline included.
pub const RSD_CONTROL_LINE_MAX: usize = 4096;

/// A request of the control socket has at most so many words.
pub const RSD_CONTROL_WORDS_MAX: usize = 64;

/// The text of an answer has at most so many bytes.
pub const RSD_CONTROL_TEXT_MAX: usize = 1048576;

/// Close the control socket and its connections, and remove its files.
///
/// @return  0, also if none is open
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_close_control() -> c_int {
    run(|| {
        control::close();
        Ok(0)
    })
}

/// Give the control socket a command that may change something.
///
/// A second call with the same name replaces the callback. The commands stay in forked children.
///
/// @param name      one word of printable characters without quotes and backslashes
/// @param help      what it does and takes, in one line, for the command help; NULL: nothing
/// @param callback  NULL: there is no such command any more
/// @param arg       handed to it
/// @return          0, or -1 with errno set:
///                  EINVAL  name is NULL or no such word
///                  EEXIST  name is a command of the library's
///                  ENOMEM  no memory
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_control_command(
    name: *const c_char,
    help: *const c_char,
    callback: rsd_control_callback,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { enter(Kind::Command, name, help, callback, arg) }
}

/// As rsd_control_command(), for a command that only tells something: whoever may connect may use it.
///
/// @return  as of rsd_control_command()
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_control_query(
    name: *const c_char,
    help: *const c_char,
    callback: rsd_control_callback,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { enter(Kind::Query, name, help, callback, arg) }
}

/// # Safety
/// The strings are NULL or C strings, and the callback is to be called with `arg`.
unsafe fn enter(
    kind: Kind,
    name: *const c_char,
    help: *const c_char,
    callback: rsd_control_callback,
    arg: *mut c_void,
) -> c_int {
    run(|| {
        // SAFETY: our contract.
        let (name, help) = unsafe { (required(name, "name is NULL")?, optional(help)) };
        let callback = callback.map(|function| Callback { function, arg });
        control::enter(kind, name, help.unwrap_or_default(), callback).map(|()| 0)
    })
}

/// Add to the answer of a request: in the place of vdprintf(client, format, arguments).
///
/// Text of several lines becomes several lines of the answer. Control characters except tabs become '?'.
///
/// @param request    as given to the callback
/// @param format     as of printf(3)
/// @param arguments  as of vprintf(3)
/// @return           0, or -1 with errno set:
///                   EINVAL    request or format is NULL
///                   EMSGSIZE  with this the text would be longer than RSD_CONTROL_TEXT_MAX; it is cut, and the
///                             client is told so
///                   ENOMEM    no memory, or another errno of vasprintf(3); the client is told that
///                             something is missing
///
/// Not thread-safe: only for the thread of the callback. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_control_vprint(
    request: *mut rsd_control_request,
    format: *const c_char,
    arguments: ArgumentList,
) -> c_int {
    run(|| {
        // SAFETY: by the contract of this function it is NULL or what a callback was handed.
        let request = unsafe { ours(request) }?;
        if format.is_null() {
            return Err(Error::invalid("format is NULL"));
        }
        // SAFETY: by the contract of this function.
        match unsafe { Printed::new(format, arguments) } {
            Ok(text) => request.print(text.as_bytes()).map(|()| 0),
            Err(errno) => {
                request.miss();
                Err(errno).or_cannot("print")
            }
        }
    })
}

/// Say that a command has failed. What was printed is sent all the same.
///
/// @param request  as given to the callback
/// @param reason   for the client, in one line; NULL: "failed"
/// @return         0, or -1 with errno set:
///                 EINVAL  request is NULL
///
/// Not thread-safe: only for the thread of the callback. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_control_fail(
    request: *mut rsd_control_request,
    reason: *const c_char,
) -> c_int {
    run(|| {
        // SAFETY: by the contract of this function.
        let (request, reason) = unsafe { (ours(request)?, optional(reason)) };
        request.fail(reason.unwrap_or(c"failed").to_bytes());
        Ok(0)
    })
}

/// # Safety
/// NULL, or what a callback was handed and has not returned from.
unsafe fn ours<'a>(request: *mut rsd_control_request) -> Result<&'a mut Request> {
    // SAFETY: our contract: behind the public part stands ours.
    match unsafe { request.cast::<Handed>().as_mut() } {
        Some(handed) => Ok(&mut handed.request),
        None => Err(Error::invalid("request is NULL")),
    }
}

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
