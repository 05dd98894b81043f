/*
 * One file, many writers: threads, processes, and signal handlers that interrupt them.
 */
#include "log_lines.h"

#include <pthread.h>

#define THREADS 4
#define PROCESSES 6

static unsigned how_many(unsigned count)
{
    return getenv("SLOW") != NULL ? count / 20 : count;
}

static unsigned lines;

static void *write_lines(void *argument)
{
    unsigned writer = *(unsigned *)argument;
    for (unsigned number = 0; number < lines; number++)
        log_numbered(writer, number);
    return NULL;
}

/* Each thread is a writer of its own. */
static void run_threads(unsigned first, unsigned writers[THREADS])
{
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        writers[i] = first + i;
        check(pthread_create(&threads[i], NULL, write_lines, &writers[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        check(pthread_join(threads[i], NULL) == 0);
    check(state_now().file_lost == 0 && state_now().file_errno == 0);
}

static void crowd(void)
{
    unsigned writers[THREADS];
    lines = how_many(2000);
    open_log(.file = LOG);
    for (unsigned process = 0; process < PROCESSES; process++) {
        if (checked_fork() == 0) {
            /* One half has the file of its parent, the other opens it. */
            if (process % 2 == 1)
                open_log(.file = LOG);
            run_threads(process * THREADS, writers);
            _exit(0);
        }
    }
    int status;
    while (wait(&status) != -1)
        check(status == 0);
    struct tally *tally = new_tally();
    count_lines(tally, LOG);
    for (unsigned writer = 0; writer < PROCESSES * THREADS; writer++)
        check_each_once(tally, writer, lines);
    check(tally->others == 0);
}

static volatile int is_over;

static void *reopen(void *reopened)
{
    while (!is_over) {
        int result = rsd_reopen_log();
        check(result == 0 || (result == -1 && errno == EALREADY && rsd_last_error()[0] != '\0'));
        __atomic_fetch_add((unsigned *)reopened, result == 0, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/* Several threads reopen it all the time, others log. */
static void reopening_threads(void)
{
    pthread_t threads[2];
    unsigned writers[THREADS], reopened = 0;
    lines = how_many(10000);
    open_log(.file = LOG);
    for (int i = 0; i < 2; i++)
        check(pthread_create(&threads[i], NULL, reopen, &reopened) == 0);
    run_threads(0, writers);
    is_over = 1;
    for (int i = 0; i < 2; i++)
        check(pthread_join(threads[i], NULL) == 0);
    struct tally *tally = new_tally();
    count_lines(tally, LOG);
    for (unsigned writer = 0; writer < THREADS; writer++)
        check_each_once(tally, writer, lines);
    check(reopened > 0 && state_now().reopen_errno == 0);
}

/* fork(2) while other threads log: the child does, too. */
static void forks_of_threads(void)
{
    unsigned writer = 0, forks = how_many(400);
    pthread_t thread;
    lines = how_many(40000);
    open_log(.file = LOG);
    check(pthread_create(&thread, NULL, write_lines, &writer) == 0);
    for (unsigned number = 0; number < forks; number++) {
        pid_t child = checked_fork();
        if (child == 0) {
            log_numbered(1, number);
            _exit(0);
        }
        check_ends_well(child);
    }
    check(pthread_join(thread, NULL) == 0);
    struct tally *tally = new_tally();
    count_lines(tally, LOG);
    check_each_once(tally, 0, lines);
    check_each_once(tally, 1, forks);
}

static volatile sig_atomic_t handled;

static void log_from_handler(int signo)
{
    char text[256];
    (void)signo;
    rsd_log_string(LOG_NOTICE, numbered(1, (unsigned)handled++, text));
}

static void die_with_parent(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
}

/* Another process sends signals all the time, until it is killed. */
static pid_t start_storm(int signo)
{
    struct sigaction action = { .sa_handler = log_from_handler, .sa_flags = SA_RESTART };
    pid_t target = getpid();
    check(sigaction(signo, &action, NULL) == 0);
    pid_t sender = checked_fork();
    if (sender == 0) {
        die_with_parent(target);
        while (kill(target, signo) == 0)
            usleep(20);
        _exit(1);
    }
    return sender;
}

static void end_storm(pid_t sender, int signo)
{
    int status;
    check(kill(sender, SIGKILL) == 0);
    while (waitpid(sender, &status, 0) == -1)
        check(errno == EINTR);
    check(signal(signo, SIG_IGN) != SIG_ERR);
}

static void check_storm(unsigned most_files)
{
    struct tally *tally = new_tally();
    count_files(tally, most_files);
    check(handled > 20);
    check_each_once(tally, 0, lines);
    check_each_once(tally, 1, (unsigned)handled);
    check(tally->others == 0 && state_now().file_lost == 0);
}

static void storm(void)
{
    open_log(.file = LOG);
    pid_t sender = start_storm(SIGUSR1);
    for (lines = 0; lines < how_many(60000) || handled <= 20; lines++) {
        log_numbered(0, lines);
        if (lines >= how_many(60000))
            usleep(100);
    }
    end_storm(sender, SIGUSR1);
    check_storm(0);
}

/* The handler interrupts what rotates and reopens, too. */
static void storm_on_rotation(void)
{
    open_log(.file = LOG, .file_limit = 6000, .file_count = 100000);
    pid_t sender = start_storm(SIGUSR1);
    for (lines = 0; lines < how_many(10000) || handled <= 20; lines++) {
        log_numbered(0, lines);
        if (lines % 100 == 99)
            check(rsd_reopen_log() == 0);
        if (lines >= how_many(10000))
            usleep(100);
    }
    end_storm(sender, SIGUSR1);
    check_storm(2000);
    check(exists(LOG ".2") && state_now().reopen_errno == 0);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "crowd", crowd },
        { "reopening-threads", reopening_threads },
        { "forks-of-threads", forks_of_threads },
        { "storm", storm },
        { "storm-on-rotation", storm_on_rotation },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
