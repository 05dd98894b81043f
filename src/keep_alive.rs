//! A worker that is started again when it crashes. The process that called stays its parent, which is the daemon for
//! everybody else: it has the pid file, passes on signals, and tells the launcher and the service manager what the
//! worker says of itself.

use std::os::fd::{AsFd, AsRawFd, IntoRawFd};

use nix::{errno::Errno, unistd::getpid};

use crate::{
    channel::{self, Message, Word},
    control, daemonize,
    deadline::Deadline,
    error::{self, Error, Line, OrCannot, Result},
    kept::Kept,
    launch::{self, SignalState},
    log, notify, status,
    sys::{
        file::{self, OwnedFd},
        memory::Buffer,
        process::{self, End, Fork, Wait},
        signal::{self, Set},
        socket,
    },
    text, watchdog,
    worker::{self, MESSAGE_MAX},
};

/// What the program asked for.
pub struct Options {
    /// In `interval_ms`. None: without end.
    pub max_restarts: Option<u32>,
    pub interval_ms: u32,
    /// Before it is started again; twice as long each time, and not longer than the other.
    pub delay_ms: u32,
    pub max_delay_ms: u32,
    /// How long a worker that is to end may take. None: as long as it likes.
    pub kill_after_ms: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_restarts: Some(5),
            interval_ms: 60_000,
            delay_ms: 100,
            max_delay_ms: 10_000,
            kill_after_ms: None,
        }
    }
}

/// What the program does in the parent for a worker that asks: the length of its answer, and a descriptor.
pub type Answer<'a> = &'a dyn Fn(&[u8], &mut [u8]) -> nix::Result<(usize, Option<OwnedFd>)>;

/// The two processes that come out of it.
pub enum Side {
    Worker,
    /// All is over, with the status to leave with. An error is why it was given up.
    Parent(i32, Option<Error>),
}

/// What stops a program from the terminal is left to do so.
const JOB_CONTROL: [i32; 4] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGCONT];
/// How many messages of the worker are heard before signals are looked for.
const AT_ONCE: usize = 32;
/// How long the service manager may take to make room for what the worker says. Nothing else is done meanwhile.
const PATIENCE_US: u32 = 20_000;
/// How often in a row a worker may not be heard until it is taken for lost.
const FAILURES_MAX: u32 = 10;
/// What asks a daemon to end. SIGABRT: the watchdog of systemd.
const ENDING: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGABRT];

/// `rsd_keep_alive`
pub fn keep_alive(options: &Options, answer: Answer) -> Result<Side> {
    refuse_to_fork()?;
    error::sentence(); // allocated now, not after the fork
    notify::attend(); // so that each worker knows that its parent tells it
    let signals = SignalState::hold().inspect_err(fail)?;
    let prepared = watch_signals().or_cannot("watch for signals");
    let pending = match prepared {
        Ok(pending) => pending,
        Err(error) => {
            fail(&error);
            signals.restore()?;
            return Err(error);
        }
    };
    // What the program has a handler for is the worker's.
    let is_default = |signo: &i32| signal::action(*signo).is_ok_and(|action| action.is_default());
    let job_control = JOB_CONTROL.into_iter().filter(is_default).fold(Set::empty(), Set::with);
    let _ = signal::change_mask(signal::How::Unblock, &job_control);
    let mut parent = Parent {
        options,
        answer,
        signals,
        pending,
        watchdog_ms: daemonize::watchdog_ms(),
        restarts: Restarts { since_ms: 0, count: 0 },
        kill_at: None,
        asked: Set::empty(),
        is_restarted: false,
    };
    let side = parent.run();
    let restored = parent.signals.restore();
    side.and_then(|side| restored.map(|()| side))
}

fn watch_signals() -> nix::Result<Kept> {
    signal::pending_fd(&Set::all()).and_then(Kept::new)
}

fn fail(error: &Error) {
    daemonize::fail(1, error::told(error).as_bytes());
}

fn refuse_to_fork() -> Result<()> {
    let refused = |errno, why: &[u8]| Err(Error::new(errno, &[b"cannot start a worker: ", why]));
    if worker::is_worker() {
        return refused(Errno::EALREADY, b"this process is one");
    }
    if control::is_open() {
        return refused(
            Errno::EBUSY,
            b"the control socket is open already, which the worker is to serve",
        );
    }
    if process::has_threads().unwrap_or(false) {
        return refused(Errno::EBUSY, b"other threads run, which fork would end");
    }
    Ok(())
}

