//! The control socket: commands for the daemon, from whoever may give them, served by the main loop, which
//! no client can make wait.

mod answer;
pub mod client;
mod commands;
mod connection;
mod listener;
mod words;

use core::ffi::{CStr, c_uint};
use std::{
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

use nix::{errno::Errno, sys::stat::Mode};

pub use self::commands::{CommandCallback, Kind, enter};
pub(crate) use self::words::WORDS_MAX;
use self::{
    answer::Answer,
    commands::{Served, Server},
    connection::{Connection, Next, Reload, Stage},
    listener::{Access, Listener},
    words::Words,
};
use crate::{
    error::{self, Error, OrCannot, Result},
    poller::{self, Sleeper},
    signals::{self, Met},
    status,
    sys::{
        file,
        memory::Table,
        process::{self, Own, monotonic_ms},
        stream::Peer,
    },
};

/// After the flag was lowered a program that tells its reloads has begun one within this time. A handler of
/// its own for SIGHUP has the longer one to tell the outcome.
const TAKEN_MS: i64 = 1000;
const SENT_MS: i64 = 10_000;

/// So many clients have room under any limit that a daemon can live with, so it is not asked for.
const CLIENTS_ALWAYS: usize = 8;

/// How long the listener is left alone where there is no descriptor for a client.
const PAUSE_MS: i64 = 1000;

/// How many callbacks may wait for something at a time: each lies upon the other on the stack.
const SERVED_MAX: usize = 16;

/// How many connections there were, also in the processes that this one was forked from.
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A request of a client.
pub struct Request {
    connection: usize,
    serial: u32,
    access: Access,
    peer: Peer,
    words: Words,
    answer: Answer,
}

impl Request {
    pub fn words(&self) -> impl Iterator<Item = &CStr> {
        self.words.iter()
    }

    pub fn peer(&self) -> Peer {
        self.peer
    }

    pub fn print(&mut self, text: &[u8]) -> Result<()> {
        self.answer.print(text)
    }

    pub fn fail(&mut self, reason: &[u8]) {
        self.answer.fail(reason);
    }

    /// Some of the text could not be made.
    pub fn miss(&mut self) {
        self.answer.miss();
    }
}

/// A request that the program is to serve.
pub struct Called {
    pub request: Request,
    pub callback: CommandCallback,
}

#[derive(Default)]
struct Control {
    listener: Option<Listener>,
    clients: Table<Connection>,
    client_count: usize,
    /// How many requests the program is serving.
    served_count: usize,
    /// How many clients have a line that was read and not served, or more.
    due_count: usize,
    /// No client has an earlier deadline.
    deadline: Option<i64>,
}

static CONTROL: Own<Control> = Own::new();

/// `rsd_open_control`
pub fn open(path: &CStr, mode: c_uint, owner: Option<&CStr>) -> Result<()> {
    if path.is_empty() || path == c"@" {
        return Err(Error::invalid("the path of the control socket is empty"));
    }
    let mode = match mode {
        0 => Mode::S_IRUSR | Mode::S_IWUSR,
        mode => Mode::from_bits(mode)
            .filter(|mode| listener::all_permissions().contains(*mode))
            .ok_or_else(|| Error::invalid("the mode has other bits than permissions"))?,
    };
    poller::fd()?;
    close_at_exit()?;
    status::begin();
    CONTROL.with(|control| {
        if control.listener.is_some() {
            let why: &[u8] = b"this process has opened a control socket already";
            return Err(Error::new(Errno::EALREADY, &[why]));
        }
        let listener = Listener::open(path, mode, owner)?;
        match listener.attend() {
            Ok(()) => {
                control.listener = Some(listener);
                Ok(())
            }
            Err(errno) => {
                listener.close();
                Err(errno).or_cannot("wait for clients")
            }
        }
    })
}

/// `rsd_close_control`
pub fn close() {
    CONTROL.with(Control::close);
}

/// Whether this process serves a control socket.
pub fn is_open() -> bool {
    CONTROL.with(|control| control.listener.is_some())
}

fn close_at_exit() -> Result<()> {
    static IS_REGISTERED: AtomicBool = AtomicBool::new(false);
    if !IS_REGISTERED.swap(true, Relaxed) {
        process::at_exit(at_exit).or_cannot("register an exit handler")?;
    }
    Ok(())
}

extern "C" fn at_exit() {
    // Where a thread is in a call of ours, the files stay, as after a crash.
    CONTROL.try_with(Control::close);
}

/// A forked child does not serve its parent's clients.
pub fn let_go_of_parents() {
    CONTROL.with(|_| ());
}

/// The descriptors of the main loop were lost: adds ours again.
pub fn watch_again() {
    CONTROL.with(|control| {
        // Where the program has closed it, too, it is lost, and can be opened anew.
        if let Some(lost) = control.listener.take_if(|listener| listener.attend().is_err()) {
            lost.close();
        }
        control.close_those(|number, client| client.attend(number).is_err());
        control.arm();
    });
}

/// A client wants to connect. Mostly it has sent something by now.
pub fn accept() -> Option<Called> {
    serve(CONTROL.with(|control| {
        let number = control.accept()?;
        control.is_ready(number)
    })?)
}

/// A client has sent something, has taken something, or is gone.
pub fn is_ready(number: usize) -> Option<Called> {
    serve(CONTROL.with(|control| control.is_ready(number))?)
}

/// What no descriptor tells: lines that were read with others, and clients whose time is over.
pub fn look_again() -> Option<Called> {
    serve(CONTROL.with(|control| {
        control.look_at_time();
        if control.due_count == 0 || control.is_full() {
            return None;
        }
        control.due_count -= 1;
        let due = control.clients.iter().find(|(_, client)| client.is_due());
        let (number, next) = due.map(|(number, client)| (number, client.read()))?;
        control.next(number, next)
    })?)
}

fn serve(mut request: Request) -> Option<Called> {
    let served = match commands::find(&request) {
        Ok(Server::Program(callback)) => {
            CONTROL.with(|control| control.served_count += 1);
            return Some(Called { request, callback });
        }
        Ok(Server::Ours(serve)) => serve(&mut request),
        Err(error) => Err(error),
    };
    match served {
        Ok(Served::Reload(met)) => wait_for_reload(&request, &met),
        Ok(Served::Answer) => answer(request),
        Ok(Served::Stop) => {
            let peer = request.peer;
            answer(request);
            commands::end_program(peer);
        }
        Err(error) => {
            request.fail(error::told(&error).as_bytes());
            answer(request);
        }
    }
    None
}

/// The program has served a request.
pub fn called(request: Request) {
    CONTROL.with(Control::release);
    answer(request);
}

/// Sends the answer of a request that was served.
fn answer(request: Request) {
    let Request { connection, serial, answer, .. } = request;
    CONTROL.with(|control| control.answer(connection, serial, answer));
}

/// The client is told when the reload that it asked for has ended.
fn wait_for_reload(request: &Request, met: &Met) {
    CONTROL.with(|control| {
        let number = request.connection;
        let Some(client) = control.client(number, request.serial) else { return };
        let now = monotonic_ms();
        let (reload, patience) = match met {
            Met::Action => (Reload::Sent, SENT_MS),
            Met::Flag | Met::Nothing => (Reload::Flagged, TAKEN_MS),
        };
        client.stage = Stage::Waiting(reload);
        client.deadline = Some(now + patience);
        let is_gone = client.settle(number).is_err();
        control.after(number, is_gone);
    });
}

/// Whoever has asked for a reload has asked for this one.
pub fn reload_begins() {
    CONTROL.with(|control| {
        for (_, client) in control.clients.iter() {
            if let Stage::Waiting(_) = client.stage {
                client.stage = Stage::Waiting(Reload::Begun);
                client.deadline = None;
            }
        }
    });
}

/// It has ended, well or for this reason.
pub fn reload_ends(reason: Option<&[u8]>) {
    CONTROL.with(|control| {
        control.close_those(|number, client| {
            client.stage == Stage::Waiting(Reload::Begun) && {
                let mut answer = Answer::new();
                if let Some(reason) = reason {
                    answer.fail(reason);
                }
                !client.answer(number, answer)
            }
        });
        control.arm();
    });
}

impl Control {
    fn close(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.close();
        }
        self.close_those(|_, _| true);
        self.arm();
    }

    fn client(&mut self, number: usize, serial: u32) -> Option<&mut Connection> {
        self.clients.get(number).filter(|client| client.serial == serial)
    }

    /// Closes a client.
    fn close_client(&mut self, number: usize) {
        if let Some(client) = self.clients.take(number) {
            client.close();
            self.client_count = self.client_count.saturating_sub(1);
            if let Some(listener) = &mut self.listener {
                listener.resume();
            }
        }
    }

    /// Closes those of which this is true.
    fn close_those(&mut self, mut is_gone: impl FnMut(usize, &mut Connection) -> bool) {
        let mut from = 0;
        loop {
            let rest = self.clients.iter().skip_while(|(number, _)| *number < from);
            let mut gone =
                rest.filter_map(|(number, client)| is_gone(number, client).then_some(number));
            let Some(number) = gone.next() else { return };
            drop(gone);
            self.close_client(number);
            from = number + 1;
        }
    }

    /// Another callback is not called before one of those that are waiting has returned.
    fn is_full(&self) -> bool {
        self.served_count >= SERVED_MAX
    }

    /// One has returned.
    fn release(&mut self) {
        let was_full = self.is_full();
        self.served_count = self.served_count.saturating_sub(1);
        if was_full {
            self.close_those(|number, client| client.is_held() && client.settle(number).is_err());
            self.arm();
        }
    }

    /// Half of the descriptors stay for the program.
    fn is_crowded(&self) -> bool {
        let max = || (file::limit() >> 1).clamp(1, 1 << 20) as usize;
        self.client_count >= CLIENTS_ALWAYS && self.client_count >= max()
    }

    /// A new client, if there is one and room for it.
    fn accept(&mut self) -> Option<usize> {
        let has_room = !self.is_crowded() || self.close_longest_idle();
        let accepted = if has_room { self.accept_one() } else { Err(Errno::EMFILE) };
        let entered = match accepted {
            Ok(Some((socket, peer, access))) => {
                let serial = SERIAL.fetch_add(1, Relaxed);
                let client = Connection::new(socket, peer, access, serial);
                client.and_then(|client| self.enter(client))
            }
            Ok(None) => return None,
            Err(errno) => Err(errno),
        };
        if entered.is_err() {
            // As long as it is told of clients that there is no room for, the loop would turn in circles.
            if let Some(listener) = &mut self.listener {
                listener.pause();
            }
            self.hurry(monotonic_ms() + PAUSE_MS);
        }
        entered.ok()
    }

    fn accept_one(&mut self) -> nix::Result<Option<(OwnedFd, Peer, Access)>> {
        let Some(listener) = &self.listener else { return Ok(None) };
        match listener.accept() {
            Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS)
                if self.close_longest_idle() =>
            {
                self.listener.as_ref().map_or(Ok(None), Listener::accept)
            }
            accepted => accepted,
        }
    }

    fn enter(&mut self, client: Connection) -> nix::Result<usize> {
        let number = self.clients.insert(client)?;
        self.client_count += 1;
        let begun = self.clients.get(number).map_or(Ok(()), |client| client.begin(number));
        if begun.is_err() {
            self.close_client(number);
        }
        begun.map(|()| number)
    }

    fn is_ready(&mut self, number: usize) -> Option<Request> {
        let is_full = self.is_full();
        let client = self.clients.get(number)?;
        if is_full && client.hold() {
            return None;
        }
        let next = client.is_ready(number);
        self.next(number, next)
    }

    /// For another one. Whether there was one that could be closed.
    fn close_longest_idle(&mut self) -> bool {
        let worths =
            self.clients.iter().filter_map(|(number, client)| Some((client.worth()?, number)));
        let Some((_, number)) = worths.min() else { return false };
        self.close_client(number);
        true
    }

    /// A request, if there is one for the program or us to serve.
    fn next(&mut self, number: usize, next: Next) -> Option<Request> {
        let client = self.clients.get(number)?;
        let (serial, access, peer) = (client.serial, client.access, client.peer);
        match next {
            Next::Serve(words) => {
                let answer = Answer::new();
                return Some(Request { connection: number, serial, access, peer, words, answer });
            }
            Next::Refuse(error) => {
                let mut answer = Answer::new();
                answer.fail(error::told(&error).as_bytes());
                self.answer(number, serial, answer);
            }
            Next::Nothing => self.after(number, false),
            Next::Close => self.after(number, true),
        }
        None
    }

    fn answer(&mut self, number: usize, serial: u32, answer: Answer) {
        if let Some(client) = self.client(number, serial) {
            let is_gone = !client.answer(number, answer);
            self.after(number, is_gone);
        }
    }

    /// What is to be known after something was done for a client.
    fn after(&mut self, number: usize, is_gone: bool) {
        if is_gone {
            return self.close_client(number);
        }
        let Some(client) = self.clients.get(number) else { return };
        let (deadline, is_due) = (client.deadline, client.is_due());
        if is_due {
            self.due_count += 1;
        }
        let now = (is_due && !self.is_full()).then(monotonic_ms);
        if let Some(at) = now.or(deadline) {
            self.hurry(at);
        }
    }

    /// Looks at the time not later than then.
    fn hurry(&mut self, at: i64) {
        if self.deadline.is_none_or(|deadline| at < deadline) {
            self.deadline = Some(at);
            let _ = poller::wake_at(Sleeper::Control, self.deadline);
        }
    }

    /// Looks at the time when it is next time for anything.
    fn arm(&mut self) {
        self.due_count = self.clients.iter().filter(|(_, client)| client.is_due()).count();
        let is_due = self.due_count > 0 && !self.is_full();
        let deadlines = self.clients.iter().filter_map(|(_, client)| client.deadline);
        let paused = self.listener.as_ref().is_some_and(Listener::is_paused);
        let now = is_due.then(monotonic_ms);
        let resume = paused.then(|| monotonic_ms() + PAUSE_MS);
        self.deadline = deadlines.chain(now).chain(resume).min();
        let _ = poller::wake_at(Sleeper::Control, self.deadline);
    }

    fn look_at_time(&mut self) {
        let Some(deadline) = self.deadline else { return };
        let now = monotonic_ms();
        if now < deadline {
            return;
        }
        if let Some(listener) = &mut self.listener {
            listener.resume();
        }
        let is_raised = signals::is_raised(libc::SIGHUP);
        self.close_those(|number, client| {
            client.deadline.is_some_and(|deadline| deadline <= now)
                && !client.is_patient(number, is_raised, now)
        });
        self.arm();
    }
}

impl Connection {
    /// Its time is over: whether it stays all the same.
    fn is_patient(&mut self, number: usize, is_raised: bool, now: i64) -> bool {
        let mut answer = Answer::new();
        match self.stage {
            Stage::Waiting(Reload::Flagged | Reload::Taken) if is_raised => {
                self.stage = Stage::Waiting(Reload::Flagged);
                self.deadline = Some(now + TAKEN_MS);
                return true;
            }
            Stage::Waiting(Reload::Flagged) => {
                self.stage = Stage::Waiting(Reload::Taken);
                self.deadline = Some(now + TAKEN_MS);
                return true;
            }
            Stage::Waiting(Reload::Taken) => {
                let text: &[u8] = b"the daemon has seen it; how it ended is not told";
                let _ = answer.print(text);
            }
            Stage::Waiting(Reload::Sent) => {
                answer.fail(b"the daemon has got SIGHUP; how the reload ended is not told");
            }
            // Too slow a line, or too slow a reader.
            Stage::Listening | Stage::Served | Stage::Waiting(Reload::Begun) => return false,
        }
        self.answer(number, answer)
    }
}
