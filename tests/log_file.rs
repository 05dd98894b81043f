//! The file of the log: which file, and what becomes of it while it is written to.

mod common;

use common::passes;

#[test]
fn what_cannot_be_a_log_is_refused_and_the_log_stays_what_it_was() {
    passes("log_options", &["refusals"]);
}

#[test]
fn options_of_older_and_newer_programs_are_understood_or_refused() {
    passes("log_options", &["sizes"]);
}

#[test]
fn a_new_file_has_its_mode_whatever_the_umask_and_one_that_was_there_keeps_its_own() {
    passes("log_options", &["modes"]);
}

#[test]
fn a_new_file_has_its_owner() {
    passes("log_options", &["owners"]);
}

#[test]
fn a_relative_path_is_that_of_the_directory_in_which_the_log_was_opened() {
    passes("log_options", &["relative-path"]);
}

#[test]
fn a_file_that_was_moved_away_is_made_anew_and_no_line_is_lost() {
    passes("log_reopen", &["moved"]);
}

#[test]
fn a_file_that_was_removed_is_made_anew() {
    passes("log_reopen", &["removed"]);
}

#[test]
fn a_file_that_was_put_in_the_place_of_the_log_is_the_log() {
    passes("log_reopen", &["replaced"]);
}

#[test]
fn while_something_that_cannot_be_a_log_stands_in_its_place_the_old_one_goes_on() {
    passes("log_reopen", &["replaced-by-none"]);
}

#[test]
fn a_truncated_file_is_written_on_from_its_new_end() {
    passes("log_reopen", &["truncated"]);
}

#[test]
fn the_file_is_reopened_when_the_program_asks() {
    passes("log_reopen", &["asked"]);
}

#[test]
fn the_file_is_reopened_on_a_signal_that_may_be_flagged_too() {
    passes("log_reopen", &["on-a-signal"]);
}

#[test]
fn a_program_that_closes_all_descriptors_goes_on_logging() {
    passes("log_reopen", &["closed"]);
}

#[test]
fn what_the_program_opens_instead_is_not_written_to() {
    passes("log_reopen", &["closed-and-taken"]);
}

#[test]
fn nor_is_what_the_program_opens_at_the_very_number_that_the_log_had() {
    passes("log_reopen", &["closed-and-all-taken"]);
}

#[test]
fn nor_when_the_file_of_the_log_cannot_be_opened_again() {
    passes("log_reopen", &["closed-and-taken-and-refused"]);
}
