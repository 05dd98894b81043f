//! The commands: those of the program, and those that every daemon has.

use core::ffi::CStr;

use nix::errno::Errno;

use super::{Request, listener::Access};
use crate::{
    daemonize::{self, Stage},
    error::{Error, OrCannot, Result},
    log,
    sandbox::report,
    signals::{self, Met},
    status,
    sys::{
        callback::Callback,
        file::Text,
        memory::{Buffer, Table},
        stream::Peer,
        thread::Mutex,
    },
};

/// A callback of C; only ffi calls it.
pub type CommandCallback =
    Callback<unsafe extern "C" fn(*mut crate::ffi::rsd_control_request, *mut core::ffi::c_void)>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only tells something.
    Query,
    Command,
}

struct Entry {
    kind: Kind,
    name: Text,
    help: Text,
    callback: CommandCallback,
}

/// The program's. In a forked child, too, as they are code.
static ENTRIES: Mutex<Table<Entry>> = Mutex::new(Table::new());

/// What is to be done about a request that was served.
pub enum Served {
    Answer,
    /// There is no answer before the reload has ended.
    Reload(Met),
    /// As `Answer`, and then the program is to end.
    Stop,
}

struct BuiltIn {
    kind: Kind,
    name: &'static CStr,
    help: &'static CStr,
    serve: fn(&mut Request) -> Result<Served>,
}

#[rustfmt::skip]
static BUILT_IN: [BuiltIn; 7] = [
    BuiltIn { kind: Kind::Query, name: c"help", help: c"tell the commands", serve: help },
    BuiltIn { kind: Kind::Query, name: c"ping", help: c"answer", serve: ping },
    BuiltIn { kind: Kind::Query, name: c"status", help: c"tell how the daemon is doing", serve: status },
    BuiltIn { kind: Kind::Command, name: c"reload", help: c"read the configuration anew, and tell the outcome", serve: reload },
    BuiltIn { kind: Kind::Command, name: c"stop", help: c"end the daemon", serve: stop },
    BuiltIn { kind: Kind::Command, name: c"log-level", help: c"[LEVEL]: tell or set the level of the log", serve: log_level },
    BuiltIn { kind: Kind::Command, name: c"reopen-logs", help: c"reopen the log file", serve: reopen_logs },
];

impl Access {
    fn allows(self, kind: Kind) -> bool {
        self == Access::Everything || kind == Kind::Query
    }
}

/// `rsd_control_command`, `rsd_control_query`
pub fn enter(
    kind: Kind,
    name: &CStr,
    help: &CStr,
    callback: Option<CommandCallback>,
) -> Result<()> {
    let is_word = |byte: &u8| !byte.is_ascii_control() && !matches!(byte, b' ' | b'"' | b'\\');
    if name.is_empty() || !name.to_bytes().iter().all(is_word) {
        return Err(Error::invalid("the name of a command is not one word"));
    }
    if BUILT_IN.iter().any(|built_in| built_in.name == name) {
        return Err(Error::new(
            Errno::EEXIST,
            &[b"every daemon has the command ", name.to_bytes()],
        ));
    }
    let entry = match callback {
        Some(callback) => Some(Entry {
            kind,
            name: Text::new(name.to_bytes()).or_cannot("keep a command")?,
            help: Text::new(help.to_bytes()).or_cannot("keep a command")?,
            callback,
        }),
        None => None,
    };
    let mut entries = ENTRIES.lock();
    let same = entries.iter().find(|(_, entry)| entry.name.as_c_str() == name);
    if let Some(number) = same.map(|(number, _)| number) {
        drop(entries.take(number)); // and there is room for the new one
    }
    if let Some(entry) = entry {
        entries.insert(entry).or_cannot("keep a command")?;
    }
    Ok(())
}

/// Who serves a request.
pub enum Server {
    Ours(fn(&mut Request) -> Result<Served>),
    Program(CommandCallback),
}

pub fn find(request: &Request) -> Result<Server> {
    let name = request.words.first();
    let (kind, server) = match BUILT_IN.iter().find(|built_in| built_in.name == name) {
        Some(built_in) => (built_in.kind, Server::Ours(built_in.serve)),
        None => {
            let mut entries = ENTRIES.lock();
            let Some((_, entry)) = entries.iter().find(|(_, entry)| entry.name.as_c_str() == name)
            else {
                let pieces = [b"there is no command ".as_slice(), name.to_bytes(), b"; try help"];
                return Err(Error::new(Errno::ENOENT, &pieces));
            };
            (entry.kind, Server::Program(entry.callback))
        }
    };
    match request.access.allows(kind) {
        true => Ok(server),
        false => {
            let pieces = [b"the command ".as_slice(), name.to_bytes(), b" is not for you"];
            Err(Error::new(Errno::EACCES, &pieces))
        }
    }
}

