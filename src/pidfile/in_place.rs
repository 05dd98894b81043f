//! The way out where no new file can be made: the existing file is locked and written over.
//!
//! The only moment at which a locked file can show an older pid is between these two calls.

use std::{
    os::fd::{AsFd, BorrowedFd},
    thread::yield_now,
};

use super::{ATTEMPTS, Place, Style, already_running, busy, hard_linked, open_to_take, write_pid};
use crate::{
    error::{Error, Result},
    sys::file::{self, Lock, OwnedFd},
};

/// Locks the existing file; `otherwise` is why no new one could be made.
pub fn lock(place: &Place, style: &Style, otherwise: Error) -> Result<OwnedFd> {
    for _ in 0..ATTEMPTS {
        let Some(file) = open_to_take(place, style)? else {
            return Err(otherwise);
        };
        if file::try_lock(file.as_fd(), Lock::Exclusive).map_err(place.cannot("lock"))? {
            let stat = file::fstat(file.as_fd()).map_err(place.cannot("examine"))?;
            if stat.st_nlink > 1 {
                return Err(hard_linked(place));
            }
            if place.is(&stat) {
                style.apply(place, file.as_fd())?;
                write(file.as_fd()).map_err(place.cannot("write"))?;
                return Ok(file);
            }
        } else if !file::try_lock(file.as_fd(), Lock::Shared).map_err(place.cannot("lock"))? {
            return Err(already_running(place, &file));
        }
        yield_now();
    }
    Err(busy(place))
}

/// Our pid over what is there: the first line is right at every moment.
pub fn write(file: BorrowedFd) -> nix::Result<()> {
    let length = write_pid(file)?;
    file::truncate(file, length as i64)
}
