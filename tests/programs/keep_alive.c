/* A worker that asks its parent, and calls of rsd_keep_alive() that are refused. */
#include "cases.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>

/* Answers "echo TEXT", "open PATH", "refuse", "silent", "too long" and "pid". */
static int answer(const void *request, size_t length, void *to, int *fd, void *arg)
{
    char text[RSD_MESSAGE_MAX + 1];
    memcpy(text, request, length);
    text[length] = '\0';
    check(strcmp(arg, "arg") == 0 && *fd == -1);
    if (strncmp(text, "echo ", 5) == 0) {
        memcpy(to, text + 5, length - 5);
        return (int)length - 5;
    }
    if (strncmp(text, "open ", 5) == 0)
        return (*fd = open(text + 5, O_RDONLY | O_CLOEXEC)) == -1 ? -1 : 0;
    if (strcmp(text, "pid") == 0)
        return sprintf(to, "%d", (int)getpid());
    if (strcmp(text, "refuse") == 0)
        errno = EACCES;
    else
        errno = 0;
    return strcmp(text, "too long") == 0 ? RSD_MESSAGE_MAX + 1 : -1;
}

static int ask(const char *request, char *to, size_t size, int *fd)
{
    return rsd_ask_parent(request, strlen(request), to, size, fd);
}

static void *ask_often(void *which)
{
    char text[16], answered[16];
    for (int i = 0; i < 300; i++) {
        int length = snprintf(text, sizeof text, "echo %s%d", (const char *)which, i);
        check(ask(text, answered, sizeof answered, NULL) == length - 5);
        check(memcmp(text + 5, answered, (size_t)length - 5) == 0);
    }
    return NULL;
}

static void ask_all(void)
{
    static char text[RSD_MESSAGE_MAX + 1], long_text[RSD_MESSAGE_MAX + 1];
    int fd = 7, before = dup(0);

    close(before);
    check(ask("echo me", text, sizeof text, &fd) == 2 && memcmp(text, "me", 2) == 0 && fd == -1);
    check(ask("echo ", NULL, 0, NULL) == 0);
    check_refused(ask("echo me", text, 1, NULL), EMSGSIZE);
    check_refused(ask("refuse", text, sizeof text, &fd), EACCES);
    check(fd == -1);
    check(strcmp(rsd_last_error(), "cannot do what the worker asks for: Permission denied") == 0);
    check_refused(ask("silent", text, sizeof text, NULL), EIO);
    check_refused(ask("too long", text, sizeof text, NULL), EMSGSIZE);
    check_refused(ask("open /nowhere", text, sizeof text, &fd), ENOENT);
    check(fd == -1);
    check(ask("open /proc/self/cmdline", text, sizeof text, &fd) == 0 && fd > 2);
    check(fcntl(fd, F_GETFD) == FD_CLOEXEC && read(fd, text, sizeof text) > 0);
    close(fd);
    check(ask("open /proc/self/cmdline", text, sizeof text, NULL) == 0);
    check(ask("pid", text, sizeof text, NULL) > 0 && atoi(text) == getppid());
    memset(long_text, 'x', RSD_MESSAGE_MAX);
    memcpy(long_text, "echo ", 5);
    check(ask(long_text, text, sizeof text, NULL) == RSD_MESSAGE_MAX - 5);
    check_refused(rsd_ask_parent(long_text, sizeof long_text, text, sizeof text, NULL), EMSGSIZE);
    check_refused(rsd_ask_parent(NULL, 1, text, 1, NULL), EINVAL);
    check_refused(rsd_ask_parent("x", 1, NULL, 1, NULL), EINVAL);
    /* Nothing is left open. */
    check(dup(0) == before);
}

static int worker(void)
{
    char text[16];
    pthread_t thread;
    ask_all();
    check(pthread_create(&thread, NULL, ask_often, "a") == 0);
    ask_often("b");
    check(pthread_join(thread, NULL) == 0);
    pid_t child = fork();
    if (child == 0)
        _exit(ask("pid", text, sizeof text, NULL) == -1 && errno == EPERM ? 0 : 1);
    int status = -1;
    check(waitpid(child, &status, 0) == child && status == 0);
    check_refused(rsd_keep_alive(NULL), EALREADY);
    check_refused(rsd_daemonize(RSD_OPTIONS(.foreground = 1)), EALREADY);
    check_refused(rsd_upgrade(NULL, 0), EPERM);
    return 0;
}

static void asks(void)
{
    int status = rsd_keep_alive(RSD_KEEP_ALIVE(.answer = answer, .arg = "arg"));
    if (status == RSD_IS_WORKER)
        exit(worker());
    check(status == 0);
}

static void nobody_answers(void)
{
    int status = rsd_keep_alive(NULL);
    if (status == RSD_IS_WORKER)
        exit(ask("pid", NULL, 0, NULL) == -1 && errno == EOPNOTSUPP ? 0 : 1);
    check(status == 0);
}

