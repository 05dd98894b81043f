//! The last line of a program that crashes.

use nix::sys::signal::Signal;

use crate::{
    error::{OrCannot, Result},
    sys::{
        crash::{self, Crash},
        memory::Buffer,
    },
};

/// `rsd_log_crashes`
pub fn record() -> Result<()> {
    crash::catch(report).or_cannot("have crashes recorded")
}

/// "crashed: SIGSEGV at address 0x10". Pid and name stand before it.
fn report(crash: &Crash) {
    let mut text = Buffer::<96>::new();
    text.push(b"crashed: ");
    let name = Signal::try_from(crash.signo).map_or("a signal", Signal::as_str);
    text.push(name.as_bytes());
    match crash.address {
        Some(address) => {
            text.push(b" at address 0x");
            text.push_hex(address as u64, 1);
        }
        None => drop(text.push(b", which was sent")),
    }
    super::write(libc::LOG_CRIT, text.as_bytes(), &[]);
}