struct Parent<'a> {
    options: &'a Options,
    answer: Answer<'a>,
    signals: SignalState,
    pending: Kept,
    watchdog_ms: Option<i64>,
    restarts: Restarts,
    /// When a worker that is to end is killed, in monotonic milliseconds.
    kill_at: Option<i64>,
    /// The signals that have asked for the end.
    asked: Set,
    /// The service manager has heard of a crash, and not yet that the next worker is ready.
    is_restarted: bool,
}

type Said = Buffer<{ channel::TEXT_MAX }>;

struct Worker {
    /// Nobody has waited for it: the number is its own.
    pid: libc::pid_t,
    /// None: it has closed its end.
    channel: Option<Kept>,
    /// What it said when it gave up.
    gave_up: Option<(i32, Said)>,
    /// It has ended, or does not take its answers.
    is_deaf: bool,
    /// How often in a row it could not be heard.
    failures: u32,
}

impl Worker {
    fn answer(&mut self, number: i32, answered: Result<(usize, Option<OwnedFd>)>, reply: &[u8]) {
        let channel = self.channel.as_ref().filter(|_| !self.is_deaf);
        let Some(channel) = channel.map(Kept::get) else { return };
        let fd;
        let (word, fds): (_, &[i32]) = match &answered {
            Ok((length, passed)) => {
                let word = Word::Answer { number, text: reply.get(..*length).unwrap_or_default() };
                fd = passed.as_ref().map(AsRawFd::as_raw_fd);
                (word, fd.as_slice())
            }
            Err(error) => (Word::Refused { number, error: *error }, &[]),
        };
        let sent = channel.and_then(|channel| channel::send_with_fds(channel, &word, fds));
        let told = sent.or_cannot("answer the worker").or_else(|error| {
            channel::send_with_fds(channel?, &Word::Refused { number, error }, &[])
        });
        if told.is_err() {
            // It would wait for ever, unless it is gone.
            self.kill();
        }
    }

    fn kill(&mut self) {
        if !core::mem::replace(&mut self.is_deaf, true) {
            let _ = process::send_signal(self.pid, libc::SIGKILL);
        }
    }
}

/// How many there were in the interval that began with the first of them.
struct Restarts {
    since_ms: i64,
    count: u32,
}

impl Restarts {
    /// How long to wait before another one. None: there were enough.
    fn next(&mut self, options: &Options) -> Option<i64> {
        let now = process::monotonic_ms();
        if self.count == 0 || now.saturating_sub(self.since_ms) > options.interval_ms.into() {
            *self = Restarts { since_ms: now, count: 0 };
        }
        if options.max_restarts.is_some_and(|most| self.count >= most) {
            return None;
        }
        let factor = 1i64.checked_shl(self.count.min(30)).unwrap_or(i64::MAX);
        self.count = self.count.saturating_add(1);
        Some(i64::from(options.delay_ms).saturating_mul(factor).min(options.max_delay_ms.into()))
    }
}

