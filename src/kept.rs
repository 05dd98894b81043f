//! A descriptor of ours that must survive a program that closes every number it finds, as old
//! daemons do: what stands on the number is checked before each use, and before it is closed.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use crate::sys::{
    file,
    load::{Identity, identity},
};

pub struct Kept {
    fd: Option<OwnedFd>,
    identity: Option<Identity>,
}

impl Kept {
    pub fn new(fd: OwnedFd) -> Self {
        Kept { identity: identity(fd.as_raw_fd()), fd: Some(fd) }
    }

    /// The descriptor, if it is still what it was.
    pub fn get(&self) -> Option<BorrowedFd<'_>> {
        let fd = self.fd.as_ref()?.as_raw_fd();
        if self.identity.is_none() || identity(fd) != self.identity {
            return None;
        }
        file::borrowed(fd)
    }

    /// The descriptor, where nothing of the program's ran since it was checked.
    pub fn unchecked(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(OwnedFd::as_fd)
    }

    /// The number, for comparisons only.
    pub fn number(&self) -> i32 {
        self.fd.as_ref().map_or(-1, OwnedFd::as_raw_fd)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.get().is_none() {
            // Not ours any more: whoever has the number now closes it.
            let _ = self.fd.take().map(OwnedFd::into_raw_fd);
        }
    }
}
