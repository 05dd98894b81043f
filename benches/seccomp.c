/*
 * What a filter costs each system call: without one, with that of rsd_promise("stdio"), and with one of libseccomp's of
 * the same rules, in its own order and as a binary tree. Each in a child of its own, in turns. The calls that need no
 * look at their arguments are those of docs/promises.md; the others are written out below, and are the same for all
 * arguments that the kernel's headers know. Ours answers ENOSYS to numbers above its table, too, which libseccomp
 * has no rule for.
 *
 * The kernel knows of calls that are always allowed (Linux 5.11) and does not run the filter then: getppid(2) shows that.
 * fcntl(2) and fstat(2), at the arguments of which both look, show the filter itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <rsdaemon.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

#ifdef HAS_LIBSECCOMP
#include <seccomp.h>
#endif

#define ROUNDS 15
#define CALLS 200000

enum { NONE, OURS, LIBSECCOMP, LIBSECCOMP_TREE, KINDS };
static const char *const names[KINDS] = { "no filter", "rsd_promise", "libseccomp", "as a tree" };

enum { GETPPID, FCNTL, FSTAT, SETUP, FIGURES };
struct result {
    double figures[FIGURES];
};

#ifdef HAS_LIBSECCOMP
#define COUNT(list) (sizeof(list) / sizeof *(list))

static void must(int result)
{
    if (result != 0) {
        fprintf(stderr, "libseccomp: %s\n", strerror(-result));
        _exit(1);
    }
}

static void allow(scmp_filter_ctx all, int number, struct scmp_arg_cmp comparison)
{
    must(seccomp_rule_add_exact_array(all, SCMP_ACT_ALLOW, number, 1, &comparison));
}

static void allow_each(scmp_filter_ctx all, int number, unsigned argument, const uint32_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        allow(all, number, SCMP_CMP32(argument, SCMP_CMP_EQ, values[i]));
}

/* What stands in the table of the documentation: "| WORDS | CALLS |". */
static void allow_by_number(scmp_filter_ctx all)
{
    FILE *table = fopen(PROMISES, "r");
    char line[8192];
    int count = 0, is_ours = 0;
    if (table == NULL)
        _exit(1);
    while (fgets(line, sizeof line, table) != NULL) {
        if (strncmp(line, "## ", 3) == 0)
            is_ours = strstr(line, "all") != NULL || strstr(line, "x86_64") != NULL;
        char *words = strtok(line, "|"), *calls = strtok(NULL, "|");
        if (!is_ours || words == NULL || calls == NULL || strstr(words, "arguments") != NULL)
            continue;
        int is_missing = strstr(words, "missing") != NULL;
        if (!is_missing && strstr(words, "stdio") == NULL && strstr(words, "exit") == NULL)
            continue;
        for (char *call = strtok(calls, " \n"); call != NULL; call = strtok(NULL, " \n")) {
            int number = seccomp_syscall_resolve_name(call);
            if (number < 0)
                continue; /* younger than libseccomp */
            must(seccomp_rule_add_exact_array(all, is_missing ? SCMP_ACT_ERRNO(ENOSYS) : SCMP_ACT_ALLOW, number, 0,
                                              NULL));
            count++;
        }
    }
    fclose(table);
    if (count < 100)
        _exit(1);
}

