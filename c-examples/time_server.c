/*
 * One program for every way to be started: by hand, by an init script, by systemd as a notify, forking or
 * socket-activated service, by s6, runit or inetd, and as process 1 of a container. supervisors/ has a unit or script
 * for each. Whoever connects is told the time (RFC 867).
 *
 * usage: time_server [start|stop|restart|reload|status|run] [--pidfile PATH] [--user USER] [--background] [--notify-fd FD]
 *                    [-l ADDRESS]
 *
 * Nothing below asks who has started it.
 */
#define _XOPEN_SOURCE 700 /* getopt */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <rsdaemon.h>

static volatile sig_atomic_t shutdown_flag, reload_flag;

static void serve(int client)
{
    time_t now = time(NULL);
    char text[64];
    size_t length = strftime(text, sizeof text, "%A, %B %d, %Y %H:%M:%S-UTC\r\n", gmtime(&now));
    if (send(client, text, length, MSG_NOSIGNAL | MSG_DONTWAIT) == -1)
        rsd_log(LOG_INFO, "a client is gone: %s", strerror(errno));
    close(client);
}

int main(int argc, char *argv[])
{
    int status = rsd_command(&argc, argv, RSD_COMMAND_OPTIONS(
        .usage = "  -l ADDRESS      where to listen, as 127.0.0.1:13 (the default is port 13)",
        .daemon = RSD_OPTIONS(.name = "time_server", .pidfile = "time_server", .foreground = RSD_AUTOMATIC)));
    if (status != RSD_IS_DAEMON)
        return status;

    const char *address = "13";
    int option;
    while ((option = getopt(argc, argv, "l:")) != -1) {
        if (option != 'l')
            return rsd_fail(2, "see --help");
        address = optarg;
    }
    rsd_open_log(RSD_LOG_OPTIONS(.name = "time_server", .to_syslog = 1, .to_stderr = 1));
    int server = rsd_listen(RSD_SOCKET(.name = "time", .address = address));
    if (server == -1 || install_signal_flags(&shutdown_flag, &reload_flag) == -1
        || rsd_sandbox(RSD_SANDBOX(.best_effort = 1, .promises = "stdio inet unix")) == -1
        || rsd_status("telling the time") == -1 || rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());

    while (!shutdown_flag) {
        struct pollfd polled[] = { { .fd = server, .events = POLLIN }, { .fd = rsd_fd(), .events = POLLIN } };
        if (reload_flag) {
            reload_flag = 0;
            rsd_begin_reload();
            /* Where there is a configuration it is read here. */
            rsd_commit_reload();
        }
        if (poll(polled, 2, -1) == -1 && errno != EINTR)
            return rsd_fail(1, "poll failed");
        if (polled[0].revents)
            serve(accept(server, NULL, NULL));
        if (polled[1].revents)
            rsd_dispatch(); /* signals, the watchdog */
    }
    return 0;
}
