//! Time stamps in local time. The C library takes a lock to tell how that differs from UTC, so it is asked
//! beforehand, for years.

use std::sync::atomic::{
    AtomicI64, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    fence,
};

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
    latest: Latest,
}

/// The stamp of the latest second: most lines are of the same one as the line before.
struct Latest {
    /// Whose stamp it is; `BUSY` while somebody writes it.
    second: AtomicI64,
    stamp: [AtomicU64; 4],
}

const BUSY: i64 = i64::MIN;

impl Latest {
    const fn none() -> Self {
        Latest { second: AtomicI64::new(0), stamp: [const { AtomicU64::new(0) }; 4] }
    }

    fn of(&self, second: i64, make: impl FnOnce() -> [u8; 32]) -> [u8; 32] {
        let known = self.second.load(Acquire);
        if known == second {
            let [a, b, c, d] = &self.stamp;
            let words = [a, b, c, d].map(|word| word.load(Relaxed));
            fence(Acquire);
            // Else somebody has written it meanwhile.
            if self.second.load(Relaxed) == second {
                return bytes(words);
            }
        }
        let stamp = make();
        if known != BUSY && self.second.compare_exchange(known, BUSY, AcqRel, Relaxed).is_ok() {
            let words = stamp.chunks_exact(8).filter_map(|chunk| chunk.first_chunk());
            for (place, &word) in self.stamp.iter().zip(words) {
                place.store(u64::from_ne_bytes(word), Relaxed);
            }
            self.second.store(second, Release);
        }
        stamp
    }
}

fn bytes(words: [u64; 4]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

impl Zone {
    pub const fn utc() -> Self {
        Zone { changes: [(i64::MAX, 0); 48], latest: Latest::none() }
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
        let mut stamp = self.latest.of(now.second, || self.rfc3339_of(now.second));
        put(&mut stamp, 20, now.microsecond.wrapping_div(10_000));
        put(&mut stamp, 22, now.microsecond.wrapping_div(100));
        put(&mut stamp, 24, now.microsecond);
        stamp
    }

    /// That of a full second.
    #[inline(never)]
    fn rfc3339_of(&self, second: i64) -> [u8; 32] {
        let offset = self.offset(second);
        let local = Local::new(second + i64::from(offset));
        let minutes = offset.unsigned_abs().wrapping_div(60);
        let mut stamp = *b"0000-00-00T00:00:00.000000+00:00";
        put(&mut stamp, 0, local.year.wrapping_div(100));
        put(&mut stamp, 2, local.year);
        put(&mut stamp, 5, local.month);
        put(&mut stamp, 8, local.day);
        put(&mut stamp, 11, local.hour);
        put(&mut stamp, 14, local.minute);
        put(&mut stamp, 17, local.second);
        if let Some(sign) = stamp.get_mut(26).filter(|_| offset < 0) {
            *sign = b'-';
        }
        put(&mut stamp, 27, minutes.wrapping_div(60));
        put(&mut stamp, 30, minutes.wrapping_rem(60));
        stamp
    }

    /// "Nov 25 16:05:59", with a space before a day below 10.
    pub fn rfc3164(&self, now: Moment) -> [u8; 15] {
        const MONTHS: [[u8; 3]; 12] = [
            *b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep",
            *b"Oct", *b"Nov", *b"Dec",
        ];
        let local = Local::new(now.second + i64::from(self.offset(now.second)));
        let mut stamp = *b"??? 00 00:00:00";
        let month = MONTHS.get((local.month as usize).wrapping_sub(1));
        stamp.iter_mut().zip(month.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        put(&mut stamp, 4, local.day);
        if let Some(ten) = stamp.get_mut(4).filter(|_| local.day < 10) {
            *ten = b' ';
        }
        put(&mut stamp, 7, local.hour);
        put(&mut stamp, 10, local.minute);
        put(&mut stamp, 13, local.second);
        stamp
    }
}

/// The last two digits of a number.
#[inline(always)] // the compiler knows the places then
fn put(stamp: &mut [u8], at: usize, number: u32) {
    let digit = |number: u32| b'0' + number.wrapping_rem(10) as u8;
    if let Some([tens, ones]) = stamp.get_mut(at..at + 2) {
        *tens = digit(number.wrapping_div(10));
        *ones = digit(number);
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
