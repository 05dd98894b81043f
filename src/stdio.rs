//! Descriptors 0, 1 and 2: never closed, and never a file that the program opened.

use core::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::stat::{Mode, SFlag, fstat, major, minor},
    unistd::{dup2_stderr, dup2_stdin, dup2_stdout},
};

use crate::{
    error::{Error, OrCannot, Result},
    sys::{file, retry},
};

const NULL: &CStr = c"/dev/null";

/// Opens /dev/null, and makes sure that it is the null device (1, 3): whatever else stands there
/// would fill up, or be read.
pub fn open_null() -> Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let null = retry(|| open(NULL, flags, Mode::empty()))
        .and_then(file::above_stdio)
        .or_cannot_at("open", NULL)?;
    let stat = fstat(&null).or_cannot_at("examine", NULL)?;
    let is_device = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
    if !is_device || (major(stat.st_rdev), minor(stat.st_rdev)) != (1, 3) {
        return Err(Error::new(
            Errno::ENODEV,
            &[b"cannot use /dev/null: it is not the null device"],
        ));
    }
    Ok(null)
}

/// Opens the log file: appended to, created if need be, never a link, a FIFO or a device.
pub fn open_log(path: &CStr, mode: Mode) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY
        | OFlag::O_CREAT
        | OFlag::O_APPEND
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    let log =
        retry(|| open(path, flags, mode)).and_then(file::above_stdio).or_cannot_at("open", path)?;
    let stat = fstat(&log).or_cannot_at("examine", path)?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(Error::new(
            Errno::EINVAL,
            &[b"cannot use ", path.to_bytes(), b" as log file: it is not a regular file"],
        ));
    }
    Ok(log)
}

/// Reads from `input` from now on.
pub fn redirect_input(input: &OwnedFd) -> Result<()> {
    retry(|| dup2_stdin(input)).or_cannot("redirect stdin")
}

/// Writes to `output` from now on, both stdout and stderr.
pub fn redirect_output(output: BorrowedFd) -> Result<()> {
    retry(|| dup2_stdout(output)).or_cannot("redirect stdout")?;
    retry(|| dup2_stderr(output)).or_cannot("redirect stderr")
}

/// Puts /dev/null where nothing is open, so that no file of the program's becomes stdio.
pub fn fill_gaps(null: &OwnedFd) -> Result<()> {
    let is_closed = |number| file::borrowed(number).is_none_or(|fd| fstat(fd).is_err());
    let fill = || -> nix::Result<()> {
        if is_closed(0) {
            retry(|| dup2_stdin(null))?;
        }
        if is_closed(1) {
            retry(|| dup2_stdout(null))?;
        }
        if is_closed(2) {
            retry(|| dup2_stderr(null))?;
        }
        Ok(())
    };
    fill().or_cannot("open stdin, stdout and stderr")
}
