//! The socket that clients connect to: bound where nobody else serves, with its mode and owner right before
//! anybody can connect, and removed only by who bound it.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag},
    sys::stat::{FchmodatFlags, Mode, SFlag, fchmod, fchmodat},
    unistd::{Gid, Uid, fchownat, getegid, geteuid},
};

use crate::{
    error::{Error, OrCannot, Result},
    kept::Kept,
    pidfile::{self, Held, Place, Style},
    poller::{self, Source},
    privileges,
    sys::{
        file::{self, PathBuffer},
        load::Identity,
        stream::{self, Address, Peer},
    },
};

/// Whom the kernel shows instead of users and groups from outside of a user namespace.
const OVERFLOW_ID: u32 = 65534;

/// What a client may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Everything,
    Queries,
}

/// Who may connect, as the permissions of a file say it.
struct Permissions {
    mode: Mode,
    uid: Uid,
    gid: Gid,
}

pub struct Listener {
    socket: Kept,
    permissions: Permissions,
    /// None: an abstract name.
    path: Option<Path>,
    /// There is no room for a client now.
    is_paused: bool,
}

/// A socket in the file system, and what makes it ours.
struct Path {
    place: Place,
    identity: Identity,
    lock: Held,
}

impl Listener {
    pub fn open(path: &CStr, mode: Mode, owner: Option<&CStr>) -> Result<Self> {
        let (uid, gid) = match owner {
            Some(owner) => privileges::find_owner_and_group(owner)?,
            None => (None, None),
        };
        let permissions = Permissions {
            mode,
            uid: uid.unwrap_or_else(geteuid),
            gid: gid.unwrap_or_else(getegid),
        };
        let socket = stream::never_waits().and_then(Kept::new).or_cannot("make a socket")?;
        let fd = socket.get().or_cannot("make a socket")?;
        let path = match path.to_bytes() {
            [b'@', name @ ..] => {
                let address = Address::name(name).or_cannot_at("bind", path)?;
                address.bind(fd).map_err(|errno| in_use(errno, path))?;
                stream::listen(fd).or_cannot_at("listen on", path)?;
                None
            }
            _ => Some(bind(path, fd, &permissions)?),
        };
        Ok(Listener { socket, permissions, path, is_paused: false })
    }

