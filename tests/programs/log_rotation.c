/*
 * Rotation by one process: when, to which names, and what is kept.
 */
#include "log_lines.h"

#include <grp.h>

static const char *name_of(unsigned number)
{
    static char name[32];
    sprintf(name, number > 0 ? LOG ".%u" : LOG, number);
    return name;
}

static size_t size_of(const char *path)
{
    struct stat stat;
    check(lstat(path, &stat) == 0);
    return (size_t)stat.st_size;
}

static void make(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    check(fd != -1 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static int says(const char *path, const char *text)
{
    return strcmp(text_of(path), text) == 0;
}

/* The length of the first line of a file, with its newline. */
static size_t first_length(const char *path)
{
    return strcspn(text_of(path), "\n") + 1;
}

/* Numbers from the oldest file to the newest are `from` to `to`, none is missing. */
static void check_in_order(unsigned oldest, unsigned from, unsigned to)
{
    char text[256];
    for (unsigned file = oldest + 1; file-- > 0;) {
        struct line line;
        for (char *rest = text_of(name_of(file)); next_line(&rest, &line); from++)
            if (strcmp(line.message, numbered(0, from, text)) != 0)
                dprintf(2, "%s: not number %u: \"%s\"\n", name_of(file), from, line.message), _exit(1);
    }
    check(from == to);
}

static void by_size(void)
{
    const size_t limit = 3000;
    const unsigned numbers = 500;
    open_log(.file = LOG, .file_limit = limit, .file_count = 1000);
    for (unsigned number = 0; number < numbers; number++)
        log_numbered(0, number);
    unsigned last = 0;
    while (exists(name_of(last + 1)))
        last++;
    check(last > 10);
    check_in_order(last, 0, numbers);
    for (unsigned file = 0; file <= last; file++)
        check(size_of(name_of(file)) <= limit && size_of(name_of(file)) > 0);
    /* Not before it must be. */
    for (unsigned file = 1; file <= last; file++) {
        size_t size = size_of(name_of(file));
        check(size + first_length(name_of(file - 1)) > limit);
    }
    check(state_now().reopen_errno == 0 && state_now().file_lost == 0);
}

/* A line that just fits, and one that is longer than a whole file. */
static void exact_size(void)
{
    open_log(.file = LOG);
    rsd_log(LOG_INFO, "12345");
    size_t length = size_of(LOG);
    open_log(.file = LOG, .file_limit = 2 * length);
    rsd_log(LOG_INFO, "12345");
    check(size_of(LOG) == 2 * length && !exists(LOG ".1"));
    rsd_log(LOG_INFO, "1");
    check(size_of(LOG ".1") == 2 * length && size_of(LOG) == length - 4);
    rsd_log(LOG_INFO, "%0200d", 1);
    check(size_of(LOG ".1") == length - 4 && size_of(LOG) == length - 5 + 200);
    rsd_log(LOG_INFO, "%0200d", 2);
    check(size_of(LOG ".1") == length - 5 + 200 && size_of(LOG) == length - 5 + 200);
    rsd_log(LOG_INFO, "x");
    for (unsigned file = 0; file < 5; file++)
        check(size_of(name_of(file)) > 0);
    check(!exists(LOG ".5"));
}

static void counts(void)
{
    for (unsigned count = 0; count <= 8; count++) {
        unsigned kept = count > 0 ? count : 5, number = 0;
        open_log(.file = LOG, .file_limit = 1000, .file_count = count);
        for (; number < 200; number++)
            log_numbered(0, number);
        check(exists(name_of(kept)) && !exists(name_of(kept + 1)));
        unsigned writer, first;
        struct line line;
        char *rest = text_of(name_of(kept));
        check(next_line(&rest, &line) && sscanf(line.message, "%u:%u:", &writer, &first) == 2);
        check_in_order(kept, first, number);
        for (unsigned file = 0; file <= kept; file++)
            check(unlink(name_of(file)) == 0);
    }
    /* Fewer than there were. */
    open_log(.file = LOG, .file_limit = 500, .file_count = 7);
    for (unsigned number = 0; number < 100; number++)
        log_numbered(0, number);
    check(exists(LOG ".7"));
    open_log(.file = LOG, .file_limit = 500, .file_count = 2);
    for (unsigned number = 0; number < 100; number++)
        log_numbered(0, number);
    check(exists(LOG ".2") && !exists(LOG ".3"));
}

static void rotate_once(void)
{
    open_log(.file = LOG, .file_limit = 200, .file_count = 5);
    rsd_log(LOG_INFO, "%0120d", 7);
    rsd_log(LOG_INFO, "%0120d", 8);
}

/* What an interrupted rotation leaves: names are missing, FILE or others. */
static void gaps(void)
{
    make(LOG, "0\n");
    make(LOG ".1", "1\n");
    make(LOG ".3", "3\n");
    rotate_once();
    check(says(LOG ".2", "1\n") && says(LOG ".3", "3\n") && !exists(LOG ".4"));
    check(strncmp(text_of(LOG ".1"), "0\n", 2) == 0);

    for (unsigned file = 0; file <= 5; file++)
        unlink(name_of(file));
    make(LOG ".1", "1\n");
    make(LOG ".2", "2\n");
    make(LOG ".5", "5\n");
    rotate_once();
    check(says(LOG ".2", "1\n") && says(LOG ".3", "2\n") && says(LOG ".5", "5\n"));
    check(atoi(last_line(LOG ".1").message) == 7 && atoi(last_line(LOG).message) == 8);
    check(state_now().reopen_errno == 0);
}

/* Of the others nothing is touched. */
static void other_names(void)
{
    static const char *const others[] = { LOG ".gz", LOG ".1.gz", LOG ".01", LOG "x", LOG ".x", LOG "1",
                                          LOG ".-1", "." LOG ".1" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        make(others[i], others[i]);
    for (int i = 0; i < 10; i++)
        rotate_once();
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        check(says(others[i], others[i]));
}

static void log_until(unsigned *number, const char *path)
{
    for (long long start = now_us(); !exists(path); usleep(20000)) {
        check(now_us() - start < LONG_MS * 1000LL);
        log_numbered(0, (*number)++);
    }
}

static void by_age(void)
{
    struct timespec begun, now;
    unsigned number = 0;
    clock_gettime(CLOCK_REALTIME, &begun);
    open_log(.file = LOG, .file_age_s = 2, .file_count = 2);
    log_numbered(0, number++);
    log_until(&number, LOG ".1");
    clock_gettime(CLOCK_REALTIME, &now);
    check(now.tv_sec - begun.tv_sec >= 2);
    check_in_order(1, 0, number);

    /* What is empty is not rotated, however old. */
    check(rename(LOG, "kept") == 0 && rename(LOG ".1", "kept.1") == 0 && rsd_reopen_log() == 0);
    usleep(2500000);
    log_numbered(1, 0);
    check(!exists(LOG ".1") && exists(LOG));

    /* It stays as old as it is when another process opens it. */
    usleep(2500000);
    open_log(.file = LOG, .file_age_s = 2, .file_count = 2);
    log_numbered(1, 1);
    check(exists(LOG ".1") && first_length(LOG ".1") == size_of(LOG ".1"));
}

/* A restart is no reason to rotate. */
static void by_size_after_a_restart(void)
{
    unsigned number = 0;
    for (int round = 0; round < 100; round++) {
        open_log(.file = LOG, .file_limit = 2000, .file_count = 100, .file_age_s = 1000000);
        log_numbered(0, number++);
    }
    unsigned last = 0;
    while (exists(name_of(last + 1)))
        last++;
    check_in_order(last, 0, number);
    for (unsigned file = 1; file <= last; file++)
        check(size_of(name_of(file)) + first_length(name_of(file - 1)) > 2000);
}

/* What is small again, since it was truncated, stays. */
static void truncated(void)
{
    unsigned number = 0;
    open_log(.file = LOG, .file_limit = 3000);
    while (size_of(LOG) < 2700)
        log_numbered(0, number++);
    check(truncate(LOG, 0) == 0);
    for (unsigned end = number + 10; number < end; number++)
        log_numbered(0, number);
    check(!exists(LOG ".1") && size_of(LOG) > 500);
    check_in_order(0, number - 10, number);
}

/* Whose file was rotated by another process goes on with the new one, at once: it neither makes the old one longer
 * than the limit nor rotates again. */
static void by_another_process(void)
{
    const size_t limit = 1000;
    for (unsigned round = 0; round < 20; round++) {
        open_log(.file = LOG);
        rsd_log(LOG_INFO, "12345");
        size_t length = size_of(LOG);
        open_log(.file = LOG, .file_limit = limit, .file_count = 5);
        while (size_of(LOG) + length <= limit)
            rsd_log(LOG_INFO, "12345");
        pid_t child = checked_fork();
        if (child == 0) {
            open_log(.file = LOG, .file_limit = limit, .file_count = 5);
            rsd_log(LOG_INFO, "child");
            _exit(0);
        }
        check_ends_well(child);
        check(exists(LOG ".1"));
        rsd_log(LOG_INFO, "12345");
        check(size_of(LOG ".1") <= limit && size_of(LOG) > length && !exists(LOG ".2"));
        check_last(LOG, "12345");
        check(unlink(LOG) == 0 && unlink(LOG ".1") == 0);
    }
}

static void not_allowed(void)
{
    check(mkdir("sub", 0755) == 0 && chdir("sub") == 0);
    if (geteuid() == 0) {
        check(chown(".", 65534, 65534) == 0 && setgroups(0, NULL) == 0);
        check(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
        if (access(".", X_OK) == -1)
            _exit(CANNOT_RUN_HERE);
    }
    open_log(.file = LOG, .file_limit = 1000, .file_count = 3);
    unsigned number = 0;
    log_numbered(0, number++);
    check(chmod(".", 0555) == 0);
    for (; number < 100; number++)
        log_numbered(0, number);
    struct rsd_log_state state = state_now();
    check(state.reopen_errno == EACCES && state.file_lost == 0 && state.file_errno == 0);
    check_in_order(0, 0, number);
    check(chmod(".", 0755) == 0);
    log_until(&number, LOG ".1");
    check_in_order(1, 0, number);
    check(state_now().reopen_errno == 0 && state_now().file_lost == 0);
}

/* Something stands in the way. */
static void name_taken(void)
{
    open_log(.file = LOG, .file_limit = 1000, .file_count = 1);
    check(mkdir(LOG ".1", 0755) == 0);
    unsigned number = 0;
    for (; number < 100; number++)
        log_numbered(0, number);
    check(state_now().file_lost == 0);
    struct tally *tally = new_tally();
    count_lines(tally, LOG);
    count_lines(tally, LOG ".2");
    check_each_once(tally, 0, number);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "by-size", by_size },
        { "exact-size", exact_size },
        { "counts", counts },
        { "gaps", gaps },
        { "other-names", other_names },
        { "by-age", by_age },
        { "by-size-after-a-restart", by_size_after_a_restart },
        { "truncated", truncated },
        { "by-another-process", by_another_process },
        { "not-allowed", not_allowed },
        { "name-taken", name_taken },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
