//! What the process that executed the program handed down without being asked: descriptors and
//! ignored or blocked signals. Only these are undone, never what the program did itself.

use core::ops::Range;

use crate::{
    error::{OrCannot, Result},
    sockets,
    sys::{
        file,
        load::{self, Inherited},
        signal::{self, Action, How, Set},
    },
};

/// The descriptors that were open when the library was loaded and that nobody asked to keep.
pub struct Descriptors<'a> {
    list: &'static [Inherited],
    keep: &'a [i32],
    /// Sockets passed by a service manager.
    passed: Range<i32>,
}

impl<'a> Descriptors<'a> {
    #[inline(never)]
    pub fn except(keep: &'a [i32]) -> Self {
        Descriptors { list: load::descriptors(), keep, passed: sockets::passed() }
    }

    /// Closes those that still are what they were. A number in `ours` is a new file of ours, even
    /// if it is the same file as the one that stood there at load.
    #[inline(never)]
    pub fn close(&self, ours: &[i32]) {
        for &Inherited { fd, identity } in self.list {
            let is_kept =
                self.passed.contains(&fd) || self.keep.contains(&fd) || ours.contains(&fd);
            // What was inherited over exec was not close-on-exec.
            let is_kept = is_kept || file::is_close_on_exec(fd);
            if !is_kept && load::identity(fd) == Ok(identity) {
                file::close(fd);
            }
        }
    }
}

/// Signals that were ignored at load, and still are: the bits of their numbers less one.
pub fn ignored_signals() -> u64 {
    signal::STANDARD
        .filter(|&signo| is_still_ignored(signo))
        .fold(0, |all, signo| all | load::bit(signo))
}

fn is_still_ignored(signo: i32) -> bool {
    load::was_ignored(signo) && signal::action(signo).is_ok_and(|action| action.is_ignore())
}

/// Signals that were ignored or blocked at load, and still are, are not any more.
#[inline(never)]
pub fn reset_signals() -> Result<()> {
    let mut blocked = Set::empty();
    for signo in signal::STANDARD {
        if is_still_ignored(signo) {
            signal::set_action(signo, &Action::default()).or_cannot("reset a signal")?;
        }
        if load::was_blocked(signo) {
            blocked = blocked.with(signo);
        }
    }
    signal::change_mask(How::Unblock, &blocked).map(drop).or_cannot("unblock signals")
}
