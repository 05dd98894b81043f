//! What a program that goes into the background promises: a complete daemon, or nothing.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use nix::{
    libc,
    sys::{signal::Signal, wait::WaitStatus},
    unistd::getsid,
};

use super::{
    Bench, Blow, Point,
    outcome::{self, Verdict, bad_sentence, is_missed, is_sigkill, shown, verdict},
    tracer::Start,
};
use crate::common::{self, Daemon};

/// What is promised of the daemon.
pub struct Background {
    /// The pid file stays when the program ends.
    pub keeps_pidfile: bool,
    /// The file in the folder that stdout and stderr go to; None: /dev/null.
    pub log: Option<&'static str>,
    /// What the daemon has open besides stdio: PIDFILE, FOLDER, or a path.
    pub descriptors: &'static [&'static str],
}

pub const PIDFILE: &str = "the pid file";
pub const FOLDER: &str = "the folder of the pid file";

/// In the working directory of the program.
const PIDFILE_NAME: &str = "daemon.pid";

/// Judges a start. Also what calls its processes made.
pub fn outcome(
    bench: &Bench,
    promise: &Background,
    mut start: Start,
    point: Option<&Point>,
) -> (Verdict, Vec<Vec<i64>>) {
    let (end, alive) = start.first_end();
    let is_done = matches!(end, WaitStatus::Exited(_, 0));
    let lacks_pidfile = is_done && !common::is_locked(&bench.pidfile());
    let daemon = start.settle();
    // Killed when this is dropped.
    let state = daemon.map(|pid| Daemon::of_pid(pid.as_raw()));
    let calls = start.calls().to_vec();

    let mut wrong = Vec::new();
    if start.has_hung() {
        wrong.push("hangs, and was killed".to_owned());
    } else if is_missed(&start, point) {
        drop(start);
        bench.clean_up();
        return (Verdict::Missed, calls);
    }
    let is_killed = |role| point.is_some_and(|point| point.is_killed(role));
    let is_after_word = point.is_some_and(|point| point.is_after_word);
    match (end, daemon) {
        _ if start.has_hung() => {}
        (end, Some(daemon)) if is_done || is_killed(0) && is_sigkill(end) => {
            if lacks_pidfile {
                wrong.push("no locked pid file when the launcher left".to_owned());
            }
            wrong.extend(state.iter().flat_map(|state| lacks(bench, promise, state)));
            wrong.extend(unexpected_output(bench));
            match start.stop(daemon) {
                WaitStatus::Exited(_, 0) => {}
                end => wrong.push(format!("the daemon on SIGTERM: {}", shown(end))),
            }
        }
        (end, Some(_)) => wrong.push(format!("{}, but a daemon runs", shown(end))),
        (WaitStatus::Exited(_, 0), None) if is_killed(2) && is_after_word => {}
        (WaitStatus::Exited(_, 0), None) => wrong.push("status 0 without a daemon".to_owned()),
        (WaitStatus::Exited(_, 1), None) => {
            let still_runs =
                |role| format!("status 1 while the {} still ran", bench.program.name_of(role));
            wrong.extend(alive.into_iter().map(still_runs));
            let reason = point.map_or_else(String::new, Point::reason);
            wrong.extend(bad_sentence(bench, &reason));
        }
        (end, None) if is_killed(0) && is_sigkill(end) => {}
        (end, None) => wrong.push(shown(end)),
    }
    drop(start);

    let may_be_stale = daemon.is_none() && (is_killed(0) || is_killed(2) && is_after_word)
        || point.is_some_and(Point::is_removal);
    let who = if daemon.is_some() { "the daemon" } else { "the start" };
    wrong.extend(
        left_overs(bench, promise, may_be_stale).into_iter().map(|what| format!("{who} {what}")),
    );
    if point.is_some() && daemon.is_none() {
        match outcome::of(bench, None) {
            Verdict::Complete => {}
            Verdict::Wrong(what) => {
                wrong.extend(what.into_iter().map(|what| format!("the next start: {what}")));
            }
            Verdict::Refused | Verdict::Missed => wrong.push("the next start is odd".to_owned()),
        }
    }
    bench.clean_up();
    (verdict(wrong, daemon.is_some()), calls)
}

impl Bench<'_> {
    fn pidfile(&self) -> PathBuf {
        self.folder.path(PIDFILE_NAME)
    }

    /// The target of a descriptor without what is new each time.
    fn shortened(&self, target: &str) -> String {
        let folders =
            [&self.folder, &self.scratch].map(|folder| folder.path("").display().to_string());
        let target =
            folders.iter().fold(target.to_owned(), |target, folder| target.replace(folder, ""));
        target.split(":[").next().unwrap_or_default().to_owned()
    }
}

