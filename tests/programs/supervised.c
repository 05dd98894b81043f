/*
 * A daemon for service managers. Its arguments are options, KEY=VALUE, and what it does before it is ready. Then SIGHUP
 * reloads, which a file "bad" in its folder makes fail; SIGUSR1 has it hang; SIGUSR2 has the manager keep a descriptor.
 * "alive=RESTARTS:DELAY:KILL" has a worker do all of this; each does also what stands in the file "next", and
 * is called "worker-ready" when it is.
 */
#include <err.h>
#include <errno.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static volatile sig_atomic_t shutdown_flag, reload_flag, hang_flag, keep_flag;

static void check(int result, const char *what)
{
    if (result == -1)
        exit(rsd_fail(1, rsd_last_error()));
    if (*what != '\0') {
        printf("%s: %d\n", what, result);
        fflush(stdout);
    }
}

/* What the manager has kept over a restart. */
static void tell_kept(void)
{
    char text[100] = "nothing kept";
    for (int fd = RSD_LISTEN_FDS_START; fd < RSD_LISTEN_FDS_START + rsd_listen_fds(); fd++)
        if (strcmp(rsd_listen_fd_name(fd), "kept") == 0 && pread(fd, text, sizeof text - 1, 0) == -1)
            exit(9);
    check(rsd_status(strtok(text, "\n")), "");
}

static void prepare(const char *key, const char *value)
{
    if (strcmp(key, "fail") == 0)
        exit(rsd_fail(atoi(value), strchr(value, ':') + 1));
    else if (strcmp(key, "exit") == 0)
        exit(atoi(value));
    else if (strcmp(key, "pause") == 0) { /* without any handler */
        check(rsd_ready(), "ready");
        for (;;)
            pause();
    } else if (strcmp(key, "kill") == 0)
        kill(getpid(), atoi(value));
    else if (strcmp(key, "after-fork") == 0)
        check(rsd_after_fork(), "");
    else if (strcmp(key, "drop") == 0)
        check(rsd_drop_privileges(RSD_PRIVILEGES(.user = value)), "");
    else if (strcmp(key, "orphan") == 0 && fork() == 0)
        _exit(fork() == 0 ? 0 : usleep(100000));
    else if (strcmp(key, "status") == 0)
        check(rsd_status(value), "");
    else if (strcmp(key, "notify") == 0)
        check(rsd_notify(value), "notify");
    else if (strcmp(key, "barrier") == 0)
        check(rsd_notify_barrier(atoi(value)), "barrier");
    else if (strcmp(key, "chroot") == 0)
        check(chroot(value), "chroot");
    else if (strcmp(key, "kept") == 0)
        tell_kept();
    else if (strcmp(key, "sleep") == 0)
        sleep((unsigned)atoi(value));
    else if (strcmp(key, "close-all") == 0)
        for (int fd = 3; fd < 64; fd++)
            close(fd);
}

static void prepare_next(void)
{
    char next[100] = "";
    FILE *file = fopen("next", "r");
    if (file == NULL)
        return;
    char *value = fgets(next, sizeof next, file) == NULL ? NULL : strchr(next, '=');
    fclose(file);
    if (value == NULL)
        errx(9, "no value: %s", next);
    *value++ = '\0';
    prepare(next, value);
}

static void keep_a_descriptor(void)
{
    int fd = memfd_create("kept", MFD_CLOEXEC);
    if (fd == -1 || dprintf(fd, "kept by %d\n", (int)getpid()) < 0)
        exit(9);
    check(rsd_notify_fds("FDSTORE=1\nFDNAME=kept", &fd, 1), "");
    check(rsd_status("kept"), "");
}

static void reload(void)
{
    rsd_begin_reload();
    if (access("bad", F_OK) == 0)
        rsd_abort_reload("it is bad");
    else
        rsd_commit_reload();
}

int main(int argc, char *argv[])
{
    struct rsd_options options = { .size = sizeof options, .directory = "." };
    int starts = 1;
    const char *alive = NULL;

    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value == NULL)
            errx(9, "no value: %s", argv[i]);
        *value++ = '\0';
        if (strcmp(argv[i], "foreground") == 0)
            options.foreground = atoi(value);
        else if (strcmp(argv[i], "pidfile") == 0)
            options.pidfile = value;
        else if (strcmp(argv[i], "log") == 0)
            check(rsd_open_log(RSD_LOG_OPTIONS(.file = value)), "");
        else if (strcmp(argv[i], "notify_fd") == 0)
            options.notify_fd = atoi(value);
        else if (strcmp(argv[i], "name") == 0)
            options.name = value;
        else if (strcmp(argv[i], "alive") == 0)
            alive = value;
        else if (strcmp(argv[i], "at-ready") == 0)
            options.pidfile_when = RSD_PIDFILE_AT_READY;
        else if (strcmp(argv[i], "start") == 0)
            starts = atoi(value);
    }
    if (starts && rsd_daemonize(&options) == -1)
        errx(1, "%s", rsd_last_error());
    if (alive != NULL) {
        struct rsd_keep_alive_options kept = { .size = sizeof kept };
        if (sscanf(alive, "%d:%u:%u", &kept.max_restarts, &kept.delay_ms, &kept.kill_after_ms) != 3)
            errx(9, "alive=%s", alive);
        int status = rsd_keep_alive(&kept);
        if (status != RSD_IS_WORKER)
            return status;
    }
    for (int i = 1; i < argc; i++)
        prepare(argv[i], argv[i] + strlen(argv[i]) + 1);
    if (alive != NULL)
        prepare_next();
    check(install_signal_flags(&shutdown_flag, &reload_flag), "");
    check(rsd_flag_signal(SIGUSR1, &hang_flag, 1), "");
    check(rsd_flag_signal(SIGUSR2, &keep_flag, 1), "");
    check(rsd_ready(), "ready");
    if (alive != NULL)
        prctl(PR_SET_NAME, "worker-ready");
    while (!shutdown_flag) {
        if (reload_flag) {
            reload_flag = 0;
            reload();
        }
        if (keep_flag) {
            keep_flag = 0;
            keep_a_descriptor();
        }
        while (hang_flag)
            pause();
        check(rsd_wait(-1), "");
    }
    return 0;
}
