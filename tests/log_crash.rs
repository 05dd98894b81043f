//! What a crash leaves in the log.

mod common;

use common::test_with;

/// The sanitizers and valgrind have handlers and stacks of their own for such signals, and end programs
/// their own way.
#[track_caller]
fn passes(case: &str) {
    if test_with().is_empty() {
        common::passes("log_crash", &[case]);
    }
}

#[test]
fn a_crash_is_recorded_and_ends_the_program_as_it_would_without() {
    passes("recorded");
}

#[test]
fn a_stack_overflow_of_a_thread_that_has_asked_for_it_is_recorded() {
    passes("overflow-of-a-thread");
}

#[test]
fn a_handler_that_was_there_runs_after_it_and_one_that_comes_later_replaces_it() {
    passes("own-handlers");
}

#[test]
fn a_thread_that_has_an_alternate_stack_keeps_it() {
    passes("alternate-stacks");
}

#[test]
fn a_crash_before_the_log_is_open_is_told_on_stderr() {
    passes("before-it-is-open");
}
