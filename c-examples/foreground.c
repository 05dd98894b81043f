/*
 * The same daemon in the foreground or in the background, which says when it is ready, or why not.
 *
 * usage: foreground [--foreground] [--config FILE] [--pidfile FILE]
 *
 * The hand-written version left daemonize() out with --foreground, and with it the pid file: what
 * ran in the terminal was not what ran later, and nothing kept the two apart. It did not look at
 * what daemonize() returned. Whatever failed after the fork, such as reading the configuration, was
 * told to nobody: the process that the user had started was gone, with status 0.
 */
#define _POSIX_C_SOURCE 200809L
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <rsdaemon.h>

static volatile sig_atomic_t shutdown_flag = 0;

int main(int argc, char *argv[])
{
    const char *config = "/etc/mydaemon.conf";
    const char *pidfile = "mydaemon"; /* stands for /run/mydaemon.pid */
    int foreground = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--foreground") == 0)
            foreground = 1;
        else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            config = argv[++i];
        else if (strcmp(argv[i], "--pidfile") == 0 && i + 1 < argc)
            pidfile = argv[++i];
        else
            errx(2, "usage: [--foreground] [--config FILE] [--pidfile FILE]");
    }
    if (config[0] != '/')
        errx(2, "%s: an absolute path, please, since a daemon works in \"/\"", config);

    if (install_signal_flags(&shutdown_flag, NULL) == -1)
        errx(1, "%s", rsd_last_error());

    if (rsd_daemonize(RSD_OPTIONS(.name = "mydaemon", .pidfile = pidfile,
                                  .foreground = foreground)) == -1)
        errx(1, "%s", rsd_last_error());

    /* From here on we may be the daemon, but whoever started it still waits and listens. */
    FILE *file = fopen(config, "r");
    if (file == NULL) {
        char text[300];
        snprintf(text, sizeof text, "cannot read %s: %s", config, strerror(errno));
        return rsd_fail(3, text);
    }
    fclose(file); /* a real daemon would read it */

    if (rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());

    puts("ready"); /* seen in the foreground only */
    fflush(stdout);

    while (!shutdown_flag)
        rsd_wait(-1);

    puts("stopped");
    return 0;
}
