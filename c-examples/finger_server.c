/*
 * A daemon in two parts: whoever talks to strangers is nobody, has no way to files, and is started again when it crashes;
 * a small parent keeps the rights, and opens for it the files that it may have.
 *
 * usage: finger_server [start|stop|status|run] [--pidfile PATH] [-l ADDRESS] [-d FOLDER]
 *
 * Whoever connects sends a name, and gets what stands in FOLDER/NAME (after RFC 1288). Only root may look into FOLDER.
 */
#define _XOPEN_SOURCE 700 /* getopt, openat, O_NOFOLLOW */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <syslog.h>
#include <unistd.h>

#include <rsdaemon.h>

static volatile sig_atomic_t shutdown_flag, reload_flag;

/* In the parent, which believes nothing: the worker may be somebody else's by now. */
static int open_plan(const void *name, size_t length, void *answer, int *fd, void *folder)
{
    char path[64];
    struct stat status;
    (void)answer;
    errno = ENOENT;
    if (length == 0 || length >= sizeof path || memchr(name, '/', length) || memchr(name, '\0', length))
        return -1;
    memcpy(path, name, length);
    path[length] = '\0';
    *fd = openat(*(int *)folder, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return *fd != -1 && fstat(*fd, &status) == 0 && S_ISREG(status.st_mode) ? 0 : -1;
}

/* In the worker. */
static void serve(int client)
{
    char bytes[4096];
    int plan = -1;
    struct timeval limit = { .tv_sec = 5 };
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ssize_t length = recv(client, bytes, sizeof bytes - 1, 0);
    if (length > 0) {
        bytes[length] = '\0';
        if (rsd_ask_parent(bytes, strcspn(bytes, "\r\n"), NULL, 0, &plan) == -1)
            length = (ssize_t)strlen(strcpy(bytes, "no plan\n"));
        else
            length = read(plan, bytes, sizeof bytes);
        if (send(client, bytes, length > 0 ? (size_t)length : 0, MSG_NOSIGNAL | MSG_DONTWAIT) == -1)
            rsd_log(LOG_INFO, "a client is gone: %s", strerror(errno));
    }
    if (plan != -1)
        close(plan);
    close(client);
}

int main(int argc, char *argv[])
{
    int status = rsd_command(&argc, argv, RSD_COMMAND_OPTIONS(
        .usage = "  -l ADDRESS      where to listen, as 127.0.0.1:79 (the default is port 79)\n"
                 "  -d FOLDER       where the plans are (the default is /var/lib/finger)",
        .daemon = RSD_OPTIONS(.name = "finger_server", .pidfile = "finger_server", .foreground = RSD_AUTOMATIC)));
    if (status != RSD_IS_DAEMON)
        return status;

    const char *address = "79", *path = "/var/lib/finger";
    int option;
    while ((option = getopt(argc, argv, "l:d:")) != -1) {
        if (option == 'l')
            address = optarg;
        else if (option == 'd')
            path = optarg;
        else
            return rsd_fail(2, "see --help");
    }
    rsd_open_log(RSD_LOG_OPTIONS(.name = "finger_server", .to_syslog = 1, .to_stderr = 1));
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder == -1)
        return rsd_fail(1, "there is no folder of plans");
    int server = rsd_listen(RSD_SOCKET(.name = "finger", .address = address));
    if (server == -1)
        return rsd_fail(1, rsd_last_error());

    status = rsd_keep_alive(RSD_KEEP_ALIVE(.answer = open_plan, .arg = &folder));
    if (status != RSD_IS_WORKER)
        return status; /* the parent, when all is over */

    close(folder);
    if (install_signal_flags(&shutdown_flag, &reload_flag) == -1
        || rsd_sandbox(RSD_SANDBOX(.privileges = RSD_PRIVILEGES(.user = "nobody"), .promises = "stdio inet")) == -1
        || rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());
    while (!shutdown_flag) {
        struct pollfd polled[] = { { .fd = server, .events = POLLIN }, { .fd = rsd_fd(), .events = POLLIN } };
        if (poll(polled, 2, -1) == -1 && errno != EINTR)
            return rsd_fail(1, "poll failed");
        if (polled[0].revents) {
            int client = accept(server, NULL, NULL);
            if (client != -1)
                serve(client);
        }
        if (polled[1].revents)
            rsd_dispatch();
    }
    return 0;
}
