//! What /proc tells of another process. It may not be there, be another namespace's, or hide what
//! is another user's: that is an answer here, and no error.

use core::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag},
    sys::stat::Mode,
};

use super::{
    check,
    file::{self, OwnedFd, PathBuffer},
    load::Identity,
    memory::Buffer,
    retry,
};
use crate::{error::Line, text};

/// A process as /proc knows it. Its number there is that of another pid namespace if /proc is.
#[derive(Clone, Copy)]
pub struct Process(u32);

/// Whether a process has a file open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    Open,
    NotOpen,
    /// It has nothing open at all: it is ending, or a thread of the kernel's.
    Nothing,
    Unseen,
}

/// The field of a line, as far as it is of interest.
pub type Field = Buffer<96>;

impl Process {
    /// The process of a pidfd. `None`: it has ended, or this /proc does not show it.
    pub fn of(pidfd: BorrowedFd) -> nix::Result<Option<Self>> {
        let field = field(b"self/fdinfo/", pidfd.as_raw_fd() as u32, b"", b"Pid:\t")?;
        let number = field.and_then(|field| text::number(field.as_bytes()));
        Ok(number.filter(|&number| number > 0).map(Process))
    }

    /// Where there are no pidfds.
    pub fn numbered(pid: libc::pid_t) -> Self {
        Process(pid as u32)
    }

    /// What stands in /proc/PID/status after this name, which ends with ":\t".
    pub fn status(&self, name: &[u8]) -> nix::Result<Option<Field>> {
        field(b"", self.0, b"/status", name)
    }

    /// Whether it has the file open.
    pub fn sees(&self, sought: Identity) -> nix::Result<Sight> {
        let Some(folder) = open(b"", self.0, b"/fd", OFlag::O_RDONLY | OFlag::O_DIRECTORY)? else {
            return Ok(Sight::Unseen);
        };
        let mut sight = Sight::Nothing;
        let looked = find_name(folder.as_fd(), |name| {
            if name.to_bytes().starts_with(b".") {
                return Ok(false);
            }
            sight = Sight::NotOpen;
            match identity_at(folder.as_fd(), name) {
                Ok(identity) => Ok(identity == sought),
                // Closed meanwhile.
                Err(Errno::ENOENT) => Ok(false),
                Err(errno) => Err(errno),
            }
        });
        match looked {
            Ok(true) => Ok(Sight::Open),
            Ok(false) => Ok(sight),
            Err(errno) if is_unseen(errno) => Ok(Sight::Unseen),
            Err(errno) => Err(errno),
        }
    }
}

fn is_unseen(errno: Errno) -> bool {
    use Errno::{EACCES, ENOENT, ENOTDIR, EPERM, ESRCH};
    matches!(errno, EACCES | ENOENT | ENOTDIR | EPERM | ESRCH)
}

