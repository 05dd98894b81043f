//! The C face of the log.

use core::{
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    slice,
};

use nix::sys::stat::Mode;

use super::boundary::{self, optional, run, undisturbed};
use crate::{
    error::{Error, Result},
    log::{self, Options, Rotation, crash, limit::Site},
    sys::memory::Buffer,
};

/// A line of the log, in a file or on stderr, has at most so many bytes, its time, name and newline
/// included. Of a longer one the end of the message is replaced by "[cut]".
pub const RSD_LOG_LINE_MAX: usize = 4096;

/// `va_list` (cbindgen takes a type of std's name for it for "..."), which all calling conventions of Linux that this library is built for pass as one
/// pointer.
pub type ArgumentList = *mut c_void;

/// Where rsd_log() writes. What is left out (0, NULL) has its default. Write it with RSD_LOG_OPTIONS(),
/// which fills in the size. With neither to_syslog, to_journal, to_stderr nor a file it is syslog.
#[repr(C)]
pub struct rsd_log_options {
    /// sizeof(struct rsd_log_options): how much of it the program knows.
    pub size: usize,
    /// What the program is called in each line. NULL: as it was executed, without the folder.
    pub name: *const c_char,
    /// LOG_DAEMON, LOG_LOCAL0 ... of syslog(3). 0: LOG_DAEMON.
    pub facility: c_int,
    /// The least important level that is logged, LOG_ALERT to LOG_DEBUG. 0: LOG_DEBUG, that is all.
    pub level: c_int,
    /// Not 0: to the syslog daemon, through /dev/log (RFC 3164, in the form that syslog(3) has).
    pub to_syslog: c_int,
    /// Not 0: to systemd-journald, in its own protocol, with the fields of rsd_log_fields().
    pub to_journal: c_int,
    /// Not 0: to stderr. "NAME: MESSAGE"; with "<LEVEL>" instead of the name where stderr is the journal
    /// (JOURNAL_STREAM).
    pub to_stderr: c_int,
    /// A file that lines are appended to: "2026-11-25T16:05:59.123456+01:00 NAME[PID] LEVEL: MESSAGE",
    /// with the level as in syslog.conf(5): emerg, alert, crit, err, warning, notice, info, debug.
    /// Relative to the working directory of this call. NULL: none.
    pub file: *const c_char,
    /// The mode of a new file, whatever the umask. 0: 0640, less the umask.
    pub file_mode: c_uint,
    /// The owner of a new file, by name or number, with the group of that user. NULL: whoever makes it.
    pub file_owner: *const c_char,
    /// Rotate before a line that would make the file longer than so many bytes: FILE becomes FILE.1,
    /// FILE.1 becomes FILE.2 and so on. 0: never. Several threads and processes may write and rotate the same
    /// file; then it may become longer by what the others write while one rotates, and for each other process
    /// by a sixteenth or what it writes in a second.
    pub file_limit: usize,
    /// How many files are kept besides FILE, when it is rotated. 0: 5. A file that somebody is still
    /// writing to is kept longer.
    pub file_count: c_uint,
    /// Rotate when the file was begun more than so many seconds ago. 0: never.
    pub file_age_s: c_uint,
    /// Not 0: stdout and stderr of this process are the file, too, also after it was rotated or reopened.
    /// Not together with to_stderr. For children see rsd_log_pipe().
    pub redirect_stdio: c_int,
    /// A signal on which rsd_dispatch() and rsd_wait() do rsd_reopen_log(), as SIGHUP or SIGUSR1 for
    /// logrotate(8). It may be flagged by rsd_flag_signal() and install_signal_flags(), too, before or
    /// after. 0: none.
    pub reopen_signal: c_int,
}

