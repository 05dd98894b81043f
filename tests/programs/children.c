/*
 * children CASE [COUNT]: rsd_watch_child() and rsd_forget_child(), next to what the program does
 * with its children itself. COUNT is how many, where it is about many.
 */
#include <fcntl.h>
#include <spawn.h>

#include "cases.h"

static int many = 1000;

static int called, last_pid, last_status;

static void note(int pid, int status, void *arg)
{
    check(arg == &called);
    check(status == -1 || kill(pid, 0) == -1); /* it is waited for */
    called++;
    last_pid = pid;
    last_status = status;
}

/* Waits until the next callback was called, which has to be this one. */
static void check_told(pid_t pid, int status)
{
    int before = called;
    while (called == before)
        check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN);
    check(called == before + 1 && last_pid == pid && last_status == status);
}

static void check_quiet(void)
{
    int before = called;
    long long start = now_us();
    check(rsd_wait(100) == 0);
    check(now_us() - start >= 100000);
    /* Children that have no descriptor are looked at every now and then. */
    check(called == before && (!has_pidfd() || !is_readable(rsd_fd())));
}

/* Until it has ended; does not wait for it. */
static void await_end(pid_t pid)
{
    siginfo_t info;
    check(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
}

static pid_t exits(int status)
{
    pid_t child = checked_fork();
    if (child == 0)
        _exit(status);
    return child;
}

static pid_t ended(int status)
{
    pid_t child = exits(status);
    await_end(child);
    return child;
}

/* Lives until release(), then exits with 5. */
static int gate[2];

static pid_t lives(void)
{
    if (gate[1] == 0)
        check(pipe2(gate, O_CLOEXEC) == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        char byte;
        close(gate[1]);
        _exit(read(gate[0], &byte, 1) == 0 ? 5 : 6);
    }
    return child;
}

static void release(void)
{
    close(gate[0]);
    close(gate[1]);
    gate[1] = 0;
}

static pid_t ends_by(int signo)
{
    pid_t child = checked_fork();
    if (child == 0) {
        struct rlimit core = { 1 << 20, 1 << 20 };
        setrlimit(RLIMIT_CORE, &core); /* what is not allowed makes no core in the twin either */
        signal(signo, SIG_DFL);
        kill(getpid(), signo);
        _exit(99);
    }
    return child;
}

/* Each end is told as waitpid(2) tells that of a twin. */
static void how_it_ended(void)
{
    static const int statuses[] = { 0, 1, 127, 255, 256 };
    static const int signals[] = { SIGTERM, SIGKILL, SIGINT, SIGABRT, SIGSEGV, SIGPIPE };
    int status;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        pid_t twin = exits(statuses[i]), child = exits(statuses[i]);
        check(waitpid(twin, &status, 0) == twin);
        check(rsd_watch_child(child, note, &called) == 0);
        check_told(child, status);
        check(WIFEXITED(status) && WEXITSTATUS(status) == (statuses[i] & 255));
    }
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        pid_t twin = ends_by(signals[i]); /* one after the other: there is one name for a core */
        check(waitpid(twin, &status, 0) == twin);
        pid_t child = ends_by(signals[i]);
        check(rsd_watch_child(child, note, &called) == 0);
        check_told(child, status);
        check(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
    }
    check_quiet();
}

/* Where the system lets a process write one. */
static void core(void)
{
    int status;
    pid_t twin = ends_by(SIGABRT);
    check(waitpid(twin, &status, 0) == twin);
    pid_t child = ends_by(SIGABRT);
    check(rsd_watch_child(child, note, &called) == 0);
    check_told(child, status);
    if (!WCOREDUMP(status))
        _exit(CANNOT_RUN_HERE);
}

