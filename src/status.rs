//! How the daemon is doing, in its own words: since when, one line of text, its reloads.

use crate::{
    error::Line,
    notify,
    sys::{
        thread::Mutex,
        time::{Moment, now},
    },
};

#[derive(Clone, Copy)]
pub struct Status {
    pub since: Option<Moment>,
    pub text: Line,
    pub is_reloading: bool,
    pub reloads: u32,
    pub failed_reloads: u32,
    /// Why the latest reload has failed; empty: it has not.
    pub reason: Line,
}

static STATUS: Mutex<Status> = Mutex::new(Status {
    since: None,
    text: Line::new(),
    is_reloading: false,
    reloads: 0,
    failed_reloads: 0,
    reason: Line::new(),
});

pub fn get() -> Status {
    *STATUS.lock()
}

pub fn change<T>(change: impl FnOnce(&mut Status) -> T) -> T {
    change(&mut STATUS.lock())
}

/// `rsd_status`
pub fn set_text(text: &[u8]) {
    let line = change(|status| {
        status.text.clear();
        status.text.push(text);
        status.text
    });
    notify::mention(&[b"STATUS=", line.as_bytes()]);
}

/// The daemon serves from now on, unless it does already.
pub fn begin() {
    change(|status| status.since = status.since.or_else(|| Some(now())));
}
