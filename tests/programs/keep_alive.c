/* A worker that asks its parent, and calls of rsd_keep_alive() that are refused. */
#include "cases.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Answers "echo TEXT", "open PATH", "refuse", "silent", "too long" and "pid". */
static int answer(const void *request, size_t length, void *to, int *fd, void *arg)
{
    char text[RSD_MESSAGE_MAX + 1];
    memcpy(text, request, length);
    text[length] = '\0';
    check(strcmp(arg, "arg") == 0 && *fd == -1);
    if (strncmp(text, "echo ", 5) == 0) {
        memcpy(to, text + 5, length - 5);
        return (int)length - 5;
    }
    if (strncmp(text, "open ", 5) == 0)
        return (*fd = open(text + 5, O_RDONLY | O_CLOEXEC)) == -1 ? -1 : 0;
    if (strcmp(text, "pid") == 0)
        return sprintf(to, "%d", (int)getpid());
    if (strcmp(text, "refuse") == 0)
        errno = EACCES;
    else
        errno = 0;
    return strcmp(text, "too long") == 0 ? RSD_MESSAGE_MAX + 1 : -1;
}

static int ask(const char *request, char *to, size_t size, int *fd)
{
    return rsd_ask_parent(request, strlen(request), to, size, fd);
}

static void *ask_often(void *which)
{
    char text[16], answered[16];
    for (int i = 0; i < 300; i++) {
        int length = snprintf(text, sizeof text, "echo %s%d", (const char *)which, i);
        check(ask(text, answered, sizeof answered, NULL) == length - 5);
        check(memcmp(text + 5, answered, (size_t)length - 5) == 0);
    }
    return NULL;
}

static void ask_all(void)
{
    static char text[RSD_MESSAGE_MAX + 1], long_text[RSD_MESSAGE_MAX + 1];
    int fd = 7, before = dup(0);

    close(before);
    check(ask("echo me", text, sizeof text, &fd) == 2 && memcmp(text, "me", 2) == 0 && fd == -1);
    check(ask("echo ", NULL, 0, NULL) == 0);
    check_refused(ask("echo me", text, 1, NULL), EMSGSIZE);
    check_refused(ask("refuse", text, sizeof text, &fd), EACCES);
    check(fd == -1);
    check(strcmp(rsd_last_error(), "cannot do what the worker asks for: Permission denied") == 0);
    check_refused(ask("silent", text, sizeof text, NULL), EIO);
    check_refused(ask("too long", text, sizeof text, NULL), EMSGSIZE);
    check_refused(ask("open /nowhere", text, sizeof text, &fd), ENOENT);
    check(fd == -1);
    check(ask("open /proc/self/cmdline", text, sizeof text, &fd) == 0 && fd > 2);
    check(fcntl(fd, F_GETFD) == FD_CLOEXEC && read(fd, text, sizeof text) > 0);
    close(fd);
    check(ask("open /proc/self/cmdline", text, sizeof text, NULL) == 0);
    check(ask("pid", text, sizeof text, NULL) > 0 && atoi(text) == getppid());
    memset(long_text, 'x', RSD_MESSAGE_MAX);
    memcpy(long_text, "echo ", 5);
    check(ask(long_text, text, sizeof text, NULL) == RSD_MESSAGE_MAX - 5);
    fd = 7;
    check_refused(rsd_ask_parent(long_text, sizeof long_text, text, sizeof text, &fd), EMSGSIZE);
    check(fd == -1);
    fd = 7;
    check_refused(rsd_ask_parent(NULL, 1, text, 1, &fd), EINVAL);
    check(fd == -1);
    check_refused(rsd_ask_parent("x", 1, NULL, 1, NULL), EINVAL);
    /* Nothing is left open. */
    check(dup(0) == before);
}

static int worker(void)
{
    char text[16];
    pthread_t thread;
    ask_all();
    check(pthread_create(&thread, NULL, ask_often, "a") == 0);
    ask_often("b");
    check(pthread_join(thread, NULL) == 0);
    pid_t child = fork();
    if (child == 0)
        _exit(ask("pid", text, sizeof text, NULL) == -1 && errno == EPERM ? 0 : 1);
    int status = -1;
    check(waitpid(child, &status, 0) == child && status == 0);
    check_refused(rsd_keep_alive(NULL), EALREADY);
    check_refused(rsd_daemonize(RSD_OPTIONS(.foreground = 1)), EALREADY);
    check_refused(rsd_upgrade(NULL, 0), EPERM);
    return 0;
}

