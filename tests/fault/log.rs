//! What a program that logs promises: each line stands whole in each of its targets, once, or is counted as lost
//! there. What it has done is in the file "record" (fault_record.h), also when it was killed.

use std::{collections::BTreeMap, fs, sync::Once};

use nix::sys::wait::WaitStatus;

use super::{
    Bench, Point,
    outcome::{Verdict, bad_sentence, is_missed, is_sigkill, shown, verdict},
    tracer::Start,
};
use crate::common;

/// Two lines, and not three, whatever the pid.
const LIMIT: u64 = 300;
/// How many files are kept besides "log".
const COUNT: usize = 2;

/// As in fault_record.h.
#[derive(Clone, Copy)]
struct Record {
    first: i32,
    begun: i32,
    returned: i32,
    reopen_error: i32,
    has_syslog: bool,
    file: Target,
    syslog: Target,
    stderr: Target,
}

#[derive(Clone, Copy, Default)]
struct Target {
    lost: usize,
    error: i32,
}

/// What all processes together have done, one of which may have been killed.
#[derive(Default)]
struct Past {
    /// The lines that were begun, and which of them may be missing since the call did not return.
    begun: i32,
    unsure: Option<i32>,
    file: Target,
    syslog: Target,
    stderr: Target,
    reopen_error: i32,
    datagrams: String,
}

/// Judges a start. Also what calls its process made.
pub fn outcome(bench: &Bench, mut start: Start, point: Option<&Point>) -> (Verdict, Vec<Vec<i64>>) {
    let (end, _) = start.first_end();
    start.settle();
    let calls = start.calls().to_vec();
    if is_missed(&start, point) {
        bench.clean_up();
        return (Verdict::Missed, calls);
    }
    let reason = point.map_or_else(String::new, Point::reason);
    let mut past = Past::default();
    let mut wrong = Vec::new();
    match end {
        _ if start.has_hung() => wrong.push("hangs, and was killed".to_owned()),
        WaitStatus::Exited(_, 0) => wrong.extend(output(bench)),
        WaitStatus::Exited(_, 1) => wrong.extend(bad_sentence(bench, &reason)),
        end if is_sigkill(end) && point.is_some_and(|point| point.is_killed(0)) => {}
        end => wrong.push(shown(end)),
    }
    wrong.extend(past.add(bench));
    let errno = point.and_then(|point| point.fault.blow.errno()).map(|errno| errno as i32);
    wrong.extend(past.wrong_reasons(errno));
    wrong.extend(past.wrong_lines(bench));

    if point.is_some() && end != WaitStatus::Exited(end.pid().unwrap(), 0) {
        let mut next = bench.start(None);
        let (end, _) = next.first_end();
        let lost = past.lost();
        match end {
            WaitStatus::Exited(_, 0) => wrong.extend(output(bench)),
            end => wrong.push(format!("the next start: {}", shown(end))),
        }
        let mut after = past.add(bench);
        if past.lost() != lost {
            after.push("loses lines".to_owned());
        }
        after.extend(past.wrong_lines(bench));
        wrong.extend(after.into_iter().map(|what| format!("the next start: {what}")));
    }
    bench.clean_up();
    (verdict(wrong, matches!(end, WaitStatus::Exited(_, 0))), calls)
}

fn output(bench: &Bench) -> Option<String> {
    let output = bench.output("stdout") + &bench.output("stderr");
    (!output.is_empty()).then(|| format!("printed {output:?}"))
}

impl Record {
    fn of(bench: &Bench) -> Self {
        let bytes = fs::read(bench.folder.path("record")).unwrap();
        let numbers: Vec<_> =
            bytes.chunks(4).map(|four| i32::from_ne_bytes(four.try_into().unwrap())).collect();
        let target = |at: usize| Target { lost: numbers[at] as usize, error: numbers[at + 1] };
        Record {
            first: numbers[0],
            begun: numbers[1],
            returned: numbers[2],
            reopen_error: numbers[3],
            has_syslog: numbers[4] == 1,
            file: target(5),
            syslog: target(7),
            stderr: target(9),
        }
    }
}

