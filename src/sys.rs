//! System calls that std and nix lack, or that panic or lose data there, a thin wrapper each.

pub mod arguments;
pub mod callback;
pub mod capability;
pub mod crash;
pub mod epoll;
pub mod file;
pub mod inotify;
pub mod kernel_file;
pub mod landlock;
pub mod limit;
pub mod load;
pub mod memory;
pub mod proc;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod stream;
pub mod thread;
pub mod time;
pub mod user;
pub mod vsock;

use libc::c_int;
use nix::errno::Errno;

use self::memory::Buffer;

/// What a system call returned: not negative, or -1 and errno.
#[inline(never)] // some fifty calls, one copy
pub fn check(result: c_int) -> nix::Result<c_int> {
    Errno::result(result)
}

/// Repeats a call that a signal interrupted before it did anything.
pub fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// What an errno means, in the language of the program. Looking it up may allocate.
#[inline(never)]
pub fn reason(errno: Errno) -> Buffer<128> {
    let mut reason = Buffer::new();
    let look_up = |start: *mut u8, room| {
        // SAFETY: a writable buffer and its length; strerror_r(3) ends it with NUL.
        unsafe { libc::strerror_r(errno as c_int, start.cast(), room) };
        // SAFETY: as above.
        unsafe { libc::strlen(start.cast()) }
    };
    // SAFETY: strerror_r(3) wrote as many bytes, and a NUL.
    unsafe { reason.fill(look_up) };
    reason
}
