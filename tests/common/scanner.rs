//! c-examples/security_scanner.c, and what it is to find.

use std::{
    ffi::OsStr,
    fs,
    io::{Read, Write},
    os::{
        fd::AsRawFd,
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{
    Daemon, Folder, command, compile, log::Log, read, root, run, skip, succeed, test_with, text,
    until,
};

/// How a line begins that tells of a file that was planted.
pub const NEW_FILE: &str = "warning: new: world-writable file, mode 0666, ";

/// valgrind lacks pidfd_open(2), without which nobody is signalled by his pid file.
pub fn lacks_pidfd() -> bool {
    test_with() == "valgrind"
}

/// What it needs besides the library. None, and said so, where that is not installed.
#[track_caller]
fn flags() -> Option<Vec<String>> {
    let output = Command::new("pkg-config").args(["--cflags", "--libs", "yaml-0.1"]).output();
    match output {
        Ok(output) if output.status.success() => {
            Some(text(&output.stdout).split_whitespace().map(str::to_owned).collect())
        }
        _ => {
            skip("yaml-0.1 is not installed, which security_scanner needs");
            None
        }
    }
}

/// The example, compiled into the folder.
#[track_caller]
pub fn build(folder: &Folder) -> Option<PathBuf> {
    build_with(folder, &["c-examples/security_scanner.c"], &[])
}

/// With tests/programs/scan_races.c in it.
#[track_caller]
pub fn build_with_races(folder: &Folder) -> Option<PathBuf> {
    let sources = ["c-examples/security_scanner.c", "tests/programs/scan_races.c"];
    build_with(folder, &sources, &["-Wl,--wrap=readdir64", "-Wl,--wrap=fstatat64"])
}

#[track_caller]
fn build_with(folder: &Folder, sources: &[&str], more: &[&str]) -> Option<PathBuf> {
    let flags = flags()?;
    let all: Vec<_> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let sources: Vec<_> = sources.iter().map(|source| root().join(source)).collect();
    Some(compile(folder, "security_scanner", &sources, &all))
}

/// A file with this content, or without one a folder, of this mode.
pub fn plant(path: impl AsRef<Path>, content: Option<&str>, mode: u32) {
    match content {
        Some(content) => fs::write(&path, content).unwrap(),
        None => fs::create_dir_all(&path).unwrap(),
    }
    fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
}

/// The daemon, its configuration and a tree to scan, in a folder of their own.
pub struct Scanner {
    pub folder: Folder,
    pub program: PathBuf,
    pub log: Log,
}

impl Scanner {
    /// With nothing in the tree, and one scan in an hour.
    #[track_caller]
    pub fn new() -> Option<Self> {
        let folder = Folder::new();
        let program = build(&folder)?;
        Some(Scanner::of(folder, program))
    }

    #[track_caller]
    pub fn with_races() -> Option<Self> {
        let folder = Folder::new();
        let program = build_with_races(&folder)?;
        Some(Scanner::of(folder, program))
    }

    fn of(folder: Folder, program: PathBuf) -> Self {
        let log = Log(folder.path("scanner.log"));
        let scanner = Scanner { folder, program, log };
        plant(scanner.tree(), None, 0o755);
        scanner.configure(&scanner.config(3600));
        scanner
    }

    pub fn tree(&self) -> PathBuf {
        self.folder.path("tree")
    }

    pub fn pidfile(&self) -> PathBuf {
        self.folder.path("scanner.pid")
    }

    pub fn config_file(&self) -> PathBuf {
        self.folder.path("config.yaml")
    }

    /// A good configuration.
    pub fn config(&self, interval: u32) -> String {
        format!("scan_interval: {interval}\nfolders: [{}]\n", self.tree().display())
    }

    pub fn configure(&self, config: &str) {
        fs::write(self.config_file(), config).unwrap();
    }

    pub fn command(&self, word: &str) -> Command {
        let mut command = command(&self.program);
        command.arg(word).arg("--config").arg(self.config_file()).arg("--log").arg(&self.log.0);
        command.arg("--control").arg(self.folder.path("control"));
        command.arg("--pidfile").arg(self.pidfile());
        command
    }

    /// Status and all that is said.
    pub fn say(&self, word: &str) -> (i32, String) {
        let Output { status, stdout, stderr } = run(&mut self.command(word));
        (status.code().unwrap(), text(&stdout) + &text(&stderr))
    }

    #[track_caller]
    pub fn start(&self) -> Daemon {
        succeed(&mut self.command("start"));
        Daemon::of(&self.pidfile())
    }

    /// Starts it, and returns when the first scan is complete.
    #[track_caller]
    pub fn start_and_scan(&self) -> Daemon {
        let daemon = self.start();
        self.await_scans(1);
        daemon
    }

    /// What it answers on the control socket.
    #[track_caller]
    pub fn ask(&self, line: &str) -> String {
        let folder = fs::File::open(&self.folder).unwrap();
        let path = format!("/proc/self/fd/{}/control", folder.as_raw_fd());
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(super::DEADLINE)).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Has it scan, and returns what it has logged since.
    #[track_caller]
    pub fn scan(&self) -> Vec<String> {
        let (lines, scans) = (self.logged().len(), self.scans());
        assert_eq!(self.ask("scan"), " now\nok\n");
        self.await_scans(scans + 1);
        self.logged().split_off(lines)
    }

    /// "LEVEL: MESSAGE" of each line, with paths from the tree on.
    pub fn logged(&self) -> Vec<String> {
        let tree = self.tree().display().to_string();
        let text = read(&self.log.0);
        let without_start = |line: &str| line.split_once("] ").unwrap().1.replace(&tree, "TREE");
        // The last line may just be being written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(without_start).collect()
    }

    fn scans(&self) -> usize {
        self.logged().iter().filter(|line| line.starts_with("info: scan complete, ")).count()
    }

    #[track_caller]
    pub fn await_scans(&self, count: usize) {
        until(&format!("{count} scans"), || self.scans() >= count);
    }

    /// The process that scans.
    #[track_caller]
    pub fn await_scan(&self, daemon: &Daemon) -> Daemon {
        let mut children = Vec::new();
        let is_scan = |&pid: &i32| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            arguments.split(|&byte| byte == 0).nth(1) == Some(b"--scan")
        };
        until("a scan runs", || {
            children = daemon.children().into_iter().filter(is_scan).collect();
            !children.is_empty()
        });
        Daemon::of_pid(children[0])
    }
}

/// Runs a scan once, and returns its lines.
#[track_caller]
pub fn scan_once(program: &Path, folders: &[&OsStr]) -> Vec<Vec<u8>> {
    let output = succeed(command(program).arg("--scan").args(folders));
    assert_eq!(text(&output.stderr), "");
    lines_of(&output)
}

/// The lines of a scan, sorted.
pub fn lines_of(output: &Output) -> Vec<Vec<u8>> {
    let lines = output.stdout.split_inclusive(|&byte| byte == b'\n');
    let mut lines: Vec<_> = lines.map(|line| line.strip_suffix(b"\n").unwrap().to_vec()).collect();
    lines.sort();
    lines
}
