/*
 * wait CASE: rsd_wait(), rsd_dispatch() and rsd_fd() in a process by itself. "idle" says "idle" and
 * "over" on stderr around waits, for whoever counts the system calls in between.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "cases.h"

static volatile sig_atomic_t flag, other;

static void own_handler(int signo)
{
    other = signo;
}

/* Waits, demands this result and at least this time. */
static void check_full_wait(int ms)
{
    long long start = now_us();
    check(rsd_wait(ms) == 0);
    check(now_us() - start >= ms * 1000LL);
}

static void raise_later(int signo)
{
    signal(SIGALRM, own_handler);
    struct itimerval once = { .it_value = { 0, 100000 } };
    if (signo == SIGALRM) {
        check(setitimer(ITIMER_REAL, &once, NULL) == 0);
        return;
    }
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = signo };
    struct itimerspec when = { .it_value = { 0, 100 * 1000 * 1000 } };
    timer_t timer;
    check(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    check(timer_settime(timer, 0, &when, NULL) == 0);
}

static void times(void)
{
    check_refused(rsd_wait(-2), EINVAL);
    check_refused(rsd_wait(-2147483647 - 1), EINVAL);
    for (int round = 0; round < 20; round++)
        for (int ms = 0; ms < 8; ms++)
            check_full_wait(ms);
    check_full_wait(700);
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    check_full_wait(300);

    /* Without limit. */
    raise_later(SIGUSR1);
    check(rsd_wait(-1) == RSD_SIGNAL_ARRIVED && flag == 1);
    raise_later(SIGALRM);
    check(rsd_wait(-1) == RSD_HANDLER_RAN && other == SIGALRM);
    /* The longest. */
    raise_later(SIGUSR1);
    check(rsd_wait(2147483647) == RSD_SIGNAL_ARRIVED);
    errno = 4711;
    check(rsd_wait(1) == 0 && errno == 4711);
}

static void told_once(void)
{
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    check(rsd_flag_signal(SIGUSR2, &flag, 1) == 0);
    raise(SIGUSR1);
    raise(SIGUSR2);
    raise(SIGUSR1);
    check(rsd_wait(-1) == RSD_SIGNAL_ARRIVED);
    check(rsd_dispatch() == 0);
    check_full_wait(200); /* with the flag still set */
    check(flag == 1);

    raise(SIGUSR1);
    check(rsd_dispatch() == RSD_SIGNAL_ARRIVED);
    check(rsd_dispatch() == 0);
    check_full_wait(200);
    raise(SIGUSR1);
    check(rsd_wait(0) == RSD_SIGNAL_ARRIVED);
    check(rsd_wait(0) == 0);
}

static void own_handlers(void)
{
    /* It was before: nothing is interrupted. */
    raise_later(SIGALRM);
    while (other == 0)
        sleep(1);
    check_full_wait(200);

    struct sigaction restart = { .sa_handler = own_handler, .sa_flags = SA_RESTART };
    check(rsd_fd() != -1);
    for (int i = 0; i < 2; i++) {
        other = 0;
        raise_later(SIGALRM);
        if (i == 1)
            check(sigaction(SIGALRM, &restart, NULL) == 0);
        check(rsd_wait(LONG_MS) == RSD_HANDLER_RAN && other == SIGALRM);
    }

    /* A handler of the program's own on a signal that was flagged. */
    check(rsd_flag_signal(SIGALRM, &flag, 1) == 0);
    check(rsd_restore_signal(SIGALRM) == 0);
    other = 0;
    raise_later(SIGALRM);
    check(rsd_wait(LONG_MS) == RSD_HANDLER_RAN && other == SIGALRM && flag == 0);

    /* What has its default action and does nothing by that. */
    raise_later(SIGWINCH);
    check_full_wait(300);
}

static unsigned long long blocked_now(void)
{
    sigset_t mask;
    unsigned long long set = 0;
    check(sigprocmask(SIG_SETMASK, NULL, &mask) == 0);
    for (int signo = 1; signo <= 64; signo++)
        if (sigismember(&mask, signo) == 1)
            set |= 1ULL << (signo - 1);
    return set;
}

static unsigned long long blocked_in_handler;

static void note_mask(int signo)
{
    other = signo;
    blocked_in_handler = blocked_now();
}

