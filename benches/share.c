#include "share.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

extern char **environ;

/* The number of the descriptor of the memory, in the program that was started. */
#define SHARED_FD 3

static void *map(size_t size, int memory)
{
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (shared == MAP_FAILED)
        err(1, "cannot share memory");
    return shared;
}

void *make_shared(size_t size, int *memory)
{
    *memory = memfd_create("shared", MFD_CLOEXEC);
    if (*memory == -1 || ftruncate(*memory, (off_t)size) == -1)
        err(1, "cannot make shared memory");
    return map(size, *memory);
}

pid_t start_sharing(char *const argv[], int memory)
{
    /* dup2(2) to the same number would leave it close-on-exec. */
    int high = fcntl(memory, F_DUPFD_CLOEXEC, SHARED_FD + 1);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, high, SHARED_FD);
    pid_t pid;
    if ((errno = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ)) != 0)
        err(1, "cannot run %s", argv[0]);
    posix_spawn_file_actions_destroy(&actions);
    close(memory);
    close(high);
    return pid;
}

void *get_shared(size_t size)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return map(size, SHARED_FD);
}