static void watching(void)
{
    int fd = rsd_fd();

    /* One that has ended before: told from the dispatch, not from the watch. */
    pid_t child = ended(9);
    errno = 4711;
    check(rsd_watch_child(child, note, &called) == 0 && errno == 4711);
    check(called == 0 && is_readable_within(fd, LONG_MS));
    check(rsd_dispatch() == RSD_CALLBACK_RAN && called == 1);
    check(last_pid == child && WEXITSTATUS(last_status) == 9);
    check(!is_readable(fd) && rsd_dispatch() == 0);
    check(waitpid(child, NULL, 0) == -1 && errno == ECHILD);
    check_quiet();

    /* One that lives. */
    child = lives();
    check(rsd_watch_child(child, note, &called) == 0);
    check_quiet();
    /* To be stopped and continued is no end. */
    check(kill(child, SIGSTOP) == 0);
    siginfo_t info;
    check(waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOWAIT) == 0);
    check_quiet();
    check(kill(child, SIGCONT) == 0);
    check_quiet();
    release();
    check_told(child, 5 << 8);

    /* A signal and an end are told together or one after the other, and neither is lost. */
    check(rsd_flag_signal(SIGUSR1, NULL, 1) == 0);
    child = ended(1);
    check(rsd_watch_child(child, note, &called) == 0);
    raise(SIGUSR1);
    int told = 0, before = called;
    while (told != (RSD_CALLBACK_RAN | RSD_SIGNAL_ARRIVED)) {
        int result = rsd_wait(LONG_MS);
        check(result > 0);
        told |= result;
    }
    check(called == before + 1);
    check_quiet();

    /* One of posix_spawn(3). */
    char *argv[] = { "/bin/false", NULL };
    check(posix_spawn(&child, argv[0], NULL, NULL, argv, NULL) == 0);
    check(rsd_watch_child(child, note, &called) == 0);
    check_told(child, 1 << 8);

    /* SIGCHLD is not touched. */
    struct sigaction action;
    check(sigaction(SIGCHLD, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
}

static void ignore_call(int pid, int status, void *arg)
{
    (void)pid, (void)status, (void)arg;
}

static void ignore_result(const struct rsd_result *result, void *arg)
{
    (void)result, (void)arg;
}

static void arguments(void)
{
    pid_t child = lives();
    check_refused(rsd_watch_child(0, note, NULL), EINVAL);
    check_refused(rsd_watch_child(-1, note, NULL), EINVAL);
    check_refused(rsd_watch_child(-child, note, NULL), EINVAL);
    check_refused(rsd_watch_child(child, NULL, NULL), EINVAL);
    check_refused(rsd_watch_child(getpid(), note, NULL), ECHILD);
    check_refused(rsd_watch_child(getppid(), note, NULL), ECHILD);
    check_refused(rsd_watch_child(1, note, NULL), ECHILD);
    check_refused(rsd_watch_child(2147483647, note, NULL), ECHILD);

    pid_t gone = exits(0);
    check(waitpid(gone, NULL, 0) == gone);
    check_refused(rsd_watch_child(gone, note, NULL), ECHILD);

    check(rsd_watch_child(child, note, &called) == 0);
    check_refused(rsd_watch_child(child, ignore_call, NULL), EEXIST);
    release();
    check_told(child, 5 << 8); /* by the first callback */
    check_refused(rsd_watch_child(child, note, &called), ECHILD);

    static char *argv[] = { "cat", NULL };
    pid_t command = rsd_spawn(argv, NULL, ignore_result, NULL);
    check(command > 0);
    check_refused(rsd_watch_child(command, note, &called), EEXIST);
    check_refused(rsd_forget_child(command), ENOENT);
}

static void no_descriptors(void)
{
    need_pidfd();
    pid_t child = ended(3);
    struct rlimit before = forbid_descriptors();
    check_refused(rsd_watch_child(child, note, &called), EMFILE);
    allow_descriptors(before);
    check(rsd_fd() > 2);
    before = forbid_descriptors();
    check_refused(rsd_watch_child(child, note, &called), EMFILE);
    allow_descriptors(before);
    /* It is not watched, and can be. */
    check_refused(rsd_forget_child(child), ENOENT);
    check_quiet();
    check(rsd_watch_child(child, note, &called) == 0);
    check_told(child, 3 << 8);
}

static void forgetting(void)
{
    int status;
    check_refused(rsd_forget_child(0), ENOENT);
    check_refused(rsd_forget_child(-1), ENOENT);
    check_refused(rsd_forget_child(getpid()), ENOENT);

    /* One that lives, and one that has ended. */
    pid_t first = lives(), second = ended(8);
    check_refused(rsd_forget_child(first), ENOENT);
    check(rsd_watch_child(first, note, &called) == 0);
    check(rsd_watch_child(second, note, &called) == 0);
    errno = 4711;
    check(rsd_forget_child(first) == 0 && rsd_forget_child(second) == 0 && errno == 4711);
    check_refused(rsd_forget_child(second), ENOENT);
    release();
    await_end(first);
    check_quiet();
    check(called == 0);
    check(waitpid(first, &status, 0) == first && WEXITSTATUS(status) == 5);
    check(waitpid(second, &status, 0) == second && WEXITSTATUS(status) == 8);

    /* Watched once more. */
    first = ended(4);
    check(rsd_watch_child(first, ignore_call, NULL) == 0 && rsd_forget_child(first) == 0);
    check(rsd_watch_child(first, note, &called) == 0);
    check_told(first, 4 << 8);
    check_refused(rsd_forget_child(first), ENOENT);
    check_quiet();
}

static unsigned char is_told[20001];
static int wrong;

static void tick_off(int pid, int status, void *arg)
{
    unsigned char *mark = arg;
    (void)pid;
    wrong += *mark != 0 || !WIFEXITED(status) || WEXITSTATUS(status) != (mark - is_told) % 200;
    *mark = 1;
    called++;
}

/* A limit that lets us watch as many. */
static void allow_many_descriptors(void)
{
    struct rlimit limit;
    check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur < (rlim_t)many + 100)
        limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_cur < (rlim_t)many + 100 || setrlimit(RLIMIT_NOFILE, &limit) == -1)
        _exit(CANNOT_RUN_HERE);
}

