//! What the process was handed by the program that executed it, noted when this library is loaded:
//! later nobody can tell what was inherited from what the program did itself.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    ptr, slice,
    sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use nix::{
    fcntl::{OFlag, open},
    sys::stat::{FileStat, Mode},
};

use super::{file, signal, thread};
use crate::text;

/// An open file, told apart from a later one on the same number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl From<FileStat> for Identity {
    fn from(stat: FileStat) -> Self {
        Identity { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// A descriptor that was open at load.
#[derive(Clone, Copy)]
pub struct Inherited {
    pub fd: i32,
    pub identity: Identity,
}

static DESCRIPTORS: AtomicPtr<Inherited> = AtomicPtr::new(ptr::null_mut());
static DESCRIPTOR_COUNT: AtomicUsize = AtomicUsize::new(0);
static IGNORED: AtomicU64 = AtomicU64::new(0);
static BLOCKED: AtomicU64 = AtomicU64::new(0);

/// Descriptors from 3 up. None where /proc could not be read at load.
pub fn descriptors() -> Option<&'static [Inherited]> {
    let start = DESCRIPTORS.load(Relaxed);
    if start.is_null() {
        return None;
    }
    // SAFETY: `note` made this array of that length before main, and nobody writes to it since.
    Some(unsafe { slice::from_raw_parts(start, DESCRIPTOR_COUNT.load(Relaxed)) })
}

/// Whether the signal was ignored at load.
pub fn was_ignored(signo: i32) -> bool {
    IGNORED.load(Relaxed) & bit(signo) != 0
}

/// Whether the signal was blocked at load.
pub fn was_blocked(signo: i32) -> bool {
    BLOCKED.load(Relaxed) & bit(signo) != 0
}

fn bit(signo: i32) -> u64 {
    1u64.checked_shl(signo.wrapping_sub(1) as u32).unwrap_or(0)
}

/// Before the program's own constructors, which may open files.
#[used]
#[unsafe(link_section = ".init_array.00101")]
static NOTE: extern "C" fn() = note;

extern "C" fn note() {
    thread::make_key();
    let those = |is_member: &dyn Fn(i32) -> bool| {
        let members = (1..=signal::last()).filter(|&signo| is_member(signo));
        members.fold(0, |set, signo| set | bit(signo))
    };
    let is_ignored = |signo| signal::action(signo).is_ok_and(|action| action.is_ignore());
    let mask = signal::mask();
    IGNORED.store(those(&is_ignored), Relaxed);
    BLOCKED.store(those(&|signo| mask.contains(signo)), Relaxed);
    note_descriptors();
}

fn note_descriptors() {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let Ok(listing) = open(c"/proc/self/fd", flags, Mode::empty()) else {
        return;
    };
    let count = scan(&listing, &mut []);
    // SAFETY: calloc(3) has no preconditions. One entry more, so that an empty list is not NULL.
    let start = unsafe { libc::calloc(count + 1, size_of::<Inherited>()) }.cast::<Inherited>();
    if start.is_null() {
        return;
    }
    // SAFETY: calloc made room for that many, and all zeros is a valid Inherited.
    let list = unsafe { slice::from_raw_parts_mut(start, count) };

    // SAFETY: lseek(2) takes no pointers.
    unsafe { libc::lseek(listing.as_raw_fd(), 0, libc::SEEK_SET) };
    DESCRIPTOR_COUNT.store(scan(&listing, list).min(count), Relaxed);
    DESCRIPTORS.store(start, Relaxed);
}

/// What is open on this number now.
pub fn identity(fd: i32) -> Option<Identity> {
    let stat = file::fstat(file::borrowed(fd)?).ok()?;
    Some(stat.into())
}

/// Reads /proc/self/fd and notes as many descriptors from 3 up as `list` has room for. How many
/// there are. Without readdir(3), which allocates.
#[inline(never)]
fn scan(directory: &OwnedFd, list: &mut [Inherited]) -> usize {
    let mut count = 0;
    let mut buffer = [0u8; 4096];
    loop {
        // SAFETY: the pointer and the length are those of one array, which lives across the call.
        let length = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                directory.as_raw_fd(),
                buffer.as_mut_ptr(),
                buffer.len(),
            )
        };
        let Some(mut entries) = usize::try_from(length)
            .ok()
            .filter(|&length| length > 0)
            .and_then(|length| buffer.get(..length))
        else {
            return count;
        };
        // struct linux_dirent64: inode (8 bytes), offset (8), record length (2), type (1), name.
        while let Some(&[low, high]) = entries.get(16..18) {
            let record_length = usize::from(u16::from_ne_bytes([low, high]));
            let name = entries.get(19..).unwrap_or_default();
            let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
            if let Some(Ok(fd)) = text::number(name).map(i32::try_from) {
                if fd > 2 && fd != directory.as_raw_fd() {
                    if let (Some(entry), Some(identity)) = (list.get_mut(count), identity(fd)) {
                        *entry = Inherited { fd, identity };
                    }
                    count += 1;
                }
            }
            match entries.get(record_length..) {
                Some(rest) if record_length > 0 => entries = rest,
                _ => break,
            }
        }
    }
}

/// The value of an environment variable, as long as nobody changes the environment.
pub fn environment(name: &core::ffi::CStr) -> Option<&core::ffi::CStr> {
    // SAFETY: `name` is a C string.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: not NULL, so getenv(3) returned a C string.
    Some(unsafe { core::ffi::CStr::from_ptr(value) })
}
