//! System calls that std and nix lack, or that panic or lose data there, a thin wrapper each.

pub mod callback;
pub mod crash;
pub mod epoll;
pub mod file;
pub mod load;
pub mod memory;
pub mod process;
pub mod signal;
pub mod socket;
pub mod thread;
pub mod time;
pub mod user;

use libc::c_int;
use nix::errno::Errno;

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

/// What an errno means, as strerror(3) says it.
pub fn meaning(errno: Errno, room: &mut [u8; 128]) -> &[u8] {
    // SAFETY: a writable buffer and its length; strerror_r(3) ends it with NUL.
    unsafe { libc::strerror_r(errno as c_int, room.as_mut_ptr().cast(), room.len()) };
    room.split(|&byte| byte == 0).next().unwrap_or_default()
}
