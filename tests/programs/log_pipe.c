/*
 * rsd_log_pipe(): what children write is logged line by line.
 */
#include "log_lines.h"

#include <dirent.h>

static int count_descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    check(folder != NULL);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

/* A shell whose stdout is such a pipe, and stderr another one. */
static pid_t start_shell(const char *script, int out, int err)
{
    pid_t child = checked_fork();
    if (child == 0) {
        dup2(out, 1);
        dup2(err, 2);
        execl("/bin/sh", "sh", "-c", script, (char *)NULL);
        _exit(127);
    }
    return child;
}

static int log_pipe(int level)
{
    int pipe = rsd_log_pipe(level);
    check(pipe > 2 && (fcntl(pipe, F_GETFD) & FD_CLOEXEC) != 0);
    return pipe;
}

static void wait_for(const char *piece)
{
    for (long long start = now_us(); !file_contains(LOG, piece);) {
        check(now_us() - start < LONG_MS * 1000LL);
        check(rsd_wait(20) != -1);
    }
}

/* Each pipe has a descriptor more than there were before. */
static void await_end_of_pipes(int before)
{
    for (long long start = now_us(); count_descriptors() != before;) {
        check(now_us() - start < LONG_MS * 1000LL);
        check(rsd_wait(20) != -1);
    }
}

static pid_t shell(const char *script, int level)
{
    int pipe = log_pipe(level);
    pid_t child = start_shell(script, pipe, pipe);
    check(close(pipe) == 0);
    return child;
}

static void lines(void)
{
    int trigger[2];
    open_log(.file = LOG);
    check(pipe(trigger) == 0);
    int out = log_pipe(LOG_NOTICE), err = log_pipe(LOG_ERR), in = dup(0);
    check(dup2(trigger[0], 0) == 0);
    pid_t child = start_shell("echo one; echo two >&2; read x; echo three; cat /dev/null/none", out, err);
    check(dup2(in, 0) == 0 && close(out) == 0 && close(err) == 0);
    wait_for("one");
    wait_for("two");
    check(rename(LOG, "old") == 0 && rsd_reopen_log() == 0);
    check(write(trigger[1], "\n", 1) == 1);
    wait_for("Not a directory");
    wait_for("three");
    check(file_contains("old", "] notice: one\n") && file_contains("old", "] err: two\n"));
    check(file_contains(LOG, "] notice: three\n") && file_contains(LOG, "] err: cat:"));
    check(last_line(LOG).pid == getpid());
    int status;
    check(waitpid(child, &status, 0) == child);
}

static void no_newline_at_the_end(void)
{
    open_log(.file = LOG);
    pid_t child = shell("printf 'a\\n\\nb\\033[1m\\nend'", LOG_INFO);
    wait_for("end");
    check_ends_well(child);
    struct line line;
    char *rest = text_of(LOG);
    static const char *const expected[] = { "a", "", "b\\x1b[1m", "end" };
    for (int i = 0; i < 4; i++)
        check(next_line(&rest, &line) && strcmp(line.message, expected[i]) == 0);
    check(!next_line(&rest, &line));
}

