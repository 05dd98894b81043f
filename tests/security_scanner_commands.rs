//! c-examples/security_scanner.c: its command line and its configuration.

mod common;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
};

use common::{
    Daemon, fail_with,
    foreground::Foreground,
    is_locked, is_root,
    scanner::{NEW_FILE, Scanner, lacks_pidfd, plant},
    skip, succeed,
};
use nix::sys::signal::Signal;

// --- the configuration -------------------------------------------------------------------------

#[test]
fn a_reload_brings_the_new_folders_into_force() {
    let Some(scanner) = Scanner::new() else { return };
    plant(scanner.folder.path("other"), None, 0o777);
    let daemon = scanner.start_and_scan();
    scanner.configure(&format!("folders: [{}]\n", scanner.folder.path("other").display()));

    assert_eq!(scanner.say("reload"), (0, "security-scanner: reloaded\n".into()));

    scanner.log.await_text("scan complete, 1 findings");
    scanner.configure(&scanner.config(3600));
    daemon.signal(Signal::SIGHUP);
    scanner.await_scans(3);
    let log = scanner.logged();
    assert!(log[log.len() - 2].starts_with("notice: gone: world-writable folder, "), "{log:?}");
    daemon.stop();
}

#[test]
fn a_bad_configuration_is_refused_with_the_line_and_the_old_one_stays() {
    let Some(scanner) = Scanner::new() else { return };
    let daemon = scanner.start_and_scan();
    let good = scanner.config(3600);
    let many = format!("folders:\n{}", "- /x\n".repeat(101));
    let long = format!("folders: [/usr,\n  /{}]\n", "x".repeat(4095));
    let unknown = good.clone() + "scan_intervall: 5\n";
    let not_utf8 = good.clone() + "\n\nuser: \u{fffd}";
    let file = scanner.config_file();
    for (config, why) in [
        ("", "line 1: there are no settings"),
        ("- a\n- b\n", "line 1: there are no settings"),
        ("scan_interval: 5\n", "there are no folders to scan"),
        ("folders: []\n", "there are no folders to scan"),
        ("folders: /usr\n", "line 1: folders is no list"),
        ("folders:\n- /usr\n- usr\n", "line 3: \"usr\" is no path from / on"),
        ("folders:\n- /usr\n- [/usr]\n", "line 3: \"\" is no path from / on"),
        ("folders: [\"/usr\\0\"]\n", "line 1: \"\" is no path from / on"),
        (
            "folders: [/usr]\nscan_interval: soon\n",
            "line 2: scan_interval is \"soon\", not seconds from 1 to a week",
        ),
        (
            "folders: [/usr]\n\nscan_interval: 0\n",
            "line 3: scan_interval is \"0\", not seconds from 1 to a week",
        ),
        (
            "folders: [/usr]\nscan_interval: 604801\n",
            "line 2: scan_interval is \"604801\", not seconds from 1 to a week",
        ),
        ("folders: [/usr]\nscan_interval: [5]\n", "line 2: scan_interval is no text"),
        ("folders: [/usr]\nuser: \"\"\n", "line 2: user is no text"),
        ("folders: [/usr]\n? [a]\n: b\n", "line 2: a name is no text"),
        ("folders: [/usr\nuser: x\n", "line 2: did not find expected ',' or ']'"),
        ("folders: [/usr]\n\tuser: x\n", "line 2: found character that cannot start any token"),
        ("folders: [/usr]\nfolders: [/tmp]\n", "line 2: folders again"),
        ("folders: [/usr]\n---\nfolders: [/tmp]\n", "line 3: there is a second document"),
        ("folders: [/usr]\n...\n[\n", "line 3: did not find expected <document start>"),
        ("folders: [*usr]\n", "line 1: found undefined alias"),
        (&*unknown, "line 3: unknown setting: scan_intervall"),
        (&*many, "line 102: more than 100 folders"),
        (&*long, "xx\" is no path from / on"),
        (&*not_utf8, "line 5: invalid leading UTF-8 octet"),
    ] {
        fs::write(&file, config.replace('\u{fffd}', "?")).unwrap();
        if config.contains('\u{fffd}') {
            let bytes: Vec<_> = config
                .bytes()
                .filter(|byte| ![0xef, 0xbf].contains(byte))
                .map(|byte| if byte == 0xbd { 0xff } else { byte })
                .collect();
            fs::write(&file, bytes).unwrap();
        }
        let (status, said) = scanner.say("reload");
        let reason = format!("security-scanner: {}: ", file.display());
        assert!(status == 1 && said.starts_with(&reason), "{config:?}: {status} {said}");
        assert!(said.contains(why), "{config:?}: {said}");
        let log = scanner.logged();
        let last = log.last().unwrap();
        assert!(
            last.starts_with("err: kept the old configuration: ") && last.contains(why),
            "{last}"
        );
    }
    plant(scanner.tree().join("file"), Some(""), 0o666);
    assert!(scanner.scan().iter().any(|line| line.starts_with(NEW_FILE)));
    daemon.stop();
}

