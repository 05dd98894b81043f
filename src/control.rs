//! The control socket: commands for the daemon, from whoever may give them, served by the main loop, which
//! no client can make wait.

mod answer;
pub mod client;
mod clients;
mod commands;
mod connection;
mod listener;
mod waiting;
mod words;

use core::ffi::{CStr, c_uint};

use nix::errno::Errno;

pub use self::commands::{CommandCallback, Kind, enter};
pub(crate) use self::words::WORDS_MAX;
use self::{
    answer::Answer,
    clients::Clients,
    commands::{Served, Server},
    listener::{Access, Listener},
    words::Words,
};
use crate::{
    error::{self, Error, OrCannot, Result},
    poller, status,
    sys::{
        process::{AtExit, Own},
        stream::Peer,
    },
    unix_socket,
};

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

static CLIENTS: Own<Clients> = Own::new();

/// `rsd_open_control`
pub fn open(path: &CStr, mode: c_uint, owner: Option<&CStr>) -> Result<()> {
    if path.is_empty() || path == c"@" {
        return Err(Error::invalid("the path of the control socket is empty"));
    }
    let mode = unix_socket::mode(mode)?;
    poller::fd()?;
    AT_EXIT.register().or_cannot("register an exit handler")?;
    status::begin();
    CLIENTS.with(|clients| {
        if clients.listener.is_some() {
            let why: &[u8] = b"this process has opened a control socket already";
            return Err(Error::new(Errno::EALREADY, &[why]));
        }
        let listener = Listener::open(path, mode, owner)?;
        match listener.attend() {
            Ok(()) => {
                clients.listener = Some(listener);
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
    CLIENTS.with(Clients::close);
}

/// What another process needs to take it over.
pub fn each(act: &mut dyn FnMut(i32)) -> nix::Result<()> {
    let each = |clients: &mut Clients| {
        clients.listener.as_ref().map_or(Ok(()), |listener| listener.each(act))
    };
    CLIENTS.with(each)
}

/// What was handed over is as it was asked for from now on.
pub fn settle() -> Result<()> {
    CLIENTS.with(|clients| clients.listener.as_mut().map_or(Ok(()), Listener::settle))
}

/// Another process accepts clients from now on; those that are here stay.
pub fn let_go() {
    CLIENTS.with(|clients| clients.listener.take().map(Listener::let_go));
}

/// Whether this process serves a control socket.
pub fn is_open() -> bool {
    CLIENTS.with(|clients| clients.listener.is_some())
}

static AT_EXIT: AtExit = AtExit::new(at_exit);

extern "C" fn at_exit() {
    // Where a thread is in a call of ours, the files stay, as after a crash.
    CLIENTS.try_with(Clients::close);
}

/// A forked child does not serve its parent's clients.
pub fn let_go_of_parents() {
    CLIENTS.with(|_| ());
}

/// The descriptors of the main loop were lost: adds ours again.
pub fn watch_again() {
    CLIENTS.with(|clients| {
        // Where the program has closed it, too, it is lost, and can be opened anew.
        if let Some(lost) = clients.listener.take_if(|listener| listener.attend().is_err()) {
            lost.close();
        }
        clients.close_those(|number, client| client.attend(number).is_err());
        clients.arm();
    });
}

/// A client wants to connect. Mostly it has sent something by now.
pub fn accept() -> Option<Called> {
    serve(CLIENTS.with(|clients| {
        let number = clients.accept()?;
        clients.is_ready(number)
    })?)
}

/// A client has sent something, has taken something, or is gone.
pub fn is_ready(number: usize) -> Option<Called> {
    serve(CLIENTS.with(|clients| clients.is_ready(number))?)
}

/// What no descriptor tells: lines that were read with others, and clients whose time is over.
pub fn look_again() -> Option<Called> {
    serve(CLIENTS.with(Clients::next_due)?)
}

fn serve(mut request: Request) -> Option<Called> {
    let served = match commands::find(&request) {
        Ok(Server::Program(callback)) => {
            CLIENTS.with(|clients| clients.served_count += 1);
            return Some(Called { request, callback });
        }
        Ok(Server::Ours(serve)) => serve(&mut request),
        Err(error) => Err(error),
    };
    match served {
        Ok(Served::Reload(met)) => CLIENTS.with(|clients| {
            clients.wait_for_reload(request.connection, request.serial, &met);
        }),
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
    CLIENTS.with(Clients::release);
    answer(request);
}

/// Sends the answer of a request that was served.
fn answer(request: Request) {
    let Request { connection, serial, answer, .. } = request;
    CLIENTS.with(|clients| clients.answer(connection, serial, answer));
}

/// A reload begins, for whoever has asked for one before.
pub fn reload_begins() {
    CLIENTS.with(Clients::reload_begins);
}

/// It has ended, well or for this reason.
pub fn reload_ends(reason: Option<&[u8]>) {
    CLIENTS.with(|clients| clients.reload_ends(reason));
}
