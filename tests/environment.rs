//! Typed environment variables, as a C program sees them.

mod common;

use common::{Folder, command, program, succeed, text};
use nix::errno::Errno;

/// What C had in its variable before.
const DEFAULT: i32 = 4711;

enum Read {
    Set(i32),
    Unset,
    /// With a sentence that says this was expected.
    Refused(Errno, &'static str),
}
use Read::{Refused, Set, Unset};

/// A line for each value.
fn read(arguments: &[&str], values: &[&str]) -> Vec<String> {
    let folder = Folder::new();
    let mut command = command(&program(&folder, "environment"));
    let output = text(&succeed(command.args(arguments).args(values)).stdout);
    let lines: Vec<_> = output.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), values.len(), "{output}");
    lines
}

#[track_caller]
fn check(arguments: &[&str], cases: &[(&str, Read)]) {
    let values: Vec<_> = cases.iter().map(|case| case.0).collect();
    for (line, (value, expected)) in read(arguments, &values).iter().zip(cases) {
        let (numbers, sentence) = line.split_once('|').unwrap();
        let (errno, words) = match *expected {
            Set(number) => {
                assert_eq!(line, &format!("1 0 {number} default|"), "{value:?}");
                continue;
            }
            Unset => {
                assert_eq!(line, &format!("0 0 {DEFAULT} default|"), "{value:?}");
                continue;
            }
            Refused(errno, words) => (errno, words),
        };
        assert_eq!(numbers, format!("-1 {} {DEFAULT} default", errno as i32), "{value:?}");
        for word in words.split(' ').chain(["RSDAEMON_TEST_VALUE", value.trim()]) {
            assert!(sentence.contains(word), "{value:?}: {word:?} is not in {sentence:?}");
        }
        assert!(!sentence.ends_with('.'), "{sentence}");
    }
}

#[test]
fn a_switch_has_eight_words() {
    let no_word = || Refused(Errno::EINVAL, "true yes on 1 false no off 0");
    check(
        &["bool", "0", "0"],
        &[
            ("true", Set(1)),
            ("yes", Set(1)),
            ("on", Set(1)),
            ("1", Set(1)),
            ("TRUE", Set(1)),
            ("Yes", Set(1)),
            ("oN", Set(1)),
            ("false", Set(0)),
            ("no", Set(0)),
            ("off", Set(0)),
            ("0", Set(0)),
            ("FALSE", Set(0)),
            ("No", Set(0)),
            ("oFf", Set(0)),
            ("", Unset),
            ("UNSET", Unset),
            ("2", no_word()),
            ("01", no_word()),
            ("-1", no_word()),
            ("y", no_word()),
            ("t", no_word()),
            ("tru", no_word()),
            ("truee", no_word()),
            (" true", no_word()),
            ("true ", no_word()),
            (" ", no_word()),
            ("enabled", no_word()),
            // The letters that become ASCII in other locales.
            ("o\u{ff4e}", no_word()),
        ],
    );
}

#[test]
fn a_number_is_decimal_and_stands_alone() {
    let no_number = || Refused(Errno::EINVAL, "0 100");
    let outside = || Refused(Errno::ERANGE, "0 100");
    check(
        &["int", "0", "100"],
        &[
            ("0", Set(0)),
            ("100", Set(100)),
            ("42", Set(42)),
            ("+7", Set(7)),
            ("-0", Set(0)),
            ("007", Set(7)),
            ("0000000000000000000000000000000000000000000000000009", Set(9)),
            ("", Unset),
            ("UNSET", Unset),
            ("101", outside()),
            ("-1", outside()),
            ("2147483648", outside()),
            ("4294967296", outside()),
            ("4294967338", outside()),
            ("9223372036854775808", outside()),
            ("18446744073709551616", outside()),
            ("99999999999999999999999999999999999999999", outside()),
            ("-99999999999999999999999999999999999999999", outside()),
            (" 1", no_number()),
            ("1 ", no_number()),
            ("\t1", no_number()),
            ("1x", no_number()),
            ("x", no_number()),
            ("0x10", no_number()),
            ("1e1", no_number()),
            ("1.0", no_number()),
            ("1,000", no_number()),
            ("+", no_number()),
            ("-", no_number()),
            ("--1", no_number()),
            ("+-1", no_number()),
            ("- 1", no_number()),
            (" ", no_number()),
            ("\u{661}", no_number()),
        ],
    );
}

#[test]
fn the_whole_range_of_int_is_read() {
    check(
        &["int", "-2147483648", "2147483647"],
        &[
            ("2147483647", Set(i32::MAX)),
            ("+2147483647", Set(i32::MAX)),
            ("-2147483648", Set(i32::MIN)),
            ("-1", Set(-1)),
            ("2147483648", Refused(Errno::ERANGE, "-2147483648 2147483647")),
            ("-2147483649", Refused(Errno::ERANGE, "-2147483648 2147483647")),
            ("-4294967295", Refused(Errno::ERANGE, "-2147483648 2147483647")),
        ],
    );
    check(
        &["int", "-5", "-5"],
        &[
            ("-5", Set(-5)),
            ("5", Refused(Errno::ERANGE, "-5")),
            ("-4", Refused(Errno::ERANGE, "-5")),
        ],
    );
    check(&["int", "0", "0"], &[("0", Set(0)), ("1", Refused(Errno::ERANGE, "0"))]);
}

#[test]
fn a_text_is_that_of_the_environment() {
    let values = ["text", " ", "a=b", "", "UNSET"];
    let expected = [
        "1 0 4711 text|",
        "1 0 4711  |",
        "1 0 4711 a=b|",
        "0 0 4711 default|",
        "0 0 4711 default|",
    ];
    assert_eq!(read(&["string", "0", "0"], &values), expected);
}

#[test]
fn a_long_value_is_refused_in_one_line() {
    let long = "x".repeat(100_000);
    for arguments in [["bool", "0", "0"], ["int", "0", "9"]] {
        let lines = read(&arguments, &[&long]);
        assert!(lines[0].starts_with("-1 22 4711 default|"), "{}", &lines[0][..60]);
        assert!(lines[0].contains("RSDAEMON_TEST_VALUE"));
        read(&arguments, &["a\nb", "a\rb"]); // a line for each
    }
}

#[test]
fn what_c_gets_wrong_is_refused() {
    let folder = Folder::new();
    succeed(&mut command(&program(&folder, "environment")));
}
