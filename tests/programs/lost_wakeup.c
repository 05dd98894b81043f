/*
 * lost_wakeup FORM ROUNDS: a process that waits and one that signals it at random moments around
 * its look at the flags. A wait that nobody ends is a lost wake-up. FORM is how it waits: "wait",
 * "poll", "epoll", "edge", or "first" for new processes whose first wait it is.
 */
#include <sys/epoll.h>
#include <sys/prctl.h>

#include "cases.h"

static const int signals[] = { SIGTERM, SIGHUP, SIGUSR1 };
static volatile sig_atomic_t flags[3];
static int loop;

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

static void flag_all(void)
{
    for (int i = 0; i < 3; i++)
        check(rsd_flag_signal(signals[i], &flags[i], 1) == 0);
}

/* Takes the signals one after the other, and answers each. */
static void wait_for(const char *form, int answers, long rounds)
{
    flag_all();
    if (form[0] == 'e') {
        loop = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event event = { .events = EPOLLIN };
        if (strcmp(form, "edge") == 0)
            event.events |= EPOLLET;
        check(epoll_ctl(loop, EPOLL_CTL_ADD, rsd_fd(), &event) == 0);
    }
    tell(answers);
    for (long round = 0; round < rounds; round++) {
        volatile sig_atomic_t *flag = &flags[round % 3];
        while (!*flag)
            wait_once(form);
        *flag = 0;
        tell(answers);
    }
}

static void spin_randomly(unsigned at_most_us)
{
    long long until = now_us() + random() % at_most_us;
    while (now_us() < until)
        continue;
}

static void first_waits(long rounds)
{
    for (long round = 0; round < rounds; round++) {
        int ends[2];
        check(pipe(ends) == 0);
        pid_t child = checked_fork();
        if (child == 0) {
            flag_all();
            tell(ends[1]);
            if (round % 2 == 0) {
                check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED);
            } else {
                while (!flags[0])
                    wait_once("poll");
            }
            _exit(0);
        }
        await(ends[0]);
        spin_randomly(60);
        check(kill(child, SIGTERM) == 0);
        check_ends_well(child);
        close(ends[0]);
        close(ends[1]);
    }
}

int main(int argc, char *argv[])
{
    int ends[2];
    if (argc != 3)
        return 2;
    long rounds = atol(argv[2]);
    if (strcmp(argv[1], "first") == 0) {
        first_waits(rounds);
        return 0;
    }
    check(pipe(ends) == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        wait_for(argv[1], ends[1], rounds);
        _exit(0);
    }
    close(ends[1]); /* so that its end is seen */
    await(ends[0]);
    for (long round = 0; round < rounds; round++) {
        spin_randomly(30);
        check(kill(child, signals[round % 3]) == 0);
        await(ends[0]);
    }
    check_ends_well(child);
    return 0;
}
