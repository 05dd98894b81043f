//! The log and logrotate(8), while several processes write lines.

mod common;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use common::{
    Daemon, Folder, command, example, is_root,
    lines::{Logger, numbers},
    namespace::Namespace,
    program, read, root, skip, succeed, text, until,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const LOGROTATE: &str = "/usr/sbin/logrotate";
const NAMES: [&str; 3] = ["first", "second", "third"];

/// Three processes that write to one log as fast as it goes on.
struct Rig {
    folder: Folder,
    loggers: Vec<Logger>,
    rotations: usize,
}

impl Rig {
    /// With what the configuration says of the log.
    fn start(how: &str, targets: &[&str]) -> Option<Self> {
        if !Path::new(LOGROTATE).exists() {
            skip("logrotate is not installed");
            return None;
        }
        let folder = Folder::new();
        let log = folder.path("lines.log");
        let program = program(&folder, "log_lines");
        let start = |name: &&str| {
            let mut command = command(&program);
            command.arg(name).arg(format!("file={}", log.display())).args(targets);
            let mut logger = Logger::start(command.env("TZ", "UTC"));
            logger.tell("load");
            logger
        };
        let loggers: Vec<_> = NAMES.iter().map(start).collect();
        let pids: Vec<_> = loggers.iter().map(|logger| logger.child.pid().to_string()).collect();
        let how = how.replace("PIDS", &pids.join(" "));
        fs::write(folder.path("conf"), format!("{} {{\nrotate 99\n{how}\n}}\n", log.display()))
            .unwrap();
        Some(Rig { folder, loggers, rotations: 0 })
    }

    fn log(&self) -> PathBuf {
        self.folder.path("lines.log")
    }

    /// The file before the latest rotation.
    fn moved(&self) -> String {
        read(&self.folder.path("lines.log.1"))
    }

    /// When there is something to rotate.
    #[track_caller]
    fn rotate(&mut self) {
        until("the log has lines", || {
            fs::metadata(self.log()).is_ok_and(|log| log.size() > 10_000)
        });
        logrotate(&self.folder);
        self.rotations += 1;
    }

    /// Waits until all write to what stands at the path, which is a new file.
    #[track_caller]
    fn await_reopened(&self) {
        for logger in &self.loggers {
            until("it writes to the new file", || has_open(logger.child.pid(), &self.log()));
        }
    }

    /// Ends the load. How many lines each process has logged, none of which it knows to be lost.
    #[track_caller]
    fn stop(&mut self) -> Vec<usize> {
        let told: Vec<_> = self.loggers.iter_mut().map(|logger| logger.ask("stop")).collect();
        assert!(told.iter().all(|told| told.lost == 0 && told.errno == 0), "{told:?}");
        told.iter().map(|told| told.sent).collect()
    }

    /// All files, the oldest first.
    fn files(&self) -> Vec<String> {
        let name = |number| match number {
            0 => self.log(),
            _ => self.folder.path(&format!("lines.log.{number}")),
        };
        (0..=self.rotations).rev().map(|number| fs::read_to_string(name(number)).unwrap()).collect()
    }

    #[track_caller]
    fn assert_all_lines_are_there(&mut self) {
        let sent = self.stop();
        let all = self.files().concat();
        for (name, &sent) in NAMES.iter().zip(&sent) {
            assert_eq!(numbers(&all, name), (1..=sent).collect::<Vec<_>>(), "{name}");
        }
        assert_eq!(
            all.lines().count(),
            sent.iter().sum::<usize>(),
            "there is more than these lines"
        );
        assert!(!all.contains('\0') && all.ends_with('\n'));
        println!("{sent:?} lines in {} files", self.rotations + 1);
    }
}

#[track_caller]
fn logrotate(folder: &Folder) {
    let mut command = Command::new(LOGROTATE);
    command.arg("--force").arg("--state").arg(folder.path("state")).arg(folder.path("conf"));
    let output = succeed(&mut command);
    assert_eq!(text(&output.stderr), "");
}

/// Whether it has the file open that stands at the path.
fn has_open(pid: i32, path: &Path) -> bool {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    fds.filter_map(Result::ok).any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == path))
}

/// As a log has it, so many seconds from now, without what is less than a second.
fn stamp(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let mut date = Command::new("date");
    let output = succeed(date.args(["-u", "-d", &format!("@{}", now + seconds), "+%FT%T"]));
    text(&output.stdout).trim_end().to_owned()
}

#[test]
fn rotated_with_a_signal_to_the_program_no_line_is_lost() {
    let how = "create 0640\nsharedscripts\npostrotate\nkill -USR1 PIDS\nendscript";
    let Some(mut rig) = Rig::start(how, &["signal"]) else { return };
    for _ in 0..10 {
        rig.rotate();
        rig.await_reopened();
    }
    rig.assert_all_lines_are_there();
}

/// Nobody tells the programs, and no line of so many seconds later is in the moved file.
#[track_caller]
fn unseen_rotations(how: &str, seconds: u64) {
    let Some(mut rig) = Rig::start(how, &[]) else { return };
    for _ in 0..3 {
        rig.rotate();
        let limit = stamp(seconds);
        rig.await_reopened();
        let moved = rig.moved();
        let late = moved.lines().find(|line| *line >= limit.as_str());
        assert_eq!(late, None, "in the moved file, but of {limit} or later");
    }
    rig.assert_all_lines_are_there();
}

#[test]
fn rotated_without_a_signal_no_line_is_lost_and_the_new_file_is_used_within_a_second() {
    unseen_rotations("create 0640", 1);
}

