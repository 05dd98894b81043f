//! What the service manager of NOTIFY_SOCKET is told, in the protocol of sd_notify(3): each message whole, and nobody
//! waits for a manager that does not read for longer than it says.

use std::{
    io::IoSlice,
    os::fd::{AsFd, BorrowedFd},
};

use nix::errno::Errno;

use crate::{
    error::{self, Error, Line, OrCannot, Result},
    kept::Kept,
    sys::{
        file, load,
        process::{self, OfProcess, generation},
        socket::{self, send_with_fds},
        stream::{self, Address},
        thread::Mutex,
        vsock::{self, Kind},
    },
    text, worker,
};

pub(crate) const FDS_MAX: usize = socket::FDS_MAX;

/// How long a manager may take to make room for a message.
const PATIENCE_US: u32 = 5_000_000;

/// Where the manager listens.
enum Manager {
    Unix { address: Address, socket: Option<Kept> },
    Machine { kind: Option<Kind>, cid: u32, port: u32 },
}

enum Known {
    NotYet,
    Nobody,
    /// NOTIFY_SOCKET cannot be used.
    Nonsense(Errno),
    Somebody(Manager),
    /// This is a worker: its parent tells it.
    Parent,
}

static MANAGER: Mutex<Known> = Mutex::new(Known::NotYet);

/// Looks who waits, and connects as long as the path is there.
pub fn attend() {
    if let Known::Somebody(Manager::Unix { address, socket }) = known(&mut MANAGER.lock()) {
        // Whatever is wrong is wrong again where it is told.
        let _ = connect(address, socket);
    }
}

/// Whether somebody is to be told.
pub fn has_manager() -> bool {
    matches!(known(&mut MANAGER.lock()), Known::Somebody(_))
}

/// In a worker: its parent tells it, who is the main process.
pub fn through_parent() {
    let mut manager = MANAGER.lock();
    if matches!(*manager, Known::Somebody(_)) {
        *manager = Known::Parent;
    }
}

/// Nobody is told anything any more.
pub fn forget() {
    *MANAGER.lock() = Known::Nobody;
}

fn known(known: &mut Known) -> &mut Known {
    if matches!(known, Known::NotYet) {
        *known = match load::environment(c"NOTIFY_SOCKET").map(|name| Manager::at(name.to_bytes()))
        {
            None => Known::Nobody,
            Some(Ok(manager)) => Known::Somebody(manager),
            Some(Err(errno)) => Known::Nonsense(errno),
        };
    }
    known
}

impl Manager {
    fn at(name: &[u8]) -> nix::Result<Self> {
        let address = match name {
            [b'/', ..] => Address::path_of(name)?,
            [b'@', rest @ ..] if !rest.is_empty() => Address::name(rest)?,
            _ => return Manager::machine(name).ok_or(Errno::EINVAL),
        };
        Ok(Manager::Unix { address, socket: None })
    }

    /// "vsock:CID:PORT"
    fn machine(name: &[u8]) -> Option<Self> {
        let mut words = name.splitn(3, |&byte| byte == b':');
        let kind = match words.next()? {
            b"vsock" => None,
            b"vsock-stream" => Some(Kind::Stream),
            b"vsock-dgram" => Some(Kind::Datagram),
            b"vsock-seqpacket" => Some(Kind::Packets),
            _ => return None,
        };
        let (cid, port) = (text::number(words.next()?)?, text::number(words.next()?)?);
        Some(Manager::Machine { kind, cid, port })
    }

    fn send(&mut self, pieces: &[IoSlice], fds: &[i32], patience_us: u32) -> nix::Result<()> {
        match self {
            Manager::Machine { .. } if !fds.is_empty() => Err(Errno::EOPNOTSUPP),
            Manager::Machine { kind, cid, port } => vsock::tell(*kind, *cid, *port, pieces),
            Manager::Unix { address, socket } => {
                match send_on(connect(address, socket)?, pieces, fds, patience_us) {
                    // It listens anew, or the program has closed our socket.
                    Err(Errno::ECONNREFUSED | Errno::ENOTCONN | Errno::ECONNRESET)
                    | Err(Errno::EPIPE | Errno::EDESTADDRREQ) => {
                        *socket = None;
                        send_on(connect(address, socket)?, pieces, fds, patience_us)
                    }
                    sent => sent,
                }
            }
        }
    }
}

fn connect<'a>(address: &Address, socket: &'a mut Option<Kept>) -> nix::Result<BorrowedFd<'a>> {
    let is_there = socket.as_ref().is_some_and(|socket| socket.get().is_ok());
    if !is_there {
        let made = stream::unix(libc::SOCK_DGRAM)?;
        address.connect(made.as_fd())?;
        *socket = Some(Kept::new(made)?);
    }
    socket.as_ref().and_then(Kept::unchecked).ok_or(Errno::EBADF)
}

