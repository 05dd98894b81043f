/*
 * The wireless monitor of the guide: scans every minute, tells syslog and its log what it saw.
 *
 * usage: wireless_monitor [--scan COMMAND] [--interval SECONDS] [--config /FILE]
 *                         [--pidfile FILE] [--log FILE] [--foreground]
 *
 * TERM and INT end it at once, also during a scan. HUP reads the --config file again (lines
 * scan=COMMAND and interval=SECONDS; one bad line, and nothing of it counts) and scans. With
 * --foreground the log goes to stdout.
 *
 * The hand-written one did not compile (no fcntl.h). It opened its log twice without O_APPEND and
 * without a mode, so that stdout and stderr wrote over each other in a file of random permissions;
 * went on in the foreground when a fork failed; had no pid file, so any number could run; could not
 * tell why a scan failed; and after TERM during a scan sat out the scan and then the whole minute.
 */
#define _POSIX_C_SOURCE 200809L
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <rsdaemon.h>

struct settings {
    char scan[1000];
    long interval;
};

static volatile sig_atomic_t shutdown_flag = 0, reload_flag = 0;

__attribute__((format(printf, 2, 3)))
static void say(int priority, const char *format, ...)
{
    char text[1200], stamp[32];
    time_t now = time(NULL);
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    strftime(stamp, sizeof stamp, "%F %T", localtime(&now));
    printf("%s %s\n", stamp, text);
    syslog(priority, "%s", text);
}

static int set(struct settings *settings, const char *name, const char *value)
{
    char *end = NULL;

    if (strcmp(name, "scan") == 0 && strlen(value) < sizeof settings->scan) {
        strcpy(settings->scan, value);
        return 0;
    }
    if (strcmp(name, "interval") == 0)
        settings->interval = strtol(value, &end, 10);
    return end != NULL && *end == '\0' && settings->interval > 0
        && settings->interval <= INT_MAX / 1000 ? 0 : -1;
}

/* Returns what is wrong with the file, or NULL and the settings changed by it. */
static const char *load(const char *path, struct settings *settings)
{
    static char line[1000];
    char name[20], value[1000];
    struct settings changed = *settings;
    const char *wrong = NULL;
    FILE *file = fopen(path, "r");

    if (file == NULL)
        return strerror(errno);
    while (wrong == NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%19[^=]=%999[^\n]", name, value) != 2 || set(&changed, name, value) == -1)
            wrong = line;
    }
    if (ferror(file))
        wrong = strerror(errno);
    fclose(file);
    if (wrong == NULL)
        *settings = changed;
    return wrong;
}

/* TERM ends it; what HUP asks for is done afterwards. */
static void scan(char *command)
{
    char *argv[] = {"/bin/sh", "-c", command, NULL};
    struct rsd_result *result;
    /* Of root the scan has the interfaces of the network, and it may read files. */
    const char *capabilities = geteuid() == 0 ? "net_admin" : NULL;
    int status = rsd_run(argv, RSD_RUN_OPTIONS(.merge_stderr = 1, .kill_after_ms = 1000,
        .sandbox = RSD_SANDBOX(.best_effort = 1, .limits = "core=0 fsize=0",
            .privileges = RSD_PRIVILEGES(.capabilities = capabilities, .ambient = 1),
            .access = "rx:/ rw:/dev/null", .promises = "stdio rpath wpath inet proc exec")), &result);

    if (result == NULL) {
        say(LOG_ERR, "cannot scan: %s", rsd_last_error());
        return;
    }
    for (const char *line = result->out; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        say(LOG_INFO, "%.*s", (int)length, line);
        line += length + (line[length] == '\n');
    }
    if (result->out_is_cut)
        say(LOG_WARNING, "the scan shows more than fits in here");
    rsd_free_result(result);

    if (status == -1)
        say(LOG_WARNING, "scan ended: %s", rsd_last_error());
    else if (WIFSIGNALED(status))
        say(LOG_WARNING, "scan ended by signal: %s", strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        say(LOG_WARNING, "scan failed with status %d", WEXITSTATUS(status));
    else
        say(LOG_DEBUG, "scan complete");
}

int main(int argc, char *argv[])
{
    struct settings settings = {"iwlist wlan0 scan | grep -E 'SSID|Frequency|Signal'", 60};
    const char *pidfile = "wireless-monitor"; /* stands for /run/wireless-monitor.pid */
    const char *log = "/var/log/wireless-monitor.log";
    const char *config = NULL, *wrong;
    /* syslog and the end of the pid file; the rest is for the scans, which cannot have more than this. */
    const char *promises = "stdio rpath wpath cpath unix inet proc exec id";
    int foreground = RSD_AUTOMATIC;

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(name, "--foreground") == 0) {
            foreground = RSD_FOREGROUND;
            continue;
        }
        if (strcmp(name, "--config") == 0 && value[0] == '/') /* a daemon works in "/" */
            config = value;
        else if (strcmp(name, "--pidfile") == 0)
            pidfile = value;
        else if (strcmp(name, "--log") == 0)
            log = value;
        else if (strncmp(name, "--", 2) != 0 || set(&settings, name + 2, value) == -1)
            errx(2, "%s %s makes no sense", name, value);
        i++;
    }
    if (config != NULL && (wrong = load(config, &settings)) != NULL)
        errx(1, "%s: %s", config, wrong);

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (rsd_daemonize(RSD_OPTIONS(.name = "wireless-monitor", .pidfile = pidfile,
                                  .log_file = foreground == RSD_FOREGROUND ? NULL : log,
                                  .foreground = foreground, .reset_signals = 1,
                                  .sandbox = RSD_SANDBOX(.best_effort = 1, .promises = promises))) == -1)
        errx(1, "%s", rsd_last_error());
    openlog("wireless-monitor", LOG_PID, LOG_DAEMON);

    if (install_signal_flags(&shutdown_flag, &reload_flag) == -1)
        return rsd_fail(1, rsd_last_error());
    if (rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());
    say(LOG_INFO, "started, every %ld s: %s", settings.interval, settings.scan);

    while (!shutdown_flag) {
        scan(settings.scan);
        rsd_wait((int)settings.interval * 1000);
        if (!reload_flag)
            continue;
        reload_flag = 0;
        if (config != NULL && (wrong = load(config, &settings)) != NULL)
            say(LOG_ERR, "kept the old settings: %s: %s", config, wrong);
        else
            say(LOG_INFO, "reloaded, every %ld s: %s", settings.interval, settings.scan);
    }

    say(LOG_INFO, "stopped");
    return 0;
}
