/*
 * lifecycle holder|signal|stop PIDFILE [SIGNO | TIMEOUT_MS FLAGS]: one call; says its result, or errno
 * and the sentence, with status 0. With ALARM in the environment a signal comes every 5 ms; with MARKED
 * strace(1) sees where the call begins and ends.
 *
 * lifecycle self PIDFILE: a daemon that tries to stop itself.
 *
 * lifecycle serve PIDFILE [WHAT...]: a daemon in the foreground. Says its pid, then each signal that it
 * gets, and ends on SIGTERM. WHAT, in the order in which it is done:
 *   stubborn     ignores SIGTERM
 *   slow=MS      takes that long to end
 *   worker       leaves a process behind that has the lock, whose pid it says; that ends with SIGUSR1
 *   brief=MS     has such a worker end so long after the daemon
 *   remove       removes its file at the end
 *   undumpable   nobody but root may look into it
 *   retry        tries to lock until it can
 *   thread       writes the number of a second thread of its own into the file
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <rsdaemon.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void end(int signo)
{
    (void)signo;
    ended = 1;
}

static void note(int signo)
{
    char text[] = "got 00\n";
    text[4] = (char)('0' + signo / 10 % 10);
    text[5] = (char)('0' + signo % 10);
    if (write(1, text, 7) != 7)
        _exit(9);
}

static void say_number(int number)
{
    printf("%d\n", number);
    fflush(stdout);
}

static void sleep_ms(int ms)
{
    struct timespec left = { ms / 1000, ms % 1000 * 1000000L };
    while (nanosleep(&left, &left) == -1 && errno == EINTR)
        ;
}

static void wait_until_ended(void)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    while (!ended)
        sigsuspend(&before);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void start_worker(int brief)
{
    int ready[2];
    char byte;
    if (pipe(ready) == -1)
        err(9, "pipe");
    pid_t worker = fork();
    if (worker == 0) {
        close(ready[0]);
        signal(SIGTERM, SIG_IGN);
        signal(SIGUSR1, end);
        if (brief > 0)
            prctl(PR_SET_PDEATHSIG, SIGUSR1);
        close(ready[1]);
        wait_until_ended();
        sleep_ms(brief);
        _exit(0);
    }
    close(ready[1]);
    if (worker == -1 || read(ready[0], &byte, 1) != 0)
        err(9, "the worker");
    close(ready[0]);
    say_number(worker);
}

static int lock;

static void *say_thread(void *argument)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%ld\n", syscall(SYS_gettid));
    if (pwrite(lock, text, (size_t)length, 0) != length || ftruncate(lock, length) == -1)
        _exit(9);
    for (;;)
        pause();
    return argument;
}

static int serve(int argc, char *argv[])
{
    int slow = 0, removes = 0, retries = 0, brief = 0;
    pthread_t thread;

    for (int signo = 1; signo < 32; signo++)
        if (signo != SIGCHLD && signo != SIGCONT)
            signal(signo, note);
    signal(SIGTERM, end);
    say_number(getpid());
    for (int i = 3; i < argc; i++) {
        retries |= strcmp(argv[i], "retry") == 0;
        if (strncmp(argv[i], "brief=", 6) == 0)
            brief = atoi(argv[i] + 6);
    }
    do
        lock = rsd_lock_pidfile(argv[2]);
    while (lock == -1 && errno == EEXIST && retries && sched_yield() == 0);
    if (lock == -1)
        errx(1, "%d %s", errno, rsd_last_error());
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "stubborn") == 0)
            signal(SIGTERM, SIG_IGN);
        else if (strncmp(argv[i], "slow=", 5) == 0)
            slow = atoi(argv[i] + 5);
        else if (strcmp(argv[i], "worker") == 0)
            start_worker(brief);
        else if (strcmp(argv[i], "remove") == 0)
            removes = 1;
        else if (strcmp(argv[i], "undumpable") == 0)
            prctl(PR_SET_DUMPABLE, 0);
        else if (strcmp(argv[i], "thread") == 0
                 && pthread_create(&thread, NULL, say_thread, NULL) != 0)
            return 9;
    }
    puts("up");
    fflush(stdout);
    wait_until_ended();
    sleep_ms(slow);
    if (removes && rsd_remove_pidfile(argv[2], lock) == -1)
        errx(1, "%d %s", errno, rsd_last_error());
    return 0;
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL)
        return 0;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static void nothing(int signo)
{
    (void)signo;
}

static int one_call(const char *what, const char *path, int number, unsigned flags)
{
    if (strcmp(what, "holder") == 0)
        return rsd_pidfile_holder(path);
    if (strcmp(what, "signal") == 0)
        return rsd_signal_daemon(path, number);
    return rsd_stop_daemon(path, number, flags);
}

static void mark(void)
{
    if (getenv("MARKED") != NULL)
        close(-1000001); /* harmless, and nobody else does it */
}

int main(int argc, char *argv[])
{
    if (argc < 2)
        return 2;
    const char *path = argc > 2 ? argv[2] : NULL;
    if (strcmp(argv[1], "serve") == 0)
        return serve(argc, argv);
    if (strcmp(argv[1], "self") == 0) {
        if (rsd_lock_pidfile(path) == -1)
            errx(1, "%d %s", errno, rsd_last_error());
        if (rsd_pidfile_holder(path) != getpid() || rsd_signal_daemon(path, 0) != getpid())
            errx(9, "%d %s", errno, rsd_last_error());
    }
    if (getenv("ALARM") != NULL) {
        struct sigaction action = { .sa_handler = nothing };
        struct itimerval often = { { 0, 5000 }, { 0, 5000 } };
        sigaction(SIGALRM, &action, NULL);
        setitimer(ITIMER_REAL, &often, NULL);
    }
    int before = open_descriptors();
    mark();
    errno = 4711;
    int result = one_call(argv[1], path, argc > 3 ? atoi(argv[3]) : -1,
                          argc > 4 ? (unsigned)atoi(argv[4]) : 0);
    int error = errno;
    mark();
    if (open_descriptors() != before)
        errx(8, "descriptors are left open");
    if (result == -1)
        printf("-1 %d %s\n", error, rsd_last_error());
    else if (error != 4711)
        errx(8, "errno was changed by success");
    else
        printf("%d\n", result);
    return 0;
}
