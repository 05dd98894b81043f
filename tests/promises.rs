//! Promises about system calls, as C programs see them.

mod common;

use std::{fs, path::Path, process::Command};

use common::{
    Child, Folder, command, example, passes, program, read, root, run, skip, text, until,
};

/// valgrind makes system calls of its own in the program's process (executable memory, /proc), which the promises
/// refuse, too.
fn is_in_the_way() -> bool {
    common::test_with() == "valgrind"
}

macro_rules! cases {
    ($($name:ident: $case:literal;)+) => {$(
        #[test]
        fn $name() {
            if !is_in_the_way() {
                passes("promises", &[$case]);
            }
        }
    )+};
}

cases! {
    each_word_gives_what_it_names_and_all_else_is_refused: "refuse";
    what_was_not_promised_kills: "kill";
    what_needs_two_words_needs_both: "both";
    what_the_filter_cannot_see_or_does_not_know_is_missing: "missing";
    threads_from_before_are_under_the_promise: "threads";
    a_thread_with_a_filter_of_its_own_is_an_error: "other_filter";
    names_are_looked_up_under_dns: "dns";
    promises_only_take_away: "again";
    the_library_works_under_promises: "library";
    the_library_does_nothing_for_which_the_process_would_be_ended: "careful";
    a_control_socket_does_not_make_a_crash_of_the_end: "ending_carefully";
    a_log_to_a_device_goes_on_where_it_may_not_be_opened: "log_to_device";
    promises_are_not_recorded_after_others: "record_late";
    a_command_without_input_needs_no_wpath: "commands";
}

#[test]
fn an_empty_promise_leaves_the_end_only() {
    if common::test_with().is_empty() {
        passes("promises", &["nothing"]); // AddressSanitizer needs more for its end, and hangs
    }
}

#[test]
fn a_bad_promise_is_refused_and_the_word_named() {
    passes("promises", &["misuse"]);
}

#[test]
fn a_kernel_without_filters_is_told() {
    if !common::test_with().is_empty() {
        return; // strace is in the way of both tools
    }
    let folder = Folder::new();
    let program = program(&folder, "promises");
    for errno in ["ENOSYS", "EINVAL"] {
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-e", &format!("inject=seccomp:error={errno}")]);
        common::succeed(command.arg(&program).arg("no_filters"));
    }
}

#[test]
fn programs_of_musl_run_under_stdio_and_exec() {
    if is_in_the_way() {
        return;
    }
    let folder = Folder::new();
    let musl = folder.path("musl");
    let source = root().join("tests/programs/promises_musl.c");
    let compiled =
        Command::new("musl-gcc").arg("-static").arg(source).arg("-o").arg(&musl).output();
    match compiled {
        Err(_) => return skip("needs musl-gcc"),
        Ok(output) => assert!(output.status.success(), "{}", text(&output.stderr)),
    }
    let program = program(&folder, "promises");
    let run_under = |promises| {
        let mut command = command(&program);
        command.args(["exec", promises]).arg(&musl).arg("again");
        run(&mut command)
    };
    assert_eq!(text(&run_under("stdio exec").stdout), "well\n");
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(run_under("stdio").status.signal(), Some(nix::libc::SIGSYS));
}

/// What the example tells of a command.
fn recorded(folder: &Folder, arguments: &[&str]) -> String {
    let folder_of_example = Folder::new(); // the programs have the same name
    let mut command = command(&example(&folder_of_example, "promises"));
    let errors = folder.path("stderr");
    command.args(arguments).current_dir(folder).stderr(fs::File::create(&errors).unwrap());
    assert!(command.status().unwrap().success());
    until("the promises are told", || read(&errors).contains("promises:"));
    read(&errors)
}

#[test]
fn recording_names_the_words_that_a_program_needs() {
    if !common::test_with().is_empty() {
        return; // the tools need words of their own
    }
    let folder = Folder::new();
    let program = program(&folder, "promises");
    let program = program.to_str().unwrap();
    let none = " rpath exec; no word gives:";
    for (action, told) in [
        ("waits", " rpath exec".into()),
        ("write_file", " rpath wpath exec".into()),
        ("make_folder", " rpath cpath exec".into()),
        ("change_mode", " rpath fattr exec".into()),
        ("tcp", " rpath inet exec".into()),
        ("local", " rpath unix exec".into()),
        ("set_terminal", " rpath tty exec".into()),
        ("forked", " rpath proc exec".into()),
        ("signal_itself", " rpath exec".into()),
        ("executable_memory", " rpath exec".into()),
        ("become_itself", " rpath exec id".into()),
        ("packets", format!("{none} socket")),
        ("mounted", format!("{none} mount")),
        ("new_namespace", format!("{none} unshare")),
    ] {
        let told: String = told;
        assert_eq!(
            recorded(&folder, &[program, "do", action]),
            format!("promises: stdio{told}\n"),
            "{action}"
        );
    }
    let told = recorded(&folder, &["getent", "hosts", "localhost"]);
    assert!(told.ends_with(" dns exec\n"), "{told}");
}

