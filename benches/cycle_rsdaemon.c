#include "cycle.h"

#include <err.h>
#include <rsdaemon.h>

static int lock;

void take(const char *pidfile)
{
    lock = lock_pidfile(pidfile);
    if (lock == -1)
        errx(1, "%s", rsd_last_error());
}

void give_back(const char *pidfile)
{
    if (rsd_remove_pidfile(pidfile, lock) == -1)
        errx(1, "%s", rsd_last_error());
}
