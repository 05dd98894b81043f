//! A service manager's end of NOTIFY_SOCKET.

use std::{
    os::{
        fd::{AsRawFd, FromRawFd},
        unix::net::UnixDatagram,
    },
    path::PathBuf,
    process::Command,
};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use super::{DEADLINE, Folder, command, program};

pub struct Manager {
    pub folder: Folder,
    pub program: PathBuf,
    pub socket: UnixDatagram,
}

impl Manager {
    pub fn new() -> Self {
        let folder = Folder::new();
        let socket = UnixDatagram::bind(folder.path("notify")).unwrap();
        Manager::with(folder, socket)
    }

    pub fn with(folder: Folder, socket: UnixDatagram) -> Self {
        let program = program(&folder, "supervised");
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Manager { folder, program, socket }
    }

    /// Of tests/programs/supervised.c, told of the socket.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.program);
        command.env("NOTIFY_SOCKET", self.folder.path("notify"));
        command.args(arguments).current_dir(&self.folder);
        command
    }

    /// The next message.
    #[track_caller]
    pub fn told(&self) -> String {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("nothing is told");
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    /// The next message, which must come from this process. SO_PASSCRED is set.
    #[track_caller]
    pub fn told_by(&self, pid: i32) -> String {
        let mut message = [0; 4096];
        let mut space = nix::cmsg_space!(nix::libc::ucred, [std::os::fd::RawFd; 1]);
        let mut pieces = [std::io::IoSliceMut::new(&mut message)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_CMSG_CLOEXEC);
        let received = recvmsg::<()>(fd, &mut pieces, Some(&mut space), flags).expect("nothing");
        let mut sender = None;
        for passed in received.cmsgs().unwrap() {
            match passed {
                ControlMessageOwned::ScmCredentials(credentials) => {
                    sender = Some(credentials.pid())
                }
                // SAFETY: it is ours, and closed.
                ControlMessageOwned::ScmRights(fds) => fds
                    .into_iter()
                    .for_each(|fd| drop(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) })),
                _ => {}
            }
        }
        assert_eq!(sender, Some(pid));
        let length = received.bytes;
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    #[track_caller]
    pub fn assert_told(&self, message: &str) {
        assert_eq!(self.told(), message);
    }

    #[track_caller]
    pub fn assert_told_no_more(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let mut message = [0; 4096];
        if let Ok(length) = self.socket.recv(&mut message) {
            panic!("told: {}", String::from_utf8_lossy(&message[..length]));
        }
        self.socket.set_nonblocking(false).unwrap();
    }
}