static void asks(void)
{
    int status = rsd_keep_alive(RSD_KEEP_ALIVE(.answer = answer, .arg = "arg"));
    if (status == RSD_IS_WORKER)
        exit(worker());
    check(status == 0);
}

static void nobody_answers(void)
{
    int status = rsd_keep_alive(NULL);
    if (status == RSD_IS_WORKER)
        exit(ask("pid", NULL, 0, NULL) == -1 && errno == EOPNOTSUPP ? 0 : 1);
    check(status == 0);
}

static void parent_is_gone(void)
{
    int ends[2];
    char byte;
    check(pipe(ends) == 0);
    pid_t parent = fork();
    if (parent == 0) {
        check(rsd_keep_alive(RSD_KEEP_ALIVE(.answer = answer, .arg = "arg")) == RSD_IS_WORKER);
        check(prctl(PR_SET_PDEATHSIG, 0) == 0);
        kill(getppid(), SIGKILL);
        while (getppid() == parent)
            usleep(1000);
        byte = ask("pid", NULL, 0, NULL) == -1 && (errno == EPIPE || errno == ECONNRESET) ? 'y' : 'n';
        check(write(ends[1], &byte, 1) == 1);
        _exit(0);
    }
    check(read(ends[0], &byte, 1) == 1 && byte == 'y');
    check(waitpid(parent, NULL, 0) == parent);
}

static void *wait_for_ever(void *none)
{
    pause();
    return none;
}

static void is_refused(void)
{
    pthread_t thread;
    char text[16];
    check_refused(ask("pid", text, sizeof text, NULL), EPERM);
    check_refused(rsd_keep_alive(RSD_KEEP_ALIVE(.max_restarts = -2)), EINVAL);
    check_refused(rsd_keep_alive(&(struct rsd_keep_alive_options){ 0 }), EINVAL);
    check(rsd_open_control("@keep_alive_test", 0600, NULL) == 0);
    check_refused(rsd_keep_alive(NULL), EBUSY);
    check(rsd_close_control() == 0);
    check(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
    check_refused(rsd_keep_alive(NULL), EBUSY);
}

/* The statuses that main() is to leave with. */
static void statuses(void)
{
    sigset_t before, after;
    memset(&before, 0, sizeof before);
    memset(&after, 0, sizeof after);
    int status = rsd_keep_alive(NULL);
    if (status == RSD_IS_WORKER)
        exit(0);
    check(status == 0);
    check(sigprocmask(SIG_BLOCK, NULL, &before) == 0);
    status = rsd_keep_alive(RSD_KEEP_ALIVE(.max_restarts = 1, .delay_ms = 1));
    if (status == RSD_IS_WORKER)
        exit(3);
    check(status == 3 && strstr(rsd_last_error(), "given up after 1 restarts") != NULL);
    status = rsd_keep_alive(RSD_KEEP_ALIVE(.max_restarts = 1, .delay_ms = 1));
    if (status == RSD_IS_WORKER)
        kill(getpid(), SIGKILL);
    check(status == 128 + SIGKILL);
    status = rsd_keep_alive(NULL);
    if (status == RSD_IS_WORKER) {
        kill(getppid(), SIGTERM);
        pause();
    }
    check(status == 0);
    check(sigprocmask(SIG_BLOCK, NULL, &after) == 0 && memcmp(&before, &after, sizeof after) == 0);
    check(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
}

/* What the terminal sends reaches the worker once. */
static void terminal(void)
{
    static volatile sig_atomic_t flag;
    int master = posix_openpt(O_RDWR | O_NOCTTY), ready[2], status = -1;
    char byte;
    check(master != -1 && grantpt(master) == 0 && unlockpt(master) == 0 && pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        int slave = open(ptsname(master), O_RDWR);
        check(setsid() != -1 && slave != -1 && ioctl(slave, TIOCSCTTY, 0) == 0);
        status = rsd_keep_alive(NULL);
        if (status != RSD_IS_WORKER)
            _exit(status);
        struct rsd_signal_info told;
        memset(&told, 0, sizeof told);
        told.size = sizeof told;
        check(rsd_flag_signal(SIGINT, &flag, 1) == 0 && write(ready[1], "r", 1) == 1);
        check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED && flag);
        usleep(200000); /* for another one */
        check(rsd_next_signal(&told) == 1 && told.signo == SIGINT && told.count == 1);
        _exit(0);
    }
    check(read(ready[0], &byte, 1) == 1);
    check(write(master, "\3", 1) == 1);
    check(waitpid(child, &status, 0) == child && status == 0);
}

/* Of a process that waits for no children by itself. */
static void sigchld_is_ignored(void)
{
    signal(SIGCHLD, SIG_IGN);
    int status = rsd_keep_alive(RSD_KEEP_ALIVE(.max_restarts = 1, .delay_ms = 1));
    if (status == RSD_IS_WORKER)
        exit(signal(SIGCHLD, SIG_DFL) == SIG_IGN ? 4 : 5);
    check(status == 4);
    check(signal(SIGCHLD, SIG_DFL) == SIG_IGN);
}

/* The worker's end, for words that the library does not send. */
static int channel(void)
{
    struct sockaddr_storage name;
    for (int fd = 3; fd < 64; fd++) {
        int type = 0;
        socklen_t size = sizeof type, length = sizeof name;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET
            && getpeername(fd, (struct sockaddr *)&name, &length) == 0)
            return fd;
    }
    return -1;
}

