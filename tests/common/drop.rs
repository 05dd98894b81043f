//! tests/programs/drop_privileges.c, which gives up privileges and tries what it may do then.

use std::{
    collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command,
};

use super::{Folder, command, is_root, program, run, skip, text};

/// tests/programs/drop_privileges.c in a folder that everybody may enter.
pub struct Rig {
    pub folder: Folder,
    pub program: PathBuf,
}

/// What the program printed.
pub struct Said {
    pub text: String,
}

impl Rig {
    pub fn new() -> Option<Self> {
        if !is_root() {
            skip("needs root, which is given up");
            return None;
        }
        let folder = Folder::new();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let program = program(&folder, "drop_privileges");
        Some(Rig { folder, program })
    }

    pub fn command(&self, options: &[&str], actions: &[&str]) -> Command {
        let mut command = command(&self.program);
        command.args(options).arg("-").args(actions).current_dir(&self.folder);
        command
    }

    #[track_caller]
    pub fn drop(&self, options: &[&str], actions: &[&str]) -> Said {
        let output = run(&mut self.command(options, actions));
        let text = text(&output.stdout);
        assert!(
            text.starts_with("dropped\n"),
            "{options:?}: {text}{}",
            super::text(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(0), "{}", super::text(&output.stderr));
        Said { text }
    }

    /// The errno and the sentence of a refusal that has changed nothing.
    #[track_caller]
    pub fn is_refused(&self, options: &[&str]) -> (i32, String) {
        let text = text(&run(&mut self.command(options, &[])).stdout);
        assert!(text.ends_with("\nunchanged\n"), "{options:?}: {text}");
        refusal(&text).unwrap_or_else(|| panic!("{options:?}: {text}"))
    }
}

pub fn refusal(text: &str) -> Option<(i32, String)> {
    let (errno, sentence) = text.lines().next()?.strip_prefix("refused ")?.split_once(' ')?;
    Some((errno.parse().unwrap(), sentence.to_owned()))
}

impl Said {
    /// The errno of each action.
    pub fn results(&self) -> BTreeMap<&str, i32> {
        let result = |line| {
            let (action, errno) = str::rsplit_once(line, ' ')?;
            Some((action, errno.parse().ok()?))
        };
        self.text.lines().filter_map(result).collect()
    }

    /// A field of the statuses of all threads.
    pub fn of_threads(&self, name: &str) -> Vec<String> {
        let field = |line: &str| {
            let (_, rest) = line.split_once(&format!("{name}:\t"))?;
            let words = rest.split_whitespace().take_while(|word| !word.ends_with(':'));
            Some(words.collect::<Vec<_>>().join(" "))
        };
        self.text.lines().filter_map(field).collect()
    }
}

/// net_bind_service
pub const BIND: &str = "0000000000000400";
pub const NONE: &str = "0000000000000000";
