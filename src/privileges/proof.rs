//! What the kernel says that this process may: for a report, and as the proof that what was to be given up is gone.

use core::ffi::CStr;
use std::os::fd::AsFd;

use nix::{
    errno::Errno,
    unistd::{Whence, getresgid, getresuid, lseek},
};

use super::{Set, Target, not_proven, root::Root};
use crate::{
    error::{OrCannot, Result},
    sys::{
        capability::{self, NO_ROOT, SETGID, SETUID, Sets},
        file::OwnedFd,
        proc,
        user::{self, GROUPS_MAX},
    },
    text,
};

/// Of the supplementary groups, which the kernel keeps sorted: to see that they are others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    count: usize,
    /// FNV-1a
    hash: u64,
}

impl Fingerprint {
    fn of(groups: &[libc::gid_t]) -> Self {
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let bytes = groups.iter().flat_map(|group| group.to_ne_bytes());
        Fingerprint { count: groups.len(), hash: bytes.fold(0xcbf2_9ce4_8422_2325, mix) }
    }
}

/// What this thread may.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Real, effective, saved.
    pub uids: [u32; 3],
    pub gids: [u32; 3],
    /// `None`: there are more than are handled.
    pub groups: Option<Fingerprint>,
    pub sets: Sets,
    pub bounding: Set,
    pub ambient: Set,
    pub securebits: u32,
    pub forbids_new_privileges: bool,
}

impl State {
    #[inline(never)]
    pub fn read() -> Result<Self> {
        let uids = getresuid().or_cannot("read the user ids")?;
        let gids = getresgid().or_cannot("read the group ids")?;
        Ok(State {
            uids: [uids.real, uids.effective, uids.saved].map(|uid| uid.as_raw()),
            gids: [gids.real, gids.effective, gids.saved].map(|gid| gid.as_raw()),
            groups: user::groups(&mut [0; GROUPS_MAX]).ok().map(Fingerprint::of),
            sets: capability::get().or_cannot("read the capabilities")?,
            bounding: Set(capability::bounding().or_cannot("read the bounding set")?),
            ambient: Set(capability::ambient().or_cannot("read the ambient capabilities")?),
            securebits: capability::securebits().or_cannot("read the securebits")?,
            forbids_new_privileges: capability::forbids_new_privileges()
                .or_cannot("read no_new_privs")?,
        })
    }

    /// Executing a program gives nothing but these, and no user is more than another.
    pub fn is_limited_to(&self, kept: Set) -> bool {
        self.bounding.is_within(kept) && self.securebits & NO_ROOT == NO_ROOT
    }
}

/// What is to be left.
#[derive(Clone, Copy)]
pub struct Rest {
    pub kept: Set,
    pub is_ambient: bool,
    /// The bounding set and the securebits are those of who gives up all.
    pub is_limited: bool,
    pub forbids_new_privileges: bool,
}

impl Rest {
    fn ambient(&self) -> Set {
        if self.is_ambient { self.kept } else { Set::NONE }
    }

    pub fn sets(&self) -> Sets {
        let kept = self.kept.0;
        Sets { effective: kept, permitted: kept, inheritable: self.ambient().0 }
    }

    /// Of this thread.
    #[inline(never)]
    pub fn prove(&self) -> Result<()> {
        let state = State::read()?;
        if state.sets != self.sets() {
            return Err(not_proven(b"the capabilities are not those asked for"));
        }
        if state.ambient != self.ambient() {
            return Err(not_proven(b"the ambient capabilities are not those asked for"));
        }
        if self.is_limited && !state.is_limited_to(self.kept) {
            return Err(not_proven(b"executing a program could bring them back"));
        }
        if state.securebits & capability::KEEP_CAPS != 0 {
            return Err(not_proven(b"a change of the user would keep capabilities"));
        }
        if self.forbids_new_privileges && !state.forbids_new_privileges {
            return Err(not_proven(b"no_new_privs is not set"));
        }
        Ok(())
    }
}

/// "/proc/self/task", open while there still is a /proc. `None`: there is none.
pub struct Threads(OwnedFd);

/// Longer than that of a thread with as many groups as are handled.
const STATUS_MAX: usize = 16384;

impl Threads {
    pub fn open() -> Result<Option<Self>> {
        Ok(proc::tasks().or_cannot("open /proc/self/task")?.map(Threads))
    }

    /// Whether the C library may change the ids of all: it ends the process when one thread is refused what another
    /// one is not. `None`: nobody is seen.
    #[inline(never)]
    pub fn are_alike(&self) -> Result<Option<bool>> {
        let mut first = None;
        let mut are_alike = true;
        self.each(|_, thread| {
            let own = (thread.ids(b"Uid"), thread.ids(b"Gid"), thread.may_change_ids());
            are_alike &= own == *first.get_or_insert(own);
            Ok(())
        })?;
        Ok(first.map(|_| are_alike))
    }