static void all_at_once(void)
{
    int ends[2];
    allow_many_descriptors();
    check(pipe(ends) == 0);
    for (int i = 0; i < many; i++) {
        pid_t child = checked_fork();
        if (child == 0) {
            char byte;
            close(ends[1]);
            _exit(read(ends[0], &byte, 1) == 0 ? i % 200 : 255);
        }
        check(rsd_watch_child(child, tick_off, &is_told[i]) == 0);
    }
    check_quiet();
    close(ends[1]);
    while (called < many)
        check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN);
    check(called == many && wrong == 0);
    check(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    check_quiet();
}

/* With so many that have ended, a call does a part; the descriptor says that there is more. */
static void bounded(void)
{
    allow_many_descriptors();
    int fd = rsd_fd(), calls = 0, most = 0;
    static pid_t pids[sizeof is_told];
    for (int i = 0; i < many; i++) {
        pids[i] = exits(i % 200);
        check(rsd_watch_child(pids[i], tick_off, &is_told[i]) == 0);
    }
    for (int i = 0; i < many; i++)
        await_end(pids[i]);
    check(rsd_flag_signal(SIGUSR1, NULL, 1) == 0);
    raise(SIGUSR1);
    int signal_told = 0;
    while (called < many) {
        int before = called;
        check(is_readable_within(fd, LONG_MS));
        int result = rsd_dispatch();
        check(result > 0 && !(result & RSD_CALLBACK_RAN) == (called == before));
        if (result & RSD_SIGNAL_ARRIVED)
            signal_told = ++calls;
        else
            calls++;
        if (called - before > most)
            most = called - before;
    }
    check(most < many / 2 && wrong == 0);
    /* So many children do not keep a signal from being told. */
    check(signal_told > 0 && signal_told <= 2);
    check(!is_readable(fd) && rsd_dispatch() == 0);
    printf("%d calls, at most %d children in one\n", calls, most);
}

