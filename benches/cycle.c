/*
 * Prints the nanoseconds of a cycle, and 1 if the pid file is locked in between.
 */
#include "cycle.h"
#include "tiny_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

/* A cycle that is not measured, and not believed either. */
static int try_once(const char *pidfile)
{
    take(pidfile);
    int file = open(pidfile, O_RDONLY | O_CLOEXEC);
    char text[16] = "";
    if (file == -1 || read(file, text, sizeof text - 1) <= 0)
        err(1, "cannot read %s", pidfile);
    if (atoi(text) != getpid())
        errx(1, "%s holds %s", pidfile, text);
    int is_locked = flock(file, LOCK_EX | LOCK_NB) == -1;
    close(file);

    give_back(pidfile);
    if (access(pidfile, F_OK) == 0)
        errx(1, "%s is still there", pidfile);
    return is_locked;
}

int main(int argc, char *argv[])
{
    if (argc != 3)
        errx(2, "usage: %s PIDFILE CYCLES", argv[0]);

    int is_locked = try_once(argv[1]);
    long cycles = strtol(argv[2], NULL, 10);
    int64_t begin = now_ns();
    for (long i = 0; i < cycles; i++) {
        take(argv[1]);
        give_back(argv[1]);
    }
    printf("%.1f %d\n", (double)(now_ns() - begin) / (double)cycles, is_locked);
    return 0;
}