fn help(request: &mut Request) -> Result<Served> {
    let access = request.access;
    let built_in = BUILT_IN.iter().filter(|built_in| access.allows(built_in.kind));
    for built_in in built_in {
        print(request, &[built_in.name.to_bytes(), b"  ", built_in.help.to_bytes()])?;
    }
    let mut entries = ENTRIES.lock();
    for (_, entry) in entries.iter().filter(|(_, entry)| access.allows(entry.kind)) {
        let help = entry.help.as_c_str().to_bytes();
        let space: &[u8] = if help.is_empty() { b"" } else { b"  " };
        print(request, &[entry.name.as_c_str().to_bytes(), space, help])?;
    }
    Ok(Served::Answer)
}

/// A line of text.
fn print(request: &mut Request, pieces: &[&[u8]]) -> Result<()> {
    pieces.iter().try_for_each(|piece| request.print(piece))?;
    request.print(b"\n")
}

fn print_number(request: &mut Request, name: &[u8], number: u32) -> Result<()> {
    let mut digits = Buffer::<20>::new();
    digits.push_number(number, 1);
    print(request, &[name, digits.as_bytes()])
}

fn ping(_: &mut Request) -> Result<Served> {
    Ok(Served::Answer)
}

fn status(request: &mut Request) -> Result<Served> {
    let status = status::get();
    print_number(request, b"pid: ", log::pid())?;
    if let Some(since) = status.since {
        print(request, &[b"since: ", &log::stamp(since)])?;
    }
    let state: &[u8] = match daemonize::stage() {
        _ if signals::is_shutdown() => b"stopping",
        _ if status.is_reloading => b"reloading",
        Some(Stage::Starting) => b"starting",
        Some(Stage::Over) => b"failed",
        Some(Stage::Ready) | None => b"ready",
    };
    print(request, &[b"state: ", state])?;
    if !status.text.as_bytes().is_empty() {
        print(request, &[b"status: ", status.text.as_bytes()])?;
    }
    print_number(request, b"reloads: ", status.reloads)?;
    print_number(request, b"failed reloads: ", status.failed_reloads)?;
    if !status.reason.as_bytes().is_empty() {
        print(request, &[b"latest reload failed: ", status.reason.as_bytes()])?;
    }
    let lost = log::health().iter().fold(0u32, |sum, told| sum.saturating_add(told.lost));
    print_number(request, b"lost log lines: ", lost)?;
    report::tell(&mut |line| print(request, &[b"sandbox: ", line]))?;
    Ok(Served::Answer)
}

/// For a daemon, SIGHUP that is not handled is no way to read its configuration.
fn reload(request: &mut Request) -> Result<Served> {
    match signals::act_as(libc::SIGHUP, (request.peer.pid, request.peer.uid), false) {
        Met::Nothing => Err(Error::new(
            Errno::ENOTSUP,
            &[b"this daemon has nothing to read anew: no SIGHUP flag"],
        )),
        met => Ok(Served::Reload(met)),
    }
}

fn stop(_: &mut Request) -> Result<Served> {
    Ok(Served::Stop)
}

/// What `stop` is for, after it was answered.
pub fn end_program(peer: Peer) {
    signals::act_as(libc::SIGTERM, (peer.pid, peer.uid), true);
}

fn log_level(request: &mut Request) -> Result<Served> {
    let wanted = request.words.iter().nth(1).map(CStr::to_bytes);
    match wanted {
        None => {
            let level = log::level_name(log::level());
            print(request, &[level])?;
        }
        Some(name) => match log::level_named(name) {
            Some(level) => drop(log::set_level(level)),
            None => {
                let why: &[u8] =
                    b"levels are emerg, alert, crit, err, warning, notice, info, debug";
                return Err(Error::new(Errno::EINVAL, &[why]));
            }
        },
    }
    Ok(Served::Answer)
}

fn reopen_logs(_: &mut Request) -> Result<Served> {
    log::reopen().map(|()| Served::Answer)
}
