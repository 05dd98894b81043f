/*
 * command MODE: commands together with what else a program does.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMAND(...) ((char *const[]){ __VA_ARGS__, NULL })
#define SHELL(text) COMMAND("sh", "-c", text)
#define LENGTH(array) (sizeof(array) / sizeof *(array))

static volatile sig_atomic_t shutdown_flag, reload_flag, usr1_flag;

#define check(condition) \
    ((condition) ? (void)0 : errx(1, "line %d: %s: %d %s", __LINE__, #condition, errno, rsd_last_error()))

static int number_of_descriptors(void)
{
    int number = 0;
    DIR *folder = opendir("/proc/self/fd");

    check(folder != NULL);
    while (readdir(folder) != NULL)
        number++;
    closedir(folder);
    return number;
}

static double now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int no_child_is_left(void)
{
    return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD;
}

struct seen {
    int count, pid, status, error;
    char out[64];
};

static void on_end(const struct rsd_result *result, void *arg)
{
    struct seen *seen = arg;

    seen->count++;
    seen->pid = result->pid;
    seen->status = result->status;
    seen->error = result->error;
    snprintf(seen->out, sizeof seen->out, "%s", result->out);
}

static void on_child(int pid, int status, void *arg)
{
    struct seen *seen = arg;

    seen->count++;
    seen->pid = pid;
    seen->status = status;
}

static void wait_for(const int *count, int wanted)
{
    while (*count < wanted)
        check(rsd_wait(-1) > 0);
}

static void arguments(void)
{
    struct rsd_result *result = (struct rsd_result *)&result;
    struct rsd_run_options options = { .size = 0 };
    struct {
        struct rsd_run_options known;
        char more[64];
    } newer;
    struct seen seen = { .count = 0 };

    check(rsd_run(NULL, NULL, &result) == -1 && errno == EINVAL && result == NULL);
    check(rsd_last_error()[0] != '\0');
    char *const nothing[] = { NULL };
    result = (struct rsd_result *)&result;
    check(rsd_run(nothing, NULL, &result) == -1 && errno == EINVAL && result == NULL);
    check(rsd_run(COMMAND("true"), &options, NULL) == -1 && errno == EINVAL);
    options.size = 7;
    check(rsd_run(COMMAND("true"), &options, NULL) == -1 && errno == EINVAL);
    options.size = sizeof options;
    options.input_length = 1;
    result = (struct rsd_result *)&result;
    check(rsd_run(COMMAND("true"), &options, &result) == -1 && errno == EINVAL && result == NULL);

    /* A later version's options are as well as ours as long as they ask for nothing more. */
    memset(&newer, 0, sizeof newer);
    newer.known.size = sizeof newer;
    check(rsd_run(COMMAND("true"), &newer.known, NULL) == 0);
    newer.more[63] = 1;
    check(rsd_run(COMMAND("true"), &newer.known, NULL) == -1);
    check(errno == EINVAL || errno == E2BIG);

    check(rsd_spawn(COMMAND("true"), NULL, NULL, NULL) == -1 && errno == EINVAL);
    check(rsd_spawn(NULL, NULL, on_end, &seen) == -1 && errno == EINVAL);
    check(rsd_spawn(COMMAND("./nothing"), NULL, on_end, &seen) == -1 && errno == ENOENT);
    check(strstr(rsd_last_error(), "./nothing") != NULL);
    check(strstr(rsd_last_error(), strerror(ENOENT)) != NULL);

    check(rsd_end_command(0) == -1 && errno == ENOENT);
    check(rsd_end_command(-1) == -1 && errno == ENOENT);
    check(rsd_end_command(1) == -1 && errno == ENOENT);
    rsd_free_result(NULL);

    /* Nothing but argv; success leaves errno alone. */
    check(rsd_run(COMMAND("true"), NULL, NULL) == 0);
    check(WEXITSTATUS(rsd_run(SHELL("exit 42"), NULL, NULL)) == 42);
    errno = 4711;
    check(rsd_run(COMMAND("true"), RSD_RUN_OPTIONS(.timeout_ms = 0), NULL) == 0 && errno == 4711);
    check(rsd_wait(0) == 0 && seen.count == 0 && no_child_is_left());
}

