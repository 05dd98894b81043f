//! Signals: dispositions, masks, and the one handler of this library.

use core::cell::UnsafeCell;
use std::{
    ops::RangeInclusive,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
    sync::atomic::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst,
    },
};

use libc::c_int;
use nix::errno::Errno;

use super::{
    check, epoll,
    file::{self, OwnedFd},
    process::{self, OfProcess, generation, halves, joined},
};

/// What happens on a signal, as sigaction(2) has it.
#[derive(Clone, Copy)]
pub struct Action(libc::sigaction);

impl Action {
    pub const fn zero() -> Self {
        // SAFETY: all zeros is a valid sigaction: no flags, an empty mask, SIG_DFL.
        Action(unsafe { core::mem::zeroed() })
    }

    fn new(handler: libc::sighandler_t) -> Self {
        let mut action = Action::zero();
        action.0.sa_sigaction = handler;
        action
    }

    pub fn default() -> Self {
        Action::new(libc::SIG_DFL)
    }

    pub fn ignore() -> Self {
        Action::new(libc::SIG_IGN)
    }

    /// Calls a handler, with these signals blocked meanwhile.
    pub fn handled(handler: Handler, flags: c_int, blocked: &Set) -> Self {
        let mut action = Action::new(handler as libc::sighandler_t);
        action.0.sa_flags = libc::SA_SIGINFO | flags;
        action.0.sa_mask = blocked.0;
        action
    }

    pub fn is_same_handler(&self, other: &Action) -> bool {
        self.0.sa_sigaction == other.0.sa_sigaction
    }

    /// Does what `respond` says, on the alternate stack if the program has made one. (Not asking for it
    /// otherwise spares valgrind, which then does not find the ordinary one.)
    pub fn respond(flags: c_int) -> Self {
        let stack = if has_alternate_stack() { libc::SA_ONSTACK } else { 0 };
        Action::handled(on_signal, stack | flags, &Set::all())
    }

    /// Ends the process with the status that a shell has for the signal: what the default does where it does something,
    /// which it does not in process 1.
    pub fn end() -> Self {
        Action::handled(on_end, 0, &Set::empty())
    }

    pub fn is_default(&self) -> bool {
        self.0.sa_sigaction == libc::SIG_DFL
    }

    pub fn is_ours(&self) -> bool {
        let handler: Handler = on_signal;
        self.0.sa_sigaction == handler as libc::sighandler_t
    }

    /// Neither ignored nor the default.
    pub fn is_handler(&self) -> bool {
        !self.is_ignore() && !self.is_default()
    }

    pub fn is_ignore(&self) -> bool {
        self.0.sa_sigaction == libc::SIG_IGN
    }

    pub fn discards_children(&self) -> bool {
        self.is_ignore() || self.0.sa_flags & libc::SA_NOCLDWAIT != 0
    }
}

pub type Handler = extern "C" fn(c_int, *const libc::siginfo_t, *mut libc::ucontext_t);

extern "C" fn on_end(signo: c_int, _: *const libc::siginfo_t, _: *mut libc::ucontext_t) {
    process::exit_now(signo.saturating_add(128))
}

pub fn has_alternate_stack() -> bool {
    // SAFETY: all zeros is a valid stack_t: a null pointer and integers.
    let mut stack: libc::stack_t = unsafe { core::mem::zeroed() };
    // SAFETY: `stack` is writable and lives across the call; nothing is changed.
    let asked = unsafe { libc::sigaltstack(ptr::null(), &mut stack) };
    asked == 0 && stack.ss_flags & libc::SS_DISABLE == 0
}

pub fn action(signo: c_int) -> nix::Result<Action> {
    let mut old = Action::default();
    // SAFETY: `old` is writable and lives across the call; nothing is installed.
    check(unsafe { libc::sigaction(signo, ptr::null(), &mut old.0) }).map(|_| old)
}