#[test]
fn a_configuration_that_cannot_be_read_is_refused_by_hup_too() {
    let Some(scanner) = Scanner::new() else { return };
    let daemon = scanner.start_and_scan();
    let file = scanner.config_file();
    let kept = format!("err: kept the old configuration: {}: ", file.display());
    fs::remove_file(&file).unwrap();
    daemon.signal(Signal::SIGHUP);
    scanner.log.await_text(&format!("{kept}No such file or directory\n"));
    fs::create_dir(&file).unwrap();
    daemon.signal(Signal::SIGHUP);
    scanner.log.await_text(&format!("{kept}Is a directory\n"));
    fs::remove_dir(&file).unwrap();
    scanner.configure("folders: x\n");
    daemon.signal(Signal::SIGHUP);
    scanner.log.await_text(&format!("{kept}line 1: folders is no list\n"));
    assert!(scanner.ask("status").contains("\n failed reloads: 3\n"));
    daemon.stop();
}

#[test]
fn with_a_bad_configuration_nothing_starts_and_what_runs_can_be_stopped_but_not_restarted() {
    let Some(scanner) = Scanner::new() else { return };
    let daemon = scanner.start_and_scan();
    scanner.configure("folders: [/usr]\nscan_interval: never\n");
    let why = format!(
        "{}: line 2: scan_interval is \"never\", not seconds from 1 to a week",
        scanner.config_file().display()
    );

    let message = fail_with(1, &mut scanner.command("restart"));
    assert!(message.ends_with(&why), "{message}");
    let (status, said) = scanner.say("status");
    let running = format!("security-scanner: running as pid {}\n", daemon.pid);
    assert!(status == 0 && said.starts_with(&running), "{said}");
    match lacks_pidfd() {
        true => daemon.stop(),
        false => assert_eq!(scanner.say("stop").0, 0),
    }

    for word in ["start", "run", "restart"] {
        let message = fail_with(1, &mut scanner.command(word));
        assert!(message.ends_with(&why), "{word}: {message}");
        assert!(!scanner.pidfile().exists(), "{word}");
    }
}

// --- the command line --------------------------------------------------------------------------

#[test]
fn status_tells_whether_it_runs() {
    let Some(scanner) = Scanner::new() else { return };
    assert_eq!(scanner.say("status"), (3, "security-scanner: not running\n".into()));
    assert_eq!(scanner.say("reload"), (7, "security-scanner: not running\n".into()));
    assert_eq!(scanner.say("stop"), (0, "security-scanner: not running\n".into()));
    assert_eq!(scanner.folder.names(), ["config.yaml", "security_scanner", "tree"]);

    let daemon = scanner.start_and_scan();
    let (status, said) = scanner.say("status");
    assert_eq!(status, 0);
    assert!(
        said.starts_with(&format!("security-scanner: running as pid {}\n", daemon.pid)),
        "{said}"
    );
    assert!(said.contains("\n  status: 0 findings\n"), "{said}");

    daemon.signal(Signal::SIGKILL);
    daemon.wait_end();
    assert_eq!(scanner.say("status").0, 1);
    let daemon = scanner.start_and_scan();
    daemon.stop();
    assert_eq!(scanner.say("status").0, 3);
}

