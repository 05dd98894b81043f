/*
 * forks CASE: what parent and child see of each other. "forks daemon PIDFILE" is a daemon that
 * leaves a child behind, which ends at SIGUSR1, when it ends at SIGTERM.
 */
#include <fcntl.h>

#include "cases.h"

static volatile sig_atomic_t flag;
static struct rsd_signal_info info = { .size = sizeof info };

static int told_of(int signo, unsigned count)
{
    return rsd_next_signal(&info) == 1 && info.signo == signo && info.count == count;
}

static void check_full_wait(int ms)
{
    long long start = now_us();
    check(rsd_wait(ms) == 0);
    check(now_us() - start >= ms * 1000LL);
}

/* Nothing has arrived here. */
static void check_quiet(int fd)
{
    check(!is_readable(fd));
    check(rsd_dispatch() == 0);
    check(rsd_next_signal(&info) == 0);
    check_full_wait(50);
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

/* fork(3), and what tells no library of it. */
static pid_t (*const kinds[])(void) = { fork, _Fork };

static void only_signal(void)
{
    check(kill(getpid(), SIGUSR1) == 0);
    check(flag == 1);
}

static void signal_and_wait(void)
{
    only_signal();
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
    check(told_of(SIGUSR1, 1) && info.pid == getpid());
    check_full_wait(50);
    check(rsd_fd() > 2);
    only_signal();
    check(is_readable(rsd_fd()) && rsd_dispatch() == RSD_SIGNAL_ARRIVED);
    check(!is_readable(rsd_fd()) && told_of(SIGUSR1, 1));
}

static void say_it_and_signal(void)
{
    check(rsd_after_fork() == 0);
    signal_and_wait();
}

static void ask_first(void)
{
    check(rsd_fd() > 2);
    signal_and_wait();
    check(rsd_after_fork() == 0);
    check(rsd_after_fork() == 0);
    signal_and_wait();
}

static void one_more_generation(void)
{
    signal_and_wait();
    pid_t child = checked_fork();
    if (child == 0) {
        flag = 0;
        ask_first();
        _exit(0);
    }
    check_ends_well(child);
    check_quiet(rsd_fd());
}

/* Whatever the child does about a signal of its own, nobody else is woken. */
static void child_signals(void)
{
    static void (*const doings[])(void) = { only_signal, signal_and_wait, say_it_and_signal,
                                            ask_first, one_more_generation };
    for (size_t kind = 0; kind < 2; kind++) {
        for (size_t i = 0; i < sizeof doings / sizeof *doings; i++) {
            check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
            int fd = rsd_fd();
            pid_t child = kinds[kind]();
            if (child == 0) {
                doings[i]();
                _exit(0);
            }
            check_ends_well(child);
            check_quiet(fd);
            check(flag == 0);
            raise(SIGUSR1);
            check(is_readable(fd) && rsd_fd() == fd);
            check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED && told_of(SIGUSR1, 1));
            flag = 0;
        }
    }
}

/* What the parent got before and gets meanwhile is none of the child's. */
static void parent_signals(void)
{
    for (size_t kind = 0; kind < 2; kind++) {
        for (int says_it = 0; says_it < 2; says_it++) {
            int ends[2];
            check(pipe(ends) == 0);
            check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
            check(rsd_flag_signal(SIGUSR2, NULL, 1) == 0);
            int fd = rsd_fd();
            raise(SIGUSR1);
            raise(SIGUSR2);
            pid_t child = kinds[kind]();
            if (child == 0) {
                if (says_it)
                    check(rsd_after_fork() == 0);
                check(flag == 1);
                tell(ends[1]);
                check_full_wait(300);
                check_quiet(rsd_fd());
                check(kill(getpid(), SIGUSR2) == 0);
                check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED && told_of(SIGUSR2, 1));
                _exit(0);
            }
            await(ends[0]);
            for (int i = 0; i < 10; i++)
                raise(SIGUSR1);
            check_ends_well(child);
            check(is_readable(fd));
            check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
            check(told_of(SIGUSR1, 11) && told_of(SIGUSR2, 1));
            flag = 0;
        }
    }
}

static int called;
static int last_status;

static void note(int pid, int status, void *arg)
{
    (void)pid;
    check(arg == &called);
    called++;
    last_status = status;
}

static pid_t exits(int status)
{
    pid_t child = checked_fork();
    if (child == 0)
        _exit(status);
    return child;
}