/// Open the log, or open it anew with other options.
///
/// Instead of openlog(3), with as many targets at once as are asked for. Each of them goes on when it can
/// again: a syslog daemon or journald that is not there yet, is restarted, or takes no more lines; a file
/// that cannot be written. What could not be written meanwhile is counted, and the next line that can be is
/// preceded by one that tells how many were lost. What makes rsd_log() wait is the file system (a disk, NFS), and
/// a reader of syslog, the journal or stderr who is behind: for less than a millisecond, and not again
/// until that reader takes a line. (Before Linux 6.4 a full pipe of another user, as after giving up root, to which
/// several threads write may make one of them wait for as long as it takes.)
///
/// The file is a regular file with one name, no symbolic link. It is looked for once a second, when there is a
/// line: if it was removed or replaced, the new one is opened or made; if it was moved away, a second later.
/// Where that fails the old one is kept. A file that was truncated (copytruncate) is written on from its new
/// end.
///
/// A program that closes the log's descriptor has it opened anew, and nothing is written to what it opens there.
/// Beyond RLIMIT_FSIZE lines are lost, and no SIGXFSZ comes. Both are looked at before a line that comes 64
/// microseconds after the last look, or sooner. Whoever does one of them between two lines that are closer
/// together calls rsd_reopen_log() after it.
///
/// A line is in the kernel when rsd_log() returns, and is one write(2): what ends the process after that loses
/// nothing, and lines of several processes do not mix. (A process that SIGKILL ends within the call may leave
/// the beginning of its line before the next one.)
///
/// If the call fails, the log stays as it was. Before the first call lines go to stderr.
///
/// Call it before or after daemonize() and before privileges are given up: another user may not open the terminal
/// that stderr is, and waits when somebody stops it (Ctrl-S). To make, rotate and reopen the file after that, the
/// user needs to be allowed to write in its directory.
///
/// @param options  NULL: the defaults
/// @return         0, or -1 with errno set and nothing changed:
///                 EINVAL   an option is out of range, or needs a file and there is none; the file is a
///                          FIFO, a socket or a device
///                 ELOOP    the file is a symbolic link
///                 EISDIR   the file is a directory
///                 EMLINK   the file has hard links
///                 E2BIG    the options are of a newer version than this library
///                 or any errno of open(2), fchmod(2), fchown(2) and sigaction(2); for the owner as for
///                 rsd_daemonize()
///
/// Not thread-safe: no other thread may log meanwhile. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_open_log(options: *const rsd_log_options) -> c_int {
    run(|| {
        // SAFETY: by the contract of this function.
        let given = unsafe { boundary::options(options) }?;
        // SAFETY: as above; what it borrows lives as long as the call.
        log::open(&unsafe { converted(&given) }?)?;
        Ok(0)
    })
}

/// # Safety
/// All pointers are NULL or as the header says.
unsafe fn converted<'a>(given: &rsd_log_options) -> Result<Options<'a>> {
    // SAFETY: our contract.
    let [name, file, owner] =
        [given.name, given.file, given.file_owner].map(|text| unsafe { optional(text) });
    if given.facility & !0x3f8 != 0 || given.facility >> 3 > 23 {
        return Err(Error::invalid("facility is out of range"));
    }
    if !(0..=7).contains(&given.level) {
        return Err(Error::invalid("level is out of range"));
    }
    if given.file_mode > 0o7777 {
        return Err(Error::invalid("file_mode is out of range"));
    }
    if file.is_some_and(CStr::is_empty) {
        return Err(Error::invalid("the path of the log file is empty"));
    }
    let wants_file = given.file_mode != 0
        || owner.is_some()
        || given.file_limit != 0
        || given.file_count != 0
        || given.file_age_s != 0
        || given.redirect_stdio != 0;
    if file.is_none() && wants_file {
        return Err(Error::invalid("an option of the log needs a file, and there is none"));
    }
    if given.redirect_stdio != 0 && given.to_stderr != 0 {
        return Err(Error::invalid("to_stderr has no use with redirect_stdio"));
    }
    let is_nowhere =
        given.to_journal == 0 && given.to_stderr == 0 && given.to_syslog == 0 && file.is_none();
    Ok(Options {
        name,
        facility: if given.facility == 0 { libc::LOG_DAEMON } else { given.facility },
        level: if given.level == 0 { libc::LOG_DEBUG } else { given.level },
        to_syslog: given.to_syslog != 0 || is_nowhere,
        to_journal: given.to_journal != 0,
        to_stderr: given.to_stderr != 0,
        file,
        file_mode: (given.file_mode != 0).then(|| Mode::from_bits_truncate(given.file_mode)),
        file_owner: owner,
        rotation: Rotation {
            limit: given.file_limit as u64,
            count: if given.file_count == 0 { 5 } else { given.file_count },
            age_s: given.file_age_s.into(),
        },
        redirect_stdio: given.redirect_stdio != 0,
        reopen_signal: (given.reopen_signal != 0).then_some(given.reopen_signal),
    })
}

