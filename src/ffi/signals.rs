//! The C face of signals: flags, what was ignored, who sent what.

use core::ffi::{c_int, c_uint};

use super::boundary::run;
use crate::{error::Error, signals};

/// `sig_atomic_t`, which is an int wherever Linux runs. In the header: volatile sig_atomic_t.
pub type SignalFlag = c_int;

/// rsd_set_signal_options(): system calls that the signal interrupts go on (SA_RESTART), as far as
/// signal(7) says that they can. sleep(3), poll(2) and others return early all the same.
pub const RSD_SIGNAL_RESTART: c_uint = 1;

/// rsd_set_signal_options(): the signal is handled once; a second one has its default action, which
/// for SIGTERM and SIGINT ends the process at once (SA_RESETHAND).
pub const RSD_SIGNAL_SECOND_ENDS: c_uint = 2;

/// Let signals set variables of the program.
///
/// SIGTERM and SIGINT set *shutdown_flag to 1, SIGHUP sets *reload_flag to 1; the program looks at
/// them in its loop and sets *reload_flag back to 0 itself. SIGPIPE is ignored, so that writing to a
/// closed connection fails with EPIPE instead of ending the daemon. See rsd_flag_signal() and
/// rsd_ignore_signal(), which this call stands for.
///
/// A signal that arrives between the look at the flag and a sleep(3) that follows is seen only after
/// that sleep, as with every flag; rsd_wait() instead of sleep(3) has no such gap.
///
/// Call it before or after daemonize(), before threads are started. A second call moves the flags.
///
/// @param shutdown_flag  a variable that lives as long as the process
/// @param reload_flag    the same; NULL: SIGHUP is ignored
/// @return               0, or -1 with errno set and nothing changed:
///                       EINVAL  shutdown_flag is NULL
///                       or any errno of sigaction(2) and pthread_sigmask(3)
///
/// Thread-safe, but signal actions belong to the process. Not async-signal-safe. Since 0.1.
#[cfg(not(no_drop_in_names))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn install_signal_flags(
    shutdown_flag: *mut SignalFlag,
    reload_flag: *mut SignalFlag,
) -> c_int {
    install(shutdown_flag, reload_flag)
}

/// install_signal_flags() under a name that no program has for itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_install_signal_flags(
    shutdown_flag: *mut SignalFlag,
    reload_flag: *mut SignalFlag,
) -> c_int {
    install(shutdown_flag, reload_flag)
}

#[inline(never)] // two names, one copy
fn install(shutdown: *mut SignalFlag, reload: *mut SignalFlag) -> c_int {
    run(|| {
        if shutdown.is_null() {
            return Err(Error::invalid("shutdown_flag is NULL"));
        }
        signals::install_flags(shutdown, reload).map(|()| 0)
    })
}

/// Let a signal set a variable of the program, wake rsd_wait() and make rsd_fd() readable.
///
/// When the signal arrives, *flag becomes value. The handler stores, wakes and does nothing else; it
/// may run in any thread. The signal is unblocked in the calling thread, also where the caller of
/// the program had it blocked or ignored. It interrupts system calls: sleep(3) returns early, others
/// fail with EINTR, as signal(7) says; see rsd_set_signal_options().
///
/// SIGTERM, SIGINT and SIGQUIT mean shutdown where they are flagged: as long as such a flag has its
/// value, or without a variable until rsd_next_signal() has told of the signal, commands of rsd_run()
/// and rsd_spawn() are ended.
///
/// A forked child keeps handler and flag. A signal that it gets wakes the child and nobody else, and
/// what its parent got is none of its. A program that is executed starts with the default action.
///
/// @param signo  any signal up to SIGRTMAX that can be caught, except those that a fault of the
///               program's own raises
/// @param flag   a variable that lives as long as the process; NULL: only wake
/// @param value  what to store
/// @return       0, or -1 with errno set and nothing changed:
///               EINVAL  signo is none, or is SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL,
///                       SIGTRAP or SIGSYS, or one that the C library keeps for itself
///               or any errno of sigaction(2) and pthread_sigmask(3)
///
/// Thread-safe, but signal actions belong to the process. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_flag_signal(
    signo: c_int,
    flag: *mut SignalFlag,
    value: c_int,
) -> c_int {
    run(|| signals::flag(signo, flag, value).map(|()| 0))
}

