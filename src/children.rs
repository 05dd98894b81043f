//! Children that are waited for, each by a descriptor of its own (pidfd): no other child is touched.

use std::os::fd::AsFd;

use nix::errno::Errno;

use crate::{
    error::{Error, OrCannot, Result},
    kept::Kept,
    poller::{self, Source},
    signals,
    sys::{
        callback::Callback,
        memory::Table,
        process::{self, Own, Wait},
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
    /// None: it has ended, and a command is still to wait for it.
    pidfd: Option<Kept>,
}

#[derive(Default)]
struct Children {
    table: Table<Child>,
    /// All children that end are waited for.
    reaps: bool,
}

static CHILDREN: Own<Children> = Own::new();

/// The status of a child that somebody else has waited for.
pub(crate) const UNKNOWN: i32 = -1;

/// A child has ended.
pub struct Ended {
    pub pid: libc::pid_t,
    /// As waitpid(2) has it. UNKNOWN for a command's.
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
    add(pid, Whose::Program(callback)).map(drop)
}

/// Watches a child; returns its number here.
pub fn add(pid: libc::pid_t, whose: Whose) -> Result<usize> {
    CHILDREN.with(|children| {
        if children.table.iter().any(|(_, child)| child.pid == pid) {
            return Err(Error::new(Errno::EEXIST, &[b"the child is watched already"]));
        }
        let pidfd = process::pidfd_open(pid).and_then(Kept::new).or_cannot("watch a child")?;
        let child = Child { pid, whose, pidfd: Some(pidfd) };
        let number = children.table.insert(child).or_cannot("watch a child")?;
        let watched = attend(&children.table.get(number), number);
        if watched.is_err() {
            children.table.take(number);
        }
        watched.or_cannot("watch a child").map(|()| number)
    })
}

fn attend(child: &Option<&mut Child>, number: usize) -> nix::Result<()> {
    let pidfd = child.as_ref().and_then(|child| child.pidfd.as_ref());
    pidfd.map_or(Ok(()), |pidfd| poller::add(pidfd.get()?, Source::Child(number)))
}

impl Child {
    /// No descriptor from here on.
    fn leave_alone(&mut self) {
        if let Some(pidfd) = self.pidfd.take() {
            if let Ok(pidfd) = pidfd.get() {
                poller::remove(pidfd.as_fd());
            }
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
        children.table.take(number).as_mut().map(Child::leave_alone);
        Ok(())
    })
}

/// Watches no more the child of a command that is over.
pub fn release(number: usize) {
    CHILDREN.with(|children| {
        children.table.take(number).as_mut().map(Child::leave_alone);
    });
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
        let child = children.table.get(number)?;
        child.pidfd.as_ref()?;
        let (pid, whose) = (child.pid, child.whose);
        let status = match whose {
            Whose::Command(_) => {
                match process::wait(Wait::Process(pid), libc::WNOHANG | libc::WNOWAIT) {
                    Ok(None) => return None,
                    Ok(Some(_)) | Err(_) => UNKNOWN,
                }
            }
            Whose::Program(_) | Whose::Nobody => match process::wait_status(pid, libc::WNOHANG) {
                Ok(status) => status?,
                Err(_) => UNKNOWN,
            },
        };
        child.leave_alone();
        if !matches!(whose, Whose::Command(_)) {
            children.table.take(number);
        }
        Some(Ended { pid, status, whose })
    })
}

/// The descriptors were lost: makes new ones.
pub fn watch_again() {
    CHILDREN.with(|children| {
        for (number, child) in children.table.iter().filter(|(_, child)| child.pidfd.is_some()) {
            let pidfd = process::pidfd_open(child.pid).and_then(Kept::new);
            let pidfd = pidfd.and_then(|pidfd| {
                poller::add(pidfd.get()?, Source::Child(number))?;
                Ok(pidfd)
            });
            if let Ok(pidfd) = pidfd {
                child.pidfd = Some(pidfd);
            }
        }
    });
}

/// `rsd_reap_children`
pub fn reap(on: bool) -> Result<()> {
    if on {
        poller::fd()?;
        signals::claim_child()?;
    }
    let reaped = CHILDREN.with(|children| core::mem::replace(&mut children.reaps, on));
    if on {
        signals::look_for_children();
    } else if reaped {
        signals::give_back_child()?;
    }
    Ok(())
}

/// How many strangers are waited for at once.
const AT_ONCE: usize = 64;

/// Waits for children that nobody knows, if that is asked for. Returns a watched one that has ended,
/// which is in the way of seeing others, by its number.
pub fn reap_strangers() -> Option<usize> {
    CHILDREN.with(|children| {
        if !children.reaps {
            return None;
        }
        for _ in 0..AT_ONCE {
            let pid = process::ended_child()?;
            let known = children.table.iter().find(|(_, child)| child.pid == pid);
            match known.map(|(number, child)| (number, child.pidfd.is_some())) {
                // Its own descriptor tells of it as well.
                Some((number, true)) => {
                    signals::look_for_children();
                    return Some(number);
                }
                // Its command waits for it soon, and says so.
                Some((_, false)) => return None,
                None => {
                    let _ = process::wait_status(pid, libc::WNOHANG);
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
