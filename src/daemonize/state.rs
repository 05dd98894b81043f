//! The daemon that this process is, and what it says of itself: ready, or not at all.

use std::{
    os::fd::BorrowedFd,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use nix::{
    errno::Errno,
    unistd::{Pid, getpid},
};

use crate::{
    channel::{self, Word},
    control,
    deadline::{Deadline, FOR_EVER},
    detach::Choice,
    error::{Error, Line, OrCannot, Result},
    handed,
    kept::Kept,
    launch, log,
    notify::{self, NotifyFd},
    pidfile::{self, Held, Place, Style},
    sockets, status, stdio,
    sys::{
        file::Text,
        process::AtExit,
        socket,
        thread::{Guard, Mutex},
    },
    watchdog, worker,
};

/// The daemon that this process is.
pub struct Daemon {
    /// A forked child has this state, too, but is not the daemon.
    pub owner: Pid,
    pub name: Option<Text>,
    /// The path from which it was executed.
    pub program: Option<Text>,
    pub stage: Stage,
    pub choice: Choice,
    /// The service manager takes it for the main process of the service.
    pub is_main: bool,
    /// This process succeeds another daemon, to which the channel leads.
    pub succeeds: bool,
    /// The library has chosen.
    pub is_automatic: bool,
    /// To the launcher, until ready. None in the foreground.
    pub channel: Option<Kept>,
    pub pidfile: Option<Held>,
    /// The pid file that is to appear when ready.
    pub pidfile_at_ready: Option<(Place, Style)>,
    /// What stdout and stderr become when ready.
    pub output_at_ready: Option<Kept>,
    /// Where a supervisor waits for a newline.
    pub notify_fd: Option<NotifyFd>,
    /// How often the service manager is to be told that the daemon goes on.
    pub watchdog_ms: Option<i64>,
}

impl Daemon {
    /// What stdout and stderr are to become when ready.
    fn redirect_output(&mut self) -> Result<()> {
        if let Some(output) = &self.output_at_ready {
            let output = output.get().map_err(|errno| lost(b"the new stdout", errno))?;
            stdio::redirect_output(output)?;
            log::let_go_of_terminal();
            drop(self.output_at_ready.take().and_then(Kept::into_owned_unchecked));
        }
        Ok(())
    }
}

/// How far the start is. There is no way back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Starting,
    Ready,
    /// The daemon gave up, or nobody waits for it any more.
    Over,
}

static DAEMON: Mutex<Option<Daemon>> = Mutex::new(None);

pub fn daemon() -> Guard<'static, Option<Daemon>> {
    DAEMON.lock()
}

/// How far the start of this process as a daemon is. None: it is no daemon.
pub fn stage() -> Option<Stage> {
    daemon().as_ref().filter(|daemon| daemon.owner == getpid()).map(|daemon| daemon.stage)
}

