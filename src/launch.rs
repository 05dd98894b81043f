//! The launcher: forks the daemon, waits for its word and leaves with status 0 once it is ready.
//! Whatever goes wrong until then, it ends what it started and tells why.

use std::os::fd::{AsFd, BorrowedFd};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill, killpg},
    unistd::{Pid, write},
};

use crate::{
    channel::{self, Message, Word},
    daemonize, detach,
    error::{self, Error, Line, OrCannot, Result},
    notify, signals,
    sys::{
        file::{self, OwnedFd},
        process::{self, End, Fork, Wait},
        signal::{self, Action, How, Set},
        socket,
    },
    text,
};

/// How long a daemon that gave up may take to end before it is killed.
const LAST_WORDS_MS: i64 = 10_000;
/// How long killed processes may take to be gone, before the caller is told that they are not.
const GONE_MS: i64 = 2000;
/// How long the service manager may take to read what it was told.
const BARRIER_MS: i32 = 5000;
/// What ends a program from the terminal or by hand.
const CANCELLING: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
/// How often to look whether the daemon is still there, on kernels without pidfd_open(2).
const LOOK_EVERY_MS: i64 = 100;

/// The signal state of the program, put back where it goes on.
pub struct SignalState {
    mask: Set,
    /// SIGCHLD's action, where it would have kept us from learning how the daemon ended.
    child: Option<Action>,
}

impl SignalState {
    /// Blocks all signals, so that no handler runs in a process that is neither one nor the other.
    #[inline(never)]
    pub fn hold() -> Result<Self> {
        let action = signal::action(libc::SIGCHLD).or_cannot("read the action of SIGCHLD")?;
        let mask = signal::change_mask(How::Set, &Set::all()).or_cannot("block signals")?;
        let mut state = SignalState { mask, child: None };
        if action.discards_children() {
            state.child = Some(action);
            if let Err(errno) = signal::set_action(libc::SIGCHLD, &Action::default()) {
                state.child = None;
                state.restore()?;
                return Err(errno).or_cannot("set the action of SIGCHLD");
            }
        }
        Ok(state)
    }

    #[inline(never)]
    pub fn restore(&self) -> Result<()> {
        self.restore_actions()?;
        self.restore_mask()
    }

    pub fn restore_actions(&self) -> Result<()> {
        match &self.child {
            Some(action) => signal::set_action(libc::SIGCHLD, action)
                .map(drop)
                .or_cannot("restore the action of SIGCHLD"),
            None => Ok(()),
        }
    }

    pub fn restore_mask(&self) -> Result<()> {
        let restored = signal::change_mask(How::Set, &self.mask);
        restored.map(drop).or_cannot("restore the signal mask")
    }

    /// What ends a program from the terminal or by hand, as far as this one has not ruled it out.
    #[inline(never)]
    fn cancelling(&self, forks: &Forks) -> Set {
        CANCELLING
            .into_iter()
            .filter(|&signo| {
                let action = signal::action(signo);
                // A daemon may read its signals from a descriptor.
                let is_taken = !self.mask.contains(signo) || matches!(forks, Forks::ToSucceed);
                is_taken && !action.is_ok_and(|action| action.is_ignore())
            })
            .fold(Set::empty(), Set::with)
    }
}

/// The two processes that come out of a launch.
pub enum Side {
    Daemon { channel: OwnedFd, signals: SignalState },
    Launcher(Launcher),
}

pub struct Launcher {
    channel: OwnedFd,
    signals: SignalState,
    cancelled: OwnedFd,
    /// Leads the daemon's process group. Not reaped until the end, so that its number stays taken.
    child: libc::pid_t,
    daemon: Option<libc::pid_t>,
    was_subreaper: bool,
}

/// What is to succeed this daemon, and is ready to.
pub struct Successor<'a> {
    pub pid: i32,
    /// What it says of itself.
    pub status: &'a [u8],
    cancelled: BorrowedFd<'a>,
}

