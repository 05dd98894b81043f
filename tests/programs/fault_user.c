/*
 * fault_user PIDFILE: a daemon that gives up being root. By numbers: how the databases fail is up to
 * the C library and what is plugged into it.
 */
#include <err.h>
#include <rsdaemon.h>
#include <stdlib.h>
#include <unistd.h>

static volatile sig_atomic_t shutdown_flag, reload_flag;

int main(int argc, char *argv[])
{
    if (argc != 2)
        return 2;
    if (rsd_daemonize(RSD_OPTIONS(.name = "fault_user", .pidfile = argv[1],
                                  .user = "65534", .group = "1",
                                  .pidfile_mode = 0644, .pidfile_owner = "65534")) == -1)
        errx(1, "%s", rsd_last_error());
    if (install_signal_flags(&shutdown_flag, &reload_flag) == -1)
        exit(rsd_fail(1, rsd_last_error()));
    if (rsd_ready() == -1)
        exit(rsd_fail(1, rsd_last_error()));

    close(-1000002); /* the harness takes this for "ready" */
    while (!shutdown_flag)
        sleep(1);
    return 0;
}