/// `rsd_ready`
pub fn ready() -> Result<()> {
    if let Some(told) = worker::ready() {
        let lock = told?;
        if let Some(daemon) = daemon().as_mut() {
            if let (Some(lock), Some((place, _))) = (lock, daemon.pidfile_at_ready.take()) {
                daemon.pidfile = Held::copy(place, lock);
            }
            daemon.redirect_output()?;
        }
        watchdog::start(worker::watchdog_ms());
        return Ok(());
    }
    let mut daemon = daemon();
    let Some(daemon) = daemon.as_mut() else {
        return ready_without_start();
    };
    if daemon.owner != getpid() {
        let why: &[u8] = b"only the process that became the daemon can say that it is ready";
        return Err(Error::new(Errno::EPERM, &[why]));
    }
    match daemon.stage {
        Stage::Ready => return Ok(()),
        Stage::Starting => {}
        Stage::Over => return Err(cancelled(b"the daemon gave up before")),
    }
    if let Some(held) = &daemon.pidfile {
        held.check().map_err(|errno| lost(b"the lock of the pid file", errno))?;
    }
    // What fails stays to be done: whoever calls again is not told a lie.
    if let Some((place, style)) = &daemon.pidfile_at_ready {
        let lock = pidfile::lock(place, style)?;
        daemon.stage = Stage::Over;
        if let Some((place, _)) = daemon.pidfile_at_ready.take() {
            daemon.pidfile = Some(Held::new(place, lock)?);
        }
        daemon.stage = Stage::Starting;
    }
    daemon.redirect_output()?;
    if let Some(fd) = &daemon.notify_fd {
        fd.tell().or_cannot("tell the supervisor on its notification descriptor")?;
        daemon.notify_fd = None;
    }
    // The daemon before tells it, as long as it is the main process.
    if daemon.choice.is_foreground && !daemon.succeeds {
        notify::tell(&[b"READY=1"])?;
    }
    if let Some(channel) = &daemon.channel {
        let channel = channel.get().map_err(|errno| lost(b"the channel to the caller", errno))?;
        let (pid, status) = (getpid().as_raw(), status::get().text);
        let word = Word::Ready { pid, status: status.as_bytes() };
        let sent = channel::send(channel, &word);
        let sent = if daemon.succeeds { take_over(channel, sent) } else { sent };
        drop(daemon.channel.take().and_then(Kept::into_owned_unchecked));
        if sent.is_err() {
            daemon.pidfile.take().into_iter().for_each(Held::release);
            daemon.stage = Stage::Over;
            let why: &[u8] = if daemon.succeeds {
                b"the daemon before does not let go"
            } else {
                b"whoever started this daemon is gone"
            };
            return Err(cancelled(why));
        }
    }
    daemon.stage = Stage::Ready;
    watchdog::start(daemon.watchdog_ms);
    if daemon.is_automatic && log::is_open() {
        let Choice { is_foreground, why } = daemon.choice;
        let place: &[u8] =
            if is_foreground { b"in the foreground: " } else { b"in the background: " };
        let mut line = Line::new();
        line.push(place);
        line.push(why.as_bytes());
        log::write(libc::LOG_INFO, line.as_bytes(), &[]);
    }
    Ok(())
}

/// What the daemon before says when it lets go, and what when it goes on.
pub const GO: [u8; 1] = *b"g";
pub const NO: [u8; 1] = *b"n";
/// How long the daemon before may take to let go.
const LET_GO_MS: i32 = 30_000;

/// Waits for the word of the daemon before, which was sent that this one is ready. Where that has ended without one,
/// nobody else is left.
fn take_over(channel: BorrowedFd, sent: nix::Result<()>) -> nix::Result<()> {
    let mut word = [0];
    let mut hear = || {
        sent?;
        match Deadline::after(LET_GO_MS).poll(Some(channel), FOR_EVER)? {
            true => socket::receive(channel, &mut word),
            false => Err(Errno::ETIMEDOUT),
        }
    };
    match hear() {
        Ok(1) if word != GO => return Err(Errno::ECANCELED),
        Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => {}
        Err(errno) => return Err(errno),
    }
    sockets::settle().and_then(|()| control::settle()).map_err(|error| error.0)?;
    handed::succeed()?;
    let _ = socket::send(channel, b"t");
    Ok(())
}

/// A daemon that is ready.
pub struct Serving {
    pub is_foreground: bool,
    pub is_main: bool,
    /// The path of the program.
    pub program: Option<Text>,
    /// The number of the lock of its pid file.
    pub lock: Option<i32>,
    pub watchdog_ms: Option<i64>,
}

/// What this process is, if it is a daemon that is ready.
pub fn serving() -> Result<Option<Serving>> {
    let daemon = daemon();
    let is_ready = |daemon: &&Daemon| daemon.owner == getpid() && daemon.stage == Stage::Ready;
    let Some(daemon) = daemon.as_ref().filter(is_ready) else { return Ok(None) };
    if let Some(held) = &daemon.pidfile {
        held.check().map_err(|errno| lost(b"the lock of the pid file", errno))?;
    }
    Ok(Some(Serving {
        is_foreground: daemon.choice.is_foreground,
        is_main: daemon.is_main,
        program: daemon
            .program
            .as_ref()
            .and_then(|path| Text::new(path.as_c_str().to_bytes()).ok()),
        lock: daemon.pidfile.as_ref().map(Held::number),
        watchdog_ms: daemon.watchdog_ms,
    }))
}