/// Opens "/proc/BEFORE NUMBER AFTER".
fn open(before: &[u8], number: u32, after: &[u8], flags: OFlag) -> nix::Result<Option<OwnedFd>> {
    let mut digits = Line::new();
    digits.push_number(number);
    let mut buffer = PathBuffer::new();
    let path = buffer.join(&[b"/proc/", before, digits.as_bytes(), after])?;
    match file::open(path, flags, Mode::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(errno) if is_unseen(errno) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// What stands after `name` at the beginning of a line. Lines may be of any length: that of the
/// groups is.
fn field(before: &[u8], number: u32, after: &[u8], name: &[u8]) -> nix::Result<Option<Field>> {
    let Some(file) = open(before, number, after, OFlag::O_RDONLY)? else { return Ok(None) };
    let mut chunk = [0; 1024];
    let mut line = Field::new();
    loop {
        let length = match retry(|| nix::unistd::read(&file, &mut chunk)) {
            Ok(0) | Err(Errno::ESRCH) => return Ok(None),
            length => length?,
        };
        for &byte in chunk.get(..length).unwrap_or_default() {
            if byte != b'\n' {
                line.push(&[byte]);
                continue;
            }
            if let Some(rest) = line.as_bytes().strip_prefix(name) {
                let mut field = Field::new();
                field.push(rest);
                return Ok(Some(field));
            }
            line.truncate(0);
        }
    }
}

/// "/proc/self/task", which names the threads of this process.
pub fn tasks() -> nix::Result<Option<OwnedFd>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    match file::open(c"/proc/self/task", flags, Mode::empty()) {
        Ok(tasks) => Ok(Some(tasks)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The status of one of these threads, as far as there is room: how long it is. `None`: the thread has ended.
pub fn task_status(tasks: BorrowedFd, name: &CStr, to: &mut [u8]) -> nix::Result<Option<usize>> {
    let mut buffer = PathBuffer::new();
    let path = buffer.join(&[name.to_bytes(), b"/status"])?;
    let file = match file::open_at(tasks, path, OFlag::O_RDONLY, Mode::empty()) {
        Err(Errno::ENOENT | Errno::ESRCH) => return Ok(None),
        file => file?,
    };
    let mut length = 0;
    loop {
        let room = to.get_mut(length..).unwrap_or_default();
        match retry(|| nix::unistd::read(&file, room)) {
            Ok(0) => return Ok(Some(length)),
            Err(Errno::ESRCH) => return Ok(None),
            read => length += read?,
        }
    }
}

/// A folder of one of these threads: "root" is its "/", "cwd" its working directory. `None`: the thread has ended.
pub fn task_folder(tasks: BorrowedFd, name: &CStr, link: &[u8]) -> nix::Result<Option<Identity>> {
    let mut buffer = PathBuffer::new();
    let path = buffer.join(&[name.to_bytes(), b"/", link])?;
    match identity_at(tasks, path) {
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        identity => identity.map(Some),
    }
}

/// Calls `is_it` with the names in a directory until it says yes; whether it did.
pub fn find_name(
    directory: BorrowedFd,
    mut is_it: impl FnMut(&CStr) -> nix::Result<bool>,
) -> nix::Result<bool> {
    let mut buffer = [0u8; 2048];
    loop {
        let (start, room) = (buffer.as_mut_ptr(), buffer.len());
        let fd = directory.as_raw_fd();
        let length = retry(|| {
            // SAFETY: a writable buffer and its length.
            check(unsafe { libc::syscall(libc::SYS_getdents64, fd, start, room) } as i32)
        })?;
        if length == 0 {
            return Ok(false);
        }
        let mut rest = buffer.get(..length as usize).unwrap_or_default();
        while let Some((name, others)) = first_name(rest) {
            if is_it(name)? {
                return Ok(true);
            }
            rest = others;
        }
    }
}

/// Of a list of struct linux_dirent64, the first name and the others.
fn first_name(entries: &[u8]) -> Option<(&CStr, &[u8])> {
    const LENGTH_AT: usize = 16;
    const NAME_AT: usize = 19;
    let length = u16::from_ne_bytes(*entries.get(LENGTH_AT..)?.first_chunk()?);
    let (entry, others) = entries.split_at_checked(length.into())?;
    Some((CStr::from_bytes_until_nul(entry.get(NAME_AT..)?).ok()?, others))
}

/// What a link in /proc/PID/fd leads to, as the kernel knows it: a file server that does not answer
/// is not asked.
fn identity_at(at: BorrowedFd, name: &CStr) -> nix::Result<Identity> {
    match file::statx(at, name, libc::AT_STATX_DONT_SYNC, libc::STATX_INO) {
        // A filter that knows an older kernel's calls only.
        Err(Errno::ENOSYS | Errno::EPERM) => {
            nix::sys::stat::fstatat(at, name, AtFlags::empty()).map(Identity::from)
        }
        stat => stat.map(Identity::from),
    }
}