pub fn set_action(signo: c_int, action: &Action) -> nix::Result<Action> {
    let mut old = Action::default();
    // SAFETY: both structs live across the call. The handler is SIG_DFL, SIG_IGN, on_signal, which is
    // never unmapped (-z nodelete), or one that the program itself had installed.
    check(unsafe { libc::sigaction(signo, &action.0, &mut old.0) }).map(|_| old)
}

/// What a signal does to this process, besides what its action says. Bits.
pub mod response {
    /// It sets its flag, counts, and wakes the main loop.
    pub(crate) const FLAGS: u32 = 1;
    /// It wakes the main loop to look for children that ended.
    pub(crate) const REAPS: u32 = 2;
    /// It wakes the main loop to reopen the log.
    pub(crate) const REOPENS: u32 = 4;
}

/// What the handler needs to know of one signal, and what it has noted.
struct Slot {
    response: AtomicU32,
    flag: AtomicPtr<c_int>,
    value: AtomicI32,
    count: OfProcess,
    /// The process and the user that sent the latest one.
    sender: AtomicU64,
}

impl Slot {
    /// A flagged signal has arrived.
    fn arrive(&self, process: u32, sender: [u32; 2]) {
        let (place, value) = (self.flag.load(SeqCst), self.value.load(SeqCst));
        if !place.is_null() {
            // SAFETY: by the contract of rsd_flag_signal the variable lives as long as the
            // process, and is a sig_atomic_t, which is an int wherever Linux runs.
            unsafe { place.write_volatile(value) };
        }
        self.sender.store(joined(sender), SeqCst);
        self.count.change(process, |count| count.saturating_add(1));
    }
}

/// The highest signal number of Linux.
const LAST: usize = 64;

static SLOTS: [Slot; LAST + 1] = [const {
    Slot {
        response: AtomicU32::new(0),
        flag: AtomicPtr::new(ptr::null_mut()),
        value: AtomicI32::new(0),
        count: OfProcess::new(),
        sender: AtomicU64::new(0),
    }
}; LAST + 1];

/// The responses of the signals that have arrived and that the main loop does not know of.
static NEWS: OfProcess = OfProcess::new();

fn slot(signo: c_int) -> Option<&'static Slot> {
    usize::try_from(signo).ok().filter(|&signo| signo > 0).and_then(|signo| SLOTS.get(signo))
}

/// Where a signal's flag stands (null: nowhere) and what it becomes.
#[derive(Clone, Copy)]
pub struct Flag {
    pub place: *mut c_int,
    pub value: c_int,
}

/// Sets what the handler does. Returns what it did before.
pub fn respond(signo: c_int, response: u32, flag: Flag) -> (u32, Flag) {
    generation(); // not for the first time in the handler
    let Some(slot) = slot(signo) else { return (0, flag) };
    let value = slot.value.swap(flag.value, SeqCst);
    let place = slot.flag.swap(flag.place, SeqCst);
    (slot.response.swap(response, SeqCst), Flag { place, value })
}

pub fn response(signo: c_int) -> (u32, Flag) {
    slot(signo).map_or((0, Flag { place: ptr::null_mut(), value: 0 }), |slot| {
        let flag = Flag { place: slot.flag.load(SeqCst), value: slot.value.load(SeqCst) };
        (slot.response.load(SeqCst), flag)
    })
}

/// Whether the flag of a flagged signal is raised; one without a variable is until it was told.
pub fn is_raised(signo: c_int) -> bool {
    let (response, flag) = response(signo);
    if response & response::FLAGS == 0 {
        false
    } else if flag.place.is_null() {
        slot(signo).is_some_and(|slot| slot.count.get(generation()) > 0)
    } else {
        // SAFETY: by the contract of rsd_flag_signal the variable lives as long as the process.
        unsafe { flag.place.read_volatile() == flag.value }
    }
}

