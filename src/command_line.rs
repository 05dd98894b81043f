//! A daemon's own command line: one word that says what to do, and the exit status that init scripts know.
//! The only room that writes to stdout and stderr without being a log.

mod asked;
mod voice;

use core::ffi::CStr;

use nix::{errno::Errno, fcntl::AT_FDCWD, unistd::Pid};

use self::{
    asked::{Asked, Word, Wrong},
    voice::{REPLY_MAX, Voice, put},
};
use crate::{
    control::client,
    daemonize,
    detach::Detach,
    error::{self, Line, OrCannot, Result},
    handed, lifecycle,
    sys::{
        arguments::MainArguments,
        file::{self, PathBuffer},
        process,
    },
};

// What LSB has init scripts leave with.
const DONE: i32 = 0;
const FAILED: i32 = 1;
const MISUSED: i32 = 2;
const NOT_IMPLEMENTED: i32 = 3;
const NOT_ALLOWED: i32 = 4;
const NOT_RUNNING: i32 = 7;

const RUNS: i32 = 0;
const LEFT_ITS_PIDFILE: i32 = 1;
const RUNS_NOT: i32 = 3;
const UNKNOWN: i32 = 4;

const STOP_TIMEOUT_MS: u32 = 30_000;
/// Who asks for the status wants to know whether the daemon answers now.
const STATUS_TIMEOUT_MS: i32 = 5000;

/// What the program says besides how its daemon is started.
pub struct Options<'a> {
    pub control: Option<&'a CStr>,
    pub usage: Option<&'a CStr>,
    pub timeout_ms: Option<u32>,
    pub kills: bool,
}

/// `rsd_command`: the exit status. `None`: this process is the daemon. `check` tells whether it could be, with what is
/// left of the arguments: 0, or the status to leave with.
pub fn run<'a>(
    arguments: &mut MainArguments<'a>,
    options: &Options<'a>,
    mut start: daemonize::Options<'a>,
    check: &mut dyn FnMut(&MainArguments) -> i32,
) -> Option<i32> {
    let name = start.name.unwrap_or(process::name());
    let voice = Voice { name: name.to_bytes() };
    let asked = match Asked::take(arguments) {
        Ok(asked) => asked,
        Err(Wrong::Unknown(word)) => {
            voice.complain(&[b"unknown command: ", word.to_bytes(), b"; see --help"]);
            return Some(MISUSED);
        }
        Err(Wrong::NoValue(option)) => {
            voice.complain(&[option, b" lacks its value; see --help"]);
            return Some(MISUSED);
        }
        Err(Wrong::NoDescriptor(text)) => {
            voice.complain(&[b"no number of a descriptor: ", text.to_bytes(), b"; see --help"]);
            return Some(MISUSED);
        }
    };
    if asked.for_help {
        voice.help(options.usage);
        return Some(DONE);
    }
    let word = match asked.word.unwrap_or(Word::Start) {
        // In the place of a daemon that runs.
        Word::Restart if handed::is_foreground().is_some() => Word::Start,
        word => word,
    };
    // In front of the text of rsd_fail(), too.
    start.name = Some(name);
    start.pidfile = asked.pidfile.or(start.pidfile);
    start.user = asked.user.or(start.user);
    start.notify_fd = asked.notify_fd.or(start.notify_fd);
    start.detach = match asked.detach {
        _ if word == Word::Run => Detach::Never,
        detach => detach.unwrap_or(start.detach),
    };
    let mut buffer = PathBuffer::new();
    let pidfile = match daemonize::pidfile_path(start.pidfile.unwrap_or_default(), &mut buffer) {
        Ok(pidfile) => pidfile,
        Err(error) => return Some(voice.failed(&error)),
    };
    if matches!(word, Word::Start | Word::Run | Word::Restart) {
        match check(arguments) {
            0 => {}
            status => return Some(if (1..=255).contains(&status) { status } else { FAILED }),
        }
    }
    let daemon = Daemon { voice, pidfile, options };
    match word {
        Word::Start | Word::Run => daemon.start(&start),
        Word::Restart => match daemon.stop() {
            DONE => daemon.start(&start),
            failed => Some(failed),
        },
        Word::Stop => Some(daemon.stop()),
        Word::Reload => Some(daemon.reload()),
        Word::Status => Some(daemon.status()),
    }
}

/// A failure before anything is known of the daemon: its sentence is written, too.
pub fn explained<T>(result: Result<T>) -> Result<T> {
    if let Err(error) = &result {
        Voice { name: process::name().to_bytes() }.failed(error);
    }
    result
}

struct Daemon<'a> {
    voice: Voice<'a>,
    pidfile: &'a CStr,
    options: &'a Options<'a>,
}