impl Past {
    /// What the latest process has done. What is odd about it.
    fn add(&mut self, bench: &Bench) -> Vec<String> {
        static TOLD: Once = Once::new();
        let record = Record::of(bench);
        let mut odd = Vec::new();
        if record.first != self.begun + 1 {
            odd.push("does not begin where the one before has ended".to_owned());
        }
        if !record.has_syslog {
            TOLD.call_once(|| common::skip("syslog: a mount namespace of our own is not allowed"));
        }
        self.unsure = self.unsure.or((record.begun > record.returned).then_some(record.begun));
        self.begun = record.begun;
        if record.reopen_error != 0 {
            self.reopen_error = record.reopen_error;
        }
        for (all, new) in [
            (&mut self.file, record.file),
            (&mut self.syslog, record.syslog),
            (&mut self.stderr, record.stderr),
        ] {
            all.lost += new.lost;
            all.error = new.error;
        }
        self.datagrams.push_str(&bench.datagrams());
        odd
    }

    fn lost(&self) -> [usize; 3] {
        [self.file.lost, self.syslog.lost, self.stderr.lost]
    }

    /// Whether what was lost is told with the errno that it was lost by.
    fn wrong_reasons(&self, errno: Option<i32>) -> Vec<String> {
        let targets = [("file", self.file), ("syslog", self.syslog), ("stderr", self.stderr)];
        let wrong = targets.into_iter().filter(|(_, target)| match target.lost {
            0 => target.error != 0,
            _ => Some(target.error) != errno,
        });
        let wrong = wrong.map(|(name, target)| {
            let error = nix::errno::Errno::from_raw(target.error);
            format!("{} of {name}, with {error:?} for a reason", lines(target.lost, "lost"))
        });
        wrong.collect()
    }

    fn wrong_lines(&self, bench: &Bench) -> Vec<String> {
        let mut wrong = self.wrong_files(bench);
        let stderr = common::read(&bench.folder.path("stderr"));
        let found = Found::new("stderr", [stderr.as_str()], stderr_text, &mut wrong);
        wrong.extend(found.missing(self, "stderr", self.stderr.lost));
        if Record::of(bench).has_syslog {
            let found = Found::new("syslog", [self.datagrams.as_str()], syslog_text, &mut wrong);
            wrong.extend(found.missing(self, "syslog", self.syslog.lost));
        }
        wrong
    }

    fn wrong_files(&self, bench: &Bench) -> Vec<String> {
        let mut wrong = Vec::new();
        let (mut kept, mut moved, mut is_long) = (Vec::new(), Vec::new(), false);
        for name in bench.folder.names() {
            let path = bench.folder.path(&name);
            let text = common::read(&path);
            match name.split_once('.').unwrap_or((&name, "")) {
                ("record" | "stderr", "") => continue,
                ("log", "" | "1" | "2") => kept.push(text),
                ("moved", _) => moved.push(text),
                _ => wrong.push(format!("left {name}")),
            }
            is_long |= fs::metadata(path).unwrap().len() > LIMIT;
        }
        if is_long && self.reopen_error == 0 {
            wrong.push("a file is longer than allowed, and no reason is told".to_owned());
        }
        let all = kept.iter().chain(&moved).map(String::as_str);
        let found = Found::new("the file", all, file_text, &mut wrong);
        // Older ones were in files that were given up.
        let still =
            Found::new("the file", kept.iter().map(String::as_str), file_text, &mut Vec::new());
        let oldest = still.times.keys().next().copied().unwrap_or(0);
        let given_up = |number: &i32| kept.len() >= COUNT && *number < oldest;
        let missing = found.missing_of(self);
        let least = missing.iter().filter(|number| !given_up(number)).count();
        if !(least..=missing.len()).contains(&self.file.lost) {
            let (missing, lost) = (lines(least, "missing"), lines(self.file.lost, "counted"));
            wrong.push(format!("{missing} in the file, and {lost} as lost"));
        }
        wrong
    }
}

