//! Signals: dispositions, masks, and the one handler of this library.

use std::{
    ops::RangeInclusive,
    os::fd::OwnedFd,
    ptr,
    sync::atomic::{AtomicPtr, Ordering::Relaxed},
};

use libc::c_int;
use nix::errno::Errno;

use super::{check, file};

/// What happens on a signal, as sigaction(2) has it.
#[derive(Clone, Copy)]
pub struct Action(libc::sigaction);

impl Action {
    fn new(handler: libc::sighandler_t) -> Self {
        // SAFETY: all zeros is a valid sigaction: no flags, an empty mask, SIG_DFL.
        let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
        action.sa_sigaction = handler;
        Action(action)
    }

    pub fn default() -> Self {
        Action::new(libc::SIG_DFL)
    }

    pub fn ignore() -> Self {
        Action::new(libc::SIG_IGN)
    }

    /// Stores 1 to the flag of `set_flags`. Without SA_RESTART: system calls are interrupted.
    pub fn raise_flag() -> Self {
        Action::new(raise_flag as extern "C" fn(c_int) as libc::sighandler_t)
    }

    pub fn is_ignore(&self) -> bool {
        self.0.sa_sigaction == libc::SIG_IGN
    }

    pub fn discards_children(&self) -> bool {
        self.is_ignore() || self.0.sa_flags & libc::SA_NOCLDWAIT != 0
    }
}

pub fn action(signo: c_int) -> nix::Result<Action> {
    let mut old = Action::default();
    // SAFETY: `old` is writable and lives across the call; nothing is installed.
    check(unsafe { libc::sigaction(signo, ptr::null(), &mut old.0) }).map(|_| old)
}

pub fn set_action(signo: c_int, action: &Action) -> nix::Result<Action> {
    let mut old = Action::default();
    // SAFETY: both structs live across the call. The handler is SIG_DFL, SIG_IGN, raise_flag, which
    // is never unmapped (-z nodelete), or one that the program itself had installed.
    check(unsafe { libc::sigaction(signo, &action.0, &mut old.0) }).map(|_| old)
}

static SHUTDOWN: AtomicPtr<c_int> = AtomicPtr::new(ptr::null_mut());
static RELOAD: AtomicPtr<c_int> = AtomicPtr::new(ptr::null_mut());

/// The variables that the handler stores to: for SIGHUP `reload`, for all others `shutdown`.
/// Returns those before.
pub fn set_flags(shutdown: *mut c_int, reload: *mut c_int) -> (*mut c_int, *mut c_int) {
    (SHUTDOWN.swap(shutdown, Relaxed), RELOAD.swap(reload, Relaxed))
}

/// A store and nothing else, so there is no errno to keep.
extern "C" fn raise_flag(signo: c_int) {
    let flag = match signo {
        libc::SIGHUP => &RELOAD,
        _ => &SHUTDOWN,
    }
    .load(Relaxed);
    if !flag.is_null() {
        // SAFETY: by the contract of install_signal_flags the variable lives as long as the
        // process, and is a sig_atomic_t, which is an int wherever Linux runs.
        unsafe { flag.write_volatile(1) };
    }
}

/// A set of signals, real-time signals too (nix knows only the others).
#[derive(Clone, Copy)]
pub struct Set(libc::sigset_t);

impl Set {
    #[inline(never)]
    pub fn empty() -> Self {
        // SAFETY: all zeros is the empty set on Linux, and sigemptyset(3) below says so again.
        let mut set = unsafe { core::mem::zeroed() };
        // SAFETY: `set` is writable.
        unsafe { libc::sigemptyset(&mut set) };
        Set(set)
    }

    pub fn all() -> Self {
        let mut set = Set::empty();
        // SAFETY: `set` is writable.
        unsafe { libc::sigfillset(&mut set.0) };
        set
    }

    #[inline(never)]
    pub fn with(mut self, signo: c_int) -> Self {
        // SAFETY: the set is initialized; a number that is no signal is refused.
        unsafe { libc::sigaddset(&mut self.0, signo) };
        self
    }

    #[inline(never)]
    pub fn contains(&self, signo: c_int) -> bool {
        // SAFETY: the set is initialized; a number that is no signal is refused.
        unsafe { libc::sigismember(&self.0, signo) == 1 }
    }
}

/// How a set changes the signal mask of this thread.
#[derive(Clone, Copy)]
pub enum How {
    Block = libc::SIG_BLOCK as isize,
    Unblock = libc::SIG_UNBLOCK as isize,
    Set = libc::SIG_SETMASK as isize,
}

/// Changes the signal mask of this thread; returns the one before.
pub fn change_mask(how: How, set: &Set) -> nix::Result<Set> {
    let mut before = Set::empty();
    // SAFETY: both sets live across the call.
    match unsafe { libc::pthread_sigmask(how as c_int, &set.0, &mut before.0) } {
        0 => Ok(before),
        errno => Err(Errno::from_raw(errno)),
    }
}

/// The signal mask of this thread.
#[inline(never)]
pub fn mask() -> Set {
    change_mask(How::Block, &Set::empty()).unwrap_or(Set::empty())
}

/// A descriptor that is readable while one of the blocked `signals` is pending.
pub fn pending_fd(signals: &Set) -> nix::Result<OwnedFd> {
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the set lives across the call.
    let fd = unsafe { libc::signalfd(-1, &signals.0, flags) };
    file::above_stdio(file::owned(fd)?)
}

/// Takes a pending, blocked signal away without delivering it.
pub fn discard(signo: c_int) {
    let signals = Set::empty().with(signo);
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: set and time live across the call, and NULL asks for no siginfo.
    unsafe { libc::sigtimedwait(&signals.0, ptr::null_mut(), &at_once) };
}

/// All signals but the real-time ones, which nobody leaves ignored to others: each that is looked
/// at costs a system call at load.
pub const STANDARD: RangeInclusive<c_int> = 1..=31;
