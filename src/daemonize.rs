//! Becoming a daemon: everything that can fail early is done in the caller, the rest in the new
//! process, and the caller leaves only when the new process says that it is ready.

use core::ffi::CStr;
use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::stat::{Mode, stat},
    unistd::{Pid, fchdir, getpid},
};

use crate::{
    channel::{self, Word},
    error::{self, Error, OrCannot, Result},
    inherited::{self, Descriptors},
    kept::Kept,
    launch::{self, Launcher, Side, SignalState},
    pidfile::{self, Held, Place, Style},
    privileges::{self, Target},
    stdio,
    sys::{
        file::{self, PathBuffer, Text},
        load::identity,
        process, signal,
        thread::{Guard, Mutex},
    },
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
    pub stdio: Stdio,
    pub log_file: Option<&'a CStr>,
    pub log_file_mode: Mode,
    pub foreground: bool,
    pub session_leader: bool,
    /// Inherited descriptors are closed, except these.
    pub close_inherited: Option<&'a [i32]>,
    pub reset_signals: bool,
    pub allow_threads: bool,
    pub ready_timeout_ms: Option<u32>,
    pub user: Option<&'a CStr>,
    pub group: Option<&'a CStr>,
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
            stdio: Stdio::Redirected,
            log_file: None,
            log_file_mode: Mode::from_bits_truncate(0o640),
            foreground: false,
            session_leader: false,
            close_inherited: None,
            reset_signals: false,
            allow_threads: false,
            ready_timeout_ms: None,
            user: None,
            group: None,
        }
    }
}

/// The daemon that this process is.
struct Daemon {
    /// A forked child has this state, too, but is not the daemon.
    owner: Pid,
    name: Option<Text>,
    is_ready: bool,
    foreground: bool,
    /// To the launcher, until ready. None in the foreground.
    channel: Option<Kept>,
    pidfile: Option<Held>,
    /// The pid file that is to appear when ready.
    pidfile_at_ready: Option<(Place, Style)>,
    /// What stdout and stderr become when ready.
    output_at_ready: Option<Kept>,
}

static DAEMON: Mutex<Option<Daemon>> = Mutex::new(None);

fn daemon() -> Guard<'static, Option<Daemon>> {
    DAEMON.lock()
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
    let me = getpid();
    if daemon().as_ref().is_some_and(|daemon| daemon.owner == me) {
        let why: &[u8] = b"cannot become a daemon: this process is one already";
        return Err(Error::new(Errno::EALREADY, &[why]));
    }
    if !options.foreground {
        refuse_to_fork(options.allow_threads)?;
    }
    let mut plan = Plan::prepare(options)?;
    remove_pidfile_at_exit()?;
    error::sentence(); // allocated now, not after the fork
    if options.foreground {
        return plan.carry_out(None, None);
    }
    match launch::launch(options.session_leader)? {
        Side::Daemon { channel, signals } => {
            start_daemon(&mut plan, channel, &signals, is_ready_at_once);
            Ok(())
        }
        Side::Launcher(launcher) => Err(wait(launcher, &plan)),
    }
}

/// Why this process must not fork and leave.
#[inline(never)]
fn refuse_to_fork(allow_threads: bool) -> Result<()> {
    if getpid().as_raw() == 1 {
        let why: &[u8] =
            b"cannot go into the background: this is process 1, whose end is everybody's";
        return Err(Error::new(Errno::ENOTSUP, &[why]));
    }
    // A directory has a link for each subdirectory, and two more. Without /proc nobody can tell.
    let threads = stat(c"/proc/self/task").map_or(1, |stat| stat.st_nlink.saturating_sub(2));
    if threads > 1 && !allow_threads {
        let why: &[u8] = b"cannot go into the background: other threads run, which fork would end";
        return Err(Error::new(Errno::EBUSY, &[why]));
    }
    Ok(())
}

/// All that the options name, looked up and opened in the caller.
struct Plan<'a> {
    options: &'a Options<'a>,
    /// The process that was told to become a daemon.
    caller: Pid,
    name: Option<Text>,
    null: OwnedFd,
    log: Option<OwnedFd>,
    directory: Option<OwnedFd>,
    inherited: Option<Descriptors<'a>>,
    target: Target,
    place: Option<Place>,
    style: Style,
}

