#include "waiter.h"

#include "share.h"

#include <err.h>
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
        errx(2, "usage: %s KIND, started by a program that shares memory", argv[0]);
    shared = get_shared(sizeof *shared);

    prepare_loop(argv[1]);
    shared->pid = getpid();
    for (;;) {
        sem_post(&shared->seen);
        run_loop();
        shared->seen_at = now_ns();
    }
}
