//! Time stamps in local time. The C library takes a lock to tell how that differs from UTC, so it is asked
//! beforehand, for years.

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
    pub fn rfc3339(&self, now: Moment) -> [u8; 32] {
        let offset = self.offset(now.second);
        let local = Local::new(now.second + i64::from(offset));
        let minutes = offset.unsigned_abs().wrapping_div(60);
        let [[a, b], [c, d]] = [local.year.wrapping_div(100), local.year].map(two_digits);
        let [[e, f], [g, h], [i, j]] = [local.month, local.day, local.hour].map(two_digits);
        let [[k, l], [m, n]] = [local.minute, local.second].map(two_digits);
        let micros = [now.microsecond.wrapping_div(10_000), now.microsecond.wrapping_div(100)];
        let [[o, p], [q, r]] = micros.map(two_digits);
        let [[s, t], [u, v], [w, x]] =
            [now.microsecond, minutes.wrapping_div(60), minutes.wrapping_rem(60)].map(two_digits);
        let sign = if offset < 0 { b'-' } else { b'+' };
        [
            a, b, c, d, b'-', e, f, b'-', g, h, b'T', i, j, b':', k, l, b':', m, n, b'.', o, p, q,
            r, s, t, sign, u, v, b':', w, x,
        ]
    }

    /// "Nov 25 16:05:59", with a space before a day below 10.
    pub fn rfc3164(&self, now: Moment) -> [u8; 15] {
        const MONTHS: [[u8; 3]; 12] = [
            *b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep",
            *b"Oct", *b"Nov", *b"Dec",
        ];
        let local = Local::new(now.second + i64::from(self.offset(now.second)));
        let month = MONTHS.get((local.month as usize).wrapping_sub(1));
        let [m, o, n] = month.copied().unwrap_or(*b"???");
        let [d, a] = two_digits(local.day);
        let d = if d == b'0' { b' ' } else { d };
        let [[h, i], [j, k], [s, t]] = [local.hour, local.minute, local.second].map(two_digits);
        [m, o, n, b' ', d, a, b' ', h, i, b':', j, k, b':', s, t]
    }
}

/// The last two.
fn two_digits(number: u32) -> [u8; 2] {
    let digit = |number: u32| b'0' + number.wrapping_rem(10) as u8;
    [digit(number.wrapping_div(10)), digit(number)]
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
        let leaps =
            of_era.wrapping_div(1460) - of_era.wrapping_div(36_524) + of_era.wrapping_div(146_096);
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
