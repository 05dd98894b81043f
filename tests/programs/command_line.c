/*
 * A daemon with rsd_command(), as a user would write it, and what the tests want of it: NAME=VALUE in the
 * environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t shutdown_flag, reload_flag;

/* Waits until the file is there: until the test lets it go on. */
static void await_file(const char *path)
{
    while (access(path, F_OK) == -1)
        usleep(1000);
}

static void show_arguments(const char *path, int argc, char *argv[])
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        _exit(9);
    for (int i = 1; i < argc; i++)
        fprintf(file, "%s\n", argv[i]);
    fprintf(file, "%s\n", argv[argc] == NULL ? "NULL" : "no NULL");
    fclose(file);
}

/* With CHECK: shows the arguments, and then refuses with its value as the status. */
static int check(int argc, char *argv[], void *arg)
{
    show_arguments("checked", argc, argv);
    if (*(const char *)arg != '0')
        fprintf(stderr, "bad configuration\n");
    return atoi(arg);
}

int main(int argc, char *argv[])
{
    const char *set = getenv("UNBUFFERED_BEFORE"), *timeout = getenv("TIMEOUT");

    if (set != NULL)
        printf("%s", set); /* stays in the buffer */
    if ((set = getenv("BECOME")) != NULL && setresuid((uid_t)atoi(set), (uid_t)atoi(set), (uid_t)atoi(set)) == -1)
        return 97;

    errno = 4711;
    int status = rsd_command(&argc, argv, RSD_COMMAND_OPTIONS(
        .daemon = RSD_OPTIONS(.name = getenv("NAME"), .pidfile = getenv("PIDFILE"), .directory = ".",
                              .umask = getenv("UMASK") ? atoi(getenv("UMASK")) : 0,
                              .log_file = getenv("LOG")),
        .control = getenv("CONTROL"),
        .usage = getenv("USAGE"),
        .stop_timeout_ms = timeout ? (unsigned)atoi(timeout) : 0,
        .stop_kills = getenv("KILLS") != NULL,
        .check = getenv("CHECK") ? check : NULL,
        .check_arg = getenv("CHECK")));
    if (status == -1) {
        printf("%d %s\n", errno, rsd_last_error());
        return 99;
    }
    if (errno != 4711)
        return 98;
    if ((set = getenv("ARGUMENTS")) != NULL)
        show_arguments(set, argc, argv);
    if (status != RSD_IS_DAEMON)
        return status;

    if ((set = getenv("WAIT_FOR")) != NULL)
        await_file(set);
    if ((set = getenv("FAIL")) != NULL)
        return rsd_fail(3, set);
    if (getenv("NO_HUP") == NULL) {
        if (install_signal_flags(&shutdown_flag, &reload_flag) == -1)
            return rsd_fail(1, rsd_last_error());
    } else if (rsd_flag_signal(SIGTERM, &shutdown_flag, 1) == -1) {
        return rsd_fail(1, rsd_last_error());
    }
    if (getenv("NO_TERM") != NULL)
        signal(SIGTERM, SIG_IGN);
    if (rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());
    puts("ready");
    fflush(stdout);
    while (!shutdown_flag) {
        rsd_wait(-1);
        if (reload_flag) {
            reload_flag = 0;
            close(open("reloaded", O_WRONLY | O_CREAT, 0644));
        }
    }
    return 0;
}
