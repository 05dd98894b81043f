//! Becoming a daemon: everything that can fail early is done in the caller, the rest in the new
//! process, and the caller leaves only when the new process says that it is ready.

mod plan;
mod state;

use core::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd};

use nix::{errno::Errno, sys::stat::Mode, unistd::getpid};

use self::{plan::Plan, state::daemon};
pub use self::{
    plan::pidfile_path,
    state::{
        GO, NO, Serving, Stage, fail, is_pidfile_due, is_succeeded, leave_to_parent,
        let_go_of_parents, ready, serving, stage, watchdog_ms,
    },
};
use crate::{
    channel::{self, Word},
    control,
    detach::{self, Choice, Detach},
    error::{self, Error, OrCannot, Result},
    handed,
    kept::Kept,
    launch::{self, Forks, Launcher, Side, SignalState},
    notify, pidfile, sandbox, sockets,
    sys::{file::OwnedFd, load::identity, process, signal},
    worker,
};

/// What stdin, stdout and stderr become.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// /dev/null, or the log file for stdout and stderr.
    Redirected,
    Kept,
    /// stdin at once; stdout and stderr when the daemon is ready.
    KeptUntilReady,
}

/// What the program asked for.
pub struct Options<'a> {
    pub name: Option<&'a CStr>,
    pub pidfile: Option<&'a CStr>,
    /// A pid file without a slash stands in /run and may lack its ".pid".
    pub pidfile_may_be_name: bool,
    pub pidfile_mode: Option<Mode>,
    pub pidfile_owner: Option<&'a CStr>,
    pub pidfile_at_ready: bool,
    /// `None`: stay.
    pub directory: Option<&'a CStr>,
    /// `None`: leave it.
    pub umask: Option<u32>,
    /// `None`: kept in the foreground without a log file, else redirected.
    pub stdio: Option<Stdio>,
    pub log_file: Option<&'a CStr>,
    pub log_file_mode: Mode,
    pub detach: Detach,
    /// Where a supervisor waits for a newline.
    pub notify_fd: Option<i32>,
    pub session_leader: bool,
    /// Inherited descriptors are closed, except these.
    pub close_inherited: Option<&'a [i32]>,
    pub reset_signals: bool,
    pub allow_threads: bool,
    pub ready_timeout_ms: Option<u32>,
    pub user: Option<&'a CStr>,
    pub group: Option<&'a CStr>,
    pub sandbox: Option<sandbox::Options<'a>>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            name: None,
            pidfile: None,
            pidfile_may_be_name: false,
            pidfile_mode: None,
            pidfile_owner: None,
            pidfile_at_ready: false,
            directory: Some(c"/"),
            umask: Some(0o022),
            stdio: None,
            log_file: None,
            log_file_mode: Mode::from_bits_truncate(0o640),
            detach: Detach::Always,
            notify_fd: None,
            session_leader: false,
            close_inherited: None,
            reset_signals: false,
            allow_threads: false,
            ready_timeout_ms: None,
            user: None,
            group: None,
            sandbox: None,
        }
    }
}

impl Options<'_> {
    /// Whether this process is to be the daemon itself.
    pub fn is_foreground(&self) -> bool {
        self.choice().is_foreground
    }

    fn choice(&self) -> Choice {
        if let (Detach::Automatic, Some(is_foreground)) = (self.detach, handed::is_foreground()) {
            return Choice { is_foreground, why: "as the daemon before it" };
        }
        detach::choose(self.detach, self.notify_fd.is_some())
    }
}

/// `daemonize`: the defaults, and ready at once.
pub fn daemonize(pidfile: Option<&CStr>) -> Result<()> {
    let options = Options { pidfile, ..Options::default() };
    start(&options, true)
}

/// `rsd_daemonize`: the program says itself when it is ready.
pub fn daemonize_with(options: &Options) -> Result<()> {
    start(options, false)
}

/// Returns Ok only in the daemon and Err only in the process that called.
fn start(options: &Options, is_ready_at_once: bool) -> Result<()> {
    notify::attend();
    try_start(options, is_ready_at_once).inspect_err(|error| {
        if error.0 != Errno::EALREADY && !handed::is_served() {
            notify::failed(error);
        }
    })
}

