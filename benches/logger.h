/*
 * A process that logs lines when it is asked to. logger.c is the process, each logger_NAME is a way
 * to log.
 */
#ifndef LOGGER_H
#define LOGGER_H

#include "measure.h"

#include <semaphore.h>

/* What the logger shares with whoever started it. */
struct shared {
    sem_t go;   /* posted for each turn */
    sem_t done; /* posted when the logger is ready, and after each turn */
    /* Of a turn. */
    int threads;
    int lines;      /* of all threads together */
    int first;      /* the number of its first line */
    int times_each; /* whether each line is timed */
    /* What came of it. */
    volatile int written;    /* lines so far, where each is timed */
    double ns;               /* from the first line to the last */
    double longest_us;       /* that a line took, where each is timed */
    unsigned lost;           /* lines, as far as the logger knows, of all turns */
};

/* The line: a connection, from where, and how many bytes. */
#define MESSAGE "connection %d from %s closed after %ld bytes"
#define FROM "192.0.2.117:50112"
#define BYTES(connection) (10 * (long)(connection))

#ifdef __cplusplus
extern "C" {
#endif

/* Makes all ready for logging in this way, to this file. Ends the program if that fails. */
void prepare_log(const char *kind, const char *path);

void log_line(int connection);

unsigned lost_lines(void);

#ifdef __cplusplus
}
#endif

#endif
