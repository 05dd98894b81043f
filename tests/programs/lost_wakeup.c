/*
 * lost_wakeup FORM ROUNDS: a process that waits and one that signals it at random moments around
 * its look at the flags. A wait that nobody ends is a lost wake-up. FORM is how it waits: "wait",
 * "poll", "epoll", "edge", or "first" for new processes whose first wait it is.
 */
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "cases.h"

static const int signals[] = { SIGTERM, SIGHUP, SIGUSR1 };
static volatile sig_atomic_t flags[3];
static int loop;
static atomic_long *answered; /* shared by both: a pipe would be too slow */

static void wait_once(const char *form)
{
    struct pollfd one = { .fd = -1, .events = POLLIN };
    struct epoll_event event;
    int ready;

    if (strcmp(form, "wait") == 0) {
        check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
    } else if (strcmp(form, "poll") == 0) {
        one.fd = rsd_fd();
        ready = poll(&one, 1, LONG_MS);
        check(ready == 1 || (ready == -1 && errno == EINTR));
        check(rsd_dispatch() == RSD_SIGNAL_ARRIVED || ready == -1);
    } else {
        ready = epoll_wait(loop, &event, 1, LONG_MS);
        check(ready == 1 || (ready == -1 && errno == EINTR));
        check(rsd_dispatch() != -1);
    }
}

/* One side on the first processor, the other on the last: the kernel likes to put whom it wakes
 * where it was woken from, and then one of them always sleeps already. */
static void take_processor(int is_last)
{
    static cpu_set_t allowed; /* before the first of the two has taken one */
    cpu_set_t one;
    int taken = -1;
    if (CPU_COUNT(&allowed) == 0)
        check(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    for (int cpu = 0; cpu < CPU_SETSIZE && (taken == -1 || is_last); cpu++)
        if (CPU_ISSET(cpu, &allowed))
            taken = cpu;
    CPU_ZERO(&one);
    CPU_SET(taken, &one);
    check(sched_setaffinity(0, sizeof one, &one) == 0);
}

/* Both sides do, so that the signal comes before, in and after the gap between look and wait, and
 * at each place of what the wait does before it sleeps. */
static void spin_randomly(void)
{
    for (volatile long i = random() % 10000; i > 0; i--)
        continue;
}

static void flag_all(void)
{
    take_processor(1);
    srandom((unsigned)getpid()); /* other moments than those of the other side */
    for (int i = 0; i < 3; i++)
        check(rsd_flag_signal(signals[i], &flags[i], 1) == 0);
}

/* Takes the signals one after the other, and answers each. */
static void wait_for(const char *form, long rounds)
{
    flag_all();
    if (form[0] == 'e') {
        loop = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event event = { .events = EPOLLIN };
        if (strcmp(form, "edge") == 0)
            event.events |= EPOLLET;
        check(epoll_ctl(loop, EPOLL_CTL_ADD, rsd_fd(), &event) == 0);
    }
    ++*answered;
    for (long round = 0; round < rounds; round++) {
        volatile sig_atomic_t *flag = &flags[round % 3];
        spin_randomly();
        while (!*flag) {
            if (round % 2 == 0)
                spin_randomly(); /* a gap as wide as that of programs that do something there */
            wait_once(form);
        }
        *flag = 0;
        ++*answered;
    }
}

/* Returns when there are so many answers. */
static void await_answers(long count, pid_t child)
{
    for (unsigned looks = 1; *answered < count; looks++) {
        if (looks % 1000 == 0) {
            sched_yield();
            check(waitpid(child, NULL, WNOHANG) == 0);
        }
    }
}

static void first_waits(long rounds)
{
    take_processor(0);
    for (long round = 0; round < rounds; round++) {
        pid_t child = checked_fork();
        if (child == 0) {
            flag_all();
            ++*answered;
            for (int i = 0; i < 4; i++)
                spin_randomly(); /* what is sent takes its time to the other processor */
            if (round % 2 == 0) {
                check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
            } else {
                while (!flags[0])
                    wait_once("poll");
            }
            _exit(0);
        }
        await_answers(round + 1, child);
        spin_randomly();
        check(kill(child, SIGTERM) == 0);
        check_ends_well(child);
    }
}

int main(int argc, char *argv[])
{
    if (argc != 3)
        return 2;
    long rounds = atol(argv[2]);
    answered = mmap(NULL, sizeof *answered, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(answered != MAP_FAILED);
    if (strcmp(argv[1], "first") == 0) {
        first_waits(rounds);
        return 0;
    }
    pid_t child = checked_fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        wait_for(argv[1], rounds);
        _exit(0);
    }
    take_processor(0);
    await_answers(1, child);
    for (long round = 0; round < rounds; round++) {
        spin_randomly();
        check(kill(child, signals[round % 3]) == 0);
        if (round + 1 < rounds)
            await_answers(round + 2, child);
    }
    check_ends_well(child);
    return 0;
}
