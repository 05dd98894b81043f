//! What is worth telling about the faults of a program: the same outcome of the same call together.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{Blow, Fault, Program, exceptions, outcome::Verdict};

pub struct Report<'a> {
    program: &'a Program,
    rows: Vec<Row>,
    /// How many faults ended complete, in a sentence, as they must, and otherwise.
    complete: usize,
    refused: usize,
    wrong: usize,
    /// How often each reason for an exception served.
    accepted: BTreeMap<&'static str, usize>,
}

struct Row {
    role: usize,
    index: usize,
    call: String,
    blows: Vec<Blow>,
    outcome: Outcome,
}

#[derive(PartialEq)]
enum Outcome {
    Wrong(String),
    Slow { tenths: u128 },
}

impl<'a> Report<'a> {
    pub fn new(program: &'a Program) -> Self {
        let (rows, accepted) = (Vec::new(), BTreeMap::new());
        Report { program, rows, complete: 0, refused: 0, wrong: 0, accepted }
    }

    /// `call` is how strace shows it.
    pub fn add(&mut self, fault: Fault, call: &str, verdict: Verdict) {
        let wrong = match verdict {
            Verdict::Complete => return self.complete += 1,
            Verdict::Refused => return self.refused += 1,
            Verdict::Wrong(wrong) => wrong,
            Verdict::Missed => vec!["the call is not reached".to_owned()],
        };
        let mut is_wrong = false;
        for what in wrong {
            match exceptions::reason(fault, call, &what) {
                Some(reason) => *self.accepted.entry(reason).or_default() += 1,
                None => {
                    is_wrong = true;
                    self.add_row(fault, call, Outcome::Wrong(what));
                }
            }
        }
        match is_wrong {
            true => self.wrong += 1,
            false => self.refused += 1,
        }
    }

    pub fn add_slow(&mut self, fault: Fault, call: &str, time: Duration) {
        self.add_row(fault, call, Outcome::Slow { tenths: time.as_millis() / 100 });
    }

    fn add_row(&mut self, fault: Fault, call: &str, outcome: Outcome) {
        let Fault { role, index, blow } = fault;
        let is_same =
            |row: &&mut Row| (row.role, row.index) == (role, index) && row.outcome == outcome;
        match self.rows.iter_mut().find(is_same) {
            Some(row) => row.blows.push(blow),
            None => {
                let (call, blows) = (call.to_owned(), vec![blow]);
                self.rows.push(Row { role, index, call, blows, outcome });
            }
        }
    }

    /// What is wrong, for each fault.
    pub fn wrong(&self) -> Vec<&str> {
        let wrong = self.rows.iter().filter_map(|row| match &row.outcome {
            Outcome::Wrong(what) => Some((what.as_str(), row.blows.len())),
            _ => None,
        });
        wrong.flat_map(|(what, times)| std::iter::repeat_n(what, times)).collect()
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for row in &self.rows {
            let what = match &row.outcome {
                Outcome::Wrong(what) => format!("WRONG: {what}"),
                Outcome::Slow { tenths } => format!("slow: {tenths} tenths of a second"),
            };
            let blows: Vec<_> = row.blows.iter().map(ToString::to_string).collect();
            let process = self.program.name_of(row.role);
            writeln!(f, "{process} {}: {}", row.index, row.call)?;
            writeln!(f, "    {}\n    {what}", blows.join(", "))?;
        }
        for (reason, times) in &self.accepted {
            writeln!(f, "accepted {times} times: {reason}")?;
        }
        let faults = self.complete + self.refused + self.wrong;
        write!(f, "{faults} faults: {} times complete, ", self.complete)?;
        writeln!(f, "{} times not and why, {} times wrong", self.refused, self.wrong)
    }
}
