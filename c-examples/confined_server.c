/*
 * A small server that binds port 80 as root, and then lives as nobody, without a way to the file system: it
 * answers each connection with the time of day over HTTP.
 *
 * usage: confined_server [start|stop|restart|status|run] [--pidfile PATH] [ADDRESS [PORT]]
 *
 * Whoever takes it over can answer and accept connections, and nothing else: open no file, execute nothing,
 * signal nobody, become nobody else, make no other kind of socket. "run" in a terminal prints what is in force.
 */
#define _DEFAULT_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <rsdaemon.h>

static volatile sig_atomic_t shutdown_flag = 0;

static int listen_on(const char *address, int port)
{
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

    if (inet_pton(AF_INET, address, &place.sin_addr) != 1)
        errno = EINVAL;
    else if (fd != -1 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0
             && bind(fd, (struct sockaddr *)&place, sizeof place) == 0 && listen(fd, 64) == 0)
        return fd;
    return -1;
}

/* Whatever is asked within a second. Others wait meanwhile: a server for more has its connections in the poll(2). */
static void answer(int fd)
{
    char text[4096];
    time_t now = time(NULL);
    struct timeval second = {.tv_sec = 1};

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second) == 0 && recv(fd, text, sizeof text, 0) > 0) {
        size_t length = strftime(text, sizeof text, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n%F %TZ\n",
                                 gmtime(&now));
        send(fd, text, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    close(fd);
}

int main(int argc, char *argv[])
{
    int status = rsd_command(&argc, argv, RSD_COMMAND_OPTIONS(
        .daemon = RSD_OPTIONS(.name = "confined_server", .pidfile = "confined_server",
                              .foreground = RSD_AUTOMATIC)));
    if (status != RSD_IS_DAEMON)
        return status;

    struct pollfd fds[] = {{.fd = listen_on(argc > 1 ? argv[1] : "0.0.0.0", argc > 2 ? atoi(argv[2]) : 80),
                            .events = POLLIN},
                           {.fd = rsd_fd(), .events = POLLIN}};
    if (fds[0].fd == -1)
        return rsd_fail(1, strerror(errno));
    if (install_signal_flags(&shutdown_flag, NULL) == -1
        || rsd_sandbox(RSD_SANDBOX(.limits = "core=0 nproc=0 nofile=64",
                                   .privileges = geteuid() == 0 ? RSD_PRIVILEGES(.user = "nobody") : NULL,
                                   .access = "", .promises = "stdio inet")) == -1
        || rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());
    char report[2000];
    if (rsd_sandbox_report(report, sizeof report) != -1)
        fputs(report, stdout), fflush(stdout);

    while (!shutdown_flag) {
        int fd;
        if (poll(fds, 2, -1) > 0 && (fd = accept(fds[0].fd, NULL, NULL)) != -1)
            answer(fd);
        rsd_dispatch();
    }
    return 0;
}