#[test]
fn a_second_start_leaves_the_first_one_alone() {
    let Some(scanner) = Scanner::new() else { return };
    let daemon = scanner.start_and_scan();
    let lines = scanner.logged();

    let already = format!("security-scanner: already running as pid {}\n", daemon.pid);
    assert_eq!(scanner.say("start"), (0, already));
    let (status, said) = scanner.say("run");
    assert!(status == 1 && said.contains(&format!("as pid {}", daemon.pid)), "{status} {said}");

    assert!(is_locked(&scanner.pidfile()));
    assert_eq!(scanner.logged(), lines);
    daemon.stop();
}

#[test]
fn restart_is_another_process_that_scans() {
    if lacks_pidfd() {
        return;
    }
    let Some(scanner) = Scanner::new() else { return };
    let first = scanner.start_and_scan();

    assert_eq!(scanner.say("restart").0, 0);

    let second = Daemon::of(&scanner.pidfile());
    assert_ne!(first.pid, second.pid);
    scanner.await_scans(2);
    second.stop();
}

#[test]
fn in_the_foreground_it_logs_to_stderr_too() {
    let Some(scanner) = Scanner::new() else { return };
    plant(scanner.tree().join("file"), Some(""), 0o666);

    let daemon = Foreground::start(&scanner.folder, &mut scanner.command("run"), "scan complete");

    let output = daemon.stop();
    assert!(output.contains("security-scanner: new: world-writable file, mode 0666, "), "{output}");
    assert!(scanner.logged().iter().any(|line| line.starts_with(NEW_FILE)));
    assert!(!scanner.pidfile().exists());
}

#[test]
fn arguments_without_sense_start_nothing() {
    let Some(scanner) = Scanner::new() else { return };
    for argument in ["nonsense", "--scan", "--config"] {
        let message = fail_with(2, scanner.command("start").arg(argument));
        assert_eq!(message, format!("security-scanner: {argument} makes no sense"));
        assert!(!scanner.pidfile().exists());
    }
    for option in ["--config", "--log", "--control"] {
        let message = fail_with(2, scanner.command("start").args([option, "relative"]));
        assert!(message.ends_with(" need paths from / on"), "{message}");
    }
}

#[test]
fn as_another_user_it_keeps_pid_file_log_and_socket_in_that_users_folder() {
    if !is_root() {
        return skip("needs root to become somebody else");
    }
    let Some(scanner) = Scanner::new() else { return };
    // The folder is nobody's.
    chown(&scanner.folder, Some(65534), Some(65534)).unwrap();
    let ids =
        |daemon: &Daemon, name| daemon.status(name).split_whitespace().next().map(str::to_owned);

    scanner.configure(&(scanner.config(3600) + "user: nobody\n"));
    let daemon = scanner.start_and_scan();
    assert_eq!(ids(&daemon, "Uid").as_deref(), Some("65534"));
    assert_eq!(daemon.status("CapEff"), "0000000000000000");
    assert_eq!(scanner.say("reload").0, 0);
    scanner.await_scans(2);
    daemon.stop();
    for name in ["scanner.pid", "control", "control.lock"] {
        assert!(!scanner.folder.path(name).exists(), "{name}");
    }

    scanner.configure(&(scanner.config(3600) + "user: nobody\ngroup: nogroup\n"));
    chown(&scanner.folder, Some(1), None).unwrap();
    chown(&scanner.log.0, Some(1), None).unwrap();
    succeed(scanner.command("start").args(["--user", "daemon", "--group", "mail"]));
    let daemon = Daemon::of(&scanner.pidfile());
    assert_eq!(ids(&daemon, "Uid").as_deref(), Some("1"));
    assert_eq!(ids(&daemon, "Gid").as_deref(), Some("8"));
    daemon.stop();
}

#[test]
fn a_configuration_that_is_not_for_the_user_to_read_is_told_at_the_start() {
    if !is_root() {
        return skip("needs root to become somebody else");
    }
    let Some(scanner) = Scanner::new() else { return };
    chown(&scanner.folder, Some(65534), Some(65534)).unwrap();
    scanner.configure(&(scanner.config(3600) + "user: nobody\n"));
    fs::set_permissions(scanner.config_file(), PermissionsExt::from_mode(0o600)).unwrap();

    let message = fail_with(1, &mut scanner.command("start"));

    let why = format!("security-scanner: {}: Permission denied", scanner.config_file().display());
    assert_eq!(message, why);
    assert!(!scanner.pidfile().exists());
}
