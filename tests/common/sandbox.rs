//! tests/programs/sandbox.c, which enters a sandbox and tries what it may do then.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::PathBuf,
    process::Command,
};

use super::{Folder, command, is_root, program, run, text};

pub const STRANGER: u32 = 65534;

/// tests/programs/sandbox.c in a folder of the stranger's, beside the folder "d" with the file "f".
pub struct Rig {
    pub folder: Folder,
    pub program: PathBuf,
}

impl Rig {
    pub fn new() -> Self {
        let folder = Folder::new();
        let program = program(&folder, "sandbox");
        fs::create_dir(folder.path("d")).unwrap();
        fs::write(folder.path("d/f"), "text").unwrap();
        if is_root() {
            for path in [&folder.path(""), &folder.path("d"), &folder.path("d/f")] {
                chown(path, Some(STRANGER), Some(STRANGER)).unwrap();
            }
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Rig { folder, program }
    }

    pub fn command(&self, how: &str, options: &[&str], actions: &[&str]) -> Command {
        let mut command = command(&self.program);
        command.arg(how).args(options).arg("-").args(actions).current_dir(&self.folder);
        command
    }

    #[track_caller]
    pub fn said(&self, how: &str, options: &[&str], actions: &[&str]) -> String {
        said(&mut self.command(how, options, actions))
    }

    /// The result of each action.
    #[track_caller]
    pub fn tried(&self, how: &str, options: &[&str], actions: &[&str]) -> BTreeMap<String, i64> {
        results(&self.said(how, options, actions))
    }
}

pub fn as_stranger(rig: &Rig) -> Command {
    as_user(rig, rig.program.as_ref())
}

/// Another program as the stranger.
pub fn as_user(rig: &Rig, program: &OsStr) -> Command {
    let user = STRANGER.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(program);
    command.current_dir(&rig.folder);
    command
}

#[track_caller]
pub fn said(command: &mut Command) -> String {
    let output = run(command);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.code().is_some_and(|status| status < 2), "{output:?}");
    said
}

#[track_caller]
pub fn results(said: &str) -> BTreeMap<String, i64> {
    let result = |line: &str| {
        let (action, result) = line.rsplit_once(' ').unwrap();
        (action.to_owned(), result.parse().unwrap_or_else(|_| panic!("{said}")))
    };
    said.lines().map(result).collect()
}
