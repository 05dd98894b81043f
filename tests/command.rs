//! Commands that a program runs, as C programs see them.

mod common;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use common::{
    Daemon, Folder, command, has_ended_within, is_root, program, skip, succeed, test_with, text,
};
use nix::{errno::Errno, sys::signal::Signal};

/// How a command ended, by rsd_run() or rsd_spawn().
#[derive(Debug)]
struct Ran {
    /// What the call returned; for rsd_spawn() the status, or -1.
    returned: i32,
    errno: Errno,
    /// How long the call took, and how much of that it worked.
    seconds: f64,
    work: f64,
    /// How large the program has been.
    kilobytes: i64,
    /// What execvp(3) says, where that is asked for: 0 is success.
    execvp: Option<i32>,
    sentence: String,
    /// None: NULL.
    result: Option<Ended>,
}

#[derive(Debug)]
struct Ended {
    pid: i32,
    status: i32,
    error: Errno,
    out: Vec<u8>,
    out_is_cut: bool,
    err: Vec<u8>,
    err_is_cut: bool,
}

impl Ran {
    #[track_caller]
    fn of(output: &[u8]) -> Self {
        let mut lines = output.splitn(4, |&byte| byte == b'\n');
        let mut next = || text(lines.next().unwrap());
        let call: Vec<_> = next().split(' ').map(str::to_owned).collect();
        let sentence = next();
        let ended: Vec<_> = next().split(' ').filter_map(|number| number.parse().ok()).collect();
        let written = lines.next().unwrap_or_default();
        let result = match *ended.as_slice() {
            [] => None,
            [pid, status, error, out, out_is_cut, err, err_is_cut] => {
                let (out, rest) = written.split_at(out as usize);
                assert_eq!(rest.len(), err as usize);
                let [out, err] = [out, rest].map(<[u8]>::to_vec);
                let error = Errno::from_raw(error);
                let [out_is_cut, err_is_cut] = [out_is_cut, err_is_cut].map(|cut| cut != 0);
                Some(Ended { pid, status, error, out, out_is_cut, err, err_is_cut })
            }
            ref odd => panic!("{odd:?}"),
        };
        Ran {
            returned: call[0].parse().unwrap(),
            errno: Errno::from_raw(call[1].parse().unwrap()),
            seconds: call[2].parse().unwrap(),
            work: call[3].parse().unwrap(),
            kilobytes: call[4].parse().unwrap(),
            execvp: call[5].parse().ok().filter(|&errno| errno >= 0),
            sentence,
            result,
        }
    }

    #[track_caller]
    fn ended(&self) -> &Ended {
        self.result.as_ref().unwrap_or_else(|| panic!("no result: {self:?}"))
    }

    #[track_caller]
    fn out(&self) -> String {
        text(&self.ended().out)
    }

    /// It ran to its end: stdout.
    #[track_caller]
    fn success(&self) -> String {
        let Ended { status, error, .. } = self.ended();
        assert_eq!((self.returned, *status), (0, 0), "{self:?}");
        assert_eq!((self.errno, *error), (Errno::UnknownErrno, Errno::UnknownErrno), "{self:?}");
        self.out()
    }

    /// It was ended, for this reason and by this signal.
    #[track_caller]
    fn was_ended(&self, error: Errno, signal: Signal) {
        let ended = self.ended();
        assert_eq!((ended.error, ended.status), (error, signal as i32), "{self:?}");
        if self.returned == -1 {
            assert_eq!(self.errno, error);
            assert!(self.sentence.contains(' '), "{self:?}");
        } else {
            assert_eq!(self.returned, ended.status, "that is rsd_spawn()");
        }
    }

    /// Nothing was executed.
    #[track_caller]
    fn failed(&self, errno: Errno, what: &str) {
        assert_eq!((self.returned, self.errno), (-1, errno), "{self:?}");
        assert!(self.result.is_none(), "{self:?}");
        let why = std::io::Error::from(errno).to_string();
        let why = why.split(" (os error").next().unwrap();
        assert!(self.sentence.contains(why) && self.sentence.contains(what), "{self:?}");
        assert!(!self.sentence.ends_with('.') && !self.sentence.contains('\n'), "{self:?}");
    }
}

