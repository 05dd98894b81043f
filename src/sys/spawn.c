/*
 * fork and execve with the caller's memory lent to the child until it executes (vfork), so that it does
 * not matter how large the caller is. In C, because a compiler must know that vfork returns twice.
 *
 * posix_spawn(3) cannot close what it does not know on every C library, and cannot tell the errno
 * of execve where vfork copies memory like fork (valgrind and user-mode emulators do that).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

/* Also in process.rs. */
struct rsd_spawn {
    char *const *argv;
    char *const *environment;
    const char *path;  /* the folders to search, as in PATH */
    int stdio[3];      /* what become 0, 1 and 2; all above that */
    int (*prepare)(void *); /* the last before it executes: 0 or an errno; or NULL */
    void *argument;
    int report;        /* where the errno goes, if memory is not lent */
    int is_lent;       /* memory is lent, and failed is true */
    int failed;        /* the errno of what the child could not do, or 0 */
};

/* Where the kernel cannot, as many as are likely: a limit may be a thousand million. */
static void close_at_exec(int first)
{
    struct rlimit limit;
    rlim_t last = 1 << 16;

    if (syscall(SYS_close_range, (unsigned)first, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < last)
        last = limit.rlim_cur;
    for (int fd = first; fd < (int)last; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* 0 or an errno. */
/* But for those that stay ignored, the bit of whose number less one is set. */
static int reset_signals(uint64_t ignored)
{
    /* The action, no flags, an empty mask: as the kernel has it, which also takes the two signals that the
       C library keeps for itself, and which are inherited ignored from posix_spawn(3). */
    void (*action[8])(int) = { SIG_DFL };

    for (int signo = 1; signo <= SIGRTMAX; signo++) {
        action[0] = ignored >> (signo - 1) & 1 ? SIG_IGN : SIG_DFL;
        if (signo != SIGKILL && signo != SIGSTOP
            && syscall(SYS_rt_sigaction, signo, action, NULL, _NSIG / 8) == -1)
            return errno;
    }
    return 0;
}

static int unblock_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL) == -1 ? errno : 0;
}

/* As execvp(3), but what is no program is not given to /bin/sh. Returns only with an errno. */
static int execute(const struct rsd_spawn *spawn)
{
    const char *name = spawn->argv[0], *folder = spawn->path;
    size_t length = strnlen(name, NAME_MAX + 1);
    char place[PATH_MAX];
    int why = ENOENT;

    if (strchr(name, '/') != NULL) {
        execve(name, spawn->argv, spawn->environment);
        return errno;
    }
    if (length == 0)
        return ENOENT;
    if (length > NAME_MAX)
        return ENAMETOOLONG;
    for (;; folder++) {
        size_t end = strcspn(folder, ":");
        /* An empty folder is the working directory. */
        size_t slash = end == 0 ? 0 : end + 1;
        if (slash + length < sizeof place) {
            memcpy(place, folder, end);
            place[end] = '/';
            memcpy(place + slash, name, length + 1);
            execve(place, spawn->argv, spawn->environment);
            if (errno == EACCES)
                why = EACCES; /* unless there is another one */
            else if (errno != ENOENT && errno != ENOTDIR && errno != ESTALE && errno != ENODEV
                     && errno != ETIMEDOUT)
                return errno;
        }
        folder += end;
        if (*folder == '\0')
            return why;
    }
}

static int become(const struct rsd_spawn *spawn)
{
    int failed;

    if (setpgid(0, 0) == -1)
        return errno;
    /* All, before any is unblocked: no handler of the caller's may run on its memory. */
    if ((failed = reset_signals(0)) != 0)
        return failed;
    for (int fd = 0; fd < 3; fd++)
        if (dup2(spawn->stdio[fd], fd) == -1)
            return errno;
    close_at_exec(3);
    if ((failed = unblock_signals()) != 0)
        return failed;
    failed = spawn->prepare == NULL ? 0 : spawn->prepare(spawn->argument);
    return failed != 0 ? failed : execute(spawn);
}

/*
 * Executes a program with these descriptors on the numbers from 3 on, and no others but stdio. All signals must be
 * blocked. Returns only with an errno.
 */
int rsd_execute(const char *path, char *const *argv, char *const *environment, int *fds, int count, uint64_t ignored)
{
    int failed = reset_signals(ignored);

    if (failed != 0)
        return failed;
    /* First out of the way of each other. */
    for (int i = 0; i < count; i++)
        if ((fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3 + count)) == -1)
            return errno;
    for (int i = 0; i < count; i++)
        if (dup2(fds[i], 3 + i) == -1)
            return errno;
    close_at_exec(3 + count);
    if ((failed = unblock_signals()) != 0)
        return failed;
    execve(path, argv, environment);
    return errno;
}

/*
 * Returns the pid, or -1 and errno if there is no child. All signals must be blocked. A child that
 * could not execute has ended with its errno in spawn->failed, or in spawn->report.
 */
pid_t rsd_spawn_child(volatile struct rsd_spawn *spawn)
{
    pid_t child = vfork();

    if (child == 0) {
        spawn->is_lent = 1;
        int failed = become((const struct rsd_spawn *)spawn);
        spawn->failed = failed;
        if (write(spawn->report, &failed, sizeof failed) == -1)
            _exit(126);
        _exit(127);
    }
    return child;
}
