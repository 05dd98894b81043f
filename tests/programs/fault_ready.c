/*
 * fault_ready PIDFILE: a daemon whose pid file appears when it is ready.
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
    if (rsd_daemonize(RSD_OPTIONS(.name = "fault_ready", .pidfile = argv[1],
                                  .pidfile_when = RSD_PIDFILE_AT_READY,
                                  .pidfile_mode = 0644, .close_inherited = 1,
                                  .reset_signals = 1, .ready_timeout_ms = 10000)) == -1)
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
