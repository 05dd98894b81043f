/*
 * What a filter costs each system call: getppid(2) without one, with that of rsd_promise(), and with one of
 * libseccomp's that has as many unconditional calls, optimized as a binary tree. Each in a child of its own, in turns.
 * The kernel knows of calls that are always allowed (Linux 5.11) and does not run the filter then; fcntl(2), at
 * the argument of which both look, shows the filter itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

#ifdef HAS_LIBSECCOMP
#include <seccomp.h>
#endif

#define ROUNDS 15
#define CALLS 200000

enum { NONE, OURS, LIBSECCOMP, KINDS };
static const char *const names[KINDS] = { "no filter", "rsd_promise", "libseccomp" };

struct result {
    double always, looked_at, setup_us;
};

/* As many as stdio gives, and as scattered: that is the depth of the search. */
static char allowed[470];

static void promise_by_libseccomp(void)
{
#ifdef HAS_LIBSECCOMP
    scmp_filter_ctx all = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (all == NULL)
        _exit(1);
    seccomp_attr_set(all, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (int number = 0; number < 470; number++) {
        if (allowed[number])
            seccomp_rule_add(all, SCMP_ACT_ALLOW, number, 0);
    }
    seccomp_rule_add(all, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_GETFD));
    if (seccomp_load(all) != 0)
        _exit(1);
    seccomp_release(all);
#endif
}

static double time_calls(long number, long a, long b)
{
    int64_t start = now_ns();
    for (int i = 0; i < CALLS; i++)
        syscall(number, a, b);
    return (double)(now_ns() - start) / CALLS;
}

static struct result measure(int kind)
{
    struct result result = { 0, 0, 0 };
    int ends[2];
    if (pipe(ends) == -1)
        exit(1);
    pid_t child = fork();
    if (child == 0) {
        int64_t start = now_ns();
        if (kind == OURS && rsd_promise("stdio", RSD_REFUSE) == -1) {
            fprintf(stderr, "%s\n", rsd_last_error());
            _exit(1);
        }
        if (kind == LIBSECCOMP)
            promise_by_libseccomp();
        result.setup_us = (double)(now_ns() - start) / 1000;
        result.always = time_calls(SYS_getppid, 0, 0);
        result.looked_at = time_calls(SYS_fcntl, 0, F_GETFD);
        if (write(ends[1], &result, sizeof result) != sizeof result)
            _exit(1);
        _exit(0);
    }
    if (read(ends[0], &result, sizeof result) != sizeof result)
        exit(1);
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(ends[1]);
    return result;
}

int main(void)
{
    double values[KINDS][3][ROUNDS], medians[KINDS][3];
    int kinds = KINDS;
    for (int number = 0; number < 470; number++)
        allowed[number] = number < 50 || number % 3 == 0;
    allowed[SYS_getppid] = allowed[SYS_write] = allowed[SYS_exit_group] = 1;
    allowed[SYS_fcntl] = 0;
#ifndef HAS_LIBSECCOMP
    puts("SKIPPED: libseccomp-dev is not installed");
    kinds = LIBSECCOMP;
#endif
    for (int round = 0; round < ROUNDS; round++) {
        for (int kind = 0; kind < kinds; kind++) {
            struct result result = measure(kind);
            values[kind][0][round] = result.always;
            values[kind][1][round] = result.looked_at;
            values[kind][2][round] = result.setup_us;
        }
    }
    printf("%-12s %14s %20s %12s\n", "", "getppid, ns", "fcntl F_GETFD, ns", "setup, us");
    for (int kind = 0; kind < kinds; kind++) {
        for (int i = 0; i < 3; i++)
            medians[kind][i] = median(values[kind][i], ROUNDS);
        printf("%-12s %8.1f (%.2f) %13.1f (%.2f) %12.1f\n", names[kind], medians[kind][0],
               medians[kind][0] / medians[NONE][0], medians[kind][1], medians[kind][1] / medians[NONE][1],
               medians[kind][2]);
    }
    return 0;
}