static void promise_by_libseccomp(int is_tree)
{
    static const uint32_t commands[] = { 0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 16, 36, 37, 38, 1024, 1025, 1030, 1031, 1032,
                                         1033, 1034, 1035, 1036, 1037, 1038 };
    static const uint32_t requests[] = { 0x541b, 0x5421, 0x5452, 0x5451, 0x5450, 0x5411, 0x5401, 0x802c542a, 0x5413 };
    static const uint32_t controls[] = { 1, 2, 3, 7, 15, 16, 21, 22, 23, 27, 29, 30, 36, 37, 38, 39, 40, 41, 42,
                                         0x53564d41 };
    const uint32_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER
                                | CLONE_NEWPID | CLONE_NEWNET;
    const int signals[] = { SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(tgkill), SCMP_SYS(rt_sigqueueinfo),
                            SCMP_SYS(rt_tgsigqueueinfo) };
    const int protections[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(pkey_mprotect) };
    uint32_t pid = (uint32_t)getpid();
    scmp_filter_ctx all = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (all == NULL)
        _exit(1);
    if (is_tree)
        must(seccomp_attr_set(all, SCMP_FLTATR_CTL_OPTIMIZE, 2));
    allow_by_number(all);
    allow_each(all, SCMP_SYS(fcntl), 1, commands, COUNT(commands));
    allow_each(all, SCMP_SYS(ioctl), 1, requests, COUNT(requests));
    allow_each(all, SCMP_SYS(prctl), 0, controls, COUNT(controls));
    must(seccomp_rule_add(all, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 2, SCMP_A0_32(SCMP_CMP_EQ, 47),
                          SCMP_A1_32(SCMP_CMP_EQ, 1)));
    allow(all, SCMP_SYS(newfstatat), SCMP_A3_32(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
    allow(all, SCMP_SYS(statx), SCMP_A2_32(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
    for (size_t i = 0; i < COUNT(signals); i++)
        allow(all, signals[i], SCMP_A0_32(SCMP_CMP_EQ, pid));
    for (size_t i = 0; i < COUNT(protections); i++)
        allow(all, protections[i], SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    allow(all, SCMP_SYS(personality), SCMP_A0_32(SCMP_CMP_EQ, 0xffffffff));
    allow(all, SCMP_SYS(prlimit64), SCMP_A2_64(SCMP_CMP_EQ, 0));
    allow(all, SCMP_SYS(socketpair), SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX));
    allow(all, SCMP_SYS(clone), SCMP_A0_32(SCMP_CMP_MASKED_EQ, namespaces | CLONE_THREAD, CLONE_THREAD));
    must(seccomp_load(all));
    seccomp_release(all);
}
#endif

static double time_calls(long number, long a, long b, long c, long d)
{
    int64_t start = now_ns();
    for (int i = 0; i < CALLS; i++)
        if (syscall(number, a, b, c, d) == -1)
            _exit(1);
    return (double)(now_ns() - start) / CALLS;
}

static struct result measure(int kind)
{
    struct result result = { { 0 } };
    struct stat stat;
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
#ifdef HAS_LIBSECCOMP
        if (kind >= LIBSECCOMP)
            promise_by_libseccomp(kind == LIBSECCOMP_TREE);
#endif
        result.figures[SETUP] = (double)(now_ns() - start) / 1000;
        result.figures[GETPPID] = time_calls(SYS_getppid, 0, 0, 0, 0);
        result.figures[FCNTL] = time_calls(SYS_fcntl, 1, F_GETFD, 0, 0);
        result.figures[FSTAT] = time_calls(SYS_newfstatat, 1, (long)"", (long)&stat, AT_EMPTY_PATH);
        if (write(ends[1], &result, sizeof result) != sizeof result)
            _exit(1);
        _exit(0);
    }
    close(ends[1]);
    if (read(ends[0], &result, sizeof result) != sizeof result) {
        fprintf(stderr, "%s: no result\n", names[kind]);
        exit(1);
    }
    waitpid(child, NULL, 0);
    close(ends[0]);
    return result;
}

int main(void)
{
    double values[KINDS][FIGURES][ROUNDS], medians[KINDS][FIGURES];
    int kinds = KINDS;
#ifndef HAS_LIBSECCOMP
    puts("SKIPPED: libseccomp-dev is not installed");
    kinds = LIBSECCOMP;
#endif
    for (int round = 0; round < ROUNDS; round++) {
        for (int kind = 0; kind < kinds; kind++) {
            struct result result = measure(kind);
            for (int i = 0; i < FIGURES; i++)
                values[kind][i][round] = result.figures[i];
        }
    }
    printf("%-12s %16s %16s %16s %12s\n", "ns (ratio)", "getppid", "fcntl F_GETFD", "fstat", "setup, us");
    for (int kind = 0; kind < kinds; kind++) {
        printf("%-12s", names[kind]);
        for (int i = 0; i < FIGURES; i++) {
            medians[kind][i] = median(values[kind][i], ROUNDS);
            if (i == SETUP)
                printf(" %12.1f\n", medians[kind][i]);
            else
                printf(" %9.1f (%.2f)", medians[kind][i], medians[kind][i] / medians[NONE][i]);
        }
    }
    return 0;
}
