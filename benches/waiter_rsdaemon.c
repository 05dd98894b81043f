#include "waiter.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <rsdaemon.h>
#include <string.h>

static volatile sig_atomic_t flag;
static struct pollfd library = { .fd = -1, .events = POLLIN }; /* used by the loop "fd" */

void prepare_loop(const char *kind)
{
    bool has_own_poll = strcmp(kind, "fd") == 0;
    if (!has_own_poll && strcmp(kind, "wait") != 0)
        errx(2, "there is no loop %s", kind);
    if (rsd_flag_signal(SIGHUP, &flag, 1) == -1)
        errx(1, "%s", rsd_last_error());
    if (has_own_poll && (library.fd = rsd_fd()) == -1)
        errx(1, "%s", rsd_last_error());
}

static void wait_by_poll(void)
{
    if (poll(&library, 1, -1) == -1 && errno != EINTR)
        err(1, "cannot poll");
    if (rsd_dispatch() == -1)
        errx(1, "%s", rsd_last_error());
}

void run_loop(void)
{
    while (!flag) {
        work();
        if (library.fd != -1)
            wait_by_poll();
        else if (rsd_wait(-1) == -1)
            errx(1, "%s", rsd_last_error());
    }
    flag = 0;
}
