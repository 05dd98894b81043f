/*
 * Ways to log that are compared, each in a process of its own.
 */
#ifndef LOGGERS_H
#define LOGGERS_H

#include "logger.h"

#include <sys/types.h>

#define LOGGERS_MAX 16
#define ROUNDS_MAX 1000

struct logger {
    const char *name;
    const char *file;    /* the program */
    char *kind;
    const char *package; /* what to install for it; NULL: nothing */
    double goal;         /* what its ratio is to be at most; 0: it has none */
    bool rotates;
    char *path;
    struct shared *shared;
    pid_t pid;
    int first;                 /* the number of the next line */
    double times[ROUNDS_MAX];  /* ns a line, as the thread that logs it waits */
    double ratios[ROUNDS_MAX]; /* to the first logger, in the same round */
    long missing;              /* lines that were logged and did not arrive whole */
};

/* Starts those that are built, with this file or socket, and says aloud what is not. How many. */
int start_loggers(const char *programs, const struct logger *all, int count, const char *path,
                  bool is_socket, struct logger *started);
void stop_loggers(struct logger *list, int count);

/* Has it log so many lines. Whether it is done before the time is up; else it goes on. */
bool log_lines(struct logger *logger, int threads, int lines, int times_each, int patience_s);
bool is_done_within(struct logger *logger, int patience_s);

/*
 * All of them in each round, in another order each time. `arrived` tells how many of the lines from a
 * number on have arrived whole, and cleans up.
 */
void compete(struct logger *list, int count, int rounds, int threads, int lines,
             int (*arrived)(struct logger *logger, int first, int lines));
void show(const struct logger *list, int count, int rounds, int threads);

/* The number of a whole line's connection; 0 in a ready line, -1: no whole line. */
int connection_of(const char *line);

#endif
