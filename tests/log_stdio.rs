//! The log on stderr, and stdout and stderr in the log.

mod common;

use common::passes;

#[test]
fn before_the_log_is_open_lines_go_to_stderr() {
    passes("log_stdio", &["before-it-is-open"]);
}

#[test]
fn lines_on_stderr_begin_with_the_name_or_for_the_journal_with_the_level() {
    passes("log_stdio", &["plain-and-journal"]);
}

#[test]
fn stdout_and_stderr_are_the_file_also_after_it_was_reopened() {
    passes("log_stdio", &["redirected"]);
}

#[test]
fn stdout_and_stderr_are_the_file_also_after_it_was_rotated() {
    passes("log_stdio", &["redirected-and-rotated"]);
}

#[test]
fn stdout_and_stderr_stay_the_file_when_the_program_becomes_a_daemon() {
    passes("log_stdio", &["redirected-daemon"]);
}

#[test]
fn stdout_and_stderr_are_the_file_when_the_daemon_opens_it() {
    passes("log_stdio", &["daemon-redirected"]);
}