/* A flag that is raised before: nothing is executed. */
static void shutdown_before(const char *file)
{
    struct rsd_result *result = (struct rsd_result *)&result;
    struct seen seen = { .count = 0 };

    check(install_signal_flags(&shutdown_flag, &reload_flag) == 0);
    raise(SIGTERM);
    check(rsd_run(COMMAND("touch", (char *)file), NULL, &result) == -1 && errno == ECANCELED);
    check(access(file, F_OK) == -1 && no_child_is_left());
    check(strchr(rsd_last_error(), ' ') != NULL);
    rsd_free_result(result);

    /* Also after it was told. */
    check(rsd_wait(0) == RSD_SIGNAL_ARRIVED);
    check(rsd_run(COMMAND("touch", (char *)file), NULL, NULL) == -1 && errno == ECANCELED);
    check(rsd_spawn(COMMAND("touch", (char *)file), NULL, on_end, &seen) == -1);
    check(errno == ECANCELED && rsd_wait(0) == 0 && seen.count == 0 && no_child_is_left());
    check(access(file, F_OK) == -1);

    check(rsd_run(SHELL("exit 3"), RSD_RUN_OPTIONS(.during_shutdown = 1), NULL) == 3 << 8);
    check(rsd_spawn(SHELL("exit 4"), RSD_RUN_OPTIONS(.during_shutdown = 1), on_end, &seen) > 0);
    wait_for(&seen.count, 1);
    check(seen.status == 4 << 8 && seen.error == 0);
}

/* A shutdown while the command runs ends it, and is told by rsd_wait() afterwards. */
static void shutdown_during(int signo)
{
    char text[64];
    struct rsd_result *result;
    struct seen seen = { .count = 0 };

    check(rsd_flag_signal(signo, &shutdown_flag, 1) == 0);
    snprintf(text, sizeof text, "echo begun; kill -%d $PPID; exec sleep 1000", signo);
    int spawned = rsd_spawn(COMMAND("sleep", "1000"), NULL, on_end, &seen);
    check(spawned > 0);
    double begin = now();
    check(rsd_run(SHELL(text), NULL, &result) == -1 && errno == ECANCELED);
    check(now() - begin < 60 && shutdown_flag == 1);
    check(result != NULL && result->error == ECANCELED && WTERMSIG(result->status) == SIGTERM);
    check(strcmp(result->out, "begun\n") == 0);
    rsd_free_result(result);

    begin = now();
    int told = rsd_wait(600000);
    check(told > 0 && now() - begin < 60);
    check(seen.count == 1 || (told & RSD_SIGNAL_ARRIVED));
    wait_for(&seen.count, 1);
    check(seen.error == ECANCELED && WTERMSIG(seen.status) == SIGTERM && seen.pid == spawned);
    struct rsd_signal_info info = { .size = sizeof info };
    check(rsd_next_signal(&info) == 1 && info.signo == signo && no_child_is_left());
}

/* What cleans up is not ended by it. */
static void during_shutdown(void)
{
    struct rsd_result *result;

    check(install_signal_flags(&shutdown_flag, &reload_flag) == 0);
    int status = rsd_run(SHELL("kill -TERM $PPID; sleep 0.3; echo clean"),
                         RSD_RUN_OPTIONS(.during_shutdown = 1), &result);
    check(status == 0 && result->error == 0 && strcmp(result->out, "clean\n") == 0);
    rsd_free_result(result);
    check(shutdown_flag == 1);
    double begin = now();
    check(rsd_wait(600000) == RSD_SIGNAL_ARRIVED && now() - begin < 60);
}

/* Other flags are set, children told of, and commands go on. */
static void meanwhile(void)
{
    struct seen child = { .count = 0 };
    struct rsd_result *result;

    check(install_signal_flags(&shutdown_flag, &reload_flag) == 0);
    check(rsd_flag_signal(SIGUSR1, &usr1_flag, 5) == 0);
    int pid = fork();
    if (pid == 0)
        _exit(7);
    check(rsd_watch_child(pid, on_child, &child) == 0);
    int status = rsd_run(SHELL("kill -HUP $PPID; kill -USR1 $PPID; sleep 0.3; echo end; exit 9"),
                         NULL, &result);
    check(status == 9 << 8 && result->error == 0 && strcmp(result->out, "end\n") == 0);
    rsd_free_result(result);
    check(reload_flag == 1 && usr1_flag == 5 && shutdown_flag == 0);
    check(child.count == 1 && child.pid == pid && child.status == 7 << 8);
    double begin = now();
    check((rsd_wait(600000) & RSD_SIGNAL_ARRIVED) && now() - begin < 60);
    check(no_child_is_left());
}

static void many(void)
{
    static struct seen seen[200];
    int pids[LENGTH(seen)], all = 0;

    for (size_t i = 0; i < LENGTH(seen); i++) {
        char text[64];
        snprintf(text, sizeof text, "echo %zu; exit %zu", i, i % 100);
        pids[i] = rsd_spawn(SHELL(text), NULL, on_end, &seen[i]);
        check(pids[i] > 0);
    }
    while (all < (int)LENGTH(seen)) {
        check(rsd_wait(-1) > 0);
        all = 0;
        for (size_t i = 0; i < LENGTH(seen); i++)
            all += seen[i].count;
    }
    for (size_t i = 0; i < LENGTH(seen); i++) {
        char out[16];
        snprintf(out, sizeof out, "%zu\n", i);
        check(seen[i].count == 1 && seen[i].pid == pids[i] && seen[i].error == 0);
        check(seen[i].status == (int)(i % 100) << 8 && strcmp(seen[i].out, out) == 0);
    }
    check(no_child_is_left() && rsd_wait(0) == 0);
}

