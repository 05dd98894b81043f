//! Clients that wait for the outcome of the reload that they have asked for.

use super::{
    answer::Answer,
    clients::Clients,
    connection::{Connection, Stage},
};
use crate::{signals::Met, sys::process::monotonic_ms};

/// After the flag was lowered a program that tells its reloads has begun one within this time. A handler of
/// its own for SIGHUP has the longer one to tell the outcome.
const TAKEN_MS: i64 = 1000;
const SENT_MS: i64 = 10_000;

/// How far the reload is that a client asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The flag was raised.
    Flagged,
    /// The flag was seen lowered, but nobody has begun a reload.
    Taken,
    /// The signal was sent, and the program's own handler has it.
    Sent,
    Begun,
}

impl Clients {
    /// This one is told when the reload has ended, of which the program was told that way.
    pub fn wait_for_reload(&mut self, number: usize, serial: u32, met: &Met) {
        let Some(client) = self.client(number, serial) else { return };
        let (reload, patience) = match met {
            Met::Action => (Reload::Sent, SENT_MS),
            Met::Flag | Met::Nothing => (Reload::Flagged, TAKEN_MS),
        };
        client.stage = Stage::Waiting(reload);
        client.deadline = Some(monotonic_ms() + patience);
        let is_gone = client.settle(number).is_err();
        self.after(number, is_gone);
    }

    /// Whoever has asked for a reload has asked for this one.
    pub fn reload_begins(&mut self) {
        for (_, client) in self.table.iter() {
            if let Stage::Waiting(_) = client.stage {
                client.stage = Stage::Waiting(Reload::Begun);
                client.deadline = None;
            }
        }
    }

    /// It has ended, well or for this reason.
    pub fn reload_ends(&mut self, reason: Option<&[u8]>) {
        self.close_those(|number, client| {
            client.stage == Stage::Waiting(Reload::Begun) && {
                let mut answer = Answer::new();
                if let Some(reason) = reason {
                    answer.fail(reason);
                }
                !client.answer(number, answer)
            }
        });
        self.arm();
    }
}

impl Connection {
    /// Its time is over: whether it stays all the same.
    pub fn is_patient(&mut self, number: usize, is_raised: bool, now: i64) -> bool {
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
