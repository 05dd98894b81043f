/*
 * The start with libdaemon, in the order of its own example testd.c, less the closing of all
 * descriptors, which the other three do not do either.
 */
#include "tiny_daemon.h"

#include <libdaemon/dfork.h>
#include <libdaemon/dpid.h>

static const char *path;

static const char *pidfile_path(void)
{
    return path;
}

int main(int argc, char *argv[])
{
    int64_t called_at = prepare(argc, argv);

    path = argv[1];
    daemon_pid_file_proc = pidfile_path;
    if (daemon_pid_file_is_running() >= 0)
        errx(1, "%s names a process that runs", path);
    if (daemon_retval_init() < 0)
        err(1, "cannot start");

    pid_t daemon = daemon_fork();
    if (daemon < 0)
        err(1, "cannot start");
    if (daemon > 0)
        return daemon_retval_wait(60);

    int failed = daemon_pid_file_create() < 0;
    daemon_retval_send(failed);
    if (failed)
        return 1;
    return serve(argv, called_at);
}
