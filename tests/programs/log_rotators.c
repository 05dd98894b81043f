/*
 * Rotation by several processes and threads at once, some of which are killed or stopped in the middle.
 */
#include "log_lines.h"

#include <pthread.h>

#define PROCESSES 8
#define MANY 100000 /* files; so that none is given up */
#define LONGEST 256 /* bytes of a numbered line */

static int is_slow(void)
{
    return getenv("SLOW") != NULL;
}

static void wait_for_all(void)
{
    int status;
    while (wait(&status) != -1)
        check(status == 0);
}

static unsigned last_file(void)
{
    char name[32];
    struct stat stat;
    unsigned last = 0;
    for (unsigned number = 1; number < 4000; number++) {
        sprintf(name, LOG ".%u", number);
        if (lstat(name, &stat) == 0)
            last = number;
    }
    return last;
}

static void crowd(void)
{
    const size_t limit = 8000;
    const unsigned numbers = is_slow() ? 200 : 3000;
    open_log(.file = LOG, .file_limit = limit, .file_count = MANY);
    for (unsigned writer = 0; writer < PROCESSES; writer++) {
        if (checked_fork() != 0)
            continue;
        if (writer % 2 == 1)
            open_log(.file = LOG, .file_limit = limit, .file_count = MANY);
        for (unsigned number = 0; number < numbers; number++)
            log_numbered(writer, number);
        check(state_now().file_lost == 0 && state_now().reopen_errno == 0);
        _exit(0);
    }
    wait_for_all();
    struct tally *tally = new_tally();
    unsigned last = last_file();
    check(last > 5);
    count_files(tally, last);
    for (unsigned writer = 0; writer < PROCESSES; writer++)
        check_each_once(tally, writer, numbers);
    check(tally->others == 0);
    /* None was rotated before it had to be. */
    for (unsigned number = 1; number <= last; number++) {
        char name[32];
        struct stat stat;
        sprintf(name, LOG ".%u", number);
        check(lstat(name, &stat) == 0 && (size_t)stat.st_size > limit - LONGEST);
    }
}

static unsigned numbers_of_threads;

static void *write_lines(void *writer)
{
    for (unsigned number = 0; number < numbers_of_threads; number++)
        log_numbered(*(unsigned *)writer, number);
    return NULL;
}

static unsigned run_threads(size_t limit)
{
    pthread_t threads[4];
    unsigned writers[4];
    numbers_of_threads = is_slow() ? 200 : 5000;
    open_log(.file = LOG, .file_limit = limit, .file_count = MANY);
    for (unsigned i = 0; i < 4; i++) {
        writers[i] = i;
        check(pthread_create(&threads[i], NULL, write_lines, &writers[i]) == 0);
    }
    for (unsigned i = 0; i < 4; i++)
        check(pthread_join(threads[i], NULL) == 0);
    check(state_now().reopen_errno == 0 && state_now().file_lost == 0);
    return last_file();
}

static void threads(void)
{
    struct tally *tally = new_tally();
    count_files(tally, run_threads(8000));
    for (unsigned writer = 0; writer < 4; writer++)
        check_each_once(tally, writer, numbers_of_threads);
    check(tally->others == 0);
}

static unsigned rotate_often(unsigned writer, unsigned number, unsigned lines)
{
    for (unsigned end = number + lines; number < end; number++)
        log_numbered(writer, number);
    return number;
}

static int is_kept(unsigned writer, unsigned number)
{
    struct tally *tally = new_tally();
    count_files(tally, last_file());
    int kept = tally->seen[writer][number];
    check(tally->torn == 0 && munmap(tally, sizeof *tally) == 0);
    return kept == 1;
}

/* While a process has a file open for its lines, that file stays; then it goes. */
static void idle_writer(int has_file_of_parent)
{
    int go[2], done[2];
    unsigned number = 0, lines = is_slow() ? 300 : 2000;
    check(pipe(go) == 0 && pipe(done) == 0);
    open_log(.file = LOG, .file_limit = 1000, .file_count = 2);
    pid_t idle = checked_fork();
    if (idle == 0) {
        close(go[1]);
        if (!has_file_of_parent)
            open_log(.file = LOG, .file_limit = 1000, .file_count = 2);
        log_numbered(1, 0);
        tell(done[1]);
        await(go[0]);
        log_numbered(1, 1);
        tell(done[1]);
        await(go[0]);
        _exit(0);
    }
    await(done[0]);
    number = rotate_often(0, number, lines);
    check(is_kept(1, 0));
    tell(go[1]);
    await(done[0]);
    check(is_kept(1, 1));
    tell(go[1]);
    check_ends_well(idle);
    number = rotate_often(0, number, lines);
    check(last_file() == 2 && !is_kept(1, 0));
    check(is_kept(0, number - 1) && state_now().reopen_errno == 0);
}

static void idle_writers(void)
{
    idle_writer(0);
    idle_writer(1);
}

struct shared {
    volatile unsigned written[PROCESSES]; /* numbers below this were reported as written */
    volatile int is_over;
};

