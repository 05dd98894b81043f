//! Who holds a pid file. What a file says may be old, forged or another's: a `Holder` is a process
//! that was named in the file while the file stood at its place with its lock held, and that has the
//! file open, as far as /proc shows that. Its pidfd was opened in between, so it is never a later
//! process of the same number.

use std::{
    os::fd::{AsFd, BorrowedFd},
    thread::yield_now,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::{signal::kill, stat::FileStat},
    unistd::{Pid, geteuid},
};

use super::{Place, hard_linked, open_existing, read_pid, refused, strangers};
use crate::{
    error::{Error, Line, OrCannot, Result},
    sys::{
        file::{self, Lock, OwnedFd},
        load::Identity,
        proc::{Process, Sight},
        process,
    },
    text,
};

/// How often we look again while the file is changing, as it does for a moment when a daemon starts
/// or ends.
const LOOKS: usize = 100;
/// How long a process that has closed all of its files may take to end.
const ENDING_MS: i32 = 1000;

pub struct Holder {
    pub pid: Pid,
    /// The errno: there are no pidfds here.
    pidfd: nix::Result<OwnedFd>,
    file: OwnedFd,
}

/// What one look at the file has told.
enum Look {
    Nobody,
    Held(Holder),
    Unclear(Doubt),
    /// By a process that has closed all of its files, and the lock with them.
    Ending(Doubt, OwnedFd),
}

/// Why a locked file tells nothing.
#[derive(Clone, Copy)]
enum Doubt {
    Replaced,
    HardLinked,
    NoPid,
    NoProcess(Pid),
    NotOpen(Pid),
    Strangers,
    /// A file that anybody may write to, and a process that cannot be seen.
    Anybodys,
}

impl Doubt {
    #[cold]
    fn error(self, place: &Place) -> Error {
        let (pid, why): (_, &[u8]) = match self {
            Doubt::HardLinked => return hard_linked(place),
            Doubt::Strangers => return strangers(place),
            Doubt::Anybodys => {
                return refused(Errno::EPERM, place.shown(), b"anybody may write to it");
            }
            Doubt::Replaced => (None, b" is replaced again and again"),
            Doubt::NoPid => (None, b" is locked, but names no process"),
            Doubt::NoProcess(pid) => (Some(pid), b", which does not exist"),
            Doubt::NotOpen(pid) => (Some(pid), b", which does not have it open"),
        };
        let mut named = Line::new();
        if let Some(pid) = pid {
            named.push(b" is locked, but names process ");
            named.push_number(pid.as_raw() as u32);
        }
        let path = place.shown().to_bytes();
        Error::new(Errno::ESRCH, &[b"no daemon to be found: ", path, named.as_bytes(), why])
    }
}

impl Holder {
    /// `None`: nobody holds the file, whatever it says, or there is none.
    pub fn find(place: &Place) -> Result<Option<Self>> {
        let mut doubt = Doubt::Replaced;
        let mut has_waited = false;
        for _ in 0..LOOKS {
            match look(place)? {
                Look::Nobody => return Ok(None),
                Look::Held(holder) => return Ok(Some(holder)),
                Look::Unclear(unclear) => doubt = unclear,
                Look::Ending(unclear, pidfd) => {
                    doubt = unclear;
                    if !has_waited {
                        let _ = file::poll([Some(pidfd.as_fd())], ENDING_MS);
                        has_waited = true;
                    }
                }
            }
            yield_now();
        }
        Err(doubt.error(place))
    }

    /// The process, and no later one of its number.
    pub fn pidfd(&self) -> Result<BorrowedFd<'_>> {
        match &self.pidfd {
            Ok(pidfd) => Ok(pidfd.as_fd()),
            Err(errno) => Err(*errno).or_cannot("signal a process that may have ended (Linux 5.3)"),
        }
    }

    /// The pid file, open for reading.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Whether the lock is free, or another daemon's by now, which wrote over the same file. A free
    /// one is looked at, as long as this value lives.
    pub fn has_let_go(&self) -> nix::Result<bool> {
        Ok(file::try_lock(self.file(), Lock::Shared)?
            || read_pid(self.file())?.is_some_and(|pid| pid != self.pid.as_raw()))
    }

    /// What stands in /proc/PID/status after this name, which ends with ":\t".
    pub fn status(&self, name: &[u8]) -> nix::Result<Option<crate::sys::proc::Field>> {
        seen(self.pid, &self.pidfd)?.map_or(Ok(None), |process| process.status(name))
    }
}

