//! Whether a program ended as it must: complete, or in a sentence and nothing left.

use nix::sys::{signal::Signal, wait::WaitStatus};

use super::{Bench, Blow, Kind, Point, background, foreground, log, tracer::Start};

pub enum Verdict {
    /// As it must be: the program did all that it promises.
    Complete,
    /// As it must be: it said why not, and nothing is left.
    Refused,
    /// Each thing that is wrong.
    Wrong(Vec<String>),
    /// The start did not get to the call.
    Missed,
}

pub fn of(bench: &Bench, point: Option<&Point>) -> Verdict {
    with_calls(bench, point).0
}

/// Starts the program and judges. Also what calls its processes made.
pub fn with_calls(bench: &Bench, point: Option<&Point>) -> (Verdict, Vec<Vec<i64>>) {
    let start = bench.start(point.map(|point| point.fault));
    match &bench.program.kind {
        Kind::Background(promise) => background::outcome(bench, promise, start, point),
        Kind::Foreground(output) => foreground::outcome(bench, output, start, point),
        Kind::Log => log::outcome(bench, start, point),
    }
}

/// Whether there is nothing to judge.
pub fn is_missed(start: &Start, point: Option<&Point>) -> bool {
    !start.has_hung() && start.hit() != point.map(|point| point.call)
}

/// What was done, if nothing is wrong.
pub fn verdict(wrong: Vec<String>, is_complete: bool) -> Verdict {
    match is_complete {
        _ if !wrong.is_empty() => Verdict::Wrong(wrong),
        true => Verdict::Complete,
        false => Verdict::Refused,
    }
}

impl Point {
    /// What must be named when it is said why it failed.
    pub fn reason(&self) -> String {
        let Some(errno) = self.fault.blow.errno() else { return "SIGKILL".to_owned() };
        let error = std::io::Error::from_raw_os_error(errno as i32).to_string();
        error.split(" (os error").next().unwrap_or_default().to_owned()
    }

    pub fn is_killed(&self, role: usize) -> bool {
        self.fault.role == role && self.fault.blow == Blow::Kill
    }
}

pub fn is_sigkill(end: WaitStatus) -> bool {
    matches!(end, WaitStatus::Signaled(_, Signal::SIGKILL, _))
}

pub fn shown(end: WaitStatus) -> String {
    match end {
        WaitStatus::Exited(_, status) => format!("status {status}"),
        WaitStatus::Signaled(_, signal, _) => format!("killed by {signal}"),
        other => format!("{other:?}"),
    }
}

/// A failure is told in one line, "NAME: SENTENCE", that names the reason.
pub fn bad_sentence(bench: &Bench, reason: &str) -> Option<String> {
    let (stdout, stderr) = (bench.output("stdout"), bench.output("stderr"));
    let line = stderr.strip_suffix('\n').filter(|line| !line.contains('\n'));
    let sentence = line.and_then(|line| line.split_once(": ")).map(|(_, sentence)| sentence);
    match sentence {
        Some(sentence) if !sentence.trim().contains(' ') || sentence.ends_with('.') => {}
        Some(sentence) if stdout.is_empty() && sentence.contains(reason) => return None,
        Some(sentence) if stdout.is_empty() => {
            return Some(format!("does not say why but {sentence:?}"));
        }
        _ => {}
    }
    let mut said = stderr + &stdout;
    if !reason.is_empty() {
        said = said.replace(reason, "(why)");
    }
    Some(format!("status 1 and said {said:?}"))
}
