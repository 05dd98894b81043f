//! The shorter programs in c-examples, as their users see them.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{
    Daemon, Folder, command, compiler, example, fail_with, foreground::Foreground, is_locked,
    prefix, read, root, succeed, text,
};
use nix::sys::signal::Signal;

fn with(program: &Path, arguments: &[&Path]) -> Command {
    let mut command = command(program);
    command.args(arguments);
    command
}

// --- template ----------------------------------------------------------------------------------

struct Template {
    folder: Folder,
    program: PathBuf,
    config: PathBuf,
    pidfile: PathBuf,
}

impl Template {
    fn new() -> Self {
        let folder = Folder::new();
        let config = folder.path("mydaemon.conf");
        fs::write(&config, "").unwrap();
        Template {
            program: example(&folder, "template"),
            config,
            pidfile: folder.path("mydaemon.pid"),
            folder,
        }
    }

    fn command(&self) -> Command {
        with(&self.program, &[&self.config, &self.pidfile])
    }
}

#[test]
fn template_runs_in_the_background_under_the_pid_in_its_pid_file() {
    let template = Template::new();
    succeed(&mut template.command());

    let daemon = Daemon::of(&template.pidfile);
    let [_, _, _, session, terminal, ..] = &daemon.stat()[..] else { panic!() };
    assert_ne!(*session, daemon.pid.to_string(), "it leads its session");
    assert_eq!(terminal, "0");
    assert_eq!(daemon.cwd(), Path::new("/"));
    assert!(is_locked(&template.pidfile));
}

#[test]
fn template_refuses_a_second_start_and_names_the_first() {
    let template = Template::new();
    succeed(&mut template.command());
    let first = Daemon::of(&template.pidfile);

    let message = fail_with(1, &mut template.command());

    let expected = format!("mydaemon: already running as pid {}, ", first.pid);
    assert!(message.contains(&expected), "{message}");
    assert_eq!(Daemon::of(&template.pidfile).pid, first.pid);
}

#[test]
fn template_ends_on_term_and_its_pid_file_is_gone() {
    let template = Template::new();
    succeed(&mut template.command());

    Daemon::of(&template.pidfile).stop();

    assert!(!template.pidfile.exists());
}

#[test]
fn template_goes_on_after_hup() {
    let template = Template::new();
    succeed(&mut template.command());
    let daemon = Daemon::of(&template.pidfile);

    daemon.signal(Signal::SIGHUP);
    // Signals are taken in order of their numbers: were HUP not ignored, TERM would come too late.
    daemon.stop();

    assert!(!template.pidfile.exists(), "HUP killed it");
}

#[test]
fn template_without_its_config_fails_on_the_terminal() {
    let template = Template::new();
    fs::remove_file(&template.config).unwrap();

    let message = fail_with(1, &mut template.command());

    let expected = format!("Config file not found: {}", template.config.display());
    assert!(message.contains(&expected), "{message}");
    assert!(!template.pidfile.exists());
}

#[test]
fn template_that_cannot_have_its_pid_file_fails_on_the_terminal() {
    let mut template = Template::new();
    template.pidfile = template.folder.path("no-such-folder/mydaemon.pid");

    let message = fail_with(1, &mut template.command());

    assert!(message.contains("No such file or directory"), "{message}");
}

/// tests/programs/own_names.c with the library in the form that the arguments name.
fn own_names(folder: &Folder, library: &[String]) -> PathBuf {
    let program = folder.path("own_names");
    let source = root().join("tests/programs/own_names.c");
    succeed(compiler("c", "c11").arg(source).arg("-o").arg(&program).args(library));
    program
}

/// Runs it from start to stop; the files that it had mapped.
fn live(folder: &Folder, program: &Path) -> String {
    let (pidfile, lock) = (folder.path("own.pid"), folder.path("own.lock"));
    succeed(&mut with(program, &[&pidfile, &lock]));
    let daemon = Daemon::of(&pidfile);
    assert_eq!(read(&lock), format!("{}\n", daemon.pid));

    let other_lock = folder.path("other.lock");
    let message = fail_with(1, &mut with(program, &[&pidfile, &other_lock]));
    assert!(message.contains(&format!("already running as pid {}", daemon.pid)), "{message}");

    let maps = read(Path::new(&format!("/proc/{}/maps", daemon.pid)));
    daemon.stop();
    assert!(!pidfile.exists());
    maps
}

#[test]
fn program_with_functions_of_the_same_names_works_with_the_shared_library() {
    let folder = Folder::new();
    let library = prefix().join("lib").display().to_string();
    let shared = [format!("-L{library}"), "-lrsdaemon".into(), format!("-Wl,-rpath,{library}")];

    let maps = live(&folder, &own_names(&folder, &shared));

    assert!(maps.contains("librsdaemon.so"), "{maps}");
}

