#include "waiters.h"

#include "share.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int list_waiters(const char *folder, struct waiter *list, int max)
{
    static const struct waiter all[] = {
        { .name = "signalfd, poll", .file = "waiter_bare", .kind = "signalfd" },
        { .name = "the same again", .file = "waiter_bare", .kind = "signalfd" },
        { .name = "self-pipe, poll", .file = "waiter_bare", .kind = "self-pipe" },
        { .name = "sigwaitinfo", .file = "waiter_bare", .kind = "sigwaitinfo" },
        { .name = "flag, sleep(1)", .file = "waiter_bare", .kind = "flag" },
        { .name = "libevent", .file = "waiter_libevent", .kind = "", .package = "libevent-dev" },
        { .name = "libdaemon", .file = "waiter_libdaemon", .kind = "", .package = "libdaemon-dev" },
        { .name = "rsd_wait", .file = "waiter_rsdaemon", .kind = "wait", .is_ours = true },
        { .name = "rsd_fd, poll", .file = "waiter_rsdaemon", .kind = "fd", .is_ours = true },
    };
    int count = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all && count < max; i++)
        if (is_built(folder, all[i].file, all[i].package))
            list[count++] = all[i];
    return count;
}

void start_waiter(const char *folder, struct waiter *waiter, char *trace)
{
    int memory;
    waiter->shared = make_shared(sizeof *waiter->shared, &memory);
    if (sem_init(&waiter->shared->seen, 1, 0) == -1)
        err(1, "cannot share memory");
    char *program = join(folder, waiter->file);
    char *argv[] = { "strace", "-f", "-o", trace, program, waiter->kind, NULL };
    waiter->started = start_sharing(trace == NULL ? argv + 4 : argv, memory);
    free(program);

    wait_seen(waiter);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", waiter->shared->pid);
    waiter->stat = open(path, O_RDONLY | O_CLOEXEC);
    if (waiter->stat == -1)
        err(1, "cannot open %s", path);
}

void stop_waiter(struct waiter *waiter)
{
    kill(waiter->shared->pid, SIGKILL);
    waitpid(waiter->started, NULL, 0);
    close(waiter->stat);
    munmap(waiter->shared, sizeof *waiter->shared);
}

void wait_seen(struct waiter *waiter)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += PATIENCE_S;
    while (sem_timedwait(&waiter->shared->seen, &end) == -1)
        if (errno != EINTR)
            errx(1, "%s has not seen a signal for %d s", waiter->name, PATIENCE_S);
}

bool is_asleep(const struct waiter *waiter)
{
    char text[512];
    ssize_t length = pread(waiter->stat, text, sizeof text - 1, 0);
    if (length <= 0)
        errx(1, "%s has ended", waiter->name);
    text[length] = '\0';
    const char *state = strrchr(text, ')');
    return state != NULL && state[1] == ' ' && state[2] == 'S';
}
