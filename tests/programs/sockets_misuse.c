/* rsd_listen() and its kin with arguments that are none. */
#include <err.h>
#include <errno.h>
#include <rsdaemon.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void refused(const char *what, int result, int expected)
{
    if (result != -1 || errno != expected || *rsd_last_error() == '\0')
        errx(1, "%s: %d, %s, %s", what, result, strerror(errno), rsd_last_error());
}

int main(void)
{
    struct rsd_socket_options none = { 0 };
    struct {
        struct rsd_socket_options known;
        long more;
    } newer = { { .size = sizeof newer, .address = "1" }, 1 };

    refused("NULL", rsd_listen(NULL), EINVAL);
    refused("no size", rsd_listen(&none), EINVAL);
    refused("newer", rsd_listen(&newer.known), E2BIG);
    refused("nothing", rsd_listen(RSD_SOCKET(.name = "x")), ENOENT);
    refused("type", rsd_listen(RSD_SOCKET(.address = "1", .type = SOCK_RAW)), EINVAL);
    refused("backlog", rsd_listen(RSD_SOCKET(.address = "1", .backlog = -1)), EINVAL);
    refused("mode", rsd_listen(RSD_SOCKET(.address = "/tmp/never", .mode = 01777)), EINVAL);
    refused("owner", rsd_listen(RSD_SOCKET(.address = "/tmp/never", .owner = "no-such-user")), EINVAL);
    refused("folder", rsd_listen(RSD_SOCKET(.address = "/nowhere/never")), ENOENT);
    refused("port", rsd_is_socket_inet(0, 0, 0, 0, 65536), EINVAL);
    refused("port", rsd_is_socket_inet(0, 0, 0, 0, -1), EINVAL);
    refused("state", rsd_notify(NULL), EINVAL);
    refused("state", rsd_notify(""), EINVAL);
    refused("fds", rsd_notify_fds("FDSTORE=1", NULL, 1), EINVAL);
    refused("count", rsd_notify_fds("FDSTORE=1", (int[254]){ 0 }, 254), EINVAL);
    refused("timeout", rsd_notify_barrier(-2), EINVAL);
    if (rsd_listen_fd_name(-1) != NULL || rsd_listen_fd_name(3) != NULL)
        errx(1, "a name of what was not passed");
    return 0;
}
