/*
 * arrivals CASE: what rsd_next_signal() tells of the signals that have arrived. "storm" says
 * "ready" and takes signals from outside until SIGTERM.
 */
#include <fcntl.h>
#include <sys/time.h>

#include "cases.h"

static struct rsd_signal_info info = { .size = sizeof info };

static int next_is(int signo, pid_t pid, unsigned count)
{
    return rsd_next_signal(&info) == 1 && info.signo == signo && info.pid == pid
           && info.uid == (pid == 0 ? 0 : getuid()) && info.count == count;
}

static int none_is_left(void)
{
    return rsd_next_signal(&info) == 0;
}

static void order(void)
{
    volatile sig_atomic_t flag = 0;
    check(none_is_left());
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    check(rsd_flag_signal(SIGTERM, NULL, 1) == 0);
    check(rsd_flag_signal(SIGRTMIN + 3, NULL, 1) == 0);
    check(rsd_flag_signal(SIGHUP, NULL, 1) == 0);
    check(none_is_left());
    int fd = rsd_fd();

    raise(SIGRTMIN + 3);
    raise(SIGTERM);
    raise(SIGUSR1);
    raise(SIGHUP);
    raise(SIGUSR1);
    errno = 4711;
    check(next_is(SIGHUP, getpid(), 1));
    check(next_is(SIGUSR1, getpid(), 2));
    raise(SIGHUP);
    check(next_is(SIGHUP, getpid(), 1));
    check(next_is(SIGTERM, getpid(), 1));
    check(next_is(SIGRTMIN + 3, getpid(), 1));
    check(none_is_left());
    check(errno == 4711);

    /* Neither flag nor wake-up was taken, and to be woken takes nothing from this. */
    check(flag == 1 && is_readable(fd));
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED && none_is_left());
    raise(SIGUSR1);
    check(rsd_dispatch() == RSD_SIGNAL_ARRIVED);
    flag = 0;
    check(next_is(SIGUSR1, getpid(), 1));
    check(none_is_left() && flag == 0);

    /* What is ignored is not told. */
    check(rsd_ignore_signal(SIGUSR1) == 0);
    raise(SIGUSR1);
    check(none_is_left() && rsd_wait(0) == 0);
}

static void arguments(void)
{
    check(rsd_flag_signal(SIGUSR1, NULL, 1) == 0);
    raise(SIGUSR1);
    check_refused(rsd_next_signal(NULL), EINVAL);
    info.size = 0;
    check_refused(rsd_next_signal(&info), EINVAL);
    info.size = sizeof info - 1;
    info.signo = 4711;
    check_refused(rsd_next_signal(&info), EINVAL);
    check(info.signo == 4711);

    /* A program that is newer than the library. */
    struct {
        struct rsd_signal_info known;
        long unknown;
    } newer = { { .size = sizeof newer }, 4711 };
    check(rsd_next_signal(&newer.known) == 1 && newer.known.signo == SIGUSR1);
    check(newer.known.size == sizeof newer && newer.unknown == 4711);

    /* Filled in only when there is one. */
    info.size = sizeof info;
    check(none_is_left() && info.signo == 4711);
}

static void sent_by(pid_t *pid, int signo, void (*become)(void))
{
    pid_t parent = getpid();
    *pid = checked_fork();
    if (*pid == 0) {
        become();
        check(kill(parent, signo) == 0);
        _exit(0);
    }
    check_ends_well(*pid);
}

static void nobody_else(void)
{
}

static void sender(void)
{
    pid_t first, second;
    check(rsd_flag_signal(SIGUSR1, NULL, 1) == 0);
    sent_by(&first, SIGUSR1, nobody_else);
    sent_by(&second, SIGUSR1, nobody_else);
    check(next_is(SIGUSR1, second, 2)); /* the latest one */
}

static void become_4711(void)
{
    check(setresuid(4711, 0, 0) == 0);
}

static void sender_is_another_user(void)
{
    pid_t pid;
    if (geteuid() != 0)
        _exit(CANNOT_RUN_HERE);
    check(rsd_flag_signal(SIGUSR1, NULL, 1) == 0);
    sent_by(&pid, SIGUSR1, become_4711);
    check(rsd_next_signal(&info) == 1 && info.pid == pid && info.uid == 4711);
}

/* From outside of the namespace, by a user who is not root. */
static void sender_cannot_be_seen(void)
{
    int ready[2];
    check(pipe(ready) == 0);
    if (geteuid() != 0 || unshare(CLONE_NEWPID) == -1)
        _exit(CANNOT_RUN_HERE);
    pid_t child = checked_fork();
    if (child != 0) {
        await(ready[0]);
        check(setresuid(4711, 0, 0) == 0);
        check(kill(child, SIGUSR1) == 0);
        check_ends_well(child);
        return;
    }
    check(rsd_flag_signal(SIGUSR1, NULL, 1) == 0);
    tell(ready[1]);
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
    check(next_is(SIGUSR1, 0, 1));
}

