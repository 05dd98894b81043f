//! The daemon that this process is, and what it says of itself: ready, or not at all.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::{
    errno::Errno,
    unistd::{Pid, getpid},
};

use crate::{
    channel::{self, Word},
    error::{Error, OrCannot, Result},
    kept::Kept,
    launch, log,
    pidfile::{self, Held, Place, Style},
    stdio,
    sys::{
        file::Text,
        process,
        thread::{Guard, Mutex},
    },
};

/// The daemon that this process is.
pub struct Daemon {
    /// A forked child has this state, too, but is not the daemon.
    pub owner: Pid,
    pub name: Option<Text>,
    pub stage: Stage,
    pub foreground: bool,
    /// To the launcher, until ready. None in the foreground.
    pub channel: Option<Kept>,
    pub pidfile: Option<Held>,
    /// The pid file that is to appear when ready.
    pub pidfile_at_ready: Option<(Place, Style)>,
    /// What stdout and stderr become when ready.
    pub output_at_ready: Option<Kept>,
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
    let mut daemon = daemon();
    let Some(daemon) = daemon.as_mut() else {
        return Ok(());
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
    if let Some(output) = &daemon.output_at_ready {
        let output = output.get().map_err(|errno| lost(b"the new stdout", errno))?;
        stdio::redirect_output(output)?;
        log::let_go_of_terminal();
        drop(daemon.output_at_ready.take().and_then(Kept::into_owned_unchecked));
    }
    if let Some(channel) = &daemon.channel {
        let channel = channel.get().map_err(|errno| lost(b"the channel to the caller", errno))?;
        let sent = channel::send(channel, &Word::Ready);
        drop(daemon.channel.take().and_then(Kept::into_owned_unchecked));
        if sent.is_err() {
            daemon.pidfile.take().into_iter().for_each(Held::release);
            daemon.stage = Stage::Over;
            return Err(cancelled(b"whoever started this daemon is gone"));
        }
    }
    daemon.stage = Stage::Ready;
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
    let is_starting = give_up(&Word::GaveUp { status, text });
    let daemon = daemon();
    if let Some(daemon) = daemon.as_ref().filter(|daemon| is_starting && daemon.foreground) {
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

/// A forked child that is not the daemon closes its copies of what is the daemon's.
pub fn let_go_of_parents() {
    let mut daemon = daemon();
    if let Some(daemon) = daemon.as_mut().filter(|daemon| daemon.owner != getpid()) {
        daemon.pidfile = None;
        daemon.channel = None;
        daemon.output_at_ready = None;
    }
}

/// Registered once in the caller, since registering may allocate.
pub fn remove_pidfile_at_exit() -> Result<()> {
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