/// Whether the pid file is to appear when the daemon is ready.
pub fn is_pidfile_due() -> bool {
    let daemon = daemon();
    daemon.as_ref().is_some_and(|daemon| daemon.pidfile_at_ready.is_some())
}

/// Another process is the daemon from now on.
pub fn is_succeeded() {
    if let Some(daemon) = daemon().as_mut() {
        daemon.stage = Stage::Over;
        daemon.pidfile.take().into_iter().for_each(Held::release);
    }
}

/// The program has become a daemon by itself, or stays what it is; the service manager waits all the same.
fn ready_without_start() -> Result<()> {
    static IS_READY: AtomicBool = AtomicBool::new(false);
    if !IS_READY.load(Relaxed) {
        notify::tell(&[b"READY=1"])?;
        watchdog::start(watchdog::wanted());
        IS_READY.store(true, Relaxed);
    }
    Ok(())
}

fn cancelled(why: &[u8]) -> Error {
    Error::new(Errno::ECANCELED, &[b"the start was cancelled: ", why])
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
    if worker::gave_up(status, text) {
        return;
    }
    let is_starting = give_up(&Word::GaveUp { status, text });
    let daemon = daemon();
    // Otherwise the launcher tells it, or the daemon before goes on.
    let tells =
        |daemon: &Daemon| daemon.owner == getpid() && (daemon.choice.is_foreground || !is_starting);
    if daemon.as_ref().is_none_or(tells) && !handed::is_served() {
        notify::gave_up(status, text);
    }
    if let Some(daemon) =
        daemon.as_ref().filter(|daemon| is_starting && daemon.choice.is_foreground)
    {
        let name = daemon.name.as_ref().map_or(c"", Text::as_c_str);
        launch::show(name.to_bytes(), text);
    }
}

/// Lets go of everything and gives the launcher its word. Whether the start was not over yet.
pub fn give_up(word: &Word) -> bool {
    let mut daemon = daemon();
    let Some(daemon) = daemon.as_mut().filter(|daemon| daemon.owner == getpid()) else {
        return false;
    };
    let is_starting = daemon.stage == Stage::Starting;
    daemon.stage = Stage::Over;
    daemon.pidfile.take().into_iter().for_each(Held::release);
    let channel = daemon.channel.take();
    if let Some(channel) = channel.as_ref().and_then(|channel| channel.get().ok()) {
        let _ = channel::send(channel, word);
    }
    is_starting
}

/// How often the service manager is to hear that this process goes on.
pub fn watchdog_ms() -> Option<i64> {
    match daemon().as_ref().filter(|daemon| daemon.owner == getpid()) {
        Some(daemon) => daemon.watchdog_ms,
        None => watchdog::wanted(),
    }
}

/// In a worker: its parent is the daemon. The lock is of both, so that there is no other daemon as long as either runs.
pub fn leave_to_parent() {
    if let Some(daemon) = daemon().as_mut() {
        daemon.channel = None;
        daemon.notify_fd = None;
    }
}

/// A forked child that is not the daemon closes its copies of what is the daemon's.
pub fn let_go_of_parents() {
    let mut daemon = daemon();
    if let Some(daemon) = daemon.as_mut().filter(|daemon| daemon.owner != getpid()) {
        daemon.pidfile = None;
        daemon.channel = None;
        daemon.output_at_ready = None;
        daemon.notify_fd = None;
    }
}

/// The pid file is removed, and whoever waits for it told.
pub static AT_EXIT: AtExit = AtExit::new(at_exit);

extern "C" fn at_exit() {
    if stage() == Some(Stage::Ready) {
        notify::stopping();
    }
    // A thread that is in a call of ours when another one exits keeps the lock: leave the file.
    let Some(mut daemon) = DAEMON.try_lock() else {
        return;
    };
    if let Some(daemon) = daemon.as_mut().filter(|daemon| daemon.owner == getpid()) {
        daemon.pidfile.take().into_iter().for_each(Held::release);
    }
}
