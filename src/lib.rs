//! rsdaemon: what a C program needs to be a daemon, behind a C interface.
//!
//! `ffi` is the C face of each room and decides nothing. The rooms hold one concept each, in safe
//! Rust. `sys` holds the system calls that std and nix lack. Arrows go down only:
//!
//! ```text
//!   ffi/daemonize       ffi/pidfile   ffi/signals   ffi/main_loop   ffi/children, command
//!         │                  │             │              │                  │
//!     daemonize ──► launch ──┼─► channel   │          main_loop ─────────────┤
//!      │  │  │ │             │             │          │   │              command ──► stdio
//!      │  │  │ └─────────► pidfile         │          │   │                  │
//!      │  │  └─► stdio                     │          │   │             children
//!      │  └────► privileges                │          │   │              │   │
//!      └───────► inherited              signals ◄─────┘   └─► poller ◄───┘   └─► signals
//! ```
//!
//! `access` (files and ports), `confinement`, `environment` and `limits` stand alone below their ffi; `cgroup` sees `limits` (for amounts). `log` has an ffi of its own, too; it sees `signals` (on which it is
//! reopened), `poller` (for the lines of children), `privileges` (a file's owner) and `stdio`, and is seen by
//! `main_loop`, which has it do that, and by `daemonize`, whose stdout it may be, and which leaves the terminal.
//! ffi also calls the program's callbacks, for `main_loop`.
//!
//! `control` is told by `main_loop` when a client of the control socket wants something. It sees what a client may
//! ask for (`signals`, `log`, `daemonize`, `status`), and for its socket `poller` and `unix_socket`, which sees `pidfile`
//! (its lock is one) and `privileges`; `daemonize` asks it only whether it is open. `reload` sees `status` and tells `control` the outcome.
//!
//! `lifecycle` signals and stops a daemon from outside and sees `pidfile`. `control::client` asks one, and sees no
//! room. `command_line` sees both and `daemonize`; it alone writes to the program's stdout and stderr, as its call
//! is for.
//!
//! `privileges` has an ffi of its own, too, for what is more than the options of `daemonize`; it sees no room.
//!
//! `detach` decides between background and foreground; `sockets` are those to listen on, passed or bound, and see
//! `unix_socket`, as `control` does. `notify` tells the service manager; it is told things by `daemonize`, `launch`,
//! `reload`, `status`, `main_loop` and `watchdog`, which the main loop feeds.
//!
//! `upgrade` plays the launcher of a process that is to take this daemon's place. That finds in `handed` what this one
//! gives away: `pidfile`, `unix_socket` and `sockets` take it from there, and `daemonize` succeeds instead of forking.
//!
//! `keep_alive` is the parent of a worker: it does what a launcher does for `daemonize`, and for as long as the daemon runs.
//! `worker` is the other side: `daemonize` and `notify` ask it first, and what they would say goes through it to the
//! parent, by the words of `channel`.
//!
//! `promises` stands alone below its ffi; the process that records them writes to the `log`.
//!
//! `sandbox` sees `access`, `cgroup`, `confinement`, `limits`, `privileges` and `promises`; `daemonize` and `command` have
//! it applied, and `control` tells its report.
//!
//! A forked child has rooms of its own: what it inherited of its parent's loop, children, commands
//! and clients is dropped when it is first asked for.
//!
//! Every room sees `deadline`, `error`, `kept`, `sys` and `text`; they see no room. Nothing here allocates between
//! fork and the end of the daemon's setup, and nothing can panic: the shipping build refuses to link
//! if anything could.

#![deny(unsafe_code, missing_docs)]
// Nothing can panic, allocate unasked or print. The link of the shipping form checks it again.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::integer_division,
    clippy::unreachable,
    clippy::todo,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod access;
mod cgroup;
mod channel;
mod children;
mod command;
mod command_line;
mod confinement;
mod control;
mod daemonize;
mod deadline;
mod detach;
mod environment;
mod error;
#[allow(unsafe_code)]
mod ffi;
mod handed;
mod inherited;
mod keep_alive;
mod kept;
mod launch;
mod lifecycle;
mod limits;
mod log;
mod main_loop;
mod notify;
mod pidfile;
mod poller;
mod privileges;
#[cfg_attr(
    not(all(
        any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"),
        target_endian = "little",
        target_pointer_width = "64"
    )),
    path = "promises/none.rs"
)]
mod promises;
mod reload;
mod sandbox;
mod signals;
mod sockets;
mod status;
mod stdio;
#[allow(unsafe_code)]
mod sys;
mod text;
mod unix_socket;
mod upgrade;
mod watchdog;
mod worker;

pub use ffi::*;