/* Whatever ends a wait, it leaves the signal mask as it was, and handlers that run in it have it. */
static void mask(int in_handlers)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    check(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    check(rsd_flag_signal(SIGTERM, &flag, 1) == 0);
    struct sigaction own = { .sa_handler = note_mask };
    check(sigaction(SIGHUP, &own, NULL) == 0 && sigaction(SIGRTMIN, &own, NULL) == 0);
    const unsigned long long before = blocked_now();
    pid_t parent = getpid();

    const int together[][2] = { { SIGUSR1, 0 }, { SIGUSR1, SIGTERM }, { SIGHUP, 0 },
                                { SIGHUP, SIGUSR1 }, { SIGUSR1, SIGRTMIN } };
    check_full_wait(50);
    check(blocked_now() == before);
    for (int round = 0; round < 100; round++) {
        const int *both = together[round % 5];
        pid_t child = checked_fork();
        if (child == 0) {
            usleep(2000); /* so that it waits, usually */
            for (int i = 0; i < 2; i++)
                check(both[i] == 0 || kill(parent, both[i]) == 0);
            _exit(0);
        }
        int told = 0, all = 0;
        other = 0;
        for (int i = 0; i < 2; i++) {
            if (both[i] == SIGHUP || both[i] == SIGRTMIN)
                all |= 8;
            else if (both[i] != 0)
                all |= RSD_SIGNAL_ARRIVED;
        }
        while (told != all) {
            int result = rsd_wait(20);
            check(result >= 0);
            check(blocked_now() == before);
            told |= (result & RSD_SIGNAL_ARRIVED) | (other != 0 ? 8 : 0);
        }
        if (other != 0 && in_handlers)
            check(blocked_in_handler == (before | 1ULL << (other - 1)));
        check_ends_well(child);
        rsd_wait(0);
    }
}

static void mask_after(void)
{
    mask(0);
}

static void mask_in_handlers(void)
{
    mask(1);
}

static sigjmp_buf out;

static void jump_out(int signo)
{
    (void)signo;
    siglongjmp(out, 1);
}

/* As old code has it for its timeouts. */
static void jumped_out(void)
{
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    for (int round = 0; round < 5; round++) {
        if (sigsetjmp(out, 1) == 0) {
            raise_later(SIGALRM);
            signal(SIGALRM, jump_out);
            rsd_wait(-1);
            check(!"it did not jump");
        }
        check_full_wait(50);
        raise_later(SIGUSR1);
        check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
        check(blocked_now() == 0);
    }
}

