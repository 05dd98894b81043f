//! Random bytes for the control socket: what it answers is what a second, plainer reading of the protocol says.
//!
//! The inputs are made of fuzz/corpus/control by fixed seeds. RSDAEMON_FUZZ_SEED is another first one, and
//! RSDAEMON_FUZZ_COUNT how many there are.

mod common;

use std::{env, fs, io::Write};

use common::{control::Server, root, test_with, text};

const LINE_MAX: usize = 4096;
const WORDS_MAX: usize = 64;

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// The words of a line, or a piece of why there are none.
fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (mut words, mut word, mut at) = (Vec::new(), None::<Vec<u8>>, 0);
    let mut is_quoted = false;
    while at < line.len() {
        match (is_quoted, line[at]) {
            (false, b' ' | b'\t') => words.extend(word.take()),
            (_, b'"') => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            (true, b'\\') => {
                at += 1;
                match line.get(at) {
                    Some(byte @ (b'"' | b'\\')) => word.get_or_insert_default().push(*byte),
                    _ => return Err("backslash"),
                }
            }
            (_, byte) if byte != b'\t' && byte.is_ascii_control() => {
                return Err("control character");
            }
            (_, byte) => word.get_or_insert_default().push(byte),
        }
        at += 1;
    }
    words.extend(word);
    match words.len() {
        _ if is_quoted => Err("quote is not closed"),
        0 => Err("no command"),
        1..=WORDS_MAX => Ok(words),
        _ => Err("too many words"),
    }
}

/// What a line is answered, as far as that is known: the text, and a piece of the end.
fn answer(line: &[u8]) -> (Option<Vec<u8>>, Vec<u8>) {
    match words(line) {
        Err(why) => (Some(Vec::new()), why.into()),
        Ok(words) => match words[0].as_slice() {
            b"words" => (
                Some(words.iter().flat_map(|w| [b" <", &w[..], b">\n"].concat()).collect()),
                b"ok".into(),
            ),
            b"ping" => (Some(Vec::new()), b"ok".into()),
            b"help" | b"status" | b"lines" | b"controls" | b"used" => (None, b"ok".into()),
            b"failing" => (Some(b" before\n after\n".into()), b"error ".into()),
            b"log-level" => (None, Vec::new()),
            _ => (Some(Vec::new()), b"error there is no command ".into()),
        },
    }
}

/// The lines that are answered, and whether the last of them is too long.
fn lines(mut bytes: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut lines = Vec::new();
    while let Some(end) = bytes.iter().take(LINE_MAX).position(|&byte| byte == b'\n') {
        lines.push(&bytes[..end]);
        bytes = &bytes[end + 1..];
    }
    let is_too_long = bytes.len() >= LINE_MAX;
    if !bytes.is_empty() && !is_too_long {
        lines.push(bytes);
    }
    (lines, is_too_long)
}

/// The answers are those of the lines, and nothing else.
fn difference(input: &[u8], output: &[u8]) -> Option<String> {
    let (lines, is_too_long) = lines(input);
    let mut rest = output;
    let mut next = |line: &[u8], (text, end): (Option<Vec<u8>>, Vec<u8>)| {
        let mut at = 0;
        while rest.get(at) == Some(&b' ') {
            at += rest[at..].iter().position(|&byte| byte == b'\n')? + 1;
        }
        let length = rest[at..].iter().position(|&byte| byte == b'\n');
        let (got_text, got_end) = (&rest[..at], &rest[at..at + length.unwrap_or(0)]);
        let is_right = length.is_some()
            && text.is_none_or(|text| text == got_text)
            && got_end.windows(end.len().max(1)).any(|part| part.starts_with(&end));
        let shown = || {
            format!(
                "{:?} is answered {:?} {:?}",
                common::text(line),
                common::text(got_text),
                common::text(got_end)
            )
        };
        let wrong = (!is_right).then(shown);
        rest = rest.get(at + length.unwrap_or(0) + 1..).unwrap_or_default();
        wrong
    };
    for line in lines {
        if let Some(wrong) = next(line, answer(line)) {
            return Some(wrong);
        }
    }
    if is_too_long {
        if let Some(wrong) = next(b"too long", (Some(Vec::new()), b"too long".into())) {
            return Some(wrong);
        }
    }
    (!rest.is_empty()).then(|| format!("{:?} is too much", text(rest)))
}

/// One of the corpus, or several, with changes.
fn input(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.pick(corpus).clone();
    for _ in 0..random.below(8) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 => bytes.insert(at, *random.pick(b"\"\\ \t\r\n\0w\x7f\xff")),
            1 => bytes.insert(at, random.below(256) as u8),
            2 => bytes.truncate(at),
            3 => bytes.extend(random.pick(corpus).iter()),
            4 if at < bytes.len() => drop(bytes.remove(at)),
            5 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {
                let length = random.below(5000);
                let filling = *random.pick(b"x \"\n");
                bytes.splice(at..at, std::iter::repeat_n(filling, length));
            }
        }
    }
    bytes
}

/// These act on the daemon, or take their time.
fn is_harmless(input: &[u8]) -> bool {
    let acting: [&[u8]; 9] = [
        b"stop",
        b"reload",
        b"fork",
        b"wait",
        b"hog",
        b"big",
        b"config",
        b"end-long",
        b"reopen-logs",
    ];
    lines(input)
        .0
        .iter()
        .all(|line| words(line).map_or(true, |words| !acting.contains(&&words[0][..])))
}

/// In pieces, and what comes back.
fn exchange(server: &Server, random: &mut Random, input: &[u8]) -> Vec<u8> {
    let mut client = server.client();
    let mut rest = input;
    let is_whole = random.below(3) > 0;
    while !rest.is_empty() {
        let count = if is_whole { rest.len() } else { 1 + random.below(rest.len()) };
        // It may have hung up after too long a line.
        if client.stream.write_all(&rest[..count]).is_err() {
            break;
        }
        rest = &rest[count..];
    }
    let _ = client.stream.shutdown(std::net::Shutdown::Write);
    let mut output = Vec::new();
    // Where it has not read all, the end is an error, behind the answers.
    let _ = std::io::Read::read_to_end(&mut client.stream, &mut output);
    output
}

fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

#[test]
fn random_bytes_are_answered_as_the_protocol_says() {
    let mut files: Vec<_> = fs::read_dir(root().join("fuzz/corpus/control"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let corpus: Vec<_> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    let server = Server::new();
    let count = number("RSDAEMON_FUZZ_COUNT", if test_with().is_empty() { 3000 } else { 300 });
    let seed = number("RSDAEMON_FUZZ_SEED", 1);
    let mut random = Random(0);
    for round in 0..count {
        random.0 = (seed + round).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let input = if (round as usize) < corpus.len() {
            corpus[round as usize].clone()
        } else {
            input(&mut random, &corpus)
        };
        if !is_harmless(&input) {
            continue;
        }
        let output = exchange(&server, &mut random, &input);
        if let Some(wrong) = difference(&input, &output) {
            panic!("RSDAEMON_FUZZ_SEED={} finds: {wrong}\n{:?}", seed + round, text(&input));
        }
    }
    server.ask("ping").ok();
    server.daemon.stop();
}
