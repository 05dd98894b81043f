/*
 * The guide's SimpleDaemon (Python, without packages), with start, stop, restart and status besides.
 *
 * usage: simple_daemon [start [LOG]|stop|restart [LOG]|status|run [LOG]] [--pidfile PATH]
 *
 * Works every ten seconds, also after a round that failed; logs to a file and to stderr; ends on TERM and INT;
 * HUP does nothing; the pid file is gone at the end. SimpleDaemon left with status 0 before it was known
 * whether it would run, ran twice if it was started twice and then lost the pid of the first, left a pid file
 * after a failed start, and took up to ten seconds to see TERM. Nothing could stop it or tell of it but an init
 * script with code of its own.
 */
#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <rsdaemon.h>

static volatile sig_atomic_t shutdown_flag = 0;

/* What this daemon is for; -1 and errno where it fails. */
static int do_work(void)
{
    rsd_log(LOG_INFO, "Performing work...");
    return 0;
}

int main(int argc, char *argv[])
{
    int status = rsd_command(&argc, argv, RSD_COMMAND_OPTIONS(
        .daemon = RSD_OPTIONS(.name = "mydaemon", .pidfile = "mydaemon", .foreground = RSD_AUTOMATIC)));
    if (status != RSD_IS_DAEMON)
        return status;

    const char *log = argc > 1 ? argv[1] : "/var/log/daemon.log";
    if (rsd_open_log(RSD_LOG_OPTIONS(.name = "mydaemon", .file = log, .to_stderr = 1)) == -1
        || install_signal_flags(&shutdown_flag, NULL) == -1 || rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error()); /* shown by who started it */
    rsd_log(LOG_INFO, "Daemon started with PID %d", (int)getpid());

    while (!shutdown_flag) {
        if (do_work() == -1)
            rsd_log(LOG_ERR, "Error in loop: %s", strerror(errno));
        rsd_wait(10 * 1000);
    }
    rsd_log(LOG_INFO, "Shutting down");
    return 0;
}
