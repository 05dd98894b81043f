/*
 * run KEY=VALUE... -- COMMAND...: runs a command and prints how it went, then what it wrote. First
 * what the keys set up in this process is done, in their order. Whatever happens, the same
 * descriptors are open afterwards, no child is left, and signals are as they were.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <rsdaemon.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct rsd_run_options options = { .size = sizeof options };
static int use_spawn, compare, times = 1;
static size_t big_argument;
static FILE *report; /* stdout may be closed */

static volatile sig_atomic_t shutdown_flag;

static void wait_for_all(int signo)
{
    int kept = errno;

    (void)signo;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    errno = kept;
}

static int number_of_descriptors(void)
{
    int number = 0;
    DIR *folder = opendir("/proc/self/fd");

    if (folder == NULL)
        err(9, "/proc/self/fd");
    while (readdir(folder) != NULL)
        number++;
    closedir(folder);
    return number;
}

static void set_up(const char *key, const char *value)
{
    long number = strtol(value, NULL, 0);
    sigset_t set;

    if (strcmp(key, "spawn") == 0) {
        use_spawn = 1;
    } else if (strcmp(key, "times") == 0) {
        times = (int)number;
    } else if (strcmp(key, "compare") == 0) {
        compare = 1;
    } else if (strcmp(key, "input") == 0) {
        options.input = value;
        options.input_length = strlen(value);
    } else if (strcmp(key, "input-length") == 0) {
        uint8_t *bytes = malloc((size_t)number);
        for (long i = 0; i < number; i++)
            bytes[i] = (uint8_t)((uint32_t)i * 2654435761u >> 24);
        options.input = bytes;
        options.input_length = (size_t)number;
    } else if (strcmp(key, "limit") == 0) {
        options.output_limit = (size_t)number;
    } else if (strcmp(key, "merge") == 0) {
        options.merge_stderr = 1;
    } else if (strcmp(key, "timeout") == 0) {
        options.timeout_ms = (unsigned)number;
    } else if (strcmp(key, "kill-after") == 0) {
        options.kill_after_ms = (unsigned)number;
    } else if (strcmp(key, "during-shutdown") == 0) {
        options.during_shutdown = 1;
    } else if (strcmp(key, "flags") == 0) {
        if (install_signal_flags(&shutdown_flag, NULL) == -1)
            errx(9, "%s", rsd_last_error());
    } else if (strcmp(key, "raise") == 0) {
        raise((int)number);
    } else if (strcmp(key, "ignore") == 0) {
        signal((int)number, SIG_IGN);
    } else if (strcmp(key, "rsd-ignore") == 0) {
        if (rsd_ignore_signal((int)number) == -1)
            errx(9, "%s", rsd_last_error());
    } else if (strcmp(key, "wait-for-all") == 0) {
        signal(SIGCHLD, wait_for_all);
    } else if (strcmp(key, "block") == 0) {
        sigemptyset(&set);
        sigaddset(&set, (int)number);
        sigprocmask(SIG_BLOCK, &set, NULL);
    } else if (strcmp(key, "open") == 0) {
        if (dup2(open("/dev/zero", O_RDWR), (int)number) == -1)
            err(9, "%s", value);
    } else if (strcmp(key, "write-open") == 0) {
        if (open(value, O_WRONLY) == -1)
            err(9, "%s", value);
    } else if (strcmp(key, "close") == 0) {
        close((int)number);
    } else if (strcmp(key, "path") == 0) {
        setenv("PATH", value, 1);
    } else if (strcmp(key, "no-path") == 0) {
        unsetenv("PATH");
    } else if (strcmp(key, "processes") == 0) {
        struct rlimit limit = { (rlim_t)number, (rlim_t)number };
        if (setrlimit(RLIMIT_NPROC, &limit) == -1)
            err(9, "setrlimit");
    } else if (strcmp(key, "user") == 0) {
        if (setresuid((uid_t)number, (uid_t)number, (uid_t)number) == -1)
            err(9, "setresuid");
    } else if (strcmp(key, "big-argument") == 0) {
        big_argument = (size_t)number;
    } else {
        errx(9, "what is %s?", key);
    }
}

struct seen {
    int count;
    struct rsd_result result;
};

static void on_end(const struct rsd_result *result, void *arg)
{
    struct seen *seen = arg;

    seen->count++;
    seen->result = *result;
    char *out = malloc(result->out_length + 1), *errors = malloc(result->err_length + 1);
    memcpy(out, result->out, result->out_length + 1);
    memcpy(errors, result->err, result->err_length + 1);
    seen->result.out = out;
    seen->result.err = errors;
}

static void give_back(struct rsd_result *result)
{
    if (!use_spawn) {
        rsd_free_result(result);
    } else if (result != NULL) {
        free((void *)result->out);
        free((void *)result->err);
    }
}

