//! Where a pid file stands, and the calls on that place.

use core::ffi::CStr;
use std::os::fd::BorrowedFd;

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag},
    sys::stat::{FileStat, Mode},
};

use super::refused;
use crate::{
    error::{Error, OrCannot, Result},
    kept::Kept,
    sys::{
        file::{self, OwnedFd, Text},
        load::Identity,
    },
};

/// Where a pid file stands.
pub struct Place {
    /// The directory, where it must not depend on the working directory.
    directory: Option<Kept>,
    /// The path as the caller gave it.
    path: Text,
    /// The directory in it, or "/" or ".".
    folder: Text,
    /// Where the file's name begins in the path.
    name_at: usize,
}

impl Place {
    /// The path as it is seen from the working directory at the time of each call.
    pub fn here(path: &CStr) -> Result<Self> {
        let bytes = path.to_bytes();
        if bytes.is_empty() {
            return Err(Error::invalid("the path of the pid file is empty"));
        }
        let slash = bytes.iter().rposition(|&byte| byte == b'/');
        let name_at = slash.map_or(0, |slash| slash + 1);
        if name_at == bytes.len() {
            return Err(refused(Errno::EISDIR, path, b"it is a directory"));
        }
        let folder = match name_at {
            0 => b".",
            1 => b"/",
            _ => bytes.get(..name_at - 1).unwrap_or_default(),
        };
        Ok(Place {
            directory: None,
            path: Text::new(bytes).or_cannot_at("use the path", path)?,
            folder: Text::new(folder).or_cannot_at("use the path", path)?,
            name_at,
        })
    }

    /// The path as it is seen from the working directory now, wherever the process goes later.
    pub fn fixed(path: &CStr) -> Result<Self> {
        let mut place = Place::here(path)?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let directory = file::open(place.folder(), flags, Mode::empty())
            .or_cannot_at("open the directory of", path)?;
        place.directory =
            Some(Kept::new(directory).or_cannot_at("examine the directory of", path)?);
        Ok(place)
    }

    /// The number of our descriptor of the directory, for comparisons only.
    pub fn number(&self) -> i32 {
        self.directory.as_ref().map_or(-1, Kept::number)
    }

    pub fn shown(&self) -> &CStr {
        self.path.as_c_str()
    }

    /// As `or_cannot_at`, with this path.
    pub fn cannot(&self, action: &'static str) -> impl FnOnce(Errno) -> Error {
        move |errno| self.failed(errno, action)
    }

    #[cold]
    #[inline(never)]
    pub fn failed(&self, errno: Errno, action: &str) -> Error {
        Error::cannot_at(errno, action, self.shown().to_bytes())
    }

    /// What the file is called by itself.
    pub fn file_name(&self) -> &CStr {
        self.path.tail(self.name_at)
    }

    /// The file, as seen from `at()`.
    pub fn name(&self) -> &CStr {
        match self.directory {
            Some(_) => self.file_name(),
            None => self.shown(),
        }
    }

    /// The directory, as seen from `at()`.
    pub fn folder(&self) -> &CStr {
        match self.directory {
            Some(_) => c".",
            None => self.folder.as_c_str(),
        }
    }

    pub fn at(&self) -> BorrowedFd<'_> {
        let directory = self.directory.as_ref();
        directory.and_then(Kept::unchecked).unwrap_or(AT_FDCWD)
    }

    #[inline(never)]
    pub fn stat(&self) -> nix::Result<FileStat> {
        file::lstat_at(self.at(), self.name())
    }

    pub fn open(&self, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
        file::open_at(self.at(), self.name(), flags | file::WARILY, mode)
    }

    #[inline(never)]
    pub fn unlink(&self) -> nix::Result<()> {
        file::unlink_at(self.at(), self.name())
    }

    /// Whether `stat` is of the file that stands here now.
    pub fn is(&self, stat: &FileStat) -> bool {
        self.holds(stat) == Ok(true)
    }

    /// As `is`. An error: we may not look.
    #[inline(never)]
    pub fn holds(&self, stat: &FileStat) -> nix::Result<bool> {
        match self.stat() {
            Ok(here) => Ok(Identity::from(here) == Identity::from(*stat)),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Whether the program has left our descriptor of the directory alone.
    pub fn is_intact(&self) -> bool {
        self.directory.as_ref().is_none_or(|kept| kept.get().is_ok())
    }
}