/// Ignore a signal, in this program only.
///
/// The signal gets a handler that does nothing, so that programs which are executed start with the
/// default action and not with one that is ignored. System calls go on (SA_RESTART), but sleep(3),
/// poll(2) and those like them return early. SIGTTIN and SIGTTOU are really ignored (SIG_IGN), since
/// a handler would make what they guard fail; programs that are executed other than by rsd_run() and
/// rsd_spawn() inherit that.
///
/// @param signo  as for rsd_flag_signal(), and not SIGCHLD: to ignore that would take the exit status
///               from all who wait for a child; see rsd_reap_children()
/// @return       0, or -1 with errno set and nothing changed; errno as for rsd_flag_signal()
///
/// Thread-safe, but signal actions belong to the process. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_ignore_signal(signo: c_int) -> c_int {
    run(|| signals::ignore(signo).map(|()| 0))
}

/// Give a signal back: it does again what it did before rsd_flag_signal(), rsd_ignore_signal() or
/// install_signal_flags() was first called for it, and is blocked again in the calling thread if it
/// was blocked then. A handler that the program has installed since stays.
///
/// @return  0, also when nothing was to be done, or -1 with errno set:
///          EINVAL  signo is no signal
///          or any errno of sigaction(2) and pthread_sigmask(3)
///
/// Thread-safe, but signal actions belong to the process. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_restore_signal(signo: c_int) -> c_int {
    run(|| signals::restore(signo).map(|()| 0))
}

/// Choose how a flagged signal is handled.
///
/// @param signo    a signal that rsd_flag_signal() or install_signal_flags() has flagged
/// @param options  RSD_SIGNAL_... or-ed together; 0: neither. Flagging it again sets 0.
/// @return         0, or -1 with errno set and nothing changed:
///                 EINVAL  signo is not flagged, or there is an unknown option, or
///                         RSD_SIGNAL_SECOND_ENDS for SIGCHLD together with rsd_reap_children(),
///                         or for a signal on which the log is reopened
///                 or any errno of sigaction(2)
///
/// Thread-safe, but signal actions belong to the process. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_set_signal_options(signo: c_int, options: c_uint) -> c_int {
    run(|| signals::set_options(signo, options).map(|()| 0))
}

/// What rsd_next_signal() tells.
#[repr(C)]
pub struct rsd_signal_info {
    /// sizeof(struct rsd_signal_info), set by the program.
    pub size: usize,
    /// The signal.
    pub signo: c_int,
    /// The process that sent the latest one, as numbered where this process runs. 0: the kernel (a
    /// terminal, a timer), or a process that cannot be seen from here.
    pub pid: c_int,
    /// The real user of that process; 0 if pid is 0.
    pub uid: c_uint,
    /// How many have arrived since it was last told. What arrives while one of the same number is
    /// still to be delivered is one with it, except for real-time signals.
    pub count: c_uint,
}

/// Ask which flagged signals have arrived.
///
/// Each call tells one signal number that has arrived since it was last told, the lowest first. It
/// neither looks at the flags nor takes a wake-up from rsd_wait() or rsd_fd().
///
/// @param info  with its size set; filled in when the result is 1
/// @return      1, or 0 when there is none (more), or -1 with errno set:
///              EINVAL  info is NULL or its size is too small
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_next_signal(info: *mut rsd_signal_info) -> c_int {
    run(|| {
        // SAFETY: by the contract of this function NULL or a struct that begins with its size.
        let info = unsafe { info.as_mut() }.filter(|info| info.size >= size_of_val(*info));
        let info = info.ok_or_else(|| Error::invalid("info is NULL or has no size"))?;
        let Some(arrived) = signals::next() else { return Ok(0) };
        info.signo = arrived.signo;
        info.pid = arrived.pid;
        info.uid = arrived.uid;
        info.count = arrived.count;
        Ok(1)
    })
}
