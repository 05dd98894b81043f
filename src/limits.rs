//! What the process and its children may use at most (setrlimit(2)), by name. All of it or nothing.

use core::ffi::CStr;

use nix::errno::Errno;

use crate::{
    error::{Error, Result},
    sys::limit::{self, Limit, Resource, UNLIMITED},
    text,
};

const COUNT: usize = 16;

static KINDS: [(&[u8], Resource); COUNT] = [
    (b"as", libc::RLIMIT_AS),
    (b"core", libc::RLIMIT_CORE),
    (b"cpu", libc::RLIMIT_CPU),
    (b"data", libc::RLIMIT_DATA),
    (b"fsize", libc::RLIMIT_FSIZE),
    (b"locks", libc::RLIMIT_LOCKS),
    (b"memlock", libc::RLIMIT_MEMLOCK),
    (b"msgqueue", libc::RLIMIT_MSGQUEUE),
    (b"nice", libc::RLIMIT_NICE),
    (b"nofile", libc::RLIMIT_NOFILE),
    (b"nproc", libc::RLIMIT_NPROC),
    (b"rss", libc::RLIMIT_RSS),
    (b"rtprio", libc::RLIMIT_RTPRIO),
    (b"rttime", libc::RLIMIT_RTTIME),
    (b"sigpending", libc::RLIMIT_SIGPENDING),
    (b"stack", libc::RLIMIT_STACK),
];

/// Those asked for, in the order of `KINDS`.
#[derive(Default)]
pub struct Limits([Option<Limit>; COUNT]);

impl Limits {
    /// "NAME=SOFT:HARD" or "NAME=BOTH", with blanks between.
    #[inline(never)]
    pub fn parse(text: &CStr) -> Result<Self> {
        parse(text, &KINDS, |kind| kind.0, |_, text| soft_and_hard(text)).map(Limits)
    }

    /// Sets those that are not so already, and of them those first that may be refused. No heap, no lock.
    #[inline(never)]
    pub fn apply(&self) -> Result<()> {
        let mut before = [None; COUNT];
        for ((&(name, resource), asked), before) in KINDS.iter().zip(&self.0).zip(&mut before) {
            if asked.is_some() {
                *before = Some(limit::get(resource).map_err(|errno| cannot(errno, "read", name))?);
            }
        }
        let all = || {
            let all = KINDS.iter().zip(&self.0).zip(&before);
            all.filter_map(|((kind, asked), before)| Some((kind, (*asked)?, (*before)?)))
                .filter(|(_, asked, before)| asked != before)
        };
        let first = all().filter(|(_, asked, before)| asked.hard > before.hard);
        let second = all().filter(|(_, asked, before)| asked.hard <= before.hard);
        for (&(name, resource), asked, _) in first.chain(second) {
            let set = limit::set(resource, asked).and_then(|()| limit::get(resource));
            let error = match set {
                Ok(present) if present == asked => continue,
                Ok(_) => not_in_force(name),
                Err(errno) => cannot(errno, "set", name),
            };
            for ((_, resource), _, before) in all() {
                let _ = limit::set(*resource, before);
            }
            return Err(error);
        }
        Ok(())
    }

    /// Others come on top, or in the place of these.
    pub fn add(&mut self, others: Limits) {
        for (asked, other) in self.0.iter_mut().zip(others.0) {
            *asked = other.or(*asked);
        }
    }

    /// Whether the process has those that were asked for, still.
    pub fn are_in_force(&self) -> Result<bool> {
        for (&(name, resource), asked) in KINDS.iter().zip(&self.0) {
            let Some(asked) = asked else { continue };
            if limit::get(resource).map_err(|errno| cannot(errno, "read", name))? != *asked {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Those words of `before` whose limits `after` does not name.
pub fn others<'a>(before: &'a [u8], after: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let name = |word: &'a [u8]| word.split(|&byte| byte == b'=').next();
    text::words(before)
        .filter(move |word| text::words(after).all(|other| name(other) != name(word)))
}

/// Words "NAME=VALUE" with blanks between, each at the place of its kind. `value` says why it is none.
pub fn parse<Kind: 'static, Value: Copy, const COUNT: usize>(
    text: &CStr,
    kinds: &'static [Kind; COUNT],
    name: impl Fn(&'static Kind) -> &'static [u8],
    value: impl Fn(&Kind, &[u8]) -> core::result::Result<Value, &'static [u8]>,
) -> Result<[Option<Value>; COUNT]> {
    let mut values = [None; COUNT];
    for word in text::words(text.to_bytes()) {
        let mut halves = word.splitn(2, |&byte| byte == b'=');
        let asked = halves.next().unwrap_or_default();
        let text = halves.next().ok_or_else(|| unusable(word, b"it lacks its ="))?;
        let mut places = kinds.iter().zip(&mut values);
        let found = places.find(|(kind, _)| name(kind) == asked);
        let (kind, place) = found.ok_or_else(|| unusable(word, b"there is no such limit"))?;
        if place.is_some() {
            return Err(unusable(word, b"this limit was there before"));
        }
        *place = Some(value(kind, text).map_err(|why| unusable(word, why))?);
    }
    Ok(values)
}

fn soft_and_hard(text: &[u8]) -> core::result::Result<Limit, &'static [u8]> {
    let mut parts = text.splitn(2, |&byte| byte == b':');
    let soft = parts.next().and_then(amount);
    let hard = parts.next().map_or(soft, amount);
    match (soft, hard) {
        (Some(soft), Some(hard)) if soft <= hard => Ok(Limit { soft, hard }),
        (Some(_), Some(_)) => Err(b"the soft limit is above the hard one"),
        _ => Err(b"that is no amount"),
    }
}

/// Decimal digits and perhaps K, M, G or T; "unlimited".
pub fn amount(text: &[u8]) -> Option<u64> {
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

#[cold]
fn unusable(word: &[u8], why: &[u8]) -> Error {
    Error::new(Errno::EINVAL, &[b"cannot use the limit ", word, b": ", why])
}

#[cold]
fn cannot(errno: Errno, action: &str, name: &[u8]) -> Error {
    Error::new(errno, &[b"cannot ", action.as_bytes(), b" the limit ", name]).without_reason()
}

#[cold]
fn not_in_force(name: &[u8]) -> Error {
    Error::new(Errno::EPERM, &[b"the limit ", name, b" was set but is not in force"])
}