/// How often the handler has run, to tell what it interrupts from what other handlers do.
static RUNS: AtomicU32 = AtomicU32::new(0);

pub fn runs() -> u32 {
    RUNS.load(SeqCst)
}

/// Stores and wakes, and keeps errno. All signals are blocked meanwhile.
extern "C" fn on_signal(
    signo: c_int,
    info: *const libc::siginfo_t,
    context: *mut libc::ucontext_t,
) {
    let Some(slot) = slot(signo) else { return };
    let response = slot.response.load(SeqCst);
    RUNS.fetch_add(1, SeqCst);
    if response == 0 {
        return;
    }
    let errno = Errno::last_raw();
    let process = generation();
    if response & response::FLAGS != 0 {
        slot.arrive(process, sender(info));
    }
    let is_first = NEWS.change(process, |news| news | response) == 0;
    if !has_interrupted_wait(signo, context) && is_first {
        ring(process);
    }
    Errno::set_raw(errno);
}

/// As if a flagged signal had arrived from somebody.
pub fn pretend(signo: c_int, pid: c_int, uid: u32) {
    let Some(slot) = slot(signo) else { return };
    slot.arrive(generation(), [pid as u32, uid]);
    renew(slot.response.load(SeqCst));
}

/// The process and the user that sent a signal; zeros if the kernel did, for whose signals these
/// fields mean something else.
fn sender(info: *const libc::siginfo_t) -> [u32; 2] {
    // SAFETY: with SA_SIGINFO the kernel passes a siginfo_t.
    let Some(info) = (unsafe { info.as_ref() }) else { return [0, 0] };
    match info.si_code {
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => {
            // SAFETY: for these codes the kernel has filled in the sender.
            match unsafe { [info.si_pid() as u32, info.si_uid()] } {
                [0, _] => [0, 0], // from outside of our pid namespace
                sender => sender,
            }
        }
        _ => [0, 0],
    }
}

/// A signal that has arrived.
pub struct Arrived {
    pub signo: c_int,
    pub pid: c_int,
    pub uid: u32,
    pub count: u32,
}

/// Takes what has arrived of the first signal of which something has.
pub fn next_arrived() -> Option<Arrived> {
    let process = generation();
    (1..).zip(SLOTS.get(1..)?).find_map(|(signo, slot)| {
        if slot.count.get(process) == 0 {
            return None;
        }
        let count = slot.count.change(process, |_| 0);
        let [pid, uid] = halves(slot.sender.load(SeqCst));
        (count > 0).then_some(Arrived { signo, pid: pid as c_int, uid, count })
    })
}

/// Forgets what has arrived of a signal.
pub fn forget_arrived(signo: c_int) {
    if let Some(slot) = slot(signo) {
        slot.count.change(generation(), |_| 0);
    }
}

/// The responses of what has arrived since it was last taken.
pub fn take_news() -> u32 {
    let process = generation();
    match NEWS.get(process) {
        0 => 0,
        _ => NEWS.change(process, |_| 0),
    }
}

pub fn has_news() -> bool {
    NEWS.get(generation()) != 0
}

/// Says again that something has arrived.
pub fn renew(response: u32) {
    let process = generation();
    if NEWS.change(process, |news| news | response) == 0 {
        ring(process);
    }
}

/// The epoll descriptor to wake, and the bell in it; see `epoll::add_bell`.
static EPOLL: OfProcess = OfProcess::new();
static BELL: OfProcess = OfProcess::new();
static BELL_INODE: AtomicU64 = AtomicU64::new(0);

/// From now on signals ring this bell; also one that has arrived already.
pub fn set_bell(epoll: BorrowedFd, bell: BorrowedFd, inode: u64) {
    let process = generation();
    BELL_INODE.store(inode, SeqCst);
    BELL.change(process, |_| bell.as_raw_fd() as u32);
    EPOLL.change(process, |_| epoll.as_raw_fd() as u32);
    ring_again();
}

