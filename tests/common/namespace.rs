//! A mount namespace, for programs that use what belongs to the machine: /dev/log.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
};

use nix::libc;

use super::{Child, is_root, skip};

/// A mount namespace with a /dev and a /run of its own. It ends with the test.
pub struct Namespace {
    holder: Child,
    namespace: OwnedFd,
}

const SET_UP: &str = "
    mount -t tmpfs tmpfs /run
    mkdir /run/dev
    mount -t tmpfs -o mode=755 tmpfs /run/dev
    for device in null zero full random urandom tty; do
        touch /run/dev/$device
        mount --bind /dev/$device /run/dev/$device
    done
    ln -s /proc/self/fd /run/dev/fd
    mount --move /run/dev /dev
    echo ready
    read until_the_test_ends";

impl Namespace {
    /// None, and said so, where it cannot be made.
    pub fn new() -> Option<Self> {
        if !is_root() {
            skip("needs root");
            return None;
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", SET_UP]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = Child(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(holder.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line != "ready\n" {
            skip("no mount namespace can be made");
            return None;
        }
        let namespace = File::open(format!("/proc/{}/ns/mnt", holder.pid())).unwrap().into();
        Some(Namespace { holder, namespace })
    }

    pub fn enter<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let namespace = self.namespace.as_raw_fd();
        // SAFETY: setns(2) is async-signal-safe.
        unsafe {
            command.pre_exec(move || match libc::setns(namespace, libc::CLONE_NEWNS) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            })
        }
    }

    /// Of a process in it.
    pub fn pid(&self) -> i32 {
        self.holder.pid()
    }
}
