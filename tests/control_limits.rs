//! The control socket where there is much of everything: clients, lines, descriptors in use, and time.

mod common;

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
    time::{Duration, Instant},
};

use common::{
    Child, Folder,
    control::{Client, Server},
    program, skip, test_with, until,
};
use nix::libc;

/// Clients of a server, in a process of their own.
struct Crowd {
    _child: Child,
    _folder: Folder,
    connected: usize,
}

impl Crowd {
    fn new(server: &Server, count: usize, text: &str, length: usize) -> Self {
        let folder = Folder::new();
        let mut command = std::process::Command::new(program(&folder, "control_crowd"));
        command.arg(&server.socket).arg(count.to_string()).arg(text).arg(length.to_string());
        let mut child =
            Child(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let connected = line.split(' ').next().unwrap().parse().unwrap();
        Crowd { _child: child, _folder: folder, connected }
    }
}

/// None, and said so, under valgrind, which has descriptors and limits of its own.
fn server(descriptors: u64) -> Option<Server> {
    if test_with() == "valgrind" {
        eprintln!("SKIPPED: valgrind has a limit of descriptors of its own");
        return None;
    }
    Some(Server::with("0", "", "commit", &mut |command| {
        command.env("TICKS", "1").env("NOFILE", descriptors.to_string());
    }))
}

fn hard_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is writable.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_max
}

fn worst_ms(server: &Server) -> f64 {
    server.ask("worst").ok().parse::<f64>().unwrap() / 1000.0
}

fn is_plain() -> bool {
    test_with().is_empty()
}

