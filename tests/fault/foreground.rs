//! What a program in the foreground promises: the right output and status 0, or a sentence and
//! status 1; in any case no child, running or not waited for.

use nix::sys::wait::WaitStatus;

use super::{
    Bench, Point,
    outcome::{Verdict, bad_sentence, is_missed, is_sigkill, shown, verdict},
    tracer::Start,
};

/// Judges a start. Also what calls its processes made.
pub fn outcome(
    bench: &Bench,
    promised: &str,
    mut start: Start,
    point: Option<&Point>,
) -> (Verdict, Vec<Vec<i64>>) {
    let (end, alive) = start.first_end();
    start.settle();
    let calls = start.calls().to_vec();
    if is_missed(&start, point) {
        bench.clean_up();
        return (Verdict::Missed, calls);
    }
    let is_killed = point.is_some_and(|point| point.is_killed(0)) && is_sigkill(end);
    let mut wrong = Vec::new();
    if start.has_hung() {
        wrong.push("hangs, and was killed".to_owned());
    } else if !is_killed {
        let printed = bench.output("stdout") + &bench.output("stderr");
        match end {
            WaitStatus::Exited(_, 0) if printed == promised => {}
            WaitStatus::Exited(_, 0) => wrong.push(format!("status 0 and printed {printed:?}")),
            WaitStatus::Exited(_, 1) => {
                wrong.extend(bad_sentence(bench, &point.map_or_else(String::new, Point::reason)));
            }
            end => wrong.push(shown(end)),
        }
        wrong.extend(start.left().iter().map(|what| format!("left a {what}")));
        if !alive.is_empty() && start.left().is_empty() {
            wrong.push("left a process that is no child".to_owned());
        }
    }
    bench.clean_up();
    (verdict(wrong, matches!(end, WaitStatus::Exited(_, 0))), calls)
}
