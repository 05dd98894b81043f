/*
 * What a loop does while nothing happens (make bench-loop). All loops wait side by side, each
 * twice: as it is, and in strace.
 *
 *   wake-ups  how often it was put to sleep again (voluntary context switches)
 *   pushed    how often it lost the CPU to others (involuntary ones)
 *   CPU us    as the scheduler counts it
 *   calls     system calls begun or gone on with, and signals
 *   goal      wake-ups of the loops of this library, only shown
 */
#include "waiters.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WAITERS_MAX 12

struct usage {
    long wake_ups, pushed, calls;
    double cpu_us; /* below 0: the kernel does not tell */
};

static struct waiter plain[WAITERS_MAX], traced[WAITERS_MAX];
static char *traces[WAITERS_MAX];
static bool has_strace;

static FILE *open_proc(const struct waiter *waiter, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", waiter->shared->pid, name);
    return fopen(path, "re");
}

static struct usage usage(int which)
{
    struct usage all = { .cpu_us = -1 };
    FILE *file = open_proc(&plain[which], "status");
    if (file == NULL)
        err(1, "cannot ask for %s", plain[which].name);
    for (char line[256]; fgets(line, sizeof line, file) != NULL;) {
        sscanf(line, "voluntary_ctxt_switches: %ld", &all.wake_ups);
        sscanf(line, "nonvoluntary_ctxt_switches: %ld", &all.pushed);
    }
    fclose(file);

    double run_ns;
    file = open_proc(&plain[which], "schedstat");
    if (file != NULL && fscanf(file, "%lf", &run_ns) == 1)
        all.cpu_us = run_ns / 1e3;
    if (file != NULL)
        fclose(file);
    if (has_strace)
        all.calls = count_lines(traces[which]);
    return all;
}

static void show(const struct waiter *waiter, const struct usage *before, const struct usage *after)
{
    printf("  %-17s%10ld%8ld", waiter->name, after->wake_ups - before->wake_ups,
           after->pushed - before->pushed);
    if (after->cpu_us >= 0)
        printf("%11.1f", after->cpu_us - before->cpu_us);
    else
        printf("%11s", "-");
    if (has_strace)
        printf("%8ld", after->calls - before->calls);
    else
        printf("%8s", "-");
    puts(waiter->is_ours ? "     0" : "");
}

int main(int argc, char *argv[])
{
    if (argc != 3)
        errx(2, "usage: %s FOLDER-OF-PROGRAMS SECONDS", argv[0]);
    unsigned int seconds = (unsigned int)strtoul(argv[2], NULL, 10);
    struct usage before[WAITERS_MAX], after[WAITERS_MAX];
    has_strace = system("strace -o /dev/null true 2>/dev/null") == 0;

    int count = list_waiters(argv[1], plain, WAITERS_MAX);
    for (int i = 0; i < count; i++) {
        start_waiter(argv[1], &plain[i], NULL);
        if (!has_strace)
            continue;
        char name[32];
        snprintf(name, sizeof name, "trace-%d", i);
        traces[i] = join(argv[1], name);
        traced[i] = plain[i];
        start_waiter(argv[1], &traced[i], traces[i]);
    }

    printf("\nIdle for %u seconds\n", seconds);
    fflush(stdout);
    sleep(1); /* until all have begun to wait */
    for (int i = 0; i < count; i++)
        before[i] = usage(i);
    sleep(seconds);
    for (int i = 0; i < count; i++)
        after[i] = usage(i);

    printf("  %-17s%10s%8s%11s%8s%6s\n", "", "wake-ups", "pushed", "CPU us", "calls", "goal");
    for (int i = 0; i < count; i++) {
        show(&plain[i], &before[i], &after[i]);
        stop_waiter(&plain[i]);
        if (!has_strace)
            continue;
        stop_waiter(&traced[i]);
        unlink(traces[i]);
        free(traces[i]);
    }
    if (!has_strace)
        puts("SKIPPED system calls: strace is not installed or not allowed");
    return 0;
}
