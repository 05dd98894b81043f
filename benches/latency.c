/*
 * How long a signal takes from kill(2) to the loop that it is for (make bench-loop).
 *
 * Each loop is a process of its own; they take turns, in another order each round. The first part
 * sends only when the kernel says that the loop sleeps, and a moment later: its times are from
 * before kill(2) until the loop goes on with the signal seen. The second part sends at any moment
 * of a pass that works for a while and then waits: a signal is missed if the loop sleeps with it.
 *
 *   ratio    of the medians, to the first loop; "the same again" is that one a second time: as far
 *            as its ratio is from 1.00, so far is any other one noise. "flag, sleep(1)" does little
 *            but run a handler: on the sender's CPU, where no CPU has to wake up, its ratio is
 *            about the least that a loop with a handler can have
 *   goal     what the ratio is to be at most. It is only shown. What fails is a loop of this
 *            library that misses a signal.
 */
#include "waiters.h"

#include <err.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAITERS_MAX 12
#define ROUNDS 4000
#define WORK_NS 20000
#define WORKING_ROUNDS 2000
/* It sleeps for a second with each that it misses. */
#define FLAG_ROUNDS 30
#define GOAL 1.1

static struct waiter list[WAITERS_MAX];
static int count;
static bool went_wrong;

static int64_t random_below(int64_t limit)
{
    return random() % limit;
}

/* Returns when. */
static int64_t send_to(const struct waiter *waiter)
{
    int64_t begin = now_ns();
    if (kill(waiter->shared->pid, SIGHUP) == -1)
        err(1, "cannot send to %s", waiter->name);
    return begin;
}

static double us_since(int64_t begin, const struct waiter *waiter)
{
    return (double)(waiter->shared->seen_at - begin) / 1e3;
}

/*
 * Whether it has missed the signal: kill(2) wakes whoever is to see it before it returns, so nobody
 * who has not seen it sleeps then, however long he has to wait for the CPU. We do not sleep here,
 * so that we are back before the loop has ended its pass.
 */
static bool is_missed(struct waiter *waiter)
{
    bool is_missed = false;
    int64_t end = now_ns() + PATIENCE_S * INT64_C(1000000000);
    for (;;) {
        bool was_asleep = is_asleep(waiter);
        if (sem_trywait(&waiter->shared->seen) == 0)
            return is_missed;
        is_missed = is_missed || was_asleep;
        if (now_ns() > end)
            errx(1, "%s has not seen a signal for %d s", waiter->name, PATIENCE_S);
    }
}

/* Lets it fall asleep; the pause afterwards is so that nobody is in step. */
static void wait_asleep(const struct waiter *waiter)
{
    do
        usleep((useconds_t)(50 + random_below(100)));
    while (!is_asleep(waiter));
}

static void measure_sleeping(const char *where)
{
    static double times[WAITERS_MAX][ROUNDS];
    int order[WAITERS_MAX];

    printf("\nA signal to a loop that sleeps, %s: %d signals each\n", where, ROUNDS);
    fflush(stdout);
    for (int round = -20; round < ROUNDS; round++) { /* those below 0 warm up */
        shuffle(order, count);
        for (int turn = 0; turn < count; turn++) {
            struct waiter *one = &list[order[turn]];
            wait_asleep(one);
            int64_t begin = send_to(one);
            wait_seen(one);
            times[order[turn]][round < 0 ? 0 : round] = us_since(begin, one);
        }
    }

    printf("  %-17s%11s%9s%10s%8s%6s\n", "", "median us", "p99 us", "max us", "ratio", "goal");
    for (int i = 0; i < count; i++) {
        double middle = median(times[i], ROUNDS);
        printf("  %-17s%11.2f%9.1f%10.1f%8.2f", list[i].name, middle,
               quantile(times[i], ROUNDS, 0.99), quantile(times[i], ROUNDS, 1),
               middle / median(times[0], ROUNDS));
        if (list[i].is_ours)
            printf("%6.2f", GOAL);
        puts("");
    }
}

static void measure_working(void)
{
    static double times[WORKING_ROUNDS];

    printf("\nA signal at any moment of a loop that works for %d us and then waits\n",
           WORK_NS / 1000);
    printf("  %-17s%11s%9s%10s\n", "", "signals", "missed", "max us");
    for (int i = 0; i < count; i++) {
        struct waiter *one = &list[i];
        int rounds = strcmp(one->kind, "flag") == 0 ? FLAG_ROUNDS : WORKING_ROUNDS;
        int missed = 0;
        fflush(stdout);
        one->shared->work_ns = WORK_NS;
        send_to(one);
        is_missed(one); /* from here on it works in each pass */
        for (int round = 0; round < rounds; round++) {
            for (int64_t moment = now_ns() + random_below(2 * WORK_NS); now_ns() < moment;)
                ;
            int64_t begin = send_to(one);
            missed += is_missed(one);
            times[round] = us_since(begin, one);
        }
        printf("  %-17s%11d%9d%10.1f\n", one->name, rounds, missed, quantile(times, rounds, 1));
        went_wrong = went_wrong || (one->is_ours && missed > 0);
    }
}

int main(int argc, char *argv[])
{
    if (argc != 2)
        errx(2, "usage: %s FOLDER-OF-PROGRAMS", argv[0]);
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == -1)
        err(1, "cannot ask for the CPUs");
    int first = 0;
    while (!CPU_ISSET(first, &allowed))
        first++;
    int second = first + 1;
    while (second < CPU_SETSIZE && !CPU_ISSET(second, &allowed))
        second++;

    count = list_waiters(argv[1], list, WAITERS_MAX);
    pin(0, first);
    for (int i = 0; i < count; i++)
        start_waiter(argv[1], &list[i], NULL); /* on the same CPU, as inherited */
    measure_sleeping("on the sender's CPU");
    if (second < CPU_SETSIZE) {
        for (int i = 0; i < count; i++)
            pin(list[i].shared->pid, second);
        measure_sleeping("on another CPU");
        measure_working();
    } else {
        puts("SKIPPED what needs two CPUs: there is one");
    }
    for (int i = 0; i < count; i++)
        stop_waiter(&list[i]);
    return went_wrong;
}
