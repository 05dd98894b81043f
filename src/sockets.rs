//! The sockets a daemon listens on: passed by whoever has started it (sd_listen_fds(3), inetd), or bound here, by the
//! same call.

use core::{ffi::CStr, ops::Range};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd};

use nix::{
    errno::Errno,
    unistd::{Pid, getpid},
};

use crate::{
    detach::is_this_process,
    error::{Error, OrCannot, Result},
    handed,
    kept::Kept,
    sys::{
        file::{self, OwnedFd, PathBuffer},
        load::{self, Identity},
        memory::{Bytes, Table},
        process::{self, AtExit},
        stream::{self, Address},
        thread::Mutex,
    },
    text,
    unix_socket::{self, Bound, Permissions},
};

/// The first that is passed.
pub(crate) const FIRST: i32 = 3;

/// What a program asks for.
pub struct Options<'a> {
    pub name: Option<&'a CStr>,
    pub address: Option<&'a CStr>,
    /// SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET
    pub kind: i32,
    pub backlog: i32,
    pub mode: u32,
    pub owner: Option<&'a CStr>,
}

/// What was passed to this process, or to the one that became it.
struct Passed {
    count: i32,
    /// One of them is not open.
    is_broken: bool,
    names: Bytes,
    /// stdin is what inetd(8) has accepted nobody on yet.
    inetd: Option<OwnedFd>,
    /// Those that were asked for.
    taken: Table<i32>,
}

static PASSED: Mutex<Option<Passed>> = Mutex::new(None);

/// A socket that was bound here; the descriptor is the program's.
struct Own {
    fd: i32,
    identity: Identity,
    /// None: it does not stand in the file system.
    bound: Option<Bound>,
    owner: Pid,
}

impl Own {
    /// Whether the program has not closed it.
    fn is_there(&self) -> bool {
        load::identity(self.fd) == Ok(self.identity)
    }
}

static BOUND: Mutex<Table<Own>> = Mutex::new(Table::new());

/// Looks what was passed, as long as this is the process it was passed to.
pub fn attend() -> Result<()> {
    with_passed(|_| Ok(()))
}

/// `rsd_listen_fds`
pub fn count() -> Result<i32> {
    with_passed(|passed| match passed.is_broken {
        true => {
            Err(Error::new(Errno::EBADF, &[b"LISTEN_FDS tells of descriptors that are not open"]))
        }
        false => Ok(passed.count),
    })
}

/// The numbers that were passed.
pub fn passed() -> Range<i32> {
    let count = with_passed(|passed| Ok(passed.count)).unwrap_or(0);
    FIRST..FIRST.saturating_add(count)
}

/// `rsd_listen_fd_name`, for as long as this process lives.
pub fn name(fd: i32, act: &mut dyn FnMut(&CStr)) {
    let _ = with_passed(|passed| {
        passed.name(fd).map(act);
        Ok(())
    });
}

/// Those that were passed and are open, with their names.
pub fn each_passed(act: &mut dyn FnMut(i32, &CStr)) {
    let _ = with_passed(|passed| {
        for fd in FIRST..FIRST.saturating_add(passed.count) {
            if file::borrowed(fd).is_some_and(|fd| file::fstat(fd).is_ok()) {
                act(fd, passed.name(fd).unwrap_or_default());
            }
        }
        Ok(())
    });
}

/// What another process needs to take over those that were bound here: each after its lock, where it has one.
pub fn each_bound(act: &mut dyn FnMut(i32)) -> nix::Result<()> {
    for (_, own) in BOUND.lock().iter().filter(|(_, own)| own.owner == getpid()) {
        if own.is_there() {
            if let Some(bound) = &own.bound {
                act(bound.lock_number()?);
            }
            act(own.fd);
        }
    }
    Ok(())
}

/// What was handed over is as it was asked for from now on.
pub fn settle() -> Result<()> {
    for (_, own) in BOUND.lock().iter().filter(|(_, own)| own.owner == getpid()) {
        if let (true, Some(bound), Some(socket)) =
            (own.is_there(), &mut own.bound, file::borrowed(own.fd))
        {
            bound.settle(socket)?;
        }
    }
    Ok(())
}

/// Another process is the daemon from now on: the files and their locks are its, or nobody's.
pub fn is_succeeded() {
    remove_all(&mut BOUND.lock());
}

fn with_passed<T>(act: impl FnOnce(&mut Passed) -> Result<T>) -> Result<T> {
    let mut guard = PASSED.lock();
    match &mut *guard {
        Some(passed) => act(passed),
        none => act(none.insert(Passed::look()?)),
    }
}

