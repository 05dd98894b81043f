//! Pipes whose lines are logged: what children print.

mod common;

use common::passes;

#[test]
fn what_a_child_prints_is_logged_also_after_the_file_was_reopened() {
    passes("log_pipe", &["lines"]);
}

#[test]
fn a_last_line_without_a_newline_is_logged() {
    passes("log_pipe", &["no-newline-at-the-end"]);
}

#[test]
fn what_a_killed_child_has_printed_is_logged_and_nothing_is_left_of_its_pipe() {
    passes("log_pipe", &["killed"]);
}

#[test]
fn a_line_that_is_too_long_becomes_several() {
    passes("log_pipe", &["long-lines"]);
}

#[test]
fn children_that_print_faster_than_the_daemon_reads_lose_nothing() {
    passes("log_pipe", &["much"]);
}

#[test]
fn what_is_less_important_than_the_level_is_read_and_not_logged() {
    passes("log_pipe", &["not-wanted"]);
}

#[test]
fn a_pipe_that_cannot_be_made_is_refused_and_leaves_nothing_open() {
    passes("log_pipe", &["refusals"]);
}
