//! Where the mounts of the process show a cgroup.

use core::ffi::CStr;
use std::os::fd::AsFd;

use nix::{errno::Errno, fcntl::AT_FDCWD};

use super::Path;
use crate::{
    error::{Error, OrCannot, Result},
    sys::{
        file::{OwnedFd, PathBuffer},
        kernel_file,
    },
};

const MOUNTS: &CStr = c"/proc/self/mountinfo";

/// The folder of a group, by some mount that shows it.
pub fn find_folder(group: &[u8]) -> Result<OwnedFd> {
    let mut folder = None;
    let mut failure = None;
    let found = kernel_file::find_line(MOUNTS, &mut |line| {
        let mut path = PathBuffer::new();
        let Some(path) = shown_at(line, group, &mut path) else { return false };
        match kernel_file::open_folder(AT_FDCWD, path) {
            Ok(opened) if kernel_file::is_cgroup2(opened.as_fd()) => folder = Some(opened),
            // Something else is mounted over it.
            Ok(_) => {}
            Err(errno) => failure = Some(Error::cannot_at(errno, "open", path.to_bytes())),
        }
        folder.is_some()
    });
    found.or_cannot_at("read", MOUNTS)?;
    folder.ok_or_else(|| {
        failure.unwrap_or_else(|| {
            let pieces: [&[u8]; 3] =
                [b"the cgroup ", group, b" cannot be seen: no mount of cgroup2 shows it"];
            Error::new(Errno::EOPNOTSUPP, &pieces)
        })
    })
}

/// Where a mount of cgroup2, a line of /proc/self/mountinfo, shows the group.
fn shown_at<'a>(line: &[u8], group: &[u8], path: &'a mut PathBuffer) -> Option<&'a CStr> {
    let mut fields = line.split(|&byte| byte == b' ');
    let root = decoded(fields.nth(3)?);
    let place = decoded(fields.next()?);
    fields.find(|&field| field == b"-")?;
    if fields.next()? != b"cgroup2" {
        return None;
    }
    let root = root.as_bytes();
    let rest = group.strip_prefix(root.strip_suffix(b"/").unwrap_or(root))?;
    // Outside of what is mounted: /../a is above the cgroup namespace, /ab is not below /a.
    let is_below = rest.is_empty() || rest.starts_with(b"/");
    if !is_below || rest == b"/.." || rest.starts_with(b"/../") {
        return None;
    }
    path.join(&[place.as_bytes(), rest]).ok()
}

/// Blanks and the like stand as \040 in lists of mounts.
fn decoded(field: &[u8]) -> Path {
    let mut path = Path::new();
    let mut rest = field;
    loop {
        match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..] => {
                path.push(&[((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0')]);
                rest = behind;
            }
            [byte, behind @ ..] => {
                path.push(&[*byte]);
                rest = behind;
            }
            [] => return path,
        }
    }
}
