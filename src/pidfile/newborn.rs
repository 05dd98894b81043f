//! A pid file that is locked and written before it has a name.

use core::{ffi::CStr, mem::ManuallyDrop};
use std::os::fd::{AsFd, BorrowedFd};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag},
    sys::stat::Mode,
};

use super::{ATTEMPTS, Place, Style, busy, write_pid};
use crate::{
    error::{Line, Result},
    sys::file::{self, Lock, OwnedFd, PathBuffer},
};

pub struct Newborn<'a> {
    file: OwnedFd,
    /// Its name until it has its own, on file systems that need one.
    temporary: Option<Temporary<'a>>,
}

/// A name beside the path that goes away again: ".NAME.RANDOM".
struct Temporary<'a> {
    place: &'a Place,
    random: [u32; 2],
}

impl Temporary<'_> {
    #[inline(never)]
    fn name<'b>(&self, buffer: &'b mut PathBuffer) -> nix::Result<&'b CStr> {
        let mut random = Line::new();
        self.random.iter().for_each(|&number| random.push_number(number));
        let folder = self.place.folder().to_bytes();
        let name = self.place.file_name().to_bytes();
        buffer.join(&[folder, b"/.", name, b".", random.as_bytes()])
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if let Ok(name) = self.name(&mut PathBuffer::new()) {
            let _ = file::unlink_at(self.place.at(), name);
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
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_NOFOLLOW;
        for _ in 0..ATTEMPTS {
            let random = file::random().map_err(place.cannot("create"))?;
            let temporary = ManuallyDrop::new(Temporary { place, random });
            let mut buffer = PathBuffer::new();
            let name = temporary.name(&mut buffer).map_err(place.cannot("use the path"))?;
            match file::open_at(place.at(), name, flags, mode(style)) {
                // Somebody else's name.
                Err(Errno::EEXIST) => {}
                file => {
                    let file = file.map_err(place.cannot("create"))?;
                    let temporary = ManuallyDrop::into_inner(temporary);
                    return Newborn::fill(place, style, file, Some(temporary));
                }
            }
        }
        Err(busy(place))
    }

    fn fill(
        place: &Place,
        style: &Style,
        file: OwnedFd,
        temporary: Option<Temporary<'a>>,
    ) -> Result<Self> {
        style.apply(place, file.as_fd())?;
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
            link(place.at(), temporary.name(&mut buffer)?, AtFlags::empty())?;
            // Whoever may write to the directory could have put another file under that name.
            return match place.is(&file::fstat(self.file.as_fd())?) {
                true => Ok(()),
                false => Err(Errno::EEXIST),
            };
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
