//! A cgroup for this process alone, below the one it is in, with limits of resources (version 2, cgroups(7)).
//! What was made is removed when anything fails.

mod limits;
mod mounts;

use core::ffi::CStr;
use std::os::fd::AsFd;

use nix::errno::Errno;

use crate::{
    error::{self, Error, OrCannot, Result},
    sys::{
        file::OwnedFd,
        kernel_file::{self, Content},
        memory::Buffer,
    },
};
use limits::Limits;

const OWN_GROUP: &CStr = c"/proc/self/cgroup";

type Path = Buffer<{ libc::PATH_MAX as usize }>;

/// A group to be made.
pub struct Group<'a> {
    name: &'a CStr,
    limits: Limits,
    /// The group that the process is in, as the kernel names it, and its folder.
    path: Path,
    parent: OwnedFd,
}

impl<'a> Group<'a> {
    /// Finds out whether the group could be made with these limits. Nothing is changed.
    #[inline(never)]
    pub fn prepare(name: &'a CStr, limits: &CStr) -> Result<Self> {
        if !is_component(name.to_bytes()) {
            let pieces: [&[u8]; 3] =
                [b"cannot name a cgroup \"", name.to_bytes(), b"\": it takes one name, without /"];
            return Err(Error::new(Errno::EINVAL, &pieces));
        }
        let limits = Limits::parse(limits)?;
        let mut path = Path::new();
        if !own_path(&mut path)? {
            return Err(Error::new(
                Errno::EOPNOTSUPP,
                &[b"this process is in no cgroup of version 2"],
            ));
        }
        let parent = mounts::find_folder(path.as_bytes())?;
        let group = Group { name, limits, path, parent };
        let present = group.words(c"cgroup.controllers")?;
        for controller in group.limits.controllers() {
            if !has_word(&present, controller) {
                return Err(group.lacks(controller));
            }
        }
        Ok(group)
    }

    /// Makes the group, enters it and sets its limits. No heap, no lock.
    #[inline(never)]
    pub fn apply(&self) -> Result<()> {
        self.make()?;
        let mut enabled = Content::new();
        let done = self.enter_and_limit(&mut enabled);
        if done.is_err() {
            error::keeping_sentence(|| self.undo(&enabled));
        }
        done
    }

    /// A group that was left is made anew, so that it has no limits from before. The kernel removes none with a
    /// process in it.
    fn make(&self) -> Result<()> {
        let parent = self.parent.as_fd();
        let mut made = kernel_file::make_folder(parent, self.name);
        if made == Err(Errno::EEXIST) {
            match kernel_file::remove_folder(parent, self.name) {
                Err(Errno::EBUSY) => {
                    return Err(self.failed(Errno::EBUSY, "take", b": it has processes or groups"));
                }
                removed => {
                    made = removed.and_then(|()| kernel_file::make_folder(parent, self.name));
                }
            }
        }
        made.map_err(|errno| match errno {
            Errno::EACCES | Errno::EPERM => {
                let why = b": the group above it is not delegated to this process";
                self.failed(errno, "make", why)
            }
            errno => self.failed(errno, "make", b"").without_reason(),
        })
    }

    /// `enabled` is what was done to the group above it.
    fn enter_and_limit(&self, enabled: &mut Content) -> Result<()> {
        let folder = kernel_file::open_folder(self.parent.as_fd(), self.name);
        let folder = folder.map_err(|errno| self.failed(errno, "open", b"").without_reason())?;
        // 0: whoever writes it.
        kernel_file::write(folder.as_fd(), c"cgroup.procs", b"0")
            .map_err(|errno| self.failed(errno, "enter", b"").without_reason())?;
        if !self.is_in_force()? {
            return Err(self.failed(Errno::EPERM, "enter", b": the process is not in it"));
        }
        self.enable_controllers(enabled)?;
        for (kind, value) in self.limits.iter() {
            limits::set(folder.as_fd(), kind, value)?;
        }
        Ok(())
    }

