//! tests/programs/log_lines.c, which logs numbered lines as it is told.

use std::{
    io::{BufRead, BufReader, Write},
    os::fd::AsFd,
    process::{ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, poll};

use super::{Child, DEADLINE, at_once, has_ended_within};

/// Ends with the test.
pub struct Logger {
    pub child: Child,
    /// None: there will be no more.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What the program says of its log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    pub sent: usize,
    pub lost: usize,
    pub errno: i32,
}

impl Logger {
    /// Returns when the log is open.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut child = Child(child);
        let commands = child.0.stdin.take();
        let answers = BufReader::new(child.0.stdout.take().unwrap());
        let mut logger = Logger { child, commands, answers };
        assert_eq!(logger.ask("stop").sent, 0);
        logger
    }

    pub fn tell(&mut self, command: &str) {
        let commands = self.commands.as_mut().unwrap();
        commands.write_all(command.as_bytes()).unwrap();
        commands.write_all(b"\0").unwrap();
    }

    pub fn has_answered_within(&self, limit: Duration) -> bool {
        let mut fds = [PollFd::new(self.answers.get_ref().as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, limit.as_millis() as u16).unwrap() == 1
    }

    #[track_caller]
    pub fn answer(&mut self) -> Told {
        assert!(self.has_answered_within(DEADLINE), "the program does not answer");
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let mut numbers = line.split_whitespace().map(|number| number.parse().unwrap());
        let mut next = || numbers.next().expect("the program has ended");
        Told { sent: next(), lost: next(), errno: next() as i32 }
    }

    #[track_caller]
    pub fn ask(&mut self, command: &str) -> Told {
        self.tell(command);
        self.answer()
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        // The child may be an nsenter(1), which has to see the program end: who is killed reaps nobody.
        self.commands = None;
        has_ended_within(self.child.pid(), at_once());
    }
}

/// The numbers of this program's lines, in their order. Every line with its name must be whole.
#[track_caller]
pub fn numbers(log: &str, name: &str) -> Vec<usize> {
    let start = format!("{name} line ");
    let said = log.lines().filter_map(|line| Some(line.split_once(&start)?.1));
    let number = |said: &str| said.strip_suffix('.').and_then(|number| number.parse().ok());
    said.map(|said| number(said).unwrap_or_else(|| panic!("a torn line: {start}{said}"))).collect()
}

/// How many lines the log says were lost.
pub fn told_lost(log: &str) -> usize {
    let counts = log.lines().filter_map(|line| {
        let before =
            line.split_once(" lost here: ")?.0.trim_end_matches(|c: char| !c.is_ascii_digit());
        before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
    });
    counts.sum()
}
