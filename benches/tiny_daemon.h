/*
 * What the four daemons have in common: all but the start itself.
 *
 * Each is called as NAME PIDFILE CHANNEL MEBIBYTES. The channel is a socket to bench.c, which
 * thereby learns from the daemon itself, not from its pid file, which process to end.
 */
#ifndef TINY_DAEMON_H
#define TINY_DAEMON_H

#include "measure.h"

#include <err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the daemon tells when it is up. */
struct report {
    int64_t called_at; /* when its launcher began to become a daemon */
    int64_t pid;
};

/* Takes the memory, as a program with a large heap would have, and looks at the clock. */
static inline int64_t prepare(int argc, char *argv[])
{
    if (argc != 4)
        errx(2, "usage: %s PIDFILE CHANNEL MEBIBYTES", argv[0]);

    static volatile char *heap;
    size_t size = strtoul(argv[3], NULL, 10) << 20;
    heap = malloc(size + 1);
    if (heap == NULL)
        err(1, "cannot get %s MiB", argv[3]);
    for (size_t i = 0; i < size; i += 4096)
        heap[i] = 1;
    return now_ns();
}

/* Is the daemon until SIGTERM, or until bench.c is gone. */
static inline int serve(char *argv[], int64_t called_at)
{
    int channel = atoi(argv[2]);
    struct report report = { .called_at = called_at, .pid = getpid() };
    if (send(channel, &report, sizeof report, MSG_NOSIGNAL) != sizeof report)
        return 1;

    char nothing;
    return recv(channel, &nothing, 1, 0) == 0 ? 0 : 1;
}

#endif
