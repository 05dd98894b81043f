//! Pipes whose lines are logged: the stdout and stderr of children, which cannot follow a file that is
//! rotated.

use core::ffi::c_int;
use std::os::fd::{AsFd, IntoRawFd};

use nix::errno::Errno;

use crate::{
    error::{OrCannot, Result},
    kept::Kept,
    poller::{self, Source},
    sys::{
        file,
        memory::{Bytes, Table},
        process::Own,
    },
};

struct Reader {
    pipe: Kept,
    level: c_int,
    /// What has come of a line that has not ended.
    begun: Bytes,
}

static READERS: Own<Table<Reader>> = Own::new();

/// `rsd_log_pipe`: the end to write to.
pub fn make(level: c_int) -> Result<c_int> {
    let (read, write) = file::pipe().or_cannot("make a pipe")?;
    let pipe = file::set_nonblocking(read.as_fd()).and_then(|()| Kept::new(read));
    let reader = Reader { pipe: pipe.or_cannot("make a pipe")?, level, begun: Bytes::new() };
    let added = READERS.with(|readers| {
        let number = readers.insert(reader)?;
        let added = readers.get(number).map_or(Err(Errno::ENOMEM), |reader| reader.attend(number));
        if added.is_err() {
            readers.take(number);
        }
        added
    });
    added.or_cannot("watch a pipe")?;
    Ok(write.into_raw_fd())
}

impl Reader {
    fn attend(&self, number: usize) -> nix::Result<()> {
        poller::add(self.pipe.get()?, Source::Lines(number))
    }

    /// Reads once. Whether more may come.
    fn read(&mut self) -> bool {
        let count = self.pipe.get().and_then(|pipe| {
            let spare = self.begun.spare(super::TEXT_MAX);
            if spare.is_empty() { Err(Errno::ENOMEM) } else { nix::unistd::read(pipe, spare) }
        });
        match count {
            Ok(0) => false,
            Ok(count) => {
                self.begun.add(count);
                self.log_lines();
                true
            }
            Err(errno) => matches!(errno, Errno::EAGAIN | Errno::EINTR),
        }
    }

    fn log_lines(&mut self) {
        while let Some(end) = self.begun.as_slice().iter().position(|&byte| byte == b'\n') {
            self.log_first(end);
            self.begun.drop_first(end + 1);
        }
        if self.begun.len() == super::TEXT_MAX {
            self.log_rest();
        }
    }

    fn log_rest(&mut self) {
        let length = self.begun.len();
        if length > 0 {
            self.log_first(length);
            self.begun.drop_first(length);
        }
    }

    fn log_first(&self, length: usize) {
        if super::is_wanted(self.level) {
            super::write(self.level, self.begun.as_slice().get(..length).unwrap_or_default(), &[]);
        }
    }
}

/// There is something to read, or the end of it.
pub fn is_ready(number: usize) {
    READERS.with(|readers| {
        let Some(reader) = readers.get(number) else { return };
        if reader.read() {
            return;
        }
        reader.log_rest();
        if let Ok(pipe) = reader.pipe.get() {
            poller::remove(pipe);
        }
        readers.take(number);
    });
}

/// The descriptors of the main loop were lost: adds the pipes again.
pub fn watch_again() {
    READERS.with(|readers| {
        for (number, reader) in readers.iter() {
            let _ = reader.attend(number);
        }
    });
}

/// A forked child reads nothing of its parent's.
pub fn let_go_of_parents() {
    READERS.with(|_| ());
}