fn send_on(
    socket: BorrowedFd,
    pieces: &[IoSlice],
    fds: &[i32],
    patience_us: u32,
) -> nix::Result<()> {
    match send_with_fds(socket, pieces, fds) {
        Err(Errno::EAGAIN) if patience_us > 0 => {
            file::is_writable_within(socket, patience_us)?;
            send_with_fds(socket, pieces, fds)
        }
        sent => sent,
    }
}

/// Whether there was somebody to be told.
pub fn tell(lines: &[&[u8]]) -> Result<bool> {
    tell_with(lines, &[])
}

/// The same with descriptors.
#[inline(never)]
pub fn tell_with(lines: &[&[u8]], fds: &[i32]) -> Result<bool> {
    tell_within(lines, fds, PATIENCE_US)
}

/// The same, where a manager may take only so long to make room.
#[inline(never)]
pub fn tell_within(lines: &[&[u8]], fds: &[i32], patience_us: u32) -> Result<bool> {
    let mut pieces = [(); 8].map(|()| IoSlice::new(b""));
    let count = lines.len().min(pieces.len());
    pieces.iter_mut().zip(lines).for_each(|(piece, line)| *piece = IoSlice::new(line));
    let sent = match known(&mut MANAGER.lock()) {
        Known::NotYet | Known::Nobody => return Ok(false),
        Known::Nonsense(errno) => Some(Err(*errno)),
        Known::Parent => None,
        Known::Somebody(manager) => {
            Some(manager.send(pieces.get(..count).unwrap_or_default(), fds, patience_us))
        }
    };
    // Not under the lock: other threads tell meanwhile what nobody answers.
    match sent.unwrap_or_else(|| worker::tell(lines, fds, patience_us)) {
        Ok(()) => Ok(true),
        Err(errno) => {
            let name = load::environment(c"NOTIFY_SOCKET").unwrap_or_default();
            Err(Error::cannot_at(errno, "tell the service manager at", name.to_bytes()))
        }
    }
}

/// Tells what nobody has to know: it is left out where the manager has no room for it.
pub fn mention(lines: &[&[u8]]) {
    error::keeping_sentence(|| {
        let _ = tell_within(lines, &[], 0);
    });
}

/// The daemon cannot start, for this reason.
#[inline(never)]
pub fn gave_up(status: i32, reason: &[u8]) {
    let (mut line, mut digits) = (Line::new(), Line::new());
    line.push(reason);
    digits.push_number(status as u32);
    mention(&[b"STATUS=", line.as_bytes(), b"\nEXIT_STATUS=", digits.as_bytes()]);
}

/// This process cannot become a daemon: the sentence of this thread says why.
#[inline(never)]
pub fn failed(error: &Error) {
    let mut digits = Line::new();
    digits.push_number(error.0 as u32);
    let told = error::told(error);
    mention(&[b"STATUS=", told.as_bytes(), b"\nERRNO=", digits.as_bytes()]);
}

/// The daemon is about to end. Told once.
pub fn stopping() {
    static IS_TOLD: OfProcess = OfProcess::new();
    if IS_TOLD.change(generation(), |_| 1) == 0 {
        mention(&[b"STOPPING=1"]);
    }
}

/// Waits until the manager has read all that it was told. Whether there is one.
pub fn barrier(limit_ms: i32) -> Result<bool> {
    let (ours, theirs) = file::pipe().or_cannot("make a pipe")?;
    // Alone, and with nothing else in the message.
    let is_told = tell_with(&[b"BARRIER=1"], &[std::os::fd::AsRawFd::as_raw_fd(&theirs)])?;
    drop(theirs);
    if !is_told {
        return Ok(false);
    }
    let deadline = process::monotonic_ms().saturating_add(limit_ms.into());
    loop {
        let left = if limit_ms < 0 { -1 } else { (deadline - process::monotonic_ms()).max(0) };
        match file::poll([Some(ours.as_fd())], left as i32) {
            Ok([true]) => return Ok(true),
            Ok([false]) if left == 0 => {
                let why: &[u8] = b"the service manager has not read in time what it was told";
                return Err(Error::new(Errno::ETIMEDOUT, &[why]));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).or_cannot("wait for the service manager"),
        }
    }
}

/// A descriptor on which a supervisor waits for a newline, as s6 does.
pub struct NotifyFd {
    copy: Kept,
    /// The program's.
    original: i32,
}

impl NotifyFd {
    pub fn new(fd: i32) -> nix::Result<Self> {
        let original = file::borrowed(fd).ok_or(Errno::EBADF)?;
        let copy = Kept::new(file::copy_above(original, 3)?)?;
        Ok(NotifyFd { copy, original: fd })
    }

    /// The number of our copy, for comparisons only.
    pub fn number(&self) -> i32 {
        self.copy.number()
    }

    /// The newline, and both are closed.
    pub fn tell(&self) -> nix::Result<()> {
        match file::write(self.copy.get()?, b"\n") {
            // It does not wait any more.
            Err(Errno::EPIPE) | Ok(_) => {}
            Err(errno) => return Err(errno),
        }
        if load::identity(self.original).is_ok_and(|now| now.inode == self.copy.inode()) {
            file::close(self.original);
        }
        Ok(())
    }
}
