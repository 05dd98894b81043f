//! A descriptor of ours that must survive a program that closes every number it finds, as old
//! daemons do: what stands on the number is checked before each use, and before it is closed.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd};

use nix::errno::Errno;

use crate::sys::{
    file::{self, OwnedFd},
    load::{Identity, identity},
};

pub struct Kept {
    fd: Option<OwnedFd>,
    identity: Identity,
}

impl Kept {
    pub fn new(fd: OwnedFd) -> nix::Result<Self> {
        let identity = identity(fd.as_raw_fd())?;
        Ok(Kept::known(fd, identity))
    }

    pub fn known(fd: OwnedFd, identity: Identity) -> Self {
        Kept { fd: Some(fd), identity }
    }

    /// The descriptor. EBADF if it is not what it was any more; where the kernel cannot tell, it is.
    pub fn get(&self) -> nix::Result<BorrowedFd<'_>> {
        let fd = self.fd.as_ref().map_or(-1, OwnedFd::as_raw_fd);
        match identity(fd) {
            Err(Errno::EBADF) => Err(Errno::EBADF),
            Ok(now) if now != self.identity => Err(Errno::EBADF),
            Ok(_) | Err(_) => file::borrowed(fd).ok_or(Errno::EBADF),
        }
    }

    /// The descriptor to own, where nothing of the program's ran since it was checked.
    pub fn into_owned_unchecked(mut self) -> Option<OwnedFd> {
        self.fd.take()
    }

    /// The descriptor, where nothing of the program's ran since it was checked.
    pub fn unchecked(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(OwnedFd::as_fd)
    }

    /// Closes it after something was done with it that runs nothing of the program's. Both only if it
    /// still is ours.
    pub fn close_after(mut self, act: fn(BorrowedFd)) {
        if self.get().is_ok() {
            self.fd.take().inspect(|fd| act(fd.as_fd()));
        }
    }

    pub fn inode(&self) -> u64 {
        self.identity.inode
    }

    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The number, for comparisons only.
    pub fn number(&self) -> i32 {
        self.fd.as_ref().map_or(-1, OwnedFd::as_raw_fd)
    }
}

impl Drop for Kept {
    #[inline(never)]
    fn drop(&mut self) {
        if self.get().is_err() {
            // Not ours any more: whoever has the number now closes it.
            let _ = self.fd.take().map(OwnedFd::into_raw_fd);
        }
    }
}
