/*
 * A daemon in the foreground with a control socket, for clients of all kinds.
 *
 * usage: control PATH MODE OWNER RELOAD   ("" for no owner; MODE in octal)
 *
 * RELOAD is what it does about a reload: "commit", "abort", "take" (lowers the flag and tells nothing), "leave" (not even
 * that), "handler" (a SIGHUP handler of its own), "handler-after" (one that replaces the flag), "ignore" or "default";
 * the command "config" changes it.
 *
 * In the environment: TICKS (a timer of 5 ms in the loop, whose delays are measured), NOFILE (its RLIMIT_NOFILE),
 * MAP (it is that user in a user namespace of its own), RUN_AS (before the socket is opened) and DROP_TO (after).
 */
#include "cases.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/timerfd.h>

#define TICK_US 5000

static volatile sig_atomic_t shutdown_flag, reload_flag, handler_runs;
static char config[16] = "commit";
static long long latest_tick, worst_us;
static unsigned long loops;
static char big[RSD_CONTROL_TEXT_MAX + 2];

static void words(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    for (int i = 0; i < request->argc; i++)
        rsd_control_print(request, "<%s>\n", request->argv[i]);
    check(request->argv[request->argc] == NULL);
    check(request->size == sizeof *request);
}

static void who(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    rsd_control_print(request, "pid %d uid %u gid %u\n", request->pid, request->uid, request->gid);
}

static void print_text(struct rsd_control_request *request, void *arg)
{
    rsd_control_print(request, "%s", (const char *)arg);
}

static void print_lines(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    int count = request->argc > 1 ? atoi(request->argv[1]) : 0;
    for (int i = 0; i < count; i++)
        rsd_control_print(request, "line %d\n", i);
}

/* So many bytes, in one piece. */
static void print_big(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    int count = request->argc > 1 ? atoi(request->argv[1]) : 0;
    if (count <= RSD_CONTROL_TEXT_MAX)
        check(rsd_control_print(request, "%.*s", count, big) == 0);
    else
        check_refused(rsd_control_print(request, "%.*s", count, big), EMSGSIZE);
}

static void failing(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    rsd_control_print(request, "before\n");
    rsd_control_fail(request, request->argc > 1 ? request->argv[1] : NULL);
    rsd_control_print(request, "after\n");
}

static void set_config(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    if (request->argc != 2)
        rsd_control_fail(request, "usage: config OUTCOME");
    else
        snprintf(config, sizeof config, "%s", request->argv[1]);
}

/* Waits within the callback. */
static void wait_here(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    long long end = now_us() + 1000LL * (request->argc > 1 ? atoi(request->argv[1]) : 0);
    for (long long left; (left = end - now_us()) > 0;)
        rsd_wait((int)(left / 1000) + 1);
}

/* The worst delay of a tick, since the last time. */
static void worst(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    rsd_control_print(request, "%lld\n", worst_us);
    worst_us = 0;
    latest_tick = now_us();
}

static int descriptor_count(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    if (folder == NULL)
        return -1; /* all descriptors are in use */
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count - 3; /* ".", ".." and that of the folder */
}

static long memory_kb(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long size, resident = -1;
    if (file == NULL)
        return -1;
    if (fscanf(file, "%ld %ld", &size, &resident) != 2)
        resident = -1;
    fclose(file);
    return resident * 4;
}

static void used(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    rsd_control_print(request, "descriptors %d\nmemory %ld\nloops %lu\n", descriptor_count(),
                      memory_kb(), loops);
}

/* A child that lives on with copies of everything. */
static void fork_sleeper(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    pid_t child = checked_fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    rsd_control_print(request, "%d\n", child);
}

static int hogs[65536], hog_count;
static long long hog_end;

/* As many descriptors as it can get, until the time is over. */
static void hog(void)
{
    int fd;
    if (hog_end == 0)
        return;
    if (now_us() < hog_end) {
        while (hog_count < 65536 && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) != -1)
            hogs[hog_count++] = fd;
        return;
    }
    while (hog_count > 0)
        close(hogs[--hog_count]);
    hog_end = 0;
}

static void start_hog(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    hog_end = now_us() + 1000LL * (request->argc > 1 ? atoi(request->argv[1]) : 0);
    hog();
}

static void handle(int signo)
{
    (void)signo;
    handler_runs++;
}

static void reload(void)
{
    reload_flag = 0;
    if (strcmp(config, "take") == 0)
        return;
    check(rsd_begin_reload() == 0);
    if (strcmp(config, "abort") == 0)
        check(rsd_abort_reload("line 3:\tno such\ninterface") == 0);
    else if (strcmp(config, "nothing") == 0)
        check(rsd_abort_reload(NULL) == 0);
    else if (strcmp(config, "twice") == 0)
        check(rsd_begin_reload() == 0 && rsd_commit_reload() == 0);
    else if (strcmp(config, "long") != 0)
        check(rsd_commit_reload() == 0);
}

