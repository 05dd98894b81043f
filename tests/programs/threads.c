/*
 * threads CASE ROUNDS: signals, waits and descriptors among several threads.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "cases.h"

static volatile sig_atomic_t flag;
static int rounds;
static atomic_int is_over, told, started;

static void block_all(void)
{
    sigset_t all;
    sigfillset(&all);
    check(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
}

static pthread_t start(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    check(pthread_create(&thread, NULL, function, argument) == 0);
    return thread;
}

static void join(pthread_t thread)
{
    check(pthread_join(thread, NULL) == 0);
}

/* A thread that takes the signals of the process and knows nothing of this library. */
static void *take_signals(void *ends)
{
    char byte;
    ssize_t got;
    do
        got = read(*(int *)ends, &byte, 1);
    while (got == -1 && errno == EINTR);
    check(got == 0);
    return NULL;
}

static void others_receive(int main_blocks)
{
    int ends[2];
    pid_t process = getpid();
    check(pipe2(ends, O_CLOEXEC) == 0);
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    pthread_t other = start(take_signals, ends);
    if (main_blocks)
        block_all();
    for (int round = 0; round < rounds; round++) {
        pid_t child = checked_fork();
        if (child == 0)
            _exit(kill(process, SIGUSR1) != 0);
        check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
        check(flag == 1);
        flag = 0;
        check_ends_well(child);
        /* To that thread and no other. */
        check(pthread_kill(other, SIGUSR1) == 0);
        check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
        flag = 0;
    }
    close(ends[1]);
    join(other);
}

static void another_receives(void)
{
    others_receive(0);
}

static void main_has_it_blocked(void)
{
    others_receive(1);
}

/* A signal in each round, and none is slept over. */
static void send_until_told(void)
{
    for (int round = 0; round < rounds; round++) {
        int before = told;
        long long begin = now_us();
        check(kill(getpid(), SIGUSR1) == 0);
        while (told == before) {
            check(now_us() - begin < LONG_MS * 1000LL);
            sched_yield();
        }
    }
}

static void *wait_for_it(void *unused)
{
    while (!is_over) {
        check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
        told++;
    }
    return unused;
}

/* Each signal is told to one of two that wait, and no wait is slept over. */
static void two_wait(void)
{
    check(rsd_flag_signal(SIGUSR1, NULL, 1) == 0);
    pthread_t first = start(wait_for_it, NULL), second = start(wait_for_it, NULL);
    block_all(); /* so that one of those that wait receives it */
    send_until_told();
    /* Until each has seen that it is over. */
    is_over = 1;
    int before = told;
    check(kill(getpid(), SIGUSR1) == 0);
    while (told == before)
        sched_yield();
    check(kill(getpid(), SIGUSR1) == 0);
    join(first);
    join(second);
}

static void *ask_for_descriptor(void *unused)
{
    block_all();
    while (!is_over)
        check(rsd_fd() != -1);
    return unused;
}

static void *poll_for_it(void *unused)
{
    block_all();
    while (!is_over) {
        struct pollfd one = { .fd = rsd_fd(), .events = POLLIN };
        check(poll(&one, 1, LONG_MS) == 1);
        if (rsd_dispatch() == RSD_SIGNAL_ARRIVED)
            told++;
    }
    return unused;
}

/* Who asks for the descriptor takes no signal away from who waits for it. */
static void descriptor_is_hammered(void)
{
    check(rsd_flag_signal(SIGUSR1, NULL, 1) == 0);
    pthread_t first = start(ask_for_descriptor, NULL), second = start(poll_for_it, NULL);
    send_until_told();
    is_over = 1;
    check(kill(getpid(), SIGUSR1) == 0);
    join(first);
    join(second);
}

static void *ask_always(void *count)
{
    struct rsd_signal_info info = { .size = sizeof info };
    int was_over, result;
    block_all();
    do {
        was_over = is_over;
        result = rsd_next_signal(&info);
        check(result == 0 || result == 1);
        if (result == 1) {
            check(info.signo == SIGRTMIN && info.pid == getpid() && info.uid == getuid());
            check(info.count > 0);
            *(unsigned *)count += info.count;
        }
    } while (!was_over || result == 1);
    return NULL;
}

/* Two that hammer rsd_next_signal() get each signal once, and the wait loses none. */
static void next_is_hammered(void)
{
    unsigned counts[2] = { 0, 0 };
    check(rsd_flag_signal(SIGRTMIN, &flag, 1) == 0);
    pthread_t first = start(ask_always, &counts[0]), second = start(ask_always, &counts[1]);
    for (int round = 0; round < rounds; round++) {
        check(raise(SIGRTMIN) == 0);
        check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
    }
    is_over = 1;
    join(first);
    join(second);
    check(counts[0] + counts[1] == (unsigned)rounds);
}

