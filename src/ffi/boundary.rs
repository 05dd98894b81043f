//! Where errors become errno and `rsd_last_error`, and pointers from C become references.

use core::{
    ffi::{CStr, c_char, c_int},
    slice,
};

use nix::errno::Errno;

use crate::{
    error::{self, Error, Result},
    sys::thread,
    text,
};

/// The sentence that goes with the last failure.
///
/// @return what could not be done, on which path, why, and who is in the way, in one line without a
///         final period: "cannot open /run/x.pid: Permission denied". Empty before the first
///         failure in this thread. It stays valid until the next failing call in this thread.
///
/// Thread-safe: each thread has its own. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_last_error() -> *const c_char {
    thread::with_own(|own| own.given.as_ptr().cast()).unwrap_or(c"out of memory".as_ptr())
}

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

/// As in pthread.h, of all C libraries of Linux.
const PTHREAD_CANCEL_DISABLE: c_int = 1;

/// Runs a call. Success leaves errno as it was; a failure sets it and the sentence, and is -1. The
/// thread is not cancelled meanwhile (pthread_cancel(3)): it may have a lock.
pub fn run(call: impl FnOnce() -> Result<c_int>) -> c_int {
    let mut result = Ok(-1);
    undisturbed(|| {
        result = call();
        result.as_ref().err().map(note);
    });
    result.unwrap_or_else(|error| {
        error.0.set();
        -1
    })
}

/// Runs a call that cannot fail, with errno left as it was and without the thread's being cancelled.
/// Async-signal-safe.
pub fn undisturbed(call: impl FnOnce()) {
    let errno_before = Errno::last_raw();
    let mut state = 0;
    // SAFETY: `state` is writable.
    unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &mut state) };
    call();
    // SAFETY: the state that the call above told.
    unsafe { pthread_setcancelstate(state, &mut 0) };
    Errno::set_raw(errno_before);
}

/// What `rsd_last_error` tells from now on.
#[inline(never)]
pub fn note(error: &Error) {
    let told = error::told(error);
    thread::with_own(|own| {
        text::join(&mut own.given, &[told.as_bytes(), b"\0"]);
        // Cut: the last byte is always NUL.
        if let Some(end) = own.given.last_mut() {
            *end = 0;
        }
    });
}

/// A string that C may leave out.
///
/// # Safety
/// `string` is NULL or a C string that lives as long as the call.
#[inline(never)]
pub unsafe fn optional<'a>(string: *const c_char) -> Option<&'a CStr> {
    if string.is_null() {
        return None;
    }
    // SAFETY: not NULL, so by our contract a C string that lives for 'a.
    Some(unsafe { CStr::from_ptr(string) })
}

/// A string that must be there.
///
/// # Safety
/// As for `optional`.
pub unsafe fn required<'a>(string: *const c_char, missing: &str) -> Result<&'a CStr> {
    // SAFETY: the same contract.
    unsafe { optional(string) }.ok_or_else(|| Error::invalid(missing))
}

/// No struct of ours will ever be longer than a page.
const SIZE_MAX: usize = 4096;

/// Copies what the program knows of a struct of options; what it does not know is 0. What we do not
/// know must be 0.
///
/// # Safety
/// `options` is NULL or points to as many bytes as its first member says. Zeros are valid for T,
/// which begins with its size.
pub unsafe fn options<T>(options: *const T) -> Result<T> {
    // SAFETY: our contract.
    let mut known: T = unsafe { core::mem::zeroed() };
    // SAFETY: our contract; `known` has room for as many bytes as it has.
    unsafe { copy_options(options.cast(), (&raw mut known).cast(), size_of::<T>()) }?;
    Ok(known)
}

/// # Safety
/// As `options`, and `to` has `room` bytes.
#[inline(never)]
unsafe fn copy_options(from: *const u8, to: *mut u8, room: usize) -> Result<()> {
    if from.is_null() {
        return Ok(());
    }
    // SAFETY: not NULL, so there is a size.
    let size = unsafe { from.cast::<usize>().read() };
    if size < size_of::<usize>() {
        return Err(Error::invalid("the options lack their size"));
    }
    let too_new: [&[u8]; 1] = [b"the options are of a newer version than this library"];
    if size > SIZE_MAX {
        return Err(Error::new(Errno::E2BIG, &too_new));
    }
    // SAFETY: our contract.
    let given = unsafe { slice::from_raw_parts(from, size) };
    if given.get(room..).unwrap_or_default().iter().any(|&byte| byte != 0) {
        return Err(Error::new(Errno::E2BIG, &too_new));
    }
    // SAFETY: both are at least that long, and the struct takes any bytes.
    unsafe { core::ptr::copy_nonoverlapping(from, to, size.min(room)) };
    Ok(())
}

/// The size of a struct that we are to fill in.
///
/// # Safety
/// `state` is NULL or a struct that begins with its size.
pub unsafe fn size_of_state<T>(state: *mut T) -> Result<usize> {
    // SAFETY: our contract.
    match unsafe { state.cast::<usize>().as_ref() } {
        None => Err(Error::invalid("state is NULL")),
        Some(&size) if size < size_of::<T>() => Err(Error::invalid("the state is too small")),
        Some(&size) => Ok(size),
    }
}