#[test]
fn rotated_without_a_new_file_one_is_made_in_the_second_second_and_no_line_is_lost() {
    unseen_rotations("nocreate", 2);
}

/// logrotate(8): "there is a very small time slice between copying the file and truncating it, so some
/// logging data might be lost". A line that is just being written may be copied in part.
#[test]
fn copied_and_truncated_the_log_has_whole_lines_and_lacks_only_those_of_that_moment() {
    let Some(mut rig) = Rig::start("copytruncate", &[]) else { return };
    for _ in 0..10 {
        rig.rotate();
    }
    // A gap is only seen when something comes after it.
    let has_more = |name: &&str| read(&rig.log()).contains(*name);
    until("all write to the truncated file", || NAMES.iter().all(has_more));
    let sent = rig.stop();
    let mut files = rig.files();
    for copy in files.iter_mut().rev().skip(1) {
        copy.truncate(copy.rfind('\n').unwrap() + 1);
    }
    let all = files.concat();
    let mut received = 0;
    for (name, &sent) in NAMES.iter().zip(&sent) {
        for file in &files {
            let numbers = numbers(file, name);
            let is_gapless = numbers.windows(2).all(|pair| pair[1] == pair[0] + 1);
            assert!(is_gapless, "lines of {name} are missing where nobody truncated");
        }
        let numbers = numbers(&all, name);
        assert!(numbers.is_sorted_by(|before, next| before < next), "{name}: out of order");
        assert_eq!(numbers.last(), Some(&sent), "{name}");
        received += numbers.len();
    }
    assert_eq!(all.lines().count(), received, "there is more than these lines");
    assert!(!all.contains('\0') && all.ends_with('\n'));
    println!("{} lines, {} lost to copytruncate", received, sent.iter().sum::<usize>() - received);
}

// --- the example -------------------------------------------------------------------------------

struct Example {
    _namespace: Namespace,
    folder: Folder,
    daemon: Daemon,
}

impl Example {
    fn start(interval_ms: &str) -> Option<Self> {
        if !is_root() || !Path::new(LOGROTATE).exists() {
            skip("needs root and logrotate");
            return None;
        }
        // Where nobody listens to syslog: it is not to fill that of the machine.
        let namespace = Namespace::new()?;
        let folder = Folder::new();
        let (log, pidfile) = (folder.path("load.log"), folder.path("load.pid"));
        let mut command = command(&example(&folder, "log_to_file_and_syslog"));
        command
            .arg("--log")
            .arg(&log)
            .arg("--pidfile")
            .arg(&pidfile)
            .args(["--interval", interval_ms]);
        succeed(namespace.enter(&mut command));
        let sample = read(&root().join("c-examples/log_to_file_and_syslog.logrotate"));
        let ours = sample
            .replace("/var/log/load-watcher.log", &log.display().to_string())
            .replace("/run/load-watcher.pid", &pidfile.display().to_string());
        fs::write(folder.path("conf"), ours).unwrap();
        Some(Example { _namespace: namespace, daemon: Daemon::of(&pidfile), folder })
    }

    #[track_caller]
    fn await_lines(&self) {
        until("its log has lines", || read(&self.folder.path("load.log")).lines().count() > 10);
    }
}

/// The numbers of its notes of the load.
fn counts(log: &str) -> Vec<usize> {
    let number = |line: &str| line.splitn(4, ' ').last()?.split_once(": load ")?.0.parse().ok();
    log.lines().filter_map(number).collect()
}

#[test]
fn log_example_survives_logrotate_with_its_sample_configuration() {
    let Some(example) = Example::start("2") else { return };
    for _ in 0..2 {
        example.await_lines();
        logrotate(&example.folder);
    }
    example.await_lines();
    let Example { folder, daemon, .. } = example;
    daemon.stop();

    let compressed = succeed(Command::new("zcat").arg(folder.path("load.log.2.gz"))).stdout;
    let all = [text(&compressed), read(&folder.path("load.log.1")), read(&folder.path("load.log"))]
        .concat();
    let counts = counts(&all);
    assert_eq!(counts, (1..=counts.len()).collect::<Vec<_>>());
    assert!(all.ends_with(" notice: stopped\n"), "{all}");
    assert_eq!(all.lines().count(), counts.len() + 2, "{all}");
}

#[test]
fn log_example_reopens_its_file_on_the_signal_of_its_sample_configuration() {
    // It logs nothing meanwhile, and so does not see by itself that the file was moved.
    let Some(example) = Example::start("10000000") else { return };
    let log = example.folder.path("load.log");
    until("it waits", || read(&log).contains(": load "));

    logrotate(&example.folder);

    until("it has the new file", || has_open(example.daemon.pid, &log));
    assert_eq!(read(&log), "");
}

#[test]
fn log_example_reopens_its_file_on_hup_and_counts_anew() {
    let Some(example) = Example::start("2") else { return };
    example.await_lines();
    let (log, moved) = (example.folder.path("load.log"), example.folder.path("moved"));
    fs::rename(&log, &moved).unwrap();

    kill(Pid::from_raw(example.daemon.pid), Signal::SIGHUP).unwrap();

    example.await_lines();
    let text = read(&log);
    assert!(text.lines().next().unwrap().ends_with(" notice: counts anew"), "{text}");
    assert_eq!(counts(&text)[0], 1);
    let before = counts(&read(&moved));
    assert_eq!(before, (1..=before.len()).collect::<Vec<_>>());
}
