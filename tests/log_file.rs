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
