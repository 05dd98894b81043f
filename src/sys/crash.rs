//! The signals of a crash, which are told of and then do what they did before.

use core::{
    cell::UnsafeCell,
    ptr,
    sync::atomic::{AtomicPtr, Ordering::SeqCst},
};

use libc::c_int;
use nix::errno::Errno;

use super::{
    check, process,
    signal::{self, Action, Handler, Set},
};

/// Those of a program's own faults, and of abort(3).
const SIGNALS: [c_int; 5] =
    [libc::SIGSEGV, libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];

/// What is known of a crash.
pub struct Crash {
    pub signo: c_int,
    /// Of the fault; `None`: the signal was sent.
    pub address: Option<usize>,
}

/// Writes it down, async-signal-safe.
pub type Report = fn(&Crash);

/// A `Report`. Null: none yet.
static REPORT: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// What the signals did before.
struct Actions(UnsafeCell<[Action; SIGNALS.len()]>);

// SAFETY: an entry is written before the handler that reads it is there.
unsafe impl Sync for Actions {}

static BEFORE: Actions = Actions(UnsafeCell::new([Action::zero(); SIGNALS.len()]));

/// From now on crashes are reported, too. This thread can have a stack overflow reported.
pub fn catch(report: Report) -> nix::Result<()> {
    make_alternate_stack()?;
    REPORT.store(report as *mut (), SeqCst);
    let ours = Action::on_crash(on_crash);
    for (place, &signo) in SIGNALS.iter().enumerate() {
        let now = signal::action(signo)?;
        if now.is_same_handler(&ours) {
            continue;
        }
        // SAFETY: nobody reads the entry before the handler is there, and `place` is in range.
        unsafe { BEFORE.0.get().cast::<Action>().add(place).write(now) };
        signal::set_action(signo, &ours)?;
    }
    Ok(())
}

extern "C" fn on_crash(
    signo: c_int,
    info: *const libc::siginfo_t,
    _context: *mut libc::ucontext_t,
) {
    let errno = Errno::last_raw();
    // SAFETY: with SA_SIGINFO the kernel passes a siginfo_t.
    let info = unsafe { info.as_ref() };
    let is_fault = info.is_some_and(|info| info.si_code > 0);
    // SAFETY: for a fault the kernel has filled in the address.
    let address = info.filter(|_| is_fault).map(|info| unsafe { info.si_addr() } as usize);
    let report = REPORT.load(SeqCst);
    if !report.is_null() {
        // SAFETY: `catch` stored a function of this type.
        let report = unsafe { core::mem::transmute::<*mut (), Report>(report) };
        report(&Crash { signo, address });
    }
    if let Some(place) = SIGNALS.iter().position(|&known| known == signo) {
        // SAFETY: written before this handler was installed, and `place` is in range.
        let before = unsafe { BEFORE.0.get().cast::<Action>().add(place).read() };
        if signal::set_action(signo, &before).is_err() {
            // The same fault would be reported again and again.
            process::exit_now(128 + signo);
        }
    }
    if !is_fault {
        // Nobody else will send it again. It is blocked until this handler returns.
        // SAFETY: these calls take no pointers.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), signo) };
    }
    // A fault happens again, at the same place, with the action from before.
    Errno::set_raw(errno);
}

impl Action {
    /// Runs on the alternate stack, with all other signals blocked.
    fn on_crash(handler: Handler) -> Self {
        Action::handled(handler, libc::SA_ONSTACK, &Set::all())
    }
}

/// Enough to write a line to each target, and a page that stops what would need more.
const STACK: usize = 64 * 1024;
const GUARD: usize = 64 * 1024;

/// Unless this thread has one.
fn make_alternate_stack() -> nix::Result<()> {
    if signal::has_alternate_stack() {
        return Ok(());
    }
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
    // SAFETY: new memory, wherever there is room.
    let start = unsafe { libc::mmap(ptr::null_mut(), GUARD + STACK, libc::PROT_NONE, kind, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    // SAFETY: within what was just made.
    let stack = unsafe { start.add(GUARD) };
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: as above.
    let made = check(unsafe { libc::mprotect(stack, STACK, protection) }).and_then(|_| {
        let stack = libc::stack_t { ss_sp: stack, ss_flags: 0, ss_size: STACK };
        // SAFETY: `stack` lives across the call; the memory is never unmapped from here on.
        check(unsafe { libc::sigaltstack(&stack, ptr::null_mut()) })
    });
    if made.is_err() {
        // SAFETY: as above, and nobody uses it.
        unsafe { libc::munmap(start, GUARD + STACK) };
    }
    made.map(drop)
}
