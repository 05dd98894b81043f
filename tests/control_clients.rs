//! The main loop never waits for a client of the control socket, whatever that does.

mod common;

use std::{
    io::{ErrorKind, Write},
    os::unix::net::UnixStream,
    process::Command,
    time::{Duration, Instant},
};

use common::{
    control::{Client, Server},
    test_with, until,
};
use nix::sys::signal::{Signal, kill};

/// A daemon with a timer of 5 ms in its loop.
fn ticking() -> Server {
    Server::with("0", "", "commit", &mut |command| {
        command.env("TICKS", "1");
    })
}

/// How late the timer was at most, since this was last asked.
fn worst_ms(server: &Server) -> f64 {
    server.ask("worst").ok().parse::<f64>().unwrap() / 1000.0
}

/// What one tick may be late. The machine has other things to do, too.
fn bound_ms() -> f64 {
    if test_with().is_empty() { 150.0 } else { 3000.0 }
}

#[track_caller]
fn is_in_time(server: &Server, what: &str) {
    let worst = worst_ms(server);
    eprintln!("{what}: the timer was at most {worst:.1} ms late");
    assert!(worst < bound_ms(), "{what}: the timer was {worst} ms late");
}

/// How many descriptors there are when the timer of the main loop is made.
fn settled(server: &Server) -> i64 {
    server.client().send("half a line");
    server.ask("ping").ok();
    server.used("descriptors")
}

fn less(plain: usize) -> usize {
    if test_with().is_empty() { plain } else { plain.div_ceil(10) }
}

/// User and system time of the daemon.
fn processor_time(server: &Server) -> Duration {
    let stat = server.daemon.process.stat();
    let ticks: u64 = stat[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Writes as much as is taken within a moment. How much that was, and whether the daemon has hung up.
fn stuff(client: &mut Client, piece: &[u8], most: usize) -> (usize, bool) {
    client.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut sent = 0;
    while sent < most {
        match client.stream.write(piece) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (sent, false),
            Err(_) => return (sent, true),
        }
    }
    (sent, false)
}

#[test]
fn silent_clients_and_half_lines_do_not_delay_anybody() {
    let server = ticking();
    worst_ms(&server);
    let clients: Vec<_> = (0..less(200))
        .map(|number| {
            let mut client = server.client();
            client.send(["", "p", "ping", "words \"a"][number % 4]);
            client
        })
        .collect();
    assert_eq!(server.ask("words a").ok(), "<words>\n<a>");
    is_in_time(&server, "silent clients");
    drop(clients);
}

#[test]
fn megabytes_without_a_newline_are_refused_after_one_line() {
    let server = ticking();
    let before = server.used("memory");
    for _ in 0..20 {
        let mut client = server.client();
        let (sent, has_hung_up) = stuff(&mut client, &[b'x'; 65536], 10 << 20);
        assert!(has_hung_up, "{sent} bytes were taken");
        assert!(client.answer().error().contains("too long"));
    }
    let grown = server.used("memory") - before;
    assert!(grown < 2000 || !test_with().is_empty(), "{grown} KB more");
    is_in_time(&server, "megabytes without a newline");
}

#[test]
fn who_sends_lines_and_reads_no_answers_is_left_alone() {
    let server = ticking();
    let before = server.used("memory");
    worst_ms(&server);
    let mut clients: Vec<_> = (0..20).map(|_| server.client()).collect();
    for client in &mut clients {
        let (sent, has_hung_up) = stuff(client, "help\n".repeat(1000).as_bytes(), 10 << 20);
        assert!(!has_hung_up && sent < 5 << 20, "{sent} bytes were taken");
    }
    is_in_time(&server, "lines whose answers are not read");
    let grown = server.used("memory") - before;
    assert!(grown < 2000 || !test_with().is_empty(), "{grown} KB more");
    let busy = processor_time(&server);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        server.ask("ping").ok();
        std::thread::sleep(Duration::from_millis(50));
    }
    let busy = processor_time(&server) - busy;
    assert!(busy < Duration::from_millis(300) || !test_with().is_empty(), "{busy:?} in a second");
}