impl Daemon<'_> {
    #[inline(never)]
    fn start(&self, start: &daemonize::Options) -> Option<i32> {
        let Err(error) = daemonize::daemonize_with(start) else {
            return None;
        };
        // In the foreground the daemon that was asked for does not run, although another one does.
        if error.0 == Errno::EEXIST && !start.is_foreground() {
            let mut holder = None;
            error::keeping_sentence(|| holder = lifecycle::holder(self.pidfile).ok().flatten());
            if let Some(pid) = holder {
                self.voice.tell(&[b"already running as pid ", number(pid).as_bytes()]);
                return Some(DONE);
            }
        }
        Some(self.voice.failed(&error))
    }

    #[inline(never)]
    fn stop(&self) -> i32 {
        match lifecycle::stop(self.pidfile, self.timeout_ms(), self.options.kills) {
            Ok(Some(pid)) => self.voice.tell(&[b"stopped, it was pid ", number(pid).as_bytes()]),
            Ok(None) => self.voice.tell(&[b"not running"]),
            Err(error) => return self.voice.failed(&error),
        }
        DONE
    }

    #[inline(never)]
    fn reload(&self) -> i32 {
        match lifecycle::holder(self.pidfile) {
            Ok(None) => {
                self.voice.complain(&[b"not running"]);
                NOT_RUNNING
            }
            // Who may ask need not be allowed to read the pid file.
            _ if self.options.control.is_some() => self.reload_by_control(),
            Ok(Some(_)) => self.reload_by_signal(),
            Err(error) => self.voice.failed(&error),
        }
    }

    fn reload_by_control(&self) -> i32 {
        match self.ask(b"reload", self.timeout_ms()) {
            Ok(()) => {
                self.voice.tell(&[b"reloaded"]);
                DONE
            }
            Err(error) => self.voice.failed(&error),
        }
    }

    fn reload_by_signal(&self) -> i32 {
        match lifecycle::signal_if_caught(self.pidfile, libc::SIGHUP) {
            Ok(Some(pid)) => {
                self.voice.tell(&[b"asked pid ", number(pid).as_bytes(), b" to reload"]);
                DONE
            }
            Ok(None) => {
                self.voice.complain(&[b"cannot reload: it has no handler for SIGHUP"]);
                NOT_IMPLEMENTED
            }
            Err(error) => self.voice.failed(&error),
        }
    }

    #[inline(never)]
    fn status(&self) -> i32 {
        let voice = &self.voice;
        match self.holder_or_left() {
            Ok(Found::Holder(pid)) => {
                voice.tell(&[b"running as pid ", number(pid).as_bytes()]);
                if self.options.control.is_some() {
                    if let Err(error) = self.ask(b"status", STATUS_TIMEOUT_MS) {
                        voice.failed(&error);
                    }
                }
                RUNS
            }
            Ok(Found::Nobody) => {
                voice.tell(&[b"not running"]);
                RUNS_NOT
            }
            Ok(Found::Left) => {
                voice.tell(&[b"not running, but its pid file is left: ", self.pidfile.to_bytes()]);
                LEFT_ITS_PIDFILE
            }
            Err(error) => {
                voice.failed(&error);
                UNKNOWN
            }
        }
    }

    fn holder_or_left(&self) -> Result<Found> {
        if let Some(pid) = lifecycle::holder(self.pidfile)? {
            return Ok(Found::Holder(pid));
        }
        match file::lstat_at(AT_FDCWD, self.pidfile) {
            // Where it could not be removed, the end of a daemon has emptied it.
            Ok(stat) if stat.st_size > 0 => {
                // It may be that of a daemon that has been started meanwhile.
                Ok(lifecycle::holder(self.pidfile)?.map_or(Found::Left, Found::Holder))
            }
            Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(Found::Nobody),
            Err(errno) => Err(errno).or_cannot_at("examine", self.pidfile),
        }
    }

    /// Asks on the control socket, and shows the answer.
    fn ask(&self, command: &[u8], timeout_ms: i32) -> Result<()> {
        let control = self.options.control.unwrap_or_default();
        let mut reply = [0; REPLY_MAX];
        let asked = client::request(control, command, &mut reply, timeout_ms);
        let reply = reply.split(|&byte| byte == 0).next().unwrap_or_default();
        if !reply.is_empty() {
            let lines = reply.strip_suffix(b"\n").unwrap_or(reply).split(|&byte| byte == b'\n');
            lines.for_each(|line| put(1, &[b"  ", line]));
        }
        asked.map(drop)
    }

    fn timeout_ms(&self) -> i32 {
        self.options.timeout_ms.unwrap_or(STOP_TIMEOUT_MS).min(i32::MAX as u32) as i32
    }
}

enum Found {
    Holder(Pid),
    Nobody,
    /// A pid file that nobody holds.
    Left,
}

fn number(pid: Pid) -> Line {
    let mut line = Line::new();
    line.push_number(pid.as_raw() as u32);
    line
}
