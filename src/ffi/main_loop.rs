//! The C face of the main loop: one descriptor, one dispatch, one wait.

use core::ffi::c_int;

use super::{boundary::run, command::tell, control::call_command};
use crate::{
    children, command, control, daemonize, log,
    main_loop::{self, Told},
    pidfile, poller, worker,
};

/// Calls the program. No lock is held, so it may call anything here.
pub fn call(told: Told) {
    match told {
        Told::Child { pid, status, callback } => {
            // SAFETY: by the contract of rsd_watch_child the function takes these.
            unsafe { (callback.function)(pid, status, callback.arg) }
        }
        Told::Command(finished) => tell(finished),
        Told::Control(called) => call_command(called),
    }
}

/// rsd_wait(), rsd_dispatch(): a flagged signal has arrived since this was last told.
pub const RSD_SIGNAL_ARRIVED: c_int = 1;

/// rsd_wait(), rsd_dispatch(): a callback of the program was called.
pub const RSD_CALLBACK_RAN: c_int = 2;

/// rsd_wait(): a signal handler of the program's own has interrupted the wait. Not told if at the same
/// moment an ignored signal (rsd_ignore_signal()) has, or SIGCHLD (rsd_reap_children()).
pub const RSD_HANDLER_RAN: c_int = 4;

/// The descriptor for the program's own event loop (poll, epoll, libevent, GLib).
///
/// It is readable when anything in this library wants attention: a flagged signal, a child that is
/// watched, a command that runs, a client of the control socket, the watchdog of the service manager. Then call rsd_dispatch(). Do nothing else with it: it is no file, and
/// belongs to the library, which keeps it open. It is close-on-exec.
///
/// A forked child has to ask again: its descriptor is another one. daemonize() forks, too: ask after
/// it.
///
/// @return  a descriptor above 2, the same in each call, or -1 with errno set:
///          EMFILE, ENFILE, ENOMEM  as of epoll_create1(2) and pipe(2)
///          or another errno of epoll_ctl(2) and fstat(2)
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_fd() -> c_int {
    run(main_loop::fd)
}

/// Do what rsd_fd() became readable for, without waiting.
///
/// Callbacks are called from here, from nowhere else. One call does a bounded part of the work: if
/// more is left, rsd_fd() stays readable. Without need it does nothing.
///
/// Where the service manager has a watchdog (WATCHDOG_USEC), it is told from here, and from rsd_wait(), at half of its
/// time, and from nowhere else: a loop that does not come back here is a daemon that hangs. Once a signal has raised
/// the flag of SIGTERM, SIGINT or SIGQUIT the manager is told that the daemon stops ("STOPPING=1").
///
/// @return  RSD_SIGNAL_ARRIVED, RSD_CALLBACK_RAN, both or-ed together, or 0; or -1 with errno set
///          as for rsd_fd()
///
/// Thread-safe; a callback runs in the thread that dispatches, and may call anything here, also this
/// function. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_dispatch() -> c_int {
    run(|| main_loop::dispatch(call))
}

/// Wait instead of sleep(3), and do meanwhile what rsd_dispatch() does.
///
/// It returns at once when a flagged signal arrives, also when one has arrived since the last
/// rsd_wait() or rsd_dispatch() that told so; after a callback was called; and when a handler of the
/// program's own interrupts it. While nothing happens it makes no system call. Stopping and continuing
/// the process (SIGSTOP, SIGCONT, a debugger) does not end it. The time counts by CLOCK_MONOTONIC, which
/// stands still while the machine is suspended.
///
/// @param ms  milliseconds; 0: just dispatch; -1: no limit
/// @return    0 when the time is over, or RSD_SIGNAL_ARRIVED, RSD_CALLBACK_RAN, RSD_HANDLER_RAN or-ed
///            together; or -1 with errno set:
///            EINVAL  ms is less than -1
///            or as for rsd_fd(); then the time is over, and signals would have ended it
///
/// Thread-safe; of several threads that wait, any is told of a signal. If it is one in rsd_run(), that
/// is told again when its command has ended. No cancellation point (pthread_cancel(3)). Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_wait(ms: c_int) -> c_int {
    run(|| main_loop::wait(ms, call))
}

/// Say in a forked child that it is one, if it lives on without executing another program.
///
/// Closes the child's copies of what belongs to its parent alone: the descriptor of the main loop, of
/// children, commands and the control socket, that of a pid file, whose lock would otherwise outlive the parent, and in
/// a child of a worker (rsd_keep_alive()) the way to the worker's parent. Not the locks of paths on which its parent
/// listens (rsd_listen()): they end with the last of both. The parent keeps all of it. Signals
/// stay flagged, and count anew. Without this call a child may use the library, too: the main loop is made anew when it is first used.
///
/// In a worker of rsd_keep_alive() it changes nothing: it has made its own already, and shares the lock.
///
/// @return  0, also in a process that is no forked child
///
/// Not thread-safe: call it while the child has one thread. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_after_fork() -> c_int {
    run(|| {
        worker::let_go_of_parents();
        if !worker::is_worker() {
            daemonize::let_go_of_parents();
            pidfile::let_go_of_parents(); // a worker shares the locks
        }
        command::let_go_of_parents();
        log::pipe::let_go_of_parents();
        control::let_go_of_parents();
        children::let_go_of_parents();
        poller::let_go_of_parents();
        Ok(0)
    })
}
