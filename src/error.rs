//! The one error type: an errno, and a sentence that waits in the thread's own buffer until it is
//! handed to C. That needs no heap, so an error can be made in the child of a fork and sent back to
//! the caller; and only the latest error of a thread has a sentence.

use core::ffi::CStr;

use nix::errno::Errno;

use crate::sys::{self, memory::Buffer, thread};

/// The longest sentence; a longer one is cut.
pub(crate) const SENTENCE_MAX: usize = 512;

/// The longest sentence with its reason.
pub(crate) const TOLD_MAX: usize = SENTENCE_MAX + 128;

pub type Result<T> = core::result::Result<T, Error>;

/// One line of text in a fixed buffer. What does not fit is cut, what is not printable becomes `?`,
/// so that no path can forge a second line.
#[derive(Clone, Copy)]
pub struct Line(Buffer<SENTENCE_MAX>);

impl Line {
    pub const fn new() -> Self {
        Line(Buffer::new())
    }

    pub fn clear(&mut self) {
        self.0.truncate(0);
    }

    #[inline(never)]
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0.push(&[if byte.is_ascii_control() { b'?' } else { byte }]);
        }
    }

    pub fn push_number(&mut self, number: u32) {
        self.0.push_number(number, 1);
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// What a person is told.
#[derive(Clone, Copy)]
pub struct Sentence {
    pub line: Line,
    /// The line tells only what could not be done; the reason is what errno means. It is added
    /// where the sentence is handed to C, since looking it up may allocate.
    pub lacks_reason: bool,
}

/// What went wrong, for the program; `sentence()` is for a person.
#[derive(Clone, Copy)]
pub struct Error(pub Errno);

impl Error {
    /// A whole sentence, in pieces.
    #[cold]
    #[inline(never)]
    pub fn new(errno: Errno, pieces: &[&[u8]]) -> Self {
        thread::with_own(|own| {
            own.sentence.line.clear();
            own.sentence.lacks_reason = false;
            pieces.iter().for_each(|piece| own.sentence.line.push(piece));
        });
        Error(errno)
    }

    /// "cannot `action`", and later the reason.
    #[cold]
    #[inline(never)]
    pub fn cannot(errno: Errno, action: &str) -> Self {
        Error::cannot_at(errno, action, b"")
    }

    /// "cannot `action` `object`", and later the reason.
    #[cold]
    #[inline(never)]
    pub fn cannot_at(errno: Errno, action: &str, object: &[u8]) -> Self {
        let space: &[u8] = if object.is_empty() { b"" } else { b" " };
        Error::new(errno, &[b"cannot ", action.as_bytes(), space, object]).without_reason()
    }

    pub fn without_reason(self) -> Self {
        thread::with_own(|own| own.sentence.lacks_reason = true);
        self
    }

    /// C passed an argument that cannot be used; the text names it.
    #[cold]
    #[inline(never)]
    pub fn invalid(text: &str) -> Self {
        Error::new(Errno::EINVAL, &[text.as_bytes()])
    }
}

/// The sentence of this thread's latest error.
#[inline(never)]
pub fn sentence() -> Sentence {
    let none = Sentence { line: Line::new(), lacks_reason: false };
    thread::with_own(|own| own.sentence).unwrap_or(none)
}

/// What a person is told of this thread's latest error, with its reason. Not between fork and the end of
/// the daemon's setup.
pub fn told(error: &Error) -> Buffer<TOLD_MAX> {
    sentence().told(error.0)
}

impl Sentence {
    /// As `told`.
    #[inline(never)]
    pub fn told(&self, errno: Errno) -> Buffer<TOLD_MAX> {
        let mut told = Buffer::new();
        told.push(self.line.as_bytes());
        if self.lacks_reason {
            let reason = sys::reason(errno);
            if !reason.as_bytes().is_empty() {
                told.push(b": ");
                told.push(reason.as_bytes());
            }
        }
        told
    }
}

/// One more thing about this thread's latest error, where its sentence is whole.
pub fn add_to_sentence(more: &[u8]) {
    thread::with_own(|own| {
        if !own.sentence.lacks_reason {
            own.sentence.line.push(more);
        }
    });
}

/// Does something whose errors do not matter, and keeps the sentence there is.
pub fn keeping_sentence(act: impl FnOnce()) {
    let before = sentence();
    act();
    thread::with_own(|own| own.sentence = before);
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
        self.map_err(|errno| Error::cannot(errno, action))
    }

    fn or_cannot_at(self, action: &str, path: &CStr) -> Result<T> {
        self.map_err(|errno| Error::cannot_at(errno, action, path.to_bytes()))
    }
}
