//! The protocol of the control socket, as its clients see it.

mod common;

use common::control::Server;

#[test]
fn a_line_is_words_with_blanks_and_tabs_between() {
    let server = Server::new();
    let words = |line: &str| server.ask(line).ok();
    assert_eq!(words("words"), "<words>");
    assert_eq!(words(" \t words\ta  b\t"), "<words>\n<a>\n<b>");
    assert_eq!(words("words é ''"), "<words>\n<é>\n<''>");
}

#[test]
fn in_quotes_a_word_has_blanks_quotes_and_backslashes() {
    let server = Server::new();
    let words = |line: &str| server.ask(line).ok();
    assert_eq!(words(r#"words "a b" c"#), "<words>\n<a b>\n<c>");
    assert_eq!(words(r#"words a"b c"d"#), "<words>\n<ab cd>");
    assert_eq!(words(r#"words "" "\"\\" \"#), "<words>\n<>\n<\"\\>\n<\\>");
    assert_eq!(words("words \"a\tb\""), "<words>\n<a\tb>");
    assert_eq!(words(r#""words" """#), "<words>\n<>");
}

#[test]
fn what_is_no_line_of_words_is_refused_and_the_connection_goes_on() {
    let server = Server::new();
    let mut client = server.client();
    let mut refused = |line: &str, why: &str| {
        let answer = client.ask(line);
        assert!(answer.error().contains(why), "{line:?}: {answer:?}");
        assert!(answer.text.is_empty(), "{answer:?}");
    };
    refused("", "no command");
    refused("  \t ", "no command");
    refused("words \"a", "quote is not closed");
    refused("words \"a\\\"", "quote is not closed");
    refused(r#"words "a\b""#, "backslash");
    refused("words \"a\\", "backslash");
    for byte in (0..32u8).chain([127]).filter(|byte| !b"\t\n".contains(byte)) {
        refused(&format!("words {}b", byte as char), "control character");
        refused(&format!("words \"{}\"", byte as char), "control character");
    }
    refused("words\r\r", "control character");
    assert_eq!(client.ask("ping").ok(), "");
}

#[test]
fn as_many_words_as_allowed_and_not_one_more() {
    let server = Server::new();
    let mut client = server.client();
    let line = |count: usize| format!("words{}", " w".repeat(count - 1));
    assert_eq!(client.ask(&line(64)).text.len(), 64);
    assert!(client.ask(&line(65)).error().contains("too many words"));
    assert_eq!(client.ask(&line(64)).text.len(), 64);
}

#[test]
fn a_line_is_as_long_as_allowed_and_not_one_byte_more() {
    let server = Server::new();
    let line = |length: usize| format!("words {}", "w".repeat(length - "words \n".len()));
    let mut client = server.client();
    for _ in 0..3 {
        assert_eq!(client.ask(&line(4096)).text[1].len(), 4096 - "words \n".len() + 2);
    }
    client.send(line(4097));
    assert!(client.answer().error().contains("too long"));
    assert_eq!(client.line(), None, "the connection is closed");
    // Also in pieces, and where nothing comes behind it.
    let mut client = server.client();
    for byte in line(4096).bytes() {
        client.send([byte]);
    }
    client.send("\n");
    client.answer().ok();
    client.send("x".repeat(4096));
    assert!(client.answer().error().contains("too long"));
    assert_eq!(client.line(), None);
}

#[test]
fn a_line_may_end_with_carriage_return_and_newline() {
    let server = Server::new();
    assert_eq!(server.ask("words a\r").ok(), "<words>\n<a>");
    assert_eq!(server.exchange(b"words a\r\nping\r\n"), " <words>\n <a>\nok\nok\n");
    assert!(server.ask("\r").error().contains("no command"));
}

#[test]
fn a_client_that_sends_no_more_gets_its_answers_and_then_the_end() {
    let server = Server::new();
    assert_eq!(server.exchange(b"words a\n"), " <words>\n <a>\nok\n");
    assert_eq!(server.exchange(b"words a"), " <words>\n <a>\nok\n", "without a newline");
    assert_eq!(server.exchange(b"ping\nwords"), "ok\n <words>\nok\n");
    assert_eq!(server.exchange(b"ping\n\n"), "ok\nerror the line has no command\n");
    assert_eq!(server.exchange(b""), "");
    let long = "x".repeat(4095);
    assert_eq!(server.exchange(long.as_bytes()).lines().count(), 1, "a whole line at the end");
}

#[test]
fn lines_that_come_at_once_are_answered_in_their_order() {
    let server = Server::new();
    let many = 5000;
    let lines: String = (0..many).map(|i| format!("words {i}\n")).collect();
    let answers: String = (0..many).map(|i| format!(" <words>\n <{i}>\nok\n")).collect();
    let mut client = server.client();
    let mut writer = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        std::io::Write::write_all(&mut writer, lines.as_bytes()).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    assert_eq!(client.rest(), answers);
    sender.join().unwrap();
}

#[test]
fn a_line_behind_a_long_answer_is_answered_too() {
    let server = Server::new();
    let answer = server.exchange(b"big 1000000\nping\nlines 30000\nping\n");
    assert!(answer.ends_with("\n line 29999\nok\nok\n"));
    assert_eq!(answer.lines().count(), 1 + 1 + 1 + 30000 + 1 + 1);
}

#[test]
fn help_tells_each_command_with_its_text() {
    let server = Server::new();
    let help = server.ask("help").ok();
    let names: Vec<_> = help.lines().map(|line| line.split(' ').next().unwrap()).collect();
    for name in ["help", "ping", "status", "reload", "stop", "log-level", "reopen-logs"] {
        assert!(names.contains(&name), "{name} in {help}");
    }
    assert!(help.contains("words  [WORD]...: tell the words\nwho\n"), "{help}");
    assert!(help.contains("config  OUTCOME: of later reloads\n"), "{help}");
}

#[test]
fn an_unknown_command_is_an_error_that_names_it() {
    let server = Server::new();
    assert_eq!(server.ask("nonsense x").error(), "there is no command nonsense; try help");
    assert_eq!(server.ask("PING").error(), "there is no command PING; try help");
    assert_eq!(server.ask("\"\"").error(), "there is no command ; try help");
    let long = "n".repeat(4000);
    assert!(server.ask(&long).error().starts_with("there is no command nnn"));
}

#[test]
fn an_answer_has_no_control_characters_and_cannot_look_like_its_end() {
    let server = Server::new();
    let raw = server.exchange(b"controls\n");
    assert_eq!(raw, " a\tb??[2J??\n \n ok\n c\u{e4}\nok\n");
}

#[test]
fn the_text_is_as_long_as_allowed_and_cut_behind_that() {
    let server = Server::new();
    let max = 1 << 20;
    let answer = server.ask(&format!("big {max}"));
    assert_eq!((answer.text.len(), answer.text[0].len(), answer.ok().len()), (1, max, max));
    let answer = server.ask(&format!("big {}", max + 1));
    assert_eq!(answer.text[0].len(), max);
    assert!(answer.error().contains("too long"), "{}", answer.end);
    assert_eq!(server.ask("big 0").text.len(), 0);
    assert_eq!(server.ask("lines 3").ok(), "line 0\nline 1\nline 2");
}

#[test]
fn a_command_that_fails_says_why_and_what_it_printed_is_sent() {
    let server = Server::new();
    let answer = server.ask("failing \"no such thing\"");
    assert_eq!((answer.text.join(","), answer.error()), ("before,after".into(), "no such thing"));
    assert_eq!(server.ask("failing").error(), "failed");
    assert_eq!(server.ask("failing \"a\tb\"").error(), "a?b");
    assert_eq!(server.ask("failing \"\"").end, "error ");
}

#[test]
fn a_command_is_told_who_asks() {
    let server = Server::new();
    let me = std::process::id();
    let [uid, gid] = [nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()];
    assert_eq!(server.ask("who").ok(), format!("pid {me} uid {uid} gid {gid}"));
}
