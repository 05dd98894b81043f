/*
 * What no caller should pass, and what every caller may rely on.
 */
#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <rsdaemon.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static void check(int condition, const char *what)
{
    if (!condition)
        errx(1, "%s: %d %s", what, errno, rsd_last_error());
}

/* Options of a version that knows more. */
struct newer_options {
    struct rsd_options known;
    char more[64];
};

static void *in_another_thread(void *argument)
{
    check(rsd_last_error()[0] == '\0', "another thread's sentence");
    check(rsd_lock_pidfile("") == -1, "an empty path was taken");
    check(strstr(rsd_last_error(), "is empty") != NULL, "no sentence in a thread");
    return argument;
}

static void refuse_options(void)
{
    struct newer_options options;
    memset(&options, 0, sizeof options);
    options.known.foreground = 1;
    options.known.stdio = 99;

    check(rsd_daemonize(&options.known) == -1 && errno == EINVAL, "no size was taken");
    options.known.size = 7;
    check(rsd_daemonize(&options.known) == -1 && errno == EINVAL, "a tiny size was taken");
    options.known.size = (size_t)-1;
    check(rsd_daemonize(&options.known) == -1 && errno == E2BIG, "a huge size was taken");
    options.known.size = sizeof options;
    options.more[63] = 1;
    check(rsd_daemonize(&options.known) == -1 && errno == E2BIG, "unknown options were taken");
    check(strstr(rsd_last_error(), "newer version") != NULL, "no word of the version");
    /* What is unknown but 0 does not matter: the error is that of stdio. */
    options.more[63] = 0;
    check(rsd_daemonize(&options.known) == -1 && errno == EINVAL, "stdio was taken");
    check(strcmp(rsd_last_error(), "stdio is out of range") == 0, "wrong sentence");

    int keep = 0;
    struct rsd_options fds = { .size = sizeof fds, .foreground = 1, .keep_fds_count = 1 };
    check(rsd_daemonize(&fds) == -1 && errno == EINVAL, "a missing list was taken");
    fds.keep_fds = &keep;
    fds.keep_fds_count = (size_t)-1;
    check(rsd_daemonize(&fds) == -1 && errno == EINVAL, "an endless list was taken");
}

static void (*const declared_vlog)(int, const char *, va_list) = rsd_vlog;

static void vlog(int level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    declared_vlog(level, format, arguments);
    va_end(arguments);
}

static void refuse_of_the_log(void)
{
    const char *fields[] = { NULL, "", "=", "A", "A=\n", "a=b", "_A=b", "A=b" };
    struct rsd_log_options options = { .size = 7 };
    struct rsd_log_state state = { .size = sizeof state - 1 };

    check(rsd_open_log(&options) == -1 && errno == EINVAL, "a tiny size was taken");
    check(rsd_open_log(RSD_LOG_OPTIONS(.level = 8)) == -1 && errno == EINVAL, "level 8");
    check(rsd_open_log(RSD_LOG_OPTIONS(.facility = 1)) == -1 && errno == EINVAL, "facility 1");
    check(rsd_open_log(RSD_LOG_OPTIONS(.facility = 24 << 3)) == -1 && errno == EINVAL, "facility 24");
    check(rsd_open_log(RSD_LOG_OPTIONS(.file = "")) == -1 && errno == EINVAL, "an empty path");
    check(rsd_open_log(RSD_LOG_OPTIONS(.file_limit = 1)) == -1 && errno == EINVAL, "no file");
    check(rsd_open_log(RSD_LOG_OPTIONS(.reopen_signal = SIGKILL)) == -1 && errno == EINVAL, "KILL");
    check(rsd_open_log(RSD_LOG_OPTIONS(.reopen_signal = 4711)) == -1 && errno == EINVAL, "4711");
    check(rsd_get_log_state(NULL) == -1 && errno == EINVAL, "NULL was taken");
    check(rsd_get_log_state(&state) == -1 && errno == EINVAL, "a small state was taken");
    check(rsd_set_log_level(-1) == -1 && errno == EINVAL, "level -1");
    check(rsd_log_pipe(8) == -1 && errno == EINVAL, "level 8");
    check(rsd_reopen_log() == 0, "there is nothing to reopen");

    /* Nothing of this is to be seen: stderr is the reader of what is wrong. */
    check(rsd_open_log(RSD_LOG_OPTIONS(.file = "log")) == 0, "the log");
    errno = 4711;
    vlog(LOG_INFO, NULL);
    rsd_log_string(LOG_INFO, NULL);
    rsd_log_fields(LOG_INFO, NULL, fields, 1);
    rsd_log_fields(LOG_INFO, "x", NULL, (size_t)-1);
    rsd_log_fields(LOG_INFO, "x", fields, sizeof fields / sizeof *fields);
    rsd_log(INT_MIN, "x");
    rsd_log(INT_MAX, "%s", "");
    check(rsd_log_allows(NULL, 0, 0, 0) == 1, "a place of nobody's");
    check(errno == 4711, "errno was changed");
}

int main(int argc, char *argv[])
{
    check(rsd_last_error()[0] == '\0', "a sentence before any failure");
    check(rsd_ready() == 0, "ready without a daemon");
    check(rsd_fail(3, NULL) == 3, "fail without a daemon");
    check(rsd_fail(0, "x") == 1 && rsd_fail(256, "x") == 1 && rsd_fail(-1, "x") == 1, "status");

    check(rsd_lock_pidfile(NULL) == -1 && errno == EINVAL, "NULL was taken");
    check(rsd_remove_pidfile(NULL, 0) == -1 && errno == EINVAL, "NULL was taken");
    check(rsd_remove_pidfile("", 0) == -1 && errno == EINVAL, "an empty path was taken");
    check(rsd_remove_pidfile("x", -1) == -1 && errno == EBADF, "-1 was taken");
    check(rsd_remove_pidfile("x", 1000) == -1 && errno == EBADF, "a closed one was taken");
    check(rsd_install_signal_flags(NULL, NULL) == -1 && errno == EINVAL, "NULL was taken");
    char reply[8] = "#";
    check(rsd_control_request("x", "y", reply, (size_t)-1, 0) == -1 && errno == EINVAL, "an endless reply");
    check(rsd_control_request(NULL, NULL, NULL, 1, 0) == -1 && errno == EINVAL, "NULL was taken");
    check(rsd_control_request(NULL, NULL, reply, sizeof reply, 0) == -1 && errno == EINVAL, "NULL was taken");
    check(reply[0] == '\0', "no reply");
    refuse_options();
    refuse_of_the_log();

    char *kept = strdup(rsd_last_error());
    pthread_t thread;
    check(pthread_create(&thread, NULL, in_another_thread, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
    check(strcmp(kept, rsd_last_error()) == 0, "another thread changed our sentence");
    free(kept);

    /* Unloaded or not, the handler must be there. */
    if (argc > 1) {
        static volatile sig_atomic_t flag;
        int (*install)(volatile sig_atomic_t *, volatile sig_atomic_t *);
        void *library = dlopen(argv[1], RTLD_NOW);
        check(library != NULL, "dlopen");
        *(void **)&install = dlsym(library, "install_signal_flags");
        check(install != NULL && install(&flag, NULL) == 0, "install");
        check(dlclose(library) == 0, "dlclose");
        raise(SIGTERM);
        check(flag == 1, "the flag is not set");
    }
    return 0;
}
