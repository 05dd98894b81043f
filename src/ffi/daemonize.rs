//! The C face of becoming a daemon.

use core::{
    ffi::{c_char, c_int, c_uint},
    slice,
};

use nix::sys::stat::Mode;

use super::{
    boundary::{self, optional, run},
    sandbox::{self, rsd_sandbox_options},
};
use crate::{
    daemonize::{self, Options, Stdio},
    detach::Detach,
    error::{Error, Result},
};

/// rsd_options.pidfile_when: the pid file is there before rsd_daemonize() returns.
pub const RSD_PIDFILE_AT_START: c_int = 0;
/// rsd_options.pidfile_when: the pid file appears with rsd_ready().
pub const RSD_PIDFILE_AT_READY: c_int = 1;

/// rsd_options.umask: leave the umask as it is.
pub const RSD_UMASK_KEEP: c_int = -1;
/// rsd_options.umask: a umask of 0, which makes what others create careless world-writable.
pub const RSD_UMASK_NONE: c_int = -2;

/// rsd_options.stdio: RSD_STDIO_KEEP in the foreground without a log_file, else RSD_STDIO_REDIRECT.
pub const RSD_STDIO_DEFAULT: c_int = 0;
/// rsd_options.stdio: stdin from /dev/null, stdout and stderr to the log file or /dev/null.
pub const RSD_STDIO_REDIRECT: c_int = 1;
/// rsd_options.stdio: all three stay what they are; not together with log_file.
pub const RSD_STDIO_KEEP: c_int = 2;
/// rsd_options.stdio: stdin at once, stdout and stderr when rsd_ready() is called.
pub const RSD_STDIO_KEEP_UNTIL_READY: c_int = 3;

/// rsd_options.foreground: the daemon is a new process, and the one that called leaves when it is ready.
pub const RSD_BACKGROUND: c_int = 0;
/// rsd_options.foreground: no fork, no session; everything else happens. For a terminal, or a supervisor.
pub const RSD_FOREGROUND: c_int = 1;
/// rsd_options.foreground: in the foreground where whoever executed this very process waits for it itself, else in the
/// background; rsd_ready() logs which and why (LOG_INFO), if there is a log. That is, in this order: as process
/// 1; with notify_fd; executed by systemd (SYSTEMD_EXEC_PID, since its version 248), unless the unit has a PIDFile=, which
/// a daemon in the background is to write; with sockets passed to it (LISTEN_PID); with NOTIFY_SOCKET and no
/// SYSTEMD_EXEC_PID; with a socket on stdin, as under inetd. Others set
/// nothing to know them by: in a script for runit or for systemd with Type=forking and no
/// PIDFile= say what is wanted.
pub const RSD_AUTOMATIC: c_int = 2;

