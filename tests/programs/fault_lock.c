/* The program holds the pid file itself, from before it goes into the background. */
#include <err.h>
#include <signal.h>
#include <unistd.h>

#include <rsdaemon.h>

static volatile sig_atomic_t shutdown_flag, reload_flag;

int main(int argc, char *argv[])
{
    if (argc != 2)
        errx(2, "usage: fault_lock PIDFILE");
    if (lock_pidfile(argv[1]) == -1)
        errx(1, "%s", rsd_last_error());
    if (install_signal_flags(&shutdown_flag, &reload_flag) == -1)
        errx(1, "%s", rsd_last_error());
    if (daemonize(NULL) == -1)
        errx(1, "%s", rsd_last_error());

    close(-1000002); /* tells the tracer that the daemon is up */
    while (!shutdown_flag)
        sleep(10);
    return 0;
}