impl Successor<'_> {
    /// A signal that ends this daemon may have come since.
    pub fn refuse_cancelled(&self) -> Result<()> {
        match file::poll([Some(self.cancelled)], 0) {
            Ok([true]) => Err(interrupted()),
            _ => Ok(()),
        }
    }
}

/// How the new process is made.
pub enum Forks {
    /// It leads its session.
    Once,
    /// It is not the leader of its session.
    Twice,
    /// As with `Twice`, to take the place of this daemon: its parent is to be who would be ours.
    ToSucceed,
}

#[inline(never)]
pub fn launch(forks: Forks) -> Result<Side> {
    let (ours, daemons) = channel::pair("make a channel to the daemon")?;
    process::flush_stdio();
    let signals = SignalState::hold()?;
    let prepared = signal::pending_fd(&signals.cancelling(&forks)).or_cannot("watch for signals");
    let cancelled = match prepared {
        Ok(cancelled) => cancelled,
        Err(error) => {
            signals.restore()?;
            return Err(error);
        }
    };

    // The daemon's other parent is gone before it is ready: as subreaper we become its parent and
    // learn how it ends. Where that is not to be had, we only learn that it ended.
    let was_subreaper = process::is_subreaper();
    if !matches!(forks, Forks::ToSucceed) {
        let _ = process::set_subreaper(true);
    }

    let forked = match forks {
        Forks::Once => process::fork_once(),
        Forks::Twice | Forks::ToSucceed => process::fork_twice(),
    };
    match forked {
        Ok(Fork::Daemon) => {
            drop(ours);
            drop(cancelled);
            Ok(Side::Daemon { channel: daemons, signals })
        }
        Ok(Fork::Caller { child, daemon }) => Ok(Side::Launcher(Launcher {
            channel: ours,
            signals,
            cancelled,
            child,
            daemon,
            was_subreaper,
        })),
        Err(errno) => {
            let _ = process::set_subreaper(was_subreaper);
            signals.restore()?;
            Err(errno).or_cannot("fork")
        }
    }
}

impl Launcher {
    /// Leaves with status 0 once the daemon is ready, or with the status that it chose. Otherwise
    /// ends what is left of it, calls `clean_up` and returns why.
    #[inline(never)]
    pub fn wait(
        self,
        name: &[u8],
        timeout_ms: Option<u32>,
        clean_up: impl FnOnce(Option<Pid>),
    ) -> Error {
        let watch = self.watch();
        let watch = watch.as_ref().map(AsFd::as_fd);
        let mut message = Message::new();
        match self.word(&mut message, watch, timeout_ms, None) {
            Word::Ready { pid, status } => {
                if hand_over(!detach::was_executed_for_another(), pid, status).is_err() {
                    show(name, error::sentence().line.as_bytes());
                }
                let _ = process::wait(Wait::Process(self.child), libc::WNOHANG);
                process::exit_now(0)
            }
            Word::GaveUp { status, text } => {
                show(name, text);
                notify::gave_up(status, text);
                self.await_end(watch, LAST_WORDS_MS);
                self.end_daemon(watch);
                clean_up(self.daemon.map(Pid::from_raw));
                process::exit_now(status)
            }
            Word::Failed(error) => self.undo(watch, error, clean_up),
            _ => self.undo(watch, closed(), clean_up),
        }
    }

