//! One line: what it says, who says it and when.

use core::ffi::{CStr, c_int};

use super::time::Zone;
use crate::sys::{memory::Buffer, time::Moment};

/// With it and what stands before it a line has at most 4096 bytes.
pub const TEXT_MAX: usize = 3840;

/// How long a program's name may be.
pub const NAME_MAX: usize = 64;

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
const LEVELS: [&[u8]; 8] =
    [b"emerg", b"alert", b"crit", b"err", b"warning", b"notice", b"info", b"debug"];

impl Line<'_> {
    /// As it stands in a file: time, name, pid, level.
    #[inline(never)]
    pub fn file_header(&self) -> Header {
        let mut header = Header::new();
        self.speaker.zone.push_rfc3339(&mut header, self.now);
        header.push(b" ");
        self.push_speaker(&mut header);
        header.push(b" ");
        header.push(LEVELS.get(self.level as usize).copied().unwrap_or_default());
        header.push(b": ");
        header
    }

    /// As syslog(3) sends it (RFC 3164, section 4.1, without the host).
    #[inline(never)]
    pub fn syslog_header(&self) -> Header {
        let mut header = Header::new();
        header.push(b"<");
        header.push_number((self.speaker.facility | self.level) as u32, 1);
        header.push(b">");
        self.speaker.zone.push_rfc3164(&mut header, self.now);
        header.push(b" ");
        self.push_speaker(&mut header);
        header.push(b": ");
        header
    }

    fn push_speaker(&self, header: &mut Header) {
        header.push(self.speaker.name);
        header.push(b"[");
        header.push_number(self.speaker.pid, 1);
        header.push(b"]");
    }
}

/// How much of a text is shown as it is.
fn is_plain(text: &[u8]) -> bool {
    let mut before = 0;
    text.iter().all(|&byte| {
        let is_control = byte < 0x20 || byte == 0x7f || before == 0xc2 && is_c1(byte);
        before = byte;
        !is_control
    })
}

/// Whether it is a control character in UTF-8 when 0xc2 stands before it.
fn is_c1(byte: u8) -> bool {
    (0x80..0xa0).contains(&byte)
}

/// A text as one line that no control character can break, forge or colour, cut if it is too long.
#[inline(never)]
pub fn visible<'a>(text: &'a [u8], room: &'a mut Buffer<TEXT_MAX>) -> &'a [u8] {
    let end = text.iter().rposition(|&byte| byte != b'\n').map_or(0, |last| last + 1);
    let text = text.get(..end).unwrap_or_default();
    if text.len() <= TEXT_MAX && is_plain(text) {
        return text;
    }
    // Where it can be cut: between characters.
    let mut end = 0;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let length = room.as_bytes().len();
        if byte & 0xc0 != 0x80 && length + CUT.len() <= TEXT_MAX {
            end = length;
        }
        let fits = match byte {
            b'\n' => room.push(b"\\n"),
            b'\t' => room.push(b"\\t"),
            b'\r' => room.push(b"\\r"),
            0..0x20 | 0x7f => push_hex(room, byte),
            0xc2 => match bytes.next_if(|&next| is_c1(next)) {
                Some(next) => push_hex(room, next),
                None => room.push(&[byte]),
            },
            _ => room.push(&[byte]),
        };
        if !fits {
            room.truncate(end);
            room.push(CUT);
            break;
        }
    }
    room.as_bytes()
}

fn push_hex(room: &mut Buffer<TEXT_MAX>, byte: u8) -> bool {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    room.push(&[b'\\', b'x', digit(byte >> 4), digit(byte & 0xf)])
}
