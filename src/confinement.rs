//! Confinement by a security module of the kernel's: a profile of AppArmor, a context of SELinux. Both are a
//! thread's own, and so for a process without other threads.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag},
    sys::stat::Mode,
};

use crate::{
    error::{Error, OrCannot, Result},
    sys::{
        file::{self, OwnedFd},
        kernel_file,
        memory::Buffer,
        process::{self, Scope},
    },
};

/// The kernel takes what is shorter than a page.
const NAME_MAX: usize = 4000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Module {
    AppArmor,
    Selinux,
}

const BY_ANY_MODULE: &CStr = c"/proc/thread-self/attr/current";
const BY_APPARMOR: &CStr = c"/proc/thread-self/attr/apparmor/current";
const APPARMOR_SWITCH: &CStr = c"/sys/module/apparmor/parameters/enabled";
const FILE_SYSTEMS: &CStr = c"/proc/filesystems";

/// What to become.
pub struct Confinement<'a> {
    module: Module,
    name: &'a CStr,
}

impl<'a> Confinement<'a> {
    /// Finds out whether the kernel has the module. Nothing is changed.
    #[inline(never)]
    pub fn prepare(module: Module, name: &'a CStr) -> Result<Self> {
        let bytes = name.to_bytes();
        if bytes.is_empty() || bytes.len() > NAME_MAX || bytes.iter().any(u8::is_ascii_control) {
            return Err(Error::new(Errno::EINVAL, &[b"that is no name of a ", module.noun()]));
        }
        let (is_there, missing): (bool, &[u8]) = match module {
            Module::AppArmor => (has_apparmor()?, b"AppArmor is not enabled in this kernel"),
            Module::Selinux => (has_selinux()?, b"SELinux is not enabled in this kernel"),
        };
        if !is_there {
            return Err(Error::new(Errno::EOPNOTSUPP, &[missing]));
        }
        Ok(Confinement { module, name })
    }

    /// No heap, no lock.
    #[inline(never)]
    pub fn apply(&self, scope: Scope) -> Result<()> {
        let is_alone =
            scope == Scope::Child || !process::has_threads().map_err(|errno| self.cannot(errno))?;
        if !is_alone {
            let pieces: [&[u8]; 3] = [
                b"cannot change the ",
                self.module.noun(),
                b": it would not hold for the other threads",
            ];
            return Err(Error::new(Errno::EBUSY, &pieces));
        }
        let mut word = Buffer::<4096>::new();
        if self.module == Module::AppArmor {
            word.push(b"changeprofile ");
        }
        word.push(self.name.to_bytes());
        // Open before, as the new profile may not allow it.
        let file = self.module.open(OFlag::O_RDWR).map_err(|errno| self.cannot(errno))?;
        kernel_file::tell(file.as_fd(), word.as_bytes()).map_err(|errno| self.cannot(errno))?;
        match self.module.is_in_force(file.as_fd(), self.name.to_bytes()) {
            Ok(true) => Ok(()),
            // Whoever may not even ask is confined.
            Err(Errno::EACCES | Errno::EPERM) => Ok(()),
            Err(errno) => Err(self.cannot(errno)),
            Ok(false) => {
                let name = self.name.to_bytes();
                let pieces =
                    [b"the ", self.module.noun(), b" ", name, b" was set but is not in force"];
                Err(Error::new(Errno::EPERM, &pieces))
            }
        }
    }

    #[cold]
    fn cannot(&self, errno: Errno) -> Error {
        let noun = self.module.noun();
        let pieces = [b"cannot change the ", noun, b" to ", self.name.to_bytes()];
        Error::new(errno, &pieces).without_reason()
    }
}

impl Module {
    fn open(self, flags: OFlag) -> nix::Result<OwnedFd> {
        let open = |path| file::open(path, flags, Mode::empty());
        match self {
            // Before Linux 5.8 there was one file for whichever module is enabled, which this one is.
            Module::AppArmor => match open(BY_APPARMOR) {
                Err(Errno::ENOENT) => open(BY_ANY_MODULE),
                opened => opened,
            },
            Module::Selinux => open(BY_ANY_MODULE),
        }
    }

    fn is_in_force(self, file: BorrowedFd, asked: &[u8]) -> nix::Result<bool> {
        let mut room = [0; 4096];
        let present = kernel_file::ask(file, &mut room)?;
        Ok(match self {
            // With its mode behind it: "NAME (enforce)"; "unconfined" has none.
            Module::AppArmor => match present.strip_prefix(asked) {
                Some(mode) => mode.is_empty() || mode.starts_with(b" ("),
                None => false,
            },
            Module::Selinux => present == asked,
        })
    }

    fn noun(self) -> &'static [u8] {
        match self {
            Module::AppArmor => b"AppArmor profile",
            Module::Selinux => b"SELinux context",
        }
    }
}

/// Whether this thread has that profile or context.
pub fn is_in_force(module: Module, name: &[u8]) -> Result<bool> {
    let file = module.open(OFlag::O_RDONLY);
    file.and_then(|file| module.is_in_force(file.as_fd(), name)).or_cannot("ask what confines us")
}

/// Its own file says Y, which the kernel has only if it was built with it.
fn has_apparmor() -> Result<bool> {
    match kernel_file::read(AT_FDCWD, APPARMOR_SWITCH) {
        Ok(content) => Ok(content.as_bytes() == b"Y"),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(false),
        Err(errno) => Err(Error::cannot_at(errno, "read", APPARMOR_SWITCH.to_bytes())),
    }
}

/// The kernel knows its file system only while it is enabled, mounted or not.
fn has_selinux() -> Result<bool> {
    let found = kernel_file::find_line(FILE_SYSTEMS, &mut |line| line.ends_with(b"\tselinuxfs"));
    found.or_cannot_at("read", FILE_SYSTEMS)
}
