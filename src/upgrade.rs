//! A new start of the program beside this daemon, which takes over its locks and sockets. Until it is ready nothing of
//! this daemon has changed, and if it never is, nothing ever does.

use core::{
    ffi::{CStr, c_char, c_int},
    ptr,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::stat::{Mode, SFlag},
    unistd::{getpid, read},
};

use crate::{
    channel::{self, Word},
    control,
    daemonize::{self, Serving},
    deadline::{Deadline, FOR_EVER},
    error::{self, Error, Line, OrCannot, Result},
    handed, inherited,
    launch::{self, Forks, Side, Successor},
    log, notify, pidfile, signals, sockets, status,
    sys::{
        file::{self, OwnedFd, Text},
        load,
        memory::{Buffer, Bytes},
        process::{self, Arguments},
        retry, socket,
    },
    watchdog,
};

/// How long the new process may take from our word to its pid file.
const TAKE_OVER_MS: i32 = 5000;
/// The longest command line.
const ARGUMENTS_MAX: usize = 2 << 20;

/// `rsd_upgrade`. None: the arguments of this process.
pub fn upgrade(arguments: Option<Arguments>, timeout_ms: Option<u32>) -> Result<()> {
    let daemon = daemonize::serving()?
        .ok_or_else(|| refused(Errno::EPERM, b"this process is no daemon that is ready"))?;
    if getpid().as_raw() == 1 {
        return Err(refused(Errno::ENOTSUP, b"this is process 1, whose end is everybody's"));
    }
    if daemon.is_foreground && !(daemon.is_main && notify::has_manager()) {
        return Err(refused(
            Errno::ENOTSUP,
            b"in the foreground whoever has started this process would take its end for that of the daemon",
        ));
    }
    refuse_to_live_on()?;
    let mut own = Strings::new();
    let (path, arguments) = match &arguments {
        Some(arguments) => (arguments.first(), arguments.as_ptr()),
        None => {
            own.read(c"/proc/self/cmdline")?;
            let path = daemon.program.as_ref().map(Text::as_c_str).unwrap_or_default();
            (path, own.pointers()?)
        }
    };
    let mut estate = Estate::collect(&daemon)?;
    let mut environment = Environment::new();
    environment.fill(&estate, &daemon)?;
    let variables = environment.strings.pointers()?;
    let ignored = inherited::ignored_signals();
    error::sentence(); // allocated now, not after the fork
    match launch::launch(Forks::ToSucceed)? {
        Side::Daemon { channel, .. } => {
            estate.put_channel(&channel);
            environment.complete();
            let errno = process::execute(path, arguments, variables, estate.fds(), ignored);
            let failed = Error::cannot_at(errno, "run", path.to_bytes());
            // Its number may be another descriptor's by now.
            let channel = estate.channel().unwrap_or(channel.as_fd());
            let _ = channel::send(channel, &Word::Failed(failed));
            process::exit_now(1)
        }
        Side::Launcher(launcher) => {
            let mut is_told = false;
            let every_ms = daemon.watchdog_ms;
            let waited = launcher.wait_for_successor(timeout_ms, every_ms, |ready, channel| {
                is_told = true;
                let_go(&daemon, ready, channel)
            });
            if let Err(error) = waited {
                // It has been ended since, whatever it had written.
                error::keeping_sentence(|| {
                    if is_told {
                        tell_manager(&daemon);
                    }
                    estate.reclaim();
                });
                return Err(error);
            }
        }
    }
    // What is said of this process concerns nobody any more.
    watchdog::stop();
    notify::forget();
    handed::is_succeeded();
    daemonize::is_succeeded();
    control::let_go();
    sockets::is_succeeded();
    pidfile::is_succeeded();
    Ok(())
}

/// Who was told to end does not live on in another process.
fn refuse_to_live_on() -> Result<()> {
    match signals::is_shutdown() {
        true => Err(Error::new(Errno::EINTR, &[b"cannot upgrade: the daemon was told to end"])),
        false => Ok(()),
    }
}

fn refused(errno: Errno, why: &[u8]) -> Error {
    Error::new(errno, &[b"cannot upgrade: ", why])
}

