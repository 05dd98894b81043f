//! Commands of the control socket that act on the daemon: reload as a transaction, stop, and those of the log.

mod common;

use std::time::{Duration, Instant};

use common::{
    Folder, at_once, command,
    control::{Client, Server},
    read, until,
};
use nix::sys::signal::Signal;

/// What the server has printed.
fn output(server: &Server) -> String {
    read(&server.folder.path("output"))
}

#[test]
fn a_reload_is_answered_when_it_has_succeeded() {
    let server = Server::new();
    assert_eq!(server.ask("reload").ok(), "");
    let status = server.ask("status").ok();
    assert!(status.contains("\nstate: ready\nreloads: 1\nfailed reloads: 0\n"), "{status}");
}

#[test]
fn a_reload_that_failed_is_answered_with_the_reason_in_one_line() {
    let server = Server::that_reloads("abort");
    assert_eq!(server.ask("reload").error(), "line 3:?no such?interface");
    let status = server.ask("status").ok();
    assert!(status.contains("reloads: 0\nfailed reloads: 1\n"), "{status}");
    assert!(status.contains("latest reload failed: line 3:?no such?interface\n"), "{status}");
    server.ask("config nothing").ok();
    assert_eq!(server.ask("reload").error(), "failed");
    server.ask("config commit").ok();
    server.ask("reload").ok();
    let status = server.ask("status").ok();
    assert!(status.contains("reloads: 1\nfailed reloads: 2\nlost"), "no reason is left: {status}");
}

#[test]
fn a_reload_that_was_begun_twice_is_answered_once() {
    let server = Server::that_reloads("twice");
    assert_eq!(server.exchange(b"reload\nping\n"), "ok\nok\n");
}

#[test]
fn lines_behind_a_reload_are_answered_after_it() {
    let server = Server::new();
    assert_eq!(server.exchange(b"reload\nwords a\nreload\nwords b\n"), {
        "ok\n <words>\n <a>\nok\nok\n <words>\n <b>\nok\n"
    });
    // And where the client stays.
    let mut client = server.client();
    client.send("reload\nwords c\nping\n");
    assert_eq!(client.answer().ok(), "");
    assert_eq!(client.answer().ok(), "<words>\n<c>");
    assert_eq!(client.answer().ok(), "");
}

#[test]
fn lines_behind_a_reload_whose_end_is_not_told_are_answered_too() {
    let server = Server::that_reloads("take");
    let mut client = server.client();
    client.send("reload\nwords c\nping\n");
    assert!(client.answer().ok().contains("not told"));
    assert_eq!(client.answer().ok(), "<words>\n<c>");
    assert_eq!(client.answer().ok(), "");
}

#[test]
fn all_who_asked_before_a_reload_began_get_its_outcome_and_later_ones_the_next() {
    let server = Server::that_reloads("long");
    let mut first = server.client();
    first.send("reload\n");
    until("the reload has begun", || server.ask("status").ok().contains("state: reloading"));
    let mut later: Vec<_> = (0..3).map(|_| server.client()).collect();
    for client in &mut later {
        client.send("reload\n");
    }
    // It begins anew on their behalf, and still has not ended.
    server.ask("ping").ok();
    assert!(!first.hears_within(Duration::from_millis(300)));
    server.ask("end-long").ok();
    first.answer().ok();
    for client in &mut later {
        client.answer().ok();
    }
    assert_eq!(server.ask("end-long").error(), "no reload was begun");
}

#[test]
fn who_asks_during_a_reload_gets_the_next_one() {
    let server = Server::that_reloads("long");
    let mut first = server.client();
    first.send("reload\n");
    until("the reload has begun", || server.ask("status").ok().contains("state: reloading"));
    server.ask("config leave").ok(); // until it is told otherwise
    let mut second = server.client();
    second.send("reload\n");
    server.ask("ping").ok();
    server.ask("end-long").ok();
    first.answer().ok();
    assert!(!second.hears_within(Duration::from_millis(2500)), "the flag is still raised");
    server.ask("config abort").ok();
    assert!(second.answer().error().contains("no such"));
}

#[test]
fn a_reload_that_takes_long_is_waited_for() {
    let server = Server::that_reloads("long");
    let mut client = server.client();
    client.send("reload\n");
    assert!(!client.hears_within(Duration::from_secs(13)), "no deadline is for this");
    server.ask("end-long").ok();
    client.answer().ok();
}