struct Host {
    folder: Folder,
    program: PathBuf,
}

impl Host {
    fn new() -> Self {
        let folder = Folder::new();
        let program = program(&folder, "run");
        Host { folder, program }
    }

    fn command(&self, keys: &[&str], argv: &[&str]) -> Command {
        let mut command = command(&self.program);
        // valgrind finds fault with the C library's execvp().
        let keys = keys.iter().filter(|&&key| key != "compare" || test_with() != "valgrind");
        command.args(keys).arg("--").args(argv).current_dir(&self.folder);
        command
    }

    #[track_caller]
    fn run(&self, keys: &[&str], argv: &[&str]) -> Ran {
        Ran::of(&succeed(&mut self.command(keys, argv)).stdout)
    }

    #[track_caller]
    fn shell(&self, keys: &[&str], script: &str) -> Ran {
        self.run(keys, &["sh", "-c", script])
    }

    /// By rsd_run() and by rsd_spawn().
    #[track_caller]
    fn both(&self, keys: &[&str], script: &str) -> [Ran; 2] {
        let spawn: Vec<_> = [&["spawn"], keys].concat();
        [self.shell(keys, script), self.shell(&spawn, script)]
    }

    fn file(&self, name: &str, mode: u32, content: &str) -> PathBuf {
        let path = self.folder.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

/// What input-length= gives.
fn pattern(length: u32) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn is_plain() -> bool {
    test_with().is_empty()
}

/// The command said which process it leaves; it is killed when this is dropped.
#[track_caller]
fn left_running(ran: &Ran) -> Daemon {
    Daemon::of_pid(ran.out().trim().parse().unwrap())
}

#[track_caller]
fn is_gone(ran: &Ran) {
    for pid in ran.out().split_whitespace() {
        let pid = pid.parse().unwrap();
        assert!(has_ended_within(pid, Duration::from_secs(5)), "{pid} is left: {ran:?}");
    }
}

// --- what comes back ---------------------------------------------------------------------------

#[test]
fn status_and_output_come_back() {
    let host = Host::new();
    for ran in host.both(&[], "echo out; echo error >&2") {
        assert_eq!(ran.success(), "out\n");
        let ended = ran.ended();
        assert_eq!(text(&ended.err), "error\n");
        assert!(!ended.out_is_cut && !ended.err_is_cut && ended.pid > 0);
    }
    for ran in host.both(&[], "exit 42") {
        assert_eq!((ran.returned, ran.ended().status), (42 << 8, 42 << 8), "{ran:?}");
        assert_eq!((ran.ended().error, ran.out()), (Errno::UnknownErrno, String::new()));
    }
    for ran in host.both(&[], "kill -KILL $$") {
        assert_eq!((ran.returned, ran.ended().status), (9, 9), "{ran:?}");
        assert_eq!(ran.ended().error, Errno::UnknownErrno);
    }
}

#[test]
fn arguments_are_checked_and_the_defaults_serve() {
    in_mode(&["arguments"]);
}

#[test]
fn arguments_arrive_as_they_are() {
    let host = Host::new();
    let ran = host.run(&[], &["printf", "%s|", "a b", "", "$HOME", "*", "'\"\\", "\u{e4}\n"]);
    assert_eq!(ran.success(), "a b||$HOME|*|'\"\\|\u{e4}\n|");
}

#[test]
fn stdin_is_the_null_device_or_a_buffer() {
    let host = Host::new();
    for ran in host.both(&[], "readlink /proc/self/fd/0; wc -c") {
        assert_eq!(ran.success(), "/dev/null\n0\n");
    }
    for ran in host.both(&["input="], "wc -c") {
        assert_eq!(ran.success(), "0\n");
    }
    for ran in host.both(&["input=x"], "cat; cat") {
        assert_eq!(ran.success(), "x");
    }
    for ran in host.both(&["input=line 1\nline 2\n"], "read line; echo \"<$line>\"") {
        assert_eq!(ran.success(), "<line 1>\n");
    }
}

#[test]
fn ten_binary_megabytes_go_in_and_out() {
    let host = Host::new();
    let keys = ["input-length=10000000", "limit=20000000"];
    for ran in host.both(&keys, "cat; head -c 100000 /dev/zero >&2") {
        ran.success();
        let ended = ran.ended();
        assert!(ended.out == pattern(10_000_000), "{} bytes", ended.out.len());
        assert!(ended.err == vec![0; 100_000] && !ended.out_is_cut && !ended.err_is_cut);
    }
}

#[test]
fn input_that_is_never_read_holds_nobody() {
    let host = Host::new();
    for ran in host.both(&["input-length=10000000"], "echo end") {
        assert_eq!(ran.success(), "end\n");
    }
    for ran in host.both(&["input-length=10000000"], "exec <&-; sleep 0.3; echo end") {
        assert_eq!(ran.success(), "end\n");
    }
}

#[test]
fn output_is_cut_at_the_limit_and_not_before() {
    let host = Host::new();
    for (limit, written, kept, is_cut) in [
        ("limit=1000", 999, 999, false),
        ("limit=1000", 1000, 1000, false),
        ("limit=1000", 1001, 1000, true),
        ("limit=1", 0, 0, false),
        ("limit=1", 1, 1, false),
        ("limit=1", 2, 1, true),
        ("limit=0", 65536, 65536, false),
        ("limit=0", 65537, 65536, true),
        ("limit=200000", 200_001, 200_000, true),
        ("limit=0xffffffffffffffff", 5, 5, false),
        ("limit=0x7fffffffffffffff", 70_000, 70_000, false),
    ] {
        let ran = host.shell(&[limit], &format!("head -c {written} /dev/zero"));
        ran.success();
        let ended = ran.ended();
        assert_eq!((ended.out.len(), ended.out_is_cut), (kept, is_cut), "{limit} {written}");
        assert_eq!((ended.err.len(), ended.err_is_cut), (0, false), "{limit} {written}");
        let ran = host.shell(&[limit], &format!("echo x; head -c {written} /dev/zero >&2"));
        let ended = ran.ended();
        assert_eq!((ended.err.len(), ended.err_is_cut), (kept, is_cut), "{limit} {written}");
        assert_eq!(ended.out_is_cut, limit == "limit=1", "each has its own limit");
    }
}

#[test]
fn stderr_goes_where_stdout_goes_in_the_order_of_writing() {
    let host = Host::new();
    let script = "for i in 1 2 3; do echo out $i; echo error $i >&2; done";
    for ran in host.both(&["merge"], script) {
        assert_eq!(ran.success(), "out 1\nerror 1\nout 2\nerror 2\nout 3\nerror 3\n");
        assert!(ran.ended().err.is_empty() && !ran.ended().err_is_cut);
    }
    let ran = host.shell(&["merge", "limit=7"], "echo out; echo error >&2");
    assert_eq!((ran.success().as_str(), ran.ended().out_is_cut), ("out\nerr", true));
}

#[test]
fn gigabytes_of_output_need_no_memory_and_the_time_is_kept() {
    let host = Host::new();
    for ran in host.both(&["limit=100", "timeout=1500", "kill-after=1000"], "exec yes") {
        ran.was_ended(Errno::ETIMEDOUT, Signal::SIGTERM);
        assert_eq!((ran.out(), ran.ended().out_is_cut), ("y\n".repeat(50), true));
        assert!(ran.seconds > 1.4 && ran.seconds < 15.0, "{} s", ran.seconds);
        assert!(!is_plain() || ran.kilobytes < 16 << 10, "{} kB", ran.kilobytes);
    }
    // What still writes when the first process has ended does not hold anybody.
    for ran in host.both(&["limit=100"], "yes & exit 3") {
        assert_eq!((ran.ended().status, ran.ended().error), (3 << 8, Errno::UnknownErrno));
    }
}

// --- how it ends -------------------------------------------------------------------------------

#[test]
fn who_is_deaf_to_term_is_killed_later() {
    let host = Host::new();
    let deaf = "trap '' TERM; echo deaf; while :; do sleep 0.1; done";
    for ran in host.both(&["timeout=500", "kill-after=700"], deaf) {
        ran.was_ended(Errno::ETIMEDOUT, Signal::SIGKILL);
        assert_eq!(ran.out(), "deaf\n");
        assert!(ran.seconds > 1.1 && ran.seconds < 15.0, "{} s", ran.seconds);
    }
    let ran = host.shell(&["timeout=100"], "trap '' TERM; while :; do sleep 0.1; done");
    ran.was_ended(Errno::ETIMEDOUT, Signal::SIGKILL);
    assert!(ran.seconds > 5.0, "that is the default: {} s", ran.seconds);
}

#[test]
fn who_cleans_up_on_term_is_let_finish() {
    let host = Host::new();
    let script = "trap 'echo cleaned; exit 4' TERM; while :; do sleep 0.1; done";
    for ran in host.both(&["timeout=300", "kill-after=15000"], script) {
        let ended = ran.ended();
        assert_eq!((ended.error, ended.status), (Errno::ETIMEDOUT, 4 << 8), "{ran:?}");
        assert_eq!(ran.out(), "cleaned\n");
    }
}

#[test]
fn who_is_in_time_is_not_ended() {
    let host = Host::new();
    for ran in host.both(&["timeout=15000"], "sleep 0.1; echo end") {
        assert_eq!(ran.success(), "end\n");
        assert!(ran.seconds < 10.0, "{} s", ran.seconds);
    }
    let ran = host.shell(&["timeout=4294967295", "kill-after=4294967295"], "echo end");
    assert_eq!(ran.success(), "end\n");
}

#[test]
fn who_stopped_itself_is_ended_all_the_same() {
    let host = Host::new();
    for ran in host.both(&["timeout=300", "kill-after=300"], "echo stopped; kill -STOP $$") {
        assert_eq!((ran.ended().error, ran.out().as_str()), (Errno::ETIMEDOUT, "stopped\n"));
    }
}

#[test]
fn who_closes_its_output_has_not_ended() {
    let host = Host::new();
    for ran in host.both(&[], "echo begun; exec >&- 2>&-; sleep 1; exit 7") {
        assert_eq!((ran.returned, ran.out().as_str()), (7 << 8, "begun\n"));
        assert!(ran.seconds > 0.9, "{} s", ran.seconds);
        assert!(!is_plain() || ran.work < 0.3, "waits busily: {} s", ran.work);
    }
}

#[test]
fn it_has_ended_when_its_first_process_has() {
    let host = Host::new();
    for ran in host.both(&[], "sleep 1000 & echo $!") {
        ran.success();
        let left = left_running(&ran);
        assert!(ran.seconds < 15.0, "{} s", ran.seconds);
        assert_eq!(left.stat()[2], ran.ended().pid.to_string(), "its group");
    }
}

#[test]
fn waiting_costs_nothing() {
    let host = Host::new();
    for ran in host.both(&[], "sleep 1") {
        assert!(!is_plain() || ran.work < 0.3, "waits busily: {} s", ran.work);
    }
}

#[test]
fn when_the_time_is_over_the_whole_group_is_gone() {
    let host = Host::new();
    // Grandchildren that end by TERM, that are deaf to it, and whose parent ends by it.
    let obedient = "sleep 1000 & sleep 1000 & echo $! $!; wait";
    let deaf =
        "(trap '' TERM; echo $(exec sh -c 'echo $PPID'); while :; do sleep 0.1; done) & wait";
    let all_deaf = "trap '' TERM; (while :; do sleep 0.1; done) & echo $!; wait; wait";
    for script in [obedient, deaf, all_deaf] {
        for ran in host.both(&["timeout=500", "kill-after=500"], script) {
            assert_eq!(ran.ended().error, Errno::ETIMEDOUT, "{script}: {ran:?}");
            assert!(!ran.out().is_empty(), "{script}: {ran:?}");
            is_gone(&ran);
        }
    }
}

#[test]
fn with_a_raised_shutdown_flag_nothing_is_executed() {
    let folder = Folder::new();
    in_mode(&["shutdown-before", folder.path("touched").to_str().unwrap()]);
    let host = Host::new();
    for raised in ["raise=15", "raise=2"] {
        let ran = host.run(&["flags", raised], &["touch", "touched"]);
        assert_eq!((ran.returned, ran.errno), (-1, Errno::ECANCELED), "{ran:?}");
        assert!(!host.folder.path("touched").exists());
    }
    let ran = host.shell(&["flags", "raise=15", "during-shutdown"], "echo run");
    assert_eq!(ran.success(), "run\n");
}

#[test]
fn a_shutdown_ends_the_commands_and_is_told_afterwards() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        in_mode(&["shutdown-during", &(signal as i32).to_string()]);
    }
}

