//! Promises as a program of the kernel's filter machine (classic BPF, Documentation/userspace-api/seccomp_filter.rst).
//!
//! The number of the call is found by halving. A call that the program allows by its number alone is one that the
//! kernel looks up in a bitmap from then on, without running the program.

use libc::sock_filter;

use super::{
    checks::{Check, Half, THIS_PROCESS},
    table::{self, Call, LAST},
    words::{EXIT, Words},
};

/// Room for all: a test has each set of words compiled.
const ROOM: usize = 1024;

#[cfg(target_arch = "x86_64")]
pub(crate) const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(crate) const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
pub(crate) const ARCHITECTURE: u32 = 0xc000_00f3;

// linux/bpf_common.h
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const GO: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_NOT_LESS: u16 = 0x35;
const RETURN: u16 = 0x06;

// struct seccomp_data
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// Where a half of an argument is.
fn place(half: Half) -> u32 {
    16 + 8 * u32::from(half.argument) + if half.is_high { 4 } else { 0 }
}

/// What is answered to which calls.
#[derive(Clone, Copy)]
pub struct Answers {
    /// To those that were not promised.
    pub otherwise: u32,
    /// To those that are newer than the table.
    pub newer: u32,
    /// To those of another architecture.
    pub foreign: u32,
}

pub(crate) const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

pub struct Program {
    code: [sock_filter; ROOM],
    length: usize,
    is_too_long: bool,
}

/// What the number alone decides.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Allow,
    Otherwise,
    Missing,
    Newer,
    /// The arguments decide.
    Ask(u16),
}

struct Compiler<'a> {
    program: &'a mut Program,
    verdicts: &'a [Verdict],
    promised: Words,
    answers: Answers,
    pid: u32,
}

impl Program {
    /// Without heap. `None`: there is no room.
    pub fn new(promised: Words, answers: Answers, pid: u32) -> Option<Self> {
        let nothing = sock_filter { code: 0, jt: 0, jf: 0, k: 0 };
        let mut program = Program { code: [nothing; ROOM], length: 0, is_too_long: false };
        let promised = promised.or(EXIT);
        let mut verdicts = [Verdict::Otherwise; LAST as usize + 2];
        for call in table::calls() {
            if let Some(verdict) = verdicts.get_mut(usize::from(call.number)) {
                *verdict = of(call, promised);
            }
        }
        if let Some(last) = verdicts.last_mut() {
            *last = Verdict::Newer;
        }
        program.push(LOAD, ARCH, 0, 0);
        program.push(IF_EQUAL, ARCHITECTURE, 1, 0);
        program.push(RETURN, answers.foreign, 0, 0);
        program.push(LOAD, NUMBER, 0, 0);
        let verdicts = &verdicts;
        let mut compiler = Compiler { program: &mut program, verdicts, promised, answers, pid };
        compiler.range(0, verdicts.len());
        (!program.is_too_long).then_some(program)
    }

    pub fn code(&self) -> &[sock_filter] {
        self.code.get(..self.length).unwrap_or_default()
    }

    fn remove(&mut self, place: usize) {
        for at in place..self.length {
            let next = self.code.get(at + 1).copied();
            if let (Some(next), Some(to)) = (next, self.code.get_mut(at)) {
                *to = next;
            }
        }
        self.length -= 1;
    }

    fn push(&mut self, code: u16, k: u32, jt: usize, jf: usize) {
        let far = jt > 255 || jf > 255;
        match self.code.get_mut(self.length) {
            Some(place) if !far => {
                *place = sock_filter { code, jt: jt as u8, jf: jf as u8, k };
                self.length += 1;
            }
            _ => self.is_too_long = true,
        }
    }
}

fn of(call: &Call, promised: Words) -> Verdict {
    if call.is_missing() {
        return Verdict::Missing;
    }
    if !call.words().has_any(promised) {
        return Verdict::Otherwise;
    }
    match call.checks().iter().any(|check| !check.needs.has_any(promised)) {
        true => Verdict::Ask(call.number),
        false => Verdict::Allow,
    }
}

impl Compiler<'_> {
    fn verdict(&self, number: usize) -> Verdict {
        self.verdicts.get(number).copied().unwrap_or(Verdict::Newer)
    }

    /// Where in the numbers from `start` on the verdict changes next.
    fn change_after(&self, start: usize) -> usize {
        let first = self.verdict(start);
        let mut next = start + 1;
        while next < self.verdicts.len() && self.verdict(next) == first {
            next += 1;
        }
        next
    }

    /// The code for the numbers from `start` to before `end`, at the first of which a verdict begins.
    fn range(&mut self, start: usize, end: usize) {
        let mut changes = 0;
        let mut at = self.change_after(start);
        while at < end {
            changes += 1;
            at = self.change_after(at);
        }
        if changes == 0 {
            return self.leaf(self.verdict(start));
        }
        let mut middle = start;
        for _ in 0..=(changes >> 1) {
            middle = self.change_after(middle);
        }
        // A jump goes as far as 255; what is farther, by one that always jumps.
        let place = self.program.length;
        self.program.push(IF_NOT_LESS, middle as u32, 0, 1);
        self.program.push(GO, 0, 0, 0);
        self.range(start, middle);
        let distance = self.program.length.saturating_sub(place + 2);
        if let Some(go) = self.program.code.get_mut(place + 1) {
            go.k = distance as u32;
        }
        if distance <= 255 {
            self.program.remove(place + 1);
            if let Some(jump) = self.program.code.get_mut(place) {
                (jump.jt, jump.jf) = (distance as u8, 0);
            }
        }
        self.range(middle, end);
    }

    fn leaf(&mut self, verdict: Verdict) {
        let answer = match verdict {
            Verdict::Allow => libc::SECCOMP_RET_ALLOW,
            Verdict::Otherwise => self.answers.otherwise,
            Verdict::Missing => ENOSYS,
            Verdict::Newer => self.answers.newer,
            Verdict::Ask(number) => {
                let call = table::calls().find(|call| call.number == number);
                let checks = call.map(Call::checks).unwrap_or_default();
                let (promised, mut unmet) = (self.promised, checks.iter());
                while let Some(check) = unmet.find(|check| !check.needs.has_any(promised)) {
                    self.check(check);
                }
                libc::SECCOMP_RET_ALLOW
            }
        };
        self.program.push(RETURN, answer, 0, 0);
    }

    /// Ends with the answer to what was not promised, or goes on behind it.
    fn check(&mut self, check: &Check) {
        let mut rest: usize = 1; // the answer
        for condition in check.when {
            rest += 1 + usize::from(condition.mask != u32::MAX) + condition.values.len();
        }
        for condition in check.when {
            rest -= 1;
            self.program.push(LOAD, place(condition.half), 0, 0);
            if condition.mask != u32::MAX {
                rest -= 1;
                self.program.push(AND, condition.mask, 0, 0);
            }
            let mut more = condition.values.len();
            for &value in condition.values {
                rest -= 1;
                more -= 1;
                let value = if value == THIS_PROCESS { self.pid } else { value };
                match (condition.is_one_of, more) {
                    (true, 0) => self.program.push(IF_EQUAL, value, 0, rest),
                    (true, _) => self.program.push(IF_EQUAL, value, more, 0),
                    (false, _) => self.program.push(IF_EQUAL, value, rest, 0),
                }
            }
        }
        self.program.push(RETURN, self.answers.otherwise, 0, 0);
    }
}
