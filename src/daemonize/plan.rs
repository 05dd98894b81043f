//! What a start needs, prepared in the caller, and its steps, carried out in the daemon.

use core::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd};

use nix::{
    fcntl::OFlag,
    sys::stat::Mode,
    unistd::{Pid, fchdir, getpid},
};

use super::{
    Options, Stdio,
    state::{Daemon, Stage, daemon},
};
use crate::{
    detach::{self, Choice, Detach},
    error::{OrCannot, Result},
    handed,
    inherited::{self, Descriptors},
    kept::Kept,
    launch::SignalState,
    log,
    notify::NotifyFd,
    pidfile::{self, Held, Place, Style},
    privileges::{self, Target},
    sandbox::Sandbox,
    signals, sockets, stdio,
    sys::{
        file::{self, OwnedFd, PathBuffer, Text},
        process::{self, Scope},
    },
    watchdog,
};

/// All that the options name, looked up and opened in the caller.
pub struct Plan<'a> {
    pub options: &'a Options<'a>,
    choice: Choice,
    /// The service manager takes it, or who is its caller, for the main process of the service.
    is_main: bool,
    /// It succeeds another daemon.
    succeeds: bool,
    /// The process that was told to become a daemon.
    caller: Pid,
    name: Option<Text>,
    /// The path of the program: a new version may stand there later, and this one be moved away.
    program: Option<Text>,
    null: OwnedFd,
    log: Option<OwnedFd>,
    directory: Option<OwnedFd>,
    inherited: Option<Descriptors<'a>>,
    notify_fd: Option<NotifyFd>,
    /// How often the service manager is to be told that the daemon goes on.
    watchdog_ms: Option<i64>,
    target: Target,
    sandbox: Option<Sandbox<'a>>,
    pub place: Option<Place>,
    pub style: Style,
}

impl<'a> Plan<'a> {
    /// One after the other into a plan that is whole at every moment: a failure in the middle of a
    /// struct literal needs code to take back each part of it.
    #[inline(never)]
    pub fn prepare(options: &'a Options<'a>, choice: Choice) -> Result<Self> {
        let mut plan = Plan {
            options,
            choice,
            is_main: !detach::was_executed_for_another(),
            succeeds: handed::is_foreground().is_some(),
            caller: getpid(),
            name: None,
            program: process::program().ok(),
            null: stdio::open_null()?,
            log: None,
            directory: None,
            inherited: None,
            notify_fd: None,
            watchdog_ms: watchdog::wanted(),
            target: Target::nobody(),
            sandbox: None,
            place: None,
            style: Style { mode: options.pidfile_mode, owner: None },
        };
        if let Some(fd) = options.notify_fd {
            plan.notify_fd = Some(NotifyFd::new(fd).or_cannot("use notify_fd")?);
        }
        if let Some(name) = options.name {
            plan.name = Some(Text::new(name.to_bytes()).or_cannot("keep the name")?);
        }
        if let Some(keep) = options.close_inherited {
            plan.inherited = Some(Descriptors::except(keep));
        }
        plan.target.look_up(options.user, options.group)?;
        if let Some(owner) = options.pidfile_owner {
            plan.style.owner = Some(privileges::find_owner(owner)?);
        }
        if let Some(path) = options.directory {
            plan.directory = Some(open_directory(path)?);
        }
        if let Some(path) = options.pidfile {
            let mut buffer = PathBuffer::new();
            let may_be_name = options.pidfile_may_be_name;
            let path = if may_be_name { pidfile_path(path, &mut buffer)? } else { path };
            plan.place = Some(Place::fixed(path)?);
        }
        if let Some(path) = options.log_file {
            let log = stdio::open_log(path, OFlag::O_CREAT, options.log_file_mode);
            let log = log.and_then(|log| stdio::examine_log(&log).map(|_| log));
            plan.log = Some(log.map_err(|errno| stdio::refused_log(errno, path))?);
        }
        if let Some(sandbox) = &options.sandbox {
            plan.sandbox = Some(Sandbox::prepare(sandbox)?);
        }
        Ok(plan)
    }

