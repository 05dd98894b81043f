//! When a call that waits is to be over.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use crate::sys::{file, process::monotonic_ms, retry};

/// No limit, as poll(2) has it.
pub(crate) const FOR_EVER: i32 = -1;

/// In monotonic milliseconds. `None`: there is none.
pub struct Deadline(Option<i64>);

impl Deadline {
    /// -1: none.
    pub fn after(timeout_ms: i32) -> Self {
        Deadline((timeout_ms >= 0).then(|| monotonic_ms().saturating_add(timeout_ms.into())))
    }

    /// Milliseconds, or FOR_EVER.
    pub fn left(&self) -> i32 {
        let left = |end: i64| end.saturating_sub(monotonic_ms()).clamp(0, i32::MAX.into());
        self.0.map_or(FOR_EVER, |end| left(end) as i32)
    }

    pub fn is_over(&self) -> bool {
        self.left() == 0
    }

    /// Whether it is readable before the time is up, and before `limit_ms`.
    pub fn poll(&self, fd: Option<BorrowedFd>, limit_ms: i32) -> nix::Result<bool> {
        let [is_ready] = retry(|| {
            // As unsigned numbers, for ever is the longest time.
            file::poll([fd], (self.left() as u32).min(limit_ms as u32) as i32)
        })?;
        Ok(is_ready)
    }

    /// Repeats a call that a signal interrupted, with the time that is left. EAGAIN is its end: ETIMEDOUT.
    pub fn retry<T>(&self, mut call: impl FnMut(i32) -> nix::Result<T>) -> nix::Result<T> {
        let mut left = self.left();
        loop {
            match call(left) {
                // The clock of the kernel's wait is coarser than ours.
                Err(Errno::EINTR | Errno::EAGAIN) if left != 0 => left = self.left(),
                Err(Errno::EINTR | Errno::EAGAIN) => return Err(Errno::ETIMEDOUT),
                result => return result,
            }
        }
    }
}