    /// The daemon that this process is lets go once the new one is ready and `let_go`, which tells it so, has seen
    /// that it has taken over. Otherwise the new one is ended, and the error is why. Meanwhile the service manager hears
    /// so often that this is no hang.
    #[inline(never)]
    pub fn wait_for_successor(
        self,
        timeout_ms: Option<u32>,
        every_ms: Option<i64>,
        let_go: impl FnOnce(&Successor, BorrowedFd) -> Result<()>,
    ) -> Result<()> {
        let watch = self.watch();
        let watch = watch.as_ref().map(AsFd::as_fd);
        let mut message = Message::new();
        let error = match self.word(&mut message, watch, timeout_ms, every_ms) {
            Word::Ready { pid, status } => match let_go(
                &Successor { pid, status, cancelled: self.cancelled.as_fd() },
                self.channel.as_fd(),
            ) {
                Ok(()) => {
                    self.pass_on_end(watch);
                    let _ = process::wait(Wait::Process(self.child), libc::WNOHANG);
                    // There is no way back: the other one is the daemon.
                    let _ = self.signals.restore().or_else(|_| self.signals.restore());
                    return Ok(());
                }
                Err(error) => error,
            },
            Word::GaveUp { text, .. } => {
                let gave_up = Error::new(Errno::ECHILD, &[b"the new process gave up: ", text]);
                // It removes what it has made.
                self.await_end(watch, LAST_WORDS_MS);
                gave_up
            }
            Word::Failed(error) => error,
            _ => closed(),
        };
        // Its end of the channel must not take ours for the end of this daemon.
        let _ = socket::send(self.channel.as_fd(), &daemonize::NO);
        Err(self.undo(watch, error, |_| ()))
    }

    /// A signal that was to end this daemon, and has come too late, is the new one's.
    fn pass_on_end(&self, watch: Option<BorrowedFd>) {
        let taken = signal::take_pending(self.cancelled.as_fd()).ok().flatten();
        let signo =
            taken.map(|taken| taken.signo).or(signals::is_shutdown().then_some(libc::SIGTERM));
        if let (Some(signo), Some(watch)) = (signo, watch) {
            let _ = process::pidfd_send_signal(watch, signo);
        }
    }

    fn watch(&self) -> Option<OwnedFd> {
        self.daemon.and_then(|pid| process::pidfd_open(pid).ok())
    }

