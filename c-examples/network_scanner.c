/*
 * The network scanner of the guide: nmap over a list of targets, every five minutes.
 *
 * usage: network_scanner [--targets /FILE] [--pidfile FILE] [--log FILE] [--foreground]
 *
 * The file holds a target in each line, and comments from # on. HUP reads it again (one bad line,
 * and nothing of it counts) and starts a round. TERM and INT end the daemon and its nmaps at once.
 * With --foreground the log goes to stdout. From the environment, each with a default: SCAN_PORTS,
 * SCAN_INTERVAL and SCAN_TIMEOUT in seconds, SCAN_AT_ONCE (how many nmaps), DAEMON_LOG_LEVEL (from
 * emerg to debug), DAEMON_DEBUG.
 *
 * The hand-written one scanned one target after the other and did not hear TERM meanwhile. It gave
 * each line of its file to nmap, also "-oN/etc/passwd", which is an option that writes a file. It
 * dropped what nmap found, took status 0 for success where nmap could not resolve the name, and did
 * not start when SCAN_INTERVAL was no number.
 */
#define _POSIX_C_SOURCE 200809L
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <rsdaemon.h>

typedef char target_name[256];

static volatile sig_atomic_t shutdown_flag = 0, reload_flag = 0;

static int level = LOG_INFO, interval = 300, timeout = 300, at_once = 4;
static const char *ports = "22,80,443,8080";

/* Those in use, and those that HUP reads. */
static struct targets {
    size_t count;
    target_name names[1000];
} lists[2], *targets = &lists[0];
static size_t next_target = 0;

static struct scan {
    int runs;
    target_name target; /* its own copy, since HUP replaces the others */
} scans[64];
static int scans_running = 0;

__attribute__((format(printf, 2, 3)))
static void say(int priority, const char *format, ...)
{
    char text[1200], stamp[32];
    time_t now = time(NULL);
    va_list values;

    if (priority > level)
        return;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    for (char *c = text; *c != '\0'; c++) /* what a scanned host says may hold anything */
        if (iscntrl((unsigned char)*c))
            *c = '?';
    strftime(stamp, sizeof stamp, "%F %T", localtime(&now));
    printf("%s %s\n", stamp, text);
    syslog(priority, "%s", text);
}

/* What does not parse is told, and its default stands. */
static void check(int result)
{
    if (result == -1)
        say(LOG_WARNING, "%s", rsd_last_error());
}

static void read_environment(void)
{
    static const char *const names[] = {"emerg",   "alert",  "crit", "err",
                                        "warning", "notice", "info", "debug"};
    const char *name = names[level];
    int debug = 0, found = LOG_EMERG;

    check(rsd_env_int("SCAN_INTERVAL", 1, 7 * 24 * 3600, &interval));
    check(rsd_env_int("SCAN_TIMEOUT", 1, 24 * 3600, &timeout));
    check(rsd_env_int("SCAN_AT_ONCE", 1, sizeof scans / sizeof *scans, &at_once));
    check(rsd_env_string("SCAN_PORTS", &ports));
    check(rsd_env_string("DAEMON_LOG_LEVEL", &name));
    check(rsd_env_bool("DAEMON_DEBUG", &debug));
    while (found <= LOG_DEBUG && strcasecmp(name, names[found]) != 0)
        found++;
    if (found > LOG_DEBUG)
        say(LOG_WARNING, "DAEMON_LOG_LEVEL is \"%s\", not one from emerg to debug", name);
    else
        level = found;
    if (debug)
        level = LOG_DEBUG;
}

/* A name, an address, a range or a network, but no option of nmap. */
static int is_target(const char *text)
{
    return text[0] != '-'
        && text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                             "0123456789.:/,*_-")] == '\0';
}

/* Returns what is wrong with the file, or NULL and a round begins with the targets in it. */
static const char *load(const char *path)
{
    static char line[1000];
    struct targets *new = targets == &lists[0] ? &lists[1] : &lists[0];
    char name[sizeof(target_name)], more;
    const char *wrong = NULL;
    FILE *file = fopen(path, "r");

    if (file == NULL)
        return strerror(errno);
    new->count = 0;
    while (wrong == NULL && fgets(line, sizeof line, file) != NULL) {
        int is_whole = strchr(line, '\n') != NULL || feof(file);
        line[strcspn(line, "#\n")] = '\0';
        int words = sscanf(line, "%255s %c", name, &more);
        if (!is_whole)
            wrong = "a line is too long";
        else if (words > 1 || (words == 1 && !is_target(name)))
            wrong = line;
        else if (words == 1 && new->count == sizeof new->names / sizeof *new->names)
            wrong = "too many targets";
        else if (words == 1)
            strcpy(new->names[new->count++], name);
    }
    if (ferror(file))
        wrong = strerror(errno);
    fclose(file);
    if (wrong == NULL)
        targets = new, next_target = 0;
    return wrong;
}

/* Copies a line without its end and moves the text behind it. Returns 0 when there is none. */
static int next_line(const char **text, char *line, size_t size)
{
    size_t length = strcspn(*text, "\n");

    if (**text == '\0')
        return 0;
    snprintf(line, size, "%.*s", (int)length, *text);
    *text += length + ((*text)[length] == '\n');
    return 1;
}