static void end_long(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    if (rsd_commit_reload() == -1)
        rsd_control_fail(request, rsd_last_error());
}

static void tell_signals(void)
{
    struct rsd_signal_info info = { .size = sizeof info };
    while (rsd_next_signal(&info) > 0)
        printf("signal %d from pid %d uid %u, %u times\n", info.signo, info.pid, info.uid,
               info.count);
    fflush(stdout);
}

static void become(const char *user)
{
    if (user == NULL)
        return;
    uid_t uid = (uid_t)atoi(user);
    check(setgroups(0, NULL) == 0 && setgid(uid) == 0 && setuid(uid) == 0);
}

static void map_to(const char *inside)
{
    char line[64];
    uid_t outside = geteuid();
    if (inside == NULL)
        return;
    if (unshare(CLONE_NEWUSER) == -1) {
        puts("no user namespace"), fflush(stdout);
        exit(CANNOT_RUN_HERE);
    }
    int length = snprintf(line, sizeof line, "%s %u 1", inside, outside);
    check(prctl(PR_SET_DUMPABLE, 1) == 0); /* who was root may not write the map */
    int fd = open("/proc/self/uid_map", O_WRONLY);
    check(write(fd, line, (size_t)length) == length);
    close(fd);
}

static void limit_descriptors(const char *most)
{
    struct rlimit limit;
    if (most == NULL)
        return;
    check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = (rlim_t)atoi(most);
    check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

int main(int argc, char *argv[])
{
    if (argc != 5)
        return 2;
    limit_descriptors(getenv("NOFILE"));
    become(getenv("RUN_AS"));
    map_to(getenv("MAP"));
    memset(big, 'x', sizeof big - 1);
    const char *how = argv[4];
    int has_none = strcmp(how, "handler") == 0 || strcmp(how, "default") == 0;
    if (has_none)
        check(rsd_flag_signal(SIGTERM, &shutdown_flag, 1) == 0 && rsd_ignore_signal(SIGPIPE) == 0);
    else
        check(rsd_install_signal_flags(&shutdown_flag, strcmp(how, "ignore") ? &reload_flag : NULL) == 0);
    if (strncmp(how, "handler", 7) == 0)
        signal(SIGHUP, handle);
    snprintf(config, sizeof config, "%s", how);

    if (rsd_open_control(argv[1], (unsigned)strtoul(argv[2], NULL, 8), *argv[3] ? argv[3] : NULL) == -1) {
        printf("errno %d: %s\n", errno, rsd_last_error());
        return 1;
    }
    become(getenv("DROP_TO"));
    check(rsd_control_query("words", "[WORD]...: tell the words", words, NULL) == 0);
    check(rsd_control_query("who", NULL, who, NULL) == 0);
    check(rsd_control_query("lines", "N: that many lines", print_lines, NULL) == 0);
    check(rsd_control_query("big", NULL, print_big, NULL) == 0);
    check(rsd_control_query("controls", NULL, print_text, "a\tb\001\033[2J\177\r\n\nok\nc\303\244") == 0);
    check(rsd_control_query("failing", NULL, failing, NULL) == 0);
    check(rsd_control_query("wait", NULL, wait_here, NULL) == 0);
    check(rsd_control_query("worst", NULL, worst, NULL) == 0);
    check(rsd_control_query("used", NULL, used, NULL) == 0);
    check(rsd_control_command("config", "OUTCOME: of later reloads", set_config, NULL) == 0);
    check(rsd_control_command("hog", NULL, start_hog, NULL) == 0);
    check(rsd_control_command("fork", NULL, fork_sleeper, NULL) == 0);
    check(rsd_control_command("end-long", NULL, end_long, NULL) == 0);

    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct itimerspec every = { { 0, TICK_US * 1000 }, { 0, TICK_US * 1000 } };
    const char *ticks = getenv("TICKS"); /* without them what wakes the program are clients */
    if (ticks != NULL)
        check(timerfd_settime(timer, 0, &every, NULL) == 0);
    latest_tick = now_us();
    puts("ready");
    fflush(stdout);

    while (!shutdown_flag) {
        struct pollfd two[] = { { .fd = rsd_fd(), .events = POLLIN },
                                { .fd = timer, .events = POLLIN } };
        check(two[0].fd > 2);
        poll(two, 2, 60000);
        loops++;
        if (two[1].revents != 0) {
            unsigned long long count;
            if (read(timer, &count, sizeof count) == sizeof count) {
                long long late = now_us() - latest_tick - TICK_US;
                worst_us = late > worst_us ? late : worst_us;
                latest_tick = now_us();
            }
        }
        check(rsd_dispatch() >= 0);
        hog();
        tell_signals();
        if (reload_flag && strcmp(config, "leave") != 0)
            reload();
    }
    printf("ends, %d times SIGHUP\n", (int)handler_runs);
    return 0;
}
