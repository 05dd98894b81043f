/*
 * A daemon that is told what to do while it runs.
 *
 * usage: control_socket PIDFILE SOCKET CONFIG
 *
 *     echo status       | socat -t 60 - UNIX-CONNECT:SOCKET
 *     echo reload       | socat -t 60 - UNIX-CONNECT:SOCKET
 *     echo greet Ada    | socat -t 60 - UNIX-CONNECT:SOCKET
 *
 * CONFIG is one line, the greeting. A reload that finds none keeps the old one and says so to whoever
 * asked for it. Everybody may ask for the status and a greeting; reload, stop and the like are for the user that
 * runs the daemon and for root.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <rsdaemon.h>

static volatile sig_atomic_t shutdown_flag, reload_flag;
static char greeting[80];
static unsigned int greeted;

/* Returns NULL, or why the old greeting stays. */
static const char *load(const char *path)
{
    char line[sizeof greeting];
    FILE *file = fopen(path, "r");
    if (!file)
        return strerror(errno);
    char *read = fgets(line, sizeof line, file);
    fclose(file);
    if (!read || line[0] == '\n')
        return "there is no greeting in it";
    line[strcspn(line, "\n")] = '\0';
    strcpy(greeting, line);
    return NULL;
}

static void greet(struct rsd_control_request *request, void *arg)
{
    unsigned int *count = arg;
    if (request->argc != 2) {
        rsd_control_fail(request, "usage: greet NAME");
        return;
    }
    rsd_control_print(request, "%s, %s\n", greeting, request->argv[1]);
    *count += 1;
}

int main(int argc, char *argv[])
{
    char status[40];
    if (argc != 4)
        errx(2, "usage: control_socket PIDFILE SOCKET CONFIG");
    if (install_signal_flags(&shutdown_flag, &reload_flag) == -1)
        errx(1, "%s", rsd_last_error());
    /* "." keeps the relative paths of this example right. */
    if (rsd_daemonize(RSD_OPTIONS(.name = "control_socket", .pidfile = argv[1], .directory = ".")) == -1)
        errx(1, "%s", rsd_last_error());

    const char *failed = load(argv[3]);
    if (failed)
        return rsd_fail(1, failed);
    if (rsd_open_control(argv[2], 0666, NULL) == -1 ||
        rsd_control_query("greet", "NAME: greet somebody", greet, &greeted) == -1)
        return rsd_fail(1, rsd_last_error());
    if (rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());

    while (!shutdown_flag) {
        if (reload_flag) {
            reload_flag = 0;
            rsd_begin_reload();
            failed = load(argv[3]);
            if (failed)
                rsd_abort_reload(failed);
            else
                rsd_commit_reload();
        }
        snprintf(status, sizeof status, "greeted %u times", greeted);
        rsd_status(status);
        rsd_wait(-1); /* serves the socket, and ends when a signal or a command has come */
    }
    return 0; /* socket and pid file are removed */
}
