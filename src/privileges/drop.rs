//! Giving up root: what is to be kept is found and looked at first, and the rest goes in the one order in which that
//! can be done. Whatever the kernel says on the way, only what it says at the end counts.

use core::ffi::CStr;

use nix::{
    errno::Errno,
    unistd::{Pid, getpid, getppid},
};

use super::{
    Target,
    capabilities::{self, Set},
    not_proven,
    proof::{Rest, State, Threads},
    root::Root,
};
use crate::{
    error::{Error, OrCannot, Result},
    sys::{
        capability::{
            self, KEEP_CAPS, NO_ROOT, NO_SETUID_FIXUP, SETGID, SETPCAP, SETUID, SYS_CHROOT, Sets,
        },
        process::{self, Scope},
        seccomp::{self, Installed},
        thread,
    },
};

/// What C asks for.
#[derive(Default)]
pub struct Options<'a> {
    pub user: Option<&'a CStr>,
    pub group: Option<&'a CStr>,
    pub groups: Option<&'a CStr>,
    pub root: Option<&'a CStr>,
    pub capabilities: Option<&'a CStr>,
    pub is_ambient: bool,
    pub forbids_new_privileges: bool,
}

/// Looked up and opened. Nothing has changed yet.
pub struct Privileges {
    target: Target,
    root: Option<Root>,
    kept: Set,
    is_ambient: bool,
    forbids_new_privileges: bool,
}

impl Privileges {
    #[inline(never)]
    pub fn prepare(options: &Options) -> Result<Self> {
        // Room for the sentence of an error.
        thread::with_own(|_| ());
        let kept = capabilities::parse(options.capabilities.unwrap_or_default())?;
        if options.user.is_some() && (kept.has(SETUID) || kept.has(SETGID)) {
            return Err(Error::invalid(
                "cannot keep setuid or setgid with another user: root could come back",
            ));
        }
        if options.root.is_some() && kept.has(SYS_CHROOT) {
            return Err(Error::invalid("cannot keep sys_chroot with root: it leads out again"));
        }
        let mut target = Target::nobody();
        target.look_up(options.user, options.group)?;
        if let Some(groups) = options.groups {
            target.look_up_groups(groups)?;
        }
        let known = Set(capability::known().or_cannot("read the bounding set")?);
        let permitted = Set(capability::get().or_cannot("read the capabilities")?.permitted);
        check_names(kept.without(known), Errno::EINVAL, b"this kernel does not know it")?;
        check_names(kept.without(permitted), Errno::EPERM, b"the process does not have it")?;
        Ok(Privileges {
            target,
            root: options.root.map(Root::open).transpose()?,
            kept,
            is_ambient: options.is_ambient,
            forbids_new_privileges: options.forbids_new_privileges,
        })
    }

    /// Neither heap nor lock, in the thread that prepared it. After EPERM, ENOSYS and EPROTO the process may be half
    /// way: it must end. After another errno nothing has changed. With Scope::Child the parent has to restore whether it
    /// can be dumped (PR_SET_DUMPABLE): that belongs to the memory, and a change of the user takes it.
    #[inline(never)]
    pub fn apply(&self, scope: Scope) -> Result<()> {
        let is_alone = scope == Scope::Child || !process::has_threads().unwrap_or(true);
        let threads = match scope {
            Scope::Process => Threads::open()?,
            Scope::Child => None,
        };
        if !is_alone {
            self.check_threads(threads.as_ref())?;
        }
        let before = State::read()?;
        // In one of several threads nothing is put into effect that the others do not have: see `are_alike`.
        let sets = before.sets;
        let effective = Set(if is_alone { sets.permitted } else { sets.effective });
        let rest = Rest {
            kept: self.kept,
            is_ambient: self.is_ambient,
            is_limited: effective.has(SETPCAP),
            forbids_new_privileges: self.forbids_new_privileges,
        };
        let has_no_more =
            Set(before.sets.permitted).is_within(self.kept) && !before.uids.contains(&0);
        if !rest.is_limited
            && !self.forbids_new_privileges
            && !has_no_more
            && !before.is_limited_to(self.kept)
        {
            return Err(not_proven(
                b"without setpcap a program that is executed could have them again; \
                  no_new_privileges is needed",
            ));
        }
        if effective.0 != sets.effective {
            let sets = Sets { effective: effective.0, ..sets };
            capability::set(sets).or_cannot("put the capabilities into effect")?;
        }
        let signo = process::parent_death_signal().or_cannot("read the parent-death signal")?;
        let parent = getppid();
        let done = self
            .give_up(scope, is_alone, &before, &rest)
            .and_then(|()| keep_parent_death_signal(signo, parent))
            .and_then(|()| self.prove(is_alone, threads.as_ref(), &rest));
        done.map_err(|Error(errno)| match errno {
            Errno::ENOSYS | Errno::EPROTO => Error(errno),
            _ => Error(Errno::EPERM),
        })
    }

    fn give_up(&self, scope: Scope, is_alone: bool, before: &State, rest: &Rest) -> Result<()> {
        if self.forbids_new_privileges {
            forbid_new_privileges(is_alone)?;
        }
        if let Some(root) = &self.root {
            root.enter()?;
        }
        if rest.is_limited {
            self.limit_bounding()?;
        }
        self.change_ids(scope, before, rest)?;
        self.limit_capabilities(before, rest)
    }

