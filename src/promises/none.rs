//! Promises on a processor for which no filter is made.

use core::ffi::CStr;

use nix::errno::Errno;

use crate::{
    error::{Error, Result},
    sys::process::Scope,
};

/// What happens to a call that was not promised.
#[allow(missing_docs)]
pub enum Otherwise {
    Refuse,
    Kill,
    Record,
}

/// Is never made.
pub struct Promises;

impl Promises {
    pub fn prepare(_: &CStr, _: Otherwise) -> Result<Self> {
        let text: &[u8] =
            b"cannot promise: the filter is only made for x86-64, aarch64 and riscv64";
        Err(Error::new(Errno::EOPNOTSUPP, &[text]))
    }

    pub fn apply(&self, _: Scope) -> Result<()> {
        Ok(())
    }
}
