/*
 * Loops by hand. A real one would wait for more than the signal, except for sigwaitinfo(2), which
 * cannot: it is the least that is possible.
 */
#include "waiter.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static sigset_t hangup;
static int signals, wake;
static volatile sig_atomic_t flag;

static void wait_readable(int fd)
{
    struct pollfd one = { .fd = fd, .events = POLLIN };
    while (poll(&one, 1, -1) == -1)
        if (errno != EINTR)
            err(1, "cannot poll");
}

static void by_signalfd(void)
{
    struct signalfd_siginfo info;
    work();
    wait_readable(signals);
    if (read(signals, &info, sizeof info) != sizeof info)
        err(1, "cannot read the signal");
}

static void by_self_pipe(void)
{
    char byte;
    work();
    wait_readable(signals);
    if (read(signals, &byte, 1) != 1)
        err(1, "cannot read the pipe");
}

static void by_sigwaitinfo(void)
{
    work();
    while (sigwaitinfo(&hangup, NULL) == -1)
        if (errno != EINTR)
            err(1, "cannot wait");
}

static void by_flag(void)
{
    while (!flag) {
        work();
        sleep(1);
    }
    flag = 0;
}

static void on_signal_write(int signo)
{
    int saved = errno;
    (void)signo;
    if (write(wake, "", 1) == -1 && errno != EAGAIN)
        _exit(1);
    errno = saved;
}

static void on_signal_set(int signo)
{
    (void)signo;
    flag = 1;
}

static void block(void)
{
    if (sigprocmask(SIG_BLOCK, &hangup, NULL) == -1)
        err(1, "cannot block SIGHUP");
}

static void handle(void (*handler)(int))
{
    struct sigaction action = { .sa_handler = handler };
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGHUP, &action, NULL) == -1)
        err(1, "cannot handle SIGHUP");
}

static void prepare_signalfd(void)
{
    block();
    signals = signalfd(-1, &hangup, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals == -1)
        err(1, "cannot get a signalfd");
}

static void prepare_self_pipe(void)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == -1)
        err(1, "cannot make a pipe");
    signals = ends[0];
    wake = ends[1];
    handle(on_signal_write);
}

static void prepare_flag(void)
{
    handle(on_signal_set);
}

static const struct loop {
    const char *kind;
    void (*prepare)(void), (*run)(void);
} loops[] = {
    { "signalfd", prepare_signalfd, by_signalfd },
    { "self-pipe", prepare_self_pipe, by_self_pipe },
    { "sigwaitinfo", block, by_sigwaitinfo },
    { "flag", prepare_flag, by_flag },
};
static const struct loop *loop;

void prepare_loop(const char *kind)
{
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
        if (strcmp(loops[i].kind, kind) == 0)
            loop = &loops[i];
    if (loop == NULL)
        errx(2, "there is no loop %s", kind);
    loop->prepare();
}

void run_loop(void)
{
    loop->run();
}
