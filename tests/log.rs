//! Lines of the log, as a C program and the reader of its file see them.

mod common;

use common::{passes, passes_in, test_with};

fn slow() -> &'static [(&'static str, &'static str)] {
    if test_with().is_empty() { &[] } else { &[("SLOW", "1")] }
}

#[test]
fn a_line_has_time_name_pid_level_and_message() {
    passes("log", &["format"]);
}

#[test]
fn the_time_is_local_and_says_how_far_from_utc() {
    let zones = [
        ("UTC", Some(0)),
        ("Asia/Kolkata", Some(19_800)),
        ("Pacific/Kiritimati", Some(50_400)),
        ("Pacific/Marquesas", Some(-34_200)),
        ("Europe/Berlin", None),
        ("America/St_Johns", None),
        ("<-0123>1:23", Some(-4980)),
        ("<+0045>-0:45", Some(2700)),
        ("Nowhere/Atall", Some(0)),
    ];
    for (zone, ahead) in zones {
        let told = passes_in(&[("TZ", zone)], "log", &["zone"]);
        let told: i32 = told.trim().parse().unwrap();
        assert!(ahead.is_none_or(|ahead| ahead == told), "{zone}: {told}");
    }
}

#[test]
fn without_a_name_a_line_has_that_of_the_program_and_a_name_forges_nothing() {
    passes("log", &["default-name"]);
}

#[test]
fn lines_less_important_than_the_level_are_not_logged() {
    passes("log", &["level"]);
}

#[test]
fn errno_can_be_told_and_stays_what_it_is_also_when_nobody_takes_a_line() {
    passes("log", &["errno"]);
}

#[test]
fn a_message_is_one_line_whatever_is_in_it() {
    passes_in(slow(), "log", &["one-line"]);
}

#[test]
fn the_time_follows_the_seasons_for_years_without_asking_the_c_library_again() {
    for zone in ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC"] {
        let environment = [slow(), &[("TZ", zone)]].concat();
        passes_in(&environment, "log_clock", &["seasons"]);
    }
}

#[test]
fn a_line_that_is_too_long_is_cut() {
    passes("log_long", &["lengths"]);
}

#[test]
fn a_line_is_cut_between_two_characters() {
    passes("log_long", &["between-characters"]);
}

#[test]
fn of_lines_that_come_too_often_some_are_held_back_and_their_number_is_told() {
    passes("log_long", &["limited"]);
}
