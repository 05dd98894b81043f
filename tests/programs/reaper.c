/*
 * reaper CASE [COUNT]: rsd_reap_children(), as process 1 of a namespace and elsewhere. COUNT is how
 * many, where it is about many.
 */
#include <fcntl.h>
#include <pthread.h>

#include "cases.h"

static int many = 1000;
static volatile sig_atomic_t flag;

static int called, last_pid, last_status;

static void note(int pid, int status, void *arg)
{
    (void)arg;
    called++;
    last_pid = pid;
    last_status = status;
}

static void own_handler(int signo)
{
    (void)signo;
}

static void (*sigchld(void))(int)
{
    struct sigaction action;
    check(sigaction(SIGCHLD, NULL, &action) == 0);
    return action.sa_handler;
}

static pid_t exits(int status)
{
    pid_t child = checked_fork();
    if (child == 0)
        _exit(status);
    return child;
}

static void await_end(pid_t pid)
{
    siginfo_t info;
    check(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
}

static pid_t ended(int status)
{
    pid_t child = exits(status);
    await_end(child);
    return child;
}

static int is_gone(pid_t pid)
{
    return kill(pid, 0) == -1 && errno == ESRCH;
}

/* Neither living nor ended. */
static int has_children(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void check_full_wait(int ms)
{
    long long start = now_us();
    check(rsd_wait(ms) == 0);
    check(now_us() - start >= ms * 1000LL);
}

/* Lives until nobody holds the other end of the pipe. */
static pid_t lives(int ends[2], int status)
{
    pid_t child = checked_fork();
    if (child == 0) {
        char byte;
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 0 ? status : 99);
    }
    return child;
}

static void open_gate(int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

/* A child that leaves some of its own behind. */
static void make_orphans(int ends[2], int count)
{
    pid_t child = checked_fork();
    if (child == 0) {
        for (int i = 0; i < count; i++)
            lives(ends, i);
        _exit(1);
    }
}

static void orphans_vanish(void)
{
    int ends[2];
    siginfo_t info;
    check(rsd_reap_children(1) == 0);
    check(pipe2(ends, O_CLOEXEC) == 0);
    for (int i = 0; i < 20; i++)
        make_orphans(ends, 3);
    pid_t watched = lives(ends, 42), second = exits(17);
    check(rsd_watch_child(watched, note, NULL) == 0);
    check(rsd_watch_child(second, note, NULL) == 0);
    check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN);
    check(last_pid == second && WEXITSTATUS(last_status) == 17);
    check_full_wait(200); /* which those in between do not end */
    check(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0);
    open_gate(ends);
    check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN && called == 2);
    check(last_pid == watched && WEXITSTATUS(last_status) == 42);
    long long start = now_us();
    while (has_children()) {
        check(now_us() - start < LONG_MS * 1000LL);
        check(rsd_wait(10) == 0);
    }
    check(called == 2);
}

static void as_process_1(void)
{
    become_process_1();
    orphans_vanish();
    check(kill(-1, 0) == -1 && errno == ESRCH);
    /* Whom process 1 does not handle never reaches it. */
    check(rsd_flag_signal(SIGTERM, &flag, 1) == 0);
    pid_t child = checked_fork();
    if (child == 0)
        _exit(kill(1, SIGTERM) != 0);
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED && flag == 1);
}

static void as_subreaper(void)
{
    check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    orphans_vanish();
}

static void *wait_for_signal(void *unused)
{
    check(rsd_wait(-1) == RSD_SIGNAL_ARRIVED);
    return unused;
}

static void on_and_off(void)
{
    int status;
    check(rsd_reap_children(0) == 0); /* not on */
    check(sigchld() == SIG_DFL);

    /* Those that have ended already. */
    pid_t first = ended(1);
    errno = 4711;
    check(rsd_reap_children(1) == 0 && errno == 4711);
    check(sigchld() != SIG_DFL && sigchld() != SIG_IGN);
    check(!is_gone(first)); /* from the dispatch and nowhere else */
    check(is_readable(rsd_fd()));
    check(rsd_dispatch() == 0);
    check(is_gone(first) && !is_readable(rsd_fd()));

    /* Those that come. */
    pid_t second = ended(2);
    check(is_readable(rsd_fd()) && rsd_dispatch() == 0 && is_gone(second));
    check(rsd_reap_children(1) == 0);

    /* In a wait without limit, which that does not end. */
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    pthread_t thread;
    check(pthread_create(&thread, NULL, wait_for_signal, NULL) == 0);
    pid_t third = exits(3);
    long long start = now_us();
    while (!is_gone(third))
        check(now_us() - start < LONG_MS * 1000LL);
    check(kill(getpid(), SIGUSR1) == 0);
    check(pthread_join(thread, NULL) == 0);

    /* A stopped one is the program's. */
    pid_t stopped = checked_fork();
    if (stopped == 0) {
        raise(SIGSTOP);
        _exit(0);
    }
    siginfo_t info;
    check(waitid(P_PID, (id_t)stopped, &info, WSTOPPED | WNOWAIT) == 0);
    check_full_wait(50);
    check(waitpid(stopped, &status, WUNTRACED) == stopped && WIFSTOPPED(status));
    check(kill(stopped, SIGCONT) == 0);
    while (!is_gone(stopped))
        check(rsd_wait(10) == 0);

    /* A child that is forgotten is one that nobody knows. */
    pid_t forgotten = ended(4);
    check(rsd_watch_child(forgotten, note, NULL) == 0);
    check(rsd_forget_child(forgotten) == 0);
    start = now_us();
    while (!is_gone(forgotten)) {
        check(now_us() - start < LONG_MS * 1000LL);
        check(rsd_wait(10) == 0);
    }

    check(rsd_reap_children(0) == 0);
    check(sigchld() == SIG_DFL);
    pid_t last = ended(6);
    check_full_wait(100);
    check(waitpid(last, &status, 0) == last && WEXITSTATUS(status) == 6);

    /* Given back as it was. */
    signal(SIGCHLD, SIG_IGN);
    check(rsd_reap_children(1) == 0 && sigchld() != SIG_IGN);
    pid_t watched = exits(9);
    check(rsd_watch_child(watched, note, NULL) == 0);
    check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN);
    check(last_pid == watched && WEXITSTATUS(last_status) == 9);
    check(rsd_reap_children(0) == 0 && sigchld() == SIG_IGN);

    /* A handler that was installed since stays. */
    signal(SIGCHLD, SIG_DFL);
    check(rsd_reap_children(1) == 0);
    signal(SIGCHLD, own_handler);
    check(rsd_reap_children(0) == 0 && sigchld() == own_handler);
}

