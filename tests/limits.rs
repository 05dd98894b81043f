//! Limits of resources, as a C program sets them.

mod common;

use std::{fs, process::Command};

use common::{Folder, is_root, passes, program, skip, succeed, test_with, text};

/// Their memory, descriptors and files are other than the program's.
fn is_plain() -> bool {
    test_with().is_empty()
}

/// valgrind has a limit of descriptors of its own, which stays.
fn changes_nofile() -> bool {
    test_with() != "valgrind"
}

#[test]
fn each_name_is_the_limit_of_that_name_and_no_other() {
    if is_plain() {
        passes("limits", &["all-names"]);
    }
}

#[test]
fn words_set_soft_and_hard_limits_and_leave_the_others() {
    if changes_nofile() {
        passes("limits", &["words"]);
    }
}

#[test]
fn amounts_have_units_and_may_be_unlimited() {
    passes("limits", &["units"]);
}

#[test]
fn a_bad_word_is_named_and_nothing_is_changed() {
    passes("limits", &["bad-words"]);
}

#[test]
fn no_more_files_are_opened_than_allowed() {
    if changes_nofile() {
        passes("limits", &["files"]);
    }
}

#[test]
fn no_file_becomes_longer_than_allowed() {
    passes("limits", &["length"]);
}

#[test]
fn no_more_memory_is_had_than_allowed() {
    if is_plain() {
        passes("limits", &["memory"]);
    }
}

#[test]
fn no_more_processes_are_made_than_allowed() {
    match is_root() {
        true => drop(passes("limits", &["processes"])),
        false => skip("needs root to become a user without processes"),
    }
}

#[test]
fn a_crash_leaves_no_core() {
    passes("limits", &["core"]);
}

#[test]
fn without_privileges_there_is_no_way_up_and_nothing_is_half_done() {
    match is_root() {
        true if !changes_nofile() => {}
        true => drop(passes("limits", &["no-way-up"])),
        false => skip("needs root to give it up"),
    }
}

#[test]
fn programs_that_are_run_have_the_limits() {
    if changes_nofile() {
        passes("limits", &["children"]);
    }
}

/// Each call fails, or does nothing and says that it worked.
#[test]
fn whatever_fails_all_are_in_force_or_none() {
    if !is_plain() {
        return; // strace would show the tool's calls
    }
    let folder = Folder::new();
    let program = program(&folder, "limits");
    let trace = folder.path("trace");
    let said = |inject: Option<&str>, limits: &str| {
        let mut command = Command::new("strace");
        command.arg("-qq").arg("-o").arg(&trace).args(["-e", inject.unwrap_or("trace=prlimit64")]);
        text(&succeed(command.arg(&program).args(["set", limits])).stdout)
    };
    // With the hard limits as they are, which nobody may be allowed to raise again.
    let hard = |name: &str| {
        let mut prlimit = Command::new("prlimit");
        let output = succeed(prlimit.args([name, "--output", "HARD", "--noheadings", "--raw"]));
        text(&output.stdout).trim().to_owned()
    };
    let limits = format!("fsize=1G:{} nofile=40:{}", hard("--fsize"), hard("--nofile"));
    let in_force = "0 0 fsize 1073741824 nofile 40|\n";
    let before = said(None, "").split_once(" fsize ").unwrap().1.to_owned();
    assert_eq!(said(None, &limits), in_force);
    // The last two are those by which the program looks.
    let calls = fs::read_to_string(&trace).unwrap().lines().count() - 2;
    assert!(calls >= 6, "{calls}");
    let mut refused = 0;
    for tampered in ["error=EPERM", "error=ENOSYS", "retval=0"] {
        for number in 1..=calls {
            let inject = format!("inject=prlimit64:{tampered}:when={number}");
            let said = said(Some(&inject), &limits);
            if said != in_force {
                refused += 1;
                let (result, sentence) = said.split_once('|').unwrap();
                assert!(result.starts_with("-1 "), "{inject}: {said}");
                let now = format!("{}|\n", result.split_once(" fsize ").unwrap().1);
                assert_eq!(now, before, "{inject}: {said}");
                assert!(sentence.contains("limit "), "{inject}: {said}");
            }
        }
    }
    assert!(refused >= 12, "{refused}");
}
