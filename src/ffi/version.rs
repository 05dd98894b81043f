//! The version of the library.

use core::ffi::c_char;

/// The version of the library that runs, which may be newer than the header's macros.
///
/// @return "MAJOR.MINOR.PATCH"
///
/// Thread-safe and async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
