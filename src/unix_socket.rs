//! A Unix socket in the file system: bound where nobody else serves, with its mode and owner right before anybody can
//! connect, and removed only by who bound it.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag},
    sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmod, fchmodat},
    unistd::{Gid, Uid, fchownat, getegid, geteuid},
};

use crate::{
    error::{Error, OrCannot, Result},
    handed,
    kept::Kept,
    pidfile::{self, Held, Place, Style},
    privileges,
    sys::{
        file::{self, OwnedFd, PathBuffer},
        load::Identity,
        stream::{self, Address},
    },
};

/// Who may connect, as the permissions of a file say it.
#[derive(Clone, Copy)]
pub struct Permissions {
    pub mode: Mode,
    pub uid: Uid,
    pub gid: Gid,
    /// Nobody was asked for.
    is_default: bool,
}

impl Permissions {
    /// The owner is a user, by name or number, with the group of that user. None: who this process is.
    pub fn find(mode: Mode, owner: Option<&CStr>) -> Result<Self> {
        let is_default = owner.is_none();
        let (uid, gid) = match owner {
            Some(owner) => privileges::find_owner_and_group(owner)?,
            None => (None, None),
        };
        let (uid, gid) = (uid.unwrap_or_else(geteuid), gid.unwrap_or_else(getegid));
        Ok(Permissions { mode, uid, gid, is_default })
    }
}

/// The mode that C asks for.
pub fn mode(bits: u32) -> Result<Mode> {
    match bits {
        0 => Ok(Mode::S_IRUSR | Mode::S_IWUSR),
        bits => Mode::from_bits(bits)
            .filter(|mode| all_permissions().contains(*mode))
            .ok_or_else(|| Error::invalid("the mode has other bits than permissions")),
    }
}

/// A socket in the file system, and what makes it ours.
pub struct Bound {
    place: Place,
    identity: Identity,
    lock: Held,
    /// Of a socket that the daemon before still serves: what holds when this process is the daemon.
    then: Option<(Permissions, Option<i32>)>,
}

impl Bound {
    /// The number of our lock, for a descriptor to be handed over. EBADF if the program has closed it.
    pub fn lock_number(&self) -> nix::Result<i32> {
        self.lock.check().map(|()| self.lock.number())
    }

    /// What it is to be holds from now on, for a socket that was handed over.
    pub fn settle(&mut self, socket: BorrowedFd) -> Result<()> {
        let Some((permissions, backlog)) = self.then.take() else { return Ok(()) };
        let (bound, stat) = open(&self.place)?;
        if Identity::from(stat) != self.identity {
            return Err(replaced(&self.place));
        }
        permit(&self.place, bound.as_fd(), &stat, &permissions)?;
        listen(&self.place, socket, backlog)
    }

    /// The lock is this process's, which is the daemon now.
    pub fn claim(&self) {
        self.lock.claim();
    }
}

/// Under the lock only we change what stands at the place.
pub fn remove(bound: Bound) {
    let Bound { place, identity, lock, .. } = bound;
    if lock.is_ours()
        && place.is_intact()
        && place.stat().is_ok_and(|stat| Identity::from(stat) == identity)
    {
        let _ = place.unlink();
    }
    lock.release();
}

