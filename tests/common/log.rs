//! The log of an example: lines that begin with the time.

use std::path::PathBuf;

use super::{read, until};

pub struct Log(pub PathBuf);

impl Log {
    pub fn text(&self) -> String {
        read(&self.0)
    }

    #[track_caller]
    pub fn await_text(&self, piece: &str) {
        until(&format!("{piece:?} in the log"), || self.text().contains(piece));
    }

    /// How many lines say exactly this, after the time.
    pub fn count(&self, text: &str) -> usize {
        let log = self.text();
        let said = log.lines().filter_map(|line| line.get("2000-12-31 23:59:59 ".len()..));
        said.filter(|said| *said == text).count()
    }

    #[track_caller]
    pub fn await_count(&self, text: &str, count: usize) {
        until(&format!("{text:?} {count} times in the log"), || self.count(text) == count);
    }
}
