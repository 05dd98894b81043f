/*
 * The main loop, a child and two commands, from the first call to the last. What was seen is printed at the
 * end. Called as "fault_loop look" it is the command and says what it was given.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <rsdaemon.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t shutdown_flag, reload_flag, usr1_flag;

static char seen[4096];
static size_t length;

static void see(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    length += (size_t)vsnprintf(seen + length, sizeof seen - length, format, arguments);
    va_end(arguments);
}

/* Until the program sleeps: what it sees next is alone, and its calls are the same each time. */
static void let_sleep(int program)
{
    char path[64], stat[512] = "";

    snprintf(path, sizeof path, "/proc/%d/stat", program);
    while (getppid() == program) {
        int fd = open(path, O_RDONLY);
        ssize_t count = read(fd, stat, sizeof stat - 1);
        close(fd);
        stat[count > 0 ? count : 0] = '\0';
        if (strstr(stat, ") S ") != NULL)
            return;
        usleep(100);
    }
}

static int look(void)
{
    int program = getppid(), blocked = 0, ignored = 0;
    char input[64] = "";
    sigset_t mask;
    struct sigaction action;

    if (read(0, input, sizeof input - 1) == -1)
        return 1;
    see("<%s>, open:", input);
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) != -1)
            see(" %d", fd);
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int signo = 1; signo < NSIG; signo++) {
        blocked += sigismember(&mask, signo) == 1;
        ignored += sigaction(signo, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
    }
    see(", blocked: %d, ignored: %d, leads: %d", blocked, ignored, getpgrp() == getpid());

    let_sleep(program);
    if (write(1, seen, length) == -1)
        return 1;
    let_sleep(program);
    if (write(2, "error", 5) == -1)
        return 1;
    for (int fd = 1; fd < 3; fd++) {
        let_sleep(program);
        close(fd);
    }
    let_sleep(program);
    return 5;
}

/* Who is still there, for which nobody else will wait. */
static int child, command;

static int failed(const char *what)
{
    int pids[] = { child, command };
    char why[512];

    snprintf(why, sizeof why, "%s", what); /* the library's sentence lasts until its next failure */
    rsd_forget_child(child);
    for (int i = 0; i < 2; i++) {
        if (pids[i] <= 0)
            continue;
        kill(pids[i], SIGKILL);
        while (waitpid(pids[i], NULL, 0) == -1 && errno == EINTR)
            ;
    }
    /* Unlike what is printed, so that whoever makes that fail hears why. */
    struct iovec line[] = {
        { "fault_loop: ", 12 }, { why, strlen(why) }, { "\n", 1 }
    };
    return writev(2, line, 3) == -1 ? 2 : 1;
}

static int failed_with(const char *what, int error)
{
    char why[256];
    snprintf(why, sizeof why, "%s: %s", what, strerror(error));
    return failed(why);
}

/* A process that ended otherwise than by exit(). */
static int was_killed(const char *what, int status)
{
    char why[256];
    snprintf(why, sizeof why, "%s was killed by %s", what,
             WTERMSIG(status) == SIGKILL ? "SIGKILL" : strsignal(WTERMSIG(status)));
    return failed(why);
}

static int child_status = -2;

static void on_child(int pid, int status, void *arg)
{
    *(int *)arg = status;
    if (pid == child)
        child = 0;
}

struct ended {
    int count, status, error, is_cut;
    char out[256], err[256];
};

static void keep(const struct rsd_result *result, void *arg)
{
    struct ended *ended = arg;

    ended->count++;
    ended->status = result->status;
    ended->error = result->error;
    ended->is_cut = result->out_is_cut || result->err_is_cut;
    snprintf(ended->out, sizeof ended->out, "%s", result->out);
    snprintf(ended->err, sizeof ended->err, "%s", result->err);
    command = 0;
}

/* 0, or the status to leave with. */
static int see_ended(const char *what, const struct ended *ended)
{
    if (ended->status == -1)
        return failed_with("somebody else has waited for the command", ECHILD);
    if (!WIFEXITED(ended->status))
        return was_killed("the command", ended->status);
    if (ended->is_cut)
        return failed("the output of the command was lost");
    see("%s: %d \"%s\" \"%s\"\n", what, WEXITSTATUS(ended->status), ended->out, ended->err);
    return 0;
}