#[test]
fn recording_goes_on_in_a_daemon() {
    if is_in_the_way() {
        return;
    }
    let folder = Folder::new();
    let program = program(&folder, "promises");
    let errors = folder.path("stderr");
    let mut command = command(&program);
    command.arg("record_daemon").stderr(fs::File::create(&errors).unwrap());
    assert!(command.status().unwrap().success());
    until("the promises are told", || read(&errors).contains("promises:"));
    assert!(read(&errors).starts_with("promises: stdio inet proc"), "{}", read(&errors));
}

#[test]
fn recording_writes_to_the_log() {
    if is_in_the_way() {
        return;
    }
    let folder = Folder::new();
    let mut command = command(&program(&folder, "promises"));
    common::succeed(command.arg("record_log").current_dir(&folder));
    let log = folder.path("log");
    until("the last need is logged", || read(&log).contains("kill needs proc"));
    assert!(read(&log).contains("promises: socket needs inet\n"), "{}", read(&log));
}

/// The process that records what is written to this stderr.
fn recorder(errors: &Path) -> Option<i32> {
    let is_it = |pid: &i32| {
        read(Path::new(&format!("/proc/{pid}/comm"))) == "rsd_promises\n"
            && fs::read_link(format!("/proc/{pid}/fd/2")).is_ok_and(|to| to == errors)
            && common::status_of(*pid, "Seccomp") == "0"
    };
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_it)
}

#[test]
fn the_recorder_holds_nothing_of_the_program_and_its_end_is_felt() {
    if is_in_the_way() {
        return;
    }
    let folder = Folder::new();
    let errors = folder.path("stderr").canonicalize().unwrap_or(folder.path("stderr"));
    let (told, tell) = nix::unistd::pipe().unwrap();
    let (waits, go) = nix::unistd::pipe().unwrap();
    let mut command = command(&program(&folder, "promises"));
    command.arg("record_interactive").stdin(waits).stdout(tell);
    let child = command.stderr(fs::File::create(&errors).unwrap()).spawn().unwrap();
    let mut child = Child(child);
    drop(command);
    assert_eq!(nix::unistd::read(&told, &mut [0]), Ok(1));
    let pid = recorder(&errors).expect("there is a process that records");
    assert_ne!(common::status_of(pid, "PPid"), child.pid().to_string());
    let daemon = common::Daemon::of_pid(pid);
    let open: Vec<_> = daemon.fds().into_iter().map(|(number, _)| number).collect();
    assert_eq!(open.len(), 4, "{:?}", daemon.fds());
    assert_eq!(daemon.fd(0).unwrap(), "/dev/null");
    assert_eq!(daemon.fd(1).unwrap(), "/dev/null");
    assert_eq!(daemon.cwd(), Path::new("/"));
    for signal in [nix::sys::signal::SIGINT, nix::sys::signal::SIGHUP, nix::sys::signal::SIGTERM] {
        daemon.signal(signal);
    }
    assert!(recorder(&errors).is_some());
    daemon.signal(nix::sys::signal::SIGKILL);
    daemon.wait_end();
    assert_eq!(nix::unistd::write(&go, b"x"), Ok(1));
    assert!(child.wait().success(), "{}", read(&errors));
}

/// The table of system calls, as the documentation has it.
fn documented() -> String {
    let source = read(&root().join("src/promises/table.rs"));
    let mut text = String::new();
    let mut tables = source.split("\ntable! {");
    let mut before = tables.next().unwrap();
    for table in tables {
        let name = before.lines().last().unwrap().split('"').nth(1).unwrap_or("all");
        before = table;
        text += &format!(
            "\n## Processors: {name}\n\n| words, any one of | system calls |\n| --- | --- |\n"
        );
        let body = table.split_once(":\n").unwrap().1.split("\n}").next().unwrap();
        for group in body.split_terminator(';') {
            let (words, calls) = group.split_once("=>").unwrap();
            let (words, check) = words.trim().split_once(", ").unwrap();
            let words = words.replace(".or(", " ").replace(')', "").to_lowercase();
            let calls = calls.split_whitespace().map(|call| call.trim_start_matches("SYS_"));
            let asked = if check == "PLAIN" { "" } else { ", by its arguments" };
            text += &format!("| {words}{asked} | {} |\n", calls.collect::<Vec<_>>().join(" "));
        }
    }
    text
}

#[test]
fn the_documented_table_is_that_of_the_code() {
    let documentation = read(&root().join("docs/promises.md"));
    let table = documented();
    if !documentation.ends_with(&table) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("promises-table.md");
        fs::write(&folder, table).unwrap();
        panic!("docs/promises.md does not end with {folder:?}");
    }
}