impl Parent<'_> {
    fn run(&mut self) -> Result<Side> {
        let mut is_first = true;
        loop {
            let how = match self.start() {
                Ok(None) => return Ok(Side::Worker),
                Ok(Some(worker)) => self.attend(worker),
                Err(error) if is_first => {
                    fail(&error);
                    return Err(error);
                }
                Err(error) => {
                    let mut said = Said::new();
                    said.push(error::told(&error).as_bytes());
                    How { end: End::Exited(1), said: Some((1, said)) }
                }
            };
            is_first = false;
            if let Some(side) = self.judge(how) {
                return Ok(side);
            }
        }
    }

    /// None: this is the worker.
    fn start(&mut self) -> Result<Option<Worker>> {
        let (ours, workers) = channel::pair("make a channel to the worker")?;
        let ours = Kept::new(ours).or_cannot("examine the channel to the worker")?;
        process::flush_stdio();
        let parent = getpid();
        match process::fork_once().or_cannot("fork a worker")? {
            Fork::Caller { child, .. } => {
                let channel = Some(ours);
                Ok(Some(Worker { pid: child, channel, gave_up: None, is_deaf: false, failures: 0 }))
            }
            Fork::Daemon => {
                drop(ours);
                let begun = process::set_parent_death_signal(libc::SIGKILL, parent)
                    .or_cannot("end with the parent")
                    .and_then(|()| worker::become_worker(&workers, self.watchdog_ms));
                if let Err(error) = begun {
                    let told = error::told(&error);
                    let word = Word::GaveUp { status: 1, text: told.as_bytes() };
                    let _ = channel::send(workers.as_fd(), &word);
                    process::exit_now(1);
                }
                let _ = workers.into_raw_fd(); // it has it now
                notify::through_parent();
                daemonize::leave_to_parent();
                Ok(None)
            }
        }
    }

    /// Until it has ended.
    fn attend(&mut self, mut worker: Worker) -> How {
        loop {
            let left = self.kill_at.map(|at| at.saturating_sub(process::monotonic_ms()).max(0));
            let limit = left.map_or(-1, |left| left.min(i32::MAX.into()) as i32);
            self.look_after_signals();
            let channel = worker.channel.as_ref().and_then(|channel| channel.get().ok());
            let fds = [self.pending.get().ok(), channel];
            let _ = file::poll(fds, limit);
            self.pass_on_signals(Some(&worker));
            // It is waited for last: until then nobody else has its number.
            let flags = libc::WNOHANG | libc::WNOWAIT;
            let end = match process::wait(Wait::Process(worker.pid), flags) {
                Ok(None) => None,
                Ok(Some(end)) => Some(end),
                // Somebody else has waited for it.
                Err(_) => Some(End::Exited(1)),
            };
            worker.is_deaf |= end.is_some();
            self.hear(&mut worker);
            if let Some(end) = end {
                // What fits into a socket.
                (0..AT_ONCE).for_each(|_| self.hear(&mut worker));
                let _ = process::wait(Wait::Process(worker.pid), libc::WNOHANG);
                return How { end, said: worker.gave_up };
            }
            if left == Some(0) {
                self.kill_at = None;
                let _ = process::send_signal(worker.pid, libc::SIGKILL);
            }
            if getpid().as_raw() == 1 {
                reap_others(worker.pid);
            }
        }
    }

    fn is_ending(&self) -> bool {
        ENDING.into_iter().any(|signo| self.asked.contains(signo))
    }

    /// What the program does for a worker may have closed the descriptor.
    fn look_after_signals(&mut self) {
        if self.pending.get().is_err() {
            if let Ok(pending) = watch_signals() {
                // The new one may have the number of the old one, which is closed.
                let lost = core::mem::replace(&mut self.pending, pending);
                let _ = lost.into_owned_unchecked().map(IntoRawFd::into_raw_fd);
            }
        }
    }

    /// To the worker, if there is one.
    fn pass_on_signals(&mut self, worker: Option<&Worker>) {
        while let Ok(Some(taken)) = self.pending.get().and_then(signal::take_pending) {
            let signo = taken.signo;
            if matches!(signo, libc::SIGCHLD | libc::SIGPIPE) {
                continue;
            }
            let is_ignored = signal::action(signo).is_ok_and(|action| action.is_ignore());
            if ENDING.contains(&signo) && !is_ignored {
                if !self.is_ending() {
                    self.kill_at = self
                        .options
                        .kill_after_ms
                        .map(|ms| process::monotonic_ms().saturating_add(ms.into()));
                }
                self.asked = self.asked.with(signo);
            }
            // What the terminal sends goes to the whole process group.
            if let (true, Some(worker)) = (taken.is_sent, worker) {
                if let Err(errno) = process::send_signal(worker.pid, signo) {
                    let error = Error::cannot(errno, "pass on a signal to the worker");
                    say(libc::LOG_ERR, error::told(&error).as_bytes());
                }
            }
        }
    }

    /// What it has said, but no more at once: it may not keep its parent from all else.
    fn hear(&mut self, worker: &mut Worker) {
        let mut message = Message::new();
        for _ in 0..AT_ONCE {
            let Some(channel) = &worker.channel else { return };
            let mut fds = Fds([const { None }; notify::FDS_MAX]);
            let mut places = fds.0.iter_mut();
            let mut take = |fd| {
                if let Some(place) = places.next() {
                    *place = Some(fd);
                }
            };
            let received =
                channel.get().and_then(|channel| message.receive_with_fds(channel, &mut take));
            match received {
                Ok(true) => worker.failures = 0,
                Err(Errno::EAGAIN) => return,
                // It has ended with answers unread. What it has said before still stands there.
                Err(Errno::ECONNRESET) => continue,
                Ok(false) => {
                    worker.channel = None;
                    return;
                }
                // What the program does for it has closed it.
                Err(Errno::EBADF) => {
                    worker.channel = None;
                    worker.kill();
                    return;
                }
                Err(_) => {
                    worker.failures = worker.failures.saturating_add(1);
                    if worker.failures >= FAILURES_MAX {
                        worker.channel = None;
                        worker.kill();
                    }
                    return;
                }
            }
            match message.word() {
                Some(Word::Ready { pid: number, status }) => {
                    let ready = self.ready(status);
                    let has_failed = ready.is_err();
                    worker.answer(number, ready.map(|lock| (0, lock)), &[]);
                    if has_failed {
                        return; // it may have taken a while
                    }
                }
                Some(Word::GaveUp { status, text }) => {
                    let mut said = Said::new();
                    said.push(text);
                    worker.gave_up = Some((status.clamp(1, 255), said));
                }
                Some(Word::Tell { number, lines }) => {
                    let told = match message.has_lost_fds() {
                        true => Err(Errno::EMFILE).or_cannot("pass on what the worker says"),
                        false => self.pass_on(lines, &fds),
                    };
                    let has_waited = matches!(told, Err(Error(Errno::EAGAIN)));
                    if number != 0 {
                        worker.answer(number, told.map(|()| (0, None)), &[]);
                    }
                    if has_waited {
                        return;
                    }
                }
                // Nothing is done for who does not hear of it.
                Some(Word::Ask { number, request }) if !worker.is_deaf => {
                    let mut reply = [0; MESSAGE_MAX];
                    let answered = (self.answer)(request, &mut reply);
                    let answered = answered.or_cannot("do what the worker asks for");
                    worker.answer(number, answered, &reply);
                }
                _ => {}
            }
        }
    }

    /// The lock of a pid file that has appeared by that.
    fn ready(&mut self, said: &[u8]) -> Result<Option<OwnedFd>> {
        if !said.is_empty() {
            status::change(|status| {
                status.text.clear();
                status.text.push(said);
            });
        }
        let is_locked_now = daemonize::is_pidfile_due();
        daemonize::ready()?;
        // The worker's main loop does that.
        watchdog::stop();
        if core::mem::take(&mut self.is_restarted) {
            // The one before may have crashed in a reload, and its end was the status until now.
            notify::mention(&[b"READY=1\nSTATUS=", said]);
        }
        let lock = daemonize::serving()
            .ok()
            .flatten()
            .filter(|_| is_locked_now)
            .and_then(|serving| serving.lock);
        let lock = lock.and_then(file::borrowed);
        Ok(lock.and_then(|lock| file::copy_above(lock, 3).ok()))
    }

    /// Tells the service manager, but neither who the main process is nor whom else to listen to; nor that the daemon
    /// stops, as long as another worker may follow.
    fn pass_on(&self, said: &[u8], fds: &Fds) -> Result<()> {
        let is_separator = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0);
        let is_passed_on = |line: &&[u8]| {
            let is_refused = line.starts_with(b"MAINPID")
                || line.starts_with(b"NOTIFYACCESS")
                || (line.starts_with(b"STOPPING") && !self.is_ending());
            !line.is_empty() && !is_refused
        };
        let mut lines = [0; MESSAGE_MAX];
        let mut length = 0;
        for line in said.split(is_separator).filter(is_passed_on) {
            let end: &[u8] = if length == 0 { b"" } else { b"\n" };
            let place = lines.get_mut(length..).unwrap_or_default();
            length = length.saturating_add(text::join(place, &[end, line]));
        }
        if length == 0 {
            return Ok(());
        }
        let mut numbers = [-1; notify::FDS_MAX];
        let open = fds.0.iter().flatten();
        let count =
            numbers.iter_mut().zip(open).map(|(number, fd)| *number = fd.as_raw_fd()).count();
        let numbers = numbers.get(..count).unwrap_or_default();
        let lines = lines.get(..length).unwrap_or_default();
        notify::tell_within(&[lines], numbers, PATIENCE_US).map(drop)
    }

    /// What a worker's end means. None: another one is to be started, and the pause before that is over.
    fn judge(&mut self, how: How) -> Option<Side> {
        let How { end, said } = how;
        let status = match (&said, end) {
            (Some((status, _)), _) => *status,
            (None, End::Exited(status)) => status,
            (None, End::Killed { signo, .. }) => signo.saturating_add(128),
        };
        let is_starting = daemonize::stage() == Some(daemonize::Stage::Starting);
        let is_well = !is_starting && matches!(end, End::Exited(0));
        if let (Some((status, text)), true) = (&said, self.is_ending() || is_well) {
            say(libc::LOG_ERR, text.as_bytes());
            notify::gave_up(*status, text.as_bytes());
        }
        if self.is_ending() {
            let is_asked = matches!(end, End::Killed { signo, .. } if self.asked.contains(signo));
            if let (End::Killed { .. }, false) = (end, is_asked) {
                launch::ended(b"the worker", end, b"");
                say(libc::LOG_ERR, error::sentence().line.as_bytes());
            }
            return Some(Side::Parent(if is_asked { 0 } else { status }, None));
        }
        if is_well {
            say(libc::LOG_INFO, b"the worker has ended");
            return Some(Side::Parent(0, None));
        }
        let mut text = Line::new();
        match &said {
            Some((_, said)) => text.push(said.as_bytes()),
            None => {
                let when = if is_starting { launch::BEFORE } else { b"" };
                launch::ended(b"the worker", end, when);
                text = error::sentence().line;
            }
        }
        if is_starting {
            let status = if status == 0 { 1 } else { status };
            let whole = said.as_ref().map_or(text.as_bytes(), |(_, said)| said.as_bytes());
            return Some(give_up(status, whole));
        }
        let Some(delay_ms) = self.restarts.next(self.options) else {
            text.push(b"; given up after ");
            text.push_number(self.restarts.count);
            text.push(b" restarts within ");
            text.push_number(self.options.interval_ms);
            text.push(b" ms");
            say(libc::LOG_ERR, text.as_bytes());
            return Some(give_up(status, text.as_bytes()));
        };
        text.push(b"; it is started again in ");
        text.push_number(delay_ms as u32);
        text.push(b" ms");
        say(libc::LOG_WARNING, text.as_bytes());
        notify::mention(&[b"STATUS=", text.as_bytes()]);
        self.is_restarted = true;
        self.pause(delay_ms);
        self.is_ending().then_some(Side::Parent(0, None))
    }

    /// The service manager hears that this is no hang; from then on it is the next worker's.
    fn pause(&mut self, ms: i64) {
        let deadline = Deadline::after(ms.min(i32::MAX.into()) as i32);
        loop {
            if self.watchdog_ms.is_some() {
                notify::mention(&[b"WATCHDOG=1"]);
            }
            if self.is_ending() || deadline.is_over() {
                return;
            }
            self.look_after_signals();
            let limit = self.watchdog_ms.unwrap_or(-1).min(i32::MAX.into()) as i32;
            let _ = deadline.poll(self.pending.get().ok(), limit);
            self.pass_on_signals(None);
        }
    }
}

/// How a worker ended, and what it said when it gave up.
struct How {
    end: End,
    said: Option<(i32, Said)>,
}

/// What came with a message. To close a socket must not take as long as the worker has asked for.
struct Fds([Option<OwnedFd>; notify::FDS_MAX]);

impl Drop for Fds {
    fn drop(&mut self) {
        self.0.iter().flatten().for_each(|fd| socket::forbid_linger(fd.as_fd()));
    }
}

fn give_up(status: i32, why: &[u8]) -> Side {
    daemonize::fail(status, why);
    Side::Parent(status, Some(Error::new(Errno::ECHILD, &[why])))
}

/// The first process of a container waits for all orphans.
fn reap_others(worker: libc::pid_t) {
    while let Some(pid) = process::ended_child().filter(|&pid| pid != worker) {
        let _ = process::wait(Wait::Process(pid), libc::WNOHANG);
    }
}

fn say(level: i32, text: &[u8]) {
    if log::is_open() {
        log::write(level, text, &[]);
    }
}
