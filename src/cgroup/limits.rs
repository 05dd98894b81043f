//! The limits of a cgroup: which there are, how they are written, and whether they are in force.

use core::ffi::CStr;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use crate::{
    error::{Error, OrCannot, Result},
    limits,
    sys::{kernel_file, memory::Buffer},
    text,
};

/// A file of the kernel's, and what it holds.
pub struct Kind {
    file: &'static CStr,
    controller: &'static [u8],
    value: fn(&[u8]) -> Option<Value>,
}

static KINDS: [Kind; 7] = [
    Kind { file: c"memory.max", controller: b"memory", value: amount },
    Kind { file: c"memory.high", controller: b"memory", value: amount },
    Kind { file: c"memory.swap.max", controller: b"memory", value: amount },
    Kind { file: c"pids.max", controller: b"pids", value: amount },
    Kind { file: c"cpu.max", controller: b"cpu", value: processor_time },
    Kind { file: c"cpu.weight", controller: b"cpu", value: weight },
    Kind { file: c"io.weight", controller: b"io", value: default_weight },
];

const CONTROLLERS: [&[u8]; 4] = [b"memory", b"pids", b"cpu", b"io"];

/// As the kernel writes it.
pub type Value = Buffer<48>;
const NO_SUCH_VALUE: &[u8] = b"it takes no such value";

/// The limits asked for, in the order of `KINDS`.
pub struct Limits([Option<Value>; KINDS.len()]);

impl Limits {
    #[inline(never)]
    pub fn parse(text: &CStr) -> Result<Self> {
        let name = |kind: &'static Kind| kind.file.to_bytes();
        let value = |kind: &Kind, text: &[u8]| (kind.value)(text).ok_or(NO_SUCH_VALUE);
        limits::parse(text, &KINDS, name, value).map(Limits)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static Kind, &Value)> {
        KINDS.iter().zip(&self.0).filter_map(|(kind, value)| Some((kind, value.as_ref()?)))
    }

    /// Those without which these limits cannot be set.
    pub fn controllers(&self) -> impl Iterator<Item = &'static [u8]> {
        CONTROLLERS
            .into_iter()
            .filter(|&controller| self.iter().any(|(kind, _)| kind.controller == controller))
    }
}

/// Sets a limit, and sees that it is there.
pub fn set(group: BorrowedFd, kind: &Kind, value: &Value) -> Result<()> {
    let asked = value.as_bytes();
    kernel_file::write(group, kind.file, asked).or_cannot_at("set", kind.file)?;
    let present = kernel_file::read(group, kind.file).or_cannot_at("read", kind.file)?;
    let present = present.as_bytes().split(|&byte| byte == b'\n').next().unwrap_or_default();
    if present == asked || (kind.controller == b"memory" && is_rounded(asked, present)) {
        return Ok(());
    }
    let name = kind.file.to_bytes();
    Err(Error::new(Errno::EPERM, &[b"the limit ", name, b" was set but is not in force"]))
}

/// The kernel counts memory in pages, of which it leaves out a part.
fn is_rounded(asked: &[u8], present: &[u8]) -> bool {
    const LARGEST_PAGE: u64 = 1 << 16;
    let numbers = text::long_number(asked).zip(text::long_number(present));
    numbers.is_some_and(|(asked, present)| {
        present & 0xfff == 0
            && asked.checked_sub(present).is_some_and(|left_out| left_out < LARGEST_PAGE)
    })
}

/// "max", or a number, perhaps with K, M, G or T.
fn amount(text: &[u8]) -> Option<Value> {
    let mut value = Value::new();
    match text {
        b"max" | b"unlimited" => _ = value.push(b"max"),
        _ => value.push_long(limits::amount(text)?, 1),
    }
    Some(value)
}

/// The usual period of cpu.max, in microseconds.
const PERIOD: u64 = 100_000;

/// "max", a share of one processor as "50%", or the kernel's "QUOTA,PERIOD".
fn processor_time(text: &[u8]) -> Option<Value> {
    let mut quota = Value::new();
    let mut period = PERIOD;
    if text == b"max" {
        quota.push(text);
    } else if let Some(percent) = text.strip_suffix(b"%") {
        let percent = text::number(percent).filter(|&percent| percent > 0)?;
        quota.push_long(u64::from(percent) * 1000, 1);
    } else {
        let mut numbers = text.splitn(2, |&byte| byte == b',');
        match numbers.next() {
            Some(b"max") => _ = quota.push(b"max"),
            number => quota.push_long(text::number(number?)?.into(), 1),
        }
        period = text::number(numbers.next()?)?.into();
    }
    quota.push(b" ");
    quota.push_long(period, 1);
    Some(quota)
}

fn weight(text: &[u8]) -> Option<Value> {
    let weight = text::number(text).filter(|weight| (1..=10_000).contains(weight))?;
    let mut value = Value::new();
    value.push_number(weight, 1);
    Some(value)
}

/// That of all devices without a weight of their own.
fn default_weight(text: &[u8]) -> Option<Value> {
    let mut value = Value::new();
    value.push(b"default ");
    value.push(weight(text)?.as_bytes());
    Some(value)
}