fn try_start(options: &Options, is_ready_at_once: bool) -> Result<()> {
    let me = getpid();
    if worker::is_worker() || daemon().as_ref().is_some_and(|daemon| daemon.owner == me) {
        let why: &[u8] = b"cannot become a daemon: this process is one already";
        return Err(Error::new(Errno::EALREADY, &[why]));
    }
    let choice = options.choice();
    if let Some(channel) = handed::channel() {
        return match prepare(options, choice) {
            Ok(mut plan) => {
                start_daemon(&mut plan, channel, None, is_ready_at_once);
                Ok(())
            }
            Err(error) => {
                let _ = channel::send(channel.as_fd(), &Word::Failed(error));
                Err(error)
            }
        };
    }
    if !choice.is_foreground {
        refuse_to_fork(options.allow_threads)?;
        if control::is_open() {
            let why: &[u8] = b"cannot go into the background: the control socket is open already";
            return Err(Error::new(Errno::EBUSY, &[why]));
        }
    }
    let mut plan = prepare(options, choice)?;
    if choice.is_foreground {
        return plan.carry_out(None, None);
    }
    match launch::launch(if options.session_leader { Forks::Once } else { Forks::Twice })? {
        Side::Daemon { channel, signals } => {
            start_daemon(&mut plan, channel, Some(&signals), is_ready_at_once);
            Ok(())
        }
        Side::Launcher(launcher) => Err(wait(launcher, &plan)),
    }
}

#[inline(never)]
fn prepare<'a>(options: &'a Options<'a>, choice: Choice) -> Result<Plan<'a>> {
    sockets::attend()?;
    let plan = Plan::prepare(options, choice)?;
    state::AT_EXIT.register().or_cannot("register an exit handler")?;
    error::sentence(); // allocated now, not after the fork
    Ok(plan)
}

/// Why this process must not fork and leave.
#[inline(never)]
fn refuse_to_fork(allow_threads: bool) -> Result<()> {
    if getpid().as_raw() == 1 {
        let why: &[u8] =
            b"cannot go into the background: this is process 1, whose end is everybody's";
        return Err(Error::new(Errno::ENOTSUP, &[why]));
    }
    if !allow_threads && process::has_threads().unwrap_or(false) {
        let why: &[u8] = b"cannot go into the background: other threads run, which fork would end";
        return Err(Error::new(Errno::EBUSY, &[why]));
    }
    Ok(())
}

/// Who is ready at once would let go of the sockets of the daemon before, and of the locks of their files.
fn refuse_to_lose() -> Result<()> {
    let why: &[u8] = b"daemonize() is ready before it can take over sockets: use rsd_daemonize() and rsd_ready()";
    match handed::has_more() {
        true => Err(Error::new(Errno::ENOTSUP, &[why])),
        false => Ok(()),
    }
}

/// In the new process: becomes the daemon or tells the launcher why not, and ends.
#[inline(never)]
fn start_daemon(
    plan: &mut Plan,
    channel: OwnedFd,
    signals: Option<&SignalState>,
    is_ready_at_once: bool,
) {
    // Who succeeds a daemon has a session already, which another process has begun.
    let started = match plan.options.session_leader {
        true => nix::unistd::setsid().map(drop).or_cannot("start a session"),
        false => Ok(()),
    };
    if plan.options.session_leader {
        // The terminal may have hung up between fork and setsid; nobody else knows our pid yet.
        signal::discard(libc::SIGHUP);
    }
    let identity = identity(channel.as_raw_fd()).or_cannot("examine the channel to the caller");
    let started = started
        .and(identity)
        .and_then(|identity| plan.carry_out(Some(&channel), signals).map(|()| identity));
    let failed = match started {
        Ok(identity) => {
            if let Some(daemon) = daemon().as_mut() {
                daemon.channel = Some(Kept::known(channel, identity));
            }
            if !is_ready_at_once {
                return;
            }
            match refuse_to_lose().and_then(|()| ready()) {
                Ok(()) => return,
                Err(error) => state::give_up(&Word::Failed(error)),
            };
            process::exit_now(1)
        }
        Err(error) => error,
    };
    let _ = channel::send(channel.as_fd(), &Word::Failed(failed));
    process::exit_now(1)
}

/// In the caller: leaves with the daemon's success, or cleans up and returns why there is none.
#[inline(never)]
fn wait(launcher: Launcher, plan: &Plan) -> Error {
    let options = plan.options;
    let name = options.name.unwrap_or_default().to_bytes();
    launcher.wait(name, options.ready_timeout_ms, |daemon| {
        // A daemon that was killed has left it. Nobody has it locked, or it stays.
        if let Some(place) = &plan.place {
            let _ = pidfile::clear_stale(place, &plan.style);
        }
        if let Some(daemon) = daemon {
            let _ = pidfile::hand_over_from(daemon);
        }
    })
}
