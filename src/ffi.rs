//! The C interface: each function converts, calls its room and converts back.

#![allow(clippy::missing_safety_doc)] // the header text says to C what the caller owes

mod boundary;
mod daemonize;
mod pidfile;
mod signals;
mod version;

pub use boundary::rsd_last_error;
pub use daemonize::*;
pub use pidfile::*;
pub use signals::*;
pub use version::*;
