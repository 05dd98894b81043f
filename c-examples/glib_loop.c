/*
 * A daemon that lives in GLib: the library is one more source of its main loop.
 * It ticks each second, runs the command once, tells how that ended and who sent HUP, and ends on
 * TERM, with the command. epoll_loop.c and libevent_loop.c are the same daemon.
 *
 * GLib has signals and children in its loop, too, by a thread of its own; but it cannot tell who
 * sent a signal, and what it spawns does not end with the daemon.
 */
#define _POSIX_C_SOURCE 200809L
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <glib-unix.h>

#include <rsdaemon.h>

static volatile sig_atomic_t shutdown_flag = 0, reload_flag = 0;
static int command_runs = 0;
static GMainLoop *loop = NULL;

static void command_ended(const struct rsd_result *result, void *arg)
{
    (void)arg;
    command_runs = 0;
    printf("%scommand ended with status %#x\n", result->out, result->status);
}

static gboolean dispatch(gint fd, GIOCondition condition, gpointer arg)
{
    struct rsd_signal_info info = {.size = sizeof info};
    (void)fd, (void)condition, (void)arg;
    rsd_dispatch();
    int stop = shutdown_flag; /* if it is raised from here on, the library is readable again */
    while (rsd_next_signal(&info) == 1)
        printf("%s from process %d of user %u\n", strsignal(info.signo), info.pid, info.uid);
    if (stop && !command_runs)
        g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

static gboolean tick(gpointer arg)
{
    (void)arg;
    puts("tick");
    return G_SOURCE_CONTINUE;
}

int main(int argc, char *argv[])
{
    if (argc < 4)
        errx(2, "usage: glib_loop PIDFILE LOG COMMAND [ARGUMENT...]");
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (install_signal_flags(&shutdown_flag, &reload_flag) == -1
        || rsd_daemonize(RSD_OPTIONS(.pidfile = argv[1], .log_file = argv[2])) == -1)
        errx(1, "%s", rsd_last_error());

    /* Made after rsd_daemonize(), which forks: neither loop survives that. */
    loop = g_main_loop_new(NULL, FALSE);
    int library = rsd_fd();
    command_runs = library != -1 && rsd_spawn(argv + 3, NULL, command_ended, NULL) != -1;
    if (!command_runs || rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());
    g_unix_fd_add(library, G_IO_IN, dispatch, NULL);
    g_timeout_add_seconds(1, tick, NULL);

    g_main_loop_run(loop);
    puts("stopped");
    return 0;
}
