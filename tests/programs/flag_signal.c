/*
 * flag_signal CASE: what a signal does after rsd_flag_signal(), rsd_ignore_signal(),
 * rsd_restore_signal() and rsd_set_signal_options().
 */
#include <pthread.h>
#include <sys/time.h>

#include "cases.h"

static volatile sig_atomic_t flag, other;

static void own_handler(int signo)
{
    other = signo;
}

static struct sigaction action_of(int signo)
{
    struct sigaction action;
    check(sigaction(signo, NULL, &action) == 0);
    return action;
}

static void (*handler_of(int signo))(int)
{
    return action_of(signo).sa_handler;
}

static int is_blocked(int signo)
{
    sigset_t mask;
    check(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
    return sigismember(&mask, signo);
}

static void block(int signo)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signo);
    check(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

/* Returns how waitpid(2) sees a process that does this. */
static int end_of(void (*what)(void))
{
    pid_t child = checked_fork();
    if (child == 0) {
        struct rlimit no_core = { 0, 0 };
        setrlimit(RLIMIT_CORE, &no_core);
        what();
        _exit(0);
    }
    int status;
    check(waitpid(child, &status, 0) == child);
    return status;
}

static void value(void)
{
    check(rsd_flag_signal(SIGUSR1, &flag, 7) == 0);
    errno = 4711;
    raise(SIGUSR1);
    check(errno == 4711);
    check(flag == 7);

    /* Flagged again, it sets the other variable and no more the first. */
    flag = 0;
    check(rsd_flag_signal(SIGUSR1, &other, -3) == 0);
    raise(SIGUSR1);
    check(flag == 0 && other == -3);

    /* Without a variable it wakes all the same. */
    check(rsd_wait(0) == RSD_SIGNAL_ARRIVED);
    check(rsd_flag_signal(SIGUSR1, NULL, 5) == 0);
    raise(SIGUSR1);
    check(flag == 0 && other == -3);
    check(rsd_wait(0) == RSD_SIGNAL_ARRIVED);

    errno = 4711;
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0 && errno == 4711);
}

static void arguments(void)
{
    struct sigaction before[65];
    static const int refused[] = { -1, 0, 65, 1000, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                                   SIGILL, SIGTRAP, SIGSYS, 32, 33 };

    for (int signo = 1; signo <= 64; signo++)
        if (sigaction(signo, NULL, &before[signo]) == -1)
            before[signo].sa_handler = SIG_ERR; /* those of the C library */
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        check_refused(rsd_flag_signal(refused[i], &flag, 1), EINVAL);
        check_refused(rsd_ignore_signal(refused[i]), EINVAL);
        check_refused(rsd_set_signal_options(refused[i], 0), EINVAL);
    }
    check_refused(rsd_ignore_signal(SIGCHLD), EINVAL);
    check_refused(rsd_restore_signal(-1), EINVAL);
    check_refused(rsd_restore_signal(0), EINVAL);
    check_refused(rsd_restore_signal(65), EINVAL);

    check_refused(rsd_set_signal_options(SIGUSR1, RSD_SIGNAL_RESTART), EINVAL);
    check(rsd_ignore_signal(SIGUSR2) == 0);
    check_refused(rsd_set_signal_options(SIGUSR2, RSD_SIGNAL_RESTART), EINVAL);
    check(rsd_restore_signal(SIGUSR2) == 0);

    for (int signo = 1; signo <= 64; signo++)
        check(before[signo].sa_handler == SIG_ERR
              || handler_of(signo) == before[signo].sa_handler);
}

static void *stays_blocked(void *unused)
{
    check(is_blocked(SIGUSR1));
    return unused;
}

static void unblocks(void)
{
    block(SIGUSR1);
    block(SIGUSR2);
    raise(SIGUSR1);
    pthread_t thread;
    check(pthread_create(&thread, NULL, stays_blocked, NULL) == 0);
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    check(flag == 1); /* what was pending has come */
    check(!is_blocked(SIGUSR1) && is_blocked(SIGUSR2));
    check(pthread_join(thread, NULL) == 0);
}

