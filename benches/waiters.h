/*
 * All loops that take part, each in a process of its own.
 */
#ifndef WAITERS_H
#define WAITERS_H

#include "waiter.h"

struct waiter {
    const char *name;
    const char *file;
    char *kind;
    const char *package; /* what to install for it; NULL: nothing */
    bool is_ours;
    struct shared *shared;
    pid_t started; /* the waiter, or strace, which runs it */
    int stat;      /* /proc/PID/stat */
};

/* A loop that has not seen its signal for this long is broken, and the run ends. */
#define PATIENCE_S 10

/* Copies to `list` those that are built, and returns how many. The rest is said aloud. */
int list_waiters(const char *folder, struct waiter *list, int max);

/* Starts it and waits until its loop is ready. `trace` is where strace writes; NULL: no strace. */
void start_waiter(const char *folder, struct waiter *waiter, char *trace);
void stop_waiter(struct waiter *waiter);

/* Waits until it sees the signal. */
void wait_seen(struct waiter *waiter);

/* Whether the kernel has put it to sleep. */
bool is_asleep(const struct waiter *waiter);

#endif