/* By the program's own poll(2). */
static void event_loop(void)
{
    struct seen seen = { .count = 0 };
    struct pollfd readable = { .fd = rsd_fd(), .events = POLLIN };

    check(rsd_spawn(SHELL("cat; sleep 0.1; echo end"),
                    RSD_RUN_OPTIONS(.input = "begin\n", .input_length = 6), on_end, &seen) > 0);
    check(seen.count == 0);
    while (seen.count == 0) {
        check(poll(&readable, 1, -1) == 1);
        int told = rsd_dispatch();
        check(told == 0 || (told == RSD_CALLBACK_RAN && seen.count == 1));
    }
    check(strcmp(seen.out, "begin\nend\n") == 0 && seen.status == 0);
    check(poll(&readable, 1, 0) == 0);
}

static void end_command(void)
{
    struct seen seen = { .count = 0 }, stubborn = { .count = 0 };

    int pid = rsd_spawn(COMMAND("sleep", "1000"), NULL, on_end, &seen);
    check(pid > 0 && rsd_wait(50) == 0 && seen.count == 0);
    check(rsd_end_command(pid) == 0 && rsd_end_command(pid) == 0 && seen.count == 0);
    wait_for(&seen.count, 1);
    check(seen.error == ECANCELED && WTERMSIG(seen.status) == SIGTERM);
    check(rsd_end_command(pid) == -1 && errno == ENOENT && seen.count == 1);

    struct rsd_result *result = NULL;
    pid = rsd_spawn(SHELL("trap '' TERM; echo deaf; while :; do sleep 0.1; done"),
                    RSD_RUN_OPTIONS(.kill_after_ms = 300), on_end, &stubborn);
    check(pid > 0);
    /* Until it is deaf. */
    check(rsd_run(SHELL("sleep 0.5"), NULL, &result) == 0);
    rsd_free_result(result);
    double begin = now();
    check(rsd_end_command(pid) == 0);
    wait_for(&stubborn.count, 1);
    check(now() - begin > 0.25 && stubborn.error == ECANCELED);
    check(WTERMSIG(stubborn.status) == SIGKILL && strcmp(stubborn.out, "deaf\n") == 0);
    check(no_child_is_left());
}

static struct seen second, third;
static int first_status;

static void on_first(const struct rsd_result *result, void *arg)
{
    struct rsd_result *inner;

    check(rsd_end_command(result->pid) == -1 && errno == ENOENT);
    check(rsd_spawn(SHELL("echo third; exit 3"), NULL, on_end, &third) > 0);
    check(rsd_run(SHELL("echo inner; exit 2"), NULL, &inner) == 2 << 8);
    check(strcmp(inner->out, "inner\n") == 0);
    rsd_free_result(inner);
    check(strcmp(result->out, "first\n") == 0); /* still valid */
    *(int *)arg = result->status;
}

static void from_a_callback(void)
{
    first_status = -1;
    check(rsd_spawn(SHELL("echo second; exit 5"), NULL, on_end, &second) > 0);
    check(rsd_spawn(SHELL("echo first; exit 1"), NULL, on_first, &first_status) > 0);
    while (first_status == -1 || second.count == 0 || third.count == 0)
        check(rsd_wait(-1) > 0);
    check(first_status == 1 << 8 && second.status == 5 << 8 && third.status == 3 << 8);
    check(second.count == 1 && third.count == 1 && strcmp(third.out, "third\n") == 0);
    check(no_child_is_left());
}

/* A forked worker has commands of its own and nothing to do with its parent's. */
static void from_a_worker(void)
{
    struct seen seen = { .count = 0 };
    int status;

    int command = rsd_spawn(SHELL("sleep 0.5; echo parent; exit 6"), NULL, on_end, &seen);
    check(command > 0);
    for (int after_fork = 0; after_fork < 2; after_fork++) {
        int pid = fork();
        if (pid == 0) {
            struct rsd_result *result;
            check(!after_fork || rsd_after_fork() == 0);
            check(rsd_run(SHELL("echo worker; exit 4"), NULL, &result) == 4 << 8);
            check(strcmp(result->out, "worker\n") == 0);
            rsd_free_result(result);
            check(rsd_end_command(command) == -1 && errno == ENOENT);
            check(rsd_wait(800) == 0 && seen.count == 0 && no_child_is_left());
            _exit(0);
        }
        check(waitpid(pid, &status, 0) == pid && status == 0);
    }
    wait_for(&seen.count, 1);
    check(seen.status == 6 << 8 && seen.error == 0 && strcmp(seen.out, "parent\n") == 0);
}

