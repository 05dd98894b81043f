//! The C face of typed environment variables.

use core::ffi::{CStr, c_char, c_int};

use super::boundary::{required, run};
use crate::{
    environment,
    error::{Error, Result},
};

/// # Safety
/// `name` is NULL or a C string, `value` is NULL or writable.
unsafe fn read<T>(
    name: *const c_char,
    value: *mut T,
    parse: impl FnOnce(&CStr, &'static CStr) -> Result<T>,
) -> c_int {
    run(|| {
        // SAFETY: our contract.
        let name = unsafe { required(name, "name is NULL") }?;
        // SAFETY: our contract.
        let value = unsafe { value.as_mut() }.ok_or_else(|| Error::invalid("value is NULL"))?;
        let Some(text) = environment::get(name) else { return Ok(0) };
        *value = parse(name, text)?;
        Ok(1)
    })
}

/// Read a switch from the environment.
///
/// The words are true, yes, on, 1 and false, no, off, 0, in upper or lower case. An empty value
/// counts as none.
///
/// @param name   the variable
/// @param value  holds the default, and gets 1 or 0 if the variable is set
/// @return       1 if the variable is set, 0 if not, or -1 with errno set and *value as it was:
///               EINVAL  its value is none of these words (rsd_last_error() names variable, value
///                       and what was expected), or name or value is NULL
///
/// Thread-safe as long as nobody changes the environment. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_env_bool(name: *const c_char, value: *mut c_int) -> c_int {
    let parse =
        |name: &CStr, text: &'static CStr| environment::boolean(name, text).map(c_int::from);
    // SAFETY: our contract is the same.
    unsafe { read(name, value, parse) }
}

/// Read a decimal number from the environment.
///
/// A sign may stand before it, and nothing else may stand before or behind it. An empty value counts
/// as none.
///
/// @param name     the variable
/// @param minimum  the smallest number allowed
/// @param maximum  the largest number allowed
/// @param value    holds the default, and gets the number if the variable is set
/// @return         1 if the variable is set, 0 if not, or -1 with errno set and *value as it was:
///                 EINVAL  its value is no number (rsd_last_error() names variable, value and what
///                         was expected), or name or value is NULL, or minimum is above maximum
///                 ERANGE  the number is outside of minimum and maximum
///
/// Thread-safe as long as nobody changes the environment. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_env_int(
    name: *const c_char,
    minimum: c_int,
    maximum: c_int,
    value: *mut c_int,
) -> c_int {
    if minimum > maximum {
        return run(|| Err(Error::invalid("minimum is above maximum")));
    }
    let parse =
        |name: &CStr, text: &'static CStr| environment::integer(name, text, minimum, maximum);
    // SAFETY: our contract is the same.
    unsafe { read(name, value, parse) }
}

/// Read a text from the environment. An empty value counts as none.
///
/// @param name   the variable
/// @param value  holds the default, and gets the text if the variable is set; it is that of the
///               environment, as from getenv(3)
/// @return       1 if the variable is set, 0 if not, or -1 with errno set and *value as it was:
///               EINVAL  name or value is NULL
///
/// Thread-safe as long as nobody changes the environment. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_env_string(name: *const c_char, value: *mut *const c_char) -> c_int {
    // SAFETY: our contract is the same.
    unsafe { read(name, value, |_, text| Ok(text.as_ptr())) }
}