/* A request with this number. */
static void ask_raw(int number, const char *request)
{
    char message[64] = { 6 };
    memcpy(message + 1, &number, sizeof number);
    memcpy(message + 5, request, strlen(request));
    check(send(channel(), message, 5 + strlen(request), MSG_NOSIGNAL) > 0);
}

static int asked;

/* Each sees the worker end. */
static int count(const void *request, size_t length, void *to, int *fd, void *arg)
{
    siginfo_t info;
    (void)request, (void)length, (void)to, (void)fd, (void)arg;
    asked++;
    check(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) == 0);
    return 0;
}

static void dead_worker_asks_for_nothing(void)
{
    int status = rsd_keep_alive(RSD_KEEP_ALIVE(.answer = count, .max_restarts = 1, .delay_ms = 1));
    if (status == RSD_IS_WORKER) {
        for (int i = 0; i < 100; i++)
            ask_raw(i + 1, "");
        exit(3);
    }
    check(status == 3 && asked <= 2);
}

static int answers_are_not_mixed_up_worker(void)
{
    char text[16] = "";
    ask_raw(-5, "echo other");
    ask_raw(-6, "refuse");
    check(ask("echo me", text, sizeof text, NULL) == 2 && memcmp(text, "me", 2) == 0);
    check_refused(ask("refuse", text, sizeof text, NULL), EACCES);
    check(ask("echo you", text, sizeof text, NULL) == 3 && memcmp(text, "you", 3) == 0);
    check(send(channel(), "?", 1, MSG_NOSIGNAL) == 1); /* no word, and no end */
    check(ask("echo", text, sizeof text, NULL) == -1 && errno == EIO);
    return 0;
}

static void answers_are_not_mixed_up(void)
{
    int status = rsd_keep_alive(RSD_KEEP_ALIVE(.answer = answer, .arg = "arg"));
    if (status == RSD_IS_WORKER)
        exit(answers_are_not_mixed_up_worker());
    check(status == 0);
}

static void no_room_for_a_descriptor(void)
{
    int status = rsd_keep_alive(RSD_KEEP_ALIVE(.answer = answer, .arg = "arg"));
    if (status == RSD_IS_WORKER) {
        int fd = 7;
        struct rlimit before = forbid_descriptors();
        check_refused(ask("open /proc/self/cmdline", NULL, 0, &fd), EMFILE);
        check(fd == -1);
        allow_descriptors(before);
        check(ask("open /proc/self/cmdline", NULL, 0, &fd) == 0 && fd > 2);
        exit(0);
    }
    check(status == 0);
}

/* Neither by rsd_after_fork() nor by its first use of the library. */
static void forked_child_keeps_no_channel(void)
{
    int status = rsd_keep_alive(RSD_KEEP_ALIVE(.answer = answer, .arg = "arg"));
    if (status == RSD_IS_WORKER) {
        check(channel() != -1);
        for (int i = 0; i < 2; i++) {
            pid_t child = checked_fork();
            if (child == 0) {
                check(i == 0 ? rsd_after_fork() == 0 : ask("pid", NULL, 0, NULL) == -1);
                _exit(channel() == -1 ? 0 : 1);
            }
            check_ends_well(child);
        }
        check(ask("echo ", NULL, 0, NULL) == 0);
        exit(0);
    }
    check(status == 0);
}

/* A service manager's end. */
static int manager(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char name[64];
    snprintf(name, sizeof name, "@keep_alive_manager_%d", (int)getpid());
    check(setenv("NOTIFY_SOCKET", name, 1) == 0);
    memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    check(fd != -1 && bind(fd, (struct sockaddr *)&address, length) == 0);
    return fd;
}

