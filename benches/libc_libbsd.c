/*
 * The start with daemon(3) of the C library and the pid file of libbsd, as its manual page
 * pidfile(3bsd) shows it. One fork, and nobody waits for the pid file.
 */
#include "tiny_daemon.h"

#include <bsd/libutil.h>

int main(int argc, char *argv[])
{
    int64_t called_at = prepare(argc, argv);

    pid_t other;
    struct pidfh *pidfile = pidfile_open(argv[1], 0644, &other);
    if (pidfile == NULL)
        err(1, "cannot use %s", argv[1]);
    if (daemon(0, 0) == -1)
        err(1, "cannot start");
    if (pidfile_write(pidfile) == -1)
        return 1;
    return serve(argv, called_at);
}
