/*
 * A daemon that lives in libevent: the library is one more event of its loop.
 * It ticks each second, runs the command once, tells how that ended and who sent HUP, and ends on
 * TERM, with the command. epoll_loop.c and glib_loop.c are the same daemon.
 * libevent's own signal events name no sender and are lost while its pipe is full.
 */
#define _POSIX_C_SOURCE 200809L
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <event2/event.h>

#include <rsdaemon.h>

static volatile sig_atomic_t shutdown_flag = 0, reload_flag = 0;
static int command_runs = 0;
static struct event_base *loop = NULL;

static void command_ended(const struct rsd_result *result, void *arg)
{
    (void)arg;
    command_runs = 0;
    printf("%scommand ended with status %#x\n", result->out, result->status);
}

static void dispatch(evutil_socket_t fd, short what, void *arg)
{
    struct rsd_signal_info info = {.size = sizeof info};
    (void)fd, (void)what, (void)arg;
    rsd_dispatch();
    int stop = shutdown_flag; /* if it is raised from here on, the library is readable again */
    while (rsd_next_signal(&info) == 1)
        printf("%s from process %d of user %u\n", strsignal(info.signo), info.pid, info.uid);
    if (stop && !command_runs)
        event_base_loopbreak(loop);
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    puts("tick");
}

int main(int argc, char *argv[])
{
    if (argc < 4)
        errx(2, "usage: libevent_loop PIDFILE LOG COMMAND [ARGUMENT...]");
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (install_signal_flags(&shutdown_flag, &reload_flag) == -1
        || rsd_daemonize(RSD_OPTIONS(.pidfile = argv[1], .log_file = argv[2])) == -1)
        errx(1, "%s", rsd_last_error());

    /* Made after rsd_daemonize(), which forks: neither loop survives that. */
    loop = event_base_new();
    struct event *library = event_new(loop, rsd_fd(), EV_READ | EV_PERSIST, dispatch, NULL);
    struct event *timer = event_new(loop, -1, EV_PERSIST, tick, NULL);
    if (library == NULL || timer == NULL || event_add(library, NULL) == -1
        || event_add(timer, &(struct timeval){.tv_sec = 1}) == -1)
        return rsd_fail(1, "no loop");
    command_runs = rsd_spawn(argv + 3, NULL, command_ended, NULL) != -1;
    if (!command_runs || rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());

    event_base_dispatch(loop);
    puts("stopped");
    return 0;
}
