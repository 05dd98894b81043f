#include "logger.h"

#include <err.h>
#include <rsdaemon.h>
#include <string.h>
#include <syslog.h>

static bool is_string;

unsigned lost_lines(void)
{
    struct rsd_log_state state = { .size = sizeof state };
    if (rsd_get_log_state(&state) == -1)
        errx(1, "%s", rsd_last_error());
    return state.file_lost + state.syslog_lost;
}

void log_line(int connection)
{
    if (is_string)
        rsd_log_string(LOG_INFO, "connection 0000000 from " FROM " closed after 10000000 bytes");
    else
        rsd_log(LOG_INFO, MESSAGE, connection, FROM, BYTES(connection));
}

void prepare_log(const char *kind, const char *path)
{
    struct rsd_log_options options = { .size = sizeof options, .name = "bench" };
    is_string = strcmp(kind, "string") == 0;
    if (strcmp(kind, "syslog") == 0)
        options.to_syslog = 1;
    else
        options.file = path;
    if (strcmp(kind, "may rotate") == 0)
        options.file_limit = 1 << 30;
    else if (strcmp(kind, "rotates") == 0)
        options.file_limit = 64 << 10;
    if (rsd_open_log(&options) == -1)
        errx(1, "%s", rsd_last_error());
}
