/*
 * signals MODE: installs the flags and says what happens, one line each.
 */
#include <err.h>
#include <errno.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t shutdown_flag, reload_flag;

static void check(int condition, const char *what)
{
    if (!condition)
        errx(1, "%s", what);
}

static void no_op(int signo)
{
    (void)signo;
}

int main(int argc, char *argv[])
{
    const char *mode = argc > 1 ? argv[1] : "";
    struct sigaction before, after;

    if (strcmp(mode, "null") == 0) {
        signal(SIGTERM, no_op);
        sigaction(SIGTERM, NULL, &before);
        check(install_signal_flags(NULL, &reload_flag) == -1, "NULL was taken");
        check(errno == EINVAL, "wrong errno");
        check(strcmp(rsd_last_error(), "shutdown_flag is NULL") == 0, rsd_last_error());
        sigaction(SIGTERM, NULL, &after);
        check(before.sa_handler == after.sa_handler, "the handler was changed");
        return 0;
    }
    if (strcmp(mode, "no-reload") == 0) {
        check(install_signal_flags(&shutdown_flag, NULL) == 0, rsd_last_error());
        raise(SIGHUP);
        check(shutdown_flag == 0 && rsd_wait(0) == 0, "HUP is not ignored");
        /* By a handler, which those that are executed do not inherit. */
        sigaction(SIGHUP, NULL, &after);
        check(after.sa_handler != SIG_IGN, "HUP is ignored in programs that are executed");
        sigaction(SIGPIPE, NULL, &after);
        check(after.sa_handler != SIG_IGN, "PIPE is ignored in programs that are executed");
        return 0;
    }

    errno = 4711;
    check(install_signal_flags(&shutdown_flag, &reload_flag) == 0, rsd_last_error());
    check(errno == 4711, "success changed errno");

    if (strcmp(mode, "flags") == 0) {
        int stops[] = { SIGTERM, SIGINT };
        for (int i = 0; i < 2; i++) {
            errno = 4711;
            raise(stops[i]);
            check(errno == 4711, "the handler changed errno");
            check(shutdown_flag == 1 && reload_flag == 0, "wrong flags after a stop");
            shutdown_flag = 0;
        }
        raise(SIGHUP);
        check(shutdown_flag == 0 && reload_flag == 1, "wrong flags after HUP");
        int ends[2];
        check(pipe(ends) == 0 && close(ends[0]) == 0, "pipe");
        check(write(ends[1], "x", 1) == -1 && errno == EPIPE, "no EPIPE");
        static volatile sig_atomic_t second;
        check(rsd_install_signal_flags(&second, NULL) == 0, rsd_last_error());
        raise(SIGTERM);
        check(shutdown_flag == 0 && second == 1, "the second call does not move the flag");
    } else if (strcmp(mode, "sleep") == 0) {
        puts("asleep");
        fflush(stdout);
        unsigned left = sleep(60); /* whoever reads that line sends TERM */
        check(left > 0, "sleep was not interrupted");
        check(shutdown_flag == 1, "the flag is not set");
    } else if (strcmp(mode, "storm") == 0) {
        /* Blocked but while we wait, so that none is slept over. */
        sigset_t block, open;
        sigemptyset(&block);
        sigaddset(&block, SIGTERM);
        sigaddset(&block, SIGHUP);
        sigprocmask(SIG_BLOCK, &block, &open);
        puts("ready");
        fflush(stdout);
        while (!shutdown_flag)
            sigsuspend(&open);
        check(reload_flag == 1, "the HUPs were lost");
    }
    return 0;
}
