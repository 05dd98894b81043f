/*
 * What a whole sandbox costs at the start: rsd_sandbox() with all that is in it (limits, another user, no capabilities,
 * two paths, promises) and the same steps by hand, without proof of any of them and with libseccomp for the filter of
 * as many system calls. Each in a child of its own, in turns. Needs root, which is given up.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

#ifdef HAS_LIBSECCOMP
#include <seccomp.h>
#endif

#define ROUNDS 101
#define NOBODY 65534

enum { OURS, WITHOUT_PROMISES, BY_HAND, KINDS };
static const char *const names[KINDS] = { "rsd_sandbox", "rsd_sandbox without promises", "by hand, libseccomp" };

static void must(int result)
{
    if (result == -1) {
        fprintf(stderr, "%s; %s\n", strerror(errno), rsd_last_error());
        _exit(1);
    }
}

static void allow(int rules, const char *path, unsigned long long access)
{
    struct landlock_path_beneath_attr rule = { .allowed_access = access, .parent_fd = open(path, O_PATH | O_CLOEXEC) };
    must(rule.parent_fd);
    must((int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
    close(rule.parent_fd);
}

static void by_hand(void)
{
#ifdef HAS_LIBSECCOMP
    struct rlimit none = { 0, 0 }, files = { 64, 64 };
    struct landlock_ruleset_attr all = { .handled_access_fs = (1 << 13) - 1 };
    unsigned long long reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;

    must(setrlimit(RLIMIT_CORE, &none));
    must(setrlimit(RLIMIT_NOFILE, &files));
    for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
        ;
    must(setgroups(0, NULL));
    must(setresgid(NOBODY, NOBODY, NOBODY));
    must(setresuid(NOBODY, NOBODY, NOBODY));
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    must(prctl(PR_SET_DUMPABLE, 0));
    int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    must(rules);
    allow(rules, "/usr", reading);
    allow(rules, "/tmp", all.handled_access_fs);
    must((int)syscall(SYS_landlock_restrict_self, rules, 0));
    close(rules);

    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (int number = 0; number < 300; number += 2) /* as many as the three words give */
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
    seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 0);
    seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(exit_group), 0);
    must(seccomp_load(filter) == 0 ? 0 : -1);
#endif
}

static double measure(int kind)
{
    double result = 0;
    int ends[2], status;
    must(pipe(ends));
    pid_t child = fork();
    must(child);
    if (child == 0) {
        int64_t start = now_ns();
        if (kind == BY_HAND)
            by_hand();
        else
            must(rsd_sandbox(RSD_SANDBOX(.limits = "core=0 nofile=64",
                                         .privileges = RSD_PRIVILEGES(.user = "65534", .group = "65534"),
                                         .access = "r:/usr rwc:/tmp",
                                         .promises = kind == OURS ? "stdio rpath inet" : NULL)));
        result = (double)(now_ns() - start) / 1000;
        _exit(write(ends[1], &result, sizeof result) != sizeof result);
    }
    must(waitpid(child, &status, 0));
    if (status != 0 || read(ends[0], &result, sizeof result) != sizeof result)
        exit(1);
    close(ends[0]);
    close(ends[1]);
    return result;
}

int main(void)
{
    static double us[KINDS][ROUNDS];
    int kinds = KINDS;

    if (geteuid() != 0) {
        printf("needs root, which is given up\n");
        return 1;
    }
#ifndef HAS_LIBSECCOMP
    printf("not measured by hand: libseccomp is missing (make bench-deps)\n");
    kinds = BY_HAND;
#endif
    pin(0, 0);
    for (int round = 0; round < ROUNDS; round++) {
        int order[KINDS];
        for (int i = 0; i < kinds; i++)
            order[i] = i;
        shuffle(order, kinds);
        for (int i = 0; i < kinds; i++)
            us[order[i]][round] = measure(order[i]);
    }
    for (int kind = 0; kind < kinds; kind++)
        printf("%-30s median %7.1f us   p10 %7.1f   p90 %7.1f\n", names[kind], median(us[kind], ROUNDS),
               quantile(us[kind], ROUNDS, 0.1), quantile(us[kind], ROUNDS, 0.9));
    if (kinds == KINDS)
        printf("rsd_sandbox / by hand: %.2f\n", median(us[OURS], ROUNDS) / median(us[BY_HAND], ROUNDS));
    return 0;
}
