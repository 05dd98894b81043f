//! Signalling and stopping a daemon by its pid file. Only who holds the lock is signalled, and only
//! through a pidfd: never a number that was read.

use core::ffi::CStr;
use std::{
    os::fd::{AsFd, BorrowedFd},
    thread::yield_now,
};

use nix::{
    errno::Errno,
    unistd::{Pid, getpid},
};

use crate::{
    error::{Error, Line, Result},
    pidfile::{Holder, Place},
    sys::{file, inotify::Watch, process, retry},
};

/// How long a killed process may take to be gone. Longer is only what waits for a device.
const KILLED_MS: i32 = 5000;
/// The event of a file's being closed comes a moment before the kernel lets go of its lock: so often
/// we look again at once, and so often after a moment.
const LOOKS_AT_ONCE: u32 = 50;
const LOOKS_LATER: u32 = 10;
const MOMENT_MS: i32 = 2;
/// How often to look where no more inotify instances can be had.
const LOOK_EVERY_MS: i32 = 20;
const FOR_EVER: i32 = -1;
/// SIGRTMAX of the kernel.
const LAST_SIGNAL: i32 = 64;

/// Who holds the pid file.
pub fn holder(path: &CStr) -> Result<Option<Pid>> {
    Ok(Holder::find(&Place::here(path)?)?.map(|holder| holder.pid))
}

/// Sends a signal to who holds the pid file; 0 only asks whether that were possible.
pub fn signal(path: &CStr, signo: i32) -> Result<Pid> {
    if !(0..=LAST_SIGNAL).contains(&signo) {
        return Err(Error::invalid("signo is no signal"));
    }
    let holder = running(path)?;
    send(&holder, path, signo)?;
    Ok(holder.pid)
}

/// As `signal`, where the holder has a handler for it. `None`: it has none, and is left alone.
pub fn signal_if_caught(path: &CStr, signo: i32) -> Result<Option<Pid>> {
    let holder = running(path)?;
    if !catches(&holder, path, signo)? {
        return Ok(None);
    }
    send(&holder, path, signo)?;
    Ok(Some(holder.pid))
}

fn catches(holder: &Holder, path: &CStr, signo: i32) -> Result<bool> {
    let caught = holder.status(b"SigCgt:\t").ok().flatten();
    let caught = caught.and_then(|field| hexadecimal(field.as_bytes()));
    let caught = caught.ok_or_else(|| {
        let path = path.to_bytes();
        Error::new(
            Errno::ENODATA,
            &[b"/proc does not show which signals the holder of ", path, b" catches"],
        )
    })?;
    let bit = 1u64.checked_shl(signo.wrapping_sub(1) as u32).unwrap_or(0);
    Ok(caught & bit != 0)
}

/// Ends who holds the pid file, and returns when it is gone and its lock free. `None`: nobody did.
pub fn stop(path: &CStr, timeout_ms: i32, kills: bool) -> Result<Option<Pid>> {
    let Some(holder) = Holder::find(&Place::here(path)?)? else { return Ok(None) };
    if holder.pid == getpid() {
        let text =
            [path.to_bytes(), b" is held by this process, which cannot wait for its own end"];
        return Err(Error::new(Errno::EDEADLK, &text));
    }
    let deadline = Deadline::after(timeout_ms);
    send_if_alive(&holder, path, libc::SIGTERM)?;
    // A stopped process ends only when it goes on.
    let _ = process::pidfd_send_signal(holder.pidfd()?, libc::SIGCONT);
    let mut left = wait_until_gone(&holder, path, &deadline)?;
    if let (Left::Process, true) = (&left, kills) {
        send_if_alive(&holder, path, libc::SIGKILL)?;
        left = wait_until_gone(&holder, path, &Deadline::after(KILLED_MS))?;
    }
    match left {
        Left::Nothing => Ok(Some(holder.pid)),
        left => Err(left.error(&holder, path, timeout_ms)),
    }
}

fn running(path: &CStr) -> Result<Holder> {
    Holder::find(&Place::here(path)?)?.ok_or_else(|| not_running(path))
}

fn send(holder: &Holder, path: &CStr, signo: i32) -> Result<()> {
    process::pidfd_send_signal(holder.pidfd()?, signo).map_err(|errno| match errno {
        Errno::ESRCH => not_running(path),
        errno => cannot_signal(errno, holder, path),
    })
}