static void killed(void)
{
    open_log(.file = LOG);
    check(rsd_fd() > 2);
    int before = count_descriptors();
    pid_t child = shell("printf 'whole\\nhalf'; kill -9 $$; echo never", LOG_INFO);
    wait_for("half");
    int status;
    check(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    check_last(LOG, "half");
    /* Nothing is left of a pipe that has ended. */
    for (int i = 0; i < 50; i++)
        check_ends_well(shell("echo x", LOG_INFO));
    await_end_of_pipes(before);
    check(is_readable(rsd_fd()) == 0);
}

/* Those of a line that is too long, one behind the other, are that line. */
static void long_lines(void)
{
    open_log(.file = LOG);
    pid_t child = shell("i=0; while [ $i -lt 3000 ]; do printf %05d $i; i=$((i + 1)); done; echo; echo end", LOG_INFO);
    wait_for(": end\n");
    check_ends_well(child);
    static char whole[20000];
    struct line line;
    char *rest = text_of(LOG), *end = whole;
    int count = 0;
    for (; next_line(&rest, &line) && strcmp(line.message, "end") != 0; count++) {
        check(line.length <= RSD_LOG_LINE_MAX && strlen(line.message) > 0);
        end = stpcpy(end, line.message);
    }
    check(count >= 4 && count <= 8 && end - whole == 15000);
    for (int i = 0; i < 3000; i++) {
        char number[16];
        snprintf(number, sizeof number, "%05d", i);
        check(strncmp(whole + 5 * i, number, 5) == 0);
    }
    /* One of just the most, and one more. */
    check(truncate(LOG, 0) == 0);
    for (int length = RSD_LOG_LINE_MAX - 300; length < RSD_LOG_LINE_MAX + 300; length += 50) {
        static char text[RSD_LOG_LINE_MAX * 2];
        int pipe = log_pipe(LOG_INFO), written = sprintf(text, "%0*d\nend %d.\n", length, 0, length);
        check(write(pipe, text, (size_t)written) == written && close(pipe) == 0);
        sprintf(text, "end %d.\n", length);
        wait_for(text);
    }
    check(!file_contains(LOG, "[cut]"));
}

/* More than a pipe holds: whoever writes waits until we read. */
static void much(void)
{
    open_log(.file = LOG, .file_limit = 100000, .file_count = 1000);
    check(rsd_fd() > 2);
    int before = count_descriptors();
    pid_t one = shell("exec seq -f 'one %.0f' 1 20000", LOG_INFO);
    pid_t two = shell("exec seq -f 'two %.0f' 1 20000", LOG_DEBUG);
    await_end_of_pipes(before);
    check_ends_well(one);
    check_ends_well(two);
    int next[2] = { 1, 1 };
    for (int file = 999; file >= 0; file--) {
        char name[16];
        struct line line;
        sprintf(name, file > 0 ? LOG ".%d" : LOG, file);
        for (char *rest = text_of(name); next_line(&rest, &line);) {
            int which = strncmp(line.message, "two ", 4) == 0;
            check(strcmp(line.level, which ? "debug" : "info") == 0);
            check(atoi(line.message + 4) == next[which]++);
        }
    }
    check(next[0] == 20001 && next[1] == 20001);
}

/* What nobody wants to read is taken from the child nevertheless. */
static void not_wanted(void)
{
    open_log(.file = LOG, .level = LOG_WARNING);
    pid_t child = shell("seq 1 50000; echo done >" LOG ".done", LOG_INFO);
    for (long long start = now_us(); !exists(LOG ".done");) {
        check(now_us() - start < LONG_MS * 1000LL);
        check(rsd_wait(20) != -1);
    }
    check_ends_well(child);
    check(*text_of(LOG) == '\0');
}

static void refusals(void)
{
    open_log(.file = LOG);
    check_refused(rsd_log_pipe(-1), EINVAL);
    check_refused(rsd_log_pipe(8), EINVAL);
    check_refused(rsd_log_pipe(LOG_LOCAL0 | LOG_ERR), EINVAL);
    check(rsd_fd() > 2);
    int before = count_descriptors();
    struct rlimit limit = forbid_descriptors();
    check_refused(rsd_log_pipe(LOG_INFO), EMFILE);
    allow_descriptors(limit);
    check(count_descriptors() == before);
    pid_t child = shell("echo hello", LOG_INFO);
    wait_for("hello");
    check_ends_well(child);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "lines", lines },
        { "no-newline-at-the-end", no_newline_at_the_end },
        { "killed", killed },
        { "long-lines", long_lines },
        { "much", much },
        { "not-wanted", not_wanted },
        { "refusals", refusals },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