/// The new process waits for our word, and writes its number into the pid files then.
fn let_go(daemon: &Serving, ready: &Successor, channel: BorrowedFd) -> Result<()> {
    let pid = ready.pid;
    launch::hand_over(daemon.is_main, pid, ready.status)?;
    // A handler may have run in another thread.
    refuse_to_live_on().and_then(|()| ready.refuse_cancelled())?;
    let is_taken = socket::send(channel, &daemonize::GO).is_ok()
        && Deadline::after(TAKE_OVER_MS).poll(Some(channel), FOR_EVER) == Ok(true)
        && socket::receive(channel, &mut [0]) == Ok(1);
    if !is_taken {
        return Err(refused(Errno::ECHILD, b"the new process ended when it was to take over"));
    }
    let mut line = Line::new();
    line.push(b"upgraded: process ");
    line.push_number(pid as u32);
    line.push(b" has taken over");
    if log::is_open() {
        log::write(libc::LOG_INFO, line.as_bytes(), &[]);
    }
    Ok(())
}

/// The main process is this one again.
fn tell_manager(daemon: &Serving) {
    let _ = launch::hand_over(daemon.is_main, getpid().as_raw(), status::get().text.as_bytes());
}

/// The descriptors that are handed over, on the numbers from `sockets::FIRST` on: first the sockets that were passed, then
/// the channel, locks and sockets.
struct Estate {
    fds: [c_int; ESTATE_MAX],
    count: usize,
    /// How many sockets were passed, and their names.
    passed: usize,
    names: Bytes,
}

/// More than any daemon has; the descriptors of its clients are not among them.
const ESTATE_MAX: usize = 256;

impl Estate {
    fn collect(daemon: &Serving) -> Result<Self> {
        let mut estate = Estate { fds: [-1; ESTATE_MAX], count: 0, passed: 0, names: Bytes::new() };
        let mut named = Ok(());
        sockets::each_passed(&mut |fd, name| {
            let colon: &[u8] = if estate.passed > 0 { b":" } else { b"" };
            named = named.and_then(|()| estate.names.push(colon));
            named = named.and_then(|()| estate.names.push(name.to_bytes()));
            estate.add(fd);
            estate.passed = estate.count;
        });
        named.or_cannot("keep the names of sockets")?;
        estate.add(-1); // the channel
        daemon.lock.iter().for_each(|lock| estate.add(*lock));
        pidfile::each_for_program(&mut |fd| estate.add(fd));
        let cannot = "hand over sockets, of which the program has closed a part";
        control::each(&mut |fd| estate.add(fd)).or_cannot(cannot)?;
        sockets::each_bound(&mut |fd| estate.add(fd)).or_cannot(cannot)?;
        match estate.count < ESTATE_MAX {
            true => Ok(estate),
            false => Err(refused(Errno::E2BIG, b"there are too many sockets")),
        }
    }

    fn add(&mut self, fd: c_int) {
        if let Some(place) = self.fds.get_mut(self.count) {
            *place = fd;
            self.count += 1;
        }
    }

    fn put_channel(&mut self, channel: &OwnedFd) {
        if let Some(place) = self.fds.get_mut(self.passed) {
            *place = channel.as_raw_fd();
        }
    }

    /// Where the channel stands now.
    fn channel(&self) -> Option<BorrowedFd<'static>> {
        self.fds.get(self.passed).and_then(|fd| file::borrowed(*fd))
    }

    fn fds(&mut self) -> &mut [c_int] {
        self.fds.get_mut(..self.count).unwrap_or_default()
    }

    /// The files of the locks name this process again.
    fn reclaim(&self) {
        for &fd in self.fds.get(self.passed + 1..self.count).unwrap_or_default() {
            let Some(file) = file::borrowed(fd) else { continue };
            if file::fstat(file).is_ok_and(|stat| file::kind(&stat) == SFlag::S_IFREG) {
                let _ = pidfile::reclaim(file);
            }
        }
    }
}

/// Strings as execve(2) takes them.
struct Strings {
    own: Bytes,
    /// Pointers, and after them a NULL.
    pointers: Bytes,
}