impl<'a> Plan<'a> {
    /// One after the other into a plan that is whole at every moment: a failure in the middle of a
    /// struct literal needs code to take back each part of it.
    #[inline(never)]
    fn prepare(options: &'a Options<'a>) -> Result<Self> {
        let mut plan = Plan {
            options,
            caller: getpid(),
            name: None,
            null: stdio::open_null()?,
            log: None,
            directory: None,
            inherited: None,
            target: Target::nobody(),
            place: None,
            style: Style { mode: options.pidfile_mode, owner: None },
        };
        if let Some(name) = options.name {
            plan.name = Some(Text::new(name.to_bytes()).or_cannot("keep the name")?);
        }
        if let Some(keep) = options.close_inherited {
            plan.inherited = Some(Descriptors::except(keep));
        }
        plan.target.look_up(options.user, options.group)?;
        if let Some(owner) = options.pidfile_owner {
            plan.style.owner = Some(privileges::find_owner(owner)?);
        }
        if let Some(path) = options.directory {
            plan.directory = Some(open_directory(path)?);
        }
        if let Some(path) = options.pidfile {
            plan.place = Some(place(path, options.pidfile_may_be_name)?);
        }
        if let Some(path) = options.log_file {
            plan.log = Some(stdio::open_log(path, options.log_file_mode)?);
        }
        Ok(plan)
    }

    /// Makes this process the daemon. The pid file comes after all that can fail without leaving
    /// anything behind, and before privileges are given up.
    #[inline(never)] // two callers
    fn carry_out(
        &mut self,
        channel: Option<&OwnedFd>,
        signals: Option<&SignalState>,
    ) -> Result<()> {
        if let Some(signals) = signals {
            signals.restore_actions()?;
        }
        if let Some(directory) = &self.directory {
            fchdir(directory).or_cannot("change the working directory")?;
        }
        if let Some(mask) = self.options.umask {
            process::set_umask(mask);
        }
        if let Some(inherited) = &self.inherited {
            inherited.close(&self.numbers(channel));
        }
        pidfile::hand_over_from(self.caller)?;
        let pidfile = self.take_pidfile()?;
        let rest = self.redirect().and_then(|output_at_ready| {
            self.target.assume()?;
            if self.options.session_leader && !self.options.foreground {
                // The terminal may have hung up between fork and setsid.
                signal::discard(libc::SIGHUP);
            }
            if let Some(signals) = signals {
                signals.restore_mask()?;
            }
            if self.options.reset_signals {
                inherited::reset_signals()?;
            }
            Ok(output_at_ready)
        });
        match rest {
            Ok(output_at_ready) => {
                *daemon() = Some(Daemon {
                    owner: getpid(),
                    name: self.name.take(),
                    is_ready: false,
                    foreground: self.options.foreground,
                    channel: None,
                    pidfile,
                    pidfile_at_ready: self.place.take().map(|place| (place, self.style)),
                    output_at_ready,
                });
                Ok(())
            }
            Err(error) => {
                pidfile.into_iter().for_each(Held::release);
                Err(error)
            }
        }
    }

    /// Takes the pid file now, or makes sure that nobody has it if it comes later.
    #[inline(never)]
    fn take_pidfile(&mut self) -> Result<Option<Held>> {
        let Some(place) = self.place.take() else {
            return Ok(None);
        };
        if !self.options.pidfile_at_ready {
            let lock = pidfile::lock(&place, &self.style)?;
            return Held::new(place, lock).map(Some);
        }
        pidfile::clear_stale(&place, &self.style)?;
        self.place = Some(place);
        Ok(None)
    }

    /// Returns what stdout and stderr become when ready.
    #[inline(never)]
    fn redirect(&self) -> Result<Option<Kept>> {
        let output = self.log.as_ref().unwrap_or(&self.null);
        let mut later = None;
        match self.options.stdio {
            Stdio::Kept => {}
            Stdio::Redirected => {
                stdio::redirect_input(&self.null)?;
                stdio::redirect_output(output.as_fd())?;
            }
            Stdio::KeptUntilReady => {
                stdio::redirect_input(&self.null)?;
                let number = |error: std::io::Error| error.raw_os_error().unwrap_or(0);
                let copy = output.try_clone().map_err(|error| Errno::from_raw(number(error)));
                let copy = copy.and_then(file::above_stdio).and_then(Kept::new);
                later = Some(copy.or_cannot("keep the output for later")?);
            }
        }
        stdio::fill_gaps(&self.null)?;
        Ok(later)
    }

    /// The numbers of our own descriptors.
    fn numbers(&self, channel: Option<&OwnedFd>) -> [i32; 5] {
        let number = |fd: Option<&OwnedFd>| fd.map_or(-1, OwnedFd::as_raw_fd);
        [
            number(channel),
            number(Some(&self.null)),
            number(self.log.as_ref()),
            number(self.directory.as_ref()),
            self.place.as_ref().map_or(-1, Place::number),
        ]
    }
}

#[inline(never)]
fn open_directory(path: &CStr) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    file::open(path, flags, Mode::empty()).or_cannot_at("open the working directory", path)
}

/// A path, or where allowed a name: "mydaemon" is /run/mydaemon.pid.
#[inline(never)]
fn place(path: &CStr, may_be_name: bool) -> Result<Place> {
    let bytes = path.to_bytes();
    if !may_be_name || bytes.contains(&b'/') || bytes.is_empty() {
        return Place::fixed(path);
    }
    let ending: &[u8] = if bytes.ends_with(b".pid") { b"" } else { b".pid" };
    let mut buffer = PathBuffer::new();
    let path = buffer.join(&[b"/run/", bytes, ending]).or_cannot_at("use the path", path)?;
    Place::fixed(path)
}

