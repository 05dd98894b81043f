//! c-examples/confined_server.c on the loopback interface: it answers, and has given up all the rest.

mod common;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use common::{Folder, command, example, foreground::Foreground, is_root, read, test_with};

/// One that was free a moment ago; where we are root one that only root can bind.
fn port() -> u16 {
    let mut range = if is_root() { 600..700 } else { 20_000..21_000 };
    range.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

#[test]
fn it_answers_as_nobody_and_has_no_way_to_files() {
    if test_with() == "valgrind" {
        return; // which does not know Landlock
    }
    let folder = Folder::new();
    let (port, pidfile) = (port(), folder.path("server.pid"));
    let mut command = command(&example(&folder, "confined_server"));
    command.args(["run", "--pidfile"]).arg(&pidfile).args(["127.0.0.1", &port.to_string()]);
    let server = Foreground::start(&folder, &mut command, "promises: in force: stdio inet\n");

    if is_root() {
        assert_eq!(server.process.status("Uid"), "65534\t65534\t65534\t65534");
    }
    assert_eq!(server.process.status("CapPrm"), "0000000000000000");
    let mut answer = String::new();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");

    let report = server.stop();
    assert!(!report.contains("MISSING") && !report.contains("NOT"), "{report}");
    // It may not be removed any more, and is emptied.
    assert_eq!(read(&pidfile), "");
}