impl Passed {
    fn look() -> Result<Self> {
        let mut passed = Passed {
            count: 0,
            is_broken: false,
            names: Bytes::new(),
            inetd: None,
            taken: Table::new(),
        };
        let count =
            load::environment(c"LISTEN_FDS").and_then(|count| text::number(count.to_bytes()));
        let count = count.filter(|_| is_this_process(c"LISTEN_PID") && is_this_pidfd());
        let Some(count) = count else {
            passed.inetd = file::borrowed(0)
                .filter(|stdin| serves(*stdin))
                .and_then(|stdin| file::copy_above(stdin, 3).ok());
            return Ok(passed);
        };
        for fd in FIRST..FIRST.saturating_add(i32::try_from(count).unwrap_or(i32::MAX)) {
            if file::set_close_on_exec(fd).is_err() {
                passed.is_broken = true;
                break;
            }
            passed.count += 1;
        }
        if let Some(names) = load::environment(c"LISTEN_FDNAMES") {
            for name in names.to_bytes().split(|&byte| byte == b':') {
                let pushed = passed.names.push(name).and_then(|()| passed.names.push(b"\0"));
                pushed.or_cannot("keep the names of sockets")?;
            }
        }
        Ok(passed)
    }

    fn name(&self, fd: i32) -> Option<&CStr> {
        let index = fd.checked_sub(FIRST).filter(|index| (0..self.count).contains(index))?;
        Some(self.names.strings().nth(index as usize).unwrap_or(c"unknown"))
    }

    /// The first of this name, or at this address, that was not asked for before.
    fn take(&mut self, options: &Options, place: Option<&Place>) -> Result<Option<i32>> {
        let is_free = |passed: &mut Passed, fd| passed.taken.iter().all(|(_, taken)| *taken != fd);
        for fd in FIRST..FIRST.saturating_add(self.count) {
            let Some(socket) = file::borrowed(fd).filter(|_| is_free(self, fd)) else { continue };
            let is_named = match options.name {
                Some(name) => self.name(fd) == Some(name),
                None => fits(socket, options.kind).is_ok(),
            };
            let is_there = || place.is_some_and(|place| place.is(socket));
            if is_named || is_there() {
                fits(socket, options.kind)?;
                self.taken.insert(fd).or_cannot("keep the number of a socket")?;
                return Ok(Some(fd));
            }
        }
        let is_fit = |inetd: &mut OwnedFd| fits(inetd.as_fd(), options.kind).is_ok();
        Ok(self.inetd.take_if(is_fit).map(IntoRawFd::into_raw_fd))
    }
}

/// Whether inetd(8) has executed this process: stdin is a socket that serves, or a connection from afar.
pub fn is_under_inetd() -> bool {
    let is_inet = |family| family == libc::AF_INET || family == libc::AF_INET6;
    file::borrowed(0).is_some_and(|stdin| serves(stdin) || stream::family(stdin).is_ok_and(is_inet))
}

/// Where the kernel numbers processes for good, systemd tells that number, too.
fn is_this_pidfd() -> bool {
    let meant =
        load::environment(c"LISTEN_PIDFDID").and_then(|id| text::long_number(id.to_bytes()));
    let own =
        process::pidfd_open(getpid().as_raw()).and_then(|pidfd| load::identity(pidfd.as_raw_fd()));
    match (meant, own) {
        (Some(meant), Ok(own)) => meant == own.inode,
        _ => true,
    }
}

/// A socket that inetd(8) hands over as a whole ("wait"), no connection.
fn serves(socket: BorrowedFd) -> bool {
    match stream::kind(socket) {
        Ok(libc::SOCK_DGRAM) => stream::family(socket).is_ok_and(|family| family != libc::AF_UNIX),
        Ok(_) => stream::is_listening(socket) == Ok(true),
        Err(_) => false,
    }
}

fn fits(socket: BorrowedFd, kind: i32) -> Result<()> {
    let why: &[u8] = match stream::kind(socket) {
        Ok(other) if other != kind => b"the socket that was passed is of another type",
        Ok(libc::SOCK_DGRAM) => return Ok(()),
        Ok(_) if stream::is_listening(socket) == Ok(true) => return Ok(()),
        Ok(_) => b"the socket that was passed does not listen",
        Err(errno) => return Err(errno).or_cannot("use what was passed as a socket"),
    };
    Err(Error::new(Errno::EPROTOTYPE, &[why]))
}

/// Where a socket is to be, as ListenStream= of systemd.socket(5) has it.
enum Place<'a> {
    Path(&'a CStr),
    At(Address),
    /// A port of all addresses of this host: IPv6 and IPv4, or where there is no IPv6, the other.
    Anywhere {
        both: Address,
        inet: Address,
    },
}

impl<'a> Place<'a> {
    fn parse(address: &'a CStr) -> Result<Self> {
        match address.to_bytes() {
            [b'/', ..] => Ok(Place::Path(address)),
            [b'@', name @ ..] if !name.is_empty() => {
                Address::name(name).map(Place::At).or_cannot_at("use the address", address)
            }
            bytes => Place::internet(bytes)
                .ok_or_else(|| Error::cannot_at(Errno::EINVAL, "use the address", bytes)),
        }
    }