fn processor_time(server: &Server) -> Duration {
    let stat = server.daemon.process.stat();
    let ticks: u64 = stat[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
fn ten_thousand_clients_with_half_lines_do_not_delay_the_loop() {
    let limit = hard_limit().min(24_000);
    let count = (limit / 2 - 100).min(10_000) as usize;
    let count = if is_plain() { count } else { count / 20 };
    if count < 9_000 && is_plain() {
        skip(&format!("RLIMIT_NOFILE allows only {count} clients"));
    }
    let Some(server) = server(limit) else { return };
    let before = server.used("memory");
    worst_ms(&server);
    let begin = Instant::now();
    let crowd = Crowd::new(&server, count, "words x", 3999);
    assert_eq!(crowd.connected, count);
    eprintln!("{count} clients in {:?}: at most {:.1} ms late", begin.elapsed(), worst_ms(&server));
    assert!(server.used("descriptors") > count as i64);
    worst_ms(&server);
    let begin = Instant::now();
    let lines = 2000;
    let mut client = server.client();
    client.send("ping\n".repeat(lines));
    (0..lines).for_each(|_| client.answer().ok().clear());
    let worst = worst_ms(&server);
    eprintln!("{lines} lines of another in {:?}: at most {worst:.1} ms late", begin.elapsed());
    eprintln!("{} KB for each of them", (server.used("memory") - before) / count as i64);
    assert!(worst < 100.0 || !is_plain(), "{worst} ms late");
    let begin = Instant::now();
    drop(crowd);
    until("all are closed", || server.used("descriptors") < 50);
    let worst = worst_ms(&server);
    eprintln!("gone in {:?}: at most {worst:.1} ms late", begin.elapsed());
    assert!(worst < 300.0 || !is_plain(), "{worst} ms late");
    // And once more: the memory is used again.
    let most = server.used("memory");
    drop(Crowd::new(&server, count, "words x", 3999));
    until("all are closed", || server.used("descriptors") < 50);
    let grown = server.used("memory") - most;
    eprintln!("{} KB after them, {grown} KB more after the next", most - before);
    // The sanitizers keep what is freed for a while.
    assert!(grown < 4000 || !is_plain(), "{grown} KB more");
}

#[test]
fn half_of_the_descriptors_are_for_clients_and_the_longest_idle_one_makes_room() {
    let Some(server) = server(64) else { return };
    let mut first = server.client();
    first.ask("ping").ok();
    let mut second = server.client();
    second.ask("ping").ok();
    let crowd = Crowd::new(&server, 20, "x", 0);
    // Also those that were not accepted yet when they were connected.
    until("they are there", || {
        let used = first.ask("used").text[0].clone();
        used.trim_start_matches("descriptors ").parse::<u32>().unwrap() >= 2 + 20 + 7
    });
    std::thread::sleep(Duration::from_millis(20)); // these times are milliseconds
    first.ask("ping").ok();
    let more = Crowd::new(&server, 15, "x", 0);
    until("it makes room", || second.hears_within(Duration::from_millis(1)));
    assert_eq!(second.line(), None);
    first.ask("ping").ok();
    let many = Crowd::new(&server, 500, "x", 0);
    assert_eq!((crowd.connected, more.connected, many.connected), (20, 15, 500));
    for _ in 0..20 {
        let used = server.used("descriptors"); // which opens a directory
        assert!((32..=32 + 16).contains(&used), "{used}");
    }
}

#[test]
fn clients_that_read_no_answers_get_no_more_than_half_of_the_descriptors() {
    let Some(server) = server(64) else { return };
    let crowd = Crowd::new(&server, 60, "big 1000000\n", 120);
    assert_eq!(crowd.connected, 60);
    for _ in 0..20 {
        let used = server.used("descriptors");
        assert!(used <= 32 + 16, "{used}");
    }
    let worst = worst_ms(&server);
    assert!(worst < 200.0 || !is_plain(), "{worst} ms late");
}

#[test]
fn without_free_descriptors_a_client_takes_the_place_of_the_longest_idle_one() {
    let Some(server) = server(64) else { return };
    let mut first = server.client();
    first.ask("hog 1500").ok();
    server.ask("ping").ok();
    assert_eq!(first.line(), None);
}

#[test]
fn without_any_descriptor_the_loop_does_not_turn_in_circles_and_goes_on_later() {
    let Some(server) = server(64) else { return };
    server.ask("hog 2500").ok();
    std::thread::sleep(Duration::from_millis(50)); // and it has taken that of this client, too
    let busy = processor_time(&server);
    let begin = Instant::now();
    let mut client = server.client();
    client.send("ping\n");
    assert!(!client.hears_within(Duration::from_millis(1500)));
    let busy = processor_time(&server) - busy;
    assert!(busy < Duration::from_millis(300) || !is_plain(), "{busy:?}");
    client.answer().ok();
    eprintln!("answered after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(5) || !is_plain());
}

#[test]
fn ten_seconds_are_for_each_line_and_each_piece_of_an_answer() {
    let Some(server) = server(200) else { return };
    let begin = Instant::now();
    let is_over = |client: &mut Client| client.hears_within(Duration::ZERO);
    let with = |text: &str| {
        let mut client = server.client();
        client.send(text);
        client
    };
    let mut idle = with("ping\n");
    idle.answer().ok();
    let mut half = with("pin");
    let mut trickle = with("w");
    let mut unread = with("big 1000000\n");
    let mut slow = with("big 1000000\nbig 1000000\n");
    let mut behind = with("ping\nping\npi");
    (0..2).for_each(|_| behind.answer().ok().clear());
    let mut piece = vec![0; 100_000];
    let mut taken = 0;
    for second in 1..=13 {
        std::thread::sleep(Duration::from_secs(second).saturating_sub(begin.elapsed()));
        let _ = std::io::Write::write(&mut trickle.stream, b"o");
        if second % 3 == 0 {
            taken += slow.stream.read(&mut piece).unwrap();
        }
        if second == 8 {
            assert!(!is_over(&mut half) && !is_over(&mut trickle) && !is_over(&mut behind));
        }
    }
    for client in [&mut half, &mut behind, &mut trickle] {
        assert!(is_over(client));
        assert!(
            client.stream.read(&mut piece).is_err_and(|e| e.raw_os_error() == Some(104))
                || client.line().is_none()
        );
    }
    let got = unread.rest().len();
    assert!(got < 1_000_000, "{got} bytes: it was closed with what the kernel had");
    assert!(taken > 0);
    slow.end();
    let rest = slow.rest();
    assert!(rest.ends_with("ok\n") && rest.len() > 1_500_000, "a slow reader gets all");
    idle.ask("ping").ok();
}
