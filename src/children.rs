//! Children that are waited for, each by a descriptor of its own (pidfd): no other child is touched.

use nix::errno::Errno;

use crate::{
    error::{Error, OrCannot, Result},
    kept::Kept,
    poller::{self, Sleeper, Source},
    signals,
    sys::{
        callback::Callback,
        memory::Table,
        process::{self, End, Own, Wait},
    },
};

/// A child callback of C; only ffi calls it.
pub type ChildCallback =
    Callback<unsafe extern "C" fn(libc::c_int, libc::c_int, *mut core::ffi::c_void)>;

/// Who is told that a child has ended.
#[derive(Clone, Copy)]
pub enum Whose {
    Program(ChildCallback),
    /// The number of a command, which waits for the child itself.
    Command(usize),
    /// Nobody: it is only waited for.
    Nobody,
}

struct Child {
    pid: libc::pid_t,
    whose: Whose,
    /// None: the kernel has none (before Linux 5.3, or a filter); then it is looked at now and then.
    pidfd: Option<Kept>,
    /// And a command is still to wait for it.
    has_ended: bool,
}

#[derive(Default)]
struct Children {
    table: Table<Child>,
    /// All children that end are waited for.
    reaps: bool,
    /// How many commands are being started: a child that nobody knows may be one of them.
    starting: usize,
}

static CHILDREN: Own<Children> = Own::new();

/// The status of a child that somebody else has waited for.
pub(crate) const UNKNOWN: i32 = -1;

/// A child has ended.
pub struct Ended {
    pub pid: libc::pid_t,
    /// As waitpid(2) has it, or UNKNOWN.
    pub status: i32,
    pub whose: Whose,
}

/// `rsd_watch_child`
pub fn watch(pid: libc::pid_t, callback: ChildCallback) -> Result<()> {
    if pid <= 0 {
        return Err(Error::invalid("pid is no process"));
    }
    let is_child = process::wait(Wait::Process(pid), libc::WNOHANG | libc::WNOWAIT);
    is_child.or_cannot("watch a process that is no child")?;
    match add(pid, Whose::Program(callback)) {
        Err(Error(Errno::ESRCH)) => Err(Errno::ECHILD).or_cannot("watch a child"),
        added => added.map(drop),
    }
}

/// Watches a child; returns its number here. ESRCH: it has ended, and somebody has waited for it.
pub fn add(pid: libc::pid_t, whose: Whose) -> Result<usize> {
    CHILDREN.with(|children| {
        if children.table.iter().any(|(_, child)| child.pid == pid) {
            return Err(Error::new(Errno::EEXIST, &[b"the child is watched already"]));
        }
        let added = open(pid).and_then(|pidfd| {
            let child = Child { pid, whose, pidfd, has_ended: false };
            let number = children.table.insert(child)?;
            let attended = children.table.get(number).map_or(Ok(()), |child| child.attend(number));
            if attended.is_err() {
                children.table.take(number);
            }
            attended.map(|()| number)
        });
        added.or_cannot("watch a child")
    })
}

fn open(pid: libc::pid_t) -> nix::Result<Option<Kept>> {
    match process::pidfd_open(pid) {
        Ok(pidfd) => Kept::new(pidfd).map(Some),
        Err(Errno::ENOSYS | Errno::EPERM) => Ok(None),
        Err(Errno::ESRCH) => {
            // Unless it is there.
            let flags = libc::WNOHANG | libc::WNOWAIT;
            process::wait(Wait::Process(pid), flags).map(|_| None).or(Err(Errno::ESRCH))
        }
        Err(errno) => Err(errno),
    }
}

/// How often to look at a child that has no descriptor.
const LOOK_EVERY_MS: i64 = 20;

impl Child {
    /// The main loop wakes when it ends.
    fn attend(&self, number: usize) -> nix::Result<()> {
        match &self.pidfd {
            Some(pidfd) => poller::add(pidfd.get()?, Source::Child(number)),
            None => poller::wake_at(Sleeper::Children, Some(process::monotonic_ms())),
        }
    }

    fn attend_no_more(&self) {
        if let Some(Ok(pidfd)) = self.pidfd.as_ref().map(Kept::get) {
            poller::remove(pidfd);
        }
    }

    /// waitid(2) for this child, and for no later one of the same pid where there are descriptors.
    fn wait(&self, flags: i32) -> nix::Result<Option<End>> {
        let pidfd = self.pidfd.as_ref().and_then(|pidfd| pidfd.get().ok());
        let by_pidfd = pidfd.map(|pidfd| process::wait(Wait::Pidfd(pidfd), libc::WNOHANG | flags));
        match by_pidfd {
            Some(Err(Errno::ECHILD)) => Err(Errno::ECHILD),
            None | Some(Err(_)) => process::wait(Wait::Process(self.pid), libc::WNOHANG | flags),
            Some(end) => end,
        }
    }
}

