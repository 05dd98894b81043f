//! What a program that logs promises: each line stands whole in each of its targets, once, or is counted as lost
//! there. What it has done is in the file "record" (fault_record.h), also when it was killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Once,
};

use nix::{errno::Errno, sys::wait::WaitStatus};

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

const TARGETS: [&str; 3] = ["the file", "syslog", "stderr"];

/// As in fault_record.h.
struct Record {
    first: i32,
    begun: i32,
    returned: i32,
    reopen_error: i32,
    has_syslog: bool,
    targets: [Target; 3],
}

#[derive(Default)]
struct Target {
    error: i32,
    /// How many lines, and which.
    count: i32,
    lost: BTreeSet<i32>,
}

/// What all processes together have done, one of which may have been killed.
#[derive(Default)]
struct Past {
    /// The number of the latest line.
    begun: i32,
    /// The line in which a process was killed: it may be there or not.
    unsure: Option<i32>,
    has_syslog: bool,
    reopen_error: i32,
    targets: [Target; 3],
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
    let errno = point.and_then(|point| point.fault.blow.errno());
    wrong.extend(past.wrong_reasons(errno));
    wrong.extend(past.wrong_lines(bench));

    let is_done = matches!(end, WaitStatus::Exited(_, 0));
    if point.is_some() && !is_done {
        wrong.extend(
            next_start(bench, &mut past).iter().map(|what| format!("the next start: {what}")),
        );
    }
    bench.clean_up();
    (verdict(wrong, is_done), calls)
}

/// What is wrong with a start after one that has failed or was killed.
fn next_start(bench: &Bench, past: &mut Past) -> Vec<String> {
    let mut start = bench.start(None);
    let mut wrong = Vec::new();
    match start.first_end().0 {
        _ if start.has_hung() => wrong.push("hangs, and was killed".to_owned()),
        WaitStatus::Exited(_, 0) => wrong.extend(output(bench)),
        end => wrong.push(shown(end)),
    }
    let lost = past.lost();
    wrong.extend(past.add(bench));
    if past.lost() != lost {
        wrong.push("loses lines".to_owned());
    }
    wrong.extend(past.wrong_lines(bench));
    wrong
}

fn output(bench: &Bench) -> Option<String> {
    let output = bench.output("stdout") + &bench.output("stderr");
    (!output.is_empty()).then(|| format!("printed {output:?}"))
}

impl Record {
    fn of(bench: &Bench) -> Self {
        let bytes = fs::read(bench.folder.path("record")).unwrap();
        let (numbers, targets) = bytes.split_at(5 * 4);
        let number = |bytes: &[u8]| i32::from_ne_bytes(bytes.try_into().unwrap());
        let numbers: Vec<_> = numbers.chunks(4).map(number).collect();
        let mut targets = targets.chunks(2 * 4 + 32).map(|target| Target {
            error: number(&target[..4]),
            count: number(&target[4..8]),
            lost: (0..32).filter(|&line| target[8 + line as usize] == 1).collect(),
        });
        Record {
            first: numbers[0],
            begun: numbers[1],
            returned: numbers[2],
            reopen_error: numbers[3],
            has_syslog: numbers[4] == 1,
            targets: [(); 3].map(|()| targets.next().unwrap()),
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
        self.has_syslog = record.has_syslog;
        if record.reopen_error != 0 {
            self.reopen_error = record.reopen_error;
        }
        for ((all, new), name) in self.targets.iter_mut().zip(record.targets).zip(TARGETS) {
            if new.count as usize != new.lost.len() {
                odd.push(format!("counts more than one line of {name} at once"));
            }
            all.error = new.error;
            all.lost.extend(new.lost);
        }
        self.datagrams.push_str(&bench.datagrams());
        odd
    }

    fn lost(&self) -> [usize; 3] {
        [0, 1, 2].map(|target: usize| self.targets[target].lost.len())
    }

    /// Whether what was lost is told with the errno that it was lost by.
    fn wrong_reasons(&self, errno: Option<Errno>) -> Vec<String> {
        let wrong = self.targets.iter().zip(TARGETS).filter_map(|(target, name)| {
            let error = (target.error != 0).then(|| Errno::from_raw(target.error));
            let should = errno.filter(|_| !target.lost.is_empty());
            (error != should).then(|| format!("{error:?} is told for a reason by {name}"))
        });
        wrong.collect()
    }

    fn wrong_lines(&self, bench: &Bench) -> Vec<String> {
        let mut wrong = self.wrong_files(bench);
        if self.has_syslog {
            let found = Found::new("syslog", [self.datagrams.as_str()], syslog_text, &mut wrong);
            wrong.extend(self.differences(&found, 1, 0));
        }
        let stderr = common::read(&bench.folder.path("stderr"));
        let found = Found::new("stderr", [stderr.as_str()], stderr_text, &mut wrong);
        wrong.extend(self.differences(&found, 2, 0));
        wrong
    }

    /// Between the lines that were found in a target and those that were not lost. Those before `oldest` may
    /// have been given up.
    fn differences(&self, found: &Found, target: usize, oldest: i32) -> Vec<String> {
        let (lost, name) = (&self.targets[target].lost, TARGETS[target]);
        let all = (1..=self.begun).filter(|number| self.unsure != Some(*number));
        let (there, missing): (Vec<_>, Vec<_>) =
            all.partition(|number| found.times.contains_key(number));
        let is_uncounted = |number: &&i32| **number >= oldest && !lost.contains(number);
        let uncounted = missing.iter().filter(is_uncounted).count();
        let counted = there.iter().filter(|number| lost.contains(number)).count();
        let mut wrong = Vec::new();
        if uncounted > 0 {
            wrong.push(format!("{uncounted} missing in {name} and not counted"));
        }
        if counted > 0 {
            wrong.push(format!("{counted} not missing in {name} and counted as lost"));
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
        let given_up = if kept.len() >= COUNT { oldest } else { 0 };
        wrong.extend(self.differences(&found, 0, given_up));
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
