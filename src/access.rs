//! Which files and TCP ports the process may still open, by Landlock. What is allowed is kept here, so that no other
//! process can add to it, and goes to the kernel all at once.

use core::ffi::CStr;
use std::os::fd::AsFd;

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::stat::{Mode, SFlag},
};

use crate::{
    error::{Error, OrCannot, Result},
    kept::Kept,
    sys::{
        file,
        landlock::{
            self, BIND_TCP, CONNECT_TCP, EXECUTE, IOCTL_DEV, MAKE_DIR, MAKE_FIFO, MAKE_REG,
            MAKE_SOCK, MAKE_SYM, READ_DIR, READ_FILE, REFER, REMOVE_DIR, REMOVE_FILE, TRUNCATE,
            WRITE_FILE,
        },
        memory::Table,
        process, seccomp,
        thread::Mutex,
    },
};

/// What can be done with a file itself.
const OF_A_FILE: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

struct AllowedPath {
    place: Kept,
    rights: u64,
}

struct AllowedPort {
    port: u16,
    rights: u64,
}

#[derive(Default)]
struct Allowed {
    paths: Table<AllowedPath>,
    ports: Table<AllowedPort>,
}

static ALLOWED: Mutex<Option<Allowed>> = Mutex::new(None);

/// `rsd_allow_path`
pub fn allow_path(path: &CStr, access: &CStr) -> Result<()> {
    let mut rights = 0;
    for letter in access.to_bytes() {
        rights |= match letter {
            b'r' => READ_FILE | READ_DIR,
            b'w' => WRITE_FILE | TRUNCATE | IOCTL_DEV,
            b'x' => EXECUTE,
            b'c' => {
                REMOVE_DIR
                    | REMOVE_FILE
                    | MAKE_DIR
                    | MAKE_REG
                    | MAKE_SOCK
                    | MAKE_FIFO
                    | MAKE_SYM
                    | REFER
            }
            _ => return Err(Error::invalid("access has a letter that is none of rwxc")),
        };
    }
    if rights == 0 {
        return Err(Error::invalid("access is empty"));
    }
    version()?;
    let place =
        file::open(path, OFlag::O_PATH, Mode::empty()).or_cannot_at("allow access to", path)?;
    let stat = file::fstat(place.as_fd()).or_cannot_at("examine", path)?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFDIR {
        if access.to_bytes().contains(&b'c') {
            let pieces: [&[u8]; 3] = [b"cannot allow c on ", path.to_bytes(), b": no directory"];
            return Err(Error::new(Errno::ENOTDIR, &pieces));
        }
        rights &= OF_A_FILE;
    }
    let place = Kept::new(place).or_cannot_at("examine", path)?;
    let mut kept = ALLOWED.lock();
    let paths = &mut kept.get_or_insert_default().paths;
    paths.insert(AllowedPath { place, rights }).map(drop).or_cannot_at("allow access to", path)
}

/// `rsd_allow_port`
pub fn allow_port(port: i32, access: &CStr) -> Result<()> {
    let Ok(port) = u16::try_from(port) else {
        return Err(Error::invalid("port is out of range"));
    };
    if access.is_empty() || !access.to_bytes().iter().all(|letter| b"bc".contains(letter)) {
        return Err(Error::invalid("access is empty or has a letter that is neither b nor c"));
    }
    if version()? < 4 {
        let text: &[u8] = b"this kernel does not restrict TCP ports: it is older than Linux 6.7";
        return Err(Error::new(Errno::EOPNOTSUPP, &[text]));
    }
    let right = |letter| if letter == &b'b' { BIND_TCP } else { CONNECT_TCP };
    let rights = access.to_bytes().iter().map(right).fold(0, |all, right| all | right);
    let mut kept = ALLOWED.lock();
    let ports = &mut kept.get_or_insert_default().ports;
    ports.insert(AllowedPort { port, rights }).map(drop).or_cannot("allow a port")
}

/// `rsd_restrict_access`: the version of the interface by which it is done.
pub fn restrict() -> Result<u32> {
    let version = version()?;
    let refused = "learn whether other threads run, which would stay free";
    if process::has_threads().or_cannot(refused)? {
        let text: &[u8] = b"cannot restrict access: other threads run, which would stay free";
        return Err(Error::new(Errno::EBUSY, &[text]));
    }
    let mut kept = ALLOWED.lock();
    let allowed = kept.get_or_insert_default();
    apply(allowed, landlock::known(version)).or_cannot("restrict access")?;
    *kept = None;
    Ok(version)
}

/// Ports of a kind that nothing was allowed of are not restricted, files always.
fn apply(allowed: &mut Allowed, known: u64) -> nix::Result<()> {
    let ports = allowed.ports.iter().fold(0, |all, (_, one)| all | one.rights);
    let rules = landlock::new_rules(known, ports)?;
    for (_, one) in allowed.paths.iter() {
        landlock::allow_path(rules.as_fd(), one.place.get()?, one.rights & known)?;
    }
    for (_, one) in allowed.ports.iter() {
        landlock::allow_port(rules.as_fd(), one.port, one.rights)?;
    }
    seccomp::forbid_new_privileges()?;
    landlock::restrict_self(rules.as_fd())
}

/// Asked anew each time.
#[inline(never)]
fn version() -> Result<u32> {
    landlock::version().map_err(|errno| {
        let text: &[u8] = match errno {
            Errno::ENOSYS => {
                b"this kernel has no Landlock: it is older than Linux 5.13, or built without"
            }
            Errno::EOPNOTSUPP => {
                b"Landlock is not enabled: it is missing from the kernel's parameter lsm="
            }
            _ => return Error::cannot(errno, "ask for Landlock"),
        };
        Error::new(errno, &[text])
    })
}
