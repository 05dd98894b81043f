/*
 * A daemon with an epoll loop of its own: the library is one more descriptor in it.
 * It ticks each second, runs the command once, tells how that ended and who sent HUP, and ends on
 * TERM, with the command. libevent_loop.c and glib_loop.c are the same daemon.
 *
 * By hand, such a loop needs a pipe that the signal handlers write to, and somebody has to find out
 * which of all children SIGCHLD is about.
 */
#define _POSIX_C_SOURCE 200809L
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <rsdaemon.h>

static volatile sig_atomic_t shutdown_flag = 0, reload_flag = 0;
static int command_runs = 0;

static void command_ended(const struct rsd_result *result, void *arg)
{
    (void)arg;
    command_runs = 0;
    printf("%scommand ended with status %#x\n", result->out, result->status);
}

static int add(int loop, int fd)
{
    return epoll_ctl(loop, EPOLL_CTL_ADD, fd, &(struct epoll_event){EPOLLIN, {.fd = fd}});
}

int main(int argc, char *argv[])
{
    if (argc < 4)
        errx(2, "usage: epoll_loop PIDFILE LOG COMMAND [ARGUMENT...]");
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (install_signal_flags(&shutdown_flag, &reload_flag) == -1
        || rsd_daemonize(RSD_OPTIONS(.pidfile = argv[1], .log_file = argv[2])) == -1)
        errx(1, "%s", rsd_last_error());

    /* Asked for after rsd_daemonize(), which forks: each process has its own. */
    int loop = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec each_second = {{1, 0}, {1, 0}};
    if (add(loop, rsd_fd()) == -1 || add(loop, timer) == -1
        || timerfd_settime(timer, 0, &each_second, NULL) == -1)
        return rsd_fail(1, "no loop");
    command_runs = rsd_spawn(argv + 3, NULL, command_ended, NULL) != -1;
    if (!command_runs || rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());

    struct epoll_event event;
    struct rsd_signal_info info = {.size = sizeof info};
    uint64_t ticks;
    for (int stop = 0; !stop || command_runs;) {
        if (epoll_wait(loop, &event, 1, -1) == 1 && event.data.fd == timer
            && read(timer, &ticks, sizeof ticks) > 0)
            puts("tick");
        rsd_dispatch(); /* does nothing where nothing is to be done */
        stop = shutdown_flag; /* if it is raised from here on, the library is readable again */
        while (rsd_next_signal(&info) == 1)
            printf("%s from process %d of user %u\n", strsignal(info.signo), info.pid, info.uid);
    }
    puts("stopped");
    return 0;
}