fn send_if_alive(holder: &Holder, path: &CStr, signo: i32) -> Result<()> {
    match process::pidfd_send_signal(holder.pidfd()?, signo) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(cannot_signal(errno, holder, path)),
    }
}

#[cold]
fn not_running(path: &CStr) -> Error {
    Error::new(Errno::ESRCH, &[b"not running: nobody holds ", path.to_bytes()])
}

#[cold]
fn cannot_signal(errno: Errno, holder: &Holder, path: &CStr) -> Error {
    let process = named(holder);
    let text = [b"cannot signal ", process.as_bytes(), b", which holds ", path.to_bytes()];
    Error::new(errno, &text).without_reason()
}

/// "process N"
fn named(holder: &Holder) -> Line {
    let mut line = Line::new();
    line.push(b"process ");
    line.push_number(holder.pid.as_raw() as u32);
    line
}

fn hexadecimal(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |number, &digit| {
        let value = char::from(digit).to_digit(16)?;
        Some(number.checked_mul(16)? | u64::from(value))
    })
}

/// What is left of a daemon when the time is up.
enum Left {
    Nothing,
    Process,
    /// Of a worker that it has left behind, or of somebody else who has the descriptor.
    Lock,
}

impl Left {
    #[cold]
    fn error(&self, holder: &Holder, path: &CStr, timeout_ms: i32) -> Error {
        let (process, path) = (named(holder), path.to_bytes());
        let mut time = Line::new();
        time.push_number(timeout_ms.max(0) as u32);
        let error = |pieces: &[&[u8]]| Error::new(Errno::ETIMEDOUT, pieces);
        let (process, time) = (process.as_bytes(), time.as_bytes());
        match self {
            Left::Lock => error(&[process, b" has ended, but not who else holds ", path]),
            _ => {
                error(&[process, b", which holds ", path, b", has not ended within ", time, b" ms"])
            }
        }
    }
}

fn wait_until_gone(holder: &Holder, path: &CStr, deadline: &Deadline) -> Result<Left> {
    let pidfd = holder.pidfd()?;
    let wait = || match deadline.poll(Some(pidfd), FOR_EVER)? {
        true => wait_until_free(holder, deadline),
        false => Ok(Left::Process),
    };
    wait().map_err(|errno| Error::cannot_at(errno, "wait for the holder of", path.to_bytes()))
}

/// A process has let go of its lock before it is seen to have ended; what it left behind may hold it.
fn wait_until_free(holder: &Holder, deadline: &Deadline) -> nix::Result<Left> {
    if holder.has_let_go()? {
        return Ok(Left::Nothing);
    }
    let watch = Watch::new(holder.file()).ok();
    let fd = watch.as_ref().map(Watch::as_fd);
    let mut looks_later = LOOKS_LATER;
    loop {
        for _ in 0..LOOKS_AT_ONCE {
            if holder.has_let_go()? {
                return Ok(Left::Nothing);
            }
            yield_now();
        }
        if deadline.is_over() {
            return Ok(Left::Lock);
        }
        let limit = match (looks_later, fd) {
            (0, Some(_)) => FOR_EVER,
            (0, None) => LOOK_EVERY_MS,
            _ => MOMENT_MS,
        };
        looks_later = looks_later.saturating_sub(1);
        if deadline.poll(fd, limit)? {
            watch.iter().for_each(Watch::clear);
            looks_later = LOOKS_LATER;
        }
    }
}

/// `None`: there is none.
struct Deadline(Option<i64>);

impl Deadline {
    fn after(timeout_ms: i32) -> Self {
        let end = || process::monotonic_ms().saturating_add(timeout_ms.into());
        Deadline((timeout_ms >= 0).then(end))
    }

    /// Milliseconds, for poll(2).
    fn left(&self) -> i32 {
        let left = |end: i64| end.saturating_sub(process::monotonic_ms()).clamp(0, i32::MAX.into());
        self.0.map_or(FOR_EVER, |end| left(end) as i32)
    }

    fn is_over(&self) -> bool {
        self.left() == 0
    }

    /// Whether it is readable before the time is up, and before `limit_ms`.
    fn poll(&self, fd: Option<BorrowedFd>, limit_ms: i32) -> nix::Result<bool> {
        let [is_ready] = retry(|| {
            let left = self.left();
            // As unsigned numbers, for ever is the longest time.
            file::poll([fd], (left as u32).min(limit_ms as u32) as i32)
        })?;
        Ok(is_ready)
    }
}