/* Lives until nobody holds the other end of the pipe. */
static pid_t lives(int ends[2])
{
    check(pipe(ends) == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        char byte;
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 0 ? 5 : 6);
    }
    close(ends[0]);
    return child;
}

static void use_everything(void)
{
    called = 0;
    check(rsd_watch_child(exits(3), note, &called) == 0);
    check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN && called == 1);
    check(WIFEXITED(last_status) && WEXITSTATUS(last_status) == 3);
    check(rsd_reap_children(1) == 0);
    pid_t stranger = exits(0);
    while (kill(stranger, 0) == 0)
        check(rsd_wait(5) != -1);
    check(rsd_reap_children(0) == 0);
    check(rsd_set_signal_options(SIGUSR1, RSD_SIGNAL_RESTART) == 0);
    check(rsd_ignore_signal(SIGUSR2) == 0 && rsd_restore_signal(SIGUSR2) == 0);
    signal_and_wait();
}

/* The parent's watches are its own, and go on after the child has called everything. */
static void watches(void)
{
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    for (size_t kind = 0; kind < 2; kind++) {
        for (int says_it = 0; says_it < 2; says_it++) {
            int held[2], ends[2], done[2];
            called = 0;
            check(pipe(ends) == 0 && pipe(done) == 0);
            pid_t watched = lives(held), ended = exits(7);
            siginfo_t how;
            check(waitid(P_PID, (id_t)ended, &how, WEXITED | WNOWAIT) == 0);
            check(rsd_watch_child(watched, note, &called) == 0);
            check(rsd_watch_child(ended, note, &called) == 0);
            pid_t child = kinds[kind]();
            if (child == 0) {
                close(held[1]);
                if (says_it)
                    check(rsd_after_fork() == 0);
                check(rsd_wait(0) == 0 && rsd_dispatch() == 0 && called == 0);
                check_refused(rsd_forget_child(watched), ENOENT);
                check_refused(rsd_forget_child(ended), ENOENT);
                check_refused(rsd_watch_child(watched, note, &called), ECHILD);
                use_everything();
                called = 0;
                check(rsd_after_fork() == 0);
                tell(ends[1]);
                await(done[0]); /* both have ended by now */
                check_full_wait(50);
                check(called == 0);
                use_everything();
                _exit(0);
            }
            await(ends[0]);
            check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN && called == 1);
            check(WIFEXITED(last_status) && WEXITSTATUS(last_status) == 7);
            close(held[1]);
            check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN && called == 2);
            check(WIFEXITED(last_status) && WEXITSTATUS(last_status) == 5);
            tell(done[1]);
            check_ends_well(child);
            check_quiet(rsd_fd());
        }
    }
}

static int stays_in_callback;
static pid_t forked;

static void fork_inside(int pid, int status, void *arg)
{
    note(pid, status, arg);
    if (called > 1)
        return;
    forked = checked_fork();
    if (forked == 0 && stays_in_callback) {
        use_everything();
        _exit(0);
    }
}

static void fork_in_callback(void)
{
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    for (stays_in_callback = 0; stays_in_callback < 2; stays_in_callback++) {
        called = 0;
        for (int i = 0; i < 3; i++) {
            pid_t child = exits(i);
            siginfo_t how;
            check(waitid(P_PID, (id_t)child, &how, WEXITED | WNOWAIT) == 0);
            check(rsd_watch_child(child, fork_inside, &called) == 0);
        }
        check(rsd_wait(LONG_MS) != -1);
        if (forked == 0) {
            /* The child came back from the callback: it has none of the other children. */
            check(called == 1);
            check_full_wait(50);
            check(called == 1);
            use_everything();
            _exit(0);
        }
        while (called < 3)
            check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN);
        check_ends_well(forked);
        check(called == 3);
    }
}

/* rsd_after_fork() closes all that the parent had, and only that: then a child has as many open as
 * one had before. (Not as many as the parent had: valgrind opens a log for each.) */
static void nothing_is_left_open(void)
{
    int held[2], ends[2], before;
    pid_t watched = lives(held);
    check(pipe(ends) == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        before = open_descriptors();
        check(write(ends[1], &before, sizeof before) == sizeof before);
        _exit(0);
    }
    check_ends_well(child);
    check(read(ends[0], &before, sizeof before) == sizeof before);
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    check(rsd_fd() > 2);
    check(rsd_watch_child(watched, note, &called) == 0);
    char name[] = "./lock-XXXXXX";
    int made = mkstemp(name);
    check(made != -1 && close(made) == 0);
    int lock = rsd_lock_pidfile(name);
    check(lock != -1);
    child = checked_fork();
    if (child == 0) {
        check(rsd_after_fork() == 0);
        check(open_descriptors() == before);
        _exit(0);
    }
    check_ends_well(child);
    check(unlink(name) == 0);
    close(held[1]);
    check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN);
}

