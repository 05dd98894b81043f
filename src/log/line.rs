//! One line: what it says, who says it and when.

use core::ffi::{CStr, c_int};

use super::time::Zone;
use crate::sys::{
    memory::Buffer,
    time::{Moment, now},
};

/// How long a line may be; also in the header.
pub(crate) const LINE_MAX: usize = 4096;

/// How long a text may be whoever says it: the rest is for what stands before it in the file.
pub(crate) const TEXT_MAX: usize = LINE_MAX - 256;

/// A text as it is shown, if that is not what it was.
pub type Shown = Buffer<LINE_MAX>;

/// A line as it stands in a file, and a newline before it.
pub type Whole = Buffer<{ LINE_MAX + 1 }>;

/// How long a program's name may be.
pub(crate) const NAME_MAX: usize = 64;

/// What stands before the text.
pub type Header = Buffer<256>;

const CUT: &[u8] = b"[cut]";

/// What the lines of one process have in common.
pub struct Speaker<'a> {
    pub name: &'a [u8],
    pub pid: u32,
    pub facility: c_int,
    pub zone: &'a Zone,
}

#[derive(Clone, Copy)]
pub struct Line<'a> {
    pub speaker: &'a Speaker<'a>,
    /// LOG_EMERG to LOG_DEBUG.
    pub level: c_int,
    pub now: Moment,
    /// As `visible` has it.
    pub text: &'a [u8],
    /// For the journal.
    pub fields: &'a [&'a CStr],
}

/// As in syslog.conf(5).
pub(super) const LEVELS: [&[u8]; 8] =
    [b"emerg", b"alert", b"crit", b"err", b"warning", b"notice", b"info", b"debug"];

pub fn level_name(level: c_int) -> &'static [u8] {
    LEVELS.get(level as usize).copied().unwrap_or_default()
}

impl Speaker<'_> {
    /// How long the text of a line may be.
    fn text_max(&self, level: c_int) -> usize {
        let digits = self.pid.checked_ilog10().unwrap_or(0) as usize + 1;
        let before = b"2026-11-25T16:05:59.123456+01:00 [] : ".len() + self.name.len() + digits;
        LINE_MAX - before - level_name(level).len() - 1
    }

    /// Has a text written as a line.
    #[inline(never)]
    pub fn say(&self, level: c_int, text: &[u8], fields: &[&CStr], write: impl FnOnce(&Line)) {
        let mut room = Buffer::new();
        let text = visible(text, self.text_max(level), &mut room);
        write(&Line { speaker: self, level, now: now(), text, fields });
    }
}

impl Line<'_> {
    /// As it stands in a file, with its newline: time, name, pid, level, text.
    #[inline(never)]
    pub fn push_for_file(&self, whole: &mut Whole) {
        whole.push(&self.speaker.zone.rfc3339(self.now));
        whole.push(b" ");
        self.push_speaker(whole);
        whole.push(b" ");
        whole.push(level_name(self.level));
        whole.push(b": ");
        whole.push(self.text);
        whole.push(b"\n");
    }

    /// As syslog(3) sends it (RFC 3164, section 4.1, without the host).
    #[inline(never)]
    pub fn push_for_syslog(&self, whole: &mut Whole) {
        whole.push(b"<");
        whole.push_number((self.speaker.facility | self.level) as u32, 1);
        whole.push(b">");
        whole.push(&self.speaker.zone.rfc3164(self.now));
        whole.push(b" ");
        self.push_speaker(whole);
        whole.push(b": ");
        whole.push(self.text);
    }

    fn push_speaker(&self, whole: &mut Whole) {
        whole.push(self.speaker.name);
        whole.push(b"[");
        whole.push_number(self.speaker.pid, 1);
        whole.push(b"]");
    }
}

/// Whether a text has no control character, and nothing that may be the first byte of one.
fn is_plain(text: &[u8]) -> bool {
    let eight = text.chunks_exact(8);
    let rest = eight.remainder();
    eight.filter_map(|chunk| chunk.first_chunk()).all(|&chunk| are_plain(u64::from_ne_bytes(chunk)))
        && rest.iter().all(|&byte| byte >= 0x20 && byte != 0x7f && byte != 0xc2)
}

/// Eight bytes at once: most of a line's cost would be here.
fn are_plain(bytes: u64) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The highest bit of a byte is set if one is less than this, or is 0; of others it may be, too, but
    // only above such a one.
    let any_below = |bytes: u64, limit: u64| bytes.wrapping_sub(EACH * limit) & !bytes;
    let any = any_below(bytes, 0x20)
        | any_below(bytes ^ (EACH * 0x7f), 1)
        | any_below(bytes ^ (EACH * 0xc2), 1);
    any & (EACH * 0x80) == 0
}

/// Whether it is a control character in UTF-8 when 0xc2 stands before it.
fn is_c1(byte: u8) -> bool {
    (0x80..0xa0).contains(&byte)
}

/// A text as one line that no control character can break, forge or colour, cut if it is too long.
#[inline(never)]
pub fn visible<'a>(text: &'a [u8], most: usize, room: &'a mut Shown) -> &'a [u8] {
    let end = text.iter().rposition(|&byte| byte != b'\n').map_or(0, |last| last + 1);
    let text = text.get(..end).unwrap_or_default();
    if text.len() <= most && is_plain(text) {
        return text;
    }
    // Where it can be cut: between characters.
    let mut end = 0;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let length = room.as_bytes().len();
        if byte & 0xc0 != 0x80 && length + CUT.len() <= most {
            end = length;
        }
        let c1 = if byte == 0xc2 { bytes.next_if(|&next| is_c1(next)) } else { None };
        match c1.unwrap_or(byte) {
            b'\n' => drop(room.push(b"\\n")),
            b'\t' => drop(room.push(b"\\t")),
            b'\r' => drop(room.push(b"\\r")),
            control if c1.is_some() || control < 0x20 || control == 0x7f => {
                room.push(b"\\x");
                room.push_hex(control.into(), 2);
            }
            _ => drop(room.push(&[byte])),
        }
        if room.as_bytes().len() > most {
            room.truncate(end);
            room.push(CUT);
            break;
        }
    }
    room.as_bytes()
}