/* What the kernel sends has other things where others have pid and uid. */
static void kernel(void)
{
    check(rsd_flag_signal(SIGALRM, NULL, 1) == 0);
    struct itimerval once = { .it_value = { 0, 1000 } };
    check(setitimer(ITIMER_REAL, &once, NULL) == 0);
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
    check(next_is(SIGALRM, 0, 1));

    /* The number of the timer stands where the pid would, its overruns where the uid would. */
    check(rsd_flag_signal(SIGRTMIN + 1, NULL, 1) == 0);
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1 };
    struct itimerspec often = { { 0, 1000000 }, { 0, 1000000 } };
    timer_t timer;
    for (int i = 0; i < 3; i++)
        check(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    check(timer_settime(timer, 0, &often, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
        check(rsd_next_signal(&info) == 1);
        check(info.signo == SIGRTMIN + 1 && info.pid == 0 && info.uid == 0 && info.count > 0);
    }
    check(timer_delete(timer) == 0);
    rsd_wait(0);
    rsd_next_signal(&info);

    /* The band of a descriptor stands where the pid would. */
    int ends[2];
    check(pipe(ends) == 0);
    check(rsd_flag_signal(SIGIO, NULL, 1) == 0);
    check(fcntl(ends[0], F_SETOWN, getpid()) == 0 && fcntl(ends[0], F_SETSIG, SIGIO) == 0);
    check(fcntl(ends[0], F_SETFL, O_ASYNC) == 0);
    tell(ends[1]);
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
    check(next_is(SIGIO, 0, 1));
}

static void own_handler(int signo)
{
    (void)signo;
}

static void all_real_time(void)
{
    int usable = 0;
    volatile sig_atomic_t flags[65] = { 0 };
    for (int signo = SIGRTMIN; signo <= SIGRTMAX; signo++) {
        if (signal(signo, own_handler) == SIG_ERR)
            continue; /* valgrind keeps the last one for itself */
        usable++;
        check(rsd_flag_signal(signo, &flags[signo], signo) == 0);
        raise(signo);
        check(flags[signo] == signo);
        check(rsd_wait(0) == RSD_SIGNAL_ARRIVED);
        check(next_is(signo, getpid(), 1));
        check(none_is_left());
    }
    check(usable >= SIGRTMAX - SIGRTMIN);
}

/* Each of 1000 that are queued is counted, also over several looks. */
static void queued(void)
{
    pid_t parent = getpid();
    unsigned count = 0;
    check(rsd_flag_signal(SIGRTMIN + 2, NULL, 1) == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        union sigval value = { .sival_int = 0 };
        for (int i = 0; i < 1000; i++)
            while (sigqueue(parent, SIGRTMIN + 2, value) == -1)
                check(errno == EAGAIN);
        _exit(0);
    }
    while (count < 1000) {
        check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
        if (rsd_next_signal(&info) == 1) {
            check(info.signo == SIGRTMIN + 2 && info.pid == child);
            count += info.count;
        }
    }
    check(count == 1000);
    check_ends_well(child);
    check(rsd_wait(100) == 0 && none_is_left());

    /* All at once. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 1000; i++)
        check(raise(SIGRTMIN + 2) == 0);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    check(next_is(SIGRTMIN + 2, getpid(), 1000));
}

static unsigned hangups, terms;

static void count_storm(void)
{
    while (rsd_next_signal(&info) == 1) {
        check(info.signo == SIGHUP || info.signo == SIGTERM);
        check(info.count > 0 && info.pid == getppid());
        *(info.signo == SIGHUP ? &hangups : &terms) += info.count;
    }
}

/* Prints how many HUPs came until TERM. */
static void storm(void)
{
    static volatile sig_atomic_t stop, reload;
    check(rsd_install_signal_flags(&stop, &reload) == 0);
    puts("ready");
    fflush(stdout);
    while (!stop) {
        check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
        count_storm();
    }
    count_storm();
    check(reload == 1 && terms == 1);
    printf("%u\n", hangups);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "order", order },
        { "arguments", arguments },
        { "sender", sender },
        { "sender-is-another-user", sender_is_another_user },
        { "sender-cannot-be-seen", sender_cannot_be_seen },
        { "kernel", kernel },
        { "all-real-time", all_real_time },
        { "queued", queued },
        { "storm", storm },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