/// rsd_log() with a list of arguments, as vsyslog(3).
///
/// The message is one line: control characters, also newlines in its middle, are shown as \n, \t or \x1b;
/// newlines at its end are dropped. %m is the error text of errno. errno stays what it is.
///
/// @param level   LOG_EMERG to LOG_DEBUG; what stands there of a facility is ignored
/// @param format  as for printf(3)
///
/// Thread-safe, also after fork(2) in a process of many threads. Not async-signal-safe: see
/// rsd_log_string(). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_vlog(level: c_int, format: *const c_char, arguments: ArgumentList) {
    if !log::is_wanted(level) || format.is_null() {
        return;
    }
    undisturbed(|| {
        let mut text = Buffer::<RSD_LOG_LINE_MAX>::new();
        let print = |to: *mut u8, room| {
            // SAFETY: `to` has that room, and the rest is the contract of this function.
            let length = unsafe { vsnprintf(to.cast(), room, format, arguments) };
            usize::try_from(length).unwrap_or(0)
        };
        // SAFETY: vsnprintf(3) writes what it says, as far as there is room.
        unsafe { text.fill(print) };
        log::write(level, text.as_bytes(), &[]);
    });
}

unsafe extern "C" {
    /// With a `ArgumentList` for what the `libc` crate cannot name.
    fn vsnprintf(to: *mut c_char, room: usize, format: *const c_char, list: ArgumentList) -> c_int;
}

/// Log a text as it is.
///
/// As rsd_log(), without a format. It needs 32 KiB of stack, which an alternate one may not have.
///
/// @param level  LOG_EMERG to LOG_DEBUG; what stands there of a facility is ignored
/// @param text   NULL: nothing is logged
///
/// Thread-safe. Async-signal-safe: a signal handler may call it. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_log_string(level: c_int, text: *const c_char) {
    // SAFETY: by the contract of this function.
    if let Some(text) = unsafe { optional(text) }.filter(|_| log::is_wanted(level)) {
        undisturbed(|| log::write(level, text.to_bytes(), &[]));
    }
}

/// Log a text with fields for the journal (systemd.journal-fields(7)).
///
/// The fields reach the journal alone; what everybody is to read belongs into the text.
///
/// @param level   LOG_EMERG to LOG_DEBUG; what stands there of a facility is ignored
/// @param text    NULL: nothing is logged
/// @param fields  "NAME=VALUE" each, with a name of upper case letters, digits and underscores that does
///                not begin with an underscore or a digit; others are left out. At most 16, and 2048
///                bytes in all; what is more is left out
/// @param count   how many
///
/// Thread-safe. Async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_log_fields(
    level: c_int,
    text: *const c_char,
    fields: *const *const c_char,
    count: usize,
) {
    // SAFETY: by the contract of this function.
    let Some(text) = unsafe { optional(text) }.filter(|_| log::is_wanted(level)) else { return };
    let mut given = [c""; log::FIELDS_MAX];
    if !fields.is_null() {
        // SAFETY: by the contract of this function there are `count` of them.
        let fields = unsafe { slice::from_raw_parts(fields, count.min(log::FIELDS_MAX)) };
        for (to, field) in given.iter_mut().zip(fields) {
            // SAFETY: as above.
            *to = unsafe { optional(*field) }.unwrap_or_default();
        }
    }
    undisturbed(|| log::write(level, text.to_bytes(), &given));
}

/// Whether lines of this level are logged: to spare the work of making one.
///
/// @return  1 or 0
///
/// Thread-safe. Async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_log_wants(level: c_int) -> c_int {
    log::is_wanted(level).into()
}

/// Choose anew which levels are logged.
///
/// @param level  the least important one, LOG_EMERG to LOG_DEBUG
/// @return       the one before, or -1 with errno set:
///               EINVAL  level is out of range
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_set_log_level(level: c_int) -> c_int {
    run(|| match level {
        0..=7 => Ok(log::set_level(level)),
        _ => Err(Error::invalid("level is out of range")),
    })
}

/// Open the file of the log anew, and connect anew to syslog and the journal.
///
/// For logrotate(8) and others that have moved the file. The new file is opened before the old one is let
/// go of: no line is lost, and if it cannot be opened, the old one stays.
///
/// @return  0, also without a file, or -1 with errno set and the old file kept:
///          EALREADY  the file is being reopened or rotated by another thread
///          or as for rsd_open_log()
///
/// Thread-safe. Not async-signal-safe; see reopen_signal of rsd_log_options. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_reopen_log() -> c_int {
    run(|| log::reopen().map(|()| 0))
}

