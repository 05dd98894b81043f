//! What is written to stdout and stderr.

use core::ffi::CStr;

use nix::errno::Errno;

use super::{FAILED, NOT_ALLOWED};
use crate::{
    error::{self, Error, Line},
    sys::{file, memory::Buffer, process, signal},
};

/// What is shown of a daemon's answer.
pub(super) const REPLY_MAX: usize = 8192;

const HELP: &[&[u8]] = &[
    b"",
    b"commands:",
    b"  start           go into the background, and leave when the daemon is ready (the default)",
    b"  stop            end the daemon, and leave when it is gone",
    b"  restart         stop, then start",
    b"  reload          have it read its configuration again",
    b"  status          tell whether it runs: 0 yes, 1 no, but its pid file is left, 3 no, 4 unknown",
    b"  run             stay in the foreground",
    b"",
    b"options:",
    b"  --pidfile PATH  the pid file; a name stands for /run/NAME.pid",
    b"  --user USER     the user to become",
    b"  --foreground    start without going into the background",
    b"  --background    start in the background, whoever has executed this",
    b"  --notify-fd FD  where a supervisor (s6) waits until it is ready, from 3 on",
    b"  --help          tell this",
];

/// Writes in the name of the daemon.
pub struct Voice<'a> {
    pub name: &'a [u8],
}

impl Voice<'_> {
    pub fn tell(&self, pieces: &[&[u8]]) {
        self.say(1, pieces);
    }

    pub fn complain(&self, pieces: &[&[u8]]) {
        self.say(2, pieces);
    }

    /// The exit status for this failure, of which this is said.
    #[inline(never)]
    pub fn failed(&self, error: &Error) -> i32 {
        self.complain(&[error::told(error).as_bytes()]);
        match error.0 {
            Errno::EPERM | Errno::EACCES => NOT_ALLOWED,
            _ => FAILED,
        }
    }

    fn say(&self, fd: i32, pieces: &[&[u8]]) {
        let mut line = Line::new();
        pieces.iter().for_each(|piece| line.push(piece));
        put(fd, &[self.name, b": ", line.as_bytes()]);
    }

    #[inline(never)]
    pub fn help(&self, usage: Option<&CStr>) {
        put(1, &[b"usage: ", self.name, b" [COMMAND] [OPTION]... [ARGUMENT]..."]);
        HELP.iter().for_each(|line| put(1, &[line]));
        let usage = usage.map_or(&b""[..], CStr::to_bytes);
        let usage = usage.strip_suffix(b"\n").unwrap_or(usage);
        if !usage.is_empty() {
            put(1, &[]);
            usage.split(|&byte| byte == b'\n').for_each(|line| put(1, &[line]));
        }
    }
}

/// One line in one write, after what stdio has buffered. Nobody need read it.
#[inline(never)]
pub fn put(fd: i32, pieces: &[&[u8]]) {
    let mut line = Buffer::<{ error::SENTENCE_MAX + REPLY_MAX }>::new();
    for piece in pieces {
        line.push(piece);
    }
    line.truncate(error::SENTENCE_MAX + REPLY_MAX - 1);
    line.push(b"\n");
    let _ = signal::without(libc::SIGPIPE, Errno::EPIPE, || {
        process::flush_stdio();
        let mut rest = Some(line.as_bytes());
        while let Some(text) = rest {
            rest = write_some(fd, text);
        }
        // Either may have raised it.
        Err::<(), _>(Errno::EPIPE)
    });
}

/// What is left to be written; `None`: nothing, or it cannot be.
fn write_some(fd: i32, text: &[u8]) -> Option<&[u8]> {
    let count = file::write(file::borrowed(fd)?, text).ok()?;
    text.get(count..).filter(|rest| count > 0 && !rest.is_empty())
}
