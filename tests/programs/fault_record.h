/*
 * For programs that log while their calls fail: all that they have done stands in the file "record", so that it is
 * seen from outside, also when they were killed. What is needed for that is made before main(), where nothing fails.
 */
#ifndef FAULT_RECORD_H
#define FAULT_RECORD_H

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

/* The lines, and who says them. All that is here stands in tests/fault/log.rs, too. */
#define TEXT "line %03d of a program of which each call fails, one at a time"
#define NAME "speaker"

/* Of each target: file, syslog, stderr. */
struct target_record {
    int error; /* the latest reason of a loss */
    int lost;  /* how many lines of this process, as the program knows */
    unsigned char is_lost[32]; /* which, by number */
};

struct record {
    int first;    /* the number of the first line of this process; the next after all before it */
    int begun;    /* that of the latest line */
    int returned; /* that of the latest line that is logged or lost */
    int reopen_error;
    int has_syslog;
    struct target_record file, syslog, stderr_;
};

static volatile struct record *record;
/* What stderr is to the program's caller; the log has another one. */
static int said_to;

/* A /dev for this process alone, in which /dev/log is the socket "syslog" beside the program. */
static inline int has_own_syslog(const char *program)
{
    char path[4096];
    const char *slash = strrchr(program, '/');
    snprintf(path, sizeof path, "%.*s/syslog", (int)(slash - program), program);
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
           && mount("tmpfs", "/dev", "tmpfs", 0, NULL) == 0 && symlink(path, "/dev/log") == 0;
}

__attribute__((constructor)) static void prepare(int argc, char *argv[])
{
    int fd = open("record", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (argc < 1 || fd == -1 || ftruncate(fd, sizeof *record) == -1)
        err(2, "cannot make the record");
    record = mmap(NULL, sizeof *record, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    said_to = fcntl(2, F_DUPFD_CLOEXEC, 100);
    fd = open("stderr", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (record == MAP_FAILED || said_to == -1 || dup2(fd, 2) == -1)
        err(2, "cannot have a stderr of our own");
    close(fd);
    int next = record->begun + 1;
    *record = (struct record){ .first = next, .begun = next - 1, .returned = next - 1 };
    record->has_syslog = has_own_syslog(argv[0]);
}

/* So many are lost by now, and the latest line is one of them if they are more. */
static inline void note_lost(volatile struct target_record *target, int lost, int error)
{
    if (lost > target->lost)
        target->is_lost[record->begun] = 1;
    target->lost = lost;
    if (error != 0)
        target->error = error;
}

/* Ends main(). Unlike all that logs, so that whoever makes that fail hears why. */
static inline int say(const char *program, const char *why)
{
    char line[1024];
    int length = snprintf(line, sizeof line, "%s: %s\n", program, why);
    return pwrite(said_to, line, (size_t)length, 0) == length ? 1 : 2;
}

#endif
