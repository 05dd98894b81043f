/*
 * The guide's template in a program that keeps its own daemonize(), with its callers, and has the
 * work done by rsd_daemonize(). Its functions are global, as in the guide: the library must not
 * call them instead of its own.
 */
#define RSDAEMON_NO_DROP_IN_NAMES
#include <rsdaemon.h>

#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

static volatile sig_atomic_t shutdown_flag = 0;
static int calls = 0;

int daemonize(const char *pidfile_path)
{
    calls++;
    if (rsd_daemonize(RSD_OPTIONS(.pidfile = pidfile_path)) < 0) {
        fprintf(stderr, "%s\n", rsd_last_error());
        return -1;
    }
    openlog("mydaemon", LOG_PID, LOG_DAEMON);
    return 0;
}

int lock_pidfile(const char *pidfile)
{
    calls++;
    return rsd_lock_pidfile(pidfile);
}

void install_signal_flags(void) /* not even the same type */
{
    calls++;
    if (rsd_install_signal_flags(&shutdown_flag, NULL) < 0)
        exit(EXIT_FAILURE);
}

int main(int argc, char *argv[])
{
    if (argc != 3)
        return 2;
    install_signal_flags();
    if (lock_pidfile(argv[2]) < 0 || daemonize(argv[1]) < 0)
        exit(EXIT_FAILURE);
    if (calls != 3)
        return rsd_fail(4, "the library calls the program's functions");
    if (rsd_ready() < 0)
        exit(EXIT_FAILURE);

    syslog(LOG_INFO, "mydaemon started (PID %d)", (int)getpid());
    while (!shutdown_flag)
        sleep(1);
    syslog(LOG_INFO, "mydaemon shutting down");
    return EXIT_SUCCESS;
}