#[test]
fn what_cleans_up_is_not_ended_by_a_shutdown() {
    in_mode(&["during-shutdown"]);
}

#[test]
fn signals_set_flags_and_children_are_told_of_while_it_runs() {
    in_mode(&["meanwhile"]);
}

#[test]
fn a_command_is_ended_by_its_pid() {
    in_mode(&["end-command"]);
}

// --- what is executed --------------------------------------------------------------------------

/// What it takes for executable, and ends when the kernel does not.
const VALGRIND_DIES: [&str; 4] = ["./no-interpreter", "./busy", "/bin/echo", "echo"];

#[test]
fn what_cannot_be_executed_is_told_by_the_errno_of_exec() {
    let host = Host::new();
    let f = &host.folder;
    host.file("plain", 0o644, "#!/bin/sh\n");
    host.file("no-interpreter", 0o755, "#!/nothing/there\n");
    host.file("script", 0o755, "echo no interpreter\n");
    host.file("empty", 0o755, "");
    fs::create_dir(f.path("folder")).unwrap();
    symlink("loop", f.path("loop")).unwrap();
    fs::copy("/bin/true", f.path("busy")).unwrap();
    let long = "x".repeat(300);
    for (errno, keys, name) in [
        (Errno::ENOENT, &["compare"] as &[_], "./nothing"),
        (Errno::ENOENT, &["compare"], "there-is-no-such-program"),
        (Errno::ENOENT, &["compare"], ""),
        (Errno::ENOENT, &["compare"], "./no-interpreter"),
        (Errno::EACCES, &["compare"], "./plain"),
        (Errno::EACCES, &["compare"], "./folder"),
        (Errno::EACCES, &["compare"], "/"),
        (Errno::ENOTDIR, &["compare"], "./plain/program"),
        (Errno::ELOOP, &["compare"], "./loop"),
        (Errno::ENAMETOOLONG, &["compare"], long.as_str()),
        (Errno::ETXTBSY, &["write-open=busy", "compare"], "./busy"),
        (Errno::E2BIG, &["big-argument=3000000", "compare"], "/bin/echo"),
        (Errno::E2BIG, &["big-argument=3000000", "compare"], "echo"),
        // Not through /bin/sh, which execvp(3) does.
        (Errno::ENOEXEC, &[], "./script"),
        (Errno::ENOEXEC, &[], "./empty"),
    ] {
        for spawn in [false, true] {
            if test_with() == "valgrind" && VALGRIND_DIES.contains(&name) {
                continue;
            }
            let keys = [keys, if spawn { &["spawn"] } else { &[] }].concat();
            let ran = host.run(&keys, &[name, "argument"]);
            ran.failed(errno, name);
            assert!(ran.execvp.is_none_or(|execvp| execvp == errno as i32), "{name}: {ran:?}");
        }
    }
}

