/*
 * A daemon whose options and misdeeds are its arguments, KEY=VALUE each, in the order in which
 * they are done: first what is set up, then the start, then what comes before "ready".
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t shutdown_flag, reload_flag;

static void *idle(void *argument)
{
    for (;;)
        pause();
    return argument;
}

static void handle(int signo)
{
    (void)signo;
}

/* What the program does itself before it starts. */
static void set_up(const char *key, const char *value)
{
    pthread_t thread;
    sigset_t set;

    if (strcmp(key, "print") == 0) {
        fputs(value, stdout); /* stays in the buffer */
    } else if (strcmp(key, "start-thread") == 0) {
        if (pthread_create(&thread, NULL, idle, NULL) != 0)
            errx(9, "pthread_create");
    } else if (strcmp(key, "ignore") == 0) {
        signal(atoi(value), SIG_IGN);
    } else if (strcmp(key, "handle") == 0) {
        signal(atoi(value), handle);
    } else if (strcmp(key, "block") == 0) {
        sigemptyset(&set);
        sigaddset(&set, atoi(value));
        sigprocmask(SIG_BLOCK, &set, NULL);
    } else if (strcmp(key, "open") == 0) {
        if (open(value, O_RDWR | O_CREAT, 0600) == -1)
            err(9, "%s", value);
    } else if (strcmp(key, "close") == 0) {
        close(atoi(value));
    } else if (strcmp(key, "nofile") == 0) {
        struct rlimit limit = { (rlim_t)atoi(value), (rlim_t)atoi(value) };
        setrlimit(RLIMIT_NOFILE, &limit);
    } else if (strcmp(key, "lock") == 0) {
        if (lock_pidfile(value) == -1)
            errx(1, "%d %s", errno, rsd_last_error());
    } else if (strcmp(key, "flags-first") == 0) {
        if (install_signal_flags(&shutdown_flag, &reload_flag) == -1)
            errx(9, "%s", rsd_last_error());
    } else if (strcmp(key, "uid") == 0) {
        if (setresuid((uid_t)atoi(value), (uid_t)atoi(value), (uid_t)atoi(value)) == -1)
            err(9, "setresuid");
    }
}

static int keep[16];

static void set_option(struct rsd_options *options, const char *key, const char *value)
{
    int number = (int)strtol(value, NULL, 0);

#define STRING(name) if (strcmp(key, #name) == 0) options->name = value
#define NUMBER(name) if (strcmp(key, #name) == 0) options->name = number
#define UNSIGNED(name) if (strcmp(key, #name) == 0) options->name = (unsigned)number
    STRING(name);
    STRING(pidfile);
    UNSIGNED(pidfile_mode);
    STRING(pidfile_owner);
    NUMBER(pidfile_when);
    STRING(directory);
    NUMBER(umask);
    NUMBER(stdio);
    STRING(log_file);
    UNSIGNED(log_file_mode);
    NUMBER(foreground);
    NUMBER(session_leader);
    NUMBER(close_inherited);
    NUMBER(reset_signals);
    NUMBER(allow_threads);
    UNSIGNED(ready_timeout_ms);
    STRING(user);
    STRING(group);
    if (strcmp(key, "keep") == 0) {
        keep[options->keep_fds_count++] = number;
        options->keep_fds = keep;
    }
}

/* What happens between the start and "ready". */
static void misbehave(const char *key, const char *value)
{
    if (strcmp(key, "exit") == 0) {
        exit(atoi(value));
    } else if (strcmp(key, "die") == 0) {
        signal(atoi(value), SIG_DFL);
        raise(atoi(value));
    } else if (strcmp(key, "fail") == 0) {
        exit(rsd_fail(atoi(value), strchr(value, ':') + 1));
    } else if (strcmp(key, "fail-and-stay") == 0) {
        rsd_fail(atoi(value), "gave up");
        sigset_t none;
        sigemptyset(&none);
        for (;;)
            sigsuspend(&none);
    } else if (strcmp(key, "close-all") == 0) {
        for (int fd = 3; fd < 64; fd++)
            close(fd);
    } else if (strcmp(key, "say") == 0) {
        fprintf(stderr, "%s\n", value);
    } else if (strcmp(key, "mark") == 0) {
        close(open(value, O_WRONLY | O_CREAT, 0600));
    } else if (strcmp(key, "hang") == 0) {
        for (;;)
            pause();
    } else if (strcmp(key, "fork") == 0) {
        if (fork() == 0)
            for (;;)
                pause();
    } else if (strcmp(key, "ready-in-child") == 0) {
        pid_t child = fork();
        if (child == 0) {
            int result = rsd_ready();
            int status = result == -1 && errno == EPERM ? 0 : 1;
            _exit(status);
        }
    } else if (strcmp(key, "exit-in-child") == 0) {
        if (fork() == 0)
            exit(0);
    } else if (strcmp(key, "sleep") == 0) {
        sleep((unsigned)atoi(value));
    } else if (strcmp(key, "ready-twice") == 0) {
        /* In the way of a pid file that is to appear now. */
        if (mkdir(value, 0700) == -1)
            exit(9);
        exit(rsd_ready() == -1 && rsd_ready() == -1 ? 0 : 9);
    } else if (strcmp(key, "again") == 0) {
        if (daemonize(NULL) == -1)
            fprintf(stderr, "%d %s\n", errno, rsd_last_error());
    }
}

int main(int argc, char *argv[])
{
    struct rsd_options options = { .size = sizeof options };
    const char *simple = NULL;
    int is_simple = 0, result;

    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value == NULL)
            errx(9, "no value: %s", argv[i]);
        *value++ = '\0';
        if (strcmp(argv[i], "simple") == 0) {
            is_simple = 1;
            simple = *value ? value : NULL;
        }
        set_up(argv[i], value);
        set_option(&options, argv[i], value);
    }

    /* daemonize() is ready at once: whoever waits for that may send TERM before we go on. */
    if (is_simple && install_signal_flags(&shutdown_flag, &reload_flag) == -1)
        errx(1, "%s", rsd_last_error());
    errno = 4711;
    if (is_simple)
        result = daemonize(simple);
    else
        result = rsd_daemonize(&options);
    if (result == -1)
        errx(1, "%d %s", errno, rsd_last_error());
    if (errno != 4711)
        errx(8, "errno was changed by success");

    for (int i = 1; i < argc; i++)
        misbehave(argv[i], argv[i] + strlen(argv[i]) + 1);

    if (!is_simple && install_signal_flags(&shutdown_flag, &reload_flag) == -1)
        exit(rsd_fail(5, rsd_last_error()));
    if (rsd_ready() == -1)
        exit(rsd_fail(6, rsd_last_error()));

    sigset_t block, before;
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGINT);
    sigprocmask(SIG_BLOCK, &block, &before);
    while (!shutdown_flag)
        sigsuspend(&before);
    return 0;
}