/// How the log is doing.
#[repr(C)]
pub struct rsd_log_state {
    /// sizeof(struct rsd_log_state), set by the program.
    pub size: usize,
    /// The least important level that is logged.
    pub level: c_int,
    /// 0, or the errno of why the file did not take the latest line.
    pub file_errno: c_int,
    /// How many lines the file did not take.
    pub file_lost: c_uint,
    /// As file_errno, of syslog.
    pub syslog_errno: c_int,
    /// How many lines syslog did not take.
    pub syslog_lost: c_uint,
    /// As file_errno, of the journal.
    pub journal_errno: c_int,
    /// How many lines the journal did not take.
    pub journal_lost: c_uint,
    /// As file_errno, of stderr.
    pub stderr_errno: c_int,
    /// How many lines stderr did not take.
    pub stderr_lost: c_uint,
    /// 0, or the errno of why the file could not be reopened or rotated the last time.
    pub reopen_errno: c_int,
    /// How many lines RSD_LOG_LIMITED() held back.
    pub held_back: c_uint,
}

/// Ask how the log is doing. Counts are of this process, since the log was opened or the process forked.
///
/// @param state  with its size set; filled in
/// @return       0, or -1 with errno set:
///               EINVAL  state is NULL or its size is too small
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_get_log_state(state: *mut rsd_log_state) -> c_int {
    run(|| {
        // SAFETY: by the contract of this function.
        let size = unsafe { boundary::size_of_state(state) }?;
        let [file, syslog, journal, stderr] = log::health();
        let now = rsd_log_state {
            size,
            level: log::level(),
            file_errno: file.errno,
            file_lost: file.lost,
            syslog_errno: syslog.errno,
            syslog_lost: syslog.lost,
            journal_errno: journal.errno,
            journal_lost: journal.lost,
            stderr_errno: stderr.errno,
            stderr_lost: stderr.lost,
            reopen_errno: log::reopen_errno(),
            held_back: log::limit::held_back(),
        };
        // SAFETY: not NULL, and large enough by its size.
        unsafe { state.write(now) };
        Ok(0)
    })
}

/// What RSD_LOG_LIMITED() knows of a place in the program. All zeros: nothing yet.
#[repr(C)]
pub struct rsd_log_site {
    /// For the library alone.
    pub state: [c_uint; 4],
}

/// Whether a place in the program may log a line now: what RSD_LOG_LIMITED() asks.
///
/// When lines were held back and the time is over, one line tells how many.
///
/// @param site     of this place alone, static, all zeros at first
/// @param count    so many lines
/// @param seconds  in so many seconds
/// @param level    of the line
/// @return         1 or 0
///
/// Thread-safe. Async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_log_allows(
    site: *mut rsd_log_site,
    count: c_uint,
    seconds: c_uint,
    level: c_int,
) -> c_int {
    // SAFETY: by the contract of this function NULL or a static of this layout, which only this
    // function uses.
    let Some(site) = (unsafe { site.cast::<Site>().as_ref() }) else { return 1 };
    let mut is_allowed = false;
    undisturbed(|| is_allowed = log::is_wanted(level) && site.allows(count, seconds, level));
    is_allowed.into()
}

/// Make a pipe whose lines are logged, for the stdout and stderr of children.
///
/// What is written there, by a child and by the programs it executes, goes through the log line by line,
/// also after it was rotated or reopened: rsd_dispatch() and rsd_wait() read it. A line of more than
/// RSD_LOG_LINE_MAX bytes becomes several. If the daemon does not read for a while, the child waits; so this
/// is nothing for the daemon's own stdout. It ends when the last copy of the descriptor is closed. What
/// is still in it when the daemon ends is lost. A forked child reads nothing of its parent's: call this after
/// daemonize().
///
/// @param level  LOG_EMERG to LOG_DEBUG, of all its lines
/// @return       a close-on-exec descriptor to write to, for dup2(2) in the child, to be closed by the
///               program; or -1 with errno set:
///               EINVAL  level is out of range
///               EMFILE, ENFILE, ENOMEM  as of pipe(2)
///               or as for rsd_fd()
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_log_pipe(level: c_int) -> c_int {
    run(|| match level {
        0..=7 => log::pipe::make(level),
        _ => Err(Error::invalid("level is out of range")),
    })
}

/// Have a crash leave a line in the log.
///
/// On SIGSEGV, SIGABRT, SIGBUS, SIGFPE and SIGILL one line of level LOG_CRIT tells signal, address, pid and
/// name, in the file, on stderr and in syslog and the journal. Then the signal does what it did before this
/// call: core dump and exit status are those of the crash. A handler that the program installs later
/// replaces this.
///
/// The calling thread gets an alternate stack (sigaltstack(2)) unless it has one, so that a stack
/// overflow can be recorded, too; other threads call this function again for that.
///
/// @return  0, or -1 with errno set:
///          ENOMEM  no memory for the stack
///          or any errno of sigaction(2) and sigaltstack(2)
///
/// Thread-safe, but signal actions belong to the process. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_log_crashes() -> c_int {
    run(|| crash::record().map(|()| 0))
}