#[test]
fn path_is_searched_as_execvp_does() {
    let host = Host::new();
    let folder = host.folder.as_ref().to_str().unwrap();
    let says = |what| format!("#!/bin/sh\necho {what}\n");
    host.file("tool", 0o755, &says("here"));
    host.file("a/tool", 0o755, &says("a"));
    host.file("b/tool", 0o755, &says("b"));
    host.file("locked/tool", 0o644, &says("locked"));
    host.file("as-folder/tool/x", 0o644, "");
    host.file("file", 0o644, "");
    let long = "x".repeat(5000);
    for (path, found) in [
        ("F/a:F/b", Ok("a\n")),
        ("F/b:F/a", Ok("b\n")),
        ("F/none:F/b", Ok("b\n")),
        ("F/file:F/b", Ok("b\n")),
        ("F/locked:F/b", Ok("b\n")),
        ("F/as-folder:F/b", Ok("b\n")),
        ("F/a/", Ok("a\n")),
        ("a:F/b", Ok("a\n")),
        // Nothing, in front, between and behind, is the working directory.
        ("", Ok("here\n")),
        (":F/a", Ok("here\n")),
        ("F/none::F/a", Ok("here\n")),
        ("F/none:", Ok("here\n")),
        ("F/a:", Ok("a\n")),
        ("LONG:F/b", Ok("b\n")),
        ("F/none", Err(Errno::ENOENT)),
        ("F/locked", Err(Errno::EACCES)),
        ("F/none:F/locked:F/none", Err(Errno::EACCES)),
        ("F/locked:F/file", Err(Errno::EACCES)),
        ("F/as-folder:F/none", Err(Errno::EACCES)),
    ] {
        let key = format!("path={}", path.replace('F', folder).replace("LONG", &long));
        let ran = host.run(&[&key, "compare"], &["tool"]);
        match found {
            Ok(found) => assert_eq!(ran.success(), found, "{path}"),
            Err(errno) => ran.failed(errno, "tool"),
        }
        let errno = found.err().map_or(0, |errno| errno as i32);
        assert!(ran.execvp.is_none_or(|execvp| execvp == errno), "{path}: {ran:?}");
    }
    // With a slash it is no matter of PATH.
    let key = format!("path={folder}/b");
    assert_eq!(host.run(&[&key], &["a/tool"]).success(), "a\n");
    assert_eq!(host.run(&[&key], &["./tool"]).success(), "here\n");
    host.run(&[&key], &["./none/tool"]).failed(Errno::ENOENT, "./none/tool");
}

