//! The control socket, by which a running daemon is asked and told.

pub mod client;
