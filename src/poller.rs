//! The one descriptor of the main loop, and what makes it readable: a bell that the signal handler
//! rings, a timer, and the descriptors that other rooms add.

use core::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

pub use crate::sys::epoll::{Interest, Ready};
use crate::{
    error::{OrCannot, Result},
    kept::Kept,
    sys::{
        epoll,
        file::{self, OwnedFd},
        process::Own,
        signal,
    },
};

/// What a ready descriptor belongs to. The number is that of an entry in the room's table; it may
/// be over when it is told, and the entry another one.
#[derive(Clone, Copy)]
pub enum Source {
    Timer,
    Child(usize),
    /// A command's stdout.
    Output(usize),
    /// A command's stderr.
    Errors(usize),
    /// A pipe whose lines are logged.
    Lines(usize),
    /// The control socket: a client wants to connect.
    Listener,
    /// A client of the control socket.
    Client(usize),
}

impl Source {
    fn number(self) -> u64 {
        let (kind, entry) = match self {
            Source::Timer => (1, 0),
            Source::Child(entry) => (2, entry),
            Source::Output(entry) => (3, entry),
            Source::Errors(entry) => (4, entry),
            Source::Lines(entry) => (5, entry),
            Source::Listener => (6, 0),
            Source::Client(entry) => (7, entry),
        };
        kind << 32 | entry as u64
    }

    /// `None`: the bell, which is silent again by now.
    fn of(number: u64) -> Option<Self> {
        let entry = (number & 0xffff_ffff) as usize;
        match number >> 32 {
            1 => Some(Source::Timer),
            2 => Some(Source::Child(entry)),
            3 => Some(Source::Output(entry)),
            4 => Some(Source::Errors(entry)),
            5 => Some(Source::Lines(entry)),
            6 => Some(Source::Listener),
            7 => Some(Source::Client(entry)),
            _ => None,
        }
    }
}

struct Poller {
    epoll: ManuallyDrop<OwnedFd>,
    bell: Kept,
    /// Only kept open.
    _other_end: Kept,
    timer: Option<ManuallyDrop<OwnedFd>>,
    /// When the timer is to come, in monotonic milliseconds.
    timer_at: Option<i64>,
    wanted_at: [Option<i64>; 4],
}

/// Who wants to be woken at some time. An index.
#[derive(Clone, Copy)]
pub enum Sleeper {
    Commands,
    Children,
    Control,
    Watchdog,
}

static POLLER: Own<Option<Poller>> = Own::new();

fn with<T>(act: impl FnOnce(&mut Poller) -> nix::Result<T>) -> nix::Result<T> {
    POLLER.with(|poller| act(made(poller)?))
}

#[inline(never)] // some ten uses
fn made(poller: &mut Option<Poller>) -> nix::Result<&mut Poller> {
    match poller {
        Some(poller) => Ok(poller),
        None => Ok(poller.insert(Poller::make()?)),
    }
}

impl Poller {
    fn make() -> nix::Result<Self> {
        let epoll = epoll::create()?;
        let (bell, other_end) = epoll::add_bell(epoll.as_fd())?;
        let (bell, other_end) = (Kept::new(bell)?, Kept::new(other_end)?);
        signal::set_bell(epoll.as_fd(), bell.get()?, bell.inode());
        let epoll = ManuallyDrop::new(epoll);
        Ok(Poller {
            epoll,
            bell,
            _other_end: other_end,
            timer: None,
            timer_at: None,
            wanted_at: [None; 4],
        })
    }

    /// Whether the numbers still are ours. An error: that cannot be told.
    fn is_intact(&self) -> nix::Result<bool> {
        let Ok(bell) = self.bell.get() else { return Ok(false) };
        epoll::contains(self.epoll.as_fd(), bell)
    }

    /// Whether it is certain that they are, by one system call. The bell is hushed by that, so this is not
    /// for a bell that our parent listens to as well.
    fn is_surely_intact(&self) -> bool {
        let bell = self.bell.unchecked();
        let is_hushed = bell.is_some_and(|bell| epoll::hush(self.epoll.as_fd(), bell).is_ok());
        signal::ring_again();
        is_hushed
    }
}

impl Drop for Poller {
    /// Closes what still is ours; other numbers are closed by whoever has them now.
    fn drop(&mut self) {
        if self.is_intact() != Ok(true) {
            return;
        }
        if let Some(timer) = self.timer.take() {
            if epoll::contains(self.epoll.as_fd(), timer.as_fd()) == Ok(true) {
                drop(ManuallyDrop::into_inner(timer));
            }
        }
        file::close(self.epoll.as_raw_fd());
    }
}

/// Whether the program has closed what is ours, as old daemons do that close every number they find.
/// Then it is forgotten, and everybody has to add their descriptors again.
#[inline(never)]
pub fn was_lost() -> bool {
    POLLER.with(|poller| {
        let is_lost = poller.as_ref().is_some_and(|poller| {
            let is_sure = !signal::has_news() && poller.is_surely_intact();
            !is_sure && poller.is_intact() == Ok(false)
        });
        if is_lost {
            *poller = None;
        }
        is_lost
    })
}

/// The number of the descriptor, for poll(2); it is made when it is first asked for.
#[inline(never)]
pub fn fd() -> Result<i32> {
    with(|poller| Ok(poller.epoll.as_raw_fd())).or_cannot("make the descriptor of the main loop")
}

/// `source` is told whenever `fd` is readable.
#[inline(never)]
pub fn add(fd: BorrowedFd, source: Source) -> nix::Result<()> {
    with(|poller| epoll::add(poller.epoll.as_fd(), fd, source.number()))
}

/// Changes of what `source` is told.
#[inline(never)]
pub fn change(fd: BorrowedFd, source: Source, to: Interest) -> nix::Result<()> {
    with(|poller| epoll::change(poller.epoll.as_fd(), fd, source.number(), to))
}

/// To be called before `fd` is closed.
#[inline(never)]
pub fn remove(fd: BorrowedFd) {
    let _ = with(|poller| {
        epoll::remove(poller.epoll.as_fd(), fd);
        Ok(())
    });
}

/// Makes the descriptor readable at this time, at the latest; `None`: not for this sleeper.
#[inline(never)]
pub fn wake_at(sleeper: Sleeper, at_ms: Option<i64>) -> nix::Result<()> {
    with(|poller| {
        if let Some(wanted) = poller.wanted_at.get_mut(sleeper as usize) {
            *wanted = at_ms;
        }
        let at_ms = poller.wanted_at.into_iter().flatten().min();
        if poller.timer_at == at_ms {
            return Ok(());
        }
        let timer = match &poller.timer {
            Some(timer) => timer,
            None => {
                let timer = epoll::timer()?;
                let number = Source::Timer.number();
                epoll::add(poller.epoll.as_fd(), timer.as_fd(), number)?;
                poller.timer.insert(ManuallyDrop::new(timer))
            }
        };
        epoll::set_timer(timer.as_fd(), at_ms)?;
        poller.timer_at = at_ms;
        Ok(())
    })
}

/// What is ready now.
#[inline(never)]
pub fn ready() -> Result<Ready> {
    with(|poller| epoll::ready(poller.epoll.as_fd())).or_cannot("look what is ready")
}

/// What each of it belongs to.
pub fn sources(ready: &Ready) -> impl Iterator<Item = Source> {
    ready.numbers().filter_map(Source::of)
}

/// A forked child makes its own.
pub fn let_go_of_parents() {
    POLLER.with(|_| ());
}
