//! A pid file that is locked and written before it has a name.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, openat},
    sys::stat::{Mode, fchmod},
    unistd::{UnlinkatFlags, fchown, getpid, linkat, unlinkat},
};

use super::{Place, Style, cannot, write_pid};
use crate::{
    error::{Error, Line, OrCannot, Result},
    sys::{
        file::{self, Lock, PathBuffer},
        retry,
    },
};

pub struct Newborn<'a> {
    file: OwnedFd,
    /// Its name until it has its own, on file systems that need one.
    temporary: Option<Temporary<'a>>,
}

/// A name that goes away again.
struct Temporary<'a> {
    at: BorrowedFd<'a>,
    name: PathBuffer,
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        let _ = unlinkat(self.at, self.name.as_c_str(), UnlinkatFlags::NoRemoveDir);
    }
}

impl<'a> Newborn<'a> {
    /// Without a name where the file system can (O_TMPFILE), else with a temporary one.
    pub fn make(place: &'a Place, style: &Style) -> Result<Self> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let folder = place.folder().or_cannot_at("use the path", place.shown())?;
        match retry(|| openat(place.at(), folder.as_c_str(), flags, mode(style))) {
            Ok(file) => Newborn::fill(place, style, file, None),
            // open(2): what a file system or a kernel without O_TMPFILE answers.
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT | Errno::EINVAL) => {
                Newborn::make_named(place, style)
            }
            Err(errno) => Err(cannot("create", errno, place)),
        }
    }

    /// With a temporary name beside the path: ".NAME.PID".
    pub fn make_named(place: &'a Place, style: &Style) -> Result<Self> {
        let mut pid = Line::new();
        pid.push_number(getpid().as_raw() as u32);
        let file = place.file_name().to_bytes();
        let name = place.folder().and_then(|folder| {
            let folder = folder.as_c_str().to_bytes();
            PathBuffer::new(&[folder, b"/.", file, b".", pid.as_bytes()])
        });
        let name =
            Temporary { at: place.at(), name: name.or_cannot_at("use the path", place.shown())? };
        let flags =
            OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let create = || retry(|| openat(name.at, name.name.as_c_str(), flags, mode(style)));
        let file = match create() {
            // Left by a process that had our pid and was killed: no living one has.
            Err(Errno::EEXIST) => {
                let _ = unlinkat(name.at, name.name.as_c_str(), UnlinkatFlags::NoRemoveDir);
                create()
            }
            result => result,
        };
        let file = file.or_cannot_at("create", place.shown())?;
        Newborn::fill(place, style, file, Some(name))
    }

    fn fill(
        place: &Place,
        style: &Style,
        file: OwnedFd,
        temporary: Option<Temporary<'a>>,
    ) -> Result<Self> {
        let file = file::above_stdio(file).or_cannot_at("create", place.shown())?;
        if let Some(mode) = style.mode {
            fchmod(&file, mode).or_cannot_at("set the mode of", place.shown())?;
        }
        if let Some((uid, gid)) = style.owner {
            fchown(&file, Some(uid), Some(gid)).or_cannot_at("set the owner of", place.shown())?;
        }
        write_pid(&file).or_cannot_at("write", place.shown())?;
        match file::try_lock(file.as_fd(), Lock::Exclusive).or_cannot_at("lock", place.shown())? {
            true => Ok(Newborn { file, temporary }),
            false => Err(Error::cannot(Errno::ENOLCK, "lock", place.shown().to_bytes())),
        }
    }

    pub fn is_nameless(&self) -> bool {
        self.temporary.is_none()
    }

    /// Gives the file its place. EEXIST if there is one; ENOENT if a nameless file cannot be
    /// linked because /proc is not there.
    pub fn link(&self, place: &Place) -> nix::Result<()> {
        if let Some(Temporary { at, name }) = &self.temporary {
            let name = name.as_c_str();
            return linkat(at, name, place.at(), place.name(), AtFlags::empty());
        }
        let directly: (BorrowedFd, &CStr, AtFlags) =
            (self.file.as_fd(), c"", AtFlags::AT_EMPTY_PATH);
        match linkat(directly.0, directly.1, place.at(), place.name(), directly.2) {
            // Linux before 6.10 wants CAP_DAC_READ_SEARCH for this.
            Err(Errno::ENOENT | Errno::EINVAL | Errno::EPERM) => {}
            result => return result,
        }
        linkat(
            AT_FDCWD,
            file::proc_path(self.file.as_fd())?.as_c_str(),
            place.at(),
            place.name(),
            AtFlags::AT_SYMLINK_FOLLOW,
        )
    }

    pub fn into_file(self) -> OwnedFd {
        self.file
    }
}

pub fn mode(style: &Style) -> Mode {
    style.mode.unwrap_or(Mode::from_bits_truncate(0o644))
}