/* SIGCHLD can be flagged besides, before and after. */
static void flagged(void)
{
    for (int flags_first = 0; flags_first < 2; flags_first++) {
        if (flags_first)
            check(rsd_flag_signal(SIGCHLD, &flag, 1) == 0);
        check(rsd_reap_children(1) == 0);
        if (!flags_first)
            check(rsd_flag_signal(SIGCHLD, &flag, 1) == 0);
        pid_t child = exits(1);
        long long start = now_us();
        int told = 0;
        while (!is_gone(child) || !(told & RSD_SIGNAL_ARRIVED)) {
            check(now_us() - start < LONG_MS * 1000LL);
            told |= rsd_wait(10);
        }
        check(flag == 1);
        check(rsd_reap_children(0) == 0);
        flag = 0;
        child = ended(2);
        check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED && flag == 1);
        int status;
        check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 2);
        flag = 0;
        check(rsd_restore_signal(SIGCHLD) == 0 && sigchld() == SIG_DFL);
    }
}

static void refused(void)
{
    int status;
    struct rlimit before = forbid_descriptors();
    check_refused(rsd_reap_children(1), EMFILE);
    check(sigchld() == SIG_DFL);
    allow_descriptors(before);
    pid_t child = ended(5);
    check_full_wait(50);
    check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 5);

    signal(SIGCHLD, own_handler);
    check_refused(rsd_reap_children(1), EBUSY);
    check(sigchld() == own_handler);
    child = ended(5);
    check_full_wait(50);
    check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 5);
}

/* What the program does itself, as far as the header says that it works. */
static void own_children(void)
{
    int status;
    check(rsd_reap_children(1) == 0);
    for (int round = 0; round < 30; round++) {
        exits(0); /* a stranger, at the same time */
        check(system("exit 7") == 7 << 8);
        FILE *output = popen("exit 4", "re");
        check(output != NULL && fgetc(output) == EOF);
        check(pclose(output) == 4 << 8);
        pid_t child = exits(8);
        check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 8);
        check(rsd_wait(1) == 0);
    }
    /* Had it waited before the dispatch, it would have found it. */
    pid_t child = ended(8);
    check(rsd_dispatch() == 0);
    check(waitpid(child, &status, 0) == -1 && errno == ECHILD);

    char *argv[] = { "sh", "-c", "exit 3", NULL };
    check(rsd_run(argv, NULL, NULL) == 3 << 8);
}

static int ends[2];

static void *end_children(void *unused)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    for (int i = 0; i < 50; i++)
        await_end(exits(0));
    tell(ends[1]);
    return unused;
}

/* A system call that can go on does. */
static void restarts(void)
{
    char byte;
    pthread_t thread;
    check(pipe2(ends, O_CLOEXEC) == 0);
    check(rsd_reap_children(1) == 0);
    check(pthread_create(&thread, NULL, end_children, NULL) == 0);
    check(read(ends[0], &byte, 1) == 1);
    check(pthread_join(thread, NULL) == 0);
    while (has_children())
        check(rsd_wait(10) == 0);
}

/* A lot of strangers at once: all go, watched ones are told of, a signal is not kept waiting. */
static void storm(void)
{
    check(rsd_reap_children(1) == 0);
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    pid_t last = 0;
    for (int i = 0; i < many; i++) {
        last = exits(i % 100);
        if (i % 100 == 50)
            check(rsd_watch_child(last, note, NULL) == 0);
    }
    await_end(last);
    raise(SIGUSR1);
    int told = 0, calls = 0;
    long long start = now_us();
    while (has_children()) {
        check(now_us() - start < LONG_MS * 1000LL);
        int result = rsd_wait(1);
        calls++;
        if (result & RSD_SIGNAL_ARRIVED)
            told = calls;
        if (result & RSD_CALLBACK_RAN)
            check(WEXITSTATUS(last_status) == 50);
    }
    check(called == (many + 49) / 100);
    check(told > 0 && told <= 2);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "as-process-1", as_process_1 },
        { "as-subreaper", as_subreaper },
        { "on-and-off", on_and_off },
        { "flagged", flagged },
        { "refused", refused },
        { "own-children", own_children },
        { "restarts", restarts },
        { "storm", storm },
        { NULL, NULL },
    };
    if (argc == 3)
        many = atoi(argv[2]);
    return run_case(cases, argc, argv);
}
