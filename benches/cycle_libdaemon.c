#include "cycle.h"

#include <err.h>
#include <libdaemon/dpid.h>

static const char *path;

static const char *pidfile_path(void)
{
    return path;
}

void take(const char *pidfile)
{
    path = pidfile;
    daemon_pid_file_proc = pidfile_path;
    if (daemon_pid_file_create() < 0)
        err(1, "cannot create %s", pidfile);
}

void give_back(const char *pidfile)
{
    if (daemon_pid_file_remove() < 0)
        err(1, "cannot remove %s", pidfile);
}
