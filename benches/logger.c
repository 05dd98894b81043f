#include "logger.h"

#include "share.h"

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define THREADS_MAX 8

static struct shared *shared;

/* The part of a turn that one thread has. */
struct part {
    int first;
    int lines;
    int64_t begin;
    int64_t end;
    int64_t longest;
};

static atomic_int ready_threads;

static void *log_part(void *arg)
{
    struct part *part = arg;
    int end = part->first + part->lines;

    /* Nobody sleeps here: to wake up takes longer than many lines. */
    atomic_fetch_add(&ready_threads, 1);
    while (atomic_load(&ready_threads) < shared->threads)
        ;
    part->begin = now_ns();
    if (shared->times_each) {
        int64_t before = part->begin;
        for (int connection = part->first; connection < end; connection++) {
            log_line(connection);
            int64_t now = now_ns();
            if (now - before > part->longest)
                part->longest = now - before;
            before = now;
            shared->written++;
        }
    } else {
        for (int connection = part->first; connection < end; connection++)
            log_line(connection);
    }
    part->end = now_ns();
    return NULL;
}

static void log_turn(void)
{
    struct part parts[THREADS_MAX] = { 0 };
    pthread_t threads[THREADS_MAX];
    int count = shared->threads;

    atomic_store(&ready_threads, 0);
    for (int i = 0; i < count; i++) {
        parts[i].lines = shared->lines / count;
        parts[i].first = shared->first + i * parts[i].lines;
        if (i > 0 && (errno = pthread_create(&threads[i], NULL, log_part, &parts[i])) != 0)
            err(1, "cannot start a thread");
    }
    log_part(&parts[0]);
    int64_t begin = parts[0].begin, end = parts[0].end, longest = parts[0].longest;
    for (int i = 1; i < count; i++) {
        pthread_join(threads[i], NULL);
        begin = parts[i].begin < begin ? parts[i].begin : begin;
        end = parts[i].end > end ? parts[i].end : end;
        longest = parts[i].longest > longest ? parts[i].longest : longest;
    }
    shared->ns = (double)(end - begin);
    shared->longest_us = (double)longest / 1e3;
    shared->lost = lost_lines();
}

int main(int argc, char *argv[])
{
    if (argc != 3)
        errx(2, "usage: %s KIND FILE, started by a program that shares memory", argv[0]);
    shared = get_shared(sizeof *shared);
    prepare_log(argv[1], argv[2]);
    for (;;) {
        sem_post(&shared->done);
        while (sem_wait(&shared->go) == -1)
            ;
        shared->written = 0;
        log_turn();
    }
}