/// `rsd_forget_child`
pub fn forget(pid: libc::pid_t) -> Result<()> {
    CHILDREN.with(|children| {
        let is_meant = |child: &Child| child.pid == pid && matches!(child.whose, Whose::Program(_));
        let found = children.table.iter().find(|(_, child)| is_meant(child));
        let Some(number) = found.map(|(number, _)| number) else {
            return Err(Error::new(Errno::ENOENT, &[b"the process is not watched"]));
        };
        if let Some(child) = children.table.take(number) {
            child.attend_no_more();
        }
        Ok(())
    })
}

/// Whether the child can still be waited for: its number is its own until then.
pub fn is_there(number: usize) -> bool {
    CHILDREN.with(|children| {
        children.table.get(number).is_some_and(|child| child.wait(libc::WNOWAIT).is_ok())
    })
}

/// Waits for the child of a command, which has ended. Its status.
pub fn collect(number: usize) -> i32 {
    CHILDREN.with(|children| {
        let Some(child) = children.table.take(number) else { return UNKNOWN };
        let end = child.wait(0);
        child.attend_no_more();
        if children.reaps {
            signals::look_for_children(); // it was in the way of seeing others
        }
        end.ok().flatten().map_or(UNKNOWN, End::status)
    })
}

/// Starts a command and makes its child known; until then no stranger is waited for.
pub fn start<T>(act: impl FnOnce() -> T) -> T {
    CHILDREN.with(|children| children.starting += 1);
    let started = act();
    CHILDREN.with(|children| {
        children.starting = children.starting.saturating_sub(1);
        if children.reaps {
            signals::look_for_children();
        }
    });
    started
}

/// A command gives up on its child, which does not end.
pub fn abandon(number: usize) {
    CHILDREN.with(|children| {
        if let Some(child) = children.table.get(number) {
            child.whose = Whose::Nobody;
        }
    });
}

/// Waits for this child if it has ended. A command's is left for it to wait for.
pub fn look_at(number: usize) -> Option<Ended> {
    CHILDREN.with(|children| {
        let child = children.table.get(number).filter(|child| !child.has_ended)?;
        let (pid, whose) = (child.pid, child.whose);
        let is_commands = matches!(whose, Whose::Command(_));
        let status = match child.wait(if is_commands { libc::WNOWAIT } else { 0 }) {
            Ok(end) => end?.status(),
            Err(_) => UNKNOWN,
        };
        child.attend_no_more();
        child.has_ended = true;
        if !is_commands {
            children.table.take(number);
        }
        Some(Ended { pid, status, whose })
    })
}

/// A child without a descriptor that has ended, by its number.
pub fn ended_unseen() -> Option<usize> {
    CHILDREN.with(|children| {
        let mut unseen = children
            .table
            .iter()
            .filter(|(_, child)| child.pidfd.is_none() && !child.has_ended)
            .map(|(number, child)| (number, !matches!(child.wait(libc::WNOWAIT), Ok(None))));
        let mut is_any = false;
        let ended = unseen.find(|(_, has_ended)| {
            is_any = true;
            *has_ended
        });
        let pause = if ended.is_some() { 0 } else { LOOK_EVERY_MS };
        let next = is_any.then(|| process::monotonic_ms() + pause);
        let _ = poller::wake_at(Sleeper::Children, next);
        ended.map(|(number, _)| number)
    })
}

/// The descriptors were lost: makes new ones.
pub fn watch_again() {
    CHILDREN.with(|children| {
        for (number, child) in children.table.iter().filter(|(_, child)| !child.has_ended) {
            child.pidfd = open(child.pid).unwrap_or_default();
            if child.attend(number).is_err() {
                child.pidfd = None;
            }
        }
        let _ = poller::wake_at(Sleeper::Children, Some(process::monotonic_ms()));
    });
}

/// `rsd_reap_children`
pub fn reap(on: bool) -> Result<()> {
    if on {
        poller::fd()?;
        signals::claim_child()?;
    }
    CHILDREN.with(|children| children.reaps = on);
    if on {
        signals::look_for_children();
        return Ok(());
    }
    signals::give_back_child()
}

/// How many strangers are waited for at once.
const AT_ONCE: usize = 64;

/// Waits for children that nobody knows, if that is asked for. Returns a watched one that has ended,
/// which is in the way of seeing others, by its number.
pub fn reap_strangers() -> Option<usize> {
    CHILDREN.with(|children| {
        if !children.reaps || children.starting > 0 {
            return None;
        }
        for _ in 0..AT_ONCE {
            let pid = process::ended_child()?;
            let known = children.table.iter().find(|(_, child)| child.pid == pid);
            match known.map(|(number, child)| (number, child.has_ended)) {
                Some((number, false)) => {
                    signals::look_for_children();
                    return Some(number);
                }
                // Its command waits for it soon, and says so.
                Some((_, true)) => return None,
                None => {
                    let _ = process::wait(Wait::Process(pid), libc::WNOHANG);
                }
            }
        }
        signals::look_for_children();
        None
    })
}

/// A forked child watches nobody.
pub fn let_go_of_parents() {
    CHILDREN.with(|_| ());
}
