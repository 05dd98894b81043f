//! System calls that std and nix lack, or that panic or lose data there, a thin wrapper each.

pub mod callback;
pub mod crash;
pub mod epoll;
pub mod file;
pub mod inotify;
pub mod load;
pub mod memory;
pub mod proc;
pub mod process;
pub mod signal;
pub mod socket;
pub mod stream;
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