/// What rsd_daemonize() is to do. What is left out (0, NULL) has its default. Write it with
/// RSD_OPTIONS(), which fills in the size.
#[repr(C)]
pub struct rsd_options {
    /// sizeof(struct rsd_options): how much of it the program knows.
    pub size: usize,
    /// What the daemon is called in front of the text of rsd_fail(). NULL: nothing.
    pub name: *const c_char,
    /// The pid file: a path, relative to the working directory of the caller, or a name without a
    /// slash, which stands for /run/NAME.pid. NULL: none.
    pub pidfile: *const c_char,
    /// Its mode, whatever the umask. 0: 0644 less the umask. Whoever may read the file may lock it, too,
    /// and so keep the daemon from starting: 0600 where other local users are not trusted.
    pub pidfile_mode: c_uint,
    /// Its owner, by name or number, with the group of that user. NULL: whoever starts.
    pub pidfile_owner: *const c_char,
    /// RSD_PIDFILE_AT_START, or RSD_PIDFILE_AT_READY for a file that tells others that the daemon is
    /// ready. Then two starts at the same time both get as far as rsd_ready(), where one fails, and
    /// user must be allowed to make files in the directory.
    pub pidfile_when: c_int,
    /// The working directory. NULL: "/". ".": stay.
    pub directory: *const c_char,
    /// The umask. 0: 022. Or RSD_UMASK_KEEP, RSD_UMASK_NONE.
    pub umask: c_int,
    /// RSD_STDIO_...
    pub stdio: c_int,
    /// A file that redirected stdout and stderr are appended to. NULL: /dev/null.
    pub log_file: *const c_char,
    /// The mode of a new log file. 0: 0640; less the umask of the caller.
    pub log_file_mode: c_uint,
    /// RSD_BACKGROUND, RSD_FOREGROUND or RSD_AUTOMATIC.
    pub foreground: c_int,
    /// Not 0: one fork, and the daemon leads its session: it could get a terminal again.
    pub session_leader: c_int,
    /// Not 0: descriptors that were open when the program was executed are closed, but for 0, 1, 2,
    /// keep_fds and sockets passed by a service manager (LISTEN_FDS). What the program opened
    /// itself is left alone, as long as it is not the same file on the same number (/dev/null) without
    /// close-on-exec. A library loaded by dlopen(3) takes what was open then for inherited.
    /// Before Linux 6.2 only numbers below 65536 are looked at.
    pub close_inherited: c_int,
    /// Inherited descriptors to keep, and how many.
    pub keep_fds: *const c_int,
    /// The length of keep_fds.
    pub keep_fds_count: usize,
    /// Not 0: signals that were ignored or blocked when the program was executed have their default
    /// action again and are unblocked; real-time signals stay as they are.
    pub reset_signals: c_int,
    /// Not 0: go into the background although other threads run, which then do not exist in the
    /// daemon. Whatever lock they hold stays locked.
    pub allow_threads: c_int,
    /// How long until rsd_ready() at most, in milliseconds. 0: any time. Not in the foreground.
    pub ready_timeout_ms: c_uint,
    /// The user to become for good: by name with its supplementary groups, by number without any.
    /// NULL: stay. A pid file in a directory where this user may not remove files, such as /run, is
    /// emptied at the end instead of removed.
    pub user: *const c_char,
    /// The group to become, by name or number. NULL: that of user. Without a user the supplementary
    /// groups are given up, too.
    pub group: *const c_char,
    /// RSD_SANDBOX(...): what the daemon gives up, the last before rsd_daemonize() returns, as rsd_sandbox() has
    /// it. What the program does from there to rsd_ready() must be allowed, too; where that is more than
    /// the daemon needs afterwards, call rsd_sandbox() itself later. Paths are those of the caller. NULL:
    /// nothing.
    pub sandbox: *const rsd_sandbox_options,
    /// Where a supervisor as s6 waits for a newline (notification-fd): from rsd_ready(), which then closes it. 0: nowhere.
    pub notify_fd: c_int,
}

/// Go into the background and be the daemon from here on.
///
/// Two forks and a new session, so that the daemon has no terminal and cannot get one; working
/// directory "/", umask 022, stdin, stdout and stderr on /dev/null; the pid file locked, with the
/// daemon's pid in it, and removed again when the daemon exits normally (exit(3) or return from
/// main; not _exit(2) or a signal's default action). The lock is the one of lock_pidfile().
///
/// Left alone: signal handlers, ignored and blocked signals, descriptors from 3 up, syslog. What
/// stdio has buffered is flushed first.
///
/// The process that calls leaves with status 0 when the daemon is up and its pid file is there. If
/// anything fails, in whichever process, the call returns -1 in the process that called, and no
/// process, lock or pid file is left. SIGHUP, SIGINT, SIGQUIT or SIGTERM to the caller meanwhile
/// cancels the start.
///
/// Call it once, after the arguments are checked and before threads, connections to databases and
/// the like. If the program had locked a file with lock_pidfile(), the lock goes with the daemon.
///
/// @param pidfile  path of the pid file, relative to the working directory; NULL: none
/// @return         0 in the daemon; -1 in the process that called, with errno set:
///                 EEXIST    another instance runs; rsd_last_error() tells its pid
///                 EBUSY     the process has more than one thread
///                 EALREADY  the process is a daemon already
///                 ENOTSUP   the process is process 1
///                 ECHILD    the daemon died; rsd_last_error() tells how
///                 EINTR     a signal cancelled the start
///                 ENODEV    /dev/null is not the null device
///                 EPIPE     the daemon closed the descriptors of this library
///                 or any errno of lock_pidfile(), fork(2), setsid(2), open(2), dup(2),
///                 socketpair(2), signalfd(2), sigaction(2)
///
/// Not thread-safe. Not async-signal-safe. Since 0.1.
#[cfg(not(no_drop_in_names))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daemonize(pidfile: *const c_char) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a C string that outlives this call.
        let path = unsafe { optional(pidfile) };
        daemonize::daemonize(path).map(|()| 0)
    })
}

