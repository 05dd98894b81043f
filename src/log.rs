//! The log: each line goes to every target that was asked for, and none of them makes the program wait or
//! keeps the others from taking it. No lock and no heap: a line can be logged in a signal handler.

pub mod crash;
mod datagrams;
mod descriptor;
mod file;
mod health;
pub mod limit;
mod line;
pub mod pipe;
mod rotation;
mod stderr;
mod time;

use core::ffi::{CStr, c_int};
use std::{
    os::fd::BorrowedFd,
    sync::atomic::{AtomicI32, Ordering::SeqCst},
};

use nix::{sys::stat::Mode, unistd::getpid};

pub(crate) use self::{datagrams::FIELDS_MAX, line::TEXT_MAX};
use self::{
    datagrams::{Datagrams, Protocol},
    file::LogFile,
    line::{Line, NAME_MAX, Speaker},
    stderr::Stderr,
    time::Zone,
};
pub use self::{health::Told, line::level_name, rotation::Rotation};
use crate::{
    error::{self, OrCannot, Result},
    signals,
    sys::{
        memory::{Buffer, Published},
        process::{self, OfProcess, generation},
        time::Moment,
    },
};

/// What the program asked for.
pub struct Options<'a> {
    pub name: Option<&'a CStr>,
    pub facility: c_int,
    pub level: c_int,
    pub to_syslog: bool,
    pub to_journal: bool,
    pub to_stderr: bool,
    pub file: Option<&'a CStr>,
    /// Of a new file. `None`: 0640 less the umask.
    pub file_mode: Option<Mode>,
    pub file_owner: Option<&'a CStr>,
    pub rotation: Rotation,
    pub redirect_stdio: bool,
    pub reopen_signal: Option<c_int>,
}

/// An open log.
struct Log {
    name: Buffer<NAME_MAX>,
    facility: c_int,
    zone: Zone,
    file: Option<LogFile>,
    syslog: Option<Datagrams>,
    journal: Option<Datagrams>,
    stderr: Option<Stderr>,
    reopen_signal: Option<c_int>,
}

static LOG: Published<Log> = Published::new();

/// The least important level that is logged.
static LEVEL: AtomicI32 = AtomicI32::new(libc::LOG_DEBUG);

/// Until there is a log.
static STDERR: Stderr = Stderr::plain();

/// `rsd_open_log`
pub fn open(options: &Options) -> Result<()> {
    let before = LOG.get();
    let signal_before = before.and_then(|log| log.reopen_signal);
    signals::claim_reopen(signal_before, options.reopen_signal)?;
    let opened = Log::open(options).and_then(|log| LOG.publish(log).or_cannot("open the log"));
    let log = match opened {
        Ok(log) => log,
        Err(error) => {
            error::keeping_sentence(|| {
                let _ = signals::claim_reopen(options.reopen_signal, signal_before);
            });
            return Err(error);
        }
    };
    set_level(options.level);
    if let Some(before) = before {
        before.close();
    }
    if let Some(file) = &log.file {
        file.redirect_stdio();
    }
    Ok(())
}

#[inline(never)]
fn shown_name(name: &CStr) -> Buffer<NAME_MAX> {
    let mut room = Buffer::new();
    let mut shown = Buffer::new();
    shown.push(line::visible(name.to_bytes(), NAME_MAX, &mut room));
    shown
}

impl Log {
    fn open(options: &Options) -> Result<Self> {
        let file = match options.file {
            Some(path) => Some(LogFile::open(path, options)?),
            None => None,
        };
        Ok(Log {
            name: shown_name(options.name.unwrap_or(process::name())),
            facility: options.facility,
            zone: Zone::local(),
            file,
            syslog: options.to_syslog.then(|| Datagrams::new(Protocol::Syslog)),
            journal: options.to_journal.then(|| Datagrams::new(Protocol::Journal)),
            stderr: options.to_stderr.then(Stderr::new),
            reopen_signal: options.reopen_signal,
        })
    }

    fn close(&self) {
        self.file.as_ref().map(LogFile::close);
        [&self.syslog, &self.journal].into_iter().flatten().for_each(Datagrams::close);
        self.stderr.as_ref().map(Stderr::close);
    }