/// Rings for what has arrived: the bell was hushed meanwhile.
pub fn ring_again() {
    let process = generation();
    if NEWS.get(process) != 0 {
        ring(process);
    }
}

fn ring(process: u32) {
    let [epoll, bell] = [&EPOLL, &BELL].map(|place| place.get(process) as i32);
    if epoll > 0 {
        epoll::ring(epoll, bell, BELL_INODE.load(SeqCst));
    }
}

/// A set of signals, real-time signals too (nix knows only the others).
#[derive(Clone, Copy)]
pub struct Set(libc::sigset_t);

impl Set {
    const fn zero() -> Self {
        // SAFETY: all zeros is the empty set on Linux, and sigemptyset(3) below says so again.
        Set(unsafe { core::mem::zeroed() })
    }

    #[inline(never)]
    pub fn empty() -> Self {
        let mut set = Set::zero();
        // SAFETY: `set` is writable.
        unsafe { libc::sigemptyset(&mut set.0) };
        set
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

impl Set {
    fn is_same(&self, other: &Set) -> bool {
        (1..=LAST as c_int).all(|signo| self.contains(signo) == other.contains(signo))
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

/// The thread in `wait`, as pthread_self(3) has it; 0: none. Of several it is one.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Its signal mask, for the handler to put back.
static WAITING_MASK: SharedSet = SharedSet(UnsafeCell::new(Set::zero()));

/// The handler has put it back.
static IS_MASK_BACK: AtomicBool = AtomicBool::new(false);

/// That was seen to work. Not so under tools that deliver signals themselves (valgrind, sanitizers).
static IS_MASK_TRUSTED: AtomicBool = AtomicBool::new(false);

struct SharedSet(UnsafeCell<Set>);

// SAFETY: only the waiting thread and the handler in it use it.
unsafe impl Sync for SharedSet {}

pub fn this_thread() -> usize {
    // SAFETY: pthread_self(3) has no preconditions, and is async-signal-safe.
    unsafe { libc::pthread_self() as usize }
}

/// Waits until a descriptor is readable, for at most `limit_ms` (-1: no limit), unless there is news.
/// EINTR: a handler has run. Signals are blocked but in ppoll(2) itself: so a handler that runs in this
/// thread always interrupts it, and need not ring.
pub fn wait(fds: &[BorrowedFd], limit_ms: c_int) -> nix::Result<()> {
    let mut polled = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; 2];
    polled.iter_mut().zip(fds).for_each(|(polled, fd)| polled.fd = fd.as_raw_fd());
    let limit = libc::timespec {
        tv_sec: i64::from(limit_ms.wrapping_div(1000)),
        tv_nsec: i64::from(limit_ms.wrapping_rem(1000)) * 1_000_000,
    };
    let limit = if limit_ms < 0 { ptr::null() } else { &limit };

    let put_back = |mask: &Set| {
        // Twice: nothing worse could be left behind than a thread without signals.
        change_mask(How::Set, mask).or_else(|_| change_mask(How::Set, mask))
    };
    let blocked = change_mask(How::Set, &Set::all());
    let Ok(mask) = blocked else {
        // The handler rings.
        return if has_news() { Ok(()) } else { poll(&mut polled, fds.len(), limit, ptr::null()) };
    };
    if has_news() {
        return put_back(&mask).map(drop);
    }
    let is_known = WAITING.compare_exchange(0, this_thread(), SeqCst, SeqCst).is_ok();
    if is_known {
        // SAFETY: signals are blocked, so no handler looks at it.
        unsafe { *WAITING_MASK.0.get() = mask };
    }
    let waited = poll(&mut polled, fds.len(), limit, &mask.0);
    if is_known {
        WAITING.store(0, SeqCst);
    }
    let is_back = is_known && IS_MASK_BACK.swap(false, SeqCst);
    if !is_back || !IS_MASK_TRUSTED.load(SeqCst) {
        let before = put_back(&mask)?;
        IS_MASK_TRUSTED.fetch_or(is_back && before.is_same(&mask), SeqCst);
    }
    waited
}

fn poll(
    fds: &mut [libc::pollfd; 2],
    count: usize,
    limit: *const libc::timespec,
    mask: *const libc::sigset_t,
) -> nix::Result<()> {
    let count = count.min(fds.len()) as libc::nfds_t;
    // SAFETY: the array has that many entries; time and mask are null or live across the call.
    check(unsafe { libc::ppoll(fds.as_mut_ptr(), count, limit, mask) }).map(drop)
}

/// In the handler: whether it has interrupted the ppoll(2) of `wait` in this thread. Nothing else lets a
/// signal through that is blocked. Then the mask is put back without a system call.
fn has_interrupted_wait(signo: c_int, context: *mut libc::ucontext_t) -> bool {
    // SAFETY: with SA_SIGINFO the kernel passes a ucontext_t.
    let Some(context) = (unsafe { context.as_mut() }) else { return false };
    let after = Set(context.uc_sigmask);
    if WAITING.load(SeqCst) != this_thread() || !after.contains(signo) {
        return false;
    }
    // SAFETY: this is the thread that has written it.
    let mask = unsafe { *WAITING_MASK.0.get() };
    // The kernel's set is 8 bytes; what is behind them here may be something else there.
    let (from, to) = (&raw const mask.0, &raw mut context.uc_sigmask);
    // SAFETY: both are sets of at least that size, and aligned.
    unsafe { to.cast::<u64>().write(from.cast::<u64>().read()) };
    IS_MASK_BACK.store(true, SeqCst);
    true
}

/// A descriptor that is readable while one of the blocked `signals` is pending.
pub fn pending_fd(signals: &Set) -> nix::Result<OwnedFd> {
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the set lives across the call.
    let fd = unsafe { libc::signalfd(-1, &signals.0, flags) };
    file::above_stdio(file::owned(fd)?)
}

/// A signal that `pending_fd` had.
pub struct Taken {
    pub signo: c_int,
    /// By a process, and not by the kernel, as from the terminal, which tells it to the whole process group.
    pub is_sent: bool,
}

/// Takes a signal from `pending_fd`, if there is one.
pub fn take_pending(fd: BorrowedFd) -> nix::Result<Option<Taken>> {
    // SAFETY: all zeros is valid: integers.
    let mut info: libc::signalfd_siginfo = unsafe { core::mem::zeroed() };
    let size = size_of_val(&info);
    // SAFETY: so many writable bytes, which live across the call.
    let got = unsafe { libc::read(fd.as_raw_fd(), (&raw mut info).cast(), size) };
    match check(got as c_int) {
        Ok(_) if got as usize == size => {
            Ok(Some(Taken { signo: info.ssi_signo as c_int, is_sent: info.ssi_code <= 0 }))
        }
        Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Takes a pending, blocked signal away without delivering it.
pub fn discard(signo: c_int) {
    let signals = Set::empty().with(signo);
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: set and time live across the call, and NULL asks for no siginfo.
    unsafe { libc::sigtimedwait(&signals.0, ptr::null_mut(), &at_once) };
}

/// Does what raises a signal when it fails with this error, and takes that signal away.
pub fn without<T>(
    signo: c_int,
    raising: Errno,
    act: impl FnOnce() -> nix::Result<T>,
) -> nix::Result<T> {
    let before = change_mask(How::Block, &Set::empty().with(signo))?;
    let result = act();
    if result.as_ref().err() == Some(&raising) {
        discard(signo);
    }
    // What was done is done, also where this fails.
    let _ = change_mask(How::Set, &before);
    result
}

/// All signals but the real-time ones, which nobody leaves ignored to others: each that is looked
/// at costs a system call at load.
pub const STANDARD: RangeInclusive<c_int> = 1..=31;