fn look(place: &Place) -> Result<Look> {
    let Some(file) = open_existing(place, OFlag::O_RDONLY, &|_| Ok(()))? else {
        return Ok(Look::Nobody);
    };
    let file_now = || file::fstat(file.as_fd()).map_err(place.cannot("examine"));
    let is_free = || file::try_lock(file.as_fd(), Lock::Shared).map_err(place.cannot("lock"));
    let named = || read_pid(file.as_fd()).map_err(place.cannot("read"));

    let is_held = !is_free()?;
    let stat = file_now()?;
    if !place.is(&stat) {
        return Ok(Look::Unclear(Doubt::Replaced));
    }
    if stat.st_nlink > 1 {
        return Ok(Look::Unclear(Doubt::HardLinked));
    }
    if !is_held {
        return Ok(Look::Nobody);
    }
    let Some(number) = named()? else { return Ok(Look::Unclear(Doubt::NoPid)) };
    let pid = Pid::from_raw(number);
    let no_process = Ok(Look::Unclear(Doubt::NoProcess(pid)));
    let pidfd = match process::pidfd_open(number) {
        // A thread's number is none of a process.
        Err(Errno::ESRCH | Errno::EINVAL | Errno::ENOENT) => return no_process,
        // No such call, or a filter before it: it has no EPERM of its own.
        Err(errno @ (Errno::ENOSYS | Errno::EPERM)) => {
            if kill(pid, None) == Err(Errno::ESRCH) {
                return no_process;
            }
            Err(errno)
        }
        pidfd => Ok(pidfd.map_err(place.cannot("watch the process that holds"))?),
    };
    // Whoever held the lock and was named before the pidfd was opened, and still is and does, is the
    // process of the pidfd.
    if !place.is(&stat) || named()? != Some(number) || is_free()? {
        return Ok(Look::Unclear(Doubt::Replaced));
    }
    let process = seen(pid, &pidfd).map_err(place.cannot("examine the holder of"))?;
    if !is_trusted(&stat, process.as_ref()).map_err(place.cannot("examine the holder of"))? {
        return Ok(Look::Unclear(Doubt::Strangers));
    }
    let sight = process.map_or(Ok(Sight::Unseen), |process| process.sees(Identity::from(stat)));
    match (sight.map_err(place.cannot("examine the holder of"))?, pidfd) {
        (Sight::Nothing, Ok(pidfd)) => Ok(Look::Ending(Doubt::NotOpen(pid), pidfd)),
        (Sight::NotOpen | Sight::Nothing, _) => Ok(Look::Unclear(Doubt::NotOpen(pid))),
        (Sight::Unseen, _) if stat.st_mode & libc::S_IWOTH != 0 => {
            Ok(Look::Unclear(Doubt::Anybodys))
        }
        (Sight::Open | Sight::Unseen, pidfd) => Ok(Look::Held(Holder { pid, pidfd, file })),
    }
}

fn seen(pid: Pid, pidfd: &nix::Result<OwnedFd>) -> nix::Result<Option<Process>> {
    match pidfd {
        Ok(pidfd) => Process::of(pidfd.as_fd()),
        Err(_) => Ok(Some(Process::numbered(pid.as_raw()))),
    }
}

/// Whether the file's owner may say who is signalled: root, the caller, and whoever could signal
/// that process anyway (kill(2)): its real user and its saved one.
fn is_trusted(stat: &FileStat, process: Option<&Process>) -> nix::Result<bool> {
    if stat.st_uid == 0 || stat.st_uid == geteuid().as_raw() {
        return Ok(true);
    }
    let Some(process) = process else { return Ok(false) };
    let uids = process.status(b"Uid:\t")?;
    let uids = uids.as_ref().map_or(&b""[..], |uids| uids.as_bytes());
    let mut uids = uids.split(|&byte| byte == b'\t').map(text::number);
    let (real, _effective, saved) = (uids.next(), uids.next(), uids.next());
    Ok([real, saved].contains(&Some(Some(stat.st_uid))))
}