    fn prove(&self, is_alone: bool, threads: Option<&Threads>, rest: &Rest) -> Result<()> {
        if let Some(root) = &self.root {
            if !root.is_entered()? {
                return Err(not_proven(b"the root directory is not the one asked for"));
            }
        }
        rest.prove()?;
        self.target.prove()?;
        let seen = match threads {
            Some(threads) => threads.prove(&self.target, rest, self.root.as_ref())?,
            None => 0,
        };
        match is_alone || seen > 0 {
            true => Ok(()),
            false => Err(not_proven(b"nobody sees what other threads have")),
        }
    }

    /// Only this thread's bounding set, securebits and capabilities can be changed. The kernel takes the capabilities
    /// of the others when their user changes, and no_new_privs keeps them from having others by executing.
    fn check_threads(&self, threads: Option<&Threads>) -> Result<()> {
        let are_alike = match threads {
            Some(threads) => threads.are_alike()?,
            None => None,
        };
        let why: &[u8] = match are_alike {
            None => b"other threads may run, and without /proc nobody sees what they have",
            Some(_) if self.target.user.is_none() => {
                b"other threads run, and only a change of the user reaches them"
            }
            Some(_) if !self.forbids_new_privileges => {
                b"other threads run, and without no_new_privileges they could have them again"
            }
            Some(false) => b"another thread has ids or capabilities of its own",
            Some(true) => return Ok(()),
        };
        Err(Error::new(Errno::EBUSY, &[b"cannot give up privileges: ", why]))
    }

    fn limit_bounding(&self) -> Result<()> {
        let known = Set(capability::known().or_cannot("read the bounding set")?);
        for number in known.without(self.kept).numbers() {
            capability::drop_bounding(number).or_cannot("limit the bounding set")?;
        }
        Ok(())
    }

    fn change_ids(&self, scope: Scope, before: &State, rest: &Rest) -> Result<()> {
        // When the last of the user ids that are 0 goes, the kernel takes all capabilities. Of a thread with
        // NO_SETUID_FIXUP it takes none, and KEEP_CAPS may be locked.
        let are_taken = self.target.user.is_some()
            && before.uids.contains(&0)
            && before.securebits & (NO_SETUID_FIXUP | KEEP_CAPS) == 0;
        if are_taken && (rest.is_limited || !self.kept.is_empty()) {
            capability::keep(true).or_cannot("keep capabilities")?;
        }
        self.target.change(scope)
    }

    fn limit_capabilities(&self, before: &State, rest: &Rest) -> Result<()> {
        let change = |sets| capability::set(sets).or_cannot("change the capabilities");
        if rest.is_limited {
            let with_setpcap = self.kept.with(Set::of(SETPCAP)).0;
            change(Sets { effective: with_setpcap, permitted: with_setpcap, ..rest.sets() })?;
            let bits = (before.securebits | NO_ROOT) & !KEEP_CAPS;
            capability::set_securebits(bits).or_cannot("change the securebits")?;
        } else if capability::securebits().or_cannot("read the securebits")? & KEEP_CAPS != 0 {
            capability::keep(false).or_cannot("stop keeping capabilities")?;
        }
        change(rest.sets())?;
        capability::clear_ambient().or_cannot("clear the ambient capabilities")?;
        if self.is_ambient {
            for number in self.kept.numbers() {
                capability::raise_ambient(number).or_cannot("raise an ambient capability")?;
            }
        }
        Ok(())
    }
}

fn check_names(bad: Set, errno: Errno, why: &[u8]) -> Result<()> {
    match bad.numbers().next() {
        None => Ok(()),
        Some(number) => {
            let names = Set::of(number).names();
            let pieces: [&[u8]; 4] = [b"cannot keep ", names.as_bytes(), b": ", why];
            Err(Error::new(errno, &pieces))
        }
    }
}

/// Executing a program gives nothing any more, whoever's it is.
pub fn forbid_new(scope: Scope) -> Result<()> {
    forbid_new_privileges(scope == Scope::Child || !process::has_threads().unwrap_or(true))
}

/// The kernel forgets it when ids or capabilities change (prctl(2)).
fn keep_parent_death_signal(signo: i32, parent: Pid) -> Result<()> {
    if signo == 0 {
        return Ok(());
    }
    match process::set_parent_death_signal(signo, parent) {
        // It has ended meanwhile.
        Err(Errno::ESRCH) => process::send_signal(getpid().as_raw(), signo),
        set => set,
    }
    .or_cannot("keep the parent-death signal")
}

/// For all threads by a filter that lets everything pass: it is what the kernel brings to them all, and with it
/// no_new_privs.
fn forbid_new_privileges(is_alone: bool) -> Result<()> {
    seccomp::forbid_new_privileges().or_cannot("forbid new privileges")?;
    if is_alone {
        return Ok(());
    }
    let pass = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    };
    match seccomp::install(&[pass], Scope::Process, false) {
        Ok(Installed::Filter) => Ok(()),
        Ok(_) => Err(not_proven(b"a thread has a filter of system calls of its own")),
        Err(Errno::ENOSYS | Errno::EINVAL) => {
            let text: &[u8] = b"cannot forbid new privileges to all threads: this kernel has no filters of system \
                calls (seccomp), with which it brings that to them";
            Err(Error::new(Errno::ENOSYS, &[text]))
        }
        Err(errno) => Err(Error::cannot(errno, "forbid new privileges to all threads")),
    }
}
