/*
 * Whoever reads stderr is slow, stuck or gone.
 */
#include "log_lines.h"

#include <pthread.h>
#include <sys/socket.h>

static int screen;

static void complain(int line, const char *condition)
{
    dup2(screen, 2);
    fail_check(__FILE__, line, condition);
}

#define check_aloud(condition) \
    do { \
        if (!(condition)) \
            complain(__LINE__, #condition); \
    } while (0)

static void put_stderr(int fd)
{
    screen = dup(2);
    check(dup2(fd, 2) == 2 && close(fd) == 0);
}

/* Ends the program if rsd_log() waits. */
static void stderr_to(int fd)
{
    open_log(.to_stderr = 1, .file = LOG);
    put_stderr(fd);
    alarm(LONG_MS / 1000);
}

/* How many lines of all logged are lost, until there is no room. */
static unsigned log_until_lost(unsigned *number)
{
    while (state_now().stderr_lost == 0)
        log_numbered(0, (*number)++);
    for (int i = 0; i < 100; i++)
        log_numbered(0, (*number)++);
    check_aloud(state_now().file_lost == 0);
    return state_now().stderr_lost;
}

static char *read_all(int fd)
{
    static char text[1 << 21];
    size_t length = 0;
    while (is_readable(fd)) {
        ssize_t got = read(fd, text + length, sizeof text - 1 - length);
        check_aloud(got > 0);
        length += (size_t)got;
    }
    text[length] = '\0';
    return text;
}

/* Whole lines; what is missing was counted, and told of before the line that came next. */
static void check_read(char *text, unsigned numbers, unsigned lost)
{
    struct tally *tally = new_tally();
    unsigned found = 0, told = 0;
    char *line;
    while ((line = next_text(&text)) != NULL) {
        size_t length = strlen(line);
        if (length > 0 && line[length - 1] == '\r') /* of a terminal */
            line[length - 1] = '\0';
        check_aloud(strncmp(line, "tester: ", 8) == 0);
        if (count_message(tally, line + 8))
            found++;
        else if (strstr(line, " lost ") != NULL)
            told += (unsigned)atoi(line + 8);
        else
            check_aloud(!"a line");
    }
    if (found + lost != numbers || told != lost)
        dprintf(screen, "%u of %u lines, %u lost, %u told\n", found, numbers, lost, told), _exit(1);
    tally = new_tally();
    count_lines(tally, LOG);
    for (unsigned number = 0; number < numbers; number++)
        check_aloud(tally->seen[0][number] == 1);
}

static void goes_on(int reader, int error)
{
    static char text[1 << 21];
    unsigned number = 0, lost = log_until_lost(&number);
    check_aloud(state_now().stderr_errno == error);
    strcpy(text, read_all(reader));
    for (long long start = now_us(); state_now().stderr_errno != 0; usleep(20000)) {
        check_aloud(now_us() - start < LONG_MS * 1000LL);
        log_numbered(0, number++);
        lost = state_now().stderr_lost;
    }
    strcat(text, read_all(reader));
    check_read(text, number, lost);
}

static void full_pipe(void)
{
    int ends[2];
    check(pipe(ends) == 0);
    stderr_to(ends[1]);
    goes_on(ends[0], EAGAIN);
}

static void full_socket(void)
{
    static const int kinds[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
    for (int i = 0; i < 3; i++) {
        int ends[2];
        pid_t child = checked_fork();
        if (child != 0) {
            check_ends_well(child);
            continue;
        }
        check(socketpair(AF_UNIX, kinds[i], 0, ends) == 0);
        unlink(LOG);
        stderr_to(ends[1]);
        goes_on(ends[0], EAGAIN);
        _exit(0);
    }
}

/* openpty(3) makes a call that valgrind does not know. */
static int open_terminal(int *master, int *terminal)
{
    *master = posix_openpt(O_RDWR | O_NOCTTY);
    if (*master == -1 || grantpt(*master) == -1 || unlockpt(*master) == -1)
        return -1;
    *terminal = open(ptsname(*master), O_RDWR | O_NOCTTY);
    return *terminal;
}

static int new_terminal(int *master)
{
    int terminal;
    if (open_terminal(master, &terminal) == -1)
        _exit(CANNOT_RUN_HERE);
    return terminal;
}

static void check_full_terminal(void)
{
    unsigned number = 0, lost = log_until_lost(&number);
    check_aloud(lost > 0 && state_now().stderr_errno == EAGAIN);
}

static void full_terminal(void)
{
    int master;
    stderr_to(new_terminal(&master));
    check_full_terminal();
}

/* The pipe of a supervisor or the terminal is not the daemon's when that has given up its privileges. */
static void need_root(void)
{
    if (geteuid() != 0)
        _exit(CANNOT_RUN_HERE);
}

static void become(uid_t user)
{
    check_aloud(setresuid(user, user, user) == 0);
}

static void full_terminal_of_another_user(void)
{
    need_root();
    int master;
    put_stderr(new_terminal(&master));
    open_log(.to_stderr = 1, .file = LOG);
    alarm(LONG_MS / 1000);
    become(65534);
    check_full_terminal();
}

/* It becomes stderr when the log is open, and there is a line before the privileges are given up. */
static void another_full_terminal_of_another_user(void)
{
    need_root();
    int first, second, other;
    char byte;
    put_stderr(new_terminal(&first));
    open_log(.to_stderr = 1, .file = LOG);
    other = new_terminal(&second);
    check_aloud(dup2(other, 2) == 2 && close(other) == 0);
    alarm(LONG_MS / 1000);
    rsd_log(LOG_INFO, "root's");
    become(65534);
    check_full_terminal();
    /* The first one is closed by now: nobody writes to it. */
    check_aloud(read(first, &byte, 1) == -1 && errno == EIO);
}

static void start_simply(void)
{
    check_aloud(daemonize(NULL) == 0);
}

static void start_until_ready(void)
{
    check_aloud(rsd_daemonize(RSD_OPTIONS(.stdio = RSD_STDIO_KEEP_UNTIL_READY)) == 0);
    rsd_log(LOG_INFO, "starting");
    check_aloud(rsd_ready() == 0);
}

/* Whoever started it sees the end of its terminal, while the daemon goes on. */
static void end_of_terminal(void (*start)(void), const char *expected)
{
    int master, started[2], stop[2];
    char text[256] = "";
    put_stderr(new_terminal(&master));
    open_log(.to_stderr = 1, .file = LOG);
    int folder = open(".", O_PATH), null = open("/dev/null", O_RDWR);
    check_aloud(dup2(null, 1) == 1 && pipe(started) == 0 && pipe(stop) == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        start();
        check_aloud(fchdir(folder) == 0);
        rsd_log(LOG_INFO, "after");
        close(started[1]);
        close(stop[1]);
        _exit(read(stop[0], text, 1) == 0);
    }
    check_ends_well(child);
    check_aloud(close(started[1]) == 0 && read(started[0], text, 1) == 0);
    check_aloud(file_contains(LOG, "after"));
    /* From here on only the daemon could have it still. */
    check_aloud(rsd_open_log(RSD_LOG_OPTIONS(.file = LOG)) == 0 && dup2(screen, 2) == 2);
    size_t length = 0;
    for (ssize_t got; (got = read(master, text + length, sizeof text - 1 - length)) > 0; length += (size_t)got)
        ;
    check(errno == EIO && strcmp(text, expected) == 0);
    check(close(master) == 0 && close(stop[1]) == 0);
}

static void terminal_of_a_daemon(void)
{
    alarm(LONG_MS / 1000);
    end_of_terminal(start_simply, "");
    end_of_terminal(start_until_ready, "tester: starting\r\n");
}

static unsigned begun, done;
static const unsigned never = -1u;

static void *log_when_it_begins(void *text)
{
    for (unsigned round = 0;; round++) {
        unsigned now;
        while ((now = __atomic_load_n(&begun, __ATOMIC_SEQ_CST)) == round)
            ;
        if (now == never)
            return NULL;
        rsd_log_string(LOG_INFO, text);
        __atomic_store_n(&done, round + 1, __ATOMIC_SEQ_CST);
    }
}

static void empty(int pipe)
{
    static char all[1 << 20];
    while (is_readable(pipe))
        check_aloud(read(pipe, all, sizeof all) > 0);
}

/* There is room for one line, which both see and one takes. */
static void full_pipe_of_threads_as(uid_t user)
{
    static char text[RSD_LOG_LINE_MAX - 300], page[4096];
    pthread_t thread;
    int ends[2];
    memset(text, 'x', sizeof text - 1);
    check(pipe(ends) == 0);
    int pages = fcntl(ends[1], F_GETPIPE_SZ) / (int)sizeof page, out = dup(ends[1]);
    stderr_to(ends[1]);
    open_log(.to_stderr = 1); /* without a file, where one would wait for the other */
    check_aloud(setresuid(user, user, user) == 0);
    check_aloud(pthread_create(&thread, NULL, log_when_it_begins, text) == 0);
    long long start = now_us();
    for (unsigned round = 0; round < 10 || (round < 2000 && now_us() - start < 2000000); round++) {
        alarm(LONG_MS / 1000);
        for (int i = 1; i < pages; i++)
            check_aloud(write(out, page, sizeof page) == (ssize_t)sizeof page);
        __atomic_store_n(&begun, round + 1, __ATOMIC_SEQ_CST);
        rsd_log_string(LOG_INFO, text);
        while (__atomic_load_n(&done, __ATOMIC_SEQ_CST) == round)
            sched_yield();
        empty(ends[0]);
        rsd_log_string(LOG_INFO, "after the line that tells of the lost one");
        empty(ends[0]);
    }
    __atomic_store_n(&begun, never, __ATOMIC_SEQ_CST);
    check_aloud(pthread_join(thread, NULL) == 0);
    check_aloud(state_now().stderr_lost > 0);
}

static void full_pipe_of_threads(void)
{
    full_pipe_of_threads_as(geteuid());
}

static void full_pipe_of_another_user(void)
{
    need_root();
    full_pipe_of_threads_as(65534);
}

static volatile sig_atomic_t pipe_signals;

static void on_pipe(int signo)
{
    (void)signo;
    pipe_signals++;
}

static void reader_gone(void)
{
    int ends[2];
    sigset_t pending;
    check(pipe(ends) == 0 && signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    stderr_to(ends[1]);
    unsigned number = 0;
    log_numbered(0, number++);
    check_aloud(close(ends[0]) == 0);
    for (int i = 0; i < 10; i++)
        log_numbered(0, number++);
    check_aloud(state_now().stderr_errno == EPIPE && state_now().stderr_lost == 10);
    check_aloud(signal(SIGPIPE, on_pipe) == SIG_DFL);
    log_numbered(0, number++);
    check_aloud(sigpending(&pending) == 0 && !sigismember(&pending, SIGPIPE) && pipe_signals == 0);
    /* The program's own still come. */
    raise(SIGPIPE);
    check_aloud(pipe_signals == 1);

    int err = open("err", O_WRONLY | O_CREAT | O_APPEND, 0600);
    check_aloud(err != -1 && dup2(err, 2) == 2);
    log_numbered(0, number++);
    check_aloud(state_now().stderr_errno == 0 && state_now().stderr_lost == 11);
    char *rest = text_of("err");
    check_aloud(strncmp(rest, "tester: 11 lines were lost", 26) == 0);
    check_aloud(next_text(&rest) != NULL && next_text(&rest) != NULL && *rest == '\0');
    struct tally *tally = new_tally();
    count_lines(tally, LOG);
    for (unsigned i = 0; i < number; i++)
        check_aloud(tally->seen[0][i] == 1);
}

static void closed(void)
{
    stderr_to(open("err", O_WRONLY | O_CREAT | O_APPEND, 0600));
    check_aloud(close(2) == 0);
    rsd_log(LOG_INFO, "not there");
    check_aloud(state_now().stderr_errno == EBADF && state_now().stderr_lost == 1);
    check_last(LOG, "not there");
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "full-pipe", full_pipe },
        { "full-pipe-of-threads", full_pipe_of_threads },
        { "full-pipe-of-another-user", full_pipe_of_another_user },
        { "full-socket", full_socket },
        { "full-terminal", full_terminal },
        { "full-terminal-of-another-user", full_terminal_of_another_user },
        { "another-full-terminal-of-another-user", another_full_terminal_of_another_user },
        { "terminal-of-a-daemon", terminal_of_a_daemon },
        { "reader-gone", reader_gone },
        { "closed", closed },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