/// The numbers of the lines that were found, and how often.
struct Found {
    times: BTreeMap<i32, usize>,
}

impl Found {
    fn new<'a>(
        name: &str,
        texts: impl IntoIterator<Item = &'a str>,
        text_of: fn(&str) -> Option<&str>,
        wrong: &mut Vec<String>,
    ) -> Self {
        let mut times = BTreeMap::new();
        for text in texts {
            if !text.is_empty() && !text.ends_with('\n') {
                wrong.push(format!("{name} has a line without an end"));
            }
            for line in text.lines() {
                match text_of(line).and_then(number) {
                    Some(Some(number)) => *times.entry(number).or_default() += 1,
                    Some(None) => {}
                    None => wrong.push(format!("{name} has no line of ours: {line:?}")),
                }
            }
        }
        wrong.extend(
            times
                .iter()
                .filter(|&(_, &times)| times > 1)
                .map(|(number, _)| format!("{name} has line {number} more than once")),
        );
        Found { times }
    }

    fn missing_of(&self, past: &Past) -> Vec<i32> {
        let is_missing =
            |number: &i32| !self.times.contains_key(number) && past.unsure != Some(*number);
        (1..=past.begun).filter(is_missing).collect()
    }

    fn missing(&self, past: &Past, name: &str, lost: usize) -> Option<String> {
        let missing = self.missing_of(past).len();
        let (missing, lost) = (lines(missing, "missing"), (missing != lost).then_some(lost)?);
        Some(format!("{missing} in {name}, and {} as lost", lines(lost, "counted")))
    }
}

fn lines(count: usize, what: &str) -> String {
    let lines = if count == 1 { "line" } else { "lines" };
    format!("{count} {lines} {what}")
}

/// The number of a line of the program; no number in one of the log about lost ones.
fn number(text: &str) -> Option<Option<i32>> {
    if let Some(rest) = text.strip_prefix("line ") {
        let number = rest.strip_suffix(" of a program of which each call fails, one at a time")?;
        return Some(Some(number.parse().ok().filter(|_| number.len() == 3)?));
    }
    let (count, _) =
        text.split_once(" lines were lost here: ").or(text.split_once(" line was lost here: "))?;
    count.parse::<usize>().ok().map(|_| None)
}

/// "2026-11-25T16:05:59.123456+01:00 speaker[123] info: TEXT"
fn file_text(line: &str) -> Option<&str> {
    let (stamp, rest) = line.split_at_checked("2026-11-25T16:05:59.123456+01:00".len())?;
    let shape: String = stamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let is_stamp =
        ["+", "-"].iter().any(|sign| shape == format!("0000-00-00T00:00:00.000000{sign}00:00"));
    let (level, text) = speaker_ends(rest.strip_prefix(' ')?)?.split_once(": ")?;
    let is_level = level == if text.starts_with("line ") { " info" } else { " warning" };
    (is_stamp && is_level).then_some(text)
}

/// "<30>Nov 25 16:05:59 speaker[123]: TEXT"
fn syslog_text(line: &str) -> Option<&str> {
    let (priority, rest) = line.split_once('>')?;
    let text = speaker_ends(rest.get("Nov 25 16:05:59 ".len()..)?)?.strip_prefix(": ")?;
    let is_priority = priority == if text.starts_with("line ") { "<30" } else { "<28" };
    is_priority.then_some(text)
}

/// "speaker: TEXT"
fn stderr_text(line: &str) -> Option<&str> {
    line.strip_prefix("speaker: ")
}

/// What stands after "speaker[123]".
fn speaker_ends(text: &str) -> Option<&str> {
    let (pid, rest) = text.strip_prefix("speaker[")?.split_once(']')?;
    pid.parse::<u32>().ok().map(|_| rest)
}
