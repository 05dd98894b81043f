//! Time stamps in local time. The C library takes a lock to tell how that differs from UTC, so it is asked
//! beforehand, for years.

use super::line::Header;
use crate::sys::time::{self, Moment};

const DAY: i64 = 86_400;
/// No zone changes more often than once in so much time.
const STEP: i64 = 7 * DAY;
/// Ten years.
const STEPS: i64 = 522;

/// How local time differs from UTC, from when on.
pub struct Zone {
    /// A second of UTC and the seconds that local time is ahead from there on.
    changes: [(i64, i32); 48],
}

impl Zone {
    pub const fn utc() -> Self {
        Zone { changes: [(i64::MAX, 0); 48] }
    }

    /// The local zone, from now on for ten years.
    pub fn local() -> Self {
        time::read_zone();
        let mut zone = Zone::utc();
        let mut places = zone.changes.iter_mut();
        let mut second = time::now().second;
        let mut offset = time::offset_at(second);
        if let Some(first) = places.next() {
            *first = (i64::MIN, offset);
        }
        for _ in 0..STEPS {
            let next = second + STEP;
            let new_offset = time::offset_at(next);
            if new_offset != offset {
                let Some(place) = places.next() else { break };
                *place = (first_with(new_offset, second, next), new_offset);
                offset = new_offset;
            }
            second = next;
        }
        zone
    }

    fn offset(&self, second: i64) -> i32 {
        let begun = self.changes.iter().take_while(|(from, _)| *from <= second);
        begun.last().map_or(0, |(_, offset)| *offset)
    }

    /// "2026-11-25T16:05:59.123456+01:00"
    #[inline(never)]
    pub fn push_rfc3339(&self, to: &mut Header, now: Moment) {
        let offset = self.offset(now.second);
        let local = Local::new(now.second + i64::from(offset));
        to.push_number(local.year, 4);
        for (before, number) in [
            (b"-", local.month),
            (b"-", local.day),
            (b"T", local.hour),
            (b":", local.minute),
            (b":", local.second),
        ] {
            to.push(before);
            to.push_number(number, 2);
        }
        to.push(b".");
        to.push_number(now.microsecond, 6);
        to.push(if offset < 0 { b"-" } else { b"+" });
        let minutes = offset.unsigned_abs().wrapping_div(60);
        to.push_number(minutes.wrapping_div(60), 2);
        to.push(b":");
        to.push_number(minutes.wrapping_rem(60), 2);
    }

    /// "Nov 25 16:05:59", with a space before a day below 10.
    #[inline(never)]
    pub fn push_rfc3164(&self, to: &mut Header, now: Moment) {
        const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
        let local = Local::new(now.second + i64::from(self.offset(now.second)));
        let month = 3 * (local.month as usize).wrapping_sub(1);
        to.push(MONTHS.get(month..month.wrapping_add(3)).unwrap_or_default());
        to.push(if local.day < 10 { b"  " } else { b" " });
        to.push_number(local.day, 1);
        for (before, number) in [(b" ", local.hour), (b":", local.minute), (b":", local.second)] {
            to.push(before);
            to.push_number(number, 2);
        }
    }
}

/// The first second after `before`, and not after `after`, that has this offset.
fn first_with(offset: i32, mut before: i64, mut after: i64) -> i64 {
    while after - before > 1 {
        let middle = before + ((after - before) >> 1);
        if time::offset_at(middle) == offset { after = middle } else { before = middle }
    }
    after
}

struct Local {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
}

impl Local {
    /// Of the proleptic Gregorian calendar. Years begin in March here: then the leap day comes last.
    fn new(seconds: i64) -> Self {
        let days = seconds.div_euclid(DAY) + 719_468; // from March 1st of year 0
        let of_day = seconds.rem_euclid(DAY) as u32;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097) as u32;
        let leaps = of_era.wrapping_div(1460) - of_era.wrapping_div(36_524)
            + of_era.wrapping_div(146_096);
        let year = (of_era - leaps).wrapping_div(365);
        let of_year = of_era - (365 * year + (year >> 2) - year.wrapping_div(100));
        let month = (5 * of_year + 2).wrapping_div(153);
        let day = of_year - (153 * month + 2).wrapping_div(5) + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        Local {
            year: (era * 400) as u32 + year + next,
            month,
            day,
            hour: of_day.wrapping_div(3600),
            minute: of_day.wrapping_div(60).wrapping_rem(60),
            second: of_day.wrapping_rem(60),
        }
    }
}
