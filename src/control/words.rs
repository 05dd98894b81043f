//! A request: one line of words.

use core::ffi::CStr;

use nix::errno::Errno;

use crate::{
    error::{Error, OrCannot, Result},
    sys::memory::Bytes,
};

/// The most words of a request; also in the header.
pub(crate) const WORDS_MAX: usize = 64;

/// The words of a line, each with a NUL behind it.
pub struct Words(Bytes);

impl Words {
    /// Of a line without its newline.
    pub fn of(line: &[u8]) -> Result<Self> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut words = Bytes::with_room(line.len() + 1).or_cannot("read the line")?;
        let mut room = words.left().iter_mut();
        let mut length = 0;
        let mut put = |byte| {
            // There is: a word ends where a blank stood, or the line.
            if let Some(place) = room.next() {
                *place = byte;
                length += 1;
            }
        };
        let mut count = 0;
        let mut rest = line.iter().copied();
        let refused = |why: &[u8]| Err(Error::new(Errno::EPROTO, &[why]));
        let (mut is_in_word, mut is_quoted) = (false, false);
        while let Some(byte) = rest.next() {
            let byte = match byte {
                b' ' | b'\t' if !is_quoted => {
                    if is_in_word {
                        put(0);
                    }
                    is_in_word = false;
                    continue;
                }
                b'"' => {
                    is_quoted = !is_quoted;
                    None
                }
                b'\\' if is_quoted => match rest.next() {
                    Some(byte @ (b'"' | b'\\')) => Some(byte),
                    _ => {
                        return refused(
                            b"a backslash stands before neither a quote nor a backslash",
                        );
                    }
                },
                0..=8 | 10..=31 | 127 => {
                    return refused(b"there is a control character in the line");
                }
                byte => Some(byte),
            };
            if !is_in_word {
                is_in_word = true;
                count += 1;
            }
            if let Some(byte) = byte {
                put(byte);
            }
        }
        if is_quoted {
            return refused(b"a quote is not closed");
        }
        if is_in_word {
            put(0);
        }
        words.add(length);
        match count {
            0 => refused(b"the line has no command"),
            1..=WORDS_MAX => Ok(Words(words)),
            _ => refused(b"the line has too many words"),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.0.strings()
    }

    /// The command.
    pub fn first(&self) -> &CStr {
        self.iter().next().unwrap_or_default()
    }
}