    /// What a client may do. None: nothing.
    fn access(&self, client: BorrowedFd, peer: &Peer) -> Option<Access> {
        let Permissions { mode, uid, gid } = &self.permissions;
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

    /// No client can connect any more, and those that wait are turned away, also where a forked child has a
    /// copy of the descriptor.
    pub fn close(self) {
        self.path.into_iter().for_each(remove);
        self.socket.close_after(|socket| {
            poller::remove(socket);
            stream::shut_down(socket);
            while let Ok(client) = stream::accept(socket) {
                stream::shut_down(client.as_fd());
            }
        });
    }
}

/// Under the lock only we change what stands at the place.
fn remove(path: Path) {
    let Path { place, identity, lock } = path;
    if place.is_intact() && place.stat().is_ok_and(|stat| Identity::from(stat) == identity) {
        let _ = place.unlink();
    }
    lock.release();
}

fn in_use(errno: Errno, path: &CStr) -> Error {
    Error::cannot_at(errno, "bind", path.to_bytes())
}

fn bind(path: &CStr, socket: BorrowedFd, permissions: &Permissions) -> Result<Path> {
    let place = Place::fixed(path)?;
    refuse_unsafe_folder(&place)?;
    let mut name = PathBuffer::new();
    let name = name.join(&[path.to_bytes(), b".lock"]).or_cannot_at("lock", path)?;
    let lock_place = Place::fixed(name)?;
    let owner_of_lock = (permissions.uid, permissions.gid);
    let is_other = owner_of_lock != (geteuid(), getegid());
    let style = Style {
        mode: Some(Mode::S_IRUSR | Mode::S_IWUSR),
        owner: is_other.then_some(owner_of_lock),
    };
    let lock = match pidfile::lock(&lock_place, &style) {
        Err(Error(Errno::EEXIST)) => return Err(Error(Errno::EADDRINUSE)),
        lock => Held::new(lock_place, lock?)?,
    };
    match bind_locked(&place, socket, permissions) {
        Ok(identity) => Ok(Path { place, identity, lock }),
        Err(error) => {
            lock.release();
            Err(error)
        }
    }
}

/// Where everybody may rename what is ours, somebody else could stand in for the daemon.
fn refuse_unsafe_folder(place: &Place) -> Result<()> {
    let folder = file::lstat_at(place.at(), place.folder())
        .map_err(place.cannot("examine the directory of"))?;
    let mode = Mode::from_bits_truncate(folder.st_mode);
    if mode.contains(Mode::S_IWOTH) && !mode.contains(Mode::S_ISVTX) {
        return Err(pidfile::refused(
            Errno::EPERM,
            place.shown(),
            b"anybody may rename files in its directory",
        ));
    }
    Ok(())
}

fn bind_locked(place: &Place, socket: BorrowedFd, permissions: &Permissions) -> Result<Identity> {
    let address = address(place)?;
    remove_stale(place, &address)?;
    // The file begins with this, less the umask.
    let _ = fchmod(socket, permissions.mode);
    match address.bind(socket) {
        Err(Errno::EADDRINUSE) => return Err(served(place)),
        bound => bound.map_err(place.cannot("bind"))?,
    }
    let made = finish(place, socket, permissions);
    if made.is_err_and(|error| error.0 != Errno::ESTALE) {
        let _ = place.unlink();
    }
    made
}

/// Mode and owner are set on the very file that was bound, and only then somebody can connect.
fn finish(place: &Place, socket: BorrowedFd, permissions: &Permissions) -> Result<Identity> {
    let path = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let bound = file::open_at(place.at(), place.name(), path, Mode::empty())
        .map_err(place.cannot("open"))?;
    let stat = file::fstat(bound.as_fd()).map_err(place.cannot("examine"))?;
    if file::kind(&stat) != SFlag::S_IFSOCK || stat.st_uid != geteuid().as_raw() {
        return Err(pidfile::refused(Errno::ESTALE, place.shown(), b"it was replaced meanwhile"));
    }
    if Mode::from_bits_truncate(stat.st_mode) & all_permissions() != permissions.mode {
        let mut name = PathBuffer::new();
        let name =
            file::proc_path(bound.as_fd(), &mut name).map_err(place.cannot("set the mode of"))?;
        let at = nix::fcntl::AT_FDCWD;
        fchmodat(at, name, permissions.mode, FchmodatFlags::FollowSymlink)
            .map_err(place.cannot("set the mode of"))?;
    }
    let owner = (permissions.uid, permissions.gid);
    if (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)) != owner {
        let (uid, gid) = (Some(owner.0), Some(owner.1));
        fchownat(bound.as_fd(), c"", uid, gid, AtFlags::AT_EMPTY_PATH)
            .map_err(place.cannot("set the owner of"))?;
    }
    stream::listen(socket).map_err(place.cannot("listen on"))?;
    Ok(Identity::from(stat))
}

pub fn all_permissions() -> Mode {
    Mode::S_IRWXU | Mode::S_IRWXG | Mode::S_IRWXO
}

/// Through our descriptor of the directory: it may be moved, and the path may be long.
fn address(place: &Place) -> Result<Address> {
    let mut folder = PathBuffer::new();
    let mut path = PathBuffer::new();
    let folder = file::proc_path(place.at(), &mut folder).map_err(place.cannot("bind"))?;
    let path = path.join(&[folder.to_bytes(), b"/", place.file_name().to_bytes()]);
    let address = path.and_then(Address::path);
    address.map_err(place.cannot("bind"))
}

/// Removes a socket that nobody listens on. Under the lock, so nobody else of us does.
fn remove_stale(place: &Place, address: &Address) -> Result<()> {
    match place.stat() {
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(place.cannot("examine")(errno)),
        Ok(stat) if file::kind(&stat) == SFlag::S_IFSOCK => {}
        Ok(_) => {
            return Err(pidfile::refused(Errno::ENOTSOCK, place.shown(), b"it is not a socket"));
        }
    }
    match address.probe() {
        Ok(()) => Err(served(place)),
        Err(Errno::ENOENT) => Ok(()),
        Err(Errno::ECONNREFUSED) => match place.unlink() {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(place.cannot("remove the stale")(errno)),
        },
        Err(errno) => Err(place.cannot("connect to")(errno)),
    }
}

fn served(place: &Place) -> Error {
    pidfile::refused(Errno::EADDRINUSE, place.shown(), b"another process serves it")
}