/* How many of this signal have come since it was last told. */
static unsigned arrived(int signo)
{
    struct rsd_signal_info info = { .size = sizeof info };
    unsigned count = 0;
    while (rsd_next_signal(&info) == 1)
        if (info.signo == signo)
            count += info.count;
    return count;
}

static int ends[2];

/* Lets the read of the main thread end after a lot of signals. */
static void *write_after_20(void *unused)
{
    block(SIGALRM);
    for (unsigned count = 0; count < 20; usleep(1000))
        count += arrived(SIGALRM);
    tell(ends[1]);
    return unused;
}

/* A signal every 5 ms in the main thread. */
static void start_alarms(void)
{
    struct itimerval often = { { 0, 5000 }, { 0, 5000 } };
    check(setitimer(ITIMER_REAL, &often, NULL) == 0);
}

static void interrupts(void)
{
    char byte;
    check(pipe(ends) == 0);
    check(rsd_flag_signal(SIGALRM, &flag, 1) == 0);
    start_alarms();
    check(read(ends[0], &byte, 1) == -1 && errno == EINTR);
    check(sleep(60) > 0);
}

static void restarts(void)
{
    char byte;
    pthread_t thread;
    check(pipe(ends) == 0);
    check(rsd_flag_signal(SIGALRM, &flag, 1) == 0);
    check(rsd_set_signal_options(SIGALRM, RSD_SIGNAL_RESTART) == 0);
    check(pthread_create(&thread, NULL, write_after_20, NULL) == 0);
    start_alarms();
    check(read(ends[0], &byte, 1) == 1);
    check(flag == 1);
    check(pthread_join(thread, NULL) == 0);
    /* What no option can restart. */
    check(sleep(60) > 0);
    check(poll(NULL, 0, 60000) == -1 && errno == EINTR);
    /* And the wait of this library is ended by it all the same. */
    rsd_wait(0);
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
}

static void *write_after_sleep(void *unused)
{
    block(SIGALRM);
    struct timespec while_20_alarms = { 0, 100 * 1000 * 1000 };
    nanosleep(&while_20_alarms, NULL);
    tell(ends[1]);
    return unused;
}

static void ignored(void)
{
    char byte;
    pthread_t thread;
    check(pipe(ends) == 0);
    check(rsd_flag_signal(SIGALRM, &flag, 1) == 0);
    check(rsd_ignore_signal(SIGALRM) == 0);
    check(pthread_create(&thread, NULL, write_after_sleep, NULL) == 0);
    start_alarms();
    check(read(ends[0], &byte, 1) == 1);
    check(pthread_join(thread, NULL) == 0);
    check(sleep(60) > 0);
    check(poll(NULL, 0, 60000) == -1 && errno == EINTR);

    /* It is nothing to this library. */
    check(flag == 0 && arrived(SIGALRM) == 0);
    long long start = now_us();
    check(rsd_wait(300) == 0);
    check(now_us() - start >= 300000);

    /* As a handler, which those that are executed do not inherit. */
    void (*handler)(int) = handler_of(SIGALRM);
    check(handler != SIG_IGN && handler != SIG_DFL);
    check(rsd_ignore_signal(SIGTTIN) == 0 && handler_of(SIGTTIN) == SIG_IGN);
    check(rsd_ignore_signal(SIGTTOU) == 0 && handler_of(SIGTTOU) == SIG_IGN);
    raise(SIGTTIN);
    raise(SIGTTOU);

    check(rsd_ignore_signal(SIGPIPE) == 0);
    close(ends[0]);
    errno = 0;
    check(write(ends[1], "x", 1) == -1 && errno == EPIPE);

    /* And flagged again. */
    check(rsd_flag_signal(SIGALRM, &flag, 1) == 0);
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED && flag == 1);
}