/// Go into the background as the options say, and let the caller wait until rsd_ready().
///
/// As daemonize(), but the process that called stays until the daemon calls rsd_ready() or
/// rsd_fail(), dies, or takes longer than ready_timeout_ms. So the program can bind sockets, read
/// its configuration and give up privileges in between, and whoever started it learns how that went.
///
/// If it fails, a service manager (NOTIFY_SOCKET) is told why (STATUS, ERRNO). Sockets that were passed
/// (rsd_listen_fds()) are still there afterwards.
///
/// In the foreground there is no fork: the call returns 0 or -1 in the process that called, which
/// after -1 may be half way and must end.
/// As process 1, the first of a container, SIGTERM and SIGINT end it with status 128 and their number, unless it has
/// handlers for them (install_signal_flags()): the kernel keeps from process 1 what it has none for.
///
/// @param options  RSD_OPTIONS(...), or a struct whose size member is set; NULL: all defaults
/// @return         0 in the daemon; -1 in the process that called, with errno set as for daemonize()
///                 and also:
///                 EINVAL     an option is out of range, or log_file is no regular file, or no such user
///                            or group, or user is root
///                 E2BIG      the options are of a newer version and ask for what this one lacks, or
///                            the user has more than 1024 groups
///                 ETIMEDOUT  the daemon was not ready in time and was ended
///                 EPERM      privileges cannot be given up, or could be had back
///                 or any errno of getpwnam(3), setgroups(2), setresuid(2), or of rsd_sandbox()
///
/// Not thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_daemonize(options: *const rsd_options) -> c_int {
    run(|| {
        // SAFETY: the caller passes NULL or a struct of the size that its first member tells.
        let given: rsd_options = unsafe { boundary::options(options) }?;
        let mut options = Options::default();
        // SAFETY: the strings and the list in it outlive this call.
        unsafe { convert(&given, &mut options) }?;
        daemonize::daemonize_with(&options).map(|()| 0)
    })
}

/// Say that the daemon is ready, to all who wait: the process that called rsd_daemonize() leaves with status 0, the
/// service manager (NOTIFY_SOCKET, "READY=1") and a supervisor on notify_fd (a newline) go on.
///
/// Call it when the daemon does its work: sockets bound, configuration read, privileges given up.
/// A pid file that was to wait for this appears, and so do kept stdout and stderr go to their place. From now on
/// rsd_wait() and rsd_dispatch() feed the watchdog of the service manager (WatchdogSec=), if it has one.
///
/// In the background it is the process that called that tells the manager, with the daemon as MAINPID, and it
/// leaves when the manager has read that: a service of Type=notify may go into the background. If the manager
/// cannot be told there, that process says so on stderr, and leaves with status 0 all the same.
///
/// Without rsd_daemonize() the manager alone is told. When called again it does nothing.
///
/// @return 0, or -1 with errno set, and the daemon should end (rsd_fail(1, rsd_last_error())):
///         ECANCELED  whoever started the daemon is gone, and the pid file is removed; or rsd_fail()
///                    was called before
///         EPERM      called in a child of the daemon
///         EBADF      the program has closed descriptors of this library
///         or, with RSD_PIDFILE_AT_READY, any errno of lock_pidfile(); in the foreground, any of
///         rsd_notify(), and of write(2) to notify_fd
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_ready() -> c_int {
    run(|| daemonize::ready().map(|()| 0))
}

/// Say that the daemon cannot start: return rsd_fail(3, "no such interface: wlan0");
///
/// The pid file is removed. The process that called rsd_daemonize() writes "NAME: TEXT" to its
/// stderr, waits until the daemon has ended and leaves with the status; a daemon that is still there
/// after 10 seconds is killed. In the foreground the text goes to stderr. After rsd_ready() nobody
/// waits any more, and only the pid file is removed. The service manager is told both (STATUS, EXIT_STATUS), also
/// without rsd_daemonize(). In a child of the daemon nothing happens. The call does not end the process.
///
/// @param status  1 to 255; anything else counts as 1
/// @param text    one line; NULL: none. Longer than 4096 bytes is cut.
/// @return        the status
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_fail(status: c_int, text: *const c_char) -> c_int {
    let status = if (1..=255).contains(&status) { status } else { 1 };
    // SAFETY: the caller passes NULL or a C string that outlives this call.
    let text = unsafe { optional(text) }.unwrap_or_default();
    run(|| {
        daemonize::fail(status, text.to_bytes());
        Ok(status)
    })
}

