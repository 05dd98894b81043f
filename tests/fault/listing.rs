//! What strace(1) sees of a program: the calls with their arguments, for the reader of a report, and
//! to check what our own tracer sees.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
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
/// from main() to its end, those of the others up to where the daemon is ready, or to execve(2).
pub fn of(bench: &Bench) -> Vec<Vec<Listed>> {
    let ready = bench.program.ready();
    let output = bench.scratch.path("strace");
    let _ = fs::remove_file(&output); // of an earlier start
    let mut command = Command::new("strace");
    command.args(["-f", "-s", "64", "-o"]).arg(&output).arg(&bench.executable);
    command.args(bench.program.arguments).current_dir(&bench.folder);
    bench.redirect(&mut command);
    // SAFETY: only system calls, which are allowed after fork.
    unsafe { command.pre_exec(super::tracer::inherit_nothing) };
    let mut strace = Strace { child: command.spawn().unwrap(), output };

    if let Some(ready) = ready {
        let mut daemon = None;
        common::until("the daemon under strace is ready", || {
            let mut calls = strace.calls();
            daemon = calls.find(|(_, text)| is_at(ready, text)).map(|(pid, _)| pid);
            daemon.is_some()
        });
        kill(Pid::from_raw(daemon.unwrap()), Signal::SIGTERM).unwrap();
    }
    let id = strace.child.id() as i32;
    assert!(common::has_ended_within(id, common::DEADLINE), "strace hangs");
    strace.child.wait().unwrap();
    for (pid, _) in strace.calls() {
        // Orphans have become children of this process.
        let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    }
    bench.clean_up();
    by_process(ready, strace.calls())
}

struct Strace {
    child: Child,
    output: PathBuf,
}

impl Strace {
    fn calls(&self) -> impl Iterator<Item = (i32, String)> + use<> {
        complete_calls(&fs::read_to_string(&self.output).unwrap_or_default())
    }
}

impl Drop for Strace {
    /// Without strace its tracees would go on.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            for (pid, _) in self.calls() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn by_process(ready: Option<Marker>, all: impl Iterator<Item = (i32, String)>) -> Vec<Vec<Listed>> {
    let mut pids = Vec::new();
    let mut calls: Vec<Vec<Listed>> = Vec::new();
    let mut has_begun = false;
    // The daemon where it is ready, and who executes another program.
    let mut past = HashSet::new();
    for (pid, text) in all {
        let role = pids.iter().position(|&known| known == pid).unwrap_or_else(|| {
            pids.push(pid);
            calls.push(Vec::new());
            pids.len() - 1
        });
        if role == 0 && !has_begun {
            has_begun = is_at(BEGIN, &text);
            continue;
        }
        if role > 0 && ready.is_some_and(|ready| is_at(ready, &text)) {
            past.insert(pid);
        }
        if past.contains(&pid) {
            continue;
        }
        let name = text.split('(').next().unwrap_or_default().to_owned();
        if name == "execve" && text.ends_with(" = 0") {
            past.insert(pid);
        }
        let text = without_result(&text).to_owned();
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
                call.push_str(end);
            }
        } else if rest.starts_with(|first: char| first.is_ascii_lowercase()) {
            calls.push((pid, rest.to_owned()));
        }
    }
    calls.into_iter()
}

fn without_result(call: &str) -> &str {
    call.rfind(" = ").map_or(call, |end| call.get(..end).unwrap_or(call)).trim_end()
}
