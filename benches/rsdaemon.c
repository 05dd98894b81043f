/*
 * The start with this library.
 */
#include "tiny_daemon.h"

#include <rsdaemon.h>

int main(int argc, char *argv[])
{
    int64_t called_at = prepare(argc, argv);
    if (daemonize(argv[1]) == -1)
        errx(1, "%s", rsd_last_error());
    return serve(argv, called_at);
}
