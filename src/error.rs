//! The one error type: an errno and a sentence. It needs no heap, so that it can be made in the
//! child of a fork and sent back to the caller.

use core::{ffi::CStr, fmt};

use nix::errno::Errno;

/// The longest sentence; a longer one is cut.
pub(crate) const SENTENCE_MAX: usize = 512;

pub type Result<T> = core::result::Result<T, Error>;

/// One line of text in a fixed buffer. What does not fit is cut, what is not printable becomes `?`,
/// so that no path can forge a second line.
#[derive(Clone, Copy)]
pub struct Line {
    length: usize,
    bytes: [u8; SENTENCE_MAX],
}

impl Line {
    pub const fn new() -> Self {
        Line {
            length: 0,
            bytes: [0; SENTENCE_MAX],
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let Some(place) = self.bytes.get_mut(self.length) else {
                return;
            };
            *place = if byte.is_ascii_control() { b'?' } else { byte };
            self.length += 1;
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// What went wrong, for the program (`errno`) and for a person (`text`).
pub struct Error {
    pub errno: Errno,
    pub text: Line,
    /// The text tells only what could not be done; the reason is what errno means. It is added
    /// where the sentence is handed to C, since looking it up may allocate.
    pub lacks_reason: bool,
}

impl Error {
    /// A whole sentence, in pieces.
    pub fn new(errno: Errno, pieces: &[&[u8]]) -> Self {
        let mut text = Line::new();
        pieces.iter().for_each(|piece| text.push(piece));
        Error {
            errno,
            text,
            lacks_reason: false,
        }
    }

    /// "cannot `action` `path`", and later the reason.
    pub fn cannot(errno: Errno, action: &str, path: &[u8]) -> Self {
        let space: &[u8] = if path.is_empty() { b"" } else { b" " };
        Error {
            lacks_reason: true,
            ..Error::new(errno, &[b"cannot ", action.as_bytes(), space, path])
        }
    }

    /// C passed an argument that cannot be used; the text names it.
    pub fn invalid(text: &str) -> Self {
        Error::new(Errno::EINVAL, &[text.as_bytes()])
    }
}

/// Says what was being done when a system call failed.
pub trait OrCannot<T> {
    /// `or_cannot("start a session")` makes "cannot start a session: Operation not permitted".
    fn or_cannot(self, action: &str) -> Result<T>;
    /// `or_cannot_at("open", path)` makes "cannot open /run/x.pid: Permission denied".
    fn or_cannot_at(self, action: &str, path: &CStr) -> Result<T>;
}

impl<T> OrCannot<T> for nix::Result<T> {
    fn or_cannot(self, action: &str) -> Result<T> {
        self.map_err(|errno| Error::cannot(errno, action, b""))
    }

    fn or_cannot_at(self, action: &str, path: &CStr) -> Result<T> {
        self.map_err(|errno| Error::cannot(errno, action, path.to_bytes()))
    }
}