static void restore(void)
{
    struct sigaction own = { .sa_handler = own_handler, .sa_flags = SA_RESTART | SA_ONSTACK };
    sigaddset(&own.sa_mask, SIGURG);
    check(sigaction(SIGUSR1, &own, NULL) == 0);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGHUP, SIG_DFL);
    signal(SIGALRM, own_handler);
    block(SIGUSR2);
    block(SIGPIPE);

    /* What counts is what was before the first call of all. */
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    check(rsd_ignore_signal(SIGUSR1) == 0);
    check(rsd_flag_signal(SIGUSR1, NULL, 1) == 0);
    check(rsd_flag_signal(SIGUSR2, &flag, 1) == 0);
    check(rsd_flag_signal(SIGUSR2, &flag, 2) == 0);
    check(rsd_install_signal_flags(&flag, &flag) == 0);
    check(rsd_ignore_signal(SIGALRM) == 0);
    check(rsd_ignore_signal(SIGTTIN) == 0);
    check(!is_blocked(SIGUSR2));

    static const int all[] = { SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGALRM, SIGTTIN };
    errno = 4711;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        check(rsd_restore_signal(all[i]) == 0);
    check(errno == 4711);

    struct sigaction now = action_of(SIGUSR1);
    check(now.sa_handler == own_handler && sigismember(&now.sa_mask, SIGURG));
    check((now.sa_flags & (SA_RESTART | SA_ONSTACK | SA_SIGINFO)) == (SA_RESTART | SA_ONSTACK));
    check(!is_blocked(SIGUSR1));
    check(handler_of(SIGUSR2) == SIG_IGN && is_blocked(SIGUSR2));
    check(handler_of(SIGHUP) == SIG_DFL && handler_of(SIGTERM) == SIG_DFL);
    check(handler_of(SIGINT) == SIG_DFL && handler_of(SIGPIPE) == SIG_DFL);
    check(is_blocked(SIGPIPE));
    check(handler_of(SIGALRM) == own_handler);
    check(handler_of(SIGTTIN) == SIG_DFL);
    raise(SIGUSR1);
    check(other == SIGUSR1 && flag == 0);

    /* Nothing is to be done. */
    check(rsd_restore_signal(SIGUSR1) == 0 && handler_of(SIGUSR1) == own_handler);
    check(rsd_restore_signal(SIGCHLD) == 0 && rsd_restore_signal(SIGKILL) == 0);

    /* Restored, it has a new first time. */
    signal(SIGUSR1, SIG_IGN);
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0 && rsd_restore_signal(SIGUSR1) == 0);
    check(handler_of(SIGUSR1) == SIG_IGN);
}

static void restore_keeps_newer(void)
{
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    check(rsd_flag_signal(SIGUSR2, &flag, 1) == 0);
    check(rsd_ignore_signal(SIGHUP) == 0);
    check(rsd_ignore_signal(SIGTTOU) == 0);
    signal(SIGUSR1, own_handler);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGHUP, own_handler);
    signal(SIGTTOU, own_handler);
    check(rsd_restore_signal(SIGUSR1) == 0 && handler_of(SIGUSR1) == own_handler);
    check(rsd_restore_signal(SIGUSR2) == 0 && handler_of(SIGUSR2) == SIG_IGN);
    check(rsd_restore_signal(SIGHUP) == 0 && handler_of(SIGHUP) == own_handler);
    check(rsd_restore_signal(SIGTTOU) == 0 && handler_of(SIGTTOU) == own_handler);
}

static void two_terms(void)
{
    check(rsd_install_signal_flags(&flag, NULL) == 0);
    check(rsd_set_signal_options(SIGTERM, RSD_SIGNAL_SECOND_ENDS) == 0);
    raise(SIGTERM);
    check(flag == 1 && rsd_wait(0) == RSD_SIGNAL_ARRIVED);
    raise(SIGTERM);
}

static void two_ints(void)
{
    check(rsd_flag_signal(SIGINT, &flag, 1) == 0);
    check(rsd_set_signal_options(SIGINT, RSD_SIGNAL_SECOND_ENDS | RSD_SIGNAL_RESTART) == 0);
    raise(SIGINT);
    check(flag == 1);
    raise(SIGINT);
}

