/*
 * What a line to syslog costs, and how long a reader that has stopped makes the program wait (make
 * bench-log).
 *
 * /dev/log is a socket of our own, which a child reads, in a mount namespace that nobody else sees. It is
 * as syslog daemons make it: datagrams, and as many in its queue as the kernel gives it.
 *
 * The first part sends short bursts, which the queue has room for: see log_file.c for the columns. In the
 * second the lines come as fast as they can, and each is timed. rsd_log() may lose lines then, but it
 * has to know how many; the others wait.
 *
 *   longest us  that a line took: the median of all times; "worst" is the longest of all
 *   nothing     logs nothing: what it waits for is the machine
 *   lost        lines that the logger counted as lost, in all times together
 *
 * It fails if this library waits for good, or lines are missing that it has not counted.
 */
#include "loggers.h"

#include <err.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCKET "/dev/log"
#define ROUNDS 1000
#define BURST 128
#define GOAL 1.5

#define STALL_LINES 20000
#define STALL_ROUNDS 5
#define STALL_GOAL_US 1000
/* Who has not logged all lines by then waits for the reader. */
#define STALL_PATIENCE_S 2

/* What ends a turn: whoever reads it has read all before it. */
#define MARK "all sent"

struct reader {
    atomic_long lines; /* whole ones, in all */
    sem_t marked;
};

static struct reader *reader;
static pid_t reader_pid;
static int to_reader;
static bool went_wrong;

static void read_lines(int from)
{
    char line[512];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        ssize_t length = recv(from, line, sizeof line - 1, 0);
        if (length == -1)
            err(1, "cannot read " SOCKET);
        line[length] = '\0';
        if (strcmp(line, MARK) == 0)
            sem_post(&reader->marked);
        else if (connection_of(line) != -1)
            atomic_fetch_add(&reader->lines, 1);
    }
}

static void start_reader(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET };
    int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    reader = mmap(NULL, sizeof *reader, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (reader == MAP_FAILED || sem_init(&reader->marked, 1, 0) == -1)
        err(1, "cannot share memory");
    to_reader = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (from == -1 || bind(from, (struct sockaddr *)&address, sizeof address) == -1 ||
        connect(to_reader, (struct sockaddr *)&address, sizeof address) == -1)
        err(1, "cannot make " SOCKET);
    reader_pid = fork();
    if (reader_pid == -1)
        err(1, "cannot start a reader");
    if (reader_pid == 0)
        read_lines(from);
    close(from);
}

/* How many whole lines were read since this was last asked. */
static long read_so_far(void)
{
    static long before;
    if (send(to_reader, MARK, strlen(MARK), 0) == -1)
        err(1, "cannot send");
    while (sem_wait(&reader->marked) == -1)
        if (errno != EINTR)
            err(1, "cannot wait for the reader");
    long now = atomic_load(&reader->lines), more = now - before;
    before = now;
    return more;
}

static int arrived(struct logger *logger, int first, int lines)
{
    (void)logger;
    (void)first;
    (void)lines;
    return (int)read_so_far();
}

/* A new /dev, in which nothing is but our socket, seen by us and our children alone. */
static bool has_own_dev(void)
{
    return unshare(CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NODEV, NULL) == 0;
}

static const struct logger all[] = {
    { .name = "send", .file = "logger_bare", .kind = "send" },
    { .name = "the same again", .file = "logger_bare", .kind = "send" },
    { .name = "syslog", .file = "logger_bare", .kind = "syslog" },
    { .name = "rsd_log", .file = "logger_rsdaemon", .kind = "syslog", .goal = GOAL },
    { .name = "nothing", .file = "logger_bare", .kind = "nothing" },
};
enum { COUNT = sizeof all / sizeof *all, NOTHING = COUNT - 1 };

struct flood {
    int written;
    double longest_us; /* -1: it waits */
    double ns;
    long read;
    unsigned lost;
};