    fn word<'a>(
        &self,
        message: &'a mut Message,
        watch: Option<BorrowedFd>,
        timeout_ms: Option<u32>,
        every_ms: Option<i64>,
    ) -> Word<'a> {
        match self.hear(message, watch, timeout_ms, every_ms) {
            Ok(()) => message.word().unwrap_or_else(|| Word::Failed(closed())),
            Err(error) => Word::Failed(error),
        }
    }

    fn undo(
        &self,
        watch: Option<BorrowedFd>,
        error: Error,
        clean_up: impl FnOnce(Option<Pid>),
    ) -> Error {
        if !self.end_daemon(watch) {
            error::add_to_sentence(b"; not all of its processes could be ended");
        }
        error::keeping_sentence(|| clean_up(self.daemon.map(Pid::from_raw)));
        // A signal that cancelled the start arrives now.
        match self.signals.restore() {
            Ok(()) => error,
            Err(worse) => worse,
        }
    }

    /// Waits for the daemon's word; an error is why there will be none.
    #[inline(never)]
    fn hear(
        &self,
        message: &mut Message,
        watch: Option<BorrowedFd>,
        timeout_ms: Option<u32>,
        every_ms: Option<i64>,
    ) -> Result<()> {
        self.expect_middle()?;
        let waiting = CANCELLING.into_iter().fold(self.signals.mask, Set::with);
        // SIGPIPE: whoever shows the daemon's text may have nobody who reads it.
        let waiting = waiting.with(libc::SIGCHLD).with(libc::SIGPIPE);
        signal::change_mask(How::Set, &waiting).or_cannot("wait for the daemon")?;

        let deadline = timeout_ms.map(|ms| process::monotonic_ms() + i64::from(ms));
        loop {
            let left = deadline.map(|deadline| (deadline - process::monotonic_ms()).max(0));
            let limit = match (left, watch) {
                (left, None) => left.unwrap_or(i64::MAX).min(LOOK_EVERY_MS),
                (Some(left), Some(_)) => left,
                (None, Some(_)) => i64::MAX,
            };
            let limit = limit.min(every_ms.unwrap_or(i64::MAX));
            if every_ms.is_some() {
                notify::mention(&[b"WATCHDOG=1"]);
            }
            let fds = [Some(self.channel.as_fd()), watch, Some(self.cancelled.as_fd())];
            let limit = if limit == i64::MAX { -1 } else { limit.min(i64::from(i32::MAX)) as i32 };
            let [_, is_gone, is_cancelled] = match file::poll(fds, limit) {
                Err(Errno::EINTR) => continue,
                result => result.or_cannot("wait for the daemon")?,
            };
            // Whether it has ended is asked before its word is looked for: it may end after it.
            let has_ended = is_gone || self.end().is_some_and(|end| end.is_ok());
            match message.receive(self.channel.as_fd()) {
                Ok(true) => return Ok(()),
                Err(Errno::EAGAIN) if !has_ended => {}
                Err(errno) if errno != Errno::EAGAIN && errno != Errno::ECONNRESET => {
                    return Err(errno).or_cannot("hear from the daemon");
                }
                _ => return Err(self.how_it_ended(watch)),
            }
            if is_cancelled {
                return Err(interrupted());
            }
            if left == Some(0) {
                return Err(timed_out(timeout_ms.unwrap_or(0)));
            }
        }
    }

    /// The middle process must have done its part. Where the daemon's pid is unknown it is reaped,
    /// so that it is not taken for the daemon later.
    #[inline(never)]
    fn expect_middle(&self) -> Result<()> {
        if self.daemon == Some(self.child) {
            return Ok(());
        }
        let keep = if self.daemon.is_some() { libc::WNOWAIT } else { 0 };
        match process::wait(Wait::Process(self.child), keep) {
            Ok(Some(End::Exited(0))) => Ok(()),
            Ok(Some(End::Exited(errno))) => {
                Err(Error::cannot(Errno::from_raw(errno), "fork into a new session"))
            }
            Ok(Some(end)) => Err(ended(b"the process between caller and daemon", end, BEFORE)),
            Ok(None) => Ok(()),
            // Somebody else in this process waits for all children. The channel will tell.
            Err(_) => Ok(()),
        }
    }

    /// How the daemon ended, if it is known to have ended; an error if that cannot be known.
    fn end(&self) -> Option<nix::Result<End>> {
        let which = self.daemon.map_or(Wait::Group(self.child), Wait::Process);
        process::wait(which, libc::WNOHANG | libc::WNOWAIT).transpose()
    }

    /// Waits until the daemon has ended, but not for ever. Its descriptors are closed a moment
    /// before that.
    fn await_end(&self, watch: Option<BorrowedFd>, limit_ms: i64) -> Option<nix::Result<End>> {
        let deadline = process::monotonic_ms() + limit_ms;
        loop {
            let left = deadline - process::monotonic_ms();
            match self.end() {
                None if left > 0 => {}
                // Not our child, but still watched.
                Some(Err(errno)) if watch.is_some() => {
                    let _ = file::poll([watch], left.max(0) as i32);
                    return Some(Err(errno));
                }
                end => return end,
            }
            let _ = file::poll([watch], 10);
        }
    }

    #[inline(never)]
    fn how_it_ended(&self, watch: Option<BorrowedFd>) -> Error {
        match self.await_end(watch, 1000) {
            Some(Ok(end)) => ended(b"the daemon", end, BEFORE),
            Some(Err(_)) => Error::new(Errno::ECHILD, &[b"the daemon ended before it was ready"]),
            None => closed(),
        }
    }

    /// Whether the daemon's number is certain to be its own: without a pidfd, since it still has its end of the channel.
    fn is_there(&self, watch: Option<BorrowedFd>) -> bool {
        match watch {
            Some(watch) => process::pidfd_send_signal(watch, 0).is_ok(),
            None => Message::new().receive(self.channel.as_fd()) == Err(Errno::EAGAIN),
        }
    }

    /// Ends the daemon and all of its process group, and reaps those that are our children. Whether
    /// all are gone: some may not be ours to kill.
    #[inline(never)]
    fn end_daemon(&self, watch: Option<BorrowedFd>) -> bool {
        let _ = killpg(Pid::from_raw(self.child), Signal::SIGKILL);
        let is_left = |pid| matches!(process::wait(Wait::Process(pid), libc::WNOHANG), Ok(None));
        if let Some(pid) = self.daemon.filter(|&pid| is_left(pid)) {
            // Our child, not reaped: nobody else has its pid.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        if let Some(pid) = self.daemon.filter(|_| self.is_there(watch)) {
            // Not our child, and it may lead a group of its own.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = match watch {
                Some(watch) => process::pidfd_send_signal(watch, libc::SIGKILL),
                None => kill(Pid::from_raw(pid), Signal::SIGKILL),
            };
        }
        let deadline = process::monotonic_ms() + GONE_MS;
        let mut are_gone = false;
        while !are_gone && process::monotonic_ms() < deadline {
            let mut reaped = Ok(Some(End::Exited(0)));
            while let Ok(Some(_)) = reaped {
                reaped = process::wait(Wait::Group(self.child), libc::WNOHANG);
            }
            let is_daemon_left = self.daemon.is_some_and(is_left);
            are_gone = !is_daemon_left && !matches!(reaped, Ok(None));
            if !are_gone {
                let _ = file::poll([watch.filter(|_| is_daemon_left)], 1);
            }
        }
        if watch.is_some() {
            // Also where it never became our child.
            let left = (deadline - process::monotonic_ms()).max(0);
            are_gone &= file::poll([watch], left as i32) == Ok([true]);
        }
        let _ = process::set_subreaper(self.was_subreaper);
        are_gone
    }
}

