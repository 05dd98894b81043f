/*
 * A daemon that logs to a file and to syslog at once, and lets logrotate(8) move the file.
 *
 * usage: log_to_file_and_syslog [--pidfile FILE] [--log FILE] [--interval MILLISECONDS] [--limit LOAD]
 *
 * It notes the load of the machine; a load above the limit is a warning. USR1 opens the log file again, as
 * log_to_file_and_syslog.logrotate asks for; so does HUP, which also starts to count anew. Without either it
 * sees within two seconds that the file was moved. TERM and INT end it.
 *
 * By hand this is a FILE * and openlog(): after logrotate the one goes on in the moved file until
 * somebody writes a handler for it, and the other stops the daemon when nobody reads /dev/log.
 */
#define _DEFAULT_SOURCE
#include <err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <rsdaemon.h>

static volatile sig_atomic_t shutdown_flag = 0, reload_flag = 0;

static double number(const char *name, const char *text)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value > 0 && value <= 24 * 3600 * 1000))
        errx(2, "%s %s makes no sense", name, text);
    return value;
}

/* Level by level what the daemon sees. */
static void note_load(unsigned long count, double limit)
{
    double load;

    if (getloadavg(&load, 1) != 1)
        rsd_log(LOG_ERR, "%lu: the load is not known", count);
    else if (load > limit)
        rsd_log(LOG_WARNING, "%lu: load %.2f is above %.2f", count, load, limit);
    else
        rsd_log(LOG_INFO, "%lu: load %.2f", count, load);
}

int main(int argc, char *argv[])
{
    const char *pidfile = "load-watcher"; /* stands for /run/load-watcher.pid */
    const char *log = "/var/log/load-watcher.log";
    double interval = 60 * 1000, limit = 4;
    unsigned long count = 0;

    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--pidfile") == 0)
            pidfile = value;
        else if (strcmp(argv[i], "--log") == 0)
            log = value;
        else if (strcmp(argv[i], "--interval") == 0)
            interval = number(argv[i], value);
        else if (strcmp(argv[i], "--limit") == 0)
            limit = number(argv[i], value);
        else
            errx(2, "%s makes no sense", argv[i]);
    }

    /* Before the daemon is one, so that a log that cannot be written is told to whoever starts it. */
    if (rsd_open_log(RSD_LOG_OPTIONS(.name = "load-watcher", .file = log, .to_syslog = 1,
                                     .reopen_signal = SIGUSR1)) == -1
        || rsd_daemonize(RSD_OPTIONS(.name = "load-watcher", .pidfile = pidfile,
                                     .reset_signals = 1)) == -1)
        errx(1, "%s", rsd_last_error());

    if (install_signal_flags(&shutdown_flag, &reload_flag) == -1 || rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());
    rsd_log(LOG_NOTICE, "started, every %.0f ms", interval);

    while (!shutdown_flag) {
        note_load(++count, limit);
        rsd_wait((int)interval);
        if (!reload_flag)
            continue;
        reload_flag = 0;
        count = 0;
        if (rsd_reopen_log() == -1)
            rsd_log(LOG_ERR, "%s", rsd_last_error()); /* into the old file */
        rsd_log(LOG_NOTICE, "counts anew");
    }

    rsd_log(LOG_NOTICE, "stopped");
    return 0;
}
