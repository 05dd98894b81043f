//! The test daemon: tests/programs/daemon.c in a folder of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Daemon, Folder, command, fail_with, program, status_of, succeed};

/// The test daemon in a folder of its own, where it is started.
pub struct Rig {
    pub folder: Folder,
    pub program: PathBuf,
}

impl Rig {
    pub fn new() -> Self {
        let folder = Folder::new();
        let program = program(&folder, "daemon");
        Rig { folder, program }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.program);
        command.args(arguments).current_dir(&self.folder);
        command
    }

    #[track_caller]
    pub fn start(&self, arguments: &[&str]) -> Daemon {
        succeed(&mut self.command(arguments));
        Daemon::of(&self.folder.path("d.pid"))
    }

    /// Fails with status 1 and "ERRNO SENTENCE", and nothing is left.
    #[track_caller]
    pub fn refused(&self, errno: i32, sentence: &str, arguments: &[&str]) {
        let message = fail_with(1, &mut self.command(arguments));
        let expected = format!("daemon: {errno} {sentence}");
        assert_eq!(without_path(&message, self.folder.as_ref()), expected);
        self.assert_nothing_left();
    }

    #[track_caller]
    pub fn assert_nothing_left(&self) {
        assert_eq!(self.folder.names(), ["daemon"]);
        assert_eq!(self.processes(), Vec::<i32>::new());
    }

    /// Who runs this program.
    pub fn processes(&self) -> Vec<i32> {
        let is_ours = |pid: i32| {
            let exe = fs::read_link(format!("/proc/{pid}/exe"));
            exe.is_ok_and(|exe| exe == self.program) || {
                // valgrind runs it under another name.
                let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let program = self.program.as_os_str().as_encoded_bytes();
                arguments.split(|&byte| byte == 0).any(|argument| argument == program)
            }
        };
        let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|&pid| is_ours(pid) && !status_of(pid, "State").starts_with('Z')).collect()
    }
}

fn without_path(message: &str, folder: &Path) -> String {
    message.replace(&format!("{}/", folder.display()), "")
}
