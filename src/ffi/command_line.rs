//! The C face of a daemon's own command line.

use core::ffi::{c_char, c_int, c_uint, c_void};

use super::{
    boundary::{self, optional, run},
    daemonize::{self, rsd_options},
};
use crate::{
    command_line::{self, Options},
    error::{Error, Result},
    sys::{arguments::MainArguments, callback::Callback},
};

/// rsd_command(): this process is the daemon now.
pub const RSD_IS_DAEMON: c_int = 256;

/// Whether the daemon could start with these arguments; see rsd_command_options.check.
#[allow(non_camel_case_types)] // as C has it
pub type rsd_check_callback =
    Option<unsafe extern "C" fn(argc: c_int, argv: *mut *mut c_char, arg: *mut c_void) -> c_int>;

/// What rsd_command() is to start and stop. What is left out (0, NULL) has its default. Write it with
/// RSD_COMMAND_OPTIONS(), which fills in the size.
#[repr(C)]
pub struct rsd_command_options {
    /// sizeof(struct rsd_command_options): how much of it the program knows.
    pub size: usize,
    /// How the daemon is started, as for rsd_daemonize(): RSD_OPTIONS(...). Its pidfile is needed; --pidfile,
    /// --user, --foreground, --background and --notify-fd take precedence over what stands there. Its name stands in front of
    /// each line that is written; NULL: what was executed, without its folder.
    pub daemon: *const rsd_options,
    /// The control socket that the daemon opens (rsd_open_control()), for reload and status; NULL: none.
    pub control: *const c_char,
    /// More text for --help, as it is to be shown: the program's own options. NULL: none.
    pub usage: *const c_char,
    /// How long the daemon may take to end, or to answer on its control socket, in milliseconds. 0: 30000.
    pub stop_timeout_ms: c_uint,
    /// Not 0: a daemon that takes longer to end is killed (SIGKILL).
    pub stop_kills: c_int,
    /// Called for start, restart and run before anything is stopped or started, with what is left of the
    /// arguments: reads the program's own options and its configuration, so that a mistake there does not stop a
    /// daemon that runs. Returns 0, or after it has written why the status to leave with, 1 to 255; anything else
    /// counts as 1. NULL: nothing is checked.
    pub check: rsd_check_callback,
    /// Handed to it.
    pub check_arg: *mut c_void,
}

