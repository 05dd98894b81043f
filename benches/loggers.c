#include "loggers.h"

#include "share.h"

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* A logger that has not done its part for this long is broken, and the run ends. */
#define PATIENCE_S 60

#define FIRST_CONNECTION 1000000

static void start(const char *programs, struct logger *logger)
{
    int memory;
    logger->shared = make_shared(sizeof *logger->shared, &memory);
    if (sem_init(&logger->shared->go, 1, 0) == -1 || sem_init(&logger->shared->done, 1, 0) == -1)
        err(1, "cannot share memory");
    char *program = join(programs, logger->file);
    logger->pid = start_sharing((char *[]){ program, logger->kind, logger->path, NULL }, memory);
    free(program);
    logger->first = FIRST_CONNECTION;
    if (!is_done_within(logger, PATIENCE_S))
        errx(1, "%s does not start", logger->name);
}

int start_loggers(const char *programs, const struct logger *all, int count, const char *path,
                  bool is_socket, struct logger *started)
{
    int built = 0;
    for (int i = 0; i < count; i++) {
        if (!is_built(programs, all[i].file, all[i].package))
            continue;
        struct logger *one = &started[built++];
        *one = all[i];
        if (asprintf(&one->path, is_socket ? "%s" : "%s.%d.log", path, i) == -1)
            err(1, "cannot use %s", path);
        start(programs, one);
    }
    return built;
}

void stop_loggers(struct logger *list, int count)
{
    for (int i = 0; i < count; i++) {
        kill(list[i].pid, SIGKILL);
        waitpid(list[i].pid, NULL, 0);
        munmap(list[i].shared, sizeof *list[i].shared);
        free(list[i].path);
    }
}

bool is_done_within(struct logger *logger, int patience_s)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += patience_s;
    while (sem_timedwait(&logger->shared->done, &end) == -1)
        if (errno != EINTR)
            return false;
    return true;
}

bool log_lines(struct logger *logger, int threads, int lines, int times_each, int patience_s)
{
    struct shared *shared = logger->shared;
    shared->threads = threads;
    shared->lines = lines;
    shared->first = logger->first;
    shared->times_each = times_each;
    logger->first += lines;
    sem_post(&shared->go);
    return is_done_within(logger, patience_s);
}

void compete(struct logger *list, int count, int rounds, int threads, int lines,
             int (*arrived)(struct logger *logger, int first, int lines))
{
    for (int i = 0; i < count; i++)
        list[i].missing = 0;
    for (int round = -2; round < rounds; round++) { /* those below 0 warm up */
        int order[LOGGERS_MAX];
        shuffle(order, count);
        for (int turn = 0; turn < count; turn++) {
            struct logger *one = &list[order[turn]];
            int first = one->first;
            if (!log_lines(one, threads, lines, 0, PATIENCE_S))
                errx(1, "%s hangs", one->name);
            one->times[round < 0 ? 0 : round] = one->shared->ns * threads / lines;
            one->missing += lines - arrived(one, first, lines);
        }
        for (int i = 0; i < count && round >= 0; i++)
            list[i].ratios[round] = list[i].times[round] / list[0].times[round];
    }
}

void show(const struct logger *list, int count, int rounds, int threads)
{
    printf("  %-22s%10s%8s%6s%10s%9s%8s\n", "", "ns a line", "ratio", "goal", "p90 ns", "lines/s",
           "missing");
    for (int i = 0; i < count; i++) {
        const struct logger *one = &list[i];
        double ns = median(one->times, rounds);
        printf("  %-22s%10.0f%8.2f", one->name, ns, median(one->ratios, rounds));
        if (one->goal > 0)
            printf("%6.2f", one->goal);
        else
            printf("%6s", "");
        printf("%10.0f%9.0f%8ld\n", quantile(one->times, rounds, 0.9), threads * 1e9 / ns,
               one->missing);
    }
}

int connection_of(const char *line)
{
    const char *message = strstr(line, "connection ");
    int connection, length = 0;
    long bytes;
    if (message == NULL ||
        sscanf(message, "connection %d from " FROM " closed after %ld bytes%n", &connection, &bytes,
               &length) != 2 ||
        (message[length] != '\n' && message[length] != '\0'))
        return -1;
    return connection == 0 || bytes == BYTES(connection) ? connection : -1;
}