static pid_t start_writer(struct shared *shared, unsigned writer, size_t limit)
{
    pid_t parent = getpid(), child = checked_fork();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    open_log(.file = LOG, .file_limit = limit, .file_count = MANY);
    for (unsigned number = shared->written[writer]; !shared->is_over && number < NUMBERS_MAX; number++) {
        log_numbered(writer, number);
        shared->written[writer] = number + 1;
        if (number % 16 == 0)
            usleep(200); /* leaves something to the others, and to be rotated for as long as this takes */
    }
    check(state_now().file_lost == 0);
    _exit(0);
}

static void await_progress(const struct shared *shared, unsigned writer)
{
    unsigned before = shared->written[writer];
    for (long long start = now_us(); shared->written[writer] == before && before < NUMBERS_MAX; usleep(200))
        check(now_us() - start < LONG_MS * 1000LL);
}

/* Lines as after SIGKILL: the beginning of one may stand before the next. How many such beginnings. */
static unsigned count_behind_pieces(struct tally *tally, char *rest)
{
    unsigned pieces = 0;
    for (char *next; *rest != '\0'; rest = next) {
        char *end = strchr(rest, '\n');
        next = end != NULL ? end + 1 : rest + strlen(rest);
        if (end != NULL)
            *end = '\0';
        struct line line;
        for (char *from = rest; *from != '\0'; from++) {
            char *copy = strdup(from);
            int is_line = end != NULL && take_apart(copy, &line) && count_message(tally, line.message);
            free(copy);
            if (is_line) {
                pieces += from > rest;
                break;
            }
            pieces += from[1] == '\0';
        }
    }
    return pieces;
}

static void killed(void)
{
    struct shared *shared = shared_memory(sizeof *shared);
    unsigned char (*edges)[NUMBERS_MAX] = shared_memory(PROCESSES * sizeof *edges);
    pid_t writers[PROCESSES];
    const size_t limit = 10000;
    const unsigned kills = is_slow() ? 20 : 200;
    srand(1);
    for (unsigned writer = 0; writer < PROCESSES; writer++)
        writers[writer] = start_writer(shared, writer, limit);
    for (unsigned round = 0; round < kills; round++) {
        unsigned writer = (unsigned)rand() % PROCESSES;
        int status;
        await_progress(shared, writer);
        usleep((unsigned)rand() % 4000);
        check(kill(writers[writer], SIGKILL) == 0);
        check(waitpid(writers[writer], &status, 0) == writers[writer]);
        check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        /* This one may have been written, and is written once more. */
        edges[writer][shared->written[writer]]++;
        writers[writer] = start_writer(shared, writer, limit);
    }
    shared->is_over = 1;
    wait_for_all();

    struct tally *tally = new_tally();
    char name[32];
    unsigned pieces = count_behind_pieces(tally, text_of(LOG)), last = last_file();
    for (unsigned file = 1; file <= last; file++) {
        sprintf(name, LOG ".%u", file);
        pieces += count_behind_pieces(tally, text_of(name));
    }
    check(last > 10 && pieces <= kills);
    for (unsigned writer = 0; writer < PROCESSES; writer++) {
        check(shared->written[writer] < NUMBERS_MAX);
        for (unsigned number = 0; number < shared->written[writer]; number++) {
            unsigned seen = tally->seen[writer][number];
            if (seen < 1 || seen > 1u + edges[writer][number])
                dprintf(2, "writer %u: line %u is there %u times\n", writer, number, seen), _exit(1);
        }
    }
}

static void stopped(void)
{
    struct shared *shared = shared_memory(sizeof *shared);
    pid_t writers[PROCESSES];
    const unsigned stops = is_slow() ? 10 : 100;
    srand(2);
    for (unsigned writer = 0; writer < PROCESSES; writer++)
        writers[writer] = start_writer(shared, writer, 10000);
    for (unsigned round = 0; round < stops; round++) {
        unsigned writer = (unsigned)rand() % PROCESSES;
        siginfo_t info;
        await_progress(shared, writer);
        usleep((unsigned)rand() % 4000);
        check(kill(writers[writer], SIGSTOP) == 0);
        check(waitid(P_PID, (id_t)writers[writer], &info, WSTOPPED | WEXITED) == 0);
        check(info.si_code == CLD_STOPPED);
        for (unsigned other = 0; other < PROCESSES; other++)
            if (other != writer)
                await_progress(shared, other);
        check(kill(writers[writer], SIGCONT) == 0);
    }
    shared->is_over = 1;
    wait_for_all();
    struct tally *tally = new_tally();
    unsigned last = last_file();
    check(last > 10);
    count_files(tally, last);
    for (unsigned writer = 0; writer < PROCESSES; writer++)
        check_each_once(tally, writer, shared->written[writer]);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "crowd", crowd },
        { "threads", threads },
        { "idle-writers", idle_writers },
        { "killed", killed },
        { "stopped", stopped },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