static pid_t group[3];

static void forget_others(int pid, int status, void *arg)
{
    note(pid, status, arg);
    for (int i = 0; i < 3; i++)
        if (group[i] != pid)
            check(rsd_forget_child(group[i]) == 0);
    check_refused(rsd_forget_child(pid), ENOENT);
}

static void watch_another(int pid, int status, void *arg)
{
    note(pid, status, arg);
    if (called < 5)
        check(rsd_watch_child(ended(called), watch_another, arg) == 0);
}

static void dispatch_inside(int pid, int status, void *arg)
{
    note(pid, status, arg);
    check(rsd_dispatch() != -1);
    check(rsd_wait(0) != -1);
    check(rsd_wait(5) != -1);
}

static void wait_inside(int pid, int status, void *arg)
{
    note(pid, status, arg);
    if (called < 3)
        check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN && called == 3);
}

static void execute_inside(int pid, int status, void *arg)
{
    note(pid, status, arg);
    check(system("exit 3") == 3 << 8);
    pid_t child = exits(6);
    check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 6);
    check(rsd_flag_signal(SIGUSR1, NULL, 1) == 0);
    check(rsd_fd() > 2);
}

static void watch_group(rsd_child_callback callback)
{
    called = 0;
    for (int i = 0; i < 3; i++) {
        group[i] = ended(i);
        check(rsd_watch_child(group[i], callback, &called) == 0);
    }
}

static void callbacks(void)
{
    int status;
    /* Who is forgotten in a callback is not told of, although it had ended as well. */
    watch_group(forget_others);
    check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN && called == 1);
    check_quiet();
    for (int i = 0; i < 3; i++) {
        if (group[i] != last_pid)
            check(waitpid(group[i], &status, 0) == group[i] && WEXITSTATUS(status) == i);
    }

    called = 0;
    check(rsd_watch_child(ended(0), watch_another, &called) == 0);
    while (called < 5)
        check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN);
    check_quiet();

    static const rsd_child_callback others[] = { dispatch_inside, wait_inside, execute_inside };
    for (int i = 0; i < 3; i++) {
        watch_group(others[i]);
        while (called < 3)
            check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN);
        check(called == 3);
        check_quiet();
    }
    check(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

/* What the program does with other children goes on working next to watched ones. */
static void own_children(void)
{
    int status;
    pid_t watched = ended(7), alive = lives();
    check(rsd_watch_child(watched, note, &called) == 0);
    check(rsd_watch_child(alive, note, &called) == 0);
    check_told(watched, 7 << 8);
    for (int round = 0; round < 10; round++) {
        check(system("exit 7") == 7 << 8);
        FILE *output = popen("echo a; exit 4", "re");
        check(output != NULL && fgetc(output) == 'a');
        pid_t child = exits(round);
        check(rsd_wait(30) == 0);
        check(rsd_dispatch() == 0);
        check(pclose(output) == 4 << 8);
        check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == round);
    }
    release();
    check_told(alive, 5 << 8);
}

static volatile sig_atomic_t own_child, own_status, handled;

static void on_sigchld(int signo)
{
    int error = errno, status;
    (void)signo;
    if (own_child != 0 && waitpid(own_child, &status, WNOHANG) == own_child) {
        own_child = 0;
        own_status = status;
    }
    handled++;
    errno = error;
}

static void own_handler(void)
{
    signal(SIGCHLD, on_sigchld);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (int round = 0; round < 50; round++) {
        sigprocmask(SIG_BLOCK, &set, NULL);
        pid_t watched = exits(round);
        own_child = exits(100 + round);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        check(rsd_watch_child(watched, note, &called) == 0);
        int told = 0;
        while (!(told & RSD_CALLBACK_RAN) || own_child != 0) {
            int result = rsd_wait(10); /* a handler of the program's own sets no flag of ours */
            check(result >= 0);
            told |= result;
        }
        check(last_pid == watched && WEXITSTATUS(last_status) == round);
        check(WEXITSTATUS(own_status) == 100 + round);
    }
    check(called == 50 && handled > 0);
}