/// The service manager has waited for this process, if it is the main one, and by default listens to no other: the
/// daemon takes its place before this process ends.
#[inline(never)]
pub fn hand_over(is_main: bool, pid: i32, status: &[u8]) -> Result<()> {
    let mut digits = Line::new();
    digits.push_number(pid as u32);
    let [main, pid, end]: [&[u8]; 3] = match is_main {
        true => [b"MAINPID=", digits.as_bytes(), b"\n"],
        false => [b""; 3],
    };
    // What the daemon itself has said of it was not listened to.
    let label: &[u8] = if status.is_empty() { b"" } else { b"\nSTATUS=" };
    if notify::tell(&[main, pid, end, b"READY=1", label, status])? {
        notify::barrier(BARRIER_MS)?;
    }
    Ok(())
}

fn interrupted() -> Error {
    Error::new(Errno::EINTR, &[b"the start was interrupted by a signal"])
}

fn timed_out(limit_ms: u32) -> Error {
    let mut limit = Line::new();
    limit.push_number(limit_ms);
    let pieces: [&[u8]; 3] =
        [b"the daemon was not ready within ", limit.as_bytes(), b" ms and was ended"];
    Error::new(Errno::ETIMEDOUT, &pieces)
}

#[inline(never)]
fn closed() -> Error {
    let why = b"the daemon closed the descriptors of its library before it was ready";
    Error::new(Errno::EPIPE, &[why])
}

/// Why there is no daemon, behind how it ended.
pub(crate) const BEFORE: &[u8] = b" before it was ready";

pub fn ended(who: &[u8], end: End, when: &[u8]) -> Error {
    let mut how = Line::new();
    match end {
        End::Exited(status) => {
            how.push(b" exited with status ");
            how.push_number(status as u32);
        }
        End::Killed { signo, dumped_core } => {
            let name = Signal::try_from(signo).map_or("a real-time signal", Signal::as_str);
            how.push(b" was killed by ");
            how.push(name.as_bytes());
            how.push(if dumped_core { b" (core dumped)" } else { b"" });
        }
    }
    Error::new(Errno::ECHILD, &[who, how.as_bytes(), when])
}

/// The text of a program that gave up, in one write: "NAME: TEXT".
pub fn show(name: &[u8], text: &[u8]) {
    let mut line = [0; channel::TEXT_MAX + 260];
    let colon: &[u8] = if name.is_empty() { b"" } else { b": " };
    let content = [name, colon, text.strip_suffix(b"\n").unwrap_or(text), b"\n"];
    let length = text::join(&mut line, &content);
    if let Some(stderr) = file::borrowed(2) {
        let _ = write(stderr, line.get(..length).unwrap_or_default());
    }
}
