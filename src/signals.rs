//! Signals that set variables of the program's own and wake the main loop, and signals that are
//! ignored without those noticing that the program executes. One handler for all.

use std::os::fd::BorrowedFd;

use libc::{
    SIGBUS, SIGCHLD, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGPIPE, SIGQUIT, SIGSEGV, SIGSTOP,
    SIGSYS, SIGTERM, SIGTRAP, SIGTTIN, SIGTTOU, c_int, c_uint,
};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::getpid,
};

use crate::{
    error::{Error, OrCannot, Result},
    sys::{
        load,
        signal::{self, Action, Arrived, Flag, How, Set, response},
        thread::Mutex,
    },
};

/// Where a flag stands; null: there is none.
pub type FlagPointer = *mut c_int;

/// What a signal was before it was first claimed. All zeros as long as it is not, so that the table
/// takes no room in the file.
#[derive(Clone, Copy)]
struct Before {
    is_claimed: bool,
    action: Action,
    was_blocked: bool,
    /// RSD_SIGNAL_SECOND_ENDS: once it has arrived, our handler is not there any more.
    second_ends: bool,
}

const UNCLAIMED: Before =
    Before { is_claimed: false, action: Action::zero(), was_blocked: false, second_ends: false };

impl Before {
    /// Whether the program has not installed anything of its own since.
    fn is_still_ours(&self, signo: c_int, now: &Action) -> bool {
        now.is_ours()
            || now.is_ignore() && matches!(signo, SIGTTIN | SIGTTOU)
            || now.is_default() && self.second_ends
    }
}

static BEFORE: Mutex<[Before; 65]> = Mutex::new([UNCLAIMED; 65]);

/// What a signal is to do.
#[derive(Clone, Copy)]
enum Claim {
    Flag(FlagPointer, c_int),
    Ignore,
    /// SIGCHLD, besides its flag: the main loop looks for children that ended.
    Reap,
    /// Besides its flag: the main loop reopens the log.
    Reopen,
}

/// What the library itself does on a signal, whatever the program wants of it.
const OURS: u32 = response::REAPS | response::REOPENS;

/// What there was to be undone if a later step fails.
struct Undo {
    signo: c_int,
    action: Action,
    response: (u32, Flag),
}

/// SIGTERM and SIGINT set `shutdown`, SIGHUP sets `reload` or is ignored, SIGPIPE is ignored.
pub fn install_flags(shutdown: FlagPointer, reload: FlagPointer) -> Result<()> {
    let reload = if reload.is_null() { Claim::Ignore } else { Claim::Flag(reload, 1) };
    claim([
        (SIGTERM, Claim::Flag(shutdown, 1)),
        (SIGINT, Claim::Flag(shutdown, 1)),
        (SIGHUP, reload),
        (SIGPIPE, Claim::Ignore),
    ])
}

pub fn flag(signo: c_int, flag: FlagPointer, value: c_int) -> Result<()> {
    refuse_what_cannot_be_handled(signo)?;
    claim([(signo, Claim::Flag(flag, value))])
}

pub fn ignore(signo: c_int) -> Result<()> {
    refuse_what_cannot_be_handled(signo)?;
    if signo == SIGCHLD {
        return Err(Error::invalid("SIGCHLD cannot be ignored: nobody could wait for a child"));
    }
    claim([(signo, Claim::Ignore)])
}

fn refuse_what_cannot_be_handled(signo: c_int) -> Result<()> {
    match signo {
        SIGKILL | SIGSTOP => Err(Error::invalid("SIGKILL and SIGSTOP cannot be handled")),
        SIGSEGV | SIGBUS | SIGFPE | SIGILL | SIGTRAP | SIGSYS => {
            Err(Error::invalid("a signal that a fault of the program raises cannot be flagged"))
        }
        _ => known(signo).map(drop),
    }
}

/// Those that sigaction(2) takes.
fn known(signo: c_int) -> Result<Action> {
    signal::action(signo).or_cannot("handle such a signal")
}

/// Process 1 is not ended by signals that it has no handler for: by these it is from now on, like any other.
pub fn end_process_1() -> Result<()> {
    for signo in [SIGTERM, SIGINT] {
        if known(signo)?.is_default() {
            signal::set_action(signo, &Action::end()).or_cannot("have a signal end process 1")?;
        }
    }
    Ok(())
}