static void parent_is_gone(void)
{
    int ends[2];
    char byte;
    check(pipe(ends) == 0);
    pid_t parent = fork();
    if (parent == 0) {
        check(rsd_keep_alive(RSD_KEEP_ALIVE(.answer = answer, .arg = "arg")) == RSD_IS_WORKER);
        check(prctl(PR_SET_PDEATHSIG, 0) == 0);
        kill(getppid(), SIGKILL);
        while (getppid() == parent)
            usleep(1000);
        byte = ask("pid", NULL, 0, NULL) == -1 && (errno == EPIPE || errno == ECONNRESET) ? 'y' : 'n';
        check(write(ends[1], &byte, 1) == 1);
        _exit(0);
    }
    check(read(ends[0], &byte, 1) == 1 && byte == 'y');
    check(waitpid(parent, NULL, 0) == parent);
}

static void *wait_for_ever(void *none)
{
    pause();
    return none;
}

static void is_refused(void)
{
    pthread_t thread;
    char text[16];
    check_refused(ask("pid", text, sizeof text, NULL), EPERM);
    check_refused(rsd_keep_alive(RSD_KEEP_ALIVE(.max_restarts = -2)), EINVAL);
    check_refused(rsd_keep_alive(&(struct rsd_keep_alive_options){ 0 }), EINVAL);
    check(rsd_open_control("@keep_alive_test", 0600, NULL) == 0);
    check_refused(rsd_keep_alive(NULL), EBUSY);
    check(rsd_close_control() == 0);
    check(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
    check_refused(rsd_keep_alive(NULL), EBUSY);
}

/* The statuses that main() is to leave with. */
static void statuses(void)
{
    sigset_t before, after;
    memset(&before, 0, sizeof before);
    memset(&after, 0, sizeof after);
    int status = rsd_keep_alive(NULL);
    if (status == RSD_IS_WORKER)
        exit(0);
    check(status == 0);
    check(sigprocmask(SIG_BLOCK, NULL, &before) == 0);
    status = rsd_keep_alive(RSD_KEEP_ALIVE(.max_restarts = 1, .delay_ms = 1));
    if (status == RSD_IS_WORKER)
        exit(3);
    check(status == 3 && strstr(rsd_last_error(), "given up after 1 restarts") != NULL);
    status = rsd_keep_alive(RSD_KEEP_ALIVE(.max_restarts = 1, .delay_ms = 1));
    if (status == RSD_IS_WORKER)
        kill(getpid(), SIGKILL);
    check(status == 128 + SIGKILL);
    status = rsd_keep_alive(NULL);
    if (status == RSD_IS_WORKER) {
        kill(getppid(), SIGTERM);
        pause();
    }
    check(status == 0);
    check(sigprocmask(SIG_BLOCK, NULL, &after) == 0 && memcmp(&before, &after, sizeof after) == 0);
    check(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
}

/* What the terminal sends reaches the worker once. */
static void terminal(void)
{
    static volatile sig_atomic_t flag;
    int master = posix_openpt(O_RDWR | O_NOCTTY), ready[2], status = -1;
    char byte;
    check(master != -1 && grantpt(master) == 0 && unlockpt(master) == 0 && pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        int slave = open(ptsname(master), O_RDWR);
        check(setsid() != -1 && slave != -1 && ioctl(slave, TIOCSCTTY, 0) == 0);
        status = rsd_keep_alive(NULL);
        if (status != RSD_IS_WORKER)
            _exit(status);
        struct rsd_signal_info told;
        memset(&told, 0, sizeof told);
        told.size = sizeof told;
        check(rsd_flag_signal(SIGINT, &flag, 1) == 0 && write(ready[1], "r", 1) == 1);
        check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED && flag);
        usleep(200000); /* for another one */
        check(rsd_next_signal(&told) == 1 && told.signo == SIGINT && told.count == 1);
        _exit(0);
    }
    check(read(ready[0], &byte, 1) == 1);
    check(write(master, "\3", 1) == 1);
    check(waitpid(child, &status, 0) == child && status == 0);
}

/* Of a process that waits for no children by itself. */
static void sigchld_is_ignored(void)
{
    signal(SIGCHLD, SIG_IGN);
    int status = rsd_keep_alive(RSD_KEEP_ALIVE(.max_restarts = 1, .delay_ms = 1));
    if (status == RSD_IS_WORKER)
        exit(signal(SIGCHLD, SIG_DFL) == SIG_IGN ? 4 : 5);
    check(status == 4);
    check(signal(SIGCHLD, SIG_DFL) == SIG_IGN);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "asks", asks },
        { "nobody-answers", nobody_answers },
        { "parent-is-gone", parent_is_gone },
        { "is-refused", is_refused },
        { "statuses", statuses },
        { "sigchld-is-ignored", sigchld_is_ignored },
        { "terminal", terminal },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
