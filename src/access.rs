//! Which files and TCP ports the process may still open, by Landlock. What is allowed is kept here, so that no other
//! process can add to it, and goes to the kernel all at once.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::stat::{Mode, SFlag},
};

use crate::{
    error::{Error, OrCannot, Result},
    kept::Kept,
    sys::{
        file::{self, OwnedFd, Text},
        landlock::{
            self, BIND_TCP, CONNECT_TCP, EXECUTE, IOCTL_DEV, MAKE_DIR, MAKE_FIFO, MAKE_REG,
            MAKE_SOCK, MAKE_SYM, READ_DIR, READ_FILE, REFER, REMOVE_DIR, REMOVE_FILE, TRUNCATE,
            WRITE_FILE,
        },
        memory::{Buffer, Table},
        process::{self, Scope},
        seccomp,
        thread::Mutex,
    },
    text,
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

/// What is not to be refused.
#[derive(Default)]
struct Allowed {
    paths: Table<AllowedPath>,
    ports: Table<AllowedPort>,
}

/// By `rsd_allow_path` and `rsd_allow_port`.
static ALLOWED: Mutex<Option<Allowed>> = Mutex::new(None);

impl Allowed {
    /// Opens the path.
    #[inline(never)]
    fn add_path(&mut self, path: &CStr, letters: &[u8]) -> Result<()> {
        let mut rights = 0;
        for letter in letters {
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
        if file::kind(&stat) != SFlag::S_IFDIR {
            if letters.contains(&b'c') {
                let pieces: [&[u8]; 3] =
                    [b"cannot allow c on ", path.to_bytes(), b": no directory"];
                return Err(Error::new(Errno::ENOTDIR, &pieces));
            }
            rights &= OF_A_FILE;
        }
        let place = Kept::new(place).or_cannot_at("examine", path)?;
        let added = self.paths.insert(AllowedPath { place, rights });
        added.map(drop).or_cannot_at("allow access to", path)
    }

    fn add_port(&mut self, port: u16, rights: u64) -> Result<()> {
        if version()? < 4 {
            let text: &[u8] =
                b"this kernel does not restrict TCP ports: it is older than Linux 6.7";
            return Err(Error::new(Errno::EOPNOTSUPP, &[text]));
        }
        self.ports.insert(AllowedPort { port, rights }).map(drop).or_cannot("allow a port")
    }

    /// "rwc:/PATH", "bind:PORT" or "connect:PORT".
    fn add_rule(&mut self, rule: &[u8]) -> Result<()> {
        let mut halves = rule.splitn(2, |&byte| byte == b':');
        let how = halves.next().unwrap_or_default();
        let Some(what) = halves.next() else {
            let pieces: [&[u8]; 3] = [b"cannot use the rule ", rule, b": it lacks its :"];
            return Err(Error::new(Errno::EINVAL, &pieces));
        };
        let right = match how {
            b"bind" => BIND_TCP,
            b"connect" => CONNECT_TCP,
            letters => {
                let path = Text::new(what).or_cannot("keep a path")?;
                return self.add_path(path.as_c_str(), letters);
            }
        };
        match text::number(what).and_then(|port| u16::try_from(port).ok()) {
            Some(port) => self.add_port(port, right),
            None => Err(Error::invalid("port is out of range")),
        }
    }
}

/// `rsd_allow_path`
pub fn allow_path(path: &CStr, access: &CStr) -> Result<()> {
    ALLOWED.lock().get_or_insert_default().add_path(path, access.to_bytes())
}

/// `rsd_allow_port`
pub fn allow_port(port: i32, access: &CStr) -> Result<()> {
    let Ok(port) = u16::try_from(port) else {
        return Err(Error::invalid("port is out of range"));
    };
    if access.is_empty() || !access.to_bytes().iter().all(|letter| b"bc".contains(letter)) {
        return Err(Error::invalid("access is empty or has a letter that is neither b nor c"));
    }
    let right = |letter| if letter == &b'b' { BIND_TCP } else { CONNECT_TCP };
    let rights = access.to_bytes().iter().map(right).fold(0, |all, right| all | right);
    ALLOWED.lock().get_or_insert_default().add_port(port, rights)
}

/// `rsd_restrict_access`: the version of the interface by which it is done.
pub fn restrict() -> Result<u32> {
    let version = version()?;
    refuse_threads()?;
    let mut kept = ALLOWED.lock();
    let rules = compile(version, &mut [kept.get_or_insert_default()])?;
    enter(rules.as_fd())?;
    *kept = None;
    Ok(version)
}

/// Rules that the kernel has, and that are not in force yet.
pub struct Rules {
    rules: OwnedFd,
    /// Those of ports, where the kernel only restricts files.
    left_out: LeftOut,
}

pub type LeftOut = Buffer<1024>;

impl Rules {
    /// "r:/etc/mydaemon rwc:/var/lib/mydaemon bind:80", and what was allowed before. With `best_effort` files are
    /// restricted where ports cannot be.
    #[inline(never)]
    pub fn prepare(rules: &CStr, best_effort: bool) -> Result<Self> {
        let version = version()?;
        let mut allowed = Allowed::default();
        let mut left_out = LeftOut::new();
        for rule in text::words(rules.to_bytes()) {
            match allowed.add_rule(rule) {
                Err(Error(Errno::EOPNOTSUPP)) if best_effort && is_of_port(rule) => {
                    left_out.push(if left_out.as_bytes().is_empty() { b"" } else { b" " });
                    left_out.push(rule);
                }
                added => added?,
            }
        }
        let rules = compile(version, &mut [&mut allowed, ALLOWED.lock().get_or_insert_default()])?;
        Ok(Rules { rules, left_out })
    }

    pub fn left_out(&self) -> &[u8] {
        self.left_out.as_bytes()
    }

    /// Neither heap nor lock.
    pub fn apply(&self, scope: Scope) -> Result<()> {
        if scope == Scope::Process {
            refuse_threads()?;
        }
        enter(self.rules.as_fd())
    }
}

pub fn is_of_port(rule: &[u8]) -> bool {
    rule.starts_with(b"bind:") || rule.starts_with(b"connect:")
}

/// Ports of a kind that nothing was allowed of are not restricted, files always.
#[inline(never)]
fn compile(version: u32, all: &mut [&mut Allowed]) -> Result<OwnedFd> {
    let cannot = "restrict access";
    let known = landlock::known(version);
    let ports = all.iter_mut().flat_map(|allowed| allowed.ports.iter());
    let ports = ports.fold(0, |all, (_, one)| all | one.rights);
    let rules = landlock::new_rules(known, ports).or_cannot(cannot)?;
    for allowed in all {
        for (_, one) in allowed.paths.iter() {
            let rights = one.rights & known;
            let added = one.place.get();
            let added = added.and_then(|at| landlock::allow_path(rules.as_fd(), at, rights));
            match added {
                // It leads to a pipe, a socket or the like, which are never restricted.
                Err(Errno::EBADFD) => {}
                added => added.or_cannot(cannot)?,
            }
        }
        for (_, one) in allowed.ports.iter() {
            landlock::allow_port(rules.as_fd(), one.port, one.rights).or_cannot(cannot)?;
        }
    }
    Ok(rules)
}

fn refuse_threads() -> Result<()> {
    let refused = "learn whether other threads run, which would stay free";
    if process::has_threads().or_cannot(refused)? {
        let text: &[u8] = b"cannot restrict access: other threads run, which would stay free";
        return Err(Error::new(Errno::EBUSY, &[text]));
    }
    Ok(())
}

fn enter(rules: BorrowedFd) -> Result<()> {
    seccomp::forbid_new_privileges().or_cannot("restrict access")?;
    landlock::restrict_self(rules).or_cannot("restrict access")
}

/// Asked anew each time.
#[inline(never)]
fn version() -> Result<u32> {
    let filtered: &[u8] = b"a filter that this process runs under keeps it from Landlock";
    landlock::version().map_err(|errno| {
        let text: &[u8] = match errno {
            Errno::ENOSYS => {
                b"this kernel has no Landlock: it is older than Linux 5.13, or built without"
            }
            Errno::EOPNOTSUPP => {
                b"Landlock is not enabled: it is missing from the kernel's parameter lsm="
            }
            // The kernel itself does not say so.
            Errno::EPERM => return Error::new(Errno::EOPNOTSUPP, &[filtered]),
            _ => return Error::cannot(errno, "ask for Landlock"),
        };
        Error::new(errno, &[text])
    })
}
