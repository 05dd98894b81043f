#include "cycle.h"

#include <bsd/libutil.h>
#include <err.h>

static struct pidfh *handle;

void take(const char *pidfile)
{
    handle = pidfile_open(pidfile, 0644, NULL);
    if (handle == NULL || pidfile_write(handle) == -1)
        err(1, "cannot lock %s", pidfile);
}

void give_back(const char *pidfile)
{
    if (pidfile_remove(handle) == -1)
        err(1, "cannot remove %s", pidfile);
}