    /// Of all threads; what `Rest::prove` sees of this one is not asked again.
    #[inline(never)]
    pub fn prove(&self, target: &Target, rest: &Rest, root: Option<&Root>) -> Result<u32> {
        let mut threads = 0;
        let mut with_capabilities = 0;
        self.each(|name, thread| {
            threads += 1;
            with_capabilities += u32::from(thread.prove(target, rest)?);
            match root {
                Some(root) => self.prove_root(name, root),
                None => Ok(()),
            }
        })?;
        // Those that are kept are this thread's alone, as are bounding set and securebits.
        if with_capabilities > 1 {
            return Err(not_proven(b"another thread has capabilities"));
        }
        if threads > 1 && !rest.forbids_new_privileges {
            return Err(not_proven(b"another thread could have them again"));
        }
        Ok(threads)
    }

    /// A thread may have one of its own (unshare(2) with CLONE_FS).
    fn prove_root(&self, name: &CStr, root: &Root) -> Result<()> {
        for link in [&b"root"[..], b"cwd"] {
            let folder = proc::task_folder(self.0.as_fd(), name, link)
                .or_cannot("examine the root directory of a thread")?;
            if folder.is_some_and(|folder| !root.is(folder)) {
                return Err(not_proven(b"a thread has a root directory of its own"));
            }
        }
        Ok(())
    }

    /// Those that are not over.
    fn each(&self, mut act: impl FnMut(&CStr, Thread) -> Result<()>) -> Result<()> {
        let mut status = [0; STATUS_MAX];
        let mut verdict = Ok(());
        lseek(&self.0, 0, Whence::SeekSet).or_cannot("look at all threads")?;
        let looked = proc::find_name(self.0.as_fd(), |name| {
            if name.to_bytes().starts_with(b".") {
                return Ok(false);
            }
            let Some(length) = proc::task_status(self.0.as_fd(), name, &mut status)? else {
                return Ok(false);
            };
            if length == status.len() {
                return Err(Errno::EPROTO);
            }
            let thread = Thread(status.get(..length).unwrap_or_default());
            if !thread.is_over() {
                verdict = act(name, thread);
            }
            Ok(verdict.is_err())
        });
        looked.or_cannot("read the status of all threads")?;
        verdict
    }
}

/// The text of a thread's status in /proc.
struct Thread<'a>(&'a [u8]);

impl Thread<'_> {
    /// Whether it has capabilities, which are those that are kept.
    fn prove(&self, target: &Target, rest: &Rest) -> Result<bool> {
        let user = target.user.map(|user| user.as_raw());
        let group = target.group.map(|group| group.as_raw());
        let is_assumed = (user.is_none() || self.ids(b"Uid") == [user; 4])
            && (group.is_none() || self.ids(b"Gid") == [group; 4])
            && (!target.sets_groups || target.are_groups(self.numbers(b"Groups")));
        if !is_assumed {
            return Err(not_proven(b"a thread has ids that are not those asked for"));
        }
        if rest.forbids_new_privileges && self.field(b"NoNewPrivs") != Some(b"1") {
            return Err(not_proven(b"no_new_privs is not set for a thread"));
        }
        let sets = [self.set(b"CapPrm"), self.set(b"CapEff"), self.set(b"CapAmb")];
        let is_without = sets == [Some(Set::NONE); 3];
        if !is_without && sets != [Some(rest.kept), Some(rest.kept), Some(rest.ambient())] {
            return Err(not_proven(b"a thread has capabilities that were not to be kept"));
        }
        Ok(!is_without)
    }

    fn may_change_ids(&self) -> Option<[bool; 2]> {
        self.set(b"CapEff").map(|set| [SETUID, SETGID].map(|number| set.has(number)))
    }

    fn field(&self, name: &[u8]) -> Option<&[u8]> {
        let of = |line: &'_ [u8]| -> bool {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(b":"))
        };
        let line = self.0.split(|&byte| byte == b'\n').find(|line| of(line))?;
        Some(line.get(name.len() + 1..)?.trim_ascii())
    }

    /// It only waits for the others, and does nothing any more: the C library leaves its ids alone.
    fn is_over(&self) -> bool {
        self.field(b"State").is_some_and(|state| state.starts_with(b"Z") || state.starts_with(b"X"))
    }

    fn numbers(&self, name: &[u8]) -> impl Iterator<Item = Option<u32>> + Clone {
        let words = self.field(name).unwrap_or(b"?").split(u8::is_ascii_whitespace);
        words.filter(|word| !word.is_empty()).map(text::number)
    }

    /// Real, effective, saved, and that for files.
    fn ids(&self, name: &[u8]) -> [Option<u32>; 4] {
        let mut ids = [None; 4];
        ids.iter_mut().zip(self.numbers(name)).for_each(|(place, id)| *place = id);
        ids
    }

    fn set(&self, name: &[u8]) -> Option<Set> {
        text::hexadecimal(self.field(name)?).map(Set)
    }
}
