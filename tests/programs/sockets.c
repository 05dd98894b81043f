/*
 * sockets STEP...: "daemon" goes into the background (pid file "d.pid"), "foreground" does not; "count" and "name=FD" tell
 * of what was passed; "listen=NAME:TYPE:ADDRESS" (each may be empty) tells the descriptor and what it is, and serves
 * one client if it is a stream. "is=FD" tells what it is. "ready" says that it is. "wait" serves until TERM.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t shutdown_flag;
static int listening[8], listening_count;

static void tell(int fd)
{
    printf("%d: socket %d inet %d unix %d fifo %d", fd, rsd_is_socket(fd, 0, 0, -1),
           rsd_is_socket_inet(fd, 0, 0, -1, 0), rsd_is_socket_unix(fd, 0, -1, NULL), rsd_is_fifo(fd, NULL));
    printf(" stream %d datagram %d listening %d cloexec %d\n", rsd_is_socket(fd, 0, SOCK_STREAM, -1),
           rsd_is_socket(fd, 0, SOCK_DGRAM, -1), rsd_is_socket(fd, 0, 0, 1), fcntl(fd, F_GETFD));
}

static void listen_on(char *what)
{
    char *type = strchr(what, ':'), *address = strchr(type + 1, ':');
    *type++ = *address++ = '\0';
    int fd = rsd_listen(RSD_SOCKET(.name = *what ? what : NULL, .type = atoi(type),
                                   .address = *address ? address : NULL));
    if (fd == -1) {
        printf("listen: %d %s\n", errno, rsd_last_error());
        return;
    }
    if (rsd_is_socket(fd, 0, SOCK_STREAM, 1))
        listening[listening_count++] = fd;
    tell(fd);
}

static void serve(void)
{
    while (!shutdown_flag) {
        struct pollfd polled[9] = { { .fd = rsd_fd(), .events = POLLIN } };
        for (int i = 0; i < listening_count; i++)
            polled[i + 1] = (struct pollfd){ .fd = listening[i], .events = POLLIN };
        if (poll(polled, 1 + (nfds_t)listening_count, -1) == -1 && errno != EINTR)
            err(9, "poll");
        rsd_dispatch();
        for (int i = 0; i < listening_count; i++)
            if (polled[i + 1].revents) {
                int client = accept(listening[i], NULL, NULL);
                dprintf(client, "served by %d\n", (int)getpid());
                close(client);
            }
    }
}

int main(int argc, char *argv[])
{
    struct rsd_options options = { .size = sizeof options, .directory = ".", .stdio = RSD_STDIO_KEEP,
                                   .umask = RSD_UMASK_KEEP };
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (strcmp(argv[i], "daemon") == 0 || strcmp(argv[i], "foreground") == 0) {
            options.foreground = *argv[i] == 'f';
            options.pidfile = "./d.pid";
            options.close_inherited = 1;
            if (rsd_daemonize(&options) == -1)
                errx(1, "%s", rsd_last_error());
        } else if (strcmp(argv[i], "count") == 0) {
            int count = rsd_listen_fds();
            printf("%d %s\n", count, count == -1 ? rsd_last_error() : "");
        } else if (strncmp(argv[i], "name=", 5) == 0) {
            const char *name = rsd_listen_fd_name(atoi(value + 1));
            printf("%s\n", name ? name : "NULL");
        } else if (strncmp(argv[i], "listen=", 7) == 0) {
            listen_on(value + 1);
        } else if (strncmp(argv[i], "is=", 3) == 0) {
            tell(atoi(value + 1));
        } else if (strcmp(argv[i], "ready") == 0) {
            if (rsd_flag_signal(SIGTERM, &shutdown_flag, 1) == -1 || rsd_ready() == -1)
                exit(rsd_fail(1, rsd_last_error()));
            puts("ready");
        } else if (strcmp(argv[i], "wait") == 0) {
            serve();
        } else {
            errx(9, "what is %s?", argv[i]);
        }
        fflush(stdout);
    }
    return 0;
}