/// A new socket of this kind, or that of the daemon before. With a backlog it listens, too.
pub fn bind(
    path: &CStr,
    kind: i32,
    permissions: &Permissions,
    backlog: Option<i32>,
) -> Result<(Kept, Bound)> {
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
    // The socket first, so that what cannot be examined leaves no file behind.
    let (lock, handed) = handed::take_guarded(&|stat| lock_place.is(stat)).unzip();
    let handed = handed.flatten();
    let is_handed = handed.is_some();
    let is_other = |socket: &OwnedFd| stream::kind(socket.as_fd()) != Ok(kind & !stream::FLAGS);
    if handed.as_ref().is_some_and(is_other) {
        let why = b"the daemon before has a socket of another type there";
        return Err(pidfile::refused(Errno::EPROTOTYPE, path, why));
    }
    let socket = handed.map_or_else(|| stream::unix(kind), Ok).and_then(Kept::new);
    let socket = socket.or_cannot("make a socket")?;
    let lock = match lock {
        Some(lock) => lock,
        None => match pidfile::lock(&lock_place, &style) {
            Err(Error(Errno::EEXIST)) => return Err(Error(Errno::EADDRINUSE)),
            lock => lock?,
        },
    };
    let lock = Held::new(lock_place, lock)?;
    let fd = socket.unchecked().ok_or(Error(Errno::EBADF));
    let bound = fd.and_then(|fd| match is_handed {
        true => lock.owner().map_err(place.cannot("examine")).and_then(|owner| {
            of_one_of(&place, [owner, permissions.uid, geteuid()]).map(|(_, stat)| stat)
        }),
        false => bind_locked(&place, fd, permissions, backlog),
    });
    match bound {
        Ok(stat) => {
            let mut then = *permissions;
            if permissions.is_default {
                // Who has it: the daemon before may have had rights to choose, which this one has not.
                (then.uid, then.gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            }
            let then = is_handed.then_some((then, backlog));
            Ok((socket, Bound { place, identity: Identity::from(stat), lock, then }))
        }
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

fn bind_locked(
    place: &Place,
    socket: BorrowedFd,
    permissions: &Permissions,
    backlog: Option<i32>,
) -> Result<FileStat> {
    let address = address(place)?;
    remove_stale(place, &address)?;
    // The file begins with this, less the umask.
    let _ = fchmod(socket, permissions.mode);
    match address.bind(socket) {
        Err(Errno::EADDRINUSE) => return Err(served(place)),
        bound => bound.map_err(place.cannot("bind"))?,
    }
    // Mode and owner are set on the very file that was bound, and only then somebody can connect.
    let made = of_one_of(place, [geteuid()]).and_then(|(bound, stat)| {
        permit(place, bound.as_fd(), &stat, permissions)?;
        listen(place, socket, backlog).map(|()| stat)
    });
    if made.is_err_and(|error| error.0 != Errno::ESTALE) {
        let _ = place.unlink();
    }
    made
}

/// What stands at the place, which belongs to one of these users: nobody else has put it there.
fn of_one_of<const N: usize>(place: &Place, owners: [Uid; N]) -> Result<(OwnedFd, FileStat)> {
    let (bound, stat) = open(place)?;
    match file::kind(&stat) == SFlag::S_IFSOCK && owners.contains(&Uid::from_raw(stat.st_uid)) {
        true => Ok((bound, stat)),
        false => Err(replaced(place)),
    }
}

fn open(place: &Place) -> Result<(OwnedFd, FileStat)> {
    let path = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let bound = file::open_at(place.at(), place.name(), path, Mode::empty())
        .map_err(place.cannot("open"))?;
    let stat = file::fstat(bound.as_fd()).map_err(place.cannot("examine"))?;
    Ok((bound, stat))
}

fn replaced(place: &Place) -> Error {
    pidfile::refused(Errno::ESTALE, place.shown(), b"it was replaced meanwhile")
}

fn permit(
    place: &Place,
    bound: BorrowedFd,
    stat: &FileStat,
    permissions: &Permissions,
) -> Result<()> {
    if Mode::from_bits_truncate(stat.st_mode) & all_permissions() != permissions.mode {
        let mut name = PathBuffer::new();
        let name = file::proc_path(bound, &mut name).map_err(place.cannot("set the mode of"))?;
        let at = nix::fcntl::AT_FDCWD;
        fchmodat(at, name, permissions.mode, FchmodatFlags::FollowSymlink)
            .map_err(place.cannot("set the mode of"))?;
    }
    let owner = (permissions.uid, permissions.gid);
    if (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)) != owner {
        let (uid, gid) = (Some(owner.0), Some(owner.1));
        fchownat(bound, c"", uid, gid, AtFlags::AT_EMPTY_PATH)
            .map_err(place.cannot("set the owner of"))?;
    }
    Ok(())
}

fn listen(place: &Place, socket: BorrowedFd, backlog: Option<i32>) -> Result<()> {
    backlog.map_or(Ok(()), |backlog| {
        stream::listen(socket, backlog).map_err(place.cannot("listen on"))
    })
}

fn all_permissions() -> Mode {
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