#[test]
fn program_with_functions_of_the_same_names_works_with_the_static_library() {
    let folder = Folder::new();
    let archive = prefix().join("lib/librsdaemon.a").display().to_string();

    let maps = live(&folder, &own_names(&folder, &[archive]));

    assert!(!maps.contains("librsdaemon.so"), "{maps}");
}

// --- single_instance ---------------------------------------------------------------------------

#[test]
fn second_instance_is_refused_and_told_the_first_ones_pid() {
    let folder = Folder::new();
    let program = example(&folder, "single_instance");
    let pidfile = folder.path("single.pid");
    let first = Foreground::start(&folder, &mut with(&program, &[&pidfile]), "running");

    let message = fail_with(1, &mut with(&program, &[&pidfile]));

    let expected = format!("already running as pid {}, ", first.process.pid);
    assert!(message.contains(&expected), "{message}");
}

#[test]
fn single_instance_ends_on_term_and_removes_its_file() {
    let folder = Folder::new();
    let program = example(&folder, "single_instance");
    let pidfile = folder.path("single.pid");
    let instance = Foreground::start(&folder, &mut with(&program, &[&pidfile]), "running");
    assert_eq!(read(&pidfile), format!("{}\n", instance.process.pid));

    instance.stop();

    assert!(!pidfile.exists());
}

#[test]
fn file_of_a_killed_instance_keeps_nobody_out() {
    let folder = Folder::new();
    let program = example(&folder, "single_instance");
    let pidfile = folder.path("single.pid");
    Foreground::start(&folder, &mut with(&program, &[&pidfile]), "running").kill();
    assert!(pidfile.exists());

    let next = Foreground::start(&folder, &mut with(&program, &[&pidfile]), "running");

    assert_eq!(read(&pidfile), format!("{}\n", next.process.pid));
}

// --- foreground --------------------------------------------------------------------------------

/// Arguments for c-examples/foreground.c, with a config file that is there.
fn foreground(folder: &Folder, program: &Path, more: &[&str]) -> Command {
    let config = folder.path("mydaemon.conf");
    fs::write(&config, "").unwrap();
    let pidfile = folder.path("mydaemon.pid");
    let mut command = command(program);
    command.arg("--config").arg(config).arg("--pidfile").arg(pidfile).args(more);
    command
}

#[test]
fn in_the_foreground_the_started_process_is_the_daemon_and_has_the_pid_file() {
    let folder = Folder::new();
    let program = example(&folder, "foreground");
    let pidfile = folder.path("mydaemon.pid");
    let mut command = foreground(&folder, &program, &["--foreground"]);

    let daemon = Foreground::start(&folder, &mut command, "ready");

    assert_eq!(read(&pidfile), format!("{}\n", daemon.process.pid));
    assert!(is_locked(&pidfile));
    let output = daemon.stop();
    assert!(output.ends_with("stopped\n"), "{output}");
    assert!(!pidfile.exists());
}

#[test]
fn in_the_background_the_started_process_leaves_when_the_daemon_is_ready() {
    let folder = Folder::new();
    let program = example(&folder, "foreground");
    let pidfile = folder.path("mydaemon.pid");

    let output = succeed(&mut foreground(&folder, &program, &[]));

    assert_eq!(text(&output.stdout), "", "the daemon has the terminal's stdout");
    assert!(is_locked(&pidfile));
    Daemon::of(&pidfile).stop();
    assert!(!pidfile.exists());
}

#[test]
fn foreground_and_background_keep_each_other_out() {
    let folder = Folder::new();
    let program = example(&folder, "foreground");
    succeed(&mut foreground(&folder, &program, &[]));
    let daemon = Daemon::of(&folder.path("mydaemon.pid"));

    let message = fail_with(1, &mut foreground(&folder, &program, &["--foreground"]));

    assert!(message.contains(&format!("already running as pid {}", daemon.pid)), "{message}");
}

#[test]
fn daemon_that_cannot_start_tells_why_with_its_own_status_in_both_ways() {
    let folder = Folder::new();
    let program = example(&folder, "foreground");
    for way in [&[][..], &["--foreground"]] {
        let mut command = foreground(&folder, &program, way);
        fs::remove_file(folder.path("mydaemon.conf")).unwrap();

        let message = fail_with(3, &mut command);

        let config = folder.path("mydaemon.conf");
        let expected =
            format!("mydaemon: cannot read {}: No such file or directory", config.display());
        assert!(message.contains(&expected), "{way:?}: {message}");
        assert!(!folder.path("mydaemon.pid").exists(), "{way:?}");
    }
}