/* Each flagging anew and each setting of options anew counts from the beginning. */
static void two_terms_each_the_first(void)
{
    check(rsd_flag_signal(SIGTERM, &flag, 1) == 0);
    check(rsd_set_signal_options(SIGTERM, RSD_SIGNAL_SECOND_ENDS) == 0);
    raise(SIGTERM);
    check(rsd_flag_signal(SIGTERM, &flag, 1) == 0); /* sets 0 */
    check(rsd_set_signal_options(SIGTERM, RSD_SIGNAL_SECOND_ENDS) == 0);
    raise(SIGTERM);
    check(rsd_flag_signal(SIGTERM, &flag, 1) == 0);
    raise(SIGTERM);
    raise(SIGTERM);
}

static void second_ends(void)
{
    int status = end_of(two_terms);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    status = end_of(two_ints);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    check(end_of(two_terms_each_the_first) == 0);
    /* What was before comes back, although the handler is gone by itself. */
    signal(SIGUSR1, own_handler);
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    check(rsd_set_signal_options(SIGUSR1, RSD_SIGNAL_SECOND_ENDS) == 0);
    raise(SIGUSR1);
    check(rsd_restore_signal(SIGUSR1) == 0);
    check(handler_of(SIGUSR1) == own_handler);
}

static void options(void)
{
    const int ours = SA_RESTART | (int)SA_RESETHAND;
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    check((action_of(SIGUSR1).sa_flags & ours) == 0);
    check(rsd_set_signal_options(SIGUSR1, RSD_SIGNAL_RESTART) == 0);
    check((action_of(SIGUSR1).sa_flags & ours) == SA_RESTART);
    /* An option that does not exist changes nothing. */
    check_refused(rsd_set_signal_options(SIGUSR1, 4), EINVAL);
    check_refused(rsd_set_signal_options(SIGUSR1, RSD_SIGNAL_RESTART | 0x80000000u), EINVAL);
    check((action_of(SIGUSR1).sa_flags & ours) == SA_RESTART);
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    check((action_of(SIGUSR1).sa_flags & ours) == 0);
    check(rsd_restore_signal(SIGUSR1) == 0);
    check_refused(rsd_set_signal_options(SIGUSR1, 0), EINVAL);
}

/* From here on this system call fails if its first argument is this one and its second is none. */
static void refuse(long call, int first)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)first, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    filter(code, sizeof code / sizeof *code);
}

static void sigaction_fails(void)
{
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    block(SIGUSR2);
    refuse(SYS_rt_sigaction, SIGUSR1);
    refuse(SYS_rt_sigaction, SIGUSR2);
    check_refused(rsd_flag_signal(SIGUSR2, &flag, 2), EPERM);
    check_refused(rsd_ignore_signal(SIGUSR2), EPERM);
    check(handler_of(SIGUSR2) == SIG_DFL && is_blocked(SIGUSR2));
    check_refused(rsd_flag_signal(SIGUSR1, &other, 2), EPERM);
    check_refused(rsd_ignore_signal(SIGUSR1), EPERM);
    check_refused(rsd_set_signal_options(SIGUSR1, RSD_SIGNAL_RESTART), EPERM);
    check_refused(rsd_restore_signal(SIGUSR1), EPERM);
    raise(SIGUSR1);
    check(flag == 1 && other == 0);
}

static void sigmask_fails(void)
{
    signal(SIGUSR1, own_handler);
    block(SIGUSR1);
    refuse(SYS_rt_sigprocmask, SIG_UNBLOCK);
    check_refused(rsd_flag_signal(SIGUSR1, &flag, 1), EPERM);
    check(handler_of(SIGUSR1) == own_handler && is_blocked(SIGUSR1));
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "value", value },
        { "arguments", arguments },
        { "unblocks", unblocks },
        { "interrupts", interrupts },
        { "restarts", restarts },
        { "ignored", ignored },
        { "restore", restore },
        { "restore-keeps-newer", restore_keeps_newer },
        { "second-ends", second_ends },
        { "options", options },
        { "sigaction-fails", sigaction_fails },
        { "sigmask-fails", sigmask_fails },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