static int wait_a_while(int ms)
{
    int told;
    do
        told = rsd_wait(ms);
    while (told == RSD_HANDLER_RAN);
    return told == -1 ? -1 : told & ~RSD_HANDLER_RAN;
}

static int see_signal(void)
{
    struct rsd_signal_info info = { .size = sizeof info };

    if (raise(SIGUSR1) != 0)
        return failed_with("cannot raise a signal", errno);
    int told = wait_a_while(10000);
    if (told == -1)
        return failed(rsd_last_error());
    if (rsd_next_signal(&info) == -1)
        return failed(rsd_last_error());
    see("signal: told %d, flag %d, %u of %d\n", told, usr1_flag, info.count, info.signo);
    return 0;
}

/* How often rsd_wait() looks at the clock depends on it. */
static void at_a_full_millisecond(void)
{
    struct timespec now;
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while (now.tv_nsec % 1000000 > 50000);
}

static int run_through(void)
{
    static char *const argv[] = { "/proc/self/exe", "look", NULL };
    struct ended ran = { .count = 0 }, spawned = { .count = 0 };
    struct rsd_result *result;
    int status;

    if (install_signal_flags(&shutdown_flag, &reload_flag) == -1 || rsd_ignore_signal(SIGTTOU) == -1
        || rsd_flag_signal(SIGUSR1, &usr1_flag, 7) == -1)
        return failed(rsd_last_error());
    struct pollfd readable = { .fd = rsd_fd(), .events = POLLIN };
    if (readable.fd == -1)
        return failed(rsd_last_error());
    if ((status = see_signal()) != 0)
        return status;
    at_a_full_millisecond();
    int told = wait_a_while(10);
    if (told == -1)
        return failed(rsd_last_error());
    see("wait: %d\n", told);

    child = fork();
    if (child == -1)
        return failed_with("cannot fork", errno);
    if (child == 0) {
        rsd_after_fork();
        _exit(3);
    }
    if (rsd_watch_child(child, on_child, &child_status) == -1)
        return failed(rsd_last_error());
    while (child_status == -2)
        if (rsd_wait(-1) == -1)
            return failed(rsd_last_error());
    if (child_status == -1)
        return failed_with("somebody else has waited for the child", ECHILD);
    if (!WIFEXITED(child_status))
        return was_killed("the child", child_status);
    see("child: %d\n", WEXITSTATUS(child_status));

    if (rsd_run(argv, RSD_RUN_OPTIONS(.input = "input", .input_length = 5, .timeout_ms = 60000),
                &result)
        == -1)
        return failed(rsd_last_error());
    keep(result, &ran);
    rsd_free_result(result);
    if ((status = see_ended("run", &ran)) != 0)
        return status;

    command = rsd_spawn(argv, NULL, keep, &spawned);
    if (command == -1)
        return failed(rsd_last_error());
    while (spawned.count == 0) {
        if (poll(&readable, 1, -1) == -1 && errno != EINTR)
            return failed_with("cannot wait", errno);
        if (rsd_dispatch() == -1)
            return failed(rsd_last_error());
    }
    if ((status = see_ended("spawn", &spawned)) != 0)
        return status;

    if (rsd_flag_signal(SIGUSR1, &usr1_flag, 8) == -1)
        return failed(rsd_last_error());
    if ((status = see_signal()) != 0)
        return status;
    struct sigaction action;
    if (rsd_restore_signal(SIGUSR1) == -1)
        return failed(rsd_last_error());
    if (sigaction(SIGUSR1, NULL, &action) == -1)
        return failed_with("cannot ask for a signal's action", errno);
    see("restored: %d\n", action.sa_handler == SIG_DFL);
    return 0;
}

int main(int argc, char *argv[])
{
    if (argc == 2 && strcmp(argv[1], "look") == 0)
        return look();
    /* The library may look at each number there could be. */
    struct rlimit limit = { 32, 32 };
    if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
        return failed_with("cannot limit the descriptors", errno);
    int status = run_through();
    if (status != 0)
        return status;
    while (write(1, seen, length) == -1)
        if (errno != EINTR)
            return failed_with("cannot print", errno);
    return 0;
}
