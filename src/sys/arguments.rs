//! The arguments of main, of which some are taken out.

use core::{
    cell::Cell,
    ffi::{CStr, c_char, c_int},
    slice,
};

pub struct MainArguments<'a> {
    count: &'a mut c_int,
    /// One more than `count` says: the last is NULL.
    all: &'a mut [*mut c_char],
}

impl<'a> MainArguments<'a> {
    /// `None`: NULL, or a negative number.
    ///
    /// # Safety
    /// Both are NULL or as main() was given them, for 'a.
    pub unsafe fn new(argc: *mut c_int, argv: *mut *mut c_char) -> Option<Self> {
        // SAFETY: our contract.
        let count = unsafe { argc.as_mut() }?;
        if *count < 0 || argv.is_null() {
            return None;
        }
        // SAFETY: our contract: so many arguments, and a NULL.
        let all = unsafe { slice::from_raw_parts_mut(argv, *count as usize + 1) };
        Some(MainArguments { count, all })
    }

    /// For main's like.
    pub fn count(&self) -> c_int {
        *self.count
    }

    pub fn start(&self) -> *mut *mut c_char {
        self.all.as_ptr().cast_mut()
    }

    /// `None`: there are not so many.
    pub fn get(&self, index: usize) -> Option<&'a CStr> {
        let argument = *self.all.get(index)?;
        if argument.is_null() {
            return None;
        }
        // SAFETY: not NULL, so by the contract of `new` a C string that lives for 'a.
        Some(unsafe { CStr::from_ptr(argument) })
    }

    /// Those behind it, and the NULL, move up.
    pub fn remove(&mut self, index: usize) {
        if self.get(index).is_none() {
            return;
        }
        let rest = Cell::from_mut(self.all.get_mut(index..).unwrap_or_default());
        for pair in rest.as_slice_of_cells().windows(2) {
            if let [here, next] = pair {
                here.set(next.get());
            }
        }
        *self.count -= 1;
    }
}
