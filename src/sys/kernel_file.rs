//! Files by which the kernel tells and is told something: /proc, cgroups. And their folders.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag},
    sys::stat::Mode,
    unistd::UnlinkatFlags,
};

use super::{
    check,
    file::{self, OwnedFd},
    memory::Buffer,
    retry,
};

/// The longest line that is read: of /proc/self/mountinfo, with two paths.
const LINE_MAX: usize = 3 * libc::PATH_MAX as usize;

/// A file that is read as a whole: one value, or a few words.
pub type Content = Buffer<512>;

/// A folder to name others by. It cannot be read.
pub fn open_folder(at: BorrowedFd, path: &CStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    file::open_at(at, path, flags, Mode::empty())
}

/// From its start, as much as there is room for, without the newline or the NUL at its end.
#[inline(never)]
pub fn ask<'a>(file: BorrowedFd, room: &'a mut [u8]) -> nix::Result<&'a [u8]> {
    let length = retry(|| nix::sys::uio::pread(file, room, 0))?;
    let mut content = room.get(..length).unwrap_or_default();
    while let [rest @ .., b'\n' | b'\0'] = content {
        content = rest;
    }
    Ok(content)
}

/// With one call of write(2), which such a file takes as one word. EIO if that did not take all of it.
#[inline(never)]
pub fn tell(file: BorrowedFd, word: &[u8]) -> nix::Result<()> {
    match file::write(file, word)? {
        length if length == word.len() => Ok(()),
        _ => Err(Errno::EIO),
    }
}

#[inline(never)]
pub fn read(at: BorrowedFd, path: &CStr) -> nix::Result<Content> {
    let file = file::open_at(at, path, OFlag::O_RDONLY, Mode::empty())?;
    let mut content = Content::new();
    content.push(ask(file.as_fd(), &mut [0; 512])?);
    Ok(content)
}

#[inline(never)]
pub fn write(at: BorrowedFd, path: &CStr, word: &[u8]) -> nix::Result<()> {
    let file = file::open_at(at, path, OFlag::O_WRONLY, Mode::empty())?;
    tell(file.as_fd(), word)
}

/// Calls `is_it` with each line of a file until it says yes; whether it did. What is longer than any line of
/// interest is passed over.
#[inline(never)]
pub fn find_line(path: &CStr, is_it: &mut dyn FnMut(&[u8]) -> bool) -> nix::Result<bool> {
    let file = file::open_at(AT_FDCWD, path, OFlag::O_RDONLY, Mode::empty())?;
    let mut chunk = [0; 1024];
    let mut line = Buffer::<LINE_MAX>::new();
    let mut fits = true;
    loop {
        let length = retry(|| nix::unistd::read(&file, &mut chunk))?;
        if length == 0 {
            return Ok(false);
        }
        for &byte in chunk.get(..length).unwrap_or_default() {
            if byte != b'\n' {
                fits &= line.push(&[byte]);
                continue;
            }
            if fits && is_it(line.as_bytes()) {
                return Ok(true);
            }
            line.truncate(0);
            fits = true;
        }
    }
}

pub fn make_folder(at: BorrowedFd, name: &CStr) -> nix::Result<()> {
    nix::sys::stat::mkdirat(at, name, Mode::from_bits_truncate(0o755))
}

pub fn remove_folder(at: BorrowedFd, name: &CStr) -> nix::Result<()> {
    nix::unistd::unlinkat(at, name, UnlinkatFlags::RemoveDir)
}

/// Whether it is of a cgroup file system of version 2, whatever a list of mounts says that stands there.
pub fn is_cgroup2(folder: BorrowedFd) -> bool {
    use std::os::fd::AsRawFd;
    // SAFETY: all zeros is a valid statfs: integers.
    let mut stat: libc::statfs = unsafe { core::mem::zeroed() };
    // SAFETY: `stat` is writable and lives across the call.
    let result = unsafe { libc::fstatfs(folder.as_raw_fd(), &mut stat) };
    check(result).is_ok() && stat.f_type == libc::CGROUP2_SUPER_MAGIC
}
