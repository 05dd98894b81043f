/*
 * log_lines NAME TARGET... logs numbered lines, as it is told on stdin. A target is "syslog", "journal",
 * "stderr", "file=PATH", "signal" (SIGUSR1 reopens), or "libc", which is syslog(3) instead.
 *
 * A command ends with a NUL, and is answered by "SENT LOST ERRNO" on stdout:
 *   log COUNT        so many lines "NAME line NUMBER."
 *   load             such lines, until the next command or the end comes, which is answered instead
 *   say LEVEL TEXT   this one
 *   fields           one with fields for the journal
 *   child COMMAND    what this shell command writes, as LOG_NOTICE
 *   stop             nothing
 */
#include <stdlib.h>
#include <syslog.h>

#include "cases.h"

static const char *name;
static int with_libc;
static long sent;

static void log_number(void)
{
    if (with_libc)
        syslog(LOG_INFO, "%s line %ld.", name, ++sent);
    else
        rsd_log(LOG_INFO, "%s line %ld.", name, ++sent);
}

static void load(void)
{
    struct pollfd commands = { .fd = 0, .events = POLLIN };
    while (poll(&commands, 1, 0) == 0) {
        for (int i = 0; i < 10; i++)
            log_number();
        check(rsd_wait(1) >= 0);
    }
}

static void log_fields(void)
{
    const char *const fields[] = { "OWN_FIELD=value", "TWO_LINES=first\nSYSLOG_IDENTIFIER=second",
                                   "bad_name=1", "_TRUSTED=1", "EMPTY=", "no equals sign" };
    rsd_log_fields(LOG_ERR, "with fields", fields, sizeof fields / sizeof *fields);
    sent++;
}

static void log_child(const char *command)
{
    int pipe = rsd_log_pipe(LOG_NOTICE);
    check(pipe > 2);
    pid_t child = checked_fork();
    if (child == 0) {
        check(dup2(pipe, 1) == 1 && dup2(pipe, 2) == 2);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(pipe);
    check_ends_well(child);
    while (is_readable(rsd_fd()))
        check(rsd_dispatch() >= 0);
}

static void answer(void)
{
    struct rsd_log_state state = { .size = sizeof state };
    check(rsd_get_log_state(&state) == 0);
    dprintf(1, "%ld %u %d\n", sent,
            state.file_lost + state.syslog_lost + state.journal_lost + state.stderr_lost,
            state.file_errno | state.syslog_errno | state.journal_errno | state.stderr_errno);
}

/* Whether there was one. */
static int read_command(char *command, size_t room)
{
    for (size_t length = 0; length < room; length++) {
        ssize_t got = read(0, &command[length], 1);
        if (got == -1 && errno == EINTR)
            length--;
        else if (got != 1)
            return 0;
        else if (command[length] == '\0')
            return 1;
    }
    return 0;
}

int main(int argc, char *argv[])
{
    static char command[65536];
    struct rsd_log_options options = { .size = sizeof options, .facility = LOG_LOCAL3 };
    check(argc > 2);
    options.name = name = argv[1];
    for (int i = 2; i < argc; i++) {
        options.to_syslog |= strcmp(argv[i], "syslog") == 0;
        options.to_journal |= strcmp(argv[i], "journal") == 0;
        options.to_stderr |= strcmp(argv[i], "stderr") == 0;
        with_libc |= strcmp(argv[i], "libc") == 0;
        if (strcmp(argv[i], "signal") == 0)
            options.reopen_signal = SIGUSR1;
        if (strncmp(argv[i], "file=", 5) == 0)
            options.file = argv[i] + 5;
    }
    if (with_libc)
        openlog(name, LOG_PID, LOG_LOCAL3);
    else
        check(rsd_open_log(&options) == 0);

    while (read_command(command, sizeof command)) {
        int level, start;
        if (strcmp(command, "load") == 0) {
            load();
            continue;
        }
        if (strncmp(command, "log ", 4) == 0) {
            for (int count = atoi(command + 4); count > 0; count--)
                log_number();
        } else if (sscanf(command, "say %d %n", &level, &start) == 1) {
            rsd_log_string(level, command + start);
            sent++;
        } else if (strcmp(command, "fields") == 0) {
            log_fields();
        } else if (strncmp(command, "child ", 6) == 0) {
            log_child(command + 6);
        } else {
            check(strcmp(command, "stop") == 0);
        }
        answer();
    }
    return 0;
}
