/*
 * A daemon that is upgraded by SIGUSR2 and by the control command "upgrade", and tells its pid to whoever connects to its
 * port or its path. Its arguments are options, KEY=VALUE. A file "next" in its folder has what a new one does before it
 * is ready: fail, late (the same when it has all), hang, crash, exit, refuse (an error of rsd_daemonize()), wait (for a file "go"),
 * or one more option.
 */
#include "cases.h"

#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <syslog.h>

static volatile sig_atomic_t shutdown_flag, reload_flag, upgrade_flag;

static void answer(int server)
{
    char text[32];
    int client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    if (client == -1)
        return;
    int length = snprintf(text, sizeof text, "%d\n", (int)getpid());
    check(send(client, text, (size_t)length, MSG_NOSIGNAL) == length);
    close(client);
}

static int upgrade(void)
{
    char next[8] = "";
    int fd = open("next", O_RDONLY | O_CLOEXEC);
    int timeout = fd != -1 && read(fd, next, 4) == 4 && strcmp(next, "hang") == 0 ? 1000 : 30000;
    if (fd != -1)
        close(fd);
    if (rsd_upgrade(NULL, timeout) == 0)
        return 0;
    rsd_log(LOG_ERR, "%d: %s", errno, rsd_last_error());
    /* Also where the one call that fails is one of the log's, or of these. */
    for (int tries = 3, said = 0; tries > 0 && said <= 0; tries--) {
        fd = open("refused", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        said = dprintf(fd, "%s\n", rsd_last_error());
        close(fd);
    }
    return -1;
}

static void upgrade_command(struct rsd_control_request *request, void *none)
{
    (void)none;
    if (upgrade() == -1)
        rsd_control_fail(request, rsd_last_error());
    else
        shutdown_flag = 1;
}

static void misbehave(const char *how)
{
    if (strcmp(how, "fail") == 0)
        exit(rsd_fail(7, "the new one is bad"));
    if (strcmp(how, "hang") == 0)
        for (;;)
            pause();
    if (strcmp(how, "crash") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(how, "exit") == 0)
        exit(5);
    if (strcmp(how, "wait") == 0)
        while (access("go", F_OK) == -1)
            usleep(1000);
}

static struct rsd_options options = { .size = sizeof options, .directory = ".", .name = "upgraded" };
static const char *early, *port, *path, *name, *control, *locked, *owner, *dropped;
static unsigned mode;
static int is_ready_at_once, kind, child, ends_first, drains;

static void take(const char *argument)
{
    const char *value = strchr(argument, '=') + 1;
    size_t length = (size_t)(value - argument) - 1;
    const struct {
        const char *key, **to;
    } texts[] = { { "pidfile", &options.pidfile }, { "user", &options.user }, { "early", &early }, { "port", &port },
                  { "path", &path }, { "named", &name }, { "control", &control }, { "locked", &locked },
                  { "owner", &owner }, { "drop", &dropped } };
    const struct {
        const char *key;
        int *to;
    } numbers[] = { { "foreground", &options.foreground }, { "leader", &options.session_leader },
                    { "at-once", &is_ready_at_once }, { "kind", &kind }, { "child", &child },
                    { "ends-first", &ends_first }, { "drains", &drains } };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strlen(texts[i].key) == length && strncmp(argument, texts[i].key, length) == 0)
            *texts[i].to = value;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strlen(numbers[i].key) == length && strncmp(argument, numbers[i].key, length) == 0)
            *numbers[i].to = atoi(value);
    if (strncmp(argument, "late=", 5) == 0)
        options.pidfile_when = RSD_PIDFILE_AT_READY;
    if (strncmp(argument, "mode=", 5) == 0)
        mode = (unsigned)strtoul(value, NULL, 8);
    if (strncmp(argument, "longest-file=", 13) == 0) {
        struct rlimit limit = { (rlim_t)atoi(value), (rlim_t)atoi(value) };
        check(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &limit) == 0);
    }
}

int main(int argc, char *argv[])
{
    char here[4096];
    char next[256] = "";
    FILE *file = fopen("next", "r");

    if (file != NULL && getenv("RSDAEMON_UPGRADE") != NULL)
        check(fgets(next, sizeof next, file) != NULL);
    for (int i = 1; i < argc; i++)
        take(argv[i]);
    if (strchr(next, '=') != NULL)
        take(next);
    if (strcmp(next, "refuse") == 0)
        options.pidfile = "/nowhere/d.pid";
    if (child && fork() == 0) {
        execlp("sleep", "sleep", "1000", NULL);
        _exit(127);
    }
    if (early != NULL && rsd_listen(RSD_SOCKET(.address = early)) == -1)
        errx(1, "%s", rsd_last_error());
    if (locked != NULL)
        check(rsd_lock_pidfile(locked) != -1);
    check(getcwd(here, sizeof here) != NULL);
    if ((is_ready_at_once ? daemonize(options.pidfile) : rsd_daemonize(&options)) == -1) {
        fprintf(stderr, "%s\n", rsd_last_error());
        return 1;
    }
    check(chdir(here) == 0 && rsd_open_log(RSD_LOG_OPTIONS(.file = "log")) == 0);
    misbehave(next);
    struct pollfd polled[3] = { { .fd = -1 }, { .fd = -1 }, { .fd = -1, .events = POLLIN } };
    const char *addresses[2] = { port, path };
    for (int i = 0; i < 2; i++) {
        polled[i].events = POLLIN;
        if (addresses[i] != NULL
            && (polled[i].fd = rsd_listen(RSD_SOCKET(.name = i == 1 ? name : NULL, .address = addresses[i],
                                                     .owner = i == 1 ? owner : NULL, .mode = i == 1 ? mode : 0,
                                                     .type = i == 1 ? kind : 0, .backlog = 1000))) == -1)
            return rsd_fail(1, rsd_last_error());
    }
    if (control != NULL
        && (rsd_open_control(control, 0600, NULL) == -1
            || rsd_control_command("upgrade", "start anew", upgrade_command, NULL) == -1))
        return rsd_fail(1, rsd_last_error());
    if (strcmp(next, "late") == 0)
        return rsd_fail(7, "the new one has all and is bad");
    if (getenv("RSDAEMON_UPGRADE") != NULL && access("bad", F_OK) == 0)
        return rsd_fail(7, "it is bad");
    check(install_signal_flags(&shutdown_flag, &reload_flag) == 0);
    check(rsd_flag_signal(SIGUSR2, &upgrade_flag, 1) == 0);
    if (dropped != NULL && rsd_drop_privileges(RSD_PRIVILEGES(.user = dropped)) == -1)
        return rsd_fail(1, rsd_last_error());
    if (rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());
    rsd_log(LOG_INFO, "serves as %d", (int)getpid());

    polled[2].fd = rsd_fd();
    while (!shutdown_flag) {
        if (poll(polled, 3, -1) == -1) /* a signal, or whatever strace(1) has made of it */
            polled[0].revents = polled[1].revents = polled[2].revents = 0;
        for (int i = 0; i < 2; i++)
            if (polled[i].revents)
                answer(polled[i].fd);
        if (polled[2].revents)
            rsd_dispatch();
        if (upgrade_flag) {
            upgrade_flag = 0;
            if (ends_first)
                raise(SIGTERM);
            if (upgrade() == 0)
                break;
        }
    }
    if (shutdown_flag == 0 && drains) {
        check(close(polled[0].fd) == 0 && close(polled[1].fd) == 0);
        sleep(1000);
    }
    rsd_log(LOG_INFO, "leaves as %d", (int)getpid());
    return 0;
}
