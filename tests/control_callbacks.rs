//! What callbacks of the control socket may do, and what forked children, threads and lost descriptors do to it.

mod common;

use common::passes;

#[test]
fn a_callback_may_close_the_socket() {
    passes("control_callbacks", &["closed-in-a-callback"]);
}

#[test]
fn a_callback_may_open_it_again_and_its_answer_goes_to_nobody_else() {
    passes("control_callbacks", &["opened-again-in-a-callback"]);
}

#[test]
fn a_callback_may_remove_its_command() {
    passes("control_callbacks", &["removed-by-itself"]);
}

#[test]
fn callbacks_serve_clients_within_callbacks() {
    passes("control_callbacks", &["nested"]);
}

#[test]
fn a_callback_may_run_a_command() {
    passes("control_callbacks", &["commands-in-a-callback"]);
}

#[test]
fn a_callback_may_fork_and_both_go_on() {
    passes("control_callbacks", &["forked-in-a-callback"]);
}

#[test]
fn a_forked_child_serves_and_removes_nothing_of_its_parents() {
    passes("control_callbacks", &["forked-child"]);
}

#[test]
fn copies_in_a_child_keep_no_client_of_a_closed_socket() {
    passes("control_callbacks", &["copies-in-a-child"]);
}

#[test]
fn several_threads_serve_and_are_served() {
    passes("control_callbacks", &["threads"]);
}

#[test]
fn what_was_closed_by_the_program_is_not_touched_and_can_be_opened_anew() {
    passes("control_callbacks", &["closed-descriptors"]);
}

#[test]
fn nothing_leaks_whatever_is_opened_and_refused() {
    passes("control_callbacks", &["nothing-leaks"]);
}
