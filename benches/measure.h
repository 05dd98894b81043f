/*
 * What the programs that measure have in common.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

static inline int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The value that `part` (0 to 1) of all values are not above. */
double quantile(const double *values, int count, double part);
double median(const double *values, int count);

/* The numbers below `count` in any order. */
void shuffle(int *order, int count);

/* FOLDER/NAME, valid until the program ends. */
char *join(const char *folder, const char *name);

/* Whether the program is there; says so if it is not. `package` NULL: then this program ends. */
bool is_built(const char *folder, const char *name, const char *package);

/* Has a process (0: this one) run on this CPU alone. */
void pin(pid_t pid, int cpu);

/* The lines in a file, or -1. */
long count_lines(const char *path);

/* Whether as much memory is free. */
bool has_memory(long mebibytes);

#endif
