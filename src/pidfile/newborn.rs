//! A pid file that is locked and written before it has a name.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag},
    sys::stat::{Mode, fchmod},
    unistd::{fchown, getpid},
};

use super::{Place, Style, write_pid};
use crate::{
    error::{Line, Result},
    sys::file::{self, Lock, PathBuffer},
};

pub struct Newborn<'a> {
    file: OwnedFd,
    /// Its name until it has its own, on file systems that need one.
    temporary: Option<Temporary<'a>>,
}

/// A name beside the path that goes away again: ".NAME.PID".
struct Temporary<'a>(&'a Place);

impl Temporary<'_> {
    #[inline(never)]
    fn name<'b>(&self, buffer: &'b mut PathBuffer) -> nix::Result<&'b CStr> {
        let mut pid = Line::new();
        pid.push_number(getpid().as_raw() as u32);
        let folder = self.0.folder().to_bytes();
        buffer.join(&[folder, b"/.", self.0.file_name().to_bytes(), b".", pid.as_bytes()])
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if let Ok(name) = self.name(&mut PathBuffer::new()) {
            let _ = file::unlink_at(self.0.at(), name);
        }
    }
}

impl<'a> Newborn<'a> {
    /// Without a name where the file system can (O_TMPFILE), else with a temporary one.
    #[inline(never)]
    pub fn make(place: &'a Place, style: &Style) -> Result<Self> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR;
        match file::open_at(place.at(), place.folder(), flags, mode(style)) {
            Ok(file) => Newborn::fill(place, style, file, None),
            // open(2): what a file system or a kernel without O_TMPFILE answers.
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT | Errno::EINVAL) => {
                Newborn::make_named(place, style)
            }
            Err(errno) => Err(place.cannot("create")(errno)),
        }
    }

    /// With a temporary name.
    pub fn make_named(place: &'a Place, style: &Style) -> Result<Self> {
        let temporary = Temporary(place);
        let mut buffer = PathBuffer::new();
        let name = temporary.name(&mut buffer).map_err(place.cannot("use the path"))?;
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_NOFOLLOW;
        let create = || file::open_at(place.at(), name, flags, mode(style));
        let file = match create() {
            // Left by a process that had our pid and was killed: no living one has.
            Err(Errno::EEXIST) => {
                let _ = file::unlink_at(place.at(), name);
                create()
            }
            result => result,
        };
        let file = file.map_err(place.cannot("create"))?;
        Newborn::fill(place, style, file, Some(temporary))
    }

    fn fill(
        place: &Place,
        style: &Style,
        file: OwnedFd,
        temporary: Option<Temporary<'a>>,
    ) -> Result<Self> {
        if let Some(mode) = style.mode {
            fchmod(&file, mode).map_err(place.cannot("set the mode of"))?;
        }
        if let Some((uid, gid)) = style.owner {
            fchown(&file, Some(uid), Some(gid)).map_err(place.cannot("set the owner of"))?;
        }
        write_pid(file.as_fd()).map_err(place.cannot("write"))?;
        match file::try_lock(file.as_fd(), Lock::Exclusive).map_err(place.cannot("lock"))? {
            true => Ok(Newborn { file, temporary }),
            false => Err(place.cannot("lock")(Errno::ENOLCK)),
        }
    }

    pub fn is_nameless(&self) -> bool {
        self.temporary.is_none()
    }

    /// Gives the file its place. EEXIST if there is one; ENOENT if a nameless file cannot be
    /// linked because /proc is not there.
    #[inline(never)]
    pub fn link(&self, place: &Place) -> nix::Result<()> {
        let link = |at: BorrowedFd, name: &CStr, flags: AtFlags| {
            file::link_at(at, name, place.at(), place.name(), flags)
        };
        let mut buffer = PathBuffer::new();
        if let Some(temporary) = &self.temporary {
            return link(place.at(), temporary.name(&mut buffer)?, AtFlags::empty());
        }
        match link(self.file.as_fd(), c"", AtFlags::AT_EMPTY_PATH) {
            // Linux before 6.10 wants CAP_DAC_READ_SEARCH for this.
            Err(Errno::ENOENT | Errno::EINVAL | Errno::EPERM) => {}
            result => return result,
        }
        let path = file::proc_path(self.file.as_fd(), &mut buffer)?;
        link(AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)
    }

    pub fn into_file(self) -> OwnedFd {
        self.file
    }
}

pub fn mode(style: &Style) -> Mode {
    style.mode.unwrap_or(Mode::from_bits_truncate(0o644))
}
