/*
 * Without a library, or with the C library alone.
 */
#include "logger.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#define NAME "bench"

static int fd;
static FILE *file;
static char ready_line[256];
static size_t ready_length;
static void (*log_it)(int connection);

unsigned lost_lines(void)
{
    return 0;
}

void log_line(int connection)
{
    log_it(connection);
}

static void check(bool is_written)
{
    if (!is_written)
        err(1, "cannot write a line");
}

/* --- the floor: a line that stands ready ------------------------------------------------------- */

static void by_write(int connection)
{
    (void)connection;
    check(write(fd, ready_line, ready_length) == (ssize_t)ready_length);
}

static void by_send(int connection)
{
    (void)connection;
    check(send(fd, ready_line, ready_length, MSG_NOSIGNAL) == (ssize_t)ready_length);
}

/* As long as rsd_log() has it, with 0 for the number. */
static void make_ready(const char *before, const char *after)
{
    ready_length = (size_t)snprintf(ready_line, sizeof ready_line, "%s" NAME "[%d]%s", before,
                                    (int)getpid(), after);
    ready_length += (size_t)snprintf(ready_line + ready_length, sizeof ready_line - ready_length,
                                     "connection 0000000 from " FROM " closed after 10000000 bytes");
}

/* --- the C library ---------------------------------------------------------------------------- */

static void stamp(char *shown, size_t size, time_t second)
{
    struct tm local;
    strftime(shown, size, "%Y-%m-%dT%H:%M:%S", localtime_r(&second, &local));
}

static void by_dprintf(int connection)
{
    char shown[32];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    stamp(shown, sizeof shown, now.tv_sec);
    check(dprintf(fd, "%s.%06ld " NAME "[%d] info: " MESSAGE "\n", shown, now.tv_nsec / 1000,
                  (int)getpid(), connection, FROM, BYTES(connection)) > 0);
}

static void by_fprintf(int connection)
{
    char shown[32];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    stamp(shown, sizeof shown, now.tv_sec);
    flockfile(file); /* or another thread's line may be flushed in part */
    fprintf(file, "%s.%06ld " NAME "[%d] info: " MESSAGE "\n", shown, now.tv_nsec / 1000,
            (int)getpid(), connection, FROM, BYTES(connection));
    check(fflush(file) == 0);
    funlockfile(file);
}

/* As careful C does it: the stamp is made once a second, the pid once, and the line in one go. */
static void by_hand(int connection)
{
    static _Thread_local char shown[32];
    static _Thread_local time_t shown_second;
    char line[4096];
    static int pid;
    if (pid == 0)
        pid = getpid();
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != shown_second) {
        stamp(shown, sizeof shown, now.tv_sec);
        shown_second = now.tv_sec;
    }
    int length = snprintf(line, sizeof line, "%s.%06ld " NAME "[%d] info: " MESSAGE "\n", shown,
                          now.tv_nsec / 1000, pid, connection, FROM, BYTES(connection));
    check(write(fd, line, (size_t)length) == length);
}

static void by_syslog(int connection)
{
    syslog(LOG_INFO, MESSAGE, connection, FROM, BYTES(connection));
}

/* What it takes to ask for the time around each line, and how long the machine makes one wait. */
static void not_at_all(int connection)
{
    (void)connection;
}

static void prepare_file(const char *path)
{
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    file = fopen(path, "ae");
    if (fd == -1 || file == NULL)
        err(1, "cannot open %s", path);
    make_ready("2026-11-25T16:05:59.123456+01:00 ", " info: ");
    ready_line[ready_length++] = '\n';
}

static void prepare_socket(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd == -1 || connect(fd, (struct sockaddr *)&address, sizeof address) == -1)
        err(1, "cannot connect to %s", path);
    make_ready("<30>Nov 25 16:05:59 ", ": ");
}

void prepare_log(const char *kind, const char *path)
{
    static const struct {
        const char *kind;
        void (*log_it)(int);
        void (*prepare)(const char *);
    } kinds[] = {
        { "write", by_write, prepare_file },     { "dprintf", by_dprintf, prepare_file },
        { "fprintf", by_fprintf, prepare_file }, { "by hand", by_hand, prepare_file },
        { "send", by_send, prepare_socket },     { "syslog", by_syslog, NULL },
        { "nothing", not_at_all, NULL },
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kind, kinds[i].kind) != 0)
            continue;
        log_it = kinds[i].log_it;
        if (kinds[i].prepare != NULL)
            kinds[i].prepare(path);
        openlog(NAME, LOG_PID | LOG_NDELAY, LOG_DAEMON);
        return;
    }
    errx(2, "no such kind: %s", kind);
}
