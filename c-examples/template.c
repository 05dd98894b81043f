/*
 * The complete daemon template of the guide, without its own daemonize() and signal handler.
 *
 * usage: template [CONFIG [PIDFILE]]
 *
 * The hand-written daemonize() had to fork, start a session, move to "/", redirect three
 * descriptors and write the pid file. It left with status 0 right after the fork, so nobody saw a
 * later failure; let a second daemon overwrite the pid file of the first; left that file writable
 * for everybody (umask 0 before fopen); and could get a terminal again (one fork). TERM before the
 * handlers were there killed it and left the pid file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#include <rsdaemon.h>

/* Set by TERM and INT */
static volatile sig_atomic_t shutdown_flag = 0;

int main(int argc, char *argv[])
{
    const char *config = argc > 1 ? argv[1] : "/etc/mydaemon.conf";
    const char *pidfile = argc > 2 ? argv[2] : "/var/run/mydaemon.pid";

    /* Pre-daemonize: check for required files */
    if (access(config, R_OK) < 0) {
        fprintf(stderr, "Config file not found: %s\n", config);
        exit(EXIT_FAILURE);
    }

    /* Before the pid file tells anybody whom to signal; HUP and PIPE are ignored */
    if (install_signal_flags(&shutdown_flag, NULL) < 0) {
        fprintf(stderr, "mydaemon: %s\n", rsd_last_error());
        exit(EXIT_FAILURE);
    }

    /* Daemonize: a failure is reported here, on the terminal */
    if (daemonize(pidfile) < 0) {
        fprintf(stderr, "mydaemon: %s\n", rsd_last_error());
        exit(EXIT_FAILURE);
    }

    /* Now we're a daemon - use syslog for logging */
    openlog("mydaemon", LOG_PID, LOG_DAEMON);
    syslog(LOG_INFO, "mydaemon started (PID %d)", (int)getpid());

    /* Main daemon loop */
    while (!shutdown_flag) {
        /* Perform periodic work */
        syslog(LOG_DEBUG, "Daemon working...");

        /* Sleep for 10 seconds; a signal ends it early */
        rsd_wait(10 * 1000);
    }

    /* Cleanup: the pid file goes when main returns */
    syslog(LOG_INFO, "mydaemon shutting down");
    closelog();

    return EXIT_SUCCESS;
}
