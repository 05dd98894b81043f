/*
 * A daemon whose program can be replaced while it serves: SIGUSR2, or the control command "upgrade", starts what is
 * installed by then. No client is refused or cut off, and if the new program does not get ready, nothing has happened.
 *
 * usage: echo_server [start|stop|restart|status|run] [--pidfile PATH] [-l ADDRESS] [-c SOCKET]
 *
 *     echo upgrade | socat -t 60 - UNIX-CONNECT:/run/echo_server.control
 *
 * Whoever connects gets back what he sends (RFC 862), and is served by the process that took him to the end.
 */
#define _XOPEN_SOURCE 700 /* getopt */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <rsdaemon.h>

enum { MAIN_LOOP, SERVER, CLIENTS, MOST = CLIENTS + 100 };

static volatile sig_atomic_t shutdown_flag, reload_flag, upgrade_flag;
static struct pollfd polled[MOST];
static int count = CLIENTS;

static int upgrade(void)
{
    if (rsd_upgrade(NULL, 30000) == -1) {
        rsd_log(LOG_ERR, "%s", rsd_last_error());
        return -1;
    }
    close(polled[SERVER].fd); /* the new process accepts from now on */
    polled[SERVER].fd = -1;
    return 0;
}

static void upgrade_command(struct rsd_control_request *request, void *none)
{
    (void)none;
    if (upgrade() == -1)
        rsd_control_fail(request, rsd_last_error());
}

static int echo(int client)
{
    char bytes[4096];
    ssize_t length = recv(client, bytes, sizeof bytes, 0);
    return length > 0 && send(client, bytes, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) == length;
}

static void serve(void)
{
    for (int i = count; i-- > CLIENTS;) {
        if (polled[i].revents && !echo(polled[i].fd)) {
            close(polled[i].fd);
            polled[i] = polled[--count];
        }
    }
    if (polled[SERVER].revents && count < MOST) {
        int client = accept(polled[SERVER].fd, NULL, NULL);
        if (client != -1)
            polled[count++] = (struct pollfd){ .fd = client, .events = POLLIN };
    }
    polled[SERVER].events = count < MOST ? POLLIN : 0;
}

int main(int argc, char *argv[])
{
    int status = rsd_command(&argc, argv, RSD_COMMAND_OPTIONS(
        .usage = "  -l ADDRESS      where to listen, as 127.0.0.1:7 (the default is port 7)\n"
                 "  -c SOCKET       where it is told to upgrade (the default is /run/echo_server.control)",
        .daemon = RSD_OPTIONS(.name = "echo_server", .pidfile = "echo_server", .foreground = RSD_AUTOMATIC)));
    if (status != RSD_IS_DAEMON)
        return status;

    const char *address = "7", *control = "/run/echo_server.control";
    int option;
    while ((option = getopt(argc, argv, "l:c:")) != -1) {
        if (option == 'l')
            address = optarg;
        else if (option == 'c')
            control = optarg;
        else
            return rsd_fail(2, "see --help");
    }
    rsd_open_log(RSD_LOG_OPTIONS(.name = "echo_server", .to_syslog = 1, .to_stderr = 1));
    polled[SERVER] = (struct pollfd){ .fd = rsd_listen(RSD_SOCKET(.name = "echo", .address = address)), .events = POLLIN };
    polled[MAIN_LOOP] = (struct pollfd){ .fd = rsd_fd(), .events = POLLIN };
    if (polled[SERVER].fd == -1 || polled[MAIN_LOOP].fd == -1
        || install_signal_flags(&shutdown_flag, &reload_flag) == -1
        || rsd_flag_signal(SIGUSR2, &upgrade_flag, 1) == -1
        || rsd_open_control(control, 0600, NULL) == -1
        || rsd_control_command("upgrade", "go on as the program that is installed now", upgrade_command, NULL) == -1
        || rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());

    /* After an upgrade until the last client has left. */
    while (!shutdown_flag && (polled[SERVER].fd != -1 || count > CLIENTS)) {
        if (poll(polled, (nfds_t)count, -1) == -1) {
            if (errno != EINTR)
                return rsd_fail(1, "poll failed");
            continue;
        }
        serve();
        if (polled[MAIN_LOOP].revents)
            rsd_dispatch(); /* signals, the control socket, the watchdog */
        if (upgrade_flag) {
            upgrade_flag = 0;
            upgrade();
        }
    }
    return 0;
}