/* A child of the old kind, which closes all and opens files of its own on the numbers. */
static void child_closes_all(void)
{
    int held[2];
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    pid_t watched = lives(held);
    check(rsd_watch_child(watched, note, &called) == 0);
    check(rsd_fd() > 2);
    for (int says_it = 0; says_it < 2; says_it++) {
        pid_t child = checked_fork();
        if (child == 0) {
            for (int fd = 3; fd < 1024; fd++)
                close(fd);
            for (int fd = 3; fd < 40; fd++)
                check(open("/dev/null", O_RDWR) == fd);
            if (says_it)
                check(rsd_after_fork() == 0);
            signal_and_wait();
            use_everything();
            for (int fd = 3; fd < 40; fd++)
                check(fcntl(fd, F_GETFD) == 0);
            _exit(0);
        }
        check_ends_well(child);
    }
    close(held[1]);
    check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN);
}

/* The lock of the parent does not outlive it in a child that has said that it is one. */
static void lock_is_the_parents(void)
{
    int ends[2], held[2];
    char name[] = "./lock-XXXXXX";
    check(pipe(ends) == 0 && pipe(held) == 0);
    int made = mkstemp(name);
    check(made != -1);
    int lock = rsd_lock_pidfile(name);
    check(lock != -1);
    pid_t child = checked_fork();
    if (child == 0) {
        check(rsd_after_fork() == 0);
        tell(ends[1]);
        await(held[0]);
        _exit(0);
    }
    await(ends[0]);
    check_refused(rsd_lock_pidfile(name), EEXIST);
    check(rsd_remove_pidfile(name, lock) == 0);
    lock = rsd_lock_pidfile(name);
    check(lock != -1 && rsd_remove_pidfile(name, lock) == 0);
    tell(held[1]);
    check_ends_well(child);
    close(made);
}

static void no_child(void)
{
    int held[2];
    check(rsd_after_fork() == 0);
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    pid_t watched = lives(held);
    check(rsd_watch_child(watched, note, &called) == 0);
    int fd = rsd_fd();
    raise(SIGUSR1);
    errno = 4711;
    check(rsd_after_fork() == 0 && errno == 4711);
    check(rsd_fd() == fd && is_readable(fd));
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED && told_of(SIGUSR1, 1));
    close(held[1]);
    check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN && called == 1);
}

/* The child has the same pid as its parent, each in a namespace of its own. */
static void same_pid(void)
{
    become_process_1();
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    int fd = rsd_fd();
    check(unshare(CLONE_NEWPID) == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        check(getpid() == 1);
        signal_and_wait();
        _exit(0);
    }
    check_ends_well(child);
    check_quiet(fd);
    check(flag == 0);
}

/* After rsd_daemonize() everything is the daemon's own, and a child of it lives on. */
static int be_daemon(const char *pidfile)
{
    int ends[2];
    check(pipe(ends) == 0);
    check(rsd_flag_signal(SIGTERM, NULL, 1) == 0);
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    check(rsd_fd() > 2);
    raise(SIGUSR1);
    if (rsd_daemonize(RSD_OPTIONS(.pidfile = pidfile)) == -1)
        return 1;
    check_quiet(rsd_fd());
    use_everything();
    flag = 0;
    pid_t child = checked_fork();
    if (child == 0) {
        check(rsd_after_fork() == 0);
        tell(ends[1]);
        while (!flag)
            check(rsd_wait(-1) == RSD_SIGNAL_ARRIVED);
        return 0; /* does not remove the pid file of its parent */
    }
    await(ends[0]);
    if (rsd_ready() == -1)
        return 1;
    return rsd_wait(-1) != RSD_SIGNAL_ARRIVED;
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "child-signals", child_signals },
        { "parent-signals", parent_signals },
        { "watches", watches },
        { "fork-in-callback", fork_in_callback },
        { "nothing-is-left-open", nothing_is_left_open },
        { "child-closes-all", child_closes_all },
        { "lock-is-the-parents", lock_is_the_parents },
        { "no-child", no_child },
        { "same-pid", same_pid },
        { NULL, NULL },
    };
    if (argc == 3 && strcmp(argv[1], "daemon") == 0)
        return be_daemon(argv[2]);
    return run_case(cases, argc, argv);
}
