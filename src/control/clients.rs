//! The listener and all of its clients: who is let in, who is closed for whom, whose turn it is, whose time is
//! over.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use nix::errno::Errno;

use super::{
    Request,
    answer::Answer,
    connection::{Connection, Next},
    listener::{Access, Listener},
};
use crate::{
    error,
    poller::{self, Sleeper},
    signals,
    sys::{
        file::{self, OwnedFd},
        memory::Table,
        process::monotonic_ms,
        stream::Peer,
    },
};

/// So many clients have room under any limit that a daemon can live with, so it is not asked for.
const CLIENTS_ALWAYS: usize = 8;

/// How long the listener is left alone where there is no descriptor for a client.
const PAUSE_MS: i64 = 1000;

/// How many callbacks may wait for something at a time: each lies upon the other on the stack.
const SERVED_MAX: usize = 16;

/// How many connections there were, also in the processes that this one was forked from.
static SERIAL: AtomicU32 = AtomicU32::new(0);

#[derive(Default)]
pub struct Clients {
    pub listener: Option<Listener>,
    pub table: Table<Connection>,
    count: usize,
    /// How many requests the program is serving.
    pub served_count: usize,
    /// How many clients have a line that was read and not served, or more.
    due_count: usize,
    /// No client has an earlier deadline.
    deadline: Option<i64>,
}

impl Clients {
    pub fn close(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.close();
        }
        self.close_those(|_, _| true);
        self.arm();
    }

    pub fn client(&mut self, number: usize, serial: u32) -> Option<&mut Connection> {
        self.table.get(number).filter(|client| client.serial == serial)
    }

    /// Closes a client.
    fn close_client(&mut self, number: usize) {
        if let Some(client) = self.table.take(number) {
            client.close();
            self.count = self.count.saturating_sub(1);
            if let Some(listener) = &mut self.listener {
                listener.resume();
            }
        }
    }

    /// Closes those of which this is true.
    pub fn close_those(&mut self, mut is_gone: impl FnMut(usize, &mut Connection) -> bool) {
        let mut from = 0;
        loop {
            let rest = self.table.iter().skip_while(|(number, _)| *number < from);
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
    pub fn release(&mut self) {
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
        self.count >= CLIENTS_ALWAYS && self.count >= max()
    }

    /// A new client, if there is one and room for it. One that something else fails for is closed.
    pub fn accept(&mut self) -> Option<usize> {
        let has_room = !self.is_crowded() || self.close_longest_idle();
        let accepted = if has_room { self.accept_one() } else { Err(Errno::EMFILE) };
        let Ok(accepted) = accepted else {
            // As long as it is told of clients that there is no room for, the loop would turn in circles.
            if let Some(listener) = &mut self.listener {
                listener.pause();
            }
            self.hurry(monotonic_ms() + PAUSE_MS);
            return None;
        };
        let (socket, peer, access) = accepted?;
        let serial = SERIAL.fetch_add(1, Relaxed);
        let client = Connection::new(socket, peer, access, serial);
        client.and_then(|client| self.enter(client)).ok()
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
        let number = self.table.insert(client)?;
        self.count += 1;
        let begun = self.table.get(number).map_or(Ok(()), |client| client.begin(number));
        if begun.is_err() {
            self.close_client(number);
        }
        begun.map(|()| number)
    }

    pub fn is_ready(&mut self, number: usize) -> Option<Request> {
        let is_full = self.is_full();
        let client = self.table.get(number)?;
        if is_full && client.hold() {
            return None;
        }
        let next = client.is_ready(number);
        self.next(number, next)
    }

    /// For another one. Whether there was one that could be closed.
    fn close_longest_idle(&mut self) -> bool {
        let worths =
            self.table.iter().filter_map(|(number, client)| Some((client.worth()?, number)));
        let Some((_, number)) = worths.min() else { return false };
        self.close_client(number);
        true
    }

    /// A request, if there is one for the program or us to serve.
    fn next(&mut self, number: usize, next: Next) -> Option<Request> {
        let client = self.table.get(number)?;
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

    pub fn answer(&mut self, number: usize, serial: u32, answer: Answer) {
        if let Some(client) = self.client(number, serial) {
            let is_gone = !client.answer(number, answer);
            self.after(number, is_gone);
        }
    }

    /// What is to be known after something was done for a client.
    pub fn after(&mut self, number: usize, is_gone: bool) {
        if is_gone {
            return self.close_client(number);
        }
        let Some(client) = self.table.get(number) else { return };
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
    pub fn arm(&mut self) {
        self.due_count = self.table.iter().filter(|(_, client)| client.is_due()).count();
        let is_due = self.due_count > 0 && !self.is_full();
        let deadlines = self.table.iter().filter_map(|(_, client)| client.deadline);
        let paused = self.listener.as_ref().is_some_and(Listener::is_paused);
        let now = is_due.then(monotonic_ms);
        let resume = paused.then(|| monotonic_ms() + PAUSE_MS);
        self.deadline = deadlines.chain(now).chain(resume).min();
        let _ = poller::wake_at(Sleeper::Control, self.deadline);
    }

    /// The next request that was read with another one.
    pub fn next_due(&mut self) -> Option<Request> {
        self.look_at_time();
        if self.due_count == 0 || self.is_full() {
            return None;
        }
        self.due_count -= 1;
        let due = self.table.iter().find(|(_, client)| client.is_due());
        let (number, next) = due.map(|(number, client)| (number, client.read()))?;
        self.next(number, next)
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
