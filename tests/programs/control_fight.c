/*
 * Processes that all want to serve the same path, and are killed at any moment.
 *
 * usage: control_fight PROCESSES MILLISECONDS PAUSE   (the longest between two kills, in microseconds)
 *
 * Prints how often one has served it, was turned away, and was killed.
 */
#include "control_calls.h"

#include <sys/mman.h>

#define PATH "socket"
#define KILLED (-1)

struct shared {
    /* What each does: 0 nothing, KILLED, or it serves, for the how manieth time. */
    volatile int serves[16];
    volatile int pids[16];
    volatile unsigned long served, refused;
};

static struct shared *all;
static int count, self;

static void print_pid(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    rsd_control_print(request, "%d\n", getpid());
}

/* Nobody else may serve it now, but one who was killed and is not known to be. */
static void check_alone(void)
{
    for (int other = 0; other < count; other++) {
        int seen = all->serves[other];
        if (other == self || seen <= 0)
            continue;
        long long end = now_us() + LONG_MS * 1000LL;
        while (all->serves[other] == seen)
            check(now_us() < end);
        check(all->serves[other] == KILLED);
    }
}

static void fight(unsigned int seed)
{
    char expected[32];
    snprintf(expected, sizeof expected, " %d\nok\n", getpid());
    check(rsd_control_query("pid", NULL, print_pid, NULL) == 0);
    for (int round = 1;; round++) {
        if (rsd_open_control(PATH, 0, NULL) == -1) {
            check(errno == EADDRINUSE);
            check(rsd_last_error()[0] != '\0');
            __sync_fetch_and_add(&all->refused, 1);
            sched_yield();
            continue;
        }
        all->serves[self] = round;
        __sync_synchronize();
        check_alone();
        check(is_answered(PATH, "pid\n", expected));
        check(exists(PATH) && exists(PATH ".lock"));
        check(is_answered(PATH, "pid\n", expected));
        all->serves[self] = 0;
        __sync_synchronize();
        __sync_fetch_and_add(&all->served, 1);
        switch (rand_r(&seed) % 6) {
        case 0:
            exit(0);
        case 1:
            kill(getpid(), SIGKILL);
        }
        check(rsd_close_control() == 0);
    }
}

static void start(int slot, unsigned int seed)
{
    pid_t child = checked_fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        self = slot;
        fight(seed);
    }
    all->pids[slot] = child;
}

int main(int argc, char *argv[])
{
    unsigned int seed = 1;
    int killed = 0, status;
    if (argc != 4 || (count = atoi(argv[1])) > 16)
        return 2;
    long long end = now_us() + 1000LL * atoi(argv[2]);
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(all != MAP_FAILED);
    for (int slot = 0; slot < count; slot++)
        start(slot, seed++);
    while (now_us() < end) {
        usleep((useconds_t)(rand_r(&seed) % (unsigned)atoi(argv[3])));
        kill(all->pids[rand_r(&seed) % (unsigned)count], SIGKILL);
        for (pid_t child; (child = waitpid(-1, &status, WNOHANG)) > 0;) {
            int slot = 0;
            while (all->pids[slot] != child)
                slot++;
            check(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
            killed += WIFSIGNALED(status);
            all->serves[slot] = KILLED;
            start(slot, seed++);
        }
    }
    for (int slot = 0; slot < count; slot++)
        kill(all->pids[slot], SIGKILL);
    while (waitpid(-1, &status, 0) > 0)
        check(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
    /* Whatever they have left, the next one serves. */
    check(rsd_open_control(PATH, 0, NULL) == 0);
    check(is_answered(PATH, "ping\n", "ok\n"));
    check(rsd_close_control() == 0 && !exists(PATH) && !exists(PATH ".lock"));
    printf("served %lu times, refused %lu, killed %d\n", all->served, all->refused, killed);
    return 0;
}
