//! The calls of the control socket: what they refuse, and with which errno and sentence.

mod common;

use common::passes;

#[test]
fn what_cannot_be_opened_is_refused_and_leaves_nothing() {
    passes("control_calls", &["arguments-of-open"]);
}

#[test]
fn a_command_has_a_name_of_one_word_that_is_not_the_librarys() {
    passes("control_calls", &["names"]);
}

#[test]
fn a_command_is_replaced_and_removed_and_outlives_the_socket() {
    passes("control_calls", &["replaced"]);
}

#[test]
fn without_a_request_nothing_is_printed() {
    passes("control_calls", &["no-request"]);
}

#[test]
fn what_cannot_be_printed_is_told_to_both_sides() {
    passes("control_calls", &["nonsense-in-a-callback"]);
}

#[test]
fn a_reload_is_begun_before_it_is_ended() {
    passes("control_calls", &["reload-calls"]);
}

#[test]
fn the_status_has_one_line_of_the_programs_own_and_its_state() {
    passes("control_calls", &["status-text"]);
}

#[test]
fn a_program_with_a_control_socket_is_not_daemonized() {
    passes("control_calls", &["daemonize-after"]);
}

#[test]
fn a_path_is_as_long_as_the_kernel_lets_its_last_part_be() {
    passes("control_calls", &["long-names"]);
}
