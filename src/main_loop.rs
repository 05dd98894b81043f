//! The main loop: one descriptor, one dispatch, one wait. Callbacks are called from here, and no lock
//! is held then: they may call anything.

use core::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;

use crate::{
    children::{self, Ended, Whose},
    command::{self, Client, Finished, Options, Outcome, State},
    error::{self, Error, OrCannot, Result},
    poller::{self, Source},
    signals,
    sys::{
        epoll,
        process::{self, Arguments},
    },
};

/// What happened; bits, also in the header.
const SIGNAL_ARRIVED: c_int = 1;
const CALLBACK_RAN: c_int = 2;
const HANDLER_RAN: c_int = 4;

/// What the program is to be told by a callback.
pub enum Told {
    Child(Ended),
    Command(Finished),
}

/// Calls a callback. In ffi.
pub type Call = fn(Told);

/// `rsd_fd`
pub fn fd() -> Result<c_int> {
    if poller::was_lost() {
        children::watch_again();
        command::watch_again();
    }
    poller::fd()
}

/// `rsd_dispatch`
pub fn dispatch(call: Call) -> Result<c_int> {
    fd()?;
    turn(call)
}

/// Does what is ready.
fn turn(call: Call) -> Result<c_int> {
    // The bell before the news: what rings after this is for the next turn.
    let ready = poller::ready()?;
    let news = signals::take_news();
    let mut happened = if news.is_flagged { SIGNAL_ARRIVED } else { 0 };
    let mut tell = |told: Option<Told>| {
        if let Some(told) = told {
            call(told);
            happened |= CALLBACK_RAN;
        }
    };
    for source in ready.into_iter().flatten() {
        match source {
            Source::Timer => {
                while let Some(number) = children::ended_unseen() {
                    tell(child_ended(number));
                }
            }
            Source::Child(number) => tell(child_ended(number)),
            Source::Output(number) => tell(command::output_is_ready(number).map(Told::Command)),
            Source::Errors(number) => tell(command::errors_are_ready(number).map(Told::Command)),
        }
    }
    if news.is_child {
        tell(children::reap_strangers().and_then(child_ended));
    }
    while let Some(finished) = command::look_at_time() {
        tell(Some(Told::Command(finished)));
    }
    Ok(happened)
}

fn child_ended(number: usize) -> Option<Told> {
    let ended = children::look_at(number)?;
    match ended.whose {
        Whose::Program(_) => Some(Told::Child(ended)),
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
            let is_over = signals::pause(ms);
            return match signals::take_news().is_flagged {
                true => Ok(SIGNAL_ARRIVED),
                false if is_over => Err(error),
                false => Ok(HANDLER_RAN),
            };
        }
    };
    let deadline = process::monotonic_ms() + i64::from(ms) + 1;
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

/// Waits until something is ready or `also` is readable, and does what is ready.
fn step(fd: c_int, also: Option<BorrowedFd>, limit_ms: c_int, call: Call) -> Result<c_int> {
    let runs = signals::handler_runs();
    let mut waited = Ok(());
    if limit_ms != 0 && !signals::has_news() {
        waited = poller::wait(fd, also, limit_ms);
    }
    let is_foreign = match waited {
        Ok(()) => false,
        Err(Errno::EINTR) => signals::handler_runs() == runs,
        Err(Errno::EINVAL) => !signals::pause(limit_ms),
        Err(errno) => return Err(errno).or_cannot("wait"),
    };
    Ok(turn(call)? | if is_foreign { HANDLER_RAN } else { 0 })
}

/// `rsd_run`
pub fn run(arguments: Arguments, options: &Options, call: Call) -> Result<Outcome> {
    // Another thread may do what is ready: then this one has to be woken. A timer, since setting it
    // does no harm where the program has closed it and put something else in its place.
    let over = epoll::timer().or_cannot("prepare a command")?;
    let (number, _) = command::start(arguments, options, Client::Waiting(over.as_raw_fd()))?;
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
        match fd().and_then(|fd| step(fd, Some(over.as_fd()), -1, call)) {
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
