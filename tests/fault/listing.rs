//! What strace(1) sees of a start: the calls with their arguments, for the reader of a report, and
//! to check what our own tracer sees.

use std::{collections::HashMap, fs, process::Stdio};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{BEGIN, Bench, Marker, calls};
use crate::common;

pub struct Listed {
    pub name: String,
    /// With its arguments.
    pub text: String,
}

/// The calls of each process, in the order in which the processes were made: those of the first
/// from main() to its end, those of the others up to where the daemon is ready.
pub fn of(bench: &Bench) -> Vec<Vec<Listed>> {
    let ready = bench.program.ready;
    let output = bench.scratch.path("strace");
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-s", "64", "-o"]).arg(&output).arg(&bench.executable);
    command.args(bench.program.arguments).current_dir(&bench.folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut strace = command.spawn().unwrap();

    let read = || fs::read_to_string(&output).unwrap_or_default();
    let mut daemon = None;
    common::until("the daemon under strace is ready", || {
        let mut calls = complete_calls(&read());
        daemon = calls.find(|(_, text)| is_at(ready, text)).map(|(pid, _)| pid);
        daemon.is_some()
    });
    kill(Pid::from_raw(daemon.unwrap()), Signal::SIGTERM).unwrap();
    assert!(common::has_ended_within(strace.id() as i32, common::DEADLINE), "strace hangs");
    strace.wait().unwrap();
    bench.clean_up();
    by_process(ready, &read())
}

fn by_process(ready: Marker, text: &str) -> Vec<Vec<Listed>> {
    let mut pids = Vec::new();
    let mut calls: Vec<Vec<Listed>> = Vec::new();
    let mut has_begun = false;
    let mut daemon = None;
    for (pid, text) in complete_calls(text) {
        let role = pids.iter().position(|&known| known == pid).unwrap_or_else(|| {
            pids.push(pid);
            calls.push(Vec::new());
            pids.len() - 1
        });
        if role == 0 && !has_begun {
            has_begun = is_at(BEGIN, &text);
            continue;
        }
        if role > 0 && is_at(ready, &text) {
            daemon = Some(pid);
        }
        if daemon == Some(pid) {
            continue;
        }
        let name = text.split('(').next().unwrap_or_default().to_owned();
        calls.get_mut(role).unwrap().push(Listed { name, text });
    }
    calls
}

fn is_at(marker: Marker, text: &str) -> bool {
    let name = format!("{}(", calls::name(marker.call));
    let Some(arguments) = text.strip_prefix(&name) else { return false };
    marker.argument.is_none_or(|argument| arguments.starts_with(&argument.to_string()))
}

/// Pid and call, in the order of their beginnings, as far as lines are complete. strace splits a call when another process
/// makes one meanwhile.
fn complete_calls(text: &str) -> impl Iterator<Item = (i32, String)> + use<> {
    let mut calls: Vec<(i32, String)> = Vec::new();
    let mut unfinished = HashMap::new();
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    for line in lines {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let (Ok(pid), rest) = (pid.parse::<i32>(), rest.trim_start()) else { continue };
        if let Some(begin) = rest.strip_suffix("<unfinished ...>") {
            unfinished.insert(pid, calls.len());
            calls.push((pid, begin.trim_end().to_owned()));
        } else if let Some((_, end)) = rest.split_once(" resumed>") {
            let at = unfinished.remove(&pid);
            if let Some((_, call)) = at.and_then(|at| calls.get_mut(at)) {
                call.push_str(without_result(end));
            }
        } else if rest.starts_with(|first: char| first.is_ascii_lowercase()) {
            calls.push((pid, without_result(rest).to_owned()));
        }
    }
    calls.into_iter()
}

fn without_result(call: &str) -> &str {
    call.rfind(" = ").map_or(call, |end| call.get(..end).unwrap_or(call)).trim_end()
}