#[test]
fn a_flood_of_lines_delays_neither_the_loop_nor_others() {
    let server = ticking();
    worst_ms(&server);
    let flood = |client: Client| {
        let mut reader = client.stream.try_clone().unwrap();
        let mut writer = client.stream;
        std::thread::spawn(move || {
            let lines = "ping\n".repeat(2000);
            while writer.write_all(lines.as_bytes()).is_ok() {}
        });
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    };
    let streams: Vec<_> = (0..4).map(|_| server.client()).collect();
    let handles: Vec<_> = streams.iter().map(|client| client.stream.try_clone().unwrap()).collect();
    streams.into_iter().for_each(flood);
    let mut slowest = Duration::ZERO;
    for _ in 0..less(50) {
        let begin = Instant::now();
        server.ask("ping").ok();
        slowest = slowest.max(begin.elapsed());
    }
    is_in_time(&server, "four clients that send as fast as they can");
    eprintln!("another client waited at most {slowest:?}");
    assert!(slowest < Duration::from_millis(500) || !test_with().is_empty(), "{slowest:?}");
    for handle in handles {
        let _ = handle.shutdown(std::net::Shutdown::Both);
    }
}

#[test]
fn who_is_gone_in_the_middle_leaves_nothing() {
    let server = Server::new();
    let before = settled(&server);
    for number in 0..less(500) {
        let mut client = server.client();
        let lines =
            ["wor", "words\n", "big 1000000\n", "lines 100\nbig 1000000\nhelp\n", "ping\nx"];
        client.send(lines[number % lines.len()]);
        if number % 3 == 0 {
            client.hears_within(Duration::from_millis(2));
        }
    }
    until("all are closed", || server.used("descriptors") <= before);
    server.ask("ping").ok();
}

#[test]
fn clients_that_are_killed_leave_nothing() {
    let server = Server::new();
    let before = settled(&server);
    for number in 0..less(50) {
        let stream = UnixStream::connect(&server.socket).unwrap();
        let script = ["cat; cat", "printf 'big 1000000\\n'; cat", "yes ping", "printf half; cat"];
        let mut client = Command::new("sh");
        client.args(["-c", script[number % script.len()]]);
        let fd: std::os::fd::OwnedFd = stream.into();
        client.stdin(fd.try_clone().unwrap()).stdout(fd).stderr(std::process::Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut client, 0);
        let mut client = client.spawn().unwrap();
        std::thread::sleep(Duration::from_millis((number % 7) as u64));
        kill(nix::unistd::Pid::from_raw(-(client.id() as i32)), Signal::SIGKILL).unwrap();
        client.wait().unwrap();
    }
    until("all are closed", || server.used("descriptors") <= before);
}

#[test]
fn a_callback_that_waits_is_not_disturbed_by_clients_that_are_gone() {
    let server = Server::new();
    let busy = processor_time(&server);
    let mut client = server.client();
    client.send("wait 1500\n");
    server.client().send("ping\n");
    drop(client);
    let begin = Instant::now();
    until("the callback is over", || {
        server.ask("ping").end == "ok" && begin.elapsed().as_millis() > 1700
    });
    let busy = processor_time(&server) - busy;
    let pings = Duration::from_millis(400);
    assert!(busy < pings || !test_with().is_empty(), "{busy:?} of 1.7 s");
}

#[test]
fn callbacks_that_wait_at_the_same_time_do_not_use_up_the_stack() {
    let server = Server::new();
    let mut clients: Vec<_> = (0..less(200)).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send("wait 10\nwords\n");
    }
    for client in &mut clients {
        client.answer().ok();
        client.answer().ok();
    }
    let stack = server.daemon.process.status("VmStk");
    let kilobytes: i64 = stack.trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 500 || !test_with().is_empty(), "{kilobytes} KB of stack");
}

#[test]
fn a_forked_child_keeps_no_connection_open() {
    let server = Server::new();
    let mut client = server.client();
    let child = nix::unistd::Pid::from_raw(client.ask("fork").ok().parse().unwrap());
    client.send("ping\n");
    client.end();
    assert_eq!(client.rest(), "ok\n");
    kill(child, Signal::SIGKILL).unwrap();
}
