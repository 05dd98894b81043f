//! Commands: a program without a shell, in a process group of its own, its output collected, ended
//! when its time is over or the program is to end.
//!
//! The first process of a command is waited for last: until then its number, which is also that of
//! the group, cannot become somebody else's.

use std::os::fd::{AsFd, BorrowedFd};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill, killpg},
    unistd::{Pid, getpgid, read},
};

use crate::{
    children::{self, UNKNOWN, Whose},
    error::{self, Error, OrCannot, Result},
    kept::Kept,
    poller::{self, Sleeper, Source},
    sandbox::{self, Sandbox},
    signals, stdio,
    sys::{
        callback::Callback,
        epoll,
        file::{self, OwnedFd},
        memory::{Bytes, Table},
        process::{self, Arguments, Own, Scope, Wait},
        signal,
    },
};

/// What the program asked for.
pub struct Options<'a> {
    /// None: /dev/null.
    pub input: Option<&'a [u8]>,
    pub output_limit: usize,
    pub merge_stderr: bool,
    pub timeout_ms: Option<u32>,
    pub kill_after_ms: u32,
    /// A shutdown does not matter.
    pub during_shutdown: bool,
    /// What the command gives up.
    pub sandbox: Option<sandbox::Options<'a>>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            input: None,
            output_limit: 65536,
            merge_stderr: false,
            timeout_ms: None,
            kill_after_ms: 5000,
            during_shutdown: false,
            sandbox: None,
        }
    }
}

/// How a command ended.
pub struct Outcome {
    pub pid: libc::pid_t,
    /// As waitpid(2) has it, or UNKNOWN.
    pub status: i32,
    /// Why it was ended.
    pub error: Option<Errno>,
    pub out: Output,
    pub err: Output,
}

/// What was written.
pub struct Output {
    pub bytes: Bytes,
    pub is_cut: bool,
}

/// A run callback of C; only ffi calls it.
pub type RunCallback =
    Callback<unsafe extern "C" fn(*const crate::ffi::rsd_result, *mut core::ffi::c_void)>;

/// Who wants to know how a command ended.
pub enum Client {
    Callback(RunCallback),
    /// A thread that waits in `main_loop::run`, and polls the timer of this number.
    Waiting {
        thread: usize,
        timer: i32,
    },
}

/// One output of a command.
struct Stream {
    output: Output,
    /// None: it has ended.
    pipe: Option<Kept>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// SIGTERM was sent.
    Ending,
    /// SIGKILL was sent.
    Killed,
}

struct Command {
    pid: libc::pid_t,
    /// None: it is gone.
    child: Option<usize>,
    stage: Stage,
    has_ended: bool,
    error: Option<Errno>,
    /// When the next stage begins, in monotonic milliseconds.
    deadline: Option<i64>,
    kill_after_ms: u32,
    during_shutdown: bool,
    output_limit: usize,
    out: Stream,
    err: Stream,
    client: Client,
}

enum Entry {
    Running(Command),
    /// For a client that waits, until it takes it.
    Over(Option<Outcome>),
}

static COMMANDS: Own<Table<Entry>> = Own::new();

fn running(entry: &mut Entry) -> Option<&mut Command> {
    match entry {
        Entry::Running(command) => Some(command),
        Entry::Over(_) => None,
    }
}

/// Starts a command. Its number here, and its pid.
pub fn start(
    arguments: Arguments,
    options: &Options,
    client: Client,
) -> Result<(usize, libc::pid_t)> {
    if !options.during_shutdown && signals::is_shutdown() {
        return Err(Error::new(Errno::ECANCELED, &[b"no command is run: the program is to end"]));
    }
    let cannot = "prepare a command";
    let input = match options.input {
        Some(input) => file::in_memory(input).or_cannot(cannot)?,
        None => stdio::open_no_input()?,
    };
    let mut sandbox = options.sandbox.as_ref().map(Sandbox::prepare).transpose()?;
    let (out, out_end) = stream().or_cannot(cannot)?;
    let (mut err, mut err_end) = (Stream { output: Output::none(), pipe: None }, None);
    if !options.merge_stderr {
        let (stream, end) = stream().or_cannot(cannot)?;
        (err, err_end) = (stream, Some(end));
    }
    poller::fd()?;

    let ends = [input.as_fd(), out_end.as_fd(), err_end.as_ref().unwrap_or(&out_end).as_fd()];
    children::start(|| {
        let pid = spawn(arguments, ends, sandbox.as_mut())?;
        let command = Command {
            pid,
            child: None,
            stage: Stage::Running,
            has_ended: false,
            error: None,
            deadline: options.timeout_ms.map(|ms| process::monotonic_ms() + i64::from(ms) + 1),
            kill_after_ms: options.kill_after_ms,
            during_shutdown: options.during_shutdown,
            output_limit: options.output_limit,
            out,
            err,
            client,
        };
        let entered = enter(command).inspect_err(|_| {
            let child = Wait::Process(pid);
            if process::wait(child, libc::WNOHANG | libc::WNOWAIT).is_ok() {
                let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
                let _ = process::wait(child, 0);
            }
        });
        entered.map(|number| (number, pid))
    })
}

