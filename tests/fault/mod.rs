//! Faults: every system call of a program is made to fail with every plausible errno, and every
//! process of it is killed at every call, one at a time. Whatever fails, a start must end in a complete
//! daemon, a program in the foreground with the right output, or either in a sentence with nothing
//! left behind.
//!
//! A fault stands at (process, number of the call in it), so that the dynamic loader does not
//! count; strace(1) can make calls fail, too, but cannot tell these two apart.

mod background;
mod calls;
mod exceptions;
mod foreground;
mod listing;
mod log;
mod outcome;
mod report;
mod tracer;

use std::{
    fmt,
    fs::{self, File},
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use nix::{errno::Errno, libc};

use crate::common::{self, Folder};
use outcome::Verdict;
use report::Report;
use tracer::Start;

pub use background::{Background, FOLDER, PIDFILE};

/// A program, and what it promises.
pub struct Program {
    pub source: PathBuf,
    /// Its working directory is a new folder.
    pub arguments: &'static [&'static str],
    pub kind: Kind,
    /// How long a start, with its end, may take.
    pub deadline: Duration,
}

pub enum Kind {
    /// It leaves a daemon.
    Background(Background),
    /// It ends, and has printed this.
    Foreground(&'static str),
    /// It ends, and each line that it has logged is where it belongs (fault_record.h).
    Log,
}

/// A call that tells where a process is.
#[derive(Clone, Copy)]
pub struct Marker {
    pub call: i64,
    /// Its first argument; None: any.
    pub argument: Option<i32>,
}

/// Made by fault_main.c at the begin of main().
const BEGIN: Marker = Marker { call: libc::SYS_close, argument: Some(-1_000_001) };
/// Made where the daemon is up.
const READY: Marker = Marker { call: libc::SYS_close, argument: Some(-1_000_002) };

impl Program {
    fn name(&self) -> &str {
        self.source.file_stem().unwrap().to_str().unwrap()
    }

    fn ready(&self) -> Option<Marker> {
        matches!(self.kind, Kind::Background(_)).then_some(READY)
    }

    /// What its processes are called, in the order in which they are made.
    fn name_of(&self, role: usize) -> String {
        let names: &[_] = match self.kind {
            Kind::Background(_) => &["launcher", "middle", "daemon"],
            Kind::Foreground(_) | Kind::Log => &["program"],
        };
        names.get(role).map_or_else(|| format!("process {role}"), |&name| name.to_owned())
    }
}

impl Marker {
    fn is_at(&self, call: i64, argument: i32) -> bool {
        self.call == call && self.argument.is_none_or(|wanted| wanted == argument)
    }
}

/// One thing that goes wrong.
#[derive(Clone, Copy)]
struct Fault {
    /// Which process, in the order in which they are made.
    role: usize,
    /// Which of its calls.
    index: usize,
    blow: Blow,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// The call fails.
    Fail(Errno),
    /// It and all later calls of the same name fail, in all processes, until the start has ended.
    FailFromHereOn(Errno),
    /// The process is killed instead of making the call.
    Kill,
}

impl Blow {
    fn errno(&self) -> Option<Errno> {
        match *self {
            Blow::Fail(errno) | Blow::FailFromHereOn(errno) => Some(errno),
            Blow::Kill => None,
        }
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Blow::Fail(errno) => write!(f, "{errno:?}"),
            Blow::FailFromHereOn(errno) => write!(f, "{errno:?} from here on"),
            Blow::Kill => write!(f, "SIGKILL"),
        }
    }
}

/// A fault where a clean start has a call.
struct Point {
    fault: Fault,
    /// The system call.
    call: i64,
    /// The daemon has said before that it is ready: nobody hears how it ends.
    is_after_word: bool,
}

/// A program made ready to be started many times.
struct Bench<'a> {
    program: &'a Program,
    executable: PathBuf,
    /// Working directory and place of the pid file. Empty between starts.
    folder: Folder,
    scratch: Folder,
    syslog: UnixDatagram,
}

/// How often a point may be missed, where the number of calls depends on who is faster.
const TRIES: usize = 10;
/// A start with a fault that takes longer is told.
const SLOW: Duration = Duration::from_millis(500);

