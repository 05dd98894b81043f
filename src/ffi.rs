//! The C interface: each function converts, calls its room and converts back.

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
