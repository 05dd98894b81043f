//! Watching and reaping children, as a C program does it.

mod common;

/// As `common::passes`, on this kernel and as on one that has no pidfd_open(2).
#[track_caller]
fn passes(name: &str, arguments: &[&str]) -> String {
    let output = common::passes(name, arguments);
    if common::test_with() != "valgrind" {
        common::passes_in(&[("OLD_KERNEL", "1")], name, arguments);
    }
    output
}

/// How many children. A fork under valgrind takes a hundred times as long.
fn children(plain: u32) -> String {
    // Forks take longer there.
    let part = match common::test_with().as_str() {
        "valgrind" => 50,
        "sanitizers" => 10,
        _ => 1,
    };
    plain.div_ceil(part).to_string()
}

#[test]
fn how_a_child_ended_is_told_as_by_waitpid() {
    passes("children", &["how-it-ended"]);
}

#[test]
fn a_core_is_told_of() {
    passes("children", &["core"]);
}

#[test]
fn a_child_is_told_of_when_it_ends_and_when_it_has_ended_before() {
    passes("children", &["watching"]);
}

#[test]
fn what_cannot_be_watched_is_refused() {
    passes("children", &["arguments"]);
}

#[test]
fn a_child_that_there_is_no_descriptor_for_can_be_watched_later() {
    common::passes("children", &["no-descriptors"]);
}

#[test]
fn a_child_that_is_forgotten_is_for_the_program_to_wait_for() {
    passes("children", &["forgetting"]);
}

#[test]
fn a_thousand_children_that_end_at_once_are_told_of_once_each() {
    passes("children", &["all-at-once", &children(1000)]);
}

#[test]
fn of_ten_thousand_that_have_ended_one_dispatch_does_a_part() {
    println!("{}", passes("children", &["bounded", &children(10_000)]));
}

#[test]
fn a_callback_may_watch_forget_fork_dispatch_and_wait() {
    passes("children", &["callbacks"]);
}

#[test]
fn system_popen_and_waitpid_go_on_working() {
    passes("children", &["own-children"]);
}

#[test]
fn a_sigchld_handler_of_the_program_goes_on_working() {
    passes("children", &["own-handler"]);
}

#[test]
fn a_child_that_somebody_else_has_waited_for_is_told_of_without_a_status() {
    passes("children", &["stolen"]);
}

#[test]
fn an_old_program_that_closes_all_descriptors_is_told_of_children_all_the_same() {
    passes("children", &["all-closed"]);
}

#[test]
fn a_new_child_with_the_pid_of_one_that_was_stolen_is_left_alone() {
    common::passes("children", &["pid-again"]); // what only a pidfd can tell
}

#[test]
fn threads_may_watch_while_others_dispatch() {
    passes("threads", &["children", &children(100)]);
}

#[test]
fn a_callback_runs_in_the_thread_that_dispatches_or_waits() {
    passes("threads", &["callback"]);
    passes("threads", &["watch-meanwhile"]);
}

#[test]
fn a_parents_watches_are_its_own_whatever_its_child_does() {
    passes("forks", &["watches"]);
}

#[test]
fn a_child_that_is_forked_in_a_callback_has_none_of_the_others() {
    passes("forks", &["fork-in-callback"]);
}

#[test]
fn process_1_reaps_orphans_and_tells_of_its_own() {
    passes("reaper", &["as-process-1"]);
}

#[test]
fn so_does_a_subreaper() {
    passes("reaper", &["as-subreaper"]);
}

#[test]
fn reaping_begins_and_ends_when_it_is_said() {
    passes("reaper", &["on-and-off"]);
}

#[test]
fn sigchld_can_be_flagged_and_reap() {
    passes("reaper", &["flagged"]);
}

#[test]
fn a_handler_for_sigchld_of_the_programs_own_is_left_alone() {
    passes("reaper", &["refused"]);
}

#[test]
fn what_the_program_waits_for_before_the_dispatch_is_its_own() {
    passes("reaper", &["own-children"]);
}

#[test]
fn reaping_interrupts_no_call_that_can_go_on() {
    passes("reaper", &["restarts"]);
}

#[test]
fn a_thousand_strangers_at_once_keep_nobody_waiting() {
    passes("reaper", &["storm", &children(1000)]);
}