/// # Safety
/// The strings are NULL or C strings, `sandbox` is as for `sandbox::read`, and `keep_fds` has `keep_fds_count` entries, for 'a.
#[inline(never)]
pub(super) unsafe fn convert<'a>(c: &rsd_options, options: &mut Options<'a>) -> Result<()> {
    // SAFETY: our contract.
    let string = |string| unsafe { optional::<'a>(string) };
    let mode = |bits: c_uint, name: &str| match Mode::from_bits(bits) {
        Some(mode) if bits <= 0o777 => Ok((bits != 0).then_some(mode)),
        _ => Err(Error::invalid(name)),
    };
    let keep: &[i32] = match (c.keep_fds.is_null(), c.keep_fds_count) {
        (_, 0) => &[],
        (true, _) => return Err(Error::invalid("keep_fds is NULL but keep_fds_count is not 0")),
        (false, count) if count > 1 << 20 => {
            return Err(Error::invalid("keep_fds_count is out of range"));
        }
        // SAFETY: our contract.
        (false, count) => unsafe { slice::from_raw_parts(c.keep_fds, count) },
    };
    options.name = string(c.name);
    options.pidfile = string(c.pidfile);
    options.pidfile_may_be_name = true;
    options.pidfile_mode = mode(c.pidfile_mode, "pidfile_mode is out of range")?;
    options.pidfile_owner = string(c.pidfile_owner);
    options.pidfile_at_ready = match c.pidfile_when {
        RSD_PIDFILE_AT_START => false,
        RSD_PIDFILE_AT_READY => true,
        _ => return Err(Error::invalid("pidfile_when is out of range")),
    };
    if let Some(path) = string(c.directory) {
        options.directory = (path != c".").then_some(path);
    }
    options.umask = match c.umask {
        0 => options.umask,
        RSD_UMASK_KEEP => None,
        RSD_UMASK_NONE => Some(0),
        mask if (1..=0o777).contains(&mask) => Some(mask as u32),
        _ => return Err(Error::invalid("umask is out of range")),
    };
    options.stdio = match c.stdio {
        RSD_STDIO_DEFAULT => None,
        RSD_STDIO_REDIRECT => Some(Stdio::Redirected),
        RSD_STDIO_KEEP if c.log_file.is_null() => Some(Stdio::Kept),
        RSD_STDIO_KEEP => return Err(Error::invalid("log_file has no use with RSD_STDIO_KEEP")),
        RSD_STDIO_KEEP_UNTIL_READY => Some(Stdio::KeptUntilReady),
        _ => return Err(Error::invalid("stdio is out of range")),
    };
    options.log_file = string(c.log_file);
    if let Some(mode) = mode(c.log_file_mode, "log_file_mode is out of range")? {
        options.log_file_mode = mode;
    }
    options.detach = match c.foreground {
        RSD_BACKGROUND => Detach::Always,
        RSD_FOREGROUND => Detach::Never,
        RSD_AUTOMATIC => Detach::Automatic,
        _ => return Err(Error::invalid("foreground is out of range")),
    };
    options.notify_fd = match c.notify_fd {
        0 => None,
        fd if fd > 2 => Some(fd),
        _ => return Err(Error::invalid("notify_fd is out of range")),
    };
    options.session_leader = c.session_leader != 0;
    options.close_inherited = (c.close_inherited != 0).then_some(keep);
    options.reset_signals = c.reset_signals != 0;
    options.allow_threads = c.allow_threads != 0;
    options.ready_timeout_ms = (c.ready_timeout_ms != 0).then_some(c.ready_timeout_ms);
    options.user = string(c.user);
    options.group = string(c.group);
    if !c.sandbox.is_null() {
        // SAFETY: our contract.
        options.sandbox = Some(unsafe { sandbox::read(c.sandbox) }?);
    }
    Ok(())
}
