//! The folder that becomes "/". Nobody but root may change what stands in it, or put another one in its place:
//! programs with rights of their own would believe what they find there.

use core::ffi::CStr;
use std::os::fd::AsFd;

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::stat::{FileStat, Mode},
    unistd::{chdir, chroot, fchdir},
};

use crate::{
    error::{Error, OrCannot, Result},
    sys::{
        file::{self, OwnedFd},
        load::Identity,
    },
};

pub struct Root {
    folder: OwnedFd,
    identity: Identity,
}

const FOLDER: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY);

/// More than a path can have.
const DEPTH_MAX: usize = libc::PATH_MAX as usize;

impl Root {
    /// Looks at the folder, and at those above it as they are now.
    #[inline(never)]
    pub fn open(path: &CStr) -> Result<Self> {
        let folder = file::open(path, FOLDER, Mode::empty()).or_cannot_at("open", path)?;
        let stat = file::fstat(folder.as_fd()).or_cannot_at("examine", path)?;
        if stat.st_uid != 0 {
            return Err(unfit(path, b"it does not belong to root"));
        }
        if is_for_others(&stat) {
            return Err(unfit(path, b"others may write to it"));
        }
        let root = Root { folder, identity: stat.into() };
        root.look_above(path)?;
        Ok(root)
    }

    /// Whoever may rename in a folder above may put another one here. In a sticky one others may not rename root's.
    fn look_above(&self, path: &CStr) -> Result<()> {
        let top = nix::sys::stat::stat(c"/").map(Identity::from).or_cannot("examine /")?;
        let mut above = file::open_at(self.folder.as_fd(), c"..", FOLDER, Mode::empty())
            .or_cannot_at("open what is above", path)?;
        let mut below = self.identity;
        for _ in 0..DEPTH_MAX {
            let stat = file::fstat(above.as_fd()).or_cannot_at("examine what is above", path)?;
            if stat.st_uid != 0 {
                return Err(unfit(path, b"a folder above it does not belong to root"));
            }
            if is_for_others(&stat) && stat.st_mode & libc::S_ISVTX == 0 {
                return Err(unfit(path, b"others may write to a folder above it"));
            }
            let here = Identity::from(stat);
            // A folder may be mounted on one beneath it, and is the same as what is above it then.
            if here == below && here == top {
                return Ok(());
            }
            below = here;
            above = file::open_at(above.as_fd(), c"..", FOLDER, Mode::empty())
                .or_cannot_at("open what is above", path)?;
        }
        Err(Error::cannot_at(Errno::ELOOP, "find what is above", path.to_bytes()))
    }

    pub fn enter(&self) -> Result<()> {
        fchdir(&self.folder).or_cannot("enter the root directory")?;
        chroot(c".").or_cannot("change the root directory")?;
        chdir(c"/").or_cannot("enter /")
    }

    /// Both "/" and the working directory.
    pub fn is_entered(&self) -> Result<bool> {
        for path in [c"/", c"."] {
            let stat = nix::sys::stat::stat(path).or_cannot_at("examine", path)?;
            if !self.is(stat.into()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub fn is(&self, folder: Identity) -> bool {
        folder == self.identity
    }
}

fn is_for_others(stat: &FileStat) -> bool {
    stat.st_mode & (libc::S_IWGRP | libc::S_IWOTH) != 0
}

fn unfit(path: &CStr, why: &[u8]) -> Error {
    let pieces: [&[u8]; 4] = [b"cannot use ", path.to_bytes(), b" as root directory: ", why];
    Error::new(Errno::EPERM, &pieces)
}