/// All or nothing: after a failure everything is as it was.
fn claim<const N: usize>(claims: [(c_int, Claim); N]) -> Result<()> {
    let handled = claims.iter().fold(Set::empty(), |set, (signo, _)| set.with(*signo));
    let mut before = BEFORE.lock();
    // Blocked while the pieces do not fit together.
    let mask = signal::change_mask(How::Block, &handled).or_cannot("block signals")?;
    let mut undo = [const { None }; N];
    let claimed = claims.iter().zip(&mut undo).try_for_each(|((signo, claim), undo)| {
        *undo = Some(take_over(*signo, *claim).or_cannot("install a signal handler")?);
        Ok(())
    });
    let claimed = claimed.and_then(|()| {
        // Also where the caller inherited them blocked.
        let unblocked = signal::change_mask(How::Unblock, &handled);
        unblocked.map(drop).or_cannot("unblock signals")
    });
    let done = undo.iter().flatten();
    if claimed.is_err() {
        for undo in done {
            let _ = signal::set_action(undo.signo, &undo.action);
            signal::respond(undo.signo, undo.response.0, undo.response.1);
        }
        let _ = signal::change_mask(How::Set, &mask);
        return claimed;
    }
    for undo in done {
        load::forget_signal(undo.signo);
        let was_blocked = mask.contains(undo.signo);
        let Some(before) = before.get_mut(undo.signo as usize) else { continue };
        if !before.is_claimed {
            *before = Before { is_claimed: true, action: undo.action, was_blocked, ..UNCLAIMED };
        }
        before.second_ends = false;
    }
    Ok(())
}

fn take_over(signo: c_int, claim: Claim) -> nix::Result<Undo> {
    let before = signal::response(signo);
    let action = match claim {
        Claim::Flag(..) => Action::respond(0),
        Claim::Reap | Claim::Reopen if before.0 & response::FLAGS != 0 => Action::respond(0),
        Claim::Reap | Claim::Reopen => Action::respond(libc::SA_RESTART | libc::SA_NOCLDSTOP),
        // A handler would let what they guard fail with EINTR again and again.
        Claim::Ignore if matches!(signo, SIGTTIN | SIGTTOU) => Action::ignore(),
        Claim::Ignore => Action::respond(libc::SA_RESTART),
    };
    let ours = before.0 & OURS;
    let (response, flag) = match claim {
        Claim::Flag(place, value) => (response::FLAGS | ours, Flag { place, value }),
        Claim::Reap => (before.0 | response::REAPS, before.1),
        Claim::Reopen => (before.0 | response::REOPENS, before.1),
        Claim::Ignore => (ours, Flag { place: core::ptr::null_mut(), value: 0 }),
    };
    // The handler may run in another thread from here on: first what it does.
    signal::respond(signo, response, flag);
    match signal::set_action(signo, &action) {
        Ok(action) => Ok(Undo { signo, action, response: before }),
        Err(errno) => {
            signal::respond(signo, before.0, before.1);
            Err(errno)
        }
    }
}

/// Gives a signal back as it was before it was first claimed.
pub fn restore(signo: c_int) -> Result<()> {
    let now = known(signo)?;
    let mut claimed = BEFORE.lock();
    let claimed = claimed.get_mut(signo as usize).filter(|before| before.is_claimed);
    let Some(before) = claimed else { return Ok(()) };
    let nowhere = Flag { place: core::ptr::null_mut(), value: 0 };
    signal::forget_arrived(signo);
    let ours = signal::response(signo).0 & OURS;
    if ours != 0 {
        signal::respond(signo, ours, nowhere);
        return Ok(());
    }
    if before.is_still_ours(signo, &now) {
        if before.was_blocked {
            let set = Set::empty().with(signo);
            signal::change_mask(How::Block, &set).or_cannot("block a signal again")?;
        }
        signal::set_action(signo, &before.action).or_cannot("restore a signal")?;
    }
    signal::respond(signo, 0, nowhere);
    *before = UNCLAIMED;
    Ok(())
}

/// Options of a flagged signal; also in the header.
const RESTART: c_uint = 1;
const SECOND_ENDS: c_uint = 2;

pub fn set_options(signo: c_int, options: c_uint) -> Result<()> {
    let now = known(signo)?;
    let mut claimed = BEFORE.lock();
    let is_flagged = signal::response(signo).0 & response::FLAGS != 0;
    let claimed = claimed.get_mut(signo as usize).filter(|_| is_flagged);
    let claimed = claimed.filter(|before| before.is_still_ours(signo, &now));
    let Some(before) = claimed else {
        return Err(Error::invalid("the signal is not flagged"));
    };
    let is_ours = signal::response(signo).0 & OURS != 0;
    let known = if is_ours { RESTART } else { RESTART | SECOND_ENDS };
    if options & !known != 0 {
        return Err(Error::invalid("the signal cannot have such an option"));
    }
    let restart = if options & RESTART != 0 { libc::SA_RESTART } else { 0 };
    let reset = if options & SECOND_ENDS != 0 { libc::SA_RESETHAND } else { 0 };
    let action = Action::respond(restart | reset);
    signal::set_action(signo, &action).or_cannot("install a signal handler")?;
    before.second_ends = reset != 0;
    Ok(())
}

/// What has arrived of one flagged signal since it was last asked for.
pub fn next() -> Option<Arrived> {
    signal::next_arrived()
}

/// What has arrived since the main loop last asked.
#[derive(Clone, Copy, Default)]
pub struct News {
    pub is_flagged: bool,
    /// A child may have ended that nobody watches.
    pub is_child: bool,
    /// The log is to be reopened.
    pub is_reopen: bool,
}

