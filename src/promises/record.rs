//! The process that is told what a program calls beyond its promises, lets it pass, and tells which words are missing.
//!
//! A call may be given by any one of several words: such needs are kept, and chosen from at the end.

use std::os::fd::{AsFd, BorrowedFd};

use super::{
    checks::{Check, Condition, THIS_PROCESS},
    program::ARCHITECTURE,
    table,
    words::{DNS, EXIT, NONE, RPATH, Words},
};
use crate::{
    log,
    sys::{
        file,
        memory::Buffer,
        proc::Process,
        seccomp::{self, Told},
        socket,
    },
    text,
};

/// Different sets of words: there are fewer in the table.
const SETS: usize = 32;

/// What is sent when all is well.
pub const MAY: &[u8] = b"x";

struct Recorder {
    promised: Words,
    needs: [Words; SETS],
    count: usize,
    /// Calls that no word gives, with a space before each.
    others: Buffer<512>,
}

/// Until no process is under the filter any more.
pub fn run(socket: BorrowedFd, promised: Words) {
    // What the program had open is closed by now. Promises from before hold here, too.
    let may = seccomp::may_receive();
    let _ = socket::send(socket, if may { MAY } else { b"n" });
    if !may {
        return;
    }
    let Some(listener) = seccomp::receive_descriptor(socket) else { return };
    if let Some(stderr) = seccomp::receive_descriptor(socket) {
        let _ = file::duplicate_to(stderr.as_fd(), 2);
    }
    file::close(3);
    let mut recorder = Recorder {
        promised: promised.or(EXIT),
        needs: [NONE; SETS],
        count: 0,
        others: Buffer::new(),
    };
    while seccomp::await_news(listener.as_fd()) {
        match seccomp::receive(listener.as_fd()) {
            Ok(Some(told)) => {
                recorder.look_at(&told);
                seccomp::let_pass(listener.as_fd(), &told);
            }
            Ok(None) => {}
            Err(_) => break,
        }
    }
    recorder.tell();
}

impl Recorder {
    fn look_at(&mut self, told: &Told) {
        let found = table::find(told.number).filter(|_| told.architecture == ARCHITECTURE);
        let Some((call, name)) = found else {
            let mut name = Buffer::<16>::new();
            name.push(b"number:");
            name.push_number(told.number, 1);
            return self.need(NONE, name.as_bytes());
        };
        let holds = |check: &&Check| check.when.iter().all(|one| self.holds(one, told));
        if call.checks().iter().filter(holds).any(|check| check.needs == NONE) {
            return self.need(NONE, name);
        }
        for check in call.checks() {
            if check.when.iter().all(|one| self.holds(one, told)) {
                self.need(narrowed(check.needs, told), name);
            }
        }
        self.need(narrowed(call.words(), told), name);
    }

    /// As the filter would see it.
    fn holds(&self, condition: &Condition, told: &Told) -> bool {
        let argument = told.arguments.get(usize::from(condition.half.argument));
        let argument = argument.copied().unwrap_or(0);
        let half = (if condition.half.is_high { argument >> 32 } else { argument }) as u32;
        let is_one = condition.values.iter().any(|&value| match value {
            THIS_PROCESS => half == told.thread || half == self.process(told),
            value => half & condition.mask == value,
        });
        is_one == condition.is_one_of
    }

    /// The process of the thread that calls.
    fn process(&self, told: &Told) -> u32 {
        let status = Process::numbered(told.thread as libc::pid_t).status(b"Tgid:\t");
        let pid = status.ok().flatten().and_then(|field| text::number(field.as_bytes()));
        pid.unwrap_or(told.thread)
    }

    fn need(&mut self, words: Words, name: &[u8]) {
        if words == NONE {
            return self.note_other(name);
        }
        let is_known = |known: &Words| known.0 & !words.0 == 0;
        if words.has_any(self.promised) || self.needs.iter().take(self.count).any(is_known) {
            return;
        }
        let Some(place) = self.needs.get_mut(self.count) else { return };
        *place = words;
        self.count += 1;
        let mut line = Buffer::<160>::new();
        line.push(b"promises: ");
        line.push(name);
        line.push(b" needs ");
        for (number, word) in words.names().enumerate() {
            line.push(if number == 0 { b"" } else { b" or " });
            line.push(word.as_bytes());
        }
        log_line(line.as_bytes());
    }

    fn note_other(&mut self, name: &[u8]) {
        let mut known = self.others.as_bytes().split(|&byte| byte == b' ');
        if known.any(|known| known == name) {
            return;
        }
        self.others.push(b" ");
        self.others.push(name);
        let mut line = Buffer::<160>::new();
        line.push(b"promises: ");
        line.push(name);
        line.push(b" is given by no word");
        log_line(line.as_bytes());
    }

    fn tell(&self) {
        let needs = || self.needs.iter().take(self.count);
        let mut all = self.promised;
        for words in needs().filter(|words| words.is_one()) {
            all = all.or(*words);
        }
        for words in needs() {
            if !words.has_any(all) {
                all = all.or(words.first());
            }
        }
        let mut line = Buffer::<1024>::new();
        line.push(b"promises:");
        for word in all.names() {
            line.push(b" ");
            line.push(word.as_bytes());
        }
        if !self.others.as_bytes().is_empty() {
            line.push(b"; no word gives:");
            line.push(self.others.as_bytes());
        }
        line.push(b"\n");
        if let Some(stderr) = file::borrowed(2) {
            let _ = file::write(stderr, line.as_bytes());
        }
    }
}

fn log_line(line: &[u8]) {
    if log::is_open() {
        log::write(libc::LOG_NOTICE, line, &[]);
    }
}

/// What the resolver reads; the first is read by nothing else.
static OF_RESOLVER: [&[u8]; 6] = [
    b"/etc/resolv.conf",
    b"/etc/hosts",
    b"/etc/nsswitch.conf",
    b"/etc/host.conf",
    b"/etc/gai.conf",
    b"/etc/services",
];

/// Files are read under dns, too. The path tells whether that is why.
fn narrowed(words: Words, told: &Told) -> Words {
    if words != RPATH.or(DNS) {
        return words;
    }
    let number = i64::from(told.number);
    let address = match number {
        libc::SYS_getdents64 => return RPATH,
        libc::SYS_openat
        | libc::SYS_newfstatat
        | libc::SYS_statx
        | libc::SYS_readlinkat
        | libc::SYS_faccessat
        | libc::SYS_faccessat2 => told.arguments[1],
        _ => told.arguments[0],
    };
    let mut path = [0; 32];
    let length = seccomp::peek(told.thread, address, &mut path);
    let path = path.get(..length).unwrap_or_default();
    let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
    match OF_RESOLVER.iter().position(|known| *known == path) {
        Some(0) => DNS,
        Some(_) => words,
        None => RPATH,
    }
}
