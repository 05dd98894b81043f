/*
 * A process that waits in its main loop for SIGHUP, and says when it has seen it. waiter.c is the
 * process, each waiter_NAME.c is loops.
 */
#ifndef WAITER_H
#define WAITER_H

#include "measure.h"

#include <semaphore.h>
#include <sys/types.h>

/* What the waiter shares with whoever started it. */
struct shared {
    pid_t pid;
    sem_t seen; /* posted when the loop is ready, and once for each time that SIGHUP was seen */
    int64_t seen_at;
    volatile int64_t work_ns; /* how long one pass of the loop works */
};

/* Of waiter.c: what a loop does between its look at what has happened and its wait. */
void work(void);

/* Of waiter_NAME.c: makes all ready for a loop of this kind. Ends the program if that fails. */
void prepare_loop(const char *kind);

/* As many passes as it takes until SIGHUP is seen. */
void run_loop(void);

#endif