pub fn take_news() -> News {
    let news = signal::take_news();
    News {
        is_flagged: news & response::FLAGS != 0,
        is_child: news & response::REAPS != 0,
        is_reopen: news & response::REOPENS != 0,
    }
}

/// Takes only that a flagged signal has arrived.
pub fn take_flagged() -> bool {
    let news = take_news();
    if news.is_child {
        look_for_children();
    }
    if news.is_reopen {
        signal::renew(response::REOPENS);
    }
    news.is_flagged
}

/// A flagged signal that was taken was not told to the program: it is news again.
pub fn tell_again() {
    signal::renew(response::FLAGS);
}

/// Have the main loop look for children that nobody watches.
pub fn look_for_children() {
    signal::renew(response::REAPS);
}

/// What a signal that did not come from the kernel has met.
pub enum Met {
    /// It is flagged, and so has arrived.
    Flag,
    /// Its action is the program's, or the default: it was sent.
    Action,
    /// It would do nothing, or end the program although that is not what it is for.
    Nothing,
}

/// Acts as if somebody had sent this signal. `may_end`: the default action is what is wanted.
pub fn act_as(signo: c_int, (pid, uid): (i32, u32), may_end: bool) -> Met {
    let action = signal::action(signo);
    // After its first time our handler may be gone. Any other was installed in its place.
    let is_ours = action.is_ok_and(|action| action.is_ours() || action.is_default());
    if is_ours && signal::response(signo).0 & response::FLAGS != 0 {
        signal::pretend(signo, pid, uid);
        return Met::Flag;
    }
    let is_met = action.is_ok_and(|action| {
        action.is_handler() && !action.is_ours() || may_end && action.is_default()
    });
    match (is_met, Signal::try_from(signo)) {
        (true, Ok(signal)) if kill(getpid(), signal).is_ok() => Met::Action,
        _ => Met::Nothing,
    }
}

/// Whether the variable of a flagged signal has its value.
pub fn is_raised(signo: c_int) -> bool {
    signal::is_raised(signo)
}

/// Whether the program is to end: one of the signals that mean this has raised its flag.
pub fn is_shutdown() -> bool {
    [SIGTERM, SIGINT, SIGQUIT].into_iter().any(signal::is_raised)
}

/// Have SIGCHLD make the main loop look for children that nobody watches.
pub fn claim_child() -> Result<()> {
    let now = known(SIGCHLD)?;
    if now.is_handler() && !now.is_ours() {
        let why: &[u8] = b"the program has a handler of its own for SIGCHLD";
        return Err(Error::new(Errno::EBUSY, &[why]));
    }
    claim([(SIGCHLD, Claim::Reap)])
}

pub fn give_back_child() -> Result<()> {
    give_back(SIGCHLD, response::REAPS)
}

/// Have a signal make the main loop reopen the log, and the one before no more.
pub fn claim_reopen(before: Option<c_int>, signo: Option<c_int>) -> Result<()> {
    if before == signo {
        return Ok(());
    }
    if let Some(signo) = signo {
        refuse_what_cannot_be_handled(signo)?;
        claim([(signo, Claim::Reopen)])?;
    }
    before.map_or(Ok(()), |before| give_back(before, response::REOPENS))
}

/// The library does no more what it did on a signal. It is the program's again, if that has flagged it.
fn give_back(signo: c_int, response: u32) -> Result<()> {
    let (now, flag) = signal::response(signo);
    if now & response == 0 {
        return Ok(());
    }
    let left = now & !response;
    signal::respond(signo, left, flag);
    if left != 0 { Ok(()) } else { restore(signo) }
}

/// How long a wait without descriptors lasts where there should be some.
const LOOK_EVERY_MS: c_int = 20;

/// What has ended a wait.
pub enum Waited {
    /// The time is over, or something is readable.
    Ready,
    Signal,
    /// A handler of the program's own.
    Foreign,
}

/// Waits until a descriptor is readable or a signal arrives, for at most `limit_ms` (-1: no limit).
/// With news it does not wait.
#[inline(never)]
pub fn wait(fds: &[BorrowedFd], limit_ms: c_int) -> Result<Waited> {
    let runs = signal::runs();
    let waited = match signal::wait(fds, limit_ms) {
        // RLIMIT_NOFILE allows not even that: looks now and then.
        Err(Errno::EINVAL) if !fds.is_empty() => {
            let is_short = (0..=LOOK_EVERY_MS).contains(&limit_ms);
            signal::wait(&[], if is_short { limit_ms } else { LOOK_EVERY_MS })
        }
        waited => waited,
    };
    match waited {
        Err(Errno::EINTR) if signal::runs() == runs => Ok(Waited::Foreign),
        Err(Errno::EINTR) => Ok(Waited::Signal),
        waited => waited.or_cannot("wait").map(|()| Waited::Ready),
    }
}
