/*
 * lock_pidfile() as guides to writing daemons print it. Truncating costs: ext4 writes a truncated
 * file out when it is closed.
 */
#include "cycle.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

static int file;

void take(const char *pidfile)
{
    file = open(pidfile, O_CREAT | O_WRONLY, 0644);
    if (file == -1 || flock(file, LOCK_EX | LOCK_NB) == -1)
        err(1, "cannot lock %s", pidfile);
    if (ftruncate(file, 0) == -1 || dprintf(file, "%d\n", (int)getpid()) < 0)
        err(1, "cannot write %s", pidfile);
}

void give_back(const char *pidfile)
{
    if (unlink(pidfile) == -1 || close(file) == -1)
        err(1, "cannot remove %s", pidfile);
}
