//! Being told when a file is closed or written to.

use std::os::fd::{AsFd, BorrowedFd};

use super::{
    check,
    file::{self, OwnedFd, PathBuffer, proc_path},
};

/// Readable when somebody has closed the file or written to it.
pub struct Watch(OwnedFd);

impl Watch {
    /// Of the open file, wherever it stands.
    pub fn new(file: BorrowedFd) -> nix::Result<Self> {
        // SAFETY: inotify_init1(2) takes no pointers.
        let made = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
        let watch = Watch(file::above_stdio(file::owned(made)?)?);
        let mut buffer = PathBuffer::new();
        let path = proc_path(file, &mut buffer)?;
        watch.add(path, libc::IN_CLOSE | libc::IN_MODIFY)?;
        Ok(watch)
    }

    fn add(&self, path: &core::ffi::CStr, events: u32) -> nix::Result<()> {
        use std::os::fd::AsRawFd;
        let fd = self.0.as_raw_fd();
        // SAFETY: a C string.
        check(unsafe { libc::inotify_add_watch(fd, path.as_ptr(), events) }).map(drop)
    }

    /// Takes what has been told away; it does not matter.
    pub fn clear(&self) {
        let mut events = [0; 1024];
        while nix::unistd::read(&self.0, &mut events).is_ok_and(|length| length > 0) {}
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
