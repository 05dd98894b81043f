//! What the process and its children may use at most (setrlimit(2)), by name. All of it or nothing.

use core::ffi::CStr;

use nix::errno::Errno;

use crate::{
    error::{Error, Result},
    sys::limit::{self, COUNT, Limit, UNLIMITED},
    text,
};

/// In the order in which `sys::limit` has them.
const NAMES: [&[u8]; COUNT] = [
    b"as",
    b"core",
    b"cpu",
    b"data",
    b"fsize",
    b"locks",
    b"memlock",
    b"msgqueue",
    b"nice",
    b"nofile",
    b"nproc",
    b"rss",
    b"rtprio",
    b"rttime",
    b"sigpending",
    b"stack",
];

/// Those asked for, in the order of `NAMES`.
pub struct Limits([Option<Limit>; COUNT]);

impl Limits {
    /// "NAME=SOFT:HARD" or "NAME=BOTH", with blanks between.
    #[inline(never)]
    pub fn parse(text: &CStr) -> Result<Self> {
        let mut limits = Limits([None; COUNT]);
        let words = text.to_bytes().split(|byte| b" \t\n".contains(byte));
        for word in words.filter(|word| !word.is_empty()) {
            let mut halves = word.splitn(2, |&byte| byte == b'=');
            let name = halves.next().unwrap_or_default();
            let value = halves.next().ok_or_else(|| unusable(word, b"it lacks its ="))?;
            let index = NAMES.iter().position(|known| *known == name);
            let place = index.and_then(|index| limits.0.get_mut(index));
            let place = place.ok_or_else(|| unusable(word, b"there is no such limit"))?;
            if place.is_some() {
                return Err(unusable(word, b"this limit was there before"));
            }
            let mut parts = value.splitn(2, |&byte| byte == b':');
            let soft = parts.next().and_then(amount);
            let hard = parts.next().map_or(soft, amount);
            let (Some(soft), Some(hard)) = (soft, hard) else {
                return Err(unusable(word, b"that is no amount"));
            };
            if soft > hard {
                return Err(unusable(word, b"the soft limit is above the hard one"));
            }
            *place = Some(Limit { soft, hard });
        }
        Ok(limits)
    }

    fn iter(&self) -> impl Iterator<Item = (usize, Limit)> {
        self.0.iter().enumerate().filter_map(|(index, asked)| Some((index, (*asked)?)))
    }

    /// Sets them, those first that may be refused. No heap, no lock.
    #[inline(never)]
    pub fn apply(&self) -> Result<()> {
        let mut before = Limits([None; COUNT]);
        for (index, _) in self.iter() {
            let present = limit::get(index).map_err(|errno| cannot(errno, "read", index))?;
            if let Some(place) = before.0.get_mut(index) {
                *place = Some(present);
            }
        }
        let raises = |index: usize, asked: Limit| {
            let present = before.0.get(index).copied().flatten();
            present.is_some_and(|present| asked.hard > present.hard)
        };
        let first = self.iter().filter(|&(index, asked)| raises(index, asked));
        let second = self.iter().filter(|&(index, asked)| !raises(index, asked));
        for (index, asked) in first.chain(second) {
            let set = limit::set(index, asked).and_then(|()| limit::get(index));
            let error = match set {
                Ok(present) if present == asked => continue,
                Ok(_) => not_in_force(index),
                Err(errno) => cannot(errno, "set", index),
            };
            for (index, present) in before.iter() {
                let _ = limit::set(index, present);
            }
            return Err(error);
        }
        Ok(())
    }
}

/// Decimal digits and perhaps K, M, G or T; "unlimited".
fn amount(text: &[u8]) -> Option<u64> {
    if text == b"unlimited" {
        return Some(UNLIMITED);
    }
    let (digits, unit) = match text {
        [digits @ .., b'K'] => (digits, 1 << 10),
        [digits @ .., b'M'] => (digits, 1 << 20),
        [digits @ .., b'G'] => (digits, 1 << 30),
        [digits @ .., b'T'] => (digits, 1 << 40),
        digits => (digits, 1),
    };
    // "unlimited" is the largest number, and a number that large is a mistake.
    text::long_number(digits)?.checked_mul(unit).filter(|&amount| amount != UNLIMITED)
}

fn name_of(index: usize) -> &'static [u8] {
    NAMES.get(index).copied().unwrap_or_default()
}

#[cold]
fn unusable(word: &[u8], why: &[u8]) -> Error {
    Error::new(Errno::EINVAL, &[b"cannot use the limit ", word, b": ", why])
}

#[cold]
fn cannot(errno: Errno, action: &str, index: usize) -> Error {
    let pieces = [b"cannot ", action.as_bytes(), b" the limit ", name_of(index)];
    Error::new(errno, &pieces).without_reason()
}

#[cold]
fn not_in_force(index: usize) -> Error {
    let pieces: [&[u8]; 3] = [b"the limit ", name_of(index), b" was set but is not in force"];
    Error::new(Errno::EPERM, &pieces)
}