    fn internet(bytes: &[u8]) -> Option<Self> {
        let colon = bytes.iter().rposition(|&byte| byte == b':');
        let (host, port) = match colon {
            Some(colon) => (bytes.get(..colon)?, bytes.get(colon + 1..)?),
            None => (b"".as_slice(), bytes),
        };
        let port = text::number(port).and_then(|port| u16::try_from(port).ok())?;
        let mut buffer = PathBuffer::new();
        match host {
            b"" if colon.is_some() => None,
            b"" => Some(Place::Anywhere {
                both: Address::inet6(None, port)?,
                inet: Address::inet(None, port)?,
            }),
            [b'[', inner @ .., b']'] => {
                Address::inet6(Some(buffer.join(&[inner]).ok()?), port).map(Place::At)
            }
            host => Address::inet(Some(buffer.join(&[host]).ok()?), port).map(Place::At),
        }
    }

    fn is(&self, socket: BorrowedFd) -> bool {
        let Ok(now) = Address::of(socket) else { return false };
        match self {
            Place::Path(path) => now.unix_path() == path.to_bytes(),
            Place::At(address) => now == *address,
            Place::Anywhere { both, inet } => now == *both || now == *inet,
        }
    }

    /// A socket of this kind, bound here, and with a backlog listening.
    fn bind(&self, options: &Options, shown: &CStr) -> Result<OwnedFd> {
        let backlog = (options.kind != libc::SOCK_DGRAM).then_some(options.backlog);
        let bound = match self {
            Place::Path(path) => {
                let permissions =
                    Permissions::find(unix_socket::mode(options.mode)?, options.owner)?;
                let (socket, bound) = unix_socket::bind(path, options.kind, &permissions, backlog)?;
                return keep(socket, Some(bound));
            }
            Place::At(address) => bind_at(address, options.kind, backlog),
            Place::Anywhere { both, inet } => match bind_at(both, options.kind, backlog) {
                Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => {
                    bind_at(inet, options.kind, backlog)
                }
                bound => bound,
            },
        };
        keep(bound.or_cannot_at("bind", shown)?, None)
    }
}

/// With a backlog it listens, too.
pub fn bind_at(address: &Address, kind: i32, backlog: Option<i32>) -> nix::Result<Kept> {
    let is_it = |socket: BorrowedFd| {
        Address::of(socket).is_ok_and(|there| there == *address)
            && stream::kind(socket) == Ok(kind & !stream::FLAGS)
            && stream::is_listening(socket) == Ok(backlog.is_some())
    };
    if let Some(handed) = handed::take_socket(&is_it) {
        return Kept::new(handed);
    }
    let socket = address.socket(kind)?;
    if address.family() != libc::AF_UNIX && kind == libc::SOCK_STREAM {
        stream::reuse_address(socket.as_fd())?;
    }
    address.bind(socket.as_fd())?;
    if let Some(backlog) = backlog {
        stream::listen(socket.as_fd(), backlog)?;
    }
    Kept::new(socket)
}

/// `rsd_listen`: the program's descriptor.
pub fn listen(options: &Options) -> Result<i32> {
    let place = options.address.map(Place::parse).transpose()?;
    if let Some(fd) = with_passed(|passed| passed.take(options, place.as_ref()))? {
        return Ok(fd);
    }
    match (&place, options.address) {
        (Some(place), Some(shown)) => place.bind(options, shown).map(IntoRawFd::into_raw_fd),
        _ => {
            Err(Error::new(Errno::ENOENT, &[b"no such socket was passed, and there is no address"]))
        }
    }
}

/// To be handed over, and removed from the file system when this process ends.
fn keep(socket: Kept, bound: Option<Bound>) -> Result<OwnedFd> {
    let mut table = BOUND.lock();
    let (fd, identity) = (socket.number(), socket.identity());
    let own = Own { fd, identity, bound: None, owner: getpid() };
    let kept = AT_EXIT.register().and_then(|()| table.insert(own)).or_cannot("keep a socket");
    match kept.map(|number| (table.get(number), socket.into_owned_unchecked())) {
        Ok((Some(own), Some(socket))) => {
            own.bound = bound;
            Ok(socket)
        }
        kept => {
            bound.into_iter().for_each(unix_socket::remove);
            Err(kept.err().unwrap_or(Error(Errno::EBADF)))
        }
    }
}

static AT_EXIT: AtExit = AtExit::new(at_exit);

extern "C" fn at_exit() {
    // Where a thread is in a call of ours, the files stay, as after a crash.
    if let Some(mut table) = BOUND.try_lock() {
        remove_all(&mut table);
    }
}

fn remove_all(table: &mut Table<Own>) {
    let own = |table: &mut Table<Own>| {
        table.iter().find(|(_, own)| own.owner == getpid()).map(|(number, _)| number)
    };
    while let Some(own) = own(table).and_then(|number| table.take(number)) {
        if let Some(bound) = own.bound {
            unix_socket::remove(bound);
        }
    }
}

/// The daemon owns what the process that was `before` it has bound.
pub fn hand_over_from(before: Pid) {
    if before == getpid() {
        return;
    }
    // Before or after a fork, so by no other thread.
    let Some(mut table) = BOUND.try_lock() else { return };
    for (_, own) in table.iter().filter(|(_, own)| own.owner == before) {
        own.owner = getpid();
        own.bound.iter().for_each(Bound::claim);
    }
}