/// Tries all faults, prints what is worth it, and returns each wrong outcome. None if it cannot be
/// done here, which is told.
pub fn wrong_outcomes(program: &Program) -> Option<Vec<String>> {
    if Command::new("strace").arg("-V").output().is_err() {
        common::skip("there is no strace");
        return None;
    }
    let begin = Instant::now();
    let bench = Bench::new(program);
    let (listing, clean) = clean_start(&bench);
    let points = points(&clean);
    let mut report = Report::new(program);
    for point in &points {
        let started = Instant::now();
        let verdict = (0..TRIES).map(|_| outcome::of(&bench, Some(point))).find(is_hit);
        let call = &listing[point.fault.role][point.fault.index].text;
        report.add(point.fault, call, verdict.unwrap_or(Verdict::Missed));
        if started.elapsed() > SLOW {
            report.add_slow(point.fault, call, started.elapsed());
        }
    }
    eprintln!(
        "{report}{}: {} calls of {} processes, {:.1} s",
        program.name(),
        clean.iter().map(Vec::len).sum::<usize>(),
        clean.len(),
        begin.elapsed().as_secs_f32(),
    );
    Some(report.wrong().into_iter().map(str::to_owned).collect())
}

fn is_hit(verdict: &Verdict) -> bool {
    !matches!(verdict, Verdict::Missed)
}

type Listing = Vec<Vec<listing::Listed>>;

/// What strace sees without a fault, and what our tracer sees, which must be the same.
fn clean_start(bench: &Bench) -> (Listing, Vec<Vec<i64>>) {
    for _ in 0..TRIES {
        let listing = listing::of(bench);
        let (verdict, clean) = outcome::with_calls(bench, None);
        if let Verdict::Wrong(what) = verdict {
            panic!("{}, without any fault: {}", bench.program.name(), what.join("; "));
        }
        let theirs: Vec<Vec<_>> = listing
            .iter()
            .map(|calls| calls.iter().map(|call| call.name.clone()).collect())
            .collect();
        let ours: Vec<Vec<_>> = clean
            .iter()
            .map(|calls| calls.iter().map(|&call| calls::name(call)).collect())
            .collect();
        if theirs == ours {
            return (listing, clean);
        }
        eprintln!("once more, as strace sees\n{theirs:?}\nand our tracer\n{ours:?}");
    }
    panic!("our tracer and strace never see the same calls of {}", bench.program.name());
}

fn points(clean: &[Vec<i64>]) -> Vec<Point> {
    let last = clean.len() - 1;
    let mut points = Vec::new();
    for (role, calls) in clean.iter().enumerate() {
        let is_word = |&call: &i64| call == libc::SYS_sendto;
        let word = calls.iter().rposition(is_word).filter(|_| role == last);
        for (index, &call) in calls.iter().enumerate() {
            let call_here = calls::by_number(call);
            let once = call_here.errnos().into_iter().map(Blow::Fail);
            let lasting = call_here.lasting_errnos().into_iter().map(Blow::FailFromHereOn);
            points.extend(once.chain(lasting).chain([Blow::Kill]).map(|blow| Point {
                fault: Fault { role, index, blow },
                call,
                is_after_word: word.is_some_and(|word| index > word),
            }));
        }
    }
    points
}

impl<'a> Bench<'a> {
    fn new(program: &'a Program) -> Self {
        nix::sys::prctl::set_child_subreaper(true).unwrap(); // reaps what is left of a start
        let scratch = Folder::new();
        let object = scratch.path("program.o");
        let mut compiler = common::compiler("c", "c11");
        compiler.args(["-c", "-Dmain=daemon_main"]).arg(&program.source).arg("-o").arg(&object);
        common::succeed(&mut compiler);
        let main = common::root().join("tests/programs/fault_main.c");
        let executable = common::compile(&scratch, program.name(), &[main, object], &[]);
        let syslog = UnixDatagram::bind(scratch.path("syslog")).unwrap();
        syslog.set_nonblocking(true).unwrap();
        Bench { program, executable, folder: Folder::new(), scratch, syslog }
    }

    fn start(&self, fault: Option<Fault>) -> Start {
        let mut command = Command::new(&self.executable);
        command.args(self.program.arguments).current_dir(&self.folder);
        self.redirect(&mut command);
        Start::new(command, self.program, fault)
    }

    fn redirect(&self, command: &mut Command) {
        let output = |name| File::create(self.scratch.path(name)).unwrap();
        command.stdin(File::open(&self.executable).unwrap()); // anything but /dev/null
        command.stdout(output("stdout")).stderr(output("stderr"));
    }

    fn output(&self, name: &str) -> String {
        common::text(&fs::read(self.scratch.path(name)).unwrap())
    }

    /// What has been sent to "syslog" since this was last asked.
    fn datagrams(&self) -> String {
        let mut all = String::new();
        let mut datagram = [0; 8192];
        while let Ok(length) = self.syslog.recv(&mut datagram) {
            all.push_str(&common::text(&datagram[..length]));
            all.push('\n');
        }
        all
    }

    fn clean_up(&self) {
        for name in self.folder.names() {
            fs::remove_file(self.folder.path(&name)).unwrap();
        }
        self.datagrams();
    }
}
