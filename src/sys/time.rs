//! The time of day, and how the local one differs from UTC.

/// What CLOCK_REALTIME says.
#[derive(Clone, Copy)]
pub struct Moment {
    pub second: i64,
    pub microsecond: u32,
}

/// Async-signal-safe.
pub fn now() -> Moment {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable and lives across the call; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut now) };
    Moment { second: now.tv_sec, microsecond: (now.tv_nsec as u32).wrapping_div(1000) }
}

/// How many seconds the local time is ahead of UTC at a second. Takes a lock of the C library's.
pub fn offset_at(second: i64) -> i32 {
    // SAFETY: all zeros is a valid tm: integers and a null pointer.
    let mut local: libc::tm = unsafe { core::mem::zeroed() };
    // SAFETY: both live across the call.
    let found = unsafe { libc::localtime_r(&second, &mut local) };
    if found.is_null() { 0 } else { local.tm_gmtoff as i32 }
}

unsafe extern "C" {
    fn tzset();
}

/// Reads TZ and the files that it names. Not while another thread changes the environment.
pub fn read_zone() {
    // SAFETY: tzset(3) has no preconditions but the one above.
    unsafe { tzset() };
}