    fn speaker(&self) -> Speaker<'_> {
        let name = self.name.as_bytes();
        Speaker { name, pid: pid(), facility: self.facility, zone: &self.zone }
    }

    fn put(&self, line: &Line) {
        if let Some(file) = &self.file {
            file.put(line);
        }
        for datagrams in [&self.syslog, &self.journal].into_iter().flatten() {
            datagrams.put(line);
        }
        if let Some(stderr) = &self.stderr {
            stderr.put(line);
        }
    }
}

/// getpid(2), once in each process.
pub fn pid() -> u32 {
    static PID: OfProcess = OfProcess::new();
    let process = generation();
    match PID.get(process) {
        0 => {
            let pid = getpid().as_raw() as u32;
            PID.change(process, |_| pid);
            pid
        }
        pid => pid,
    }
}

/// Without the facility that syslog(3) allows there.
fn level_of(priority: c_int) -> c_int {
    priority & 7
}

pub fn is_wanted(priority: c_int) -> bool {
    level_of(priority) <= level()
}

pub fn level() -> c_int {
    LEVEL.load(SeqCst)
}

/// "2026-11-25T16:05:59.123456+01:00"
pub fn stamp(at: Moment) -> [u8; 32] {
    match LOG.get() {
        Some(log) => log.zone.rfc3339(at),
        None => Zone::utc().rfc3339(at),
    }
}

/// The level of this name, as in syslog.conf(5).
pub fn level_named(name: &[u8]) -> Option<c_int> {
    line::LEVELS.iter().position(|level| *level == name).map(|level| level as c_int)
}

/// Returns the one before.
pub fn set_level(level: c_int) -> c_int {
    LEVEL.swap(level, SeqCst)
}

/// Async-signal-safe.
pub fn write(priority: c_int, text: &[u8], fields: &[&CStr]) {
    let level = level_of(priority);
    match LOG.get() {
        Some(log) => log.speaker().say(level, text, fields, |line| log.put(line)),
        None => write_without_log(level, text, fields),
    }
}

#[cold]
#[inline(never)]
fn write_without_log(level: c_int, text: &[u8], fields: &[&CStr]) {
    let (name, zone) = (shown_name(process::name()), &Zone::utc());
    let facility = libc::LOG_DAEMON;
    let speaker = Speaker { name: name.as_bytes(), pid: pid(), facility, zone };
    speaker.say(level, text, fields, |line| STDERR.put(line));
}

pub fn is_open() -> bool {
    LOG.get().is_some()
}

/// `rsd_reopen_log`
pub fn reopen() -> Result<()> {
    let Some(log) = LOG.get() else { return Ok(()) };
    [&log.syslog, &log.journal].into_iter().flatten().for_each(Datagrams::connect);
    log.file.as_ref().map_or(Ok(()), LogFile::reopen)
}

/// What stdout and stderr of a daemon are to be, if the log says so.
pub fn stdio() -> Option<BorrowedFd<'static>> {
    LOG.get()?.file.as_ref()?.stdio()
}

/// Stderr of a daemon is not the terminal of whoever started it any more.
pub fn let_go_of_terminal() {
    LOG.get().and_then(|log| log.stderr.as_ref()).map(Stderr::close);
}

/// How file, syslog, journal and stderr are doing.
pub fn health() -> [Told; 4] {
    let Some(log) = LOG.get() else {
        let nothing = Told::default();
        return [nothing, nothing, nothing, STDERR.health.told()];
    };
    let health = [
        log.file.as_ref().map(|file| &file.health),
        log.syslog.as_ref().map(|syslog| &syslog.health),
        log.journal.as_ref().map(|journal| &journal.health),
        log.stderr.as_ref().map(|stderr| &stderr.health),
    ];
    health.map(|health| health.map(health::Health::told).unwrap_or_default())
}

pub fn reopen_errno() -> c_int {
    LOG.get().and_then(|log| log.file.as_ref()).map_or(0, LogFile::reopen_errno)
}
