/* With readiness: the launcher leaves when the daemon has called rsd_ready(). */
#include <err.h>
#include <signal.h>
#include <unistd.h>

#include <rsdaemon.h>

static volatile sig_atomic_t shutdown_flag, reload_flag;

int main(int argc, char *argv[])
{
    if (argc != 3)
        errx(2, "usage: fault_options PIDFILE LOGFILE");
    if (rsd_daemonize(RSD_OPTIONS(.name = "fault_options", .pidfile = argv[1], .log_file = argv[2],
                                  .stdio = RSD_STDIO_KEEP_UNTIL_READY)) == -1)
        errx(1, "%s", rsd_last_error());
    if (install_signal_flags(&shutdown_flag, &reload_flag) == -1)
        return rsd_fail(1, rsd_last_error());
    if (rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());

    close(-1000002); /* tells the tracer that the daemon is up */
    while (!shutdown_flag)
        sleep(10);
    return 0;
}
