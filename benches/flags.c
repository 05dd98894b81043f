/*
 * Signal flags: prints the nanoseconds of a look at the flag while nothing arrives, and of a signal
 * that arrives and sets it. The loop is the same code for both; only the handler differs.
 */
#include "tiny_daemon.h"

#include <rsdaemon.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CHECKS 20000000L
#define SIGNALS 5000L

static volatile sig_atomic_t shutdown_flag;
static volatile sig_atomic_t reload_flag;

static void on_signal(int signo)
{
    if (signo == SIGHUP)
        reload_flag = 1;
    else
        shutdown_flag = 1;
}

static void install_bare(void)
{
    struct sigaction action = { .sa_handler = on_signal };
    sigemptyset(&action.sa_mask);
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    if (sigaction(SIGTERM, &action, NULL) == -1 || sigaction(SIGINT, &action, NULL) == -1 ||
        sigaction(SIGHUP, &action, NULL) == -1 || sigaction(SIGPIPE, &ignore, NULL) == -1)
        err(1, "cannot install handlers");
}

int main(int argc, char *argv[])
{
    if (argc == 2 && strcmp(argv[1], "bare") == 0)
        install_bare();
    else if (argc != 2 || install_signal_flags(&shutdown_flag, &reload_flag) == -1)
        errx(2, "usage: %s bare|rsdaemon", argv[0]);

    long left = CHECKS;
    int64_t begin = now_ns();
    while (!shutdown_flag && left > 0)
        left--;
    double check = (double)(now_ns() - begin) / CHECKS;
    if (left > 0)
        errx(1, "the flag is set although no signal was sent");

    pid_t me = getpid();
    begin = now_ns();
    for (long i = 0; i < SIGNALS; i++) {
        shutdown_flag = 0;
        /* Delivered before kill returns: there is no other thread. */
        if (kill(me, SIGTERM) == -1 || !shutdown_flag)
            errx(1, "the signal did not set the flag");
    }
    double signal = (double)(now_ns() - begin) / SIGNALS;

    if (kill(me, SIGHUP) == -1 || !reload_flag)
        errx(1, "SIGHUP did not set its flag");
    printf("%.4f %.1f\n", check, signal);
    return 0;
}
