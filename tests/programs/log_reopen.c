/*
 * A log file that is moved, removed, replaced or truncated, or whose descriptor is closed.
 */
#include "log_lines.h"

/* Logs numbered lines until the condition holds, and returns the next number. */
#define LOG_UNTIL(number, condition) \
    for (long long begin_ = now_us(); !(condition); usleep(20000)) { \
        check(now_us() - begin_ < LONG_MS * 1000LL); \
        log_numbered(0, (number)++); \
    }

static void check_all(const char *first, const char *second, unsigned numbers)
{
    struct tally *tally = new_tally();
    check(count_lines(tally, first) > 0 && count_lines(tally, second) > 0);
    check_each_once(tally, 0, numbers);
    check(tally->others == 0);
}

static void moved(void)
{
    unsigned number = 0;
    open_log(.file = LOG);
    log_numbered(0, number++);
    check(rename(LOG, "old") == 0);
    LOG_UNTIL(number, exists(LOG));
    log_numbered(0, number++);
    check_all("old", LOG, number);
    struct rsd_log_state state = state_now();
    check(state.file_lost == 0 && state.file_errno == 0 && state.reopen_errno == 0);
}

static void removed(void)
{
    unsigned number = 0;
    open_log(.file = LOG);
    check(link(LOG, "old") == 0 && unlink(LOG) == 0);
    LOG_UNTIL(number, exists(LOG));
    check_all("old", LOG, number);

    /* Without any other name for it. */
    struct stat before, after;
    check(stat(LOG, &before) == 0);
    int fd = open(LOG, O_RDONLY);
    check(unlink(LOG) == 0);
    LOG_UNTIL(number, exists(LOG));
    check(stat(LOG, &after) == 0 && after.st_ino != before.st_ino);
    check(fstat(fd, &before) == 0 && before.st_nlink == 0);
}

static void replaced(void)
{
    unsigned number = 0;
    struct stat stat;
    open_log(.file = LOG);
    log_numbered(0, number++);
    check(link(LOG, "old") == 0);
    check(close(creat("new", 0600)) == 0 && rename("new", LOG) == 0);
    LOG_UNTIL(number, lstat(LOG, &stat) == 0 && stat.st_size > 0);
    check_all("old", LOG, number);
    check((stat.st_mode & 07777) == 0600);
}

/* By something that is no log: the old one goes on until that is gone. */
static void replaced_by_none(void)
{
    unsigned number = 0;
    open_log(.file = LOG);
    check(rename(LOG, "old") == 0 && symlink("target", LOG) == 0);
    LOG_UNTIL(number, state_now().reopen_errno == ELOOP);
    check_refused(rsd_reopen_log(), ELOOP);
    log_numbered(0, number++);
    check(!exists("target") && state_now().file_lost == 0);
    check(unlink(LOG) == 0);
    LOG_UNTIL(number, exists(LOG));
    check_all("old", LOG, number);
    check(state_now().reopen_errno == 0);
}

static void truncated(void)
{
    open_log(.file = LOG);
    for (unsigned number = 0; number < 1000; number++)
        log_numbered(0, number);
    check(truncate(LOG, 0) == 0);
    for (unsigned number = 0; number < 10; number++)
        log_numbered(1, number);
    struct tally *tally = new_tally();
    check(count_lines(tally, LOG) == 10);
    check_each_once(tally, 1, 10);
}

static void asked(void)
{
    check(rsd_reopen_log() == 0);
    open_log(.file = LOG);
    for (unsigned round = 0; round < 50; round++) {
        char name[16];
        sprintf(name, "old.%u", round);
        log_numbered(0, 2 * round);
        check(rename(LOG, name) == 0);
        log_numbered(0, 2 * round + 1);
        check(rsd_reopen_log() == 0 && exists(LOG));
        struct tally *tally = new_tally();
        check(count_lines(tally, name) == 2 && count_lines(tally, LOG) == 0);
        check(munmap(tally, sizeof *tally) == 0);
    }
    check(rsd_open_log(RSD_LOG_OPTIONS(.to_syslog = 1)) == 0);
    check(rsd_reopen_log() == 0);
}

static volatile sig_atomic_t shutdown_flag, reload_flag;

static void check_reopened_on(int signo, int told)
{
    check(rename(LOG, "old") == 0);
    check(kill(getpid(), signo) == 0);
    check(rsd_wait(told != 0 ? LONG_MS : 100) == told);
    check(exists(LOG));
    rsd_log(LOG_INFO, "after that");
    check_last(LOG, "after that");
    check(truncate(LOG, 0) == 0 && !file_contains("old", "after that"));
    check(unlink("old") == 0);
}

