//! Descriptors 0, 1 and 2: never closed, and never a file that the program opened.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::stat::{FileStat, Mode, SFlag, major, minor},
};

use crate::{
    error::{Error, OrCannot, Result},
    sys::file::{self, OwnedFd},
};

const NULL: &CStr = c"/dev/null";

/// Opens /dev/null, and makes sure that it is the null device (1, 3): whatever else stands there
/// would fill up, or be read.
pub fn open_null() -> Result<OwnedFd> {
    open_null_for(OFlag::O_RDWR)
}

/// Only for reading.
pub fn open_no_input() -> Result<OwnedFd> {
    open_null_for(OFlag::O_RDONLY)
}

#[inline(never)]
fn open_null_for(flags: OFlag) -> Result<OwnedFd> {
    let null =
        file::open(NULL, flags | OFlag::O_NOCTTY, Mode::empty()).or_cannot_at("open", NULL)?;
    let stat = file::fstat(null.as_fd()).or_cannot_at("examine", NULL)?;
    let is_device = file::kind(&stat) == SFlag::S_IFCHR;
    if !is_device || (major(stat.st_rdev), minor(stat.st_rdev)) != (1, 3) {
        return Err(Error::new(
            Errno::ENODEV,
            &[b"cannot use /dev/null: it is not the null device"],
        ));
    }
    Ok(null)
}

/// Opens a log file, which is appended to: never through a link.
pub fn open_log(path: &CStr, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
    file::open(path, flags | OFlag::O_WRONLY | OFlag::O_APPEND | file::WARILY, mode)
}

/// What was opened as a log file. ENXIO: it is no regular file, as open(2) says of a FIFO that nobody reads.
#[inline(never)]
pub fn examine_log(log: &OwnedFd) -> nix::Result<FileStat> {
    let stat = file::fstat(log.as_fd())?;
    match file::kind(&stat) {
        SFlag::S_IFREG => Ok(stat),
        _ => Err(Errno::ENXIO),
    }
}

/// Why a file cannot be the log's.
#[cold]
#[inline(never)]
pub fn refused_log(errno: Errno, path: &CStr) -> Error {
    let path = path.to_bytes();
    let (errno, why): (_, &[u8]) = match errno {
        Errno::ENXIO => (Errno::EINVAL, b" as log file: it is not a regular file"),
        Errno::EMLINK => (errno, b" as log file: it has hard links"),
        _ => return Error::cannot_at(errno, "open the log file", path),
    };
    Error::new(errno, &[b"cannot use ", path, why])
}

/// Reads from `input` from now on.
#[inline(never)]
pub fn redirect_input(input: &OwnedFd) -> Result<()> {
    file::duplicate_to(input.as_fd(), 0).or_cannot("redirect stdin")
}

/// Writes to `output` from now on, both stdout and stderr.
#[inline(never)]
pub fn redirect_output(output: BorrowedFd) -> Result<()> {
    file::duplicate_to(output, 1).or_cannot("redirect stdout")?;
    file::duplicate_to(output, 2).or_cannot("redirect stderr")
}

/// Puts /dev/null where nothing is open, so that no file of the program's becomes stdio.
#[inline(never)]
pub fn fill_gaps(null: &OwnedFd) -> Result<()> {
    for number in 0..=2 {
        if file::borrowed(number).is_none_or(|fd| file::fstat(fd).is_err()) {
            let filled = file::duplicate_to(null.as_fd(), number);
            filled.or_cannot("open stdin, stdout and stderr")?;
        }
    }
    Ok(())
}
