//! A function of the program's, with what the program wants it to be handed.

use core::ffi::c_void;

/// Made and called in ffi, and only kept elsewhere.
#[derive(Clone, Copy)]
pub struct Callback<F> {
    pub function: F,
    pub arg: *mut c_void,
}

// SAFETY: the pointer is only handed back to the program, which said that any thread may dispatch.
unsafe impl<F: Send> Send for Callback<F> {}