    /// Makes this process the daemon. The pid file comes after all that can fail without leaving
    /// anything behind, and before privileges are given up.
    #[inline(never)] // two callers
    pub fn carry_out(
        &mut self,
        channel: Option<&OwnedFd>,
        signals: Option<&SignalState>,
    ) -> Result<()> {
        if let Some(signals) = signals {
            signals.restore_actions()?;
        }
        if let Some(directory) = &self.directory {
            fchdir(directory).or_cannot("change the working directory")?;
        }
        if let Some(mask) = self.options.umask {
            process::set_umask(mask);
        }
        if let Some(inherited) = &self.inherited {
            inherited.close(&self.numbers(channel));
        }
        let pidfile = self.take_pidfile()?;
        let rest = self.target.assume().and_then(|()| {
            pidfile::hand_over_from(self.caller)?;
            sockets::hand_over_from(self.caller);
            // Last of what may fail for the user's reasons: in the foreground he is still there.
            let output_at_ready = self.redirect()?;
            if let Some(signals) = signals {
                signals.restore_mask()?;
            }
            if self.options.reset_signals {
                inherited::reset_signals()?;
            }
            if getpid().as_raw() == 1 {
                signals::end_process_1()?;
            }
            if let Some(sandbox) = &mut self.sandbox {
                sandbox.apply(Scope::Process)?;
            }
            Ok(output_at_ready)
        });
        match rest {
            Ok(output_at_ready) => {
                *daemon() = Some(Daemon {
                    owner: getpid(),
                    name: self.name.take(),
                    program: self.program.take(),
                    stage: Stage::Starting,
                    choice: self.choice,
                    is_main: self.is_main,
                    succeeds: self.succeeds,
                    is_automatic: self.options.detach == Detach::Automatic,
                    notify_fd: self.notify_fd.take(),
                    watchdog_ms: self.watchdog_ms,
                    channel: None,
                    pidfile,
                    pidfile_at_ready: self.place.take().map(|place| (place, self.style)),
                    output_at_ready,
                });
                Ok(())
            }
            Err(error) => {
                pidfile.into_iter().for_each(Held::release);
                Err(error)
            }
        }
    }

    /// Takes the pid file now, or makes sure that nobody has it if it comes later.
    #[inline(never)]
    fn take_pidfile(&mut self) -> Result<Option<Held>> {
        let Some(place) = self.place.take() else {
            return Ok(None);
        };
        if !self.options.pidfile_at_ready {
            let lock = pidfile::lock(&place, &self.style)?;
            return Held::new(place, lock).map(Some);
        }
        // The daemon before has it, perhaps, and hands it over.
        if !self.succeeds {
            pidfile::clear_stale(&place, &self.style)?;
        }
        self.place = Some(place);
        Ok(None)
    }

    /// Returns what stdout and stderr become when ready.
    #[inline(never)]
    fn redirect(&self) -> Result<Option<Kept>> {
        let log = self.log.as_ref().map(AsFd::as_fd);
        let output = log.or(log::stdio()).unwrap_or(self.null.as_fd());
        let mut later = None;
        let stays = self.choice.is_foreground && self.options.log_file.is_none();
        let default = if stays { Stdio::Kept } else { Stdio::Redirected };
        match self.options.stdio.unwrap_or(default) {
            Stdio::Kept => {}
            Stdio::Redirected => {
                stdio::redirect_input(&self.null)?;
                stdio::redirect_output(output)?;
                log::let_go_of_terminal();
            }
            Stdio::KeptUntilReady => {
                stdio::redirect_input(&self.null)?;
                let copy = file::copy_above(output, 3).and_then(Kept::new);
                later = Some(copy.or_cannot("keep the output for later")?);
            }
        }
        stdio::fill_gaps(&self.null)?;
        Ok(later)
    }

    /// The numbers of our own descriptors.
    fn numbers(&self, channel: Option<&OwnedFd>) -> [i32; 6] {
        let number = |fd: Option<&OwnedFd>| fd.map_or(-1, OwnedFd::as_raw_fd);
        [
            number(channel),
            number(Some(&self.null)),
            number(self.log.as_ref()),
            number(self.directory.as_ref()),
            self.place.as_ref().map_or(-1, Place::number),
            self.notify_fd.as_ref().map_or(-1, NotifyFd::number),
        ]
    }
}

#[inline(never)]
fn open_directory(path: &CStr) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    file::open(path, flags, Mode::empty()).or_cannot_at("open the working directory", path)
}

/// A path, or a name: "mydaemon" is /run/mydaemon.pid.
#[inline(never)]
pub fn pidfile_path<'a>(path: &'a CStr, buffer: &'a mut PathBuffer) -> Result<&'a CStr> {
    let bytes = path.to_bytes();
    if bytes.contains(&b'/') || bytes.is_empty() {
        return Ok(path);
    }
    let ending: &[u8] = if bytes.ends_with(b".pid") { b"" } else { b".pid" };
    buffer.join(&[b"/run/", bytes, ending]).or_cannot_at("use the path", path)
}
