/* The drop-in way: signal flags, then daemonize() with a pid file. */
#include <err.h>
#include <signal.h>
#include <unistd.h>

#include <rsdaemon.h>

static volatile sig_atomic_t shutdown_flag, reload_flag;

int main(int argc, char *argv[])
{
    if (argc != 2)
        errx(2, "usage: fault_daemonize PIDFILE");
    if (install_signal_flags(&shutdown_flag, &reload_flag) == -1)
        errx(1, "%s", rsd_last_error());
    if (daemonize(argv[1]) == -1)
        errx(1, "%s", rsd_last_error());

    close(-1000002); /* tells the tracer that the daemon is up */
    while (!shutdown_flag)
        sleep(10);
    return 0;
}