static void *ask_descriptor(void *fd)
{
    started++;
    while (started < 8)
        sched_yield();
    *(int *)fd = rsd_fd();
    return NULL;
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

/* All get the same, whoever is first, and none is left over. */
static void all_ask_first(void)
{
    int usual = 0;
    for (int round = 0; round < rounds; round++) {
        int ends[2], count;
        check(pipe(ends) == 0);
        pid_t child = checked_fork();
        if (child == 0) {
            pthread_t threads[8];
            int fds[8];
            int before = open_descriptors();
            if (round == 0)
                fds[0] = rsd_fd();
            else
                for (int i = 0; i < 8; i++)
                    threads[i] = start(ask_descriptor, &fds[i]);
            for (int i = 0; round > 0 && i < 8; i++) {
                join(threads[i]);
                check(fds[i] > 2 && fds[i] == fds[0]);
            }
            count = open_descriptors() - before;
            check(write(ends[1], &count, sizeof count) == sizeof count);
            _exit(0);
        }
        check_ends_well(child);
        check(read(ends[0], &count, sizeof count) == sizeof count);
        if (round == 0)
            usual = count;
        check(count == usual);
        close(ends[0]);
        close(ends[1]);
    }
}

static void *use_always(void *unused)
{
    struct rsd_signal_info info = { .size = sizeof info };
    block_all();
    while (!is_over) {
        check(rsd_wait(0) != -1);
        check(rsd_next_signal(&info) != -1);
        check(rsd_flag_signal(SIGUSR2, &flag, 1) == 0);
        block_all();
    }
    return unused;
}

/* A child finds nothing that is locked by a thread which it does not have. */
static void fork_meanwhile(void)
{
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    pthread_t other = start(use_always, NULL);
    for (int round = 0; round < rounds; round++) {
        pid_t child = checked_fork();
        if (child == 0) {
            alarm(10); /* which ends it, if it waits for ever */
            if (round % 2 == 0)
                check(rsd_after_fork() == 0);
            check(kill(getpid(), SIGUSR1) == 0);
            check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
            check(rsd_flag_signal(SIGUSR2, &flag, 1) == 0);
            _exit(0);
        }
        check_ends_well(child);
    }
    is_over = 1;
    join(other);
}

static atomic_int called;

static void note_child(int pid, int status, void *arg)
{
    (void)pid;
    check(WIFEXITED(status) && WEXITSTATUS(status) == *(int *)arg);
    called++;
}

static void *dispatch_always(void *unused)
{
    while (!is_over)
        check(rsd_wait(10) != -1);
    return unused;
}

static void *make_children(void *number)
{
    for (int i = 0; i < rounds; i++) {
        pid_t child = checked_fork();
        if (child == 0)
            _exit(*(int *)number);
        check(rsd_watch_child(child, note_child, number) == 0);
    }
    return NULL;
}

/* Threads fork and watch while others dispatch. */
static void children(void)
{
    int numbers[2] = { 11, 22 };
    pthread_t first = start(dispatch_always, NULL), second = start(dispatch_always, NULL);
    pthread_t third = start(make_children, &numbers[0]), fourth = start(make_children, &numbers[1]);
    join(third);
    join(fourth);
    long long begin = now_us();
    while (called < 2 * rounds) {
        check(now_us() - begin < LONG_MS * 1000LL);
        check(rsd_wait(10) != -1);
    }
    is_over = 1;
    join(first);
    join(second);
    check(called == 2 * rounds);
}

/* A callback runs in the thread that dispatches. */
static pthread_t callback_thread;

static void note_thread(int pid, int status, void *arg)
{
    (void)pid, (void)status, (void)arg;
    callback_thread = pthread_self();
}

static void *wait_for_child(void *unused)
{
    check(rsd_wait(LONG_MS) == RSD_CALLBACK_RAN);
    check(pthread_equal(callback_thread, pthread_self()));
    return unused;
}

static void callback(void)
{
    pid_t child = checked_fork();
    if (child == 0)
        _exit(0);
    check(rsd_watch_child(child, note_thread, NULL) == 0);
    join(start(wait_for_child, NULL));
}

static void *call_without_limit(void *unused)
{
    started = 1;
    check(rsd_wait(-1) == RSD_CALLBACK_RAN && called == 1);
    return unused;
}

/* What another thread adds wakes one that waits already. */
static void watch_meanwhile(void)
{
    int number = 3;
    pthread_t other = start(call_without_limit, NULL);
    while (!started)
        sched_yield();
    usleep(10000); /* so that it waits; if it does not yet, all the better */
    pid_t child = checked_fork();
    if (child == 0)
        _exit(number);
    check(rsd_watch_child(child, note_child, &number) == 0);
    join(other);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "another-receives", another_receives },
        { "main-has-it-blocked", main_has_it_blocked },
        { "two-wait", two_wait },
        { "descriptor-is-hammered", descriptor_is_hammered },
        { "next-is-hammered", next_is_hammered },
        { "all-ask-first", all_ask_first },
        { "fork-meanwhile", fork_meanwhile },
        { "children", children },
        { "callback", callback },
        { "watch-meanwhile", watch_meanwhile },
        { NULL, NULL },
    };
    rounds = argc == 3 ? atoi(argv[2]) : 1;
    return run_case(cases, argc, argv);
}