/// In the new process: becomes the daemon or tells the launcher why not, and ends.
#[inline(never)]
fn start_daemon(plan: &mut Plan, channel: OwnedFd, signals: &SignalState, is_ready_at_once: bool) {
    let started = match plan.options.session_leader {
        true => nix::unistd::setsid().map(drop).or_cannot("start a session"),
        false => Ok(()),
    };
    let identity = identity(channel.as_raw_fd()).or_cannot("examine the channel to the caller");
    let started = started
        .and(identity)
        .and_then(|identity| plan.carry_out(Some(&channel), Some(signals)).map(|()| identity));
    let failed = match started {
        Ok(identity) => {
            if let Some(daemon) = daemon().as_mut() {
                daemon.channel = Some(Kept::known(channel, identity));
            }
            if !is_ready_at_once {
                return;
            }
            match ready() {
                Ok(()) => return,
                Err(error) => give_up(&Word::Failed(error)),
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

/// `rsd_ready`
pub fn ready() -> Result<()> {
    let mut daemon = daemon();
    let Some(daemon) = daemon.as_mut().filter(|daemon| !daemon.is_ready) else {
        return Ok(());
    };
    if daemon.owner != getpid() {
        let why: &[u8] = b"only the process that became the daemon can say that it is ready";
        return Err(Error::new(Errno::EPERM, &[why]));
    }
    if let Some(held) = &daemon.pidfile {
        held.check().map_err(|errno| lost(b"the lock of the pid file", errno))?;
    }
    if let Some((place, style)) = daemon.pidfile_at_ready.take() {
        let lock = pidfile::lock(&place, &style)?;
        daemon.pidfile = Some(Held::new(place, lock)?);
    }
    if let Some(output) = daemon.output_at_ready.take() {
        let checked = output.get().map_err(|errno| lost(b"the new stdout", errno))?;
        stdio::redirect_output(checked)?;
        drop(output.into_owned_unchecked());
    }
    if let Some(channel) = &daemon.channel {
        let sent = match channel.get() {
            Ok(channel) => channel::send(channel, &Word::Ready),
            Err(Errno::EBADF) => Err(Errno::EBADF),
            Err(errno) => return Err(lost(b"the channel to the caller", errno)),
        };
        drop(daemon.channel.take().and_then(Kept::into_owned_unchecked));
        if sent.is_err() {
            daemon.pidfile.take().into_iter().for_each(Held::release);
            let why: &[u8] = b"the start was cancelled: whoever started this daemon is gone";
            return Err(Error::new(Errno::ECANCELED, &[why]));
        }
    }
    daemon.is_ready = true;
    Ok(())
}

fn lost(what: &[u8], errno: Errno) -> Error {
    match errno {
        Errno::EBADF => Error::new(errno, &[b"the program has closed ", what]),
        _ => Error::cannot_at(errno, "examine", what),
    }
}

/// `rsd_fail`: the launcher shows `text` and leaves with `status`. In the foreground the text goes
/// to stderr.
pub fn fail(status: i32, text: &[u8]) {
    give_up(&Word::GaveUp { status, text });
    let daemon = daemon();
    if let Some(daemon) = daemon.as_ref().filter(|daemon| daemon.foreground && !daemon.is_ready) {
        let name = daemon.name.as_ref().map_or(c"", Text::as_c_str);
        launch::show(name.to_bytes(), text);
    }
}

/// Lets go of everything and gives the launcher its word.
fn give_up(word: &Word) {
    let mut daemon = daemon();
    let Some(daemon) = daemon.as_mut().filter(|daemon| daemon.owner == getpid()) else {
        return;
    };
    daemon.pidfile.take().into_iter().for_each(Held::release);
    let channel = daemon.channel.take();
    if let Some(channel) = channel.as_ref().and_then(|channel| channel.get().ok()) {
        let _ = channel::send(channel, word);
    }
}

/// Registered once in the caller, since registering may allocate.
fn remove_pidfile_at_exit() -> Result<()> {
    static IS_REGISTERED: AtomicBool = AtomicBool::new(false);
    if !IS_REGISTERED.swap(true, Relaxed) {
        process::at_exit(at_exit).or_cannot("register an exit handler")?;
    }
    Ok(())
}

extern "C" fn at_exit() {
    // A thread that is in a call of ours when another one exits keeps the lock: leave the file.
    let Some(mut daemon) = DAEMON.try_lock() else {
        return;
    };
    if let Some(daemon) = daemon.as_mut().filter(|daemon| daemon.owner == getpid()) {
        daemon.pidfile.take().into_iter().for_each(Held::release);
    }
}
