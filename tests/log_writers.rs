//! One log, many writers: each line is there once, and whole.

mod common;

use common::{passes_in, test_with};

#[track_caller]
fn passes(case: &str) {
    let slow: &[_] = if test_with().is_empty() { &[] } else { &[("SLOW", "1")] };
    passes_in(slow, "log_writers", &[case]);
}

#[test]
fn no_line_of_many_threads_and_processes_is_lost_or_torn() {
    passes("crowd");
}

#[test]
fn no_line_is_lost_while_threads_reopen_the_file() {
    passes("reopening-threads");
}

#[test]
fn a_process_that_was_forked_while_other_threads_log_can_log() {
    passes("forks-of-threads");
}

#[test]
fn no_line_is_lost_or_torn_in_a_storm_of_signals_whose_handler_logs() {
    passes("storm");
}

#[test]
fn nor_when_the_handler_interrupts_a_rotation() {
    passes("storm-on-rotation");
}
