//! The main loop: one descriptor, one dispatch, one wait. Callbacks are called from here, and no lock
//! is held then: they may call anything.

use core::ffi::c_int;
use std::{
    os::fd::BorrowedFd,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use nix::errno::Errno;

use crate::{
    children::{self, ChildCallback, Ended, Whose},
    command::{self, Client, Finished, Options, Outcome, State},
    control::{self, Called},
    error::{self, Error, OrCannot, Result},
    kept::Kept,
    log, notify,
    poller::{self, Ready, Source},
    signals::{self, Waited},
    sys::{
        epoll, file,
        process::{self, Arguments},
        signal,
    },
    watchdog,
};

/// What happened; bits, also in the header.
const SIGNAL_ARRIVED: c_int = 1;
const CALLBACK_RAN: c_int = 2;
const HANDLER_RAN: c_int = 4;

/// What the program is to be told by a callback.
pub enum Told {
    Child { pid: i32, status: c_int, callback: ChildCallback },
    Command(Finished),
    Control(Called),
}

/// Calls a callback. In ffi.
pub type Call = fn(Told);

/// `rsd_fd`
pub fn fd() -> Result<c_int> {
    if poller::was_lost() {
        children::watch_again();
        command::watch_again();
        log::pipe::watch_again();
        control::watch_again();
        watchdog::watch_again();
    }
    poller::fd()
}

/// `rsd_dispatch`
pub fn dispatch(call: Call) -> Result<c_int> {
    fd()?;
    turn(&poller::ready()?, call)
}

/// How much is done in one turn of what no descriptor of its own tells; of the others the poller
/// knows a limit.
const AT_ONCE: usize = 32;

/// What one turn has done for the program.
struct Turn {
    call: Call,
    is_flagged: bool,
    has_called: bool,
}

impl Turn {
    #[inline(never)] // many callers
    fn tell(&mut self, told: Option<Told>) {
        if let Some(told) = told {
            // Who waits in the callback, or in another thread meanwhile, is to know of it.
            if core::mem::take(&mut self.is_flagged) {
                signals::tell_again();
            }
            (self.call)(told);
            self.has_called = true;
        }
    }
}

/// Does what is ready. That was asked before the news is taken: the bell may ring for what comes
/// after it.
fn turn(ready: &Ready, call: Call) -> Result<c_int> {
    let news = signals::take_news();
    watchdog::look();
    let mut turn = Turn { call, is_flagged: news.is_flagged, has_called: false };
    if news.is_reopen {
        // Where it fails the old file stays, and the state of the log says why.
        let _ = log::reopen();
    }
    if news.is_child {
        turn.tell(children::reap_strangers().and_then(child_ended));
    }
    for source in poller::sources(ready) {
        match source {
            Source::Timer => {
                for number in (0..AT_ONCE).map_while(|_| children::ended_unseen()) {
                    turn.tell(child_ended(number));
                }
            }
            Source::Child(number) => turn.tell(child_ended(number)),
            Source::Output(number) => {
                turn.tell(command::output_is_ready(number).map(Told::Command));
            }
            Source::Errors(number) => {
                turn.tell(command::errors_are_ready(number).map(Told::Command));
            }
            Source::Lines(number) => log::pipe::is_ready(number),
            Source::Listener => turn.tell(control::accept().map(Told::Control)),
            Source::Client(number) => turn.tell(control::is_ready(number).map(Told::Control)),
        }
    }
    for finished in (0..AT_ONCE).map_while(|_| command::look_at_time()) {
        turn.tell(Some(Told::Command(finished)));
    }
    for called in (0..AT_ONCE).map_while(|_| control::look_again()) {
        turn.tell(Some(Told::Control(called)));
    }
    let is_flagged = turn.is_flagged || turn.has_called && signals::take_flagged();
    if is_flagged && signals::is_shutdown() {
        notify::stopping();
    }
    let signal = if is_flagged { SIGNAL_ARRIVED } else { 0 };
    Ok(signal | if turn.has_called { CALLBACK_RAN } else { 0 })
}

fn child_ended(number: usize) -> Option<Told> {
    let Ended { pid, status, whose } = children::look_at(number)?;
    match whose {
        Whose::Program(callback) => Some(Told::Child { pid, status, callback }),
        Whose::Command(command) => command::child_ended(command).map(Told::Command),
        Whose::Nobody => None,
    }
}

/// `rsd_wait`
pub fn wait(ms: c_int, call: Call) -> Result<c_int> {
    if ms < -1 {
        return Err(Error::invalid("ms is less than -1"));
    }
    let fd = match fd() {
        Ok(fd) => fd,
        Err(error) => {
            // Signals at least. Whoever ignores the result must not run in circles.
            return match signals::wait(&[], ms)? {
                _ if signals::take_news().is_flagged => Ok(SIGNAL_ARRIVED),
                Waited::Foreign => Ok(HANDLER_RAN),
                Waited::Ready | Waited::Signal => Err(error),
            };
        }
    };
    let deadline = if ms == -1 { 0 } else { process::monotonic_ms() + i64::from(ms) + 1 };
    let mut limit = ms;
    loop {
        let happened = step(fd, None, limit, call)?;
        if happened != 0 || ms == 0 {
            return Ok(happened);
        }
        if ms != -1 {
            limit = (deadline - process::monotonic_ms()).clamp(0, i64::from(c_int::MAX)) as c_int;
            if limit == 0 {
                return Ok(0);
            }
        }
    }
}

/// To look before a wait costs three system calls less than the wait where there is something, and one
/// more where there is nothing. It is worth it as long as something was found, and is tried now and then:
/// so many waits are to come before that.
static WAITS_LEFT: AtomicU32 = AtomicU32::new(0);
const WAITS_BETWEEN_LOOKS: u32 = 7;

/// What is ready without a wait, if it is worth a look.
fn look() -> Option<Ready> {
    let left = WAITS_LEFT.load(Relaxed);
    if left > 0 {
        WAITS_LEFT.store(left - 1, Relaxed);
        return None;
    }
    let ready = poller::ready().ok().filter(|ready| poller::sources(ready).next().is_some());
    if ready.is_none() {
        WAITS_LEFT.store(WAITS_BETWEEN_LOOKS, Relaxed);
    }
    ready
}

/// Waits until something is ready or `also` is readable, and does what is ready.
fn step(fd: c_int, also: Option<BorrowedFd>, limit_ms: c_int, call: Call) -> Result<c_int> {
    if limit_ms != 0 {
        if let Some(ready) = look() {
            return turn(&ready, call);
        }
    }
    let waited = match (limit_ms, file::borrowed(fd), also) {
        (0, ..) | (_, None, _) => Waited::Ready,
        (limit_ms, Some(fd), None) => signals::wait(&[fd], limit_ms)?,
        (limit_ms, Some(fd), Some(also)) => signals::wait(&[fd, also], limit_ms)?,
    };
    let is_foreign = matches!(waited, Waited::Foreign);
    let ready = match waited {
        Waited::Ready => poller::ready()?,
        // At once, without asking for more. What is ready is so the next time, too.
        Waited::Signal | Waited::Foreign => Ready::nothing(),
    };
    Ok(turn(&ready, call)? | if is_foreign { HANDLER_RAN } else { 0 })
}

/// `rsd_run`
pub fn run(arguments: Arguments, options: &Options, call: Call) -> Result<Outcome> {
    // Another thread may do what is ready: then this one has to be woken. A timer, since setting it
    // does no harm where the program has closed it and put something else in its place.
    let over = epoll::timer().and_then(Kept::new).or_cannot("prepare a command")?;
    let client = Client::Waiting { thread: signal::this_thread(), timer: over.number() };
    let (number, _) = command::start(arguments, options, client)?;
    let mut happened = 0;
    let outcome = loop {
        match command::outcome(number) {
            State::Over(outcome) => break Ok(outcome),
            State::Gone => {
                let why: &[u8] =
                    b"the command belongs to the process that this one was forked from";
                break Err(Error::new(Errno::ECHILD, &[why]));
            }
            State::Running => {}
        }
        match fd().and_then(|fd| step(fd, over.get().ok(), -1, call)) {
            Ok(more) => happened |= more,
            Err(error) => {
                error::keeping_sentence(|| command::give_up(number));
                break Err(error);
            }
        }
    };
    if happened & SIGNAL_ARRIVED != 0 {
        signals::tell_again();
    }
    outcome
}