static void check_told(int fd, const char *expected)
{
    char text[200] = "";
    check(is_readable_within(fd, LONG_MS) && recv(fd, text, sizeof text - 1, 0) >= 0);
    if (strcmp(text, expected) != 0)
        dprintf(2, "told: %s\n", text);
    check(strcmp(text, expected) == 0);
}

/* Also where nothing has looked for the manager before. */
static void manager_is_not_told_by_a_worker_who_is_main(void)
{
    int fd = manager();
    int status = rsd_keep_alive(NULL);
    if (status == RSD_IS_WORKER) {
        check(rsd_notify("MAINPID=1") == 1);
        check(rsd_notify("A=1\rMAINPID=1\nNOTIFYACCESS=all\n\rB=1") == 1);
        check(rsd_notify("STOPPING=1") == 1); /* there may be another worker */
        check(rsd_notify("C=1") == 1);
        exit(0);
    }
    check(status == 0);
    check_told(fd, "A=1\nB=1");
    check_told(fd, "C=1");
}

static void *ask_long(void *none)
{
    check(ask("sleep", NULL, 0, NULL) == 0);
    return none;
}

static int sleeps(const void *request, size_t length, void *to, int *fd, void *arg)
{
    (void)request, (void)length, (void)to, (void)fd, (void)arg;
    usleep(1000000);
    return 0;
}

static void who_only_tells_does_not_wait_for_answers(void)
{
    int fd = manager();
    int status = rsd_keep_alive(RSD_KEEP_ALIVE(.answer = sleeps));
    if (status == RSD_IS_WORKER) {
        pthread_t thread;
        check(pthread_create(&thread, NULL, ask_long, NULL) == 0);
        usleep(200000);
        long long begin = now_us();
        check(rsd_status("busy") == 0 && rsd_notify("A=1") == 1 && rsd_after_fork() == 0);
        check(now_us() - begin < 500000);
        check(pthread_join(thread, NULL) == 0);
        exit(0);
    }
    check(status == 0);
    check_told(fd, "STATUS=busy");
}

static int close_manager(const void *request, size_t length, void *to, int *fd, void *arg)
{
    (void)request, (void)length, (void)to, (void)fd;
    return close(*(int *)arg);
}

static void barrier_fails_where_nobody_reads(void)
{
    int fd = manager();
    check(rsd_notify("A=1") == 1);
    int status = rsd_keep_alive(RSD_KEEP_ALIVE(.answer = close_manager, .arg = &fd));
    if (status == RSD_IS_WORKER) {
        close(fd);
        check(ask("", NULL, 0, NULL) == 0);
        check_refused(rsd_notify_barrier(LONG_MS), ECONNREFUSED);
        exit(0);
    }
    check(status == 0);
}

/* The parent looks for signals all the same. */
static void manager_does_not_read(void)
{
    int fd = manager(), status = -1, ends[2];
    check(pipe(ends) == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        check(rsd_notify("A=1") == 1);
        status = rsd_keep_alive(RSD_KEEP_ALIVE(.kill_after_ms = 100));
        if (status == RSD_IS_WORKER) {
            signal(SIGTERM, SIG_IGN);
            tell(ends[1]);
            for (;;)
                rsd_notify_fds("FDSTORE=1", ends, 1);
        }
        _exit(status == 128 + SIGKILL ? 0 : 1);
    }
    await(ends[0]);
    usleep(200000);
    long long begin = now_us();
    check(kill(child, SIGTERM) == 0);
    check_ends_well(child);
    check(now_us() - begin < 2000000);
    close(fd);
}