/* By rsd_spawn(), so that it looks like rsd_run(). */
static int spawn(char *const *argv, struct rsd_result *copy, struct rsd_result **result)
{
    struct seen seen = { .count = 0 };
    int pid = rsd_spawn(argv, &options, on_end, &seen);

    *result = NULL;
    if (pid == -1)
        return -1;
    while (seen.count == 0)
        if (rsd_wait(-1) == -1)
            errx(9, "rsd_wait: %s", rsd_last_error());
    if (seen.count != 1 || seen.result.pid != pid)
        errx(9, "called %d times, for %d instead of %d", seen.count, seen.result.pid, pid);
    *copy = seen.result;
    *result = copy;
    return copy->status;
}

/* What execvp() says of the same command: 0, or its errno. */
static int by_execvp(char *const *argv)
{
    int ends[2], error = 0;
    if (pipe2(ends, O_CLOEXEC) == -1)
        err(9, "pipe2");
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++)
            dup2(null, fd);
        execvp(argv[0], argv);
        error = errno;
        if (write(ends[1], &error, sizeof error) == -1)
            _exit(2);
        _exit(1);
    }
    close(ends[1]);
    if (read(ends[0], &error, sizeof error) == -1)
        err(9, "read");
    close(ends[0]);
    waitpid(pid, NULL, 0);
    return error;
}

/* Not getrusage(2), which counts what executed this program, too. */
static long kilobytes(void)
{
    char line[256];
    long most = -1;
    FILE *status = fopen("/proc/self/status", "re");

    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            most = atol(line + 6);
    if (status != NULL)
        fclose(status);
    return most;
}

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void same_signals(const sigset_t *mask, const struct sigaction actions[65])
{
    sigset_t now;
    struct sigaction action;

    sigprocmask(SIG_BLOCK, NULL, &now);
    for (int signo = 1; signo < 65; signo++) {
        if (sigismember(mask, signo) != sigismember(&now, signo))
            errx(9, "signal %d was or is blocked", signo);
        if (sigaction(signo, NULL, &action) == 0
            && action.sa_handler != actions[signo].sa_handler)
            errx(9, "the action of signal %d has changed", signo);
    }
}

int main(int argc, char *argv[])
{
    int copy = fcntl(1, F_DUPFD_CLOEXEC, 900), errors = fcntl(2, F_DUPFD_CLOEXEC, 900);
    report = fdopen(copy, "w");
    stderr = fdopen(errors, "w");

    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals != NULL)
            *equals = '\0';
        set_up(argv[i], equals == NULL ? "" : equals + 1);
    }
    if (i >= argc)
        return 9;
    char **command = argv + i + 1;
    if (big_argument != 0) {
        command[1] = malloc(big_argument + 1);
        memset(command[1], 'x', big_argument);
        command[1][big_argument] = '\0';
    }

    struct rsd_result on_stack, *result = NULL;
    sigset_t mask;
    struct sigaction actions[65];
    if (rsd_fd() == -1)
        errx(9, "%s", rsd_last_error());
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int signo = 1; signo < 65; signo++)
        sigaction(signo, NULL, &actions[signo]);
    int descriptors = number_of_descriptors();

    int returned = 0, error = 0;
    double begin = seconds(CLOCK_MONOTONIC), work = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (int time = 0; time < times; time++) {
        give_back(result);
        result = (struct rsd_result *)&on_stack; /* must be set, or set to NULL */
        errno = 0;
        returned = use_spawn ? spawn(command, &on_stack, &result)
                             : rsd_run(command, &options, &result);
        error = errno;
        if (!use_spawn && result == &on_stack)
            errx(9, "the result is not set");
    }
    work = seconds(CLOCK_PROCESS_CPUTIME_ID) - work;
    begin = seconds(CLOCK_MONOTONIC) - begin;

    /* The first that has a time limit gives the main loop its timer. */
    int more = number_of_descriptors() - descriptors;
    if (more < 0 || more > 1)
        errx(9, "%d more descriptors than before", more);
    if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
        errx(9, "a child is left");
    same_signals(&mask, actions);

    fprintf(report, "%d %d %.3f %.3f %ld %d\n%s\n", returned, error, begin, work, kilobytes(),
            compare ? by_execvp(command) : -1, returned == -1 ? rsd_last_error() : "");
    if (result != NULL) {
        if (result->out[result->out_length] != '\0' || result->err[result->err_length] != '\0')
            errx(9, "no NUL at the end");
        fprintf(report, "%d %d %d %zu %d %zu %d\n", result->pid, result->status, result->error,
                result->out_length, result->out_is_cut, result->err_length, result->err_is_cut);
        fwrite(result->out, 1, result->out_length, report);
        fwrite(result->err, 1, result->err_length, report);
    }
    give_back(result);
    free(big_argument != 0 ? command[1] : NULL);
    return fclose(report) == 0 ? 0 : 9;
}
