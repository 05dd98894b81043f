/*
 * "sandbox HOW OPTION... - ACTION...": enters a sandbox of these options and prints each action with 0 or its errno.
 * HOW: "now" by rsd_sandbox(); "daemon" and "foreground" as an option of rsd_daemonize(), with the pid file "d.pid"
 * and the output in "out", and serves the control socket "d.ctl" until SIGTERM; "run" does it in a command of
 * rsd_run(). After "then" come the options of a second sandbox within the first. What is refused is "refused ERRNO SENTENCE".
 */
#include "cases.h"

#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>

static volatile sig_atomic_t shutdown_flag = 0;

static int result_of(long result)
{
    return result == -1 ? errno : 0;
}

static int opened(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int error = result_of(fd);
    if (fd != -1)
        close(fd);
    return error;
}

static int called_on(int (*call)(int, const struct sockaddr *, socklen_t), const char *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port)) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = result_of(fd == -1 ? -1 : call(fd, (struct sockaddr *)&address, sizeof address));
    if (fd != -1)
        close(fd);
    return error;
}

/* 0, or an errno, or 128 and the signal that ended it. */
static int executed(const char *path)
{
    pid_t child = fork();
    if (child == -1)
        return errno;
    if (child == 0) {
        execl(path, path, (char *)NULL);
        _exit(errno);
    }
    int status;
    check(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static long act(const char *action)
{
    const char *value = strchr(action, ':') == NULL ? "" : strchr(action, ':') + 1;
    struct rlimit limit;
    mode_t mask;

    if (strncmp(action, "read:", 5) == 0)
        return opened(value, O_RDONLY);
    if (strncmp(action, "write:", 6) == 0)
        return opened(value, O_WRONLY);
    if (strncmp(action, "make:", 5) == 0)
        return opened(value, O_WRONLY | O_CREAT | O_EXCL);
    if (strncmp(action, "bind:", 5) == 0)
        return called_on(bind, value);
    if (strncmp(action, "connect:", 8) == 0)
        return called_on(connect, value);
    if (strncmp(action, "exec:", 5) == 0)
        return executed(value);
    if (strncmp(action, "groups:", 7) == 0) {
        gid_t group = (gid_t)atoi(value);
        return result_of(setgroups(1, &group));
    }
    if (strcmp(action, "root") == 0)
        return result_of(syscall(SYS_setresuid, 0, 0, 0));
    if (strcmp(action, "namespace") == 0)
        return result_of(syscall(SYS_unshare, CLONE_NEWUSER));
    if (strcmp(action, "trace") == 0)
        return result_of(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL));
    if (strcmp(action, "dumpable") == 0)
        return prctl(PR_GET_DUMPABLE);
    if (strcmp(action, "nnp") == 0)
        return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    if (strcmp(action, "uid") == 0)
        return (long)geteuid();
    if (strcmp(action, "size") == 0)
        return getrlimit(RLIMIT_FSIZE, &limit) == 0 ? (long)limit.rlim_cur : -1;
    if (strcmp(action, "core") == 0)
        return getrlimit(RLIMIT_CORE, &limit) == 0 ? (long)limit.rlim_max : -1;
    if (strcmp(action, "umask") == 0) {
        umask(mask = umask(0));
        return (long)mask;
    }
    dprintf(2, "%s?\n", action);
    exit(2);
}

static void report(void)
{
    struct rsd_sandbox_state state = { .size = sizeof state };
    char text[8192], little[8];
    int length = rsd_sandbox_report(text, sizeof text);
    check(length >= 0 && (size_t)length < sizeof text && strlen(text) == (size_t)length);
    /* What does not fit is cut. */
    check(rsd_sandbox_report(NULL, 0) == length && rsd_sandbox_report(little, sizeof little) == length);
    check(strncmp(little, text, sizeof little - 1) == 0 && strlen(little) == (length < 7 ? (size_t)length : 7));
    check(rsd_get_sandbox_state(&state) == 0);
    printf("%sasked %x missing %x\n", text, state.asked, state.asked & ~state.in_force);
}

static void *wait_for_ever(void *none)
{
    for (;;)
        pause();
    return none;
}

static void act_all(char **actions)
{
    for (; *actions != NULL; actions++) {
        if (strcmp(*actions, "report") == 0)
            report();
        else
            printf("%s %ld\n", *actions, act(*actions));
    }
    fflush(stdout);
}

static int refused(void)
{
    printf("refused %d %s\n", errno, rsd_last_error());
    return 1;
}

static int serve(struct rsd_options *daemon, char **actions)
{
    daemon->pidfile = "./d.pid";
    daemon->directory = ".";
    daemon->log_file = "out";
    if (rsd_daemonize(daemon) == -1)
        return refused();
    if (rsd_open_control("d.ctl", 0, NULL) == -1) /* it may be refused */
        printf("control %d\n", errno);
    act_all(actions);
    check(rsd_flag_signal(SIGTERM, &shutdown_flag, 1) == 0 && rsd_ready() == 0);
    while (!shutdown_flag)
        check(rsd_wait(-1) != -1);
    return 0;
}

int main(int argc, char **argv)
{
    struct rsd_privileges privileges = { .size = sizeof privileges };
    struct rsd_sandbox_options sandbox = { .size = sizeof sandbox };
    int i = 2;

    check(argc > 1);
    for (; i < argc && strcmp(argv[i], "-") != 0; i++) {
        char *value = strchr(argv[i], '=');
        value = value == NULL ? argv[i] + strlen(argv[i]) : value + 1;
#define IS(name) (strncmp(argv[i], name "=", sizeof name) == 0)
        if (IS("user"))
            privileges.user = value;
        else if (IS("root"))
            privileges.root = value;
        else if (IS("capabilities"))
            privileges.capabilities = value;
        else if (IS("limits"))
            sandbox.limits = value;
        else if (IS("cgroup"))
            sandbox.cgroup = value;
        else if (IS("cgroup_limits"))
            sandbox.cgroup_limits = value;
        else if (IS("profile"))
            sandbox.profile = value;
        else if (IS("context"))
            sandbox.context = value;
        else if (IS("umask"))
            sandbox.umask = (int)strtol(value, NULL, 8);
        else if (IS("access"))
            sandbox.access = value;
        else if (IS("promises"))
            sandbox.promises = value;
        else if (IS("otherwise"))
            sandbox.otherwise = atoi(value);
        else if (strcmp(argv[i], "best_effort") == 0)
            sandbox.best_effort = 1;
        else if (strcmp(argv[i], "allow_dumps") == 0)
            sandbox.allow_dumps = 1;
        else if (strcmp(argv[i], "then") == 0) {
            if (rsd_sandbox(&sandbox) == -1)
                return refused();
            sandbox = (struct rsd_sandbox_options){ .size = sizeof sandbox };
            privileges = (struct rsd_privileges){ .size = sizeof privileges };
        } else if (strcmp(argv[i], "thread") == 0) {
            pthread_t thread;
            check(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
        } else
            check(!"an option");
        if (IS("user") || IS("root") || IS("capabilities"))
            sandbox.privileges = &privileges;
    }
    char **actions = argv + i + (i < argc);

    if (strcmp(argv[1], "now") == 0) {
        if (rsd_sandbox(&sandbox) == -1)
            return refused();
        act_all(actions);
    } else if (strcmp(argv[1], "act") == 0) {
        act_all(actions);
    } else if (strcmp(argv[1], "run") == 0) {
        struct rsd_result *result;
        char *self[64] = { argv[0], "act", "-" };
        for (int n = 3; n < 63 && *actions != NULL; n++)
            self[n] = *actions++;
        int dumpable = prctl(PR_GET_DUMPABLE);
        int status = rsd_run(self, RSD_RUN_OPTIONS(.sandbox = &sandbox), &result);
        if (status == -1)
            refused();
        if (result != NULL)
            printf("%s%s", result->out, result->err);
        printf("status %d\n", status);
        rsd_free_result(result);
        /* Nothing of it is ours. */
        check(prctl(PR_GET_DUMPABLE) == dumpable && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
        check(opened("/", O_RDONLY) == 0 && rsd_sandbox_report(NULL, 0) == 0);
    } else {
        struct rsd_options daemon = { .size = sizeof daemon, .sandbox = &sandbox };
        daemon.foreground = strcmp(argv[1], "foreground") == 0;
        return serve(&daemon, actions);
    }
    return 0;
}
