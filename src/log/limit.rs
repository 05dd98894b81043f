//! How often a place in the program may log.

use core::ffi::c_int;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use crate::sys::{memory::Buffer, process};

/// What is known of a place. In C four ints.
#[repr(C)]
pub struct Site {
    /// The second in which the time began, plus one; 0: it has not.
    begun: AtomicU32,
    logged: AtomicU32,
    held_back: AtomicU32,
    _more: AtomicU32,
}

static HELD_BACK: AtomicU32 = AtomicU32::new(0);

pub fn held_back() -> u32 {
    HELD_BACK.load(SeqCst)
}

impl Site {
    /// Whether a line may be logged now: `count` in each `seconds`.
    pub fn allows(&self, count: u32, seconds: u32, level: c_int) -> bool {
        let now = process::monotonic_ms().wrapping_div(1000) as u32 + 1;
        let begun = self.begun.load(SeqCst);
        let is_over = begun == 0 || now.wrapping_sub(begun) >= seconds;
        if is_over && self.begun.compare_exchange(begun, now, SeqCst, SeqCst).is_ok() {
            self.logged.store(0, SeqCst);
            let held_back = self.held_back.swap(0, SeqCst);
            if held_back > 0 {
                let mut text = Buffer::<64>::new();
                text.push_number(held_back, 1);
                text.push(b" lines like the next one were held back");
                super::write(level, text.as_bytes(), &[]);
            }
        }
        let is_allowed = self.logged.fetch_update(SeqCst, SeqCst, |logged| {
            (logged < count).then_some(logged.saturating_add(1))
        });
        if is_allowed.is_err() {
            self.held_back.fetch_add(1, SeqCst);
            HELD_BACK.fetch_add(1, SeqCst);
        }
        is_allowed.is_ok()
    }
}