#[test]
fn a_flag_that_is_lowered_without_a_transaction_is_told_as_that() {
    let server = Server::that_reloads("take");
    let begin = Instant::now();
    let answer = server.ask("reload");
    assert_eq!(answer.ok(), "the daemon has seen it; how it ended is not told");
    assert!(begin.elapsed() < 2 * at_once() + Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[test]
fn a_handler_of_the_programs_own_gets_the_signal() {
    let server = Server::that_reloads("handler");
    let mut client = server.client();
    client.send("reload\n");
    assert!(client.answer().error().contains("how the reload ended is not told"));
    assert!(server.daemon.stop().contains("ends, 1 times SIGHUP"));
}

#[test]
fn a_handler_that_has_replaced_the_flag_gets_the_signal() {
    let server = Server::that_reloads("handler-after");
    let mut client = server.client();
    client.send("reload\nping\n");
    assert!(client.answer().error().contains("how the reload ended is not told"));
    client.answer().ok();
    assert!(server.daemon.stop().contains("ends, 1 times SIGHUP"));
}

#[test]
fn without_a_way_to_reload_that_is_the_answer_and_the_daemon_lives() {
    for how in ["ignore", "default"] {
        let server = Server::that_reloads(how);
        let answer = server.ask("reload");
        assert_eq!(answer.error(), "this daemon has nothing to read anew: no SIGHUP flag");
        server.ask("ping").ok();
    }
}

#[test]
fn a_client_that_does_not_wait_for_its_reload_costs_nothing() {
    let server = Server::that_reloads("long");
    server.client().send("reload\n");
    until("the reload has begun", || server.ask("status").ok().contains("state: reloading"));
    let before = server.used("descriptors");
    for _ in 0..50 {
        let mut client = server.client();
        client.send("reload\n");
    }
    until("they are closed", || server.used("descriptors") == before);
    server.ask("end-long").ok();
    server.ask("ping").ok();
}

#[test]
fn signals_of_commands_are_told_with_their_client() {
    let server = Server::new();
    let mut client = server.client();
    client.ask("reload").ok();
    client.ask("stop").ok();
    let me = format!("from pid {} uid {}", std::process::id(), nix::unistd::geteuid());
    server.daemon.process.wait_end();
    let output = output(&server);
    for signo in [Signal::SIGHUP, Signal::SIGTERM] {
        let told = format!("signal {} {me}, 1 times\n", signo as i32);
        assert!(output.contains(&told), "{told}{output}");
    }
    assert!(output.contains("ends, 0 times SIGHUP"));
    assert_eq!(client.line(), None);
    let left = ["control", "output"];
    assert_eq!(server.folder.names(), left, "the socket and its lock are removed");
}

#[test]
fn a_stop_is_answered_also_where_the_client_sends_nothing_more() {
    let server = Server::new();
    assert_eq!(server.exchange(b"stop\n"), "ok\n");
    server.daemon.process.wait_end();
}

#[test]
fn the_levels_of_the_log_are_told_and_set() {
    let server = Server::new();
    let level = || server.ask("log-level").ok();
    assert_eq!(level(), "debug");
    for name in ["emerg", "alert", "crit", "err", "warning", "notice", "debug", "info"] {
        assert_eq!(server.ask(&format!("log-level {name}")).ok(), "");
        assert_eq!(level(), name);
    }
    let why = "levels are emerg, alert, crit, err, warning, notice, info, debug";
    assert_eq!(server.ask("log-level loud").error(), why);
    assert_eq!(server.ask("log-level \"\"").error(), why);
    assert_eq!(level(), "info");
    server.ask("reopen-logs").ok();
}

#[test]
fn the_status_tells_pid_and_time_and_state() {
    let server = Server::new();
    let status = server.ask("status");
    let text = status.ok();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], format!("pid: {}", server.pid()));
    let since = lines[1].strip_prefix("since: ").unwrap();
    assert!(since.starts_with("20") && since.contains('T'), "{text}");
    let rest = ["state: ready", "reloads: 0", "failed reloads: 0", "lost log lines: 0"];
    assert_eq!(lines[2..], rest);
}

#[test]
fn the_example_greets_and_is_stopped() {
    let folder = Folder::new();
    let mut start = command(&common::example(&folder, "control_socket"));
    std::fs::write(folder.path("greeting"), "Hello\n").unwrap();
    start.args(["./pid", "socket", "greeting"]).current_dir(&folder);
    common::succeed(&mut start);
    let daemon = common::Daemon::of(&folder.path("pid"));
    let mut client = Client::new(&folder.path("socket"));
    assert_eq!(client.ask("greet Ada").ok(), "Hello, Ada");
    assert_eq!(client.ask("greet").error(), "usage: greet NAME");
    assert!(client.ask("status").ok().contains("status: greeted 1 times"));
    std::fs::write(folder.path("greeting"), "Good day\n").unwrap();
    client.ask("reload").ok();
    std::fs::write(folder.path("greeting"), "\n").unwrap();
    assert_eq!(client.ask("reload").error(), "there is no greeting in it");
    assert_eq!(client.ask("greet Bob").ok(), "Good day, Bob");
    client.ask("stop").ok();
    daemon.wait_end();
    assert_eq!(folder.names(), ["control_socket", "greeting"]);
}