fn spawn(
    arguments: Arguments,
    ends: [BorrowedFd; 3],
    sandbox: Option<&mut Sandbox>,
) -> Result<libc::pid_t> {
    let mut refused = None;
    let spawned = match sandbox {
        None => process::spawn(arguments, ends, None),
        Some(sandbox) => {
            error::sentence(); // allocated now, not in the child
            let mut enter = || {
                sandbox.apply(Scope::Child).map_err(|error| {
                    refused = Some(error);
                    error.0
                })
            };
            process::spawn(arguments, ends, Some(&mut enter))
        }
    };
    spawned.map_err(|errno| {
        refused.unwrap_or_else(|| Error::cannot_at(errno, "run", arguments.first().to_bytes()))
    })
}

/// Makes a command known to all who have to do with it.
fn enter(command: Command) -> Result<usize> {
    let pid = command.pid;
    COMMANDS.with(|commands| {
        let number = commands.insert(Entry::Running(command)).or_cannot("keep a command")?;
        let child = match children::add(pid, Whose::Command(number)) {
            // Somebody else has waited for it. The main loop finds that out.
            Err(Error(Errno::ESRCH)) => Ok(None),
            child => child.map(Some),
        };
        let entered = child.and_then(|child| {
            let Some(command) = commands.get(number).and_then(running) else { return Ok(()) };
            command.child = child;
            if child.is_none() {
                command.has_ended = true;
                command.deadline = Some(process::monotonic_ms());
            }
            // It may have been raised since it was looked at.
            if !command.during_shutdown && signals::is_shutdown() {
                command.end(Errno::ECANCELED, process::monotonic_ms());
            }
            let attended = command.out.attend(Source::Output(number));
            let attended = attended.and_then(|()| command.err.attend(Source::Errors(number)));
            let attended = attended.and_then(|()| arm(commands));
            if attended.is_err() {
                child.map(children::collect);
            }
            attended.or_cannot("wait for a command")
        });
        match entered {
            Ok(()) => Ok(number),
            Err(error) => {
                if let Some(Entry::Running(mut command)) = commands.take(number) {
                    command.out.close();
                    command.err.close();
                }
                Err(error)
            }
        }
    })
}

/// The descriptors of the main loop were lost: adds the commands' again.
pub fn watch_again() {
    COMMANDS.with(|commands| {
        for (number, entry) in commands.iter() {
            let Some(command) = running(entry) else { continue };
            if command.out.attend(Source::Output(number)).is_err() {
                command.out.lose();
            }
            if command.err.attend(Source::Errors(number)).is_err() {
                command.err.lose();
            }
        }
        let _ = arm(commands);
    });
}

/// The main loop wakes for the earliest deadline.
#[inline(never)]
fn arm(commands: &mut Table<Entry>) -> nix::Result<()> {
    let deadlines = commands.iter().filter_map(|(_, entry)| running(entry)?.deadline);
    poller::wake_at(Sleeper::Commands, deadlines.min())
}

/// A stream of ours and the end for the command.
#[inline(never)]
fn stream() -> nix::Result<(Stream, OwnedFd)> {
    let (read, write) = file::pipe()?;
    file::set_nonblocking(read.as_fd())?;
    Ok((Stream { output: Output::none(), pipe: Some(Kept::new(read)?) }, write))
}

/// How much is read of a stream before others have their turn.
const AT_ONCE: usize = 65536;

impl Output {
    fn none() -> Self {
        Output { bytes: Bytes::new(), is_cut: false }
    }

