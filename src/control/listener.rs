//! The socket that clients connect to, and which of them may do what.

use core::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::{errno::Errno, sys::stat::Mode, unistd::geteuid};

use crate::{
    error::{OrCannot, Result},
    handed,
    kept::Kept,
    poller::{self, Source},
    sockets,
    sys::{
        file::OwnedFd,
        stream::{self, Address, Peer},
    },
    unix_socket::{self, Bound, Permissions},
};

/// Whom the kernel shows instead of users and groups from outside of a user namespace.
const OVERFLOW_ID: u32 = 65534;

/// What a client may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Everything,
    Queries,
}

pub struct Listener {
    socket: Kept,
    permissions: Permissions,
    /// None: an abstract name.
    path: Option<Bound>,
    /// There is no room for a client now.
    is_paused: bool,
}

impl Listener {
    pub fn open(path: &CStr, mode: Mode, owner: Option<&CStr>) -> Result<Self> {
        let permissions = Permissions::find(mode, owner)?;
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
        let (socket, path) = match path.to_bytes() {
            [b'@', name @ ..] => {
                let bound = Address::name(name)
                    .and_then(|address| sockets::bind_at(&address, kind, Some(stream::BACKLOG)));
                (bound.or_cannot_at("bind", path)?, None)
            }
            _ => {
                let bound = unix_socket::bind(path, kind, &permissions, Some(stream::BACKLOG))?;
                (bound.0, Some(bound.1))
            }
        };
        Ok(Listener { socket, permissions, path, is_paused: false })
    }

    /// What a client may do. None: nothing.
    fn access(&self, client: BorrowedFd, peer: &Peer) -> Option<Access> {
        let Permissions { mode, uid, gid, .. } = &self.permissions;
        let is_own =
            peer.uid != OVERFLOW_ID && (peer.uid == uid.as_raw() || peer.uid == geteuid().as_raw());
        if is_own || peer.uid == 0 {
            return Some(Access::Everything);
        }
        let group = gid.as_raw();
        let is_in_group =
            || group != OVERFLOW_ID && (peer.gid == group || stream::is_peer_in(client, group));
        // As for a file: who is in the group is none of the others.
        if is_in_group() {
            return mode.contains(Mode::S_IWGRP).then_some(Access::Everything);
        }
        mode.contains(Mode::S_IWOTH).then_some(Access::Queries)
    }

    /// A client that waits, and what it may do. One whose user nobody knows is closed.
    pub fn accept(&self) -> nix::Result<Option<(OwnedFd, Peer, Access)>> {
        let client = match stream::accept(self.socket.get()?) {
            // Nobody, or somebody who is gone.
            Err(Errno::EAGAIN | Errno::ECONNABORTED | Errno::EINTR) => return Ok(None),
            client => client?,
        };
        let Ok(peer) = stream::peer(client.as_fd()) else { return Ok(None) };
        let access = self.access(client.as_fd(), &peer);
        Ok(access.map(|access| (client, peer, access)))
    }

    /// The main loop is told of clients, unless there is no room for them.
    pub fn attend(&self) -> nix::Result<()> {
        if self.is_paused { Ok(()) } else { poller::add(self.socket.get()?, Source::Listener) }
    }

    pub fn pause(&mut self) {
        if let Ok(socket) = self.socket.get() {
            poller::remove(socket);
            self.is_paused = true;
        }
    }

    pub fn resume(&mut self) {
        if core::mem::take(&mut self.is_paused) {
            self.is_paused = self.attend().is_err();
        }
    }

    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// The descriptors that another process needs to take it over.
    pub fn each(&self, act: &mut dyn FnMut(i32)) -> nix::Result<()> {
        if let Some(bound) = &self.path {
            act(bound.lock_number()?);
        }
        act(self.socket.get()?.as_raw_fd());
        Ok(())
    }

    /// See `Bound::settle`.
    pub fn settle(&mut self) -> Result<()> {
        match &mut self.path {
            Some(bound) => bound.settle(self.socket.get().or_cannot("listen for clients")?),
            None => Ok(()),
        }
    }

    /// Another process serves it, or nobody, where it was not taken over.
    pub fn let_go(self) {
        self.path.into_iter().for_each(unix_socket::remove);
        self.socket.close_after(poller::remove);
    }

    /// No client can connect any more, and those that wait are turned away, also where a forked child has a
    /// copy of the descriptor: unless the daemon before this one goes on with it.
    pub fn close(self) {
        if handed::is_served() {
            return self.let_go();
        }
        self.path.into_iter().for_each(unix_socket::remove);
        self.socket.close_after(|socket| {
            poller::remove(socket);
            stream::shut_down(socket);
            while let Ok(client) = stream::accept(socket) {
                stream::shut_down(client.as_fd());
            }
        });
    }
}
