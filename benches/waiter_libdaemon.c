#include "waiter.h"

#include <err.h>
#include <errno.h>
#include <libdaemon/dsignal.h>
#include <poll.h>
#include <signal.h>

static struct pollfd library = { .events = POLLIN };

void prepare_loop(const char *kind)
{
    (void)kind;
    if (daemon_signal_init(SIGHUP, 0) < 0 || (library.fd = daemon_signal_fd()) < 0)
        err(1, "cannot handle SIGHUP");
}

void run_loop(void)
{
    work();
    while (poll(&library, 1, -1) == -1)
        if (errno != EINTR)
            err(1, "cannot poll");
    if (daemon_signal_next() != SIGHUP)
        err(1, "cannot read the signal");
}