    /// Reads once. Whether the end has come; EAGAIN if there is nothing yet.
    fn read(&mut self, pipe: BorrowedFd, limit: usize) -> nix::Result<Option<usize>> {
        let spare = self.bytes.spare(limit);
        let is_full = spare.is_empty();
        let count = match is_full {
            true => read(pipe, &mut [0; 4096])?,
            false => read(pipe, spare)?,
        };
        if count == 0 {
            return Ok(None);
        }
        match is_full {
            true => self.is_cut = true,
            false => self.bytes.add(count),
        }
        Ok(Some(count))
    }
}

impl Stream {
    fn attend(&self, source: Source) -> nix::Result<()> {
        self.pipe.as_ref().map_or(Ok(()), |pipe| poller::add(pipe.get()?, source))
    }

    /// Reads what there is, but at most about so much.
    fn read(&mut self, limit: usize, at_most: usize) {
        let mut total = 0;
        while total < at_most {
            let Some(pipe) = self.pipe.as_ref() else { return };
            match pipe.get().and_then(|pipe| self.output.read(pipe, limit)) {
                Ok(Some(count)) => total += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Ok(None) => return self.close(),
                Err(_) => return self.lose(),
            }
        }
    }

    /// It cannot be read any more.
    fn lose(&mut self) {
        self.output.is_cut = true;
        self.close();
    }

    fn close(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            pipe.close_after(poller::remove);
        }
    }
}

impl Command {
    /// Nothing if somebody else has waited for the first process: its number may be a stranger's.
    fn signal(&self, signal: Signal) {
        if !self.child.is_some_and(children::is_there) {
            return;
        }
        let pid = Pid::from_raw(self.pid);
        let _ = killpg(pid, signal);
        if getpgid(Some(pid)).is_ok_and(|group| group != pid) {
            // It has left its group.
            let _ = kill(pid, signal);
        }
    }

    /// Goes on to the next stage.
    fn advance(&mut self, now: i64) {
        let next = i64::from(self.kill_after_ms) + 1;
        self.deadline = Some(now + next);
        match self.stage {
            Stage::Running => {
                self.signal(Signal::SIGTERM);
                self.stage = Stage::Ending;
            }
            Stage::Ending | Stage::Killed => {
                self.signal(Signal::SIGKILL);
                self.stage = Stage::Killed;
            }
        }
    }

    fn end(&mut self, why: Errno, now: i64) {
        if self.stage == Stage::Running && !self.has_ended {
            self.error = Some(why);
            self.advance(now);
        }
    }

    /// Whether nothing more is to come: while others of a group that is being ended have its output
    /// open, they have time until SIGKILL.
    fn is_over(&self) -> bool {
        let is_silent = self.out.pipe.is_none() && self.err.pipe.is_none();
        self.has_ended && (self.stage != Stage::Ending || is_silent)
    }

    fn finish(mut self) -> (Outcome, Client) {
        for stream in [&mut self.out, &mut self.err] {
            // What others of it go on writing is not waited for.
            let left = stream.pipe.as_ref().and_then(|pipe| file::readable(pipe.get().ok()?).ok());
            stream.read(self.output_limit, left.unwrap_or(0).max(1));
            stream.close();
        }
        if self.stage != Stage::Running {
            self.signal(Signal::SIGKILL);
        }
        let status = match (self.child, self.has_ended) {
            (Some(child), true) => children::collect(child),
            (Some(child), false) => {
                children::abandon(child);
                UNKNOWN
            }
            (None, _) => UNKNOWN,
        };
        let outcome = Outcome {
            pid: self.pid,
            status,
            error: self.error,
            out: self.out.output,
            err: self.err.output,
        };
        (outcome, self.client)
    }
}

/// A command has ended, and the program is to be told.
pub struct Finished {
    pub outcome: Outcome,
    pub callback: RunCallback,
}

/// The first process of a command has ended.
pub fn child_ended(number: usize) -> Option<Finished> {
    go_on(number, |command| command.has_ended = true)
}

/// There is something to read, or the end of it.
pub fn output_is_ready(number: usize) -> Option<Finished> {
    go_on(number, |command| command.out.read(command.output_limit, AT_ONCE))
}

/// As `output_is_ready`, for stderr.
pub fn errors_are_ready(number: usize) -> Option<Finished> {
    go_on(number, |command| command.err.read(command.output_limit, AT_ONCE))
}