impl Point {
    /// Whether what fails is the removal of a file, which then stays.
    fn is_removal(&self) -> bool {
        matches!(self.call, libc::SYS_unlink | libc::SYS_unlinkat) && self.fault.blow != Blow::Kill
    }
}

/// What a complete daemon has and this one, which is stopped where it is ready, has not.
fn lacks(bench: &Bench, promise: &Background, daemon: &Daemon) -> Vec<String> {
    let pid = daemon.pid;
    let mut lacks = Vec::new();
    let mut expect = |what: &str, is: String, should: String| {
        if is != should {
            lacks.push(format!("{what}: {is} instead of {should}"));
        }
    };
    let content = fs::read_to_string(bench.pidfile()).unwrap_or_else(|error| error.to_string());
    let content = match content.strip_suffix('\n').and_then(|pid| pid.parse().ok()) {
        Some(named) if named == pid => "its pid".to_owned(),
        Some::<i32>(_) => "another pid".to_owned(),
        None => content,
    };
    expect("pid file", content, "its pid".to_owned());
    let is_locked = common::is_locked(&bench.pidfile());
    expect("pid file is locked", is_locked.to_string(), true.to_string());

    let stat = daemon.stat();
    let session = stat[3].parse::<i32>().unwrap();
    let ours = getsid(None).unwrap().as_raw();
    expect("leads its session", (session == pid).to_string(), false.to_string());
    expect("is in our session", (session == ours).to_string(), false.to_string());
    expect("terminal", stat[4].clone(), "0".to_owned());
    expect("directory", daemon.cwd().display().to_string(), "/".to_owned());
    expect("umask", daemon.status("Umask"), "0022".to_owned());

    let bits = |signals: &[Signal]| {
        let set = signals.iter().fold(0u64, |set, &signal| set | 1 << (signal as i32 - 1));
        format!("{set:016x}")
    };
    let caught = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE];
    let caught = bits(&caught);
    expect("caught signals", daemon.status("SigCgt"), caught);
    expect("ignored signals", daemon.status("SigIgn"), bits(&[]));
    expect("blocked signals", daemon.status("SigBlk"), bits(&[]));

    let null = "/dev/null".to_owned();
    let output = promise.log.map_or_else(|| null.clone(), str::to_owned);
    let mut fds = named_fds(bench, daemon);
    let more = fds.split_off(fds.partition_point(|&(number, _)| number < 3));
    let stdio = vec![(0, null), (1, output.clone()), (2, output)];
    expect("stdio", format!("{fds:?}"), format!("{stdio:?}"));
    let mut more: Vec<_> = more.into_iter().map(|(_, target)| target).collect();
    more.sort();
    let mut documented: Vec<_> = promise.descriptors.to_vec();
    documented.sort_unstable();
    expect("descriptors", format!("{more:?}"), format!("{documented:?}"));
    lacks
}

/// The daemon's descriptors, told apart by what they are: the path of a file that was linked after
/// it was made says nothing.
fn named_fds(bench: &Bench, daemon: &Daemon) -> Vec<(i32, String)> {
    let identity = |path: String| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let pidfile = identity(bench.pidfile().display().to_string());
    let folder = identity(bench.folder.path("").display().to_string());
    let fds = daemon.fds().into_iter().map(|(number, target)| {
        let is = identity(format!("/proc/{}/fd/{number}", daemon.pid));
        let target = match is {
            None => target,
            is if is == pidfile => PIDFILE.to_owned(),
            is if is == folder => FOLDER.to_owned(),
            _ => bench.shortened(&target),
        };
        (number, target)
    });
    fds.collect()
}

fn unexpected_output(bench: &Bench) -> Option<String> {
    let output = bench.output("stdout") + &bench.output("stderr");
    (!output.is_empty()).then(|| format!("printed {output:?}"))
}

/// What a start or a daemon that ended left in the folder.
fn left_overs(bench: &Bench, promise: &Background, may_be_stale: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in bench.folder.names() {
        let is_pidfile = name == PIDFILE_NAME;
        if is_pidfile && common::is_locked(&bench.pidfile()) {
            wrong.push("still locks the pid file".to_owned());
        }
        let is_allowed = Some(name.as_str()) == promise.log
            || is_pidfile && (may_be_stale || promise.keeps_pidfile);
        if !is_allowed {
            wrong.push(format!("left {name}"));
        }
    }
    wrong
}
