//! What system calls the process makes from now on, by words in the manner of OpenBSD's pledge(2). Each promise can
//! only take away: the kernel keeps the filters of earlier ones.

mod checks;
mod program;
mod record;
mod table;
mod words;

use core::ffi::CStr;
use std::os::fd::AsFd;

use nix::{errno::Errno, unistd::getpid};

use self::{
    program::{Answers, ENOSYS, Program},
    words::{CPATH, DNS, NONE, RPATH, STDIO, WPATH, Words},
};
use crate::{
    error::{Error, OrCannot, Result},
    sys::{
        file::{self, OwnedFd},
        memory::Buffer,
        process::Scope,
        seccomp::{self, Act, Installed},
        socket,
    },
    text,
};

/// What happens to a call that was not promised.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// EPERM.
    Refuse,
    /// SIGSYS ends the process.
    Kill,
    /// It passes, and is told of at the end.
    Record,
}

/// Promises that can be made.
pub struct Promises {
    words: Words,
    otherwise: Otherwise,
    /// To the process that records.
    recorder: Option<OwnedFd>,
}

impl Promises {
    /// Starts the process that records, where there is to be one; it ends with this value.
    #[inline(never)]
    pub fn prepare(promises: &CStr, otherwise: Otherwise) -> Result<Self> {
        let mut words = NONE;
        for name in text::words(promises.to_bytes()) {
            let Some(word) = Words::named(name) else {
                let pieces: [&[u8]; 3] = [b"cannot promise ", name, b": there is no such word"];
                return Err(Error::new(Errno::EINVAL, &pieces));
            };
            words = words.or(word);
        }
        match seccomp::knows(answers(otherwise).otherwise & libc::SECCOMP_RET_ACTION_FULL) {
            Ok(true) => {}
            Ok(false) => {
                let text: &[u8] = match otherwise {
                    Otherwise::Record => {
                        b"cannot record system calls: this kernel does not tell of them"
                    }
                    _ => b"cannot promise: this kernel does not know what to do otherwise",
                };
                return Err(Error::new(Errno::EOPNOTSUPP, &[text]));
            }
            Err(Errno::ENOSYS) => {
                let text: &[u8] =
                    b"cannot promise: this kernel has no filters of system calls (seccomp)";
                return Err(Error::new(Errno::ENOSYS, &[text]));
            }
            Err(Errno::EPERM) => {
                let text: &[u8] =
                    b"cannot promise: a filter that this process runs under keeps it from another";
                return Err(Error::new(Errno::EOPNOTSUPP, &[text]));
            }
            Err(errno) => return Err(Error::cannot(errno, "ask for filters of system calls")),
        }
        let recorder = match otherwise {
            Otherwise::Record => {
                // Messages of the recorder's pass by stdio.
                words = words.or(STDIO);
                let (ours, theirs) = socket::pair().or_cannot("make a socket")?;
                seccomp::spawn_apart(theirs.as_fd(), |socket| record::run(socket, words))
                    .or_cannot("start the process that records")?;
                drop(theirs);
                // It is taken out: what is left unread would be an error on the other side.
                let mut answer = [0];
                let is_apart = seccomp::await_news(ours.as_fd())
                    && socket::receive(ours.as_fd(), &mut answer) == Ok(1);
                if !is_apart {
                    return Err(Error::cannot(Errno::ESRCH, "start the process that records"));
                }
                if answer != record::MAY {
                    let text: &[u8] =
                        b"cannot record system calls: earlier promises forbid the recording itself";
                    return Err(Error::new(Errno::EBUSY, &[text]));
                }
                Some(ours)
            }
            _ => None,
        };
        Ok(Promises { words, otherwise, recorder })
    }

    /// Neither heap nor lock. After an error the process may be under the filter, or only have no_new_privs.
    #[inline(never)]
    pub fn apply(&self, scope: Scope) -> Result<()> {
        let pid = getpid().as_raw() as u32;
        let Some(program) = Program::new(self.words, answers(self.otherwise), pid) else {
            return Err(Error::cannot(Errno::E2BIG, "compile the promises"));
        };
        seccomp::forbid_new_privileges().or_cannot("forbid new privileges")?;
        match seccomp::install(program.code(), scope, self.recorder.is_some()) {
            Ok(Installed::Filter) => {}
            Ok(Installed::Listener(listener)) => {
                if let Some(recorder) = &self.recorder {
                    seccomp::send_descriptor(recorder.as_fd(), listener.as_fd())
                        .or_cannot("reach the process that records")?;
                    // That of a daemon is another one by now.
                    let stderr = file::borrowed(2).ok_or(Errno::EBADF);
                    if stderr.and_then(|fd| seccomp::send_descriptor(recorder.as_fd(), fd)).is_err()
                    {
                        let _ = socket::send(recorder.as_fd(), b"x"); // it waits for one
                    }
                }
            }
            Ok(Installed::Differs(thread)) => {
                let mut number = Buffer::<12>::new();
                number.push_number(thread as u32, 1);
                let pieces: [&[u8]; 3] =
                    [b"cannot promise: thread ", number.as_bytes(), b" has a filter of its own"];
                return Err(Error::new(Errno::EBUSY, &pieces));
            }
            Err(Errno::ESRCH) => {
                let text: &[u8] = b"cannot promise: a thread has a filter of its own";
                return Err(Error::new(Errno::EBUSY, &[text]));
            }
            Err(Errno::EBUSY) => {
                let text: &[u8] = b"cannot record system calls: they are recorded already";
                return Err(Error::new(Errno::EBUSY, &[text]));
            }
            Err(errno) => return Err(Error::cannot(errno, "put a filter before system calls")),
        }
        if scope == Scope::Process && self.otherwise == Otherwise::Kill {
            self.note_deadly();
        }
        Ok(())
    }

    /// As the checks of open(2) and its like have it.
    fn note_deadly(&self) {
        for (act, words) in [
            (Act::Look, RPATH.or(DNS)),
            (Act::Update, RPATH),
            (Act::Write, WPATH),
            (Act::Change, CPATH),
        ] {
            if !self.words.has_any(words) {
                seccomp::note_deadly(act);
            }
        }
    }
}

fn answers(otherwise: Otherwise) -> Answers {
    match otherwise {
        Otherwise::Refuse => {
            let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
            Answers { otherwise: refuse, newer: ENOSYS, foreign: ENOSYS }
        }
        Otherwise::Kill => {
            let kill = libc::SECCOMP_RET_KILL_PROCESS;
            Answers { otherwise: kill, newer: ENOSYS, foreign: kill }
        }
        Otherwise::Record => {
            let tell = libc::SECCOMP_RET_USER_NOTIF;
            Answers { otherwise: tell, newer: tell, foreign: tell }
        }
    }
}