static void descriptor(void)
{
    close(0);
    close(1);
    char was_open[256];
    for (int i = 0; i < 256; i++)
        was_open[i] = fcntl(i, F_GETFD) != -1;
    int fd = rsd_fd();
    check(fd > 2);
    check(rsd_fd() == fd);
    check(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    check(!is_readable(fd));
    /* So is whatever else the library has opened. */
    for (int i = 0; i < 256; i++)
        check(was_open[i] || fcntl(i, F_GETFD) == -1 || (i > 2 && fcntl(i, F_GETFD) == FD_CLOEXEC));
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    raise(SIGUSR1);
    check(is_readable(fd) && is_readable(fd));
    check(rsd_dispatch() == RSD_SIGNAL_ARRIVED);
    check(!is_readable(fd));
    raise(SIGUSR1);
    raise(SIGUSR1);
    check(is_readable(fd));
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
    check(!is_readable(fd) && rsd_fd() == fd);
}

/* A signal that came before anybody asked for the descriptor. */
static void descriptor_late(void)
{
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    raise(SIGUSR1);
    check(is_readable(rsd_fd()));
    check(rsd_dispatch() == RSD_SIGNAL_ARRIVED && !is_readable(rsd_fd()));

    /* In another event loop, as level and as edge. */
    int loop = epoll_create1(0);
    struct epoll_event level = { .events = EPOLLIN, .data.fd = 1 }, got;
    struct epoll_event edge = { .events = EPOLLIN | EPOLLET, .data.fd = 1 };
    check(epoll_ctl(loop, EPOLL_CTL_ADD, rsd_fd(), &level) == 0);
    for (int i = 0; i < 200; i++) {
        if (i == 100)
            check(epoll_ctl(loop, EPOLL_CTL_MOD, rsd_fd(), &edge) == 0);
        check(epoll_wait(loop, &got, 1, 0) == 0);
        raise(SIGUSR1);
        check(epoll_wait(loop, &got, 1, LONG_MS) == 1);
        check(rsd_dispatch() == RSD_SIGNAL_ARRIVED);
    }
    /* Also as a descriptor of poll(2) that comes while it waits. */
    raise_later(SIGUSR1);
    struct pollfd one = { .fd = rsd_fd(), .events = POLLIN };
    int ready;
    while ((ready = poll(&one, 1, LONG_MS)) == -1)
        check(errno == EINTR);
    check(ready == 1 && rsd_dispatch() == RSD_SIGNAL_ARRIVED);
}

static void no_descriptors(void)
{
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    struct rlimit before = forbid_descriptors();
    check_refused(rsd_fd(), EMFILE);
    check_refused(rsd_dispatch(), EMFILE);
    long long start = now_us();
    check_refused(rsd_wait(300), EMFILE);
    check(now_us() - start >= 300000);
    check_refused(rsd_wait(0), EMFILE);
    /* Signals that come in this thread are seen all the same. */
    raise(SIGUSR1);
    check(rsd_wait(-1) == RSD_SIGNAL_ARRIVED);
    raise_later(SIGUSR1);
    check(rsd_wait(-1) == RSD_SIGNAL_ARRIVED);
    raise_later(SIGALRM);
    check(rsd_wait(-1) == RSD_HANDLER_RAN);
    allow_descriptors(before);

    raise(SIGUSR1);
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
    check(rsd_fd() > 2);

    /* Once it is there, no more descriptors are needed. */
    before = forbid_descriptors();
    raise_later(SIGUSR1);
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
    allow_descriptors(before);
}

/* What has failed half way has left nothing open. */
static void few_descriptors(void)
{
    int used[64], count = 0;
    struct rlimit limit;
    check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 32;
    check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (count < 64 && (used[count] = dup(2)) != -1)
        count++;
    check(errno == EMFILE && count > 4);
    int room = 0;
    while (errno = 0, rsd_fd() == -1) {
        check(errno == EMFILE);
        check(room < 4);
        int free_now = 0, probe[8];
        while ((probe[free_now] = dup(2)) != -1)
            free_now++;
        check(free_now == room);
        while (free_now > 0)
            close(probe[--free_now]);
        close(used[--count]);
        room++;
    }
    check(room > 0);
    check_full_wait(100);
}

/* Something is always ready in the loop of the program, and one event is taken at a time. */
static void busy_loop(void)
{
    int ends[2], loop = epoll_create1(EPOLL_CLOEXEC);
    check(rsd_install_signal_flags(&flag, NULL) == 0);
    check(pipe(ends) == 0);
    tell(ends[1]);
    struct epoll_event in = { .events = EPOLLIN, .data.fd = ends[0] }, got;
    check(epoll_ctl(loop, EPOLL_CTL_ADD, ends[0], &in) == 0);
    in.data.fd = rsd_fd();
    check(epoll_ctl(loop, EPOLL_CTL_ADD, rsd_fd(), &in) == 0);
    pid_t parent = getpid(), child = checked_fork();
    if (child == 0)
        _exit(kill(parent, SIGTERM) != 0);
    long long start = now_us();
    for (int told = 0; !told;) {
        if (epoll_wait(loop, &got, 1, -1) == 1 && got.data.fd == rsd_fd())
            told = rsd_dispatch() == RSD_SIGNAL_ARRIVED;
        check(now_us() - start < LONG_MS * 1000LL);
    }
    check(flag == 1);
    check_ends_well(child);
}

/* Stopped and continued all the time: neither ends the wait nor makes it longer. */
static void stopped(void)
{
    pid_t child = checked_fork();
    long long start = now_us();
    if (child == 0) {
        check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
        check_full_wait(3000);
        check(now_us() - start < 5500000);
        /* And with the loop made before, and with no limit. */
        check(rsd_fd() > 2);
        check(rsd_wait(-1) == RSD_SIGNAL_ARRIVED);
        _exit(0);
    }
    while (now_us() - start < 2800000) {
        siginfo_t info;
        check(kill(child, SIGSTOP) == 0);
        check(waitid(P_PID, (id_t)child, &info, WSTOPPED | WEXITED) == 0);
        check(info.si_code == CLD_STOPPED);
        check(kill(child, SIGCONT) == 0);
        usleep(20000);
    }
    while (now_us() - start < 4000000) {
        kill(child, SIGSTOP);
        kill(child, SIGCONT);
        usleep(20000);
    }
    check(kill(child, SIGUSR1) == 0);
    check_ends_well(child);
}

static void never(int pid, int status, void *arg)
{
    (void)pid, (void)status, (void)arg;
    check(!"a callback for a child that lives");
}

static void idle(void)
{
    int ends[2];
    check(pipe(ends) == 0);
    check(rsd_install_signal_flags(&flag, &other) == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        close(ends[1]);
        char byte;
        _exit(read(ends[0], &byte, 1) != 0);
    }
    check(rsd_watch_child(child, never, NULL) == 0);
    raise(SIGTERM);
    raise(SIGHUP);
    check(rsd_wait(-1) == RSD_SIGNAL_ARRIVED);
    dprintf(2, "idle\n");
    int told = rsd_wait(1000);
    dprintf(2, "over\n");
    check(told == 0);
    check(rsd_reap_children(1) == 0);
    rsd_wait(0);
    dprintf(2, "idle\n");
    told = rsd_wait(500);
    dprintf(2, "over\n");
    check(told == 0);
    check(rsd_forget_child(child) == 0);
    check(rsd_reap_children(0) == 0);
    close(ends[1]);
    check_ends_well(child);
}

/* An old program that closes everything after its start. */
static void all_closed(void)
{
    check(rsd_install_signal_flags(&flag, NULL) == 0);
    check(rsd_fd() > 2);
    check(rsd_wait(0) == 0);
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    for (int round = 0; round < 3; round++) {
        check_full_wait(200);
        flag = 0;
        raise(SIGTERM);
        check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED && flag == 1);
        raise_later(SIGTERM);
        check(rsd_wait(-1) == RSD_SIGNAL_ARRIVED);
    }
    check(rsd_fd() > 2);
    raise(SIGTERM);
    check(is_readable(rsd_fd()) && rsd_dispatch() == RSD_SIGNAL_ARRIVED);
}

