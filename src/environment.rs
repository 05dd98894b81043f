//! Environment variables with a type.

use core::ffi::CStr;

use nix::errno::Errno;

use crate::{
    error::{Error, Line, Result},
    sys::load,
    text,
};

/// The value of a variable; one that is empty counts as none.
pub fn get(name: &CStr) -> Option<&'static CStr> {
    load::environment(name).filter(|text| !text.is_empty())
}

const SWITCHES: [(&[u8], bool); 8] = [
    (b"true", true),
    (b"yes", true),
    (b"on", true),
    (b"1", true),
    (b"false", false),
    (b"no", false),
    (b"off", false),
    (b"0", false),
];

pub fn boolean(name: &CStr, text: &CStr) -> Result<bool> {
    let found = SWITCHES.iter().find(|(word, _)| text.to_bytes().eq_ignore_ascii_case(word));
    found.map(|(_, is_on)| *is_on).ok_or_else(|| {
        unexpected(Errno::EINVAL, name, text, b"true, yes, on, 1, false, no, off or 0")
    })
}

pub fn integer(name: &CStr, text: &CStr, minimum: i32, maximum: i32) -> Result<i32> {
    let (errno, number) = parse(text.to_bytes());
    let number = number.filter(|number| (minimum..=maximum).contains(number));
    number.ok_or_else(|| {
        let mut expected = Line::new();
        expected.push(b"a number from ");
        push(&mut expected, minimum);
        expected.push(b" to ");
        push(&mut expected, maximum);
        unexpected(errno, name, text, expected.as_bytes())
    })
}

/// The number, and what is wrong if there is none or it does not serve.
fn parse(text: &[u8]) -> (Errno, Option<i32>) {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return (Errno::EINVAL, None);
    }
    // u32 has room for the amount of the smallest i32.
    let number = text::number(digits).map(i64::from);
    let number = number.map(|number| if is_negative { -number } else { number });
    (Errno::ERANGE, number.and_then(|number| number.try_into().ok()))
}

fn push(line: &mut Line, number: i32) {
    line.push(if number < 0 { b"-" } else { b"" });
    line.push_number(number.unsigned_abs());
}

fn unexpected(errno: Errno, name: &CStr, text: &CStr, expected: &[u8]) -> Error {
    let pieces: [&[u8]; 5] =
        [name.to_bytes(), b" is \"", text.to_bytes(), b"\", which is not ", expected];
    Error::new(errno, &pieces)
}
