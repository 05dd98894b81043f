//! An answer: lines of text with a blank before each, and a line that says how it ended.

use nix::errno::Errno;

use crate::{
    error::{Error, Line, OrCannot, Result},
    sys::memory::Bytes,
};

/// How long the text may be; also in the header.
const TEXT_MAX: usize = 1 << 20;

pub struct Answer {
    text: Bytes,
    is_in_line: bool,
    /// How many bytes were printed.
    length: usize,
    has_failed: bool,
    /// Why.
    reason: Bytes,
}

impl Answer {
    pub const fn new() -> Self {
        Answer {
            text: Bytes::new(),
            is_in_line: false,
            length: 0,
            has_failed: false,
            reason: Bytes::new(),
        }
    }

    pub fn print(&mut self, text: &[u8]) -> Result<()> {
        let room = TEXT_MAX - self.length;
        let fitting = text.get(..room).unwrap_or(text);
        self.length += fitting.len();
        for line in fitting.split_inclusive(|&byte| byte == b'\n') {
            self.put(line).inspect_err(|_| self.miss()).or_cannot("keep an answer")?;
        }
        if fitting.len() < text.len() {
            self.fail(b"the text is too long, and was cut");
            return Err(Error::new(Errno::EMSGSIZE, &[b"the text of the answer is too long"]));
        }
        Ok(())
    }

    /// A line, or a part of one.
    fn put(&mut self, line: &[u8]) -> nix::Result<()> {
        if !self.is_in_line {
            self.text.push(b" ")?;
        }
        let (content, end) = match line.strip_suffix(b"\n") {
            Some(content) => (content, true),
            None => (line, false),
        };
        for piece in content.split_inclusive(|byte| !is_shown(*byte)) {
            match piece.split_last() {
                Some((last, shown)) if !is_shown(*last) => {
                    self.text.push(shown)?;
                    self.text.push(b"?")?;
                }
                _ => self.text.push(piece)?,
            }
        }
        self.is_in_line = !end;
        if end { self.text.push(b"\n") } else { Ok(()) }
    }

    pub fn fail(&mut self, reason: &[u8]) {
        let mut line = Line::new();
        line.push(reason);
        self.has_failed = true;
        self.reason = Bytes::new();
        // Without memory there is no answer at all.
        let _ = self.reason.push(line.as_bytes());
    }

    /// Some of the text could not be made.
    pub fn miss(&mut self) {
        self.fail(b"a part of the text is missing: no memory");
    }

    /// All that is to be sent.
    pub fn finished(mut self) -> nix::Result<Bytes> {
        if self.is_in_line {
            self.text.push(b"\n")?;
        }
        match self.has_failed {
            true => {
                self.text.push(b"error ")?;
                self.text.push(self.reason.as_slice())?;
            }
            false => self.text.push(b"ok")?,
        }
        self.text.push(b"\n")?;
        Ok(self.text)
    }
}

fn is_shown(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}
