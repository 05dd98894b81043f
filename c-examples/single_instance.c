/*
 * One instance at a time, in the foreground, by the guide's lock file.
 *
 * usage: single_instance PIDFILE
 *
 * The hand-written lock_pidfile() had to open, lock, empty and write the file. It returned -1 for
 * "already running" and for "no permission" alike and could not tell who runs, since it opened the
 * file only for writing. Readers could find the file empty, before the pid was in it. Programs that
 * the daemon started inherited the lock (no O_CLOEXEC), so that it outlived the daemon. A symbolic
 * link was followed, and what it pointed to was emptied.
 */
#define _POSIX_C_SOURCE 200809L
#include <err.h>
#include <signal.h>
#include <stdio.h>

#include <rsdaemon.h>

static volatile sig_atomic_t shutdown_flag = 0;

int main(int argc, char *argv[])
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s PIDFILE\n", argv[0]);
        return 2;
    }

    if (install_signal_flags(&shutdown_flag, NULL) == -1)
        errx(1, "%s", rsd_last_error());

    int lock = lock_pidfile(argv[1]);
    if (lock == -1)
        errx(1, "%s", rsd_last_error());

    puts("running");
    fflush(stdout);

    while (!shutdown_flag)
        rsd_wait(-1);

    if (rsd_remove_pidfile(argv[1], lock) == -1)
        errx(1, "%s", rsd_last_error());
    return 0;
}
