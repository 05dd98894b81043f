//! What the process was handed by the program that executed it, noted when this library is loaded:
//! later nobody can tell what was inherited from what the program did itself.

use std::{
    ptr, slice,
    sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use nix::sys::stat::FileStat;

use super::{file, signal, thread};

/// An open file, told apart from a later one on the same number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
}

impl From<FileStat> for Identity {
    fn from(stat: FileStat) -> Self {
        Identity { device: stat.st_dev, inode: stat.st_ino }
    }
}

impl From<libc::statx> for Identity {
    fn from(stat: libc::statx) -> Self {
        let device = libc::makedev(stat.stx_dev_major, stat.stx_dev_minor);
        Identity { device, inode: stat.stx_ino }
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

/// Descriptors from 3 up.
pub fn descriptors() -> &'static [Inherited] {
    let start = DESCRIPTORS.load(Relaxed);
    if start.is_null() {
        return &[];
    }
    // SAFETY: `note` made this array of that length before main, and nobody writes to it since.
    unsafe { slice::from_raw_parts(start, DESCRIPTOR_COUNT.load(Relaxed)) }
}

/// Whether the signal was ignored at load.
pub fn was_ignored(signo: i32) -> bool {
    IGNORED.load(Relaxed) & bit(signo) != 0
}

/// Whether the signal was blocked at load.
pub fn was_blocked(signo: i32) -> bool {
    BLOCKED.load(Relaxed) & bit(signo) != 0
}

/// The program has set this signal up itself: what was inherited does not matter any more.
pub fn forget_signal(signo: i32) {
    IGNORED.fetch_and(!bit(signo), Relaxed);
    BLOCKED.fetch_and(!bit(signo), Relaxed);
}

/// That of a signal in a set.
pub fn bit(signo: i32) -> u64 {
    1u64.checked_shl(signo.wrapping_sub(1) as u32).unwrap_or(0)
}

/// Before the program's own constructors, which may open files.
#[used]
#[unsafe(link_section = ".init_array.00101")]
static NOTE: extern "C" fn() = note;

extern "C" fn note() {
    thread::make_key();
    let those = |is_member: &dyn Fn(i32) -> bool| {
        let members = signal::STANDARD.filter(|&signo| is_member(signo));
        members.fold(0, |set, signo| set | bit(signo))
    };
    let is_ignored = |signo| signal::action(signo).is_ok_and(|action| action.is_ignore());
    let mask = signal::mask();
    IGNORED.store(those(&is_ignored), Relaxed);
    BLOCKED.store(those(&|signo| mask.contains(signo)), Relaxed);
    note_descriptors();
}

/// How many numbers are looked at with one poll(2).
const CHUNK: usize = 64;
/// Where the search ends when the kernel told how many descriptors there are, and when it did not.
const LAST_NUMBER: i32 = 1 << 20;
const LAST_NUMBER_UNTOLD: i32 = 1 << 16;

/// Without a listing of /proc/self/fd, which would cost more than all the rest of a start.
fn note_descriptors() {
    // Since Linux 6.2 the size of this directory is the number of open descriptors.
    let count = nix::sys::stat::stat(c"/proc/self/fd").map_or(0, |stat| stat.st_size);
    let (mut missing, last) =
        if count > 0 { (count, LAST_NUMBER) } else { (i64::MAX, LAST_NUMBER_UNTOLD) };
    let chunk = (file::limit() as usize).clamp(1, CHUNK);

    let is_handed = is_handed();
    let mut list: *mut Inherited = ptr::null_mut();
    let mut noted = 0;
    let mut first = 0;
    while missing > 0 && first < last {
        let Ok(is_open) = file::are_open::<CHUNK>(first, chunk) else {
            break;
        };
        for (fd, _) in (first..).zip(is_open).filter(|(_, is_open)| *is_open) {
            missing -= 1;
            let Some(identity) = identity(fd).ok().filter(|_| fd > 2) else {
                continue;
            };
            if is_handed {
                let _ = file::set_close_on_exec(fd);
            }
            // SAFETY: `list` is NULL or realloc(3) made it.
            let longer =
                unsafe { libc::realloc(list.cast(), (noted + 1) * size_of::<Inherited>()) };
            if longer.is_null() {
                missing = 0; // without memory nothing more is noted
                break;
            }
            list = longer.cast();
            // SAFETY: realloc(3) made room for that many entries.
            let entry = unsafe { list.add(noted) };
            // SAFETY: as above.
            unsafe { entry.write(Inherited { fd, identity }) };
            noted += 1;
        }
        first += chunk as i32;
    }
    DESCRIPTOR_COUNT.store(noted, Relaxed);
    DESCRIPTORS.store(list, Relaxed);
}

/// Whether a daemon before this process hands over what is open: programs that are executed have no part in it.
fn is_handed() -> bool {
    let told =
        environment(crate::handed::VARIABLE).map_or(b"".as_slice(), core::ffi::CStr::to_bytes);
    let pid = told.rsplit(|&byte| byte == b':').next().and_then(crate::text::number);
    pid.is_some_and(|pid| i64::from(pid) == i64::from(nix::unistd::getpid().as_raw()))
}

/// What is open on this number now.
pub fn identity(fd: i32) -> nix::Result<Identity> {
    let fd = file::borrowed(fd).ok_or(nix::errno::Errno::EBADF)?;
    Ok(file::fstat(fd)?.into())
}

/// As `identity`, where it is written to. Who asks for the times, too, as fstat(2) does, has the next write(2) note a
/// new one, which takes ext4 longer than the write.
pub fn identity_of_written(fd: i32) -> nix::Result<Identity> {
    use nix::errno::Errno::EBADF;
    let open = file::borrowed(fd).ok_or(EBADF)?;
    match file::statx(open, c"", libc::AT_EMPTY_PATH, libc::STATX_INO) {
        Ok(stat) => Ok(stat.into()),
        Err(EBADF) => Err(EBADF),
        // It does not exist before Linux 4.11, and filters of that time refuse it.
        Err(_) => identity(fd),
    }
}

/// The value of an environment variable, as long as nobody changes the environment.
pub fn environment(name: &core::ffi::CStr) -> Option<&'static core::ffi::CStr> {
    // SAFETY: `name` is a C string.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: not NULL, so getenv(3) returned a C string.
    Some(unsafe { core::ffi::CStr::from_ptr(value) })
}
