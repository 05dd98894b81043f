#include "waiter.h"

#include <err.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static struct shared *shared;

void work(void)
{
    if (shared->work_ns == 0)
        return;
    for (int64_t end = now_ns() + shared->work_ns; now_ns() < end;)
        ;
}

int main(int argc, char *argv[])
{
    if (argc != 2)
        errx(2, "usage: %s KIND, with shared memory on descriptor %d", argv[0], SHARED_FD);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
    if (shared == MAP_FAILED)
        err(1, "cannot share memory");

    prepare_loop(argv[1]);
    shared->pid = getpid();
    for (;;) {
        sem_post(&shared->seen);
        run_loop();
        shared->seen_at = now_ns();
    }
}
