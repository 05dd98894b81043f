/*
 * How long it takes to stop a daemon by its pid file (make bench-stop).
 *
 * A daemon takes as long as the first column says to end after SIGTERM, and notes the moment before it
 * leaves. Each round has a new one. The ways take turns, in another order each round.
 *
 *   rsd_stop_daemon   called in this process
 *   a worker's end    the same, where a process that the daemon left behind has the lock for 5 ms more:
 *                     the moment is the worker's
 *   a late worker's   the same with 200 ms: then inotify(7) has to be given up, which takes long
 *   as a command      this program executed anew, which calls rsd_stop_daemon() and ends
 *   start-stop-daemon --stop --retry, of dpkg: looks again and again, in growing steps
 *
 *   after ms          from the daemon's last moment until the call or the command has returned
 *   whole ms          from the call until then
 *   ratio             of the medians of the whole, to rsd_stop_daemon as a command
 *   goal              what "after" is to be at most, in nearly all cases (p99). It is only shown.
 */
#include "measure.h"

#include <err.h>
#include <errno.h>
#include <rsdaemon.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 50
#define GOAL_MS 2.0

extern char **environ;

/* What the daemon tells. */
static struct shared {
    volatile int is_up;
    volatile int64_t last_moment;
} *shared;

static char pidfile[] = "/tmp/rsdaemon-stop.XXXXXX/d.pid";

static volatile sig_atomic_t shutdown_flag;

static void sleep_ms(int ms)
{
    struct timespec left = { ms / 1000, ms % 1000 * 1000000L };
    while (nanosleep(&left, &left) == -1 && errno == EINTR)
        ;
}

static void leave(void)
{
    shared->last_moment = now_ns();
    _exit(0);
}

static void serve(int end_ms, int worker_ms)
{
    if (install_signal_flags(&shutdown_flag, NULL) == -1 || lock_pidfile(pidfile) == -1)
        errx(1, "%s", rsd_last_error());
    int told[2];
    if (pipe(told) == -1)
        err(1, "cannot make a pipe");
    if (worker_ms > 0 && fork() == 0) {
        char byte;
        close(told[1]);
        if (read(told[0], &byte, 1) != 0) /* ends with the daemon */
            err(1, "cannot wait for the daemon");
        sleep_ms(worker_ms);
        leave();
    }
    close(told[0]);
    shared->is_up = 1;
    while (!shutdown_flag)
        rsd_wait(-1);
    sleep_ms(end_ms);
    if (worker_ms > 0)
        _exit(0);
    leave();
}

static pid_t start(int end_ms, int worker_ms)
{
    shared->is_up = 0;
    pid_t pid = fork();
    if (pid == -1)
        err(1, "cannot fork");
    if (pid == 0)
        serve(end_ms, worker_ms);
    while (!shared->is_up)
        usleep(100);
    usleep(2000); /* it sleeps by now */
    return pid;
}

static void call(pid_t pid)
{
    if (rsd_stop_daemon(pidfile, -1, 0) != pid)
        errx(1, "cannot stop process %d: %s", pid, rsd_last_error());
}

static void run(const char *const *argv)
{
    pid_t pid;
    int status;
    errno = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, environ);
    if (errno != 0)
        err(1, "cannot run %s", argv[0]);
    /* SIGCHLD is ignored: this is how to wait then, and the daemon is no zombie for anybody. */
    if (waitpid(pid, &status, 0) != -1 || errno != ECHILD)
        errx(1, "cannot wait for %s", argv[0]);
}

static void command(pid_t pid)
{
    (void)pid;
    run((const char *const[]){ "/proc/self/exe", "stop", pidfile, NULL });
}

static void start_stop_daemon(pid_t pid)
{
    (void)pid;
    run((const char *const[]){ "/sbin/start-stop-daemon", "--stop", "--quiet", "--retry", "TERM/20",
                               "--pidfile", pidfile, NULL });
}

enum { CALL, WORKER, LATE, COMMAND, OTHER, WAYS };

static struct way {
    const char *name;
    void (*stop)(pid_t pid);
    int worker_ms;
    double after[ROUNDS], whole[ROUNDS];
} ways[WAYS] = {
    [CALL] = { .name = "rsd_stop_daemon", .stop = call },
    [WORKER] = { .name = "a worker's end", .stop = call, .worker_ms = 5 },
    [LATE] = { .name = "a late worker's", .stop = call, .worker_ms = 200 },
    [COMMAND] = { .name = "as a command", .stop = command },
    [OTHER] = { .name = "start-stop-daemon", .stop = start_stop_daemon },
};

static void measure(int end_ms, int way_count)
{
    for (int round = -2; round < ROUNDS; round++) { /* those below 0 warm up */
        int order[WAYS];
        shuffle(order, way_count);
        for (int turn = 0; turn < way_count; turn++) {
            struct way *one = &ways[order[turn]];
            pid_t pid = start(end_ms, one->worker_ms);
            int64_t begin = now_ns();
            one->stop(pid);
            int64_t end = now_ns();
            if (kill(pid, 0) != -1)
                errx(1, "%s has left process %d", one->name, pid);
            one->after[round < 0 ? 0 : round] = (double)(end - shared->last_moment) / 1e6;
            one->whole[round < 0 ? 0 : round] = (double)(end - begin) / 1e6;
        }
    }
    for (int i = 0; i < way_count; i++) {
        double middle = median(ways[i].whole, ROUNDS);
        printf("  %4d  %-18s%9.3f%9.3f%9.3f%10.3f%8.2f", end_ms, ways[i].name,
               median(ways[i].after, ROUNDS), quantile(ways[i].after, ROUNDS, 0.99),
               quantile(ways[i].after, ROUNDS, 1), middle,
               middle / median(ways[COMMAND].whole, ROUNDS));
        if (i < OTHER)
            printf("%6.1f", GOAL_MS);
        puts("");
    }
    fflush(stdout);
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "stop") == 0)
        return rsd_stop_daemon(argv[2], -1, 0) > 0 ? 0 : 1;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        err(1, "cannot share memory");
    char *slash = strrchr(pidfile, '/');
    *slash = '\0';
    if (mkdtemp(pidfile) == NULL)
        err(1, "cannot make %s", pidfile);
    *slash = '/';
    signal(SIGCHLD, SIG_IGN);

    bool has_other = is_built("/sbin", "start-stop-daemon", "dpkg");
    printf("\nA daemon stopped by its pid file: %d times each\n", ROUNDS);
    printf("  %4s  %-18s%9s%9s%9s%10s%8s%6s\n", "ms", "", "after ms", "p99", "max", "whole ms",
           "ratio", "goal");
    measure(0, has_other ? WAYS : OTHER);
    measure(10, has_other ? WAYS : OTHER);
    measure(100, has_other ? WAYS : OTHER);

    unlink(pidfile);
    *slash = '\0';
    rmdir(pidfile);
    return 0;
}
