//! A program that stays in the foreground.

use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use nix::sys::signal::Signal;

use super::{Daemon, Folder, read, until};

/// Killed when the test ends.
pub struct Foreground {
    child: Child,
    pub process: Daemon,
    output: PathBuf,
}

impl Foreground {
    /// Returns when the program has printed `sign`.
    #[track_caller]
    pub fn start(folder: &Folder, command: &mut Command, sign: &str) -> Self {
        let output = folder.path("output");
        let file = File::create(&output).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let process = Daemon::of_pid(child.id() as i32);
        let foreground = Foreground { child, process, output };
        until(sign, || read(&foreground.output).contains(sign));
        foreground
    }

    /// TERM, wait, and demand status 0. What it printed.
    #[track_caller]
    pub fn stop(mut self) -> String {
        self.process.signal(Signal::SIGTERM);
        self.process.wait_end();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{}", read(&self.output));
        read(&self.output)
    }

    /// Its status, when it has ended.
    pub fn wait(&mut self) -> Option<i32> {
        self.process.wait_end();
        self.child.wait().unwrap().code()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
