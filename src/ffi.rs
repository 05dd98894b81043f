//! The C interface: each function converts, calls its room and converts back.

#![allow(clippy::missing_safety_doc)] // the header text says to C what the caller owes

mod access;
mod boundary;
mod cgroup;
mod children;
mod command;
mod command_line;
mod confinement;
mod control;
mod daemonize;
mod environment;
mod keep_alive;
mod lifecycle;
mod limits;
mod log;
mod main_loop;
mod notify;
mod pidfile;
mod privileges;
mod promises;
mod reload;
mod sandbox;
mod signals;
mod sockets;
mod upgrade;
mod version;

pub use access::*;
pub use boundary::rsd_last_error;
pub use cgroup::*;
pub use children::*;
pub use command::*;
pub use command_line::*;
pub use confinement::*;
pub use control::*;
pub use daemonize::*;
pub use environment::*;
pub use keep_alive::*;
pub use lifecycle::*;
pub use limits::*;
pub use log::*;
pub use main_loop::*;
pub use notify::*;
pub use pidfile::*;
pub use privileges::*;
pub use promises::*;
pub use reload::*;
pub use sandbox::*;
pub use signals::*;
pub use sockets::*;
pub use upgrade::*;
pub use version::*;