/* The status is lost where the program waits for whoever comes; that there was an end is not. */
static void stolen(void)
{
    pid_t first = ended(1), second = lives();
    check(rsd_watch_child(first, note, &called) == 0);
    check(rsd_watch_child(second, note, &called) == 0);
    check(waitpid(-1, NULL, 0) == first);
    check_told(first, -1);
    release();
    check(waitpid(-1, NULL, 0) == second);
    check_told(second, -1);
    check_quiet();

    /* By the kernel. */
    signal(SIGCHLD, SIG_IGN);
    first = lives();
    check(rsd_watch_child(first, note, &called) == 0);
    release();
    check_told(first, -1);
    check_quiet();
}

/* An old program that closes everything after its start, and opens files of its own then. */
static void all_closed(void)
{
    pid_t first = lives(), second = ended(2);
    check(rsd_watch_child(first, note, &called) == 0);
    check(rsd_watch_child(second, note, &called) == 0);
    int ends = dup2(gate[1], 200);
    for (int fd = 3; fd < 1024; fd++)
        if (fd != ends)
            close(fd);
    gate[1] = 0;
    for (int fd = 3; fd < 40; fd++)
        check(open("/dev/null", O_RDWR) == fd);
    check_told(second, 2 << 8);
    check(rsd_watch_child(ended(3), note, &called) == 0);
    check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN && WEXITSTATUS(last_status) == 3);
    check(rsd_wait(50) == 0);
    close(ends);
    check_told(first, 5 << 8);
    for (int fd = 3; fd < 40; fd++)
        check(fcntl(fd, F_GETFD) == 0);
}

/* Stolen, and a new child of the program has the same pid by then: that one is left alone. */
static void pid_again(void)
{
    int status;
    need_pidfd(); /* without, there is nothing by which to tell them apart */
    become_process_1();
    int last_pid_of_all = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    if (last_pid_of_all == -1)
        _exit(CANNOT_RUN_HERE);
    pid_t first = ended(1);
    check(rsd_watch_child(first, note, &called) == 0);
    check(waitpid(-1, NULL, 0) == first);
    check(dprintf(last_pid_of_all, "%d", first - 1) > 0);
    pid_t second = lives();
    check(second == first);
    check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN);
    check(called == 1 && last_pid == first && last_status == -1);
    check_quiet();
    /* Also where it has ended, too. */
    release();
    check(waitpid(second, &status, 0) == second && WEXITSTATUS(status) == 5);
    first = ended(1);
    check(rsd_watch_child(first, note, &called) == 0);
    check(waitpid(-1, NULL, 0) == first);
    check(lseek(last_pid_of_all, 0, SEEK_SET) == 0);
    check(dprintf(last_pid_of_all, "%d", first - 1) > 0);
    second = ended(2);
    check(second == first);
    check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN);
    check(called == 2 && last_pid == first && last_status == -1);
    check(waitpid(second, &status, 0) == second && WEXITSTATUS(status) == 2);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "how-it-ended", how_it_ended },
        { "core", core },
        { "watching", watching },
        { "arguments", arguments },
        { "no-descriptors", no_descriptors },
        { "forgetting", forgetting },
        { "all-at-once", all_at_once },
        { "bounded", bounded },
        { "callbacks", callbacks },
        { "own-children", own_children },
        { "own-handler", own_handler },
        { "stolen", stolen },
        { "all-closed", all_closed },
        { "pid-again", pid_again },
        { NULL, NULL },
    };
    if (argc == 3)
        many = atoi(argv[2]);
    return run_case(cases, argc, argv);
}