#[test]
fn without_path_the_system_s_programs_are_found() {
    let host = Host::new();
    host.file("echo", 0o755, "#!/bin/sh\necho wrong\n");
    assert_eq!(host.run(&["no-path"], &["echo", "found"]).success(), "found\n");
    host.run(&["no-path", "compare"], &["tool"]).failed(Errno::ENOENT, "tool");
}

#[test]
fn nothing_is_inherited_but_what_is_meant() {
    let host = Host::new();
    let keys = ["open=3", "open=5", "open=200"];
    for ran in [host.run(&keys, &["ls", "/proc/self/fd"]), host.run(&[], &["ls", "/proc/self/fd"])]
    {
        assert_eq!(ran.success(), "0\n1\n2\n3\n", "the last is that of ls itself");
    }
    let keys = [
        "block=15",
        "block=10",
        "block=17",
        "block=40",
        "ignore=1",
        "ignore=13",
        "ignore=40",
        "rsd-ignore=12",
        "rsd-ignore=21",
        "rsd-ignore=22",
        "flags",
    ];
    for spawn in [&[] as &[_], &["spawn"]] {
        let keys = [&keys, spawn].concat();
        let ran = host.run(&keys, &["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
        let zero = "0".repeat(16);
        assert_eq!(ran.success(), format!("SigBlk:\t{zero}\nSigIgn:\t{zero}\n"));
    }
}

#[test]
fn environment_directory_umask_and_session_are_those_of_the_program() {
    let host = Host::new();
    let mut command = host.command(&[], &["sh", "-c", "pwd -P; umask; echo $WORD"]);
    let ran = Ran::of(&succeed(command.env("WORD", "a word")).stdout);
    let umask = fs::read_to_string("/proc/self/status").unwrap();
    let umask = umask.lines().find_map(|line| line.strip_prefix("Umask:\t")).unwrap().to_owned();
    let folder = fs::canonicalize(&host.folder).unwrap();
    assert_eq!(ran.success(), format!("{}\n{umask}\na word\n", folder.display()));

    for spawn in [&[] as &[_], &["spawn"]] {
        let ran = host.run(spawn, &["cut", "-d", " ", "-f", "1,5,6", "/proc/self/stat"]);
        let pid = ran.ended().pid;
        let session = nix::unistd::getsid(None).unwrap();
        assert_eq!(ran.success(), format!("{pid} {pid} {session}\n"), "pid, group, session");
    }
}

// --- hosts in trouble --------------------------------------------------------------------------

#[test]
fn who_ignores_children_gets_no_status_and_does_not_hang() {
    let host = Host::new();
    let ran = host.shell(&["ignore=17"], "exit 3");
    assert_eq!((ran.returned, ran.errno, ran.ended().status), (-1, Errno::ECHILD, -1), "{ran:?}");
    let ran = host.shell(&["ignore=17", "spawn"], "echo out; exit 3");
    assert_eq!((ran.ended().status, ran.out().as_str()), (-1, "out\n"), "{ran:?}");
    let ran = host.shell(&["ignore=17", "spawn", "timeout=200"], "exec sleep 1000");
    assert_eq!((ran.ended().status, ran.ended().error), (-1, Errno::ETIMEDOUT), "{ran:?}");
}

#[test]
fn a_handler_that_waits_for_all_is_no_reason_to_hang() {
    let host = Host::new();
    for _ in 0..if is_plain() { 50 } else { 5 } {
        // Whoever is first gets the status.
        let ran = host.shell(&["wait-for-all"], "exit 3");
        assert!(ran.returned == 3 << 8 || ran.errno == Errno::ECHILD, "{ran:?}");
        let ran = host.shell(&["wait-for-all", "spawn"], "echo out; exit 3");
        assert!(matches!(ran.ended().status, -1 | 0x300), "{ran:?}");
        assert_eq!(ran.out(), "out\n");
    }
}

#[test]
fn closed_stdio_of_the_program_is_none_of_the_command_s() {
    let host = Host::new();
    for closed in 1..8 {
        let close = (0..3).filter(|fd| closed & 1 << fd != 0).map(|fd| format!("close={fd}"));
        let close: Vec<_> = close.collect();
        let keys: Vec<_> = close.iter().map(String::as_str).chain(["input=in\n"]).collect();
        for ran in host.both(&keys, "cat; echo out; echo error >&2") {
            assert_eq!(
                (ran.success().as_str(), text(&ran.ended().err).as_str()),
                ("in\nout\n", "error\n")
            );
        }
        let keys: Vec<_> = close.iter().map(String::as_str).chain(["merge"]).collect();
        let ran = host.shell(&keys, "cat; echo out; echo error >&2");
        assert_eq!(ran.success(), "out\nerror\n", "{keys:?}");
    }
}

#[test]
fn a_thousand_commands_leave_nothing_behind() {
    let host = Host::new();
    let times = format!("times={}", if is_plain() { 1000 } else { 100 });
    // The program itself counts its descriptors and children.
    for spawn in [&[] as &[_], &["spawn"]] {
        assert_eq!(host.run(&[&[times.as_str()], spawn].concat(), &["echo", "x"]).success(), "x\n");
        let keys = [&[times.as_str(), "input=x"], spawn].concat();
        host.run(&keys, &["./nothing"]).failed(Errno::ENOENT, "./nothing");
        let keys = [&["times=20", "timeout=10"], spawn].concat();
        host.run(&keys, &["sleep", "1000"]).was_ended(Errno::ETIMEDOUT, Signal::SIGTERM);
    }
}

#[test]
fn without_descriptors_it_is_said_so_and_none_is_lost() {
    for is_ready in ["0", "1"] {
        in_mode(&["descriptors", is_ready]);
    }
}

#[test]
fn without_a_process_left_it_is_said_so() {
    if !is_root() {
        return skip("needs root to become a user without processes");
    }
    let host = Host::new();
    for spawn in [&[] as &[_], &["spawn"]] {
        let keys = [&["user=54321", "processes=0"], spawn].concat();
        host.run(&keys, &["/bin/true"]).failed(Errno::EAGAIN, "");
    }
}

#[test]
fn two_hundred_at_once_are_each_told_of() {
    in_mode(&["many"]);
}

#[test]
fn the_program_s_own_loop_runs_them() {
    in_mode(&["event-loop"]);
}

#[test]
fn a_callback_may_run_and_start_others() {
    in_mode(&["from-a-callback"]);
}

#[test]
fn a_forked_worker_has_commands_of_its_own() {
    in_mode(&["from-a-worker"]);
}

#[test]
fn threads_run_them_beside_each_other() {
    in_mode(&["from-threads"]);
}

#[test]
fn a_large_program_runs_them_too() {
    in_mode(&["large", if is_plain() { "1024" } else { "64" }]);
}

#[track_caller]
fn in_mode(arguments: &[&str]) {
    let folder = Folder::new();
    succeed(command(&program(&folder, "command")).args(arguments));
}
