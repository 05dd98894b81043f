//! The watchdog of the service manager (WatchdogSec=): it is told that the main loop goes on, by the main loop itself
//! and nothing else, so that a loop that hangs is a daemon that hangs.

use crate::{
    detach::is_this_process,
    notify,
    poller::{self, Sleeper},
    sys::{
        load,
        process::{self, Own},
    },
    text,
};

#[derive(Default)]
struct Watchdog {
    /// How often it is told, and when the next time, in monotonic milliseconds. 0: nobody wants to know.
    every_ms: i64,
    next_ms: i64,
}

static WATCHDOG: Own<Watchdog> = Own::new();

/// How often this process is to say that it goes on: half of what the manager waits. `None`: nobody waits for it.
pub fn wanted() -> Option<i64> {
    let number = |name| text::long_number(load::environment(name)?.to_bytes());
    let is_for_us =
        load::environment(c"WATCHDOG_PID").is_none() || is_this_process(c"WATCHDOG_PID");
    let usec = number(c"WATCHDOG_USEC").filter(|&usec| is_for_us && usec > 0)?;
    Some((usec.wrapping_div(2000) as i64).max(1))
}

/// From now on.
pub fn start(every_ms: Option<i64>) {
    if let Some(every_ms) = every_ms {
        WATCHDOG.with(|watchdog| {
            watchdog.every_ms = every_ms;
            watchdog.tell();
        });
    }
}

/// Never again.
pub fn stop() {
    WATCHDOG.with(|watchdog| watchdog.every_ms = 0);
}

/// In each turn of the main loop.
pub fn look() {
    WATCHDOG.with(|watchdog| {
        if watchdog.every_ms != 0 && process::monotonic_ms() >= watchdog.next_ms {
            watchdog.tell();
        }
    });
}

impl Watchdog {
    fn tell(&mut self) {
        notify::mention(&[b"WATCHDOG=1"]);
        self.next_ms = process::monotonic_ms().saturating_add(self.every_ms);
        self.arm();
    }

    fn arm(&self) {
        let _ = poller::wake_at(Sleeper::Watchdog, Some(self.next_ms));
    }
}

/// The descriptors of the main loop were lost: wakes it again.
pub fn watch_again() {
    WATCHDOG.with(|watchdog| {
        if watchdog.every_ms != 0 {
            watchdog.arm();
        }
    });
}
