//! What the log does while its file or its stderr takes no line: it goes on, counts, and tells later.

mod common;

use common::passes;

#[test]
fn lines_that_a_full_disk_did_not_take_are_counted_and_told_of_when_there_is_room() {
    passes("log_disk", &["full"]);
}

#[test]
fn a_full_disk_keeps_no_line_from_stderr() {
    passes("log_disk", &["full-beside-stderr"]);
}

#[test]
fn on_a_read_only_file_system_the_old_file_goes_on() {
    passes("log_disk", &["read-only"]);
}

#[test]
fn without_the_permission_to_make_a_new_file_the_old_one_goes_on() {
    passes("log_disk", &["not-allowed"]);
}

#[test]
fn a_directory_that_was_removed_and_is_there_again_gets_a_new_file() {
    passes("log_disk", &["directory-gone"]);
}

#[test]
fn a_limit_of_file_sizes_does_not_end_the_program() {
    passes("log_disk", &["file-size"]);
}

#[test]
fn nor_does_a_limit_that_is_set_later() {
    passes("log_disk", &["file-size-later"]);
}

#[test]
fn nor_does_one_that_the_file_is_beyond_already() {
    passes("log_disk", &["file-size-passed"]);
}

#[test]
fn a_full_pipe_makes_nobody_wait_and_is_told_what_it_has_missed() {
    passes("log_stderr", &["full-pipe"]);
}

#[test]
fn a_full_pipe_makes_neither_of_two_threads_wait() {
    passes("log_stderr", &["full-pipe-of-threads"]);
}

#[test]
fn nor_when_the_pipe_is_another_users() {
    passes("log_stderr", &["full-pipe-of-another-user"]);
}

#[test]
fn a_full_socket_makes_nobody_wait_and_is_told_what_it_has_missed() {
    passes("log_stderr", &["full-socket"]);
}

#[test]
fn a_terminal_that_was_stopped_makes_nobody_wait() {
    passes("log_stderr", &["full-terminal"]);
}

#[test]
fn nor_does_the_terminal_of_another_user() {
    passes("log_stderr", &["full-terminal-of-another-user"]);
}

#[test]
fn nor_does_one_that_became_stderr_before_the_user_was_another() {
    passes("log_stderr", &["another-full-terminal-of-another-user"]);
}

#[test]
fn a_daemon_does_not_keep_the_terminal_of_whoever_started_it() {
    passes("log_stderr", &["terminal-of-a-daemon"]);
}

#[test]
fn a_pipe_that_nobody_reads_ends_nothing() {
    passes("log_stderr", &["reader-gone"]);
}

#[test]
fn a_closed_stderr_is_a_lost_line_there_alone() {
    passes("log_stderr", &["closed"]);
}
