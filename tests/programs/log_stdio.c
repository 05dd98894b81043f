/*
 * The log on stderr, and stdout and stderr in the log.
 */
#include "log_lines.h"

#include <sys/socket.h>

static int screen; /* stderr as the test has it */

/* Where stderr is the log, a complaint goes where the test sees it. */
#define check_aloud(condition) \
    do { \
        if (!(condition)) { \
            dup2(screen, 2); \
            fail_check(__FILE__, __LINE__, #condition); \
        } \
    } while (0)

/* What comes to stderr while this is done. */
#define check_stderr(text, act) \
    do { \
        check(truncate("err", 0) == 0); \
        act; \
        if (strcmp(text_of("err"), (text)) != 0) \
            dprintf(screen, "line %d: stderr has \"%s\"\n", __LINE__, text_of("err")), _exit(1); \
    } while (0)

static void stderr_to_a_file(void)
{
    int fd = open("err", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    screen = dup(2);
    check(dup2(fd, 2) == 2 && close(fd) == 0);
}

static void before_it_is_open(void)
{
    stderr_to_a_file();
    check_stderr("log_stdio: early 1\n", rsd_log(LOG_LOCAL2 | LOG_INFO, "early %d\n", 1));
    check_stderr("log_stdio: a\\nb\n", rsd_log_string(LOG_DEBUG, "a\nb"));
    check_stderr("log_stdio: x\n", rsd_log_fields(LOG_EMERG, "x", NULL, 0));
    check(rsd_set_log_level(LOG_ERR) == LOG_DEBUG);
    check_stderr("", rsd_log(LOG_WARNING, "not wanted"));
    check(rsd_open_log(RSD_LOG_OPTIONS(.file = "no/such")) == -1);
    check_stderr("log_stdio: as before\n", rsd_log(LOG_ERR, "as before"));
    check(!exists(LOG));
    open_log(.file = LOG);
    check_stderr("", rsd_log(LOG_ERR, "to the file"));
}

static void plain_and_journal(void)
{
    stderr_to_a_file();
    struct stat stat;
    check(fstat(2, &stat) == 0);
    unsetenv("JOURNAL_STREAM");
    open_log(.to_stderr = 1);
    check_stderr("tester: text\n", rsd_log(LOG_ERR, "text"));
    char stream[64];
    sprintf(stream, "%ju:%ju", (uintmax_t)stat.st_dev, (uintmax_t)stat.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    open_log(.to_stderr = 1);
    check_stderr("<3>text\n", rsd_log(LOG_ERR, "text"));
    check_stderr("<7>a\\nb\n", rsd_log(LOG_LOCAL1 | LOG_DEBUG, "a\nb"));
    check_stderr("<6>\n", rsd_log(LOG_INFO, "%s", ""));
    /* Of another file, which stderr of a parent was. */
    static const char *const others[] = { "1:2", "", ":", "x", "18446744073709551616:1" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        setenv("JOURNAL_STREAM", others[i], 1);
        open_log(.to_stderr = 1);
        check_stderr("tester: text\n", rsd_log(LOG_ERR, "text"));
    }
    sprintf(stream + strlen(stream), "0");
    setenv("JOURNAL_STREAM", stream, 1);
    open_log(.to_stderr = 1, .file = LOG);
    check_stderr("tester: text\n", rsd_log(LOG_ERR, "text"));
    check_last(LOG, "text");

    static char text[RSD_LOG_LINE_MAX * 2];
    memset(text, 'x', sizeof text - 1);
    check(truncate("err", 0) == 0);
    rsd_log_string(LOG_ERR, text);
    struct stat long_one;
    check(fstat(2, &long_one) == 0 && long_one.st_size <= RSD_LOG_LINE_MAX && long_one.st_size > 3000);
    check(strstr(text_of("err"), "[cut]\n") != NULL);
}

static void say(const char *text)
{
    check(write(1, text, strlen(text)) == (ssize_t)strlen(text));
    check(write(2, text, strlen(text)) == (ssize_t)strlen(text));
}

static int count_in(const char *path, const char *piece)
{
    int count = 0;
    for (const char *rest = text_of(path); (rest = strstr(rest, piece)) != NULL; rest++)
        count++;
    return count;
}

/* stdout and stderr are the log file, wherever that is. */
static void check_both(const char *text)
{
    struct stat file, out, err;
    say(text);
    check_aloud(stat(LOG, &file) == 0 && fstat(1, &out) == 0 && fstat(2, &err) == 0);
    check_aloud(file.st_ino == out.st_ino && file.st_ino == err.st_ino);
    check_aloud(fcntl(1, F_GETFD) == 0 && fcntl(2, F_GETFD) == 0); /* for programs that are executed */
    check_aloud((fcntl(1, F_GETFL) & O_APPEND) != 0);
    check_aloud(count_in(LOG, text) == 2);
}

static void redirected(void)
{
    screen = dup(2);
    open_log(.file = LOG, .redirect_stdio = 1);
    check_both("one\n");
    rsd_log(LOG_INFO, "between");
    check_both("two\n");
    check_aloud(rename(LOG, "old") == 0 && rsd_reopen_log() == 0);
    check_both("three\n");
    check_aloud(count_in("old", "three") == 0 && count_in("old", "between") == 1);

    /* Found to have been moved. */
    check_aloud(rename(LOG, "old") == 0);
    for (long long start = now_us(); !exists(LOG); usleep(20000)) {
        check_aloud(now_us() - start < LONG_MS * 1000LL);
        rsd_log(LOG_INFO, "x");
    }
    check_both("four\n");

    /* And with a signal. */
    open_log(.file = LOG, .redirect_stdio = 1, .reopen_signal = SIGUSR1);
    check_aloud(rename(LOG, "old") == 0 && raise(SIGUSR1) == 0 && rsd_wait(0) == 0);
    check_both("five\n");

    /* Another file. */
    open_log(.file = "other", .redirect_stdio = 1);
    say("six\n");
    check_aloud(count_in("other", "six\n") == 2 && count_in(LOG, "six\n") == 0);
}

static void redirected_and_rotated(void)
{
    screen = dup(2);
    open_log(.file = LOG, .redirect_stdio = 1, .file_limit = 2000, .file_count = 1000);
    for (unsigned number = 0; number < 200; number++) {
        char text[32];
        log_numbered(0, number);
        sprintf(text, "said %u.\n", number);
        check_both(text);
    }
    check_aloud(exists(LOG ".5"));
}

static void as_a_daemon(int (*start)(void))
{
    int folder = open(".", O_PATH);
    pid_t child = checked_fork();
    if (child == 0) {
        screen = dup(2);
        open_log(.file = LOG, .redirect_stdio = 1);
        check_both("before\n");
        check_aloud(start() == 0 && fchdir(folder) == 0);
        check_both("after\n");
        check_aloud(rename(LOG, "old") == 0 && rsd_reopen_log() == 0);
        check_both("at the end\n");
        check_aloud(is_readable(0)); /* /dev/null: at its end */
        rsd_log(LOG_INFO, "done");
        _exit(0);
    }
    check_ends_well(child);
    await_text(LOG, "done");
    check(unlink(LOG) == 0 && unlink("old") == 0);
}

static int simply(void)
{
    return daemonize(NULL);
}

static int with_options(void)
{
    return rsd_daemonize(RSD_OPTIONS(.name = "tester")) == -1 ? -1 : rsd_ready();
}

static int until_ready(void)
{
    if (rsd_daemonize(RSD_OPTIONS(.stdio = RSD_STDIO_KEEP_UNTIL_READY, .directory = ".")) == -1)
        return -1;
    check_both("not ready\n");
    return rsd_ready();
}

static void redirected_daemon(void)
{
    as_a_daemon(simply);
    as_a_daemon(with_options);
    as_a_daemon(until_ready);
}

/* Opened by the daemon. */
static void daemon_redirected(void)
{
    int folder = open(".", O_PATH);
    pid_t child = checked_fork();
    if (child == 0) {
        screen = dup(2);
        check(daemonize(NULL) == 0 && fchdir(folder) == 0);
        open_log(.file = LOG, .redirect_stdio = 1);
        check_both("after\n");
        rsd_log(LOG_INFO, "done");
        _exit(0);
    }
    check_ends_well(child);
    await_text(LOG, "done");
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "before-it-is-open", before_it_is_open },
        { "plain-and-journal", plain_and_journal },
        { "redirected", redirected },
        { "redirected-and-rotated", redirected_and_rotated },
        { "redirected-daemon", redirected_daemon },
        { "daemon-redirected", daemon_redirected },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
