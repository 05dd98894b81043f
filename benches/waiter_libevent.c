#include "waiter.h"

#include <err.h>
#include <event2/event.h>
#include <signal.h>

static struct event_base *base;
static bool is_seen;

static void on_signal(evutil_socket_t signo, short events, void *arg)
{
    (void)signo;
    (void)events;
    (void)arg;
    is_seen = true;
}

void prepare_loop(const char *kind)
{
    (void)kind;
    base = event_base_new();
    struct event *event = base == NULL ? NULL : evsignal_new(base, SIGHUP, on_signal, NULL);
    if (event == NULL || event_add(event, NULL) == -1)
        errx(1, "cannot handle SIGHUP");
}

void run_loop(void)
{
    for (is_seen = false; !is_seen;) {
        work();
        if (event_base_loop(base, EVLOOP_ONCE) == -1)
            errx(1, "cannot run the loop");
    }
}