static void flood(struct logger *logger, bool is_stopped, struct flood *flood)
{
    unsigned lost_before = logger->shared->lost;
    if (is_stopped)
        kill(reader_pid, SIGSTOP);
    bool is_done = log_lines(logger, 1, STALL_LINES, 1, STALL_PATIENCE_S);
    flood->written = logger->shared->written;
    if (is_stopped)
        kill(reader_pid, SIGCONT);
    if (!is_done && !is_done_within(logger, 60))
        errx(1, "%s hangs although its lines are read", logger->name);
    flood->longest_us = is_done ? logger->shared->longest_us : -1;
    flood->ns = logger->shared->ns / STALL_LINES;
    flood->read = read_so_far();
    flood->lost = logger->shared->lost - lost_before;
}

static void measure_floods(struct logger *list, bool is_stopped)
{
    printf("\n%d lines as fast as it goes, %d times, the reader %s\n", STALL_LINES, STALL_ROUNDS,
           is_stopped ? "stopped (SIGSTOP)" : "reads");
    printf("  %-22s%10s%11s%9s%6s%8s\n", "", "ns a line", "longest us", "worst", "goal", "lost");
    for (int i = 0; i < COUNT; i++) {
        struct flood floods[STALL_ROUNDS];
        double longest[STALL_ROUNDS], ns[STALL_ROUNDS];
        unsigned lost = 0;
        bool waits = false;
        fflush(stdout);
        for (int round = 0; round < STALL_ROUNDS && !waits; round++) {
            struct flood *one = &floods[round];
            flood(&list[i], is_stopped, one);
            waits = one->longest_us < 0;
            longest[round] = one->longest_us;
            ns[round] = one->ns;
            lost += one->lost;
            long missing = i == NOTHING ? 0 : STALL_LINES - one->read - one->lost;
            if (missing != 0)
                printf("  %s: %ld lines are missing and not counted\n", list[i].name, missing);
            went_wrong = went_wrong || (list[i].goal > 0 && (missing != 0 || waits));
        }
        if (waits) {
            printf("  %-22s waits for the reader with line %d, for more than %d s\n", list[i].name,
                   floods[0].written + 1, STALL_PATIENCE_S);
            continue;
        }
        printf("  %-22s%10.0f%11.0f%9.0f", list[i].name, median(ns, STALL_ROUNDS),
               median(longest, STALL_ROUNDS), quantile(longest, STALL_ROUNDS, 1));
        if (list[i].goal > 0)
            printf("%6d", STALL_GOAL_US);
        else
            printf("%6s", "");
        printf("%8u\n", lost);
    }
}

static int queue_length(void)
{
    int length = 10; /* what the kernel begins with */
    FILE *file = fopen("/proc/sys/net/unix/max_dgram_qlen", "re");
    if (file != NULL) {
        if (fscanf(file, "%d", &length) != 1)
            length = 10;
        fclose(file);
    }
    return length;
}

int main(int argc, char *argv[])
{
    static struct logger list[COUNT];
    if (argc != 2)
        errx(2, "usage: %s FOLDER-OF-PROGRAMS", argv[0]);
    if (!has_own_dev()) {
        printf("SKIPPED all about syslog: no mount namespace of our own: %s\n", strerror(errno));
        return 0;
    }
    start_reader();
    start_loggers(argv[1], all, COUNT, SOCKET, true, list);
    int length = queue_length(), burst = length / 2 < BURST ? length / 2 : BURST;
    printf("\nA line to syslog, which holds %d in its queue", length);
    for (int threads = 1; threads <= 2; threads++) {
        printf("\n%d turns of %d lines, threads: %d\n", ROUNDS, burst, threads);
        fflush(stdout);
        compete(list, NOTHING, ROUNDS, threads, burst, arrived);
        show(list, NOTHING, ROUNDS, threads);
    }
    measure_floods(list, false);
    measure_floods(list, true);
    stop_loggers(list, COUNT);
    kill(reader_pid, SIGKILL);
    waitpid(reader_pid, NULL, 0);
    return went_wrong;
}
