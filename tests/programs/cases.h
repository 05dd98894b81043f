/*
 * For programs of many cases: "PROGRAM CASE" runs one and ends with 0 when all that it checks
 * holds, with 77 when it cannot be run here. With OLD_KERNEL in the environment there is no
 * pidfd_open(2), as before Linux 5.3 (and in valgrind before 3.21).
 */
#ifndef CASES_H
#define CASES_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <rsdaemon.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CANNOT_RUN_HERE 77

/* Long enough for any wait that is ended by an event: if this is reached, the event was lost. */
#define LONG_MS 15000

#define check(condition) \
    do { \
        if (!(condition)) \
            fail_check(__FILE__, __LINE__, #condition); \
    } while (0)

/* -1, this errno, and a sentence about it. */
#define check_refused(call, error) \
    check((errno = 0, (call) == -1) && errno == (error) && rsd_last_error()[0] != '\0')

struct one_case {
    const char *name;
    void (*run)(void);
};

/* Also in forked children, which must not run what their parent has for its end. */
static inline void fail_check(const char *file, int line, const char *condition)
{
    int error = errno;
    dprintf(2, "%s:%d: not so: %s (errno %d, \"%s\")\n", file, line, condition, error,
            rsd_last_error());
    _exit(1);
}

/* Puts a filter of system calls before this process and its children. */
static inline void filter(struct sock_filter *code, unsigned short length)
{
    struct sock_fprog program = { length, code };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1
        || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1)
        _exit(CANNOT_RUN_HERE);
}

static inline void refuse_pidfd(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    filter(code, sizeof code / sizeof *code);
}

static inline int has_pidfd(void)
{
    return syscall(SYS_pidfd_open, -1, 0) == -1 && errno != ENOSYS;
}

static inline void need_pidfd(void)
{
    if (!has_pidfd())
        _exit(CANNOT_RUN_HERE);
}

static inline int run_case(const struct one_case *cases, int argc, char *argv[])
{
    if (getenv("OLD_KERNEL") != NULL)
        refuse_pidfd();
    for (; argc > 1 && cases->name != NULL; cases++) {
        if (strcmp(cases->name, argv[1]) == 0) {
            cases->run();
            return 0;
        }
    }
    dprintf(2, "%s: no such case\n", argv[0]);
    return 2;
}

static inline long long now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static inline int is_readable_within(int fd, int ms)
{
    struct pollfd one = { .fd = fd, .events = POLLIN };
    return poll(&one, 1, ms) == 1 && one.revents == POLLIN;
}

static inline int is_readable(int fd)
{
    return is_readable_within(fd, 0);
}

static inline pid_t checked_fork(void)
{
    pid_t pid = fork();
    check(pid != -1);
    return pid;
}

/* Waits for a child of the case's own and demands status 0. */
static inline void check_ends_well(pid_t child)
{
    int status;
    pid_t ended;
    do
        ended = waitpid(child, &status, 0);
    while (ended == -1 && errno == EINTR);
    check(ended == child);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static inline void tell(int fd)
{
    check(write(fd, "x", 1) == 1);
}

static inline void await(int fd)
{
    char byte;
    ssize_t got;
    do
        got = read(fd, &byte, 1);
    while (got == -1 && errno == EINTR);
    check(got == 1);
}

/* From here on no descriptor can be opened, until the limit is set back. Not 0: poll(2) minds. */
static inline struct rlimit forbid_descriptors(void)
{
    struct rlimit before;
    check(getrlimit(RLIMIT_NOFILE, &before) == 0);
    struct rlimit none = { .rlim_cur = 3, .rlim_max = before.rlim_max };
    check(setrlimit(RLIMIT_NOFILE, &none) == 0);
    return before;
}

static inline void allow_descriptors(struct rlimit before)
{
    check(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

/* Goes on as process 1 of a new namespace; who called waits for it and ends as it does. */
static inline void become_process_1(void)
{
    if (unshare(CLONE_NEWPID) == -1 && unshare(CLONE_NEWUSER | CLONE_NEWPID) == -1)
        _exit(CANNOT_RUN_HERE);
    pid_t child = checked_fork();
    if (child != 0) {
        int status;
        check(waitpid(child, &status, 0) == child);
        check(WIFEXITED(status));
        _exit(WEXITSTATUS(status));
    }
    check(getpid() == 1);
}

#endif