static void scan_ended(const struct rsd_result *result, void *arg)
{
    struct scan *scan = arg;
    const char *out = result->out, *err = result->err;
    char line[800], host[300] = "", state[20];
    int open = 0;

    scan->runs = 0;
    scans_running--;
    while (next_line(&out, line, sizeof line)) {
        sscanf(line, "Nmap scan report for %299[^\n]", host);
        int is_open = sscanf(line, "%*d/%*s %19s", state) == 1 && strncmp(state, "open", 4) == 0;
        say(is_open ? LOG_NOTICE : LOG_DEBUG, "%s: %s", host, line);
        open += is_open;
    }
    while (next_line(&err, line, sizeof line))
        say(LOG_WARNING, "%s: %s", scan->target, line);
    if (result->out_is_cut || result->err_is_cut)
        say(LOG_WARNING, "%s: nmap says more than fits in here", scan->target);

    if (result->error == ETIMEDOUT)
        say(LOG_WARNING, "%s: not scanned within %d s", scan->target, timeout);
    else if (result->error == ECANCELED)
        say(LOG_INFO, "%s: scan given up", scan->target);
    else if (WIFSIGNALED(result->status))
        say(LOG_WARNING, "%s: nmap ended by %s", scan->target, strsignal(WTERMSIG(result->status)));
    else if (WEXITSTATUS(result->status) != 0)
        say(LOG_WARNING, "%s: nmap failed with %d", scan->target, WEXITSTATUS(result->status));
    else
        say(LOG_INFO, "%s: scan complete, %d open", scan->target, open);
}

static void start_scan(const char *target)
{
    struct scan *unused = NULL;

    for (int i = 0; i < at_once; i++) {
        if (!scans[i].runs)
            unused = &scans[i];
        else if (strcmp(scans[i].target, target) == 0) /* HUP came while it runs */
            return;
    }
    strcpy(unused->target, target);
    char *argv[] = {"nmap", "-p", (char *)ports, "-sV", unused->target, NULL};
    /* nmap reads what strangers send: it is nobody, who may read files and talk to the network. */
    const struct rsd_sandbox_options *sandbox = RSD_SANDBOX(.best_effort = 1,
        .privileges = geteuid() == 0 ? RSD_PRIVILEGES(.user = "nobody") : NULL,
        .access = "rx:/ rw:/dev/null", .promises = "stdio rpath wpath inet dns proc exec");
    if (rsd_spawn(argv,
                  RSD_RUN_OPTIONS(.timeout_ms = (unsigned)timeout * 1000, .kill_after_ms = 1000,
                                  .sandbox = sandbox),
                  scan_ended, unused) == -1) {
        say(LOG_ERR, "%s: cannot scan: %s", target, rsd_last_error());
        return;
    }
    unused->runs = 1;
    scans_running++;
}

static long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

int main(int argc, char *argv[])
{
    const char *targets_file = "/etc/scanner/targets.txt", *wrong;
    const char *pidfile = "network-scanner"; /* stands for /run/network-scanner.pid */
    const char *log = "/var/log/network-scanner.log";
    /* syslog and the end of the pid file; the rest is for nmap, which cannot have more than this. */
    const char *promises = "stdio rpath wpath cpath unix inet dns proc exec id";
    int foreground = RSD_AUTOMATIC;

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(name, "--foreground") == 0) {
            foreground = RSD_FOREGROUND;
            continue;
        }
        if (strcmp(name, "--targets") == 0 && value[0] == '/') /* a daemon works in "/" */
            targets_file = value;
        else if (strcmp(name, "--pidfile") == 0 && value[0] != '\0')
            pidfile = value;
        else if (strcmp(name, "--log") == 0 && value[0] != '\0')
            log = value;
        else
            errx(2, "%s %s makes no sense", name, value);
        i++;
    }
    if ((wrong = load(targets_file)) != NULL)
        errx(1, "%s: %s", targets_file, wrong);

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (install_signal_flags(&shutdown_flag, &reload_flag) == -1)
        errx(1, "%s", rsd_last_error());
    if (rsd_daemonize(RSD_OPTIONS(.name = "network-scanner", .pidfile = pidfile,
                                  .log_file = foreground == RSD_FOREGROUND ? NULL : log,
                                  .foreground = foreground, .reset_signals = 1,
                                  .sandbox = RSD_SANDBOX(.best_effort = 1, .promises = promises))) == -1)
        errx(1, "%s", rsd_last_error());
    openlog("network-scanner", LOG_PID, LOG_DAEMON);
    if (rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());
    read_environment();
    say(LOG_INFO, "started, every %d s, targets: %zu", interval, targets->count);

    long long due = now_ms() + interval * 1000LL, left;
    while (!shutdown_flag) {
        if (reload_flag) {
            reload_flag = 0;
            if ((wrong = load(targets_file)) != NULL)
                say(LOG_ERR, "kept the old targets: %s: %s", targets_file, wrong);
            else
                say(LOG_INFO, "reloaded, every %d s, targets: %zu", interval, targets->count);
        }
        if (now_ms() >= due) {
            due = now_ms() + interval * 1000LL;
            if (scans_running > 0)
                say(LOG_WARNING, "no new round, since the one before goes on");
            else
                next_target = 0;
        }
        while (next_target < targets->count && scans_running < at_once)
            start_scan(targets->names[next_target++]);
        left = due - now_ms();
        if (rsd_wait(left > 0 ? (int)left : 0) == -1)
            say(LOG_ERR, "%s", rsd_last_error());
    }
    while (scans_running > 0) /* they are being ended, too */
        rsd_wait(-1);

    say(LOG_INFO, "stopped");
    return 0;
}