fn go_on(number: usize, act: fn(&mut Command)) -> Option<Finished> {
    COMMANDS.with(|commands| {
        let entry = commands.get(number)?;
        let command = running(entry)?;
        act(command);
        let is_over = command.is_over();
        if is_over { conclude(commands, number) } else { None }
    })
}

/// Ends commands whose time is over, and all when the program is to end. One that has ended by that.
pub fn look_at_time() -> Option<Finished> {
    COMMANDS.with(|commands| {
        let is_shutdown = signals::is_shutdown();
        let now = process::monotonic_ms();
        let mut over = None;
        for (number, entry) in commands.iter() {
            let Some(command) = running(entry) else { continue };
            if is_shutdown && !command.during_shutdown {
                command.end(Errno::ECANCELED, now);
            }
            let is_late = command.deadline.is_some_and(|deadline| deadline <= now);
            let is_hopeless = is_late && command.stage == Stage::Killed;
            match command.stage {
                Stage::Running if is_late => command.end(Errno::ETIMEDOUT, now),
                Stage::Ending if is_late => command.advance(now),
                _ => {}
            }
            if command.is_over() || is_hopeless {
                over = Some(number);
            }
        }
        let _ = arm(commands);
        conclude(commands, over?)
    })
}

/// `rsd_end_command`
pub fn end(pid: libc::pid_t) -> Result<()> {
    COMMANDS.with(|commands| {
        let found = commands.iter().filter_map(|(_, entry)| running(entry));
        let Some(command) = found.into_iter().find(|command| command.pid == pid) else {
            return Err(Error::new(Errno::ENOENT, &[b"there is no such command"]));
        };
        command.end(Errno::ECANCELED, process::monotonic_ms());
        let _ = arm(commands);
        Ok(())
    })
}

/// A client that waits finds the outcome in the table; a callback is for the main loop to call.
#[inline(never)]
fn conclude(commands: &mut Table<Entry>, number: usize) -> Option<Finished> {
    let entry = commands.get(number)?;
    let Entry::Running(command) = core::mem::replace(entry, Entry::Over(None)) else {
        return None;
    };
    let (outcome, client) = command.finish();
    let finished = match client {
        Client::Callback(callback) => {
            commands.take(number);
            Some(Finished { outcome, callback })
        }
        Client::Waiting { thread, timer } => {
            *entry = Entry::Over(Some(outcome));
            if thread != signal::this_thread() {
                // At a time that is long past.
                file::borrowed(timer).map(|timer| epoll::set_timer(timer, Some(1)));
            }
            None
        }
    };
    let _ = arm(commands);
    finished
}

/// How it stands with the command of a client that waits.
pub enum State {
    Running,
    Over(Outcome),
    /// This process has no such command.
    Gone,
}

/// An outcome is told once.
pub fn outcome(number: usize) -> State {
    COMMANDS.with(|commands| match commands.get(number) {
        Some(Entry::Running(_)) => State::Running,
        Some(Entry::Over(outcome)) => {
            let outcome = outcome.take();
            commands.take(number);
            outcome.map_or(State::Gone, State::Over)
        }
        None => State::Gone,
    })
}

/// Why a command that was run is no success, whatever its status.
pub fn ended_by(errno: Errno) -> Error {
    let why: &[u8] = match errno {
        Errno::ETIMEDOUT => b"the command was ended: its time was over",
        _ => b"the command was ended: it was cancelled, or the program is to end",
    };
    Error::new(errno, &[why])
}

/// The status of a command is not known.
pub fn lost() -> Error {
    let why: [&[u8]; 2] = [
        b"nobody knows how the command ended: ",
        b"somebody else has waited for it, or SIGCHLD is ignored",
    ];
    Error::new(Errno::ECHILD, &why)
}

/// A forked child has no commands.
pub fn let_go_of_parents() {
    COMMANDS.with(|_| ());
}

/// Ends a command for which nobody can wait.
pub fn give_up(number: usize) {
    COMMANDS.with(|commands| {
        if let Some(Entry::Running(mut command)) = commands.take(number) {
            command.stage = Stage::Killed;
            command.signal(Signal::SIGKILL);
            let ended = process::wait(Wait::Process(command.pid), libc::WNOWAIT);
            command.has_ended = ended.is_ok();
            command.finish();
        }
    });
}
