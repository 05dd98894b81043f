#include "control.h"

#include <err.h>
#include <rsdaemon.h>

static void get(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    rsd_control_print(request, "%d\n", 42);
}

void serve(const char *kind, const char *path)
{
    (void)kind;
    if (rsd_open_control(path, 0600, NULL) == -1 ||
        rsd_control_query("get", "speed: tell the speed", get, NULL) == -1)
        errx(1, "%s", rsd_last_error());
    say_ready();
    for (;;)
        if (rsd_wait(-1) == -1)
            errx(1, "%s", rsd_last_error());
}
