/*
 * What it costs to run a command and wait for its end (make bench-loop).
 *
 * All ways run /bin/true from this one process and take turns, in another order each round: first
 * as it is, then with a heap of 1 GiB, all of it used.
 *
 *   posix_spawn       posix_spawn(3) and waitpid(2), and nothing else
 *   the same again    as far as its ratio is from 1.00, so far is any other ratio noise
 *   spawn, pipes      posix_spawn(3) doing what rsd_run() does for the command: stdin from
 *                     /dev/null, two pipes read to their end, clean signals, a process group, no
 *                     other descriptor
 *   ratio, to pipes   of the medians, to the first of these and to the last
 *   goal              what the ratio to posix_spawn is to be at most, only shown
 */
#include "measure.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <rsdaemon.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS_MAX 600
#define HEAP_MEBIBYTES 1024
#define GOAL 1.2

extern char **environ;

static char command[] = "/bin/true";
static char *const command_argv[] = { command, NULL };

static void finish(const char *way, pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        errx(1, "%s has failed", way);
}

static void by_spawn(void)
{
    pid_t pid;
    if ((errno = posix_spawn(&pid, command, NULL, NULL, command_argv, environ)) != 0)
        err(1, "cannot spawn");
    finish("posix_spawn", pid);
}

static void make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) == -1)
        err(1, "cannot make a pipe");
}

/* Keeps nothing, since /bin/true writes nothing. */
static void read_to_the_end(const int fds[2])
{
    struct pollfd both[] = { { .fd = fds[0], .events = POLLIN },
                             { .fd = fds[1], .events = POLLIN } };
    char text[4096];
    for (int open = 2; open > 0;) {
        if (poll(both, 2, -1) == -1)
            err(1, "cannot poll");
        for (int i = 0; i < 2; i++) {
            if (both[i].revents == 0 || read(both[i].fd, text, sizeof text) > 0)
                continue;
            both[i].fd = -1; /* which poll passes over */
            open--;
        }
    }
}

static void by_spawn_with_pipes(void)
{
    int out[2], error_out[2];
    make_pipe(out);
    make_pipe(error_out);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, error_out[1], 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_t attributes;
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETSIGMASK);
    pid_t pid;
    if ((errno = posix_spawn(&pid, command, &actions, &attributes, command_argv, environ)) != 0)
        err(1, "cannot spawn");
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(error_out[1]);

    read_to_the_end((const int[]){ out[0], error_out[0] });
    close(out[0]);
    close(error_out[0]);
    finish("posix_spawn with pipes", pid);
}

static void by_fork(void)
{
    pid_t pid = fork();
    if (pid == -1)
        err(1, "cannot fork");
    if (pid == 0) {
        execve(command, command_argv, environ);
        _exit(127);
    }
    finish("fork", pid);
}

static void by_system(void)
{
    if (system(command) != 0)
        errx(1, "system has failed");
}

static void by_rsdaemon(void)
{
    struct rsd_result *result;
    if (rsd_run(command_argv, NULL, &result) != 0)
        errx(1, "rsd_run has failed: %s", rsd_last_error());
    rsd_free_result(result);
}

enum { SPAWN, AGAIN, PIPES, FORK, SYSTEM, RSDAEMON, WAYS };

static struct way {
    const char *name;
    void (*run)(void);
    double times[ROUNDS_MAX];
} ways[WAYS] = {
    [SPAWN] = { .name = "posix_spawn", .run = by_spawn },
    [AGAIN] = { .name = "the same again", .run = by_spawn },
    [PIPES] = { .name = "spawn, pipes", .run = by_spawn_with_pipes },
    [FORK] = { .name = "fork, exec", .run = by_fork },
    [SYSTEM] = { .name = "system", .run = by_system },
    [RSDAEMON] = { .name = "rsd_run", .run = by_rsdaemon },
};

static void measure(const char *title, int rounds)
{
    printf("\nA command run to its end, %s: %d runs each\n", title, rounds);
    fflush(stdout);
    for (int round = -2; round < rounds; round++) { /* those below 0 warm up */
        int order[WAYS];
        shuffle(order, WAYS);
        for (int turn = 0; turn < WAYS; turn++) {
            struct way *one = &ways[order[turn]];
            int64_t begin = now_ns();
            one->run();
            one->times[round < 0 ? 0 : round] = (double)(now_ns() - begin) / 1e3;
        }
    }

    printf("  %-17s%11s%9s%9s%10s%6s\n", "", "median us", "p99 us", "ratio", "to pipes", "goal");
    for (int i = 0; i < WAYS; i++) {
        double middle = median(ways[i].times, rounds);
        printf("  %-17s%11.0f%9.0f%9.2f%10.2f", ways[i].name, middle,
               quantile(ways[i].times, rounds, 0.99), middle / median(ways[SPAWN].times, rounds),
               middle / median(ways[PIPES].times, rounds));
        if (i == RSDAEMON)
            printf("%6.2f", GOAL);
        puts("");
    }
}

int main(void)
{
    measure("a small process", ROUNDS_MAX);
    if (!has_memory(HEAP_MEBIBYTES + HEAP_MEBIBYTES / 4)) {
        printf("SKIPPED a heap of %d MiB: there is not enough free memory\n", HEAP_MEBIBYTES);
        return 0;
    }
    size_t size = (size_t)HEAP_MEBIBYTES << 20;
    volatile char *heap = malloc(size);
    if (heap == NULL)
        err(1, "cannot get %d MiB", HEAP_MEBIBYTES);
    for (size_t i = 0; i < size; i += 4096)
        heap[i] = 1;
    measure("a heap of 1 GiB", 150);
    return 0;
}