static void on_a_signal(void)
{
    open_log(.file = LOG, .reopen_signal = SIGUSR1);
    for (int i = 0; i < 3; i++)
        check_reopened_on(SIGUSR1, 0);
    /* Flagged before and after. */
    check(rsd_install_signal_flags(&shutdown_flag, &reload_flag) == 0);
    open_log(.file = LOG, .reopen_signal = SIGHUP);
    check_reopened_on(SIGHUP, RSD_SIGNAL_ARRIVED);
    check(reload_flag == 1 && shutdown_flag == 0);
    reload_flag = 0;
    check(rsd_install_signal_flags(&shutdown_flag, &reload_flag) == 0);
    check_reopened_on(SIGHUP, RSD_SIGNAL_ARRIVED);
    check(reload_flag == 1);
    check_refused(rsd_set_signal_options(SIGHUP, RSD_SIGNAL_SECOND_ENDS), EINVAL);
    open_log(.file = LOG, .reopen_signal = SIGRTMIN);
    check(rsd_flag_signal(SIGRTMIN, &reload_flag, 7) == 0);
    check_reopened_on(SIGRTMIN, RSD_SIGNAL_ARRIVED);
    check(reload_flag == 7);

    /* By the loop of the program's own. */
    check(rename(LOG, "old") == 0 && raise(SIGRTMIN) == 0);
    check(is_readable_within(rsd_fd(), LONG_MS));
    check(!exists(LOG) && rsd_dispatch() == RSD_SIGNAL_ARRIVED && exists(LOG));

    /* As a daemon. */
    pid_t child = checked_fork();
    if (child == 0) {
        int folder = open(".", O_PATH);
        check(daemonize(NULL) == 0 && fchdir(folder) == 0);
        check_reopened_on(SIGRTMIN, RSD_SIGNAL_ARRIVED);
        rsd_log(LOG_INFO, "done");
        _exit(0);
    }
    check_ends_well(child);
    await_text(LOG, "done");
}

static void close_all(void)
{
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
}

static void closed(void)
{
    open_log(.file = LOG);
    unsigned number = 0;
    log_numbered(0, number++);
    for (int round = 0; round < 3; round++) {
        close_all();
        log_numbered(0, number++);
        close_all();
        check(rsd_reopen_log() == 0);
        log_numbered(0, number++);
        close_all();
        char name[16];
        sprintf(name, "old.%d", round);
        check(rename(LOG, name) == 0 && rsd_reopen_log() == 0);
    }
    struct tally *tally = new_tally();
    check(count_lines(tally, "old.0") > 0 && count_lines(tally, "old.1") > 0);
    check(count_lines(tally, "old.2") > 0);
    check_each_once(tally, 0, number);
    check(state_now().file_lost == 0);
}

/* The numbers from 3 to `last` belong to a file of the program's then: nothing is written there. */
static void take_numbers(int last)
{
    close_all();
    int file = open("taken", O_RDWR | O_CREAT | O_APPEND, 0600);
    check(file == 3);
    for (int fd = 4; fd <= last; fd++)
        check(dup2(file, fd) == fd);
}

static void closed_and_taken_up_to(int last)
{
    const int file = 3;

    open_log(.file = LOG);
    unsigned number = 0;
    for (int round = 0; round < 20; round++) {
        log_numbered(0, number++);
        take_numbers(last);
        log_numbered(0, number++);
        check(rsd_reopen_log() == 0);
        log_numbered(0, number++);
        struct stat stat, same;
        check(fstat(file, &stat) == 0 && stat.st_size == 0);
        for (int fd = 3; fd <= last; fd++)
            check(fstat(fd, &same) == 0 && same.st_ino == stat.st_ino);
    }
    struct tally *tally = new_tally();
    count_lines(tally, LOG);
    check_each_once(tally, 0, number);
}

static void closed_and_taken(void)
{
    closed_and_taken_up_to(40);
}

static void closed_and_all_taken(void)
{
    closed_and_taken_up_to(1023);
}

/* And the log's own file cannot be opened again: its lines are lost, and are nowhere else. */
static void closed_and_taken_and_refused(void)
{
    struct stat stat;
    open_log(.file = LOG);
    rsd_log(LOG_INFO, "before");
    check(rename(LOG, "old") == 0 && symlink("target", LOG) == 0);
    take_numbers(1023);
    for (int i = 1; i <= 10; i++) {
        rsd_log(LOG_INFO, "lost");
        check(state_now().file_lost == (unsigned)i && state_now().file_errno == ELOOP);
    }
    check(fstat(3, &stat) == 0 && stat.st_size == 0);
    check(unlink(LOG) == 0);
    rsd_log(LOG_INFO, "after");
    check(fstat(3, &stat) == 0 && stat.st_size == 0);
    check_last("old", "before");
    check_last(LOG, "after");
    check(file_contains(LOG, "10 lines were lost here"));
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "moved", moved },
        { "removed", removed },
        { "replaced", replaced },
        { "replaced-by-none", replaced_by_none },
        { "truncated", truncated },
        { "asked", asked },
        { "on-a-signal", on_a_signal },
        { "closed", closed },
        { "closed-and-taken", closed_and_taken },
        { "closed-and-all-taken", closed_and_all_taken },
        { "closed-and-taken-and-refused", closed_and_taken_and_refused },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