static void *thread(void *arg)
{
    for (int i = 0; i < 10; i++) {
        struct rsd_result *result;
        char text[64], out[16];
        snprintf(out, sizeof out, "%d\n", (int)(size_t)arg * 10 + i);
        snprintf(text, sizeof text, "cat; exit %d", i);
        int status = rsd_run(SHELL(text),
                             RSD_RUN_OPTIONS(.input = out, .input_length = strlen(out)), &result);
        check(status == i << 8 && strcmp(result->out, out) == 0);
        rsd_free_result(result);
    }
    return NULL;
}

static void from_threads(void)
{
    pthread_t threads[4];

    int descriptors = (rsd_fd(), number_of_descriptors());
    for (size_t i = 0; i < LENGTH(threads); i++)
        check(pthread_create(&threads[i], NULL, thread, (void *)i) == 0);
    for (size_t i = 0; i < LENGTH(threads); i++)
        check(pthread_join(threads[i], NULL) == 0);
    /* Without pidfds the main loop looks by a timer. */
    check(no_child_is_left() && number_of_descriptors() - descriptors <= 1);
}

static void large(const char *megabytes)
{
    size_t size = strtoul(megabytes, NULL, 10) << 20;
    char *heap = malloc(size);
    struct rsd_result *result;

    check(heap != NULL);
    memset(heap, 1, size);
    check(rsd_run(COMMAND("echo", "large"), NULL, &result) == 0);
    check(strcmp(result->out, "large\n") == 0);
    rsd_free_result(result);
    free(heap);
}

/* With 0, 1, 2... descriptors left, before the first use of the main loop or after it. */
static void descriptors(int is_ready)
{
    struct rlimit limit;
    int fds[64], count = 0, worked = 0, failed = 0, spawned = 0;
    struct seen seen = { .count = 0 };

    check(!is_ready || rsd_fd() > 2);
    check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 64;
    check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (int fd; (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) != -1;)
        fds[count++] = fd;
    check(errno == EMFILE && count > 20);
    for (int left = 0; left < 16; left++) {
        struct rsd_result *result = NULL;
        const struct rsd_run_options *options
            = RSD_RUN_OPTIONS(.input = "in", .input_length = 2, .timeout_ms = 600000);
        int status = rsd_run(COMMAND("cat"), options, &result);
        int error = errno;
        if (status == 0) {
            worked++;
            check(strcmp(result->out, "in") == 0);
        } else {
            failed++;
            check(status == -1 && error == EMFILE && result == NULL);
            check(strstr(rsd_last_error(), strerror(EMFILE)) != NULL);
        }
        rsd_free_result(result);
        int pid = rsd_spawn(COMMAND("cat"), options, on_end, &seen);
        check(pid > 0 || errno == EMFILE);
        spawned += pid > 0;
        if (pid > 0)
            wait_for(&seen.count, spawned);
        check(no_child_is_left());
        /* Those that were left are left, but for those of the main loop. */
        int kept = 0, more[64];
        while ((more[kept] = open("/dev/null", O_RDONLY | O_CLOEXEC)) != -1)
            kept++;
        for (int i = 0; i < kept; i++)
            close(more[i]);
        check(kept <= left && left - kept <= (is_ready ? 1 : 4));
        close(fds[--count]);
    }
    check(worked > 2 && failed > 2 && seen.count == spawned && spawned > 2);
}

int main(int argc, char *argv[])
{
    const char *mode = argc > 1 ? argv[1] : "", *more = argc > 2 ? argv[2] : "";

    if (strcmp(mode, "arguments") == 0)
        arguments();
    else if (strcmp(mode, "shutdown-before") == 0)
        shutdown_before(more);
    else if (strcmp(mode, "shutdown-during") == 0)
        shutdown_during(atoi(more));
    else if (strcmp(mode, "during-shutdown") == 0)
        during_shutdown();
    else if (strcmp(mode, "meanwhile") == 0)
        meanwhile();
    else if (strcmp(mode, "many") == 0)
        many();
    else if (strcmp(mode, "event-loop") == 0)
        event_loop();
    else if (strcmp(mode, "end-command") == 0)
        end_command();
    else if (strcmp(mode, "from-a-callback") == 0)
        from_a_callback();
    else if (strcmp(mode, "from-a-worker") == 0)
        from_a_worker();
    else if (strcmp(mode, "from-threads") == 0)
        from_threads();
    else if (strcmp(mode, "large") == 0)
        large(more);
    else if (strcmp(mode, "descriptors") == 0)
        descriptors(atoi(more));
    else
        return 2;
    return 0;
}
