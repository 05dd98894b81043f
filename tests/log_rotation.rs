//! Rotation: FILE becomes FILE.1 and so on, and no line is lost on the way.

mod common;

use common::{passes, passes_in, test_with};

#[track_caller]
fn passes_together(case: &str) {
    let slow: &[_] = if test_with().is_empty() { &[] } else { &[("SLOW", "1")] };
    passes_in(slow, "log_rotators", &[case]);
}

#[test]
fn no_file_becomes_longer_than_the_limit_and_none_is_rotated_before_it_must_be() {
    passes("log_rotation", &["by-size"]);
}

#[test]
fn a_line_that_just_fits_stays_and_one_that_is_longer_than_the_limit_has_a_file_of_its_own() {
    passes("log_rotation", &["exact-size"]);
}

#[test]
fn so_many_files_are_kept_and_no_more() {
    passes("log_rotation", &["counts"]);
}

#[test]
fn names_that_an_interrupted_rotation_has_left_out_are_filled() {
    passes("log_rotation", &["gaps"]);
}

#[test]
fn files_of_other_names_are_left_alone() {
    passes("log_rotation", &["other-names"]);
}

#[test]
fn a_file_is_rotated_when_it_is_old_enough_and_not_empty() {
    passes("log_rotation", &["by-age"]);
}

#[test]
fn a_program_that_is_restarted_goes_on_with_the_file() {
    passes("log_rotation", &["by-size-after-a-restart"]);
}

#[test]
fn a_file_that_was_truncated_is_not_rotated_before_it_must_be() {
    passes("log_rotation", &["truncated"]);
}

#[test]
fn a_process_whose_file_another_has_rotated_goes_on_with_the_new_one() {
    passes("log_rotation", &["by-another-process"]);
}

#[test]
fn where_no_file_can_be_made_the_old_one_goes_on_beyond_its_limit() {
    passes("log_rotation", &["not-allowed"]);
}

#[test]
fn a_name_that_something_else_has_costs_no_line() {
    passes("log_rotation", &["name-taken"]);
}

#[test]
fn no_line_is_lost_while_many_processes_write_and_rotate() {
    passes_together("crowd");
}

#[test]
fn no_line_is_lost_while_many_threads_write_and_rotate() {
    passes_together("threads");
}

#[test]
fn a_file_is_kept_as_long_as_a_process_writes_to_it_and_no_longer() {
    passes_together("idle-writers");
}

#[test]
fn no_line_that_was_written_is_lost_when_writers_are_killed() {
    passes_together("killed");
}

#[test]
fn a_writer_that_is_stopped_stops_no_other_and_costs_no_line() {
    passes_together("stopped");
}