/// Do what the command line says: start the daemon, stop it, or tell of it. The body of an init script.
///
///     int main(int argc, char *argv[])
///     {
///         int status = rsd_command(&argc, argv, RSD_COMMAND_OPTIONS(
///             .daemon = RSD_OPTIONS(.name = "mydaemon", .pidfile = "mydaemon")));
///         if (status != RSD_IS_DAEMON)
///             return status;
///         ... getopt(argc, argv, ...), rsd_ready(), main loop ...
///     }
///
/// Understood are these arguments, in any order, and nothing behind "--":
///
///     start            go into the background, and leave when the daemon is ready; also without a word
///     stop             end the daemon, and leave when it is gone (rsd_stop_daemon())
///     restart          stop, then start; if it cannot be stopped, nothing is started; if check says that
///                      it could not start, nothing is stopped
///     reload           have it read its configuration again
///     status           tell whether it runs
///     run              as start --foreground
///     --pidfile PATH   another pid file, as of rsd_options.pidfile; also --pidfile=PATH
///     --user USER      another user to become
///     --foreground     start without going into the background
///     --background     start in the background, also where foreground = RSD_AUTOMATIC would not
///     --notify-fd FD   the descriptor on which a supervisor waits, as of rsd_options.notify_fd; for s6, what stands in
///                      its file notification-fd
///     --help           tell all this
///
/// They are taken out of argv, and argc is made less. The rest stays in its order for the program; an
/// argument that is neither an option nor such a word is refused if no word came before it, unless it
/// follows an option of the program's own, whose value it may be.
///
/// Unlike all others this function writes: what was done to stdout, what failed to stderr, each line in one
/// write and with "NAME: " in front, after what stdio has buffered. Where that cannot be written, the
/// status is right all the same, and there is no SIGPIPE. An answer of the daemon follows, each line of it
/// behind two blanks. A start that works says nothing.
///
/// reload asks on the control socket, where there is one, and tells the outcome. Without, the daemon gets
/// SIGHUP if it has a handler for it, and nobody knows what comes of it.
///
/// @param argc     as of main(), changed
/// @param argv     as of main(), changed; the NULL behind the last stays there
/// @param options  RSD_COMMAND_OPTIONS(...), or a struct whose size member is set
/// @return         RSD_IS_DAEMON: this process is the daemon, as after rsd_daemonize(): go on, and call
///                 rsd_ready(). 0 to 255: the status with which main() is to return, as LSB has it:
///                 0  done; also start where it runs already, and stop where it does not
///                 1  it could not be done; reload: the daemon refused; run: it runs already; or what
///                    rsd_fail() or check says
///                 2  an unknown command, or an option without its value
///                 3  reload: the daemon has no handler for SIGHUP, and was left alone
///                 4  not allowed (EPERM, EACCES)
///                 7  reload: it does not run
///                 and of the word status:
///                 0  it runs
///                 1  it does not, but its pid file is left
///                 3  it does not run
///                 4  that cannot be told
///                 Or -1 with errno set, and its sentence written to stderr:
///                 EINVAL  argc, argv, options, its daemon or pidfile is NULL, or argc is negative, or an
///                         option of the daemon is out of range
///                 E2BIG   the options are of a newer version and ask for what this one lacks
///
/// Not thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_command(
    argc: *mut c_int,
    argv: *mut *mut c_char,
    options: *const rsd_command_options,
) -> c_int {
    run(|| {
        let mut start = crate::daemonize::Options::default();
        // SAFETY: the caller passes NULL or structs of the size that their first members tell, whose
        // strings and list outlive this call.
        let options = unsafe { convert(options, &mut start) };
        // SAFETY: the caller passes NULL or what main() was given.
        let arguments = unsafe { MainArguments::new(argc, argv) };
        let arguments = arguments.ok_or_else(|| Error::invalid("argc or argv cannot be used"));
        let given = options.and_then(|options| Ok((options, arguments?)));
        let ((options, check), mut arguments) = command_line::explained(given)?;
        let mut check = |arguments: &MainArguments| {
            check.map_or(0, |check| {
                // SAFETY: a function of the program's for what main() was given, and what it wants to be handed.
                unsafe { (check.function)(arguments.count(), arguments.start(), check.arg) }
            })
        };
        let status = command_line::run(&mut arguments, &options, start, &mut check);
        Ok(status.unwrap_or(RSD_IS_DAEMON))
    })
}

type Check = Callback<unsafe extern "C" fn(c_int, *mut *mut c_char, *mut c_void) -> c_int>;

/// # Safety
/// `c` is NULL or a struct of the size that its first member tells, and so is its `daemon`. All that they
/// point to lives for 'a.
#[inline(never)]
unsafe fn convert<'a>(
    c: *const rsd_command_options,
    start: &mut crate::daemonize::Options<'a>,
) -> Result<(Options<'a>, Option<Check>)> {
    if c.is_null() {
        return Err(Error::invalid("options is NULL"));
    }
    // SAFETY: our contract.
    let given: rsd_command_options = unsafe { boundary::options(c) }?;
    if given.daemon.is_null() {
        return Err(Error::invalid("options lack their daemon"));
    }
    // SAFETY: our contract.
    let daemon: rsd_options = unsafe { boundary::options(given.daemon) }?;
    // SAFETY: our contract.
    unsafe { daemonize::convert(&daemon, start) }?;
    if start.pidfile.is_none() {
        return Err(Error::invalid("the daemon lacks a pidfile"));
    }
    let check = given.check.map(|function| Callback { function, arg: given.check_arg });
    let options = Options {
        // SAFETY: our contract.
        control: unsafe { optional(given.control) },
        // SAFETY: our contract.
        usage: unsafe { optional(given.usage) },
        timeout_ms: (given.stop_timeout_ms != 0).then_some(given.stop_timeout_ms),
        kills: given.stop_kills != 0,
    };
    Ok((options, check))
}