/* The same, and the numbers belong to files of the program then: nothing is written there. */
static void all_closed_and_taken(void)
{
    check(rsd_install_signal_flags(&flag, NULL) == 0);
    check(rsd_fd() > 2);
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    char name[] = "taken-XXXXXX";
    int file = mkstemp(name);
    check(file >= 3 && unlink(name) == 0);
    for (int i = 0; i < 20; i++)
        check(dup(file) > file);
    raise(SIGTERM);
    check(flag == 1);
    int told = rsd_wait(LONG_MS);
    struct stat found;
    check(fstat(file, &found) == 0 && found.st_size == 0);
    check(told == RSD_SIGNAL_ARRIVED);
    raise(SIGTERM);
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
    for (int fd = file; fd <= file + 20; fd++) {
        struct stat same;
        check(fstat(fd, &same) == 0 && same.st_ino == found.st_ino && same.st_size == 0);
    }
    check_full_wait(200);
}

/* The same, and they belong to the loop of the program: this loop is left alone. */
static void all_closed_and_taken_by_epoll(void)
{
    check(rsd_install_signal_flags(&flag, NULL) == 0);
    int number = rsd_fd(), ends[2];
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    check(pipe(ends) == 0);
    ends[0] = dup2(ends[0], 100);
    ends[1] = dup2(ends[1], 101);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    check(loop == number || dup2(loop, number) == number);
    for (int fd = 3; fd < 40; fd++) {
        if (fd == number)
            continue;
        struct epoll_event in = { .events = EPOLLIN, .data.fd = fd };
        check(dup2(ends[0], fd) == fd);
        check(epoll_ctl(number, EPOLL_CTL_ADD, fd, &in) == 0);
    }
    tell(ends[1]);
    raise(SIGTERM);
    check(flag == 1 && rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
    check_full_wait(200);
    raise(SIGTERM);
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
    for (int round = 0; round < 2; round++) {
        struct epoll_event got[64];
        int count = epoll_wait(number, got, 64, 0);
        check(count == 36);
        while (count-- > 0)
            check(got[count].events == EPOLLIN && got[count].data.fd >= 3);
    }
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "times", times },
        { "told-once", told_once },
        { "own-handlers", own_handlers },
        { "mask-after", mask_after },
        { "mask-in-handlers", mask_in_handlers },
        { "jumped-out", jumped_out },
        { "descriptor", descriptor },
        { "descriptor-late", descriptor_late },
        { "no-descriptors", no_descriptors },
        { "few-descriptors", few_descriptors },
        { "busy-loop", busy_loop },
        { "stopped", stopped },
        { "idle", idle },
        { "all-closed", all_closed },
        { "all-closed-and-taken", all_closed_and_taken },
        { "all-closed-and-taken-by-epoll", all_closed_and_taken_by_epoll },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