    /// Whether the process is in the group.
    fn is_in_force(&self) -> Result<bool> {
        let mut path = Path::new();
        own_path(&mut path)?;
        let above = self.path.as_bytes();
        let rest = path.as_bytes().strip_prefix(above.strip_suffix(b"/").unwrap_or(above));
        Ok(rest.and_then(|rest| rest.strip_prefix(b"/")) == Some(self.name.to_bytes()))
    }

    /// A group other than the first one hands controllers on only when no process is in it (cgroups(7), "no
    /// internal processes"), and so this one has left it.
    fn enable_controllers(&self, enabled: &mut Content) -> Result<()> {
        let present = self.words(c"cgroup.subtree_control")?;
        let mut word = Content::new();
        for controller in self.limits.controllers() {
            if !has_word(&present, controller) {
                for piece in [b"+", controller, b" "] {
                    word.push(piece);
                }
            }
        }
        if word.as_bytes().is_empty() {
            return Ok(());
        }
        let parent = self.parent.as_fd();
        match kernel_file::write(parent, c"cgroup.subtree_control", word.as_bytes()) {
            Ok(()) => {}
            Err(Errno::EBUSY) => {
                let why = b": other processes are in the group above it";
                return Err(self.failed(Errno::EBUSY, "limit", why));
            }
            Err(errno) => return Err(self.failed(errno, "limit", b"").without_reason()),
        }
        *enabled = word;
        let present = self.words(c"cgroup.subtree_control")?;
        match self.limits.controllers().find(|controller| !has_word(&present, controller)) {
            Some(controller) => Err(self.lacks(controller)),
            None => Ok(()),
        }
    }

    fn undo(&self, enabled: &Content) {
        let parent = self.parent.as_fd();
        let mut word = Content::new();
        for &byte in enabled.as_bytes() {
            word.push(&[if byte == b'+' { b'-' } else { byte }]);
        }
        // First, since no process enters a group that hands controllers on.
        if !word.as_bytes().is_empty() {
            let _ = kernel_file::write(parent, c"cgroup.subtree_control", word.as_bytes());
        }
        let _ = kernel_file::write(parent, c"cgroup.procs", b"0");
        let _ = kernel_file::remove_folder(parent, self.name);
    }

    /// A file of the group above it.
    fn words(&self, file: &CStr) -> Result<Content> {
        let content = kernel_file::read(self.parent.as_fd(), file);
        content.or_cannot_at("read", file)
    }

    #[cold]
    fn failed(&self, errno: Errno, action: &str, why: &[u8]) -> Error {
        let above = self.path.as_bytes();
        let above = above.strip_suffix(b"/").unwrap_or(above);
        let name = self.name.to_bytes();
        let pieces = [b"cannot ", action.as_bytes(), b" the cgroup ", above, b"/", name, why];
        Error::new(errno, &pieces)
    }

    #[cold]
    fn lacks(&self, controller: &[u8]) -> Error {
        let why: &[u8] = b" is not available to it: not delegated, or bound to version 1";
        let path = self.path.as_bytes();
        let pieces =
            [b"cannot limit within the cgroup ", path, b": the controller ", controller, why];
        Error::new(Errno::EOPNOTSUPP, &pieces)
    }
}

fn is_component(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= 255
        && !name.iter().any(|byte| *byte == b'/' || byte.is_ascii_control())
}

fn has_word(content: &Content, word: &[u8]) -> bool {
    content.as_bytes().split(u8::is_ascii_whitespace).any(|present| present == word)
}

/// The group of version 2 that the process is in. Whether there is one.
fn own_path(path: &mut Path) -> Result<bool> {
    let found = kernel_file::find_line(OWN_GROUP, &mut |line| match line.strip_prefix(b"0::") {
        Some(own) => path.push(own),
        None => false,
    });
    found.or_cannot_at("read", OWN_GROUP)
}

/// Whether the process is in a group of this name; what stands behind a blank is no part of it.
pub fn is_in(name: &[u8]) -> Result<bool> {
    let mut path = Path::new();
    own_path(&mut path)?;
    let last = path.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let rest = name.strip_prefix(last);
    Ok(!last.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b" ")))
}