impl Strings {
    fn new() -> Self {
        Strings { own: Bytes::new(), pointers: Bytes::new() }
    }

    /// Those of a file, which has a NUL after each.
    fn read(&mut self, path: &CStr) -> Result<()> {
        let file = file::open(path, OFlag::O_RDONLY, Mode::empty()).or_cannot_at("open", path)?;
        loop {
            let count = retry(|| read(&file, self.own.spare(ARGUMENTS_MAX)));
            match count.or_cannot_at("read", path)? {
                0 => break,
                count => self.own.add(count),
            }
        }
        let mut strings = Bytes::new();
        core::mem::swap(&mut strings, &mut self.own);
        let added = strings.strings().try_for_each(|string| self.add(string.as_ptr()));
        self.own = strings;
        added
    }

    /// One that stays where it is.
    fn add(&mut self, string: *const c_char) -> Result<()> {
        let address = string.expose_provenance();
        self.pointers.push(&address.to_ne_bytes()).or_cannot("keep the arguments of a program")
    }

    /// For as long as this value lives.
    fn pointers(&mut self) -> Result<*const *mut c_char> {
        self.add(ptr::null())?;
        Ok(self.pointers.as_ptr().cast())
    }
}

/// The environment of the new process: this one's, but for what is meant for one process alone.
struct Environment {
    strings: Strings,
    texts: Bytes,
    /// "NAME=", and what has the number of the process at its end.
    numbered: [Buffer<64>; 3],
}

impl Environment {
    fn new() -> Self {
        let numbered = [(); 3].map(|()| Buffer::new());
        Environment { strings: Strings::new(), texts: Bytes::new(), numbered }
    }

    /// The strings are used where they are: this value must not move any more.
    fn fill(&mut self, estate: &Estate, daemon: &Serving) -> Result<()> {
        let Environment { strings, texts, numbered } = self;
        let [upgrade, listen, executed] = numbered;
        upgrade.push(handed::VARIABLE.to_bytes());
        upgrade.push(b"=");
        for number in [sockets::FIRST as usize + estate.passed, estate.count - estate.passed] {
            upgrade.push_number(number as u32, 1);
            upgrade.push(b":");
        }
        upgrade.push(if daemon.is_foreground { b"1:" } else { b"0:" });
        listen.push(b"LISTEN_PID=");
        executed.push(b"SYSTEMD_EXEC_PID=");
        let is_executed = daemon.is_main && load::environment(c"SYSTEMD_EXEC_PID").is_some();
        strings.add(upgrade.as_bytes().as_ptr().cast())?;
        if is_executed {
            strings.add(executed.as_bytes().as_ptr().cast())?;
        }
        if estate.passed > 0 {
            let mut count = Buffer::<12>::new();
            count.push_number(estate.passed as u32, 1);
            let pieces: [&[u8]; 5] = [
                b"LISTEN_FDS=",
                count.as_bytes(),
                b"\0LISTEN_FDNAMES=",
                estate.names.as_slice(),
                b"\0",
            ];
            let pushed = pieces.iter().try_for_each(|piece| texts.push(piece));
            pushed.or_cannot("keep the names of sockets")?;
            strings.add(listen.as_bytes().as_ptr().cast())?;
            texts.strings().try_for_each(|text| strings.add(text.as_ptr()))?;
        }
        process::environment().try_for_each(|variable| {
            let name = variable.to_bytes().split(|&byte| byte == b'=').next().unwrap_or_default();
            let is_replaced = match name {
                b"LISTEN_PID" | b"LISTEN_FDS" | b"LISTEN_FDNAMES" | b"LISTEN_PIDFDID" => true,
                b"WATCHDOG_PID" => daemon.watchdog_ms.is_some(),
                b"SYSTEMD_EXEC_PID" => is_executed,
                name => name == handed::VARIABLE.to_bytes(),
            };
            if is_replaced { Ok(()) } else { strings.add(variable.as_ptr()) }
        })
    }

    /// Nobody knows it before the fork.
    fn complete(&mut self) {
        for variable in &mut self.numbered {
            variable.push_number(getpid().as_raw() as u32, 1);
            variable.push(b"\0");
        }
    }
}