/* A socket that keeps whoever closes it waiting, with a word that nobody knows. */
static void send_socket_that_lingers(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct linger linger = { 1, 20 };
    char much[65536] = "", control[CMSG_SPACE(sizeof(int))] = "", message[5] = { 99 };
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = socket(AF_INET, SOCK_STREAM, 0);
    check(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 1) == 0);
    check(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    check(connect(one, (struct sockaddr *)&address, length) == 0);
    check(setsockopt(one, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    while (send(one, much, sizeof much, MSG_DONTWAIT) > 0)
        ;
    struct iovec piece = { message, sizeof message };
    struct msghdr header = { .msg_iov = &piece, .msg_iovlen = 1 };
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    struct cmsghdr *passed = CMSG_FIRSTHDR(&header);
    passed->cmsg_level = SOL_SOCKET;
    passed->cmsg_type = SCM_RIGHTS;
    passed->cmsg_len = CMSG_LEN(sizeof one);
    memcpy(CMSG_DATA(passed), &one, sizeof one);
    /* The parent cannot take it before the last other copy is closed. */
    check(kill(getppid(), SIGSTOP) == 0);
    check(sendmsg(channel(), &header, MSG_NOSIGNAL) == sizeof message);
    close(one);
    check(kill(getppid(), SIGCONT) == 0);
}

static void closing_does_not_take_long(void)
{
    int status = rsd_keep_alive(RSD_KEEP_ALIVE(.answer = answer, .arg = "arg"));
    if (status == RSD_IS_WORKER) {
        send_socket_that_lingers();
        long long begin = now_us();
        check(ask("echo ", NULL, 0, NULL) == 0);
        check(now_us() - begin < 5000000);
        exit(0);
    }
    check(status == 0);
}

static void aborts(int signo)
{
    (void)signo;
    abort();
}

/* SIGABRT does not count as asked for where SIGTERM was. */
static void aborts_while_it_ends(void)
{
    int status = rsd_keep_alive(NULL);
    if (status == RSD_IS_WORKER) {
        signal(SIGTERM, aborts);
        kill(getppid(), SIGTERM);
        for (;;)
            pause();
    }
    check(status == 128 + SIGABRT);
}

static void leaves(int signo)
{
    (void)signo;
    _exit(getppid() == asked ? 0 : 4);
}

/* Where the program has a handler for it, it runs in the worker. */
static void job_control(void)
{
    asked = getpid();
    signal(SIGTSTP, leaves);
    int status = rsd_keep_alive(NULL);
    if (status == RSD_IS_WORKER) {
        kill(getppid(), SIGTSTP);
        for (;;)
            pause();
    }
    check(status == 0);
}

/* Who started the daemon learns why there is no worker. */
static void no_descriptor_for_signals(void)
{
    int status = -1;
    pid_t child = checked_fork();
    if (child == 0) {
        if (rsd_daemonize(RSD_OPTIONS(.directory = "/")) == -1)
            _exit(5);
        struct rlimit before = forbid_descriptors();
        int refused = rsd_keep_alive(NULL);
        allow_descriptors(before);
        _exit(refused == -1 ? 9 : 8);
    }
    check(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static int close_all(const void *request, size_t length, void *to, int *fd, void *arg)
{
    (void)request, (void)length, (void)to, (void)fd, (void)arg;
    asked++;
    for (int i = 3; i < 64; i++)
        close(i);
    return 0;
}

/* As closefrom(3) does, in what the program does for a worker: signals still arrive. */
static void parent_loses_its_descriptors(void)
{
    int status = rsd_keep_alive(RSD_KEEP_ALIVE(.answer = close_all, .max_restarts = 1, .delay_ms = 1));
    if (status == RSD_IS_WORKER) {
        if (asked == 0)
            ask("", NULL, 0, NULL);
        else
            kill(getppid(), SIGTERM);
        for (;;)
            pause();
    }
    check(status == 0 && asked == 1);
}

/* Also one that leaves with 0 all the same. */
static void last_words_are_told(void)
{
    int fd = manager();
    int status = rsd_keep_alive(NULL);
    if (status == RSD_IS_WORKER) {
        rsd_fail(3, "boom");
        exit(0);
    }
    check(status == 0);
    check_told(fd, "STATUS=boom\nEXIT_STATUS=3");
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "asks", asks },
        { "nobody-answers", nobody_answers },
        { "parent-is-gone", parent_is_gone },
        { "is-refused", is_refused },
        { "statuses", statuses },
        { "sigchld-is-ignored", sigchld_is_ignored },
        { "terminal", terminal },
        { "dead-worker-asks-for-nothing", dead_worker_asks_for_nothing },
        { "answers-are-not-mixed-up", answers_are_not_mixed_up },
        { "no-room-for-a-descriptor", no_room_for_a_descriptor },
        { "forked-child-keeps-no-channel", forked_child_keeps_no_channel },
        { "manager-is-not-told-by-a-worker-who-is-main", manager_is_not_told_by_a_worker_who_is_main },
        { "who-only-tells-does-not-wait-for-answers", who_only_tells_does_not_wait_for_answers },
        { "barrier-fails-where-nobody-reads", barrier_fails_where_nobody_reads },
        { "manager-does-not-read", manager_does_not_read },
        { "closing-does-not-take-long", closing_does_not_take_long },
        { "aborts-while-it-ends", aborts_while_it_ends },
        { "job-control", job_control },
        { "no-descriptor-for-signals", no_descriptor_for_signals },
        { "parent-loses-its-descriptors", parent_loses_its_descriptors },
        { "last-words-are-told", last_words_are_told },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
