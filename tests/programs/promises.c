/*
 * What each word of a promise gives, and that all else is refused.
 */
#include "cases.h"

#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <termios.h>

#define WORDS 14

static const char *const words[WORDS] = { "",    "rpath", "wpath", "cpath", "fattr",     "inet", "unix",
                                          "dns", "tty",   "proc",  "exec",  "prot_exec", "id",   "stdio" };

/* Each is -1 with EPERM where it is refused; what else comes of it does not matter. */
static int read_file(void)
{
    return open("/etc/passwd", O_RDONLY);
}
static int write_file(void)
{
    return open("/dev/null", O_WRONLY);
}
static int make_folder(void)
{
    return mkdir("folder", 0700);
}
static int change_mode(void)
{
    return chmod("folder", 0700);
}
static int tcp(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}
static int udp(void)
{
    return socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}
static int local(void)
{
    return socket(AF_UNIX, SOCK_DGRAM, 0);
}
static int routes(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 0);
}
static int audit(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 9);
}
static int packets(void)
{
    return socket(AF_PACKET, SOCK_DGRAM, 0);
}
static int packets_of_internet(void)
{
    return socket(AF_INET, SOCK_PACKET, 0x300 /* ETH_P_ALL */);
}
static int multipath(void)
{
    return socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */);
}
static int pair_of_datagrams(void)
{
    int fds[2];
    return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds);
}
static int raw_pair(void)
{
    int fds[2];
    return socketpair(AF_UNIX, SOCK_RAW, 0, fds);
}
static int pairs(void)
{
    int fds[2];
    return socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0 ? 0 : -1;
}
static int listening(void)
{
    return listen(-1, 1);
}
static int set_terminal(void)
{
    struct termios terminal = { 0 };
    return ioctl(-1, TCSETS, &terminal);
}
static int ask_terminal(void)
{
    struct termios terminal;
    return ioctl(-1, TCGETS, &terminal);
}
static int type_for_user(void)
{
    return ioctl(-1, TIOCSTI, "x");
}
static int ask_interface(void)
{
    char request[64] = "lo";
    return ioctl(-1, 0x8913 /* SIOCGIFFLAGS */, request);
}
static int forked(void)
{
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    return child;
}
static int signal_parent(void)
{
    return kill(getppid(), 0);
}
static int signal_itself(void)
{
    return kill(getpid(), 0) == 0 && syscall(SYS_tgkill, getpid(), getpid(), 0) == 0 ? 0 : -1;
}
static int executed(void)
{
    return execl("/nowhere", "nowhere", (char *)NULL);
}
static int executable_memory(void)
{
    void *memory = mmap(NULL, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? -1 : 0;
}
static int memory(void)
{
    void *memory = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? -1 : mprotect(memory, 1, PROT_READ);
}
static int become_itself(void)
{
    return (int)syscall(SYS_setuid, getuid());
}
static int set_limit(void)
{
    struct rlimit limit = { 0, 0 };
    return prlimit(0, RLIMIT_CORE, &limit, NULL);
}
static int ask_limit(void)
{
    struct rlimit limit;
    return prlimit(0, RLIMIT_CORE, NULL, &limit);
}
static int new_namespace(void)
{
    return unshare(CLONE_NEWUTS);
}
static int count_threads(void)
{
    return (int)syscall(SYS_unshare, CLONE_THREAD);
}
static int make_device(void)
{
    return mknod("device", S_IFCHR | 0600, 0);
}
static int make_device_here(void)
{
    return mknodat(AT_FDCWD, "device", S_IFBLK | 0600, 0);
}
static int make_fifo(void)
{
    return (int)syscall(SYS_mknodat, AT_FDCWD, "fifo", S_IFIFO | 0600, 0);
}
static int child_in_namespace(void)
{
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_NEWUTS, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    return child;
}
static int traced(void)
{
    return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}
static int mounted(void)
{
    return mount("none", "/nowhere", "tmpfs", 0, NULL);
}
static int signals_for_others(void)
{
    return fcntl(-1, F_SETOWN, 1);
}
static int waits(void)
{
    struct stat stat;
    return poll(NULL, 0, 0) == 0 && fstat(2, &stat) == 0 ? 0 : -1;
}

static const struct action {
    const char *name;
    int (*run)(void);
    /* Any one of these words gives it. */
    const char *given_by;
} actions[] = {
    { "read_file", read_file, "rpath dns" },
    { "write_file", write_file, "wpath" },
    { "make_folder", make_folder, "cpath" },
    { "change_mode", change_mode, "fattr" },
    { "tcp", tcp, "inet" },
    { "udp", udp, "inet dns" },
    { "local", local, "unix dns" },
    { "routes", routes, "inet dns" },
    { "audit", audit, "none" },
    { "packets", packets, "none" },
    { "packets_of_internet", packets_of_internet, "none" },
    { "multipath", multipath, "none" },
    { "pair_of_datagrams", pair_of_datagrams, "unix dns" },
    { "raw_pair", raw_pair, "unix dns" },
    { "pairs", pairs, "all" },
    { "listening", listening, "inet unix" },
    { "set_terminal", set_terminal, "tty" },
    { "ask_terminal", ask_terminal, "all" },
    { "type_for_user", type_for_user, "none" },
    { "ask_interface", ask_interface, "inet dns" },
    { "forked", forked, "proc" },
    { "signal_parent", signal_parent, "proc" },
    { "signals_for_others", signals_for_others, "proc" },
    { "signal_itself", signal_itself, "all" },
    { "executed", executed, "exec" },
    { "executable_memory", executable_memory, "prot_exec exec" },
    { "memory", memory, "all" },
    { "become_itself", become_itself, "id" },
    { "set_limit", set_limit, "proc id" },
    { "ask_limit", ask_limit, "all" },
    { "new_namespace", new_namespace, "none" },
    { "count_threads", count_threads, "all" },
    { "make_device", make_device, "none" },
    { "make_device_here", make_device_here, "none" },
    { "make_fifo", make_fifo, "cpath" },
    { "child_in_namespace", child_in_namespace, "none" },
    { "traced", traced, "none" },
    { "mounted", mounted, "none" },
    { "waits", waits, "all" },
};
#define ACTIONS (sizeof actions / sizeof *actions)

static int is_given(const char *given_by, const char *word)
{
    char list[64], *rest = NULL;
    if (strcmp(given_by, "all") == 0)
        return 1;
    snprintf(list, sizeof list, "%s", given_by);
    for (char *one = strtok_r(list, " ", &rest); one != NULL; one = strtok_r(NULL, " ", &rest)) {
        if (strcmp(one, word) == 0)
            return 1;
    }
    return 0;
}

/* How a child that promises this ends. 0: it does as asked; 1: EPERM. */
static int ending(const char *promises, int otherwise, int (*run)(void))
{
    pid_t child = checked_fork();
    if (child == 0) {
        if (rsd_promise(promises, otherwise) == -1)
            _exit(CANNOT_RUN_HERE);
        errno = 0;
        _exit(run() == -1 && errno == EPERM);
    }
    int status;
    check(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_RUN_HERE)
        _exit(CANNOT_RUN_HERE);
    return status;
}

static void matrix(int otherwise)
{
    for (size_t i = 0; i < ACTIONS; i++) {
        for (int word = 0; word < WORDS; word++) {
            char promises[64];
            snprintf(promises, sizeof promises, "stdio  %s", words[word]);
            int status = ending(promises, otherwise, actions[i].run);
            int is_refused = otherwise == RSD_KILL ? WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS
                                                   : WIFEXITED(status) && WEXITSTATUS(status) == 1;
            int is_done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
            if (is_given(actions[i].given_by, words[word]) ? !is_done : !is_refused) {
                dprintf(2, "%s with \"%s\": status %#x\n", actions[i].name, promises, status);
                _exit(1);
            }
        }
    }
}

static void refuse(void)
{
    matrix(RSD_REFUSE);
}

static void kill_it(void)
{
    matrix(RSD_KILL);
}

static int open_for_both(void)
{
    return open("/dev/null", O_RDWR);
}
static int make_file(void)
{
    return open("file", O_WRONLY | O_CREAT, 0600);
}
static int make_nameless_file(void)
{
    return open(".", O_WRONLY | O_TMPFILE, 0600);
}
static int empty_file(void)
{
    return open("/dev/null", O_RDONLY | O_TRUNC);
}

/* What needs two words fails with either of them alone. */
static void both(void)
{
    static const struct {
        int (*run)(void);
        const char *first, *second;
    } needs[] = {
        { open_for_both, "rpath", "wpath" },
        { make_file, "cpath", "wpath" },
        { make_nameless_file, "cpath", "wpath" },
        { empty_file, "rpath", "wpath" },
    };
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        char promises[64];
        snprintf(promises, sizeof promises, "stdio %s %s", needs[i].first, needs[i].second);
        check(ending(promises, RSD_REFUSE, needs[i].run) == 0);
        snprintf(promises, sizeof promises, "stdio %s", needs[i].first);
        check(WEXITSTATUS(ending(promises, RSD_REFUSE, needs[i].run)) == 1);
        snprintf(promises, sizeof promises, "stdio %s", needs[i].second);
        check(WEXITSTATUS(ending(promises, RSD_REFUSE, needs[i].run)) == 1);
    }
}

static int ask_pid(void)
{
    return (int)syscall(SYS_getppid);
}

static void nothing(void)
{
    check(WEXITSTATUS(ending("", RSD_REFUSE, ask_pid)) == 1);
    check(WTERMSIG(ending("", RSD_KILL, ask_pid)) == SIGSYS);
    check(ending("stdio", RSD_KILL, ask_pid) == 0);
}

/* As from an old kernel, so that programs do without. */
static int are_missing(void)
{
    static const long numbers[] = { 1000, 470, SYS_clone3, SYS_openat2, SYS_io_uring_setup };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        errno = 0;
        if (syscall(numbers[i], 0, 0, 0, 0) != -1 || errno != ENOSYS) {
            errno = EPERM;
            return -1;
        }
    }
    return 0;
}

#ifdef __x86_64__
static int of_x32(void)
{
    errno = 0;
    int result = (int)syscall(0x40000000 | SYS_getppid);
    errno = errno == ENOSYS ? EPERM : 0;
    return result;
}
static int of_i386(void)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(64 /* getppid */) : "memory", "r8", "r9", "r10", "r11");
    if (result != -ENOSYS)
        return result;
    errno = EPERM;
    return -1;
}
#endif

static void missing(void)
{
    check(ending("stdio proc", RSD_REFUSE, are_missing) == 0);
    check(ending("stdio proc", RSD_KILL, are_missing) == 0);
#ifdef __x86_64__
    check(WEXITSTATUS(ending("stdio proc", RSD_REFUSE, of_x32)) == 1);
    check(WEXITSTATUS(ending("stdio proc", RSD_REFUSE, of_i386)) == 1);
    /* A kernel without i386 ends it by SIGSEGV. */
    check(WIFSIGNALED(ending("stdio proc", RSD_KILL, of_i386)));
#endif
}

static int ready[2], go[2];

static void *in_thread(void *result)
{
    tell(ready[1]);
    await(go[0]);
    errno = 0;
    *(int *)result = tcp() == -1 && errno == EPERM;
    return NULL;
}

static void threads(void)
{
    pthread_t thread;
    int before = 0, after = 0;
    check(pipe(ready) == 0 && pipe(go) == 0);
    check(pthread_create(&thread, NULL, in_thread, &before) == 0);
    await(ready[0]);
    check(rsd_promise("stdio", RSD_REFUSE) == 0);
    tell(go[1]);
    check(pthread_join(thread, NULL) == 0 && before == 1);
    tell(go[1]);
    check(pthread_create(&thread, NULL, in_thread, &after) == 0);
    check(pthread_join(thread, NULL) == 0 && after == 1);
}

static void *filters_itself(void *nothing)
{
    struct sock_filter all[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
    filter(all, 1);
    tell(ready[1]);
    await(go[0]);
    return nothing;
}

static void other_filter(void)
{
    pthread_t thread;
    check(pipe(ready) == 0 && pipe(go) == 0);
    check(pthread_create(&thread, NULL, filters_itself, NULL) == 0);
    await(ready[0]);
    check_refused(rsd_promise("stdio", RSD_REFUSE), EBUSY);
    check(strstr(rsd_last_error(), "has a filter of its own") != NULL);
    check_refused(rsd_promise("stdio", RSD_RECORD), EBUSY);
    check(tcp() != -1);
    tell(go[1]);
    check(pthread_join(thread, NULL) == 0);
}

static int resolve(void)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    int result = getaddrinfo("localhost", "80", &hints, &found);
    if (result != 0) {
        errno = EPERM;
        return -1;
    }
    freeaddrinfo(found);
    return 0;
}

static void dns(void)
{
    check(ending("stdio dns", RSD_REFUSE, resolve) == 0);
    check(ending("stdio dns", RSD_KILL, resolve) == 0);
}

/* Promises can only take away, and none that was refused gives anything. */
static void again(void)
{
    check(rsd_promise("stdio rpath inet", RSD_REFUSE) == 0);
    check(tcp() != -1);
    check(rsd_promise("stdio rpath unix", RSD_REFUSE) == 0);
    check(read_file() != -1);
    check(tcp() == -1 && errno == EPERM);
    check(local() == -1 && errno == EPERM);
    FILE *status = fopen("/proc/self/status", "r");
    char line[128];
    int filters = 0;
    check(status != NULL);
    while (fgets(line, sizeof line, status) != NULL)
        sscanf(line, "Seccomp_filters: %d", &filters);
    check(filters >= 2);
}

static void misuse(void)
{
    check_refused(rsd_promise(NULL, RSD_REFUSE), EINVAL);
    check_refused(rsd_promise("stdio rpath", 3), EINVAL);
    check_refused(rsd_promise("stdio rpaths", RSD_REFUSE), EINVAL);
    check(strcmp(rsd_last_error(), "cannot promise rpaths: there is no such word") == 0);
    check_refused(rsd_promise("exit", RSD_KILL), EINVAL);
    check(tcp() != -1 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
}

static void no_filters(void)
{
    check_refused(rsd_promise("stdio", RSD_REFUSE), ENOSYS);
    check(strstr(rsd_last_error(), "this kernel has no filters of system calls") != NULL);
    check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
}

/* The loop, its signals and a log to a file go on. */
static void library(void)
{
    static volatile sig_atomic_t flag;
    check(rsd_open_log(RSD_LOG_OPTIONS(.name = "test", .file = "./log")) == 0);
    check(rsd_promise("stdio rpath wpath cpath", RSD_KILL) == 0);
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    check(raise(SIGUSR1) == 0);
    check(rsd_wait(LONG_MS) == RSD_SIGNAL_ARRIVED && flag == 1);
    rsd_log(LOG_INFO, "still here");
    check(rsd_reopen_log() == 0);
    rsd_log(LOG_INFO, "and here");
}

/* What was not promised with RSD_KILL the library does without, rather than to end the process. */
static void careful(void)
{
    check(rsd_open_control("s.ctl", 0, NULL) != -1);
    int lock = lock_pidfile("s.pid");
    int copy = dup(lock);
    check(lock != -1 && copy != -1);
    check(rsd_promise("stdio unix", RSD_KILL) == 0);
    check_refused(rsd_open_log(RSD_LOG_OPTIONS(.name = "test", .file = "./log")), EPERM);
    check(rsd_remove_pidfile("s.pid", lock) == 0); /* emptied */
    char byte;
    check(pread(copy, &byte, 1, 0) == 0);
    rsd_close_control();
}

/* The same at the end of the process. */
static void ending_carefully(void)
{
    check(rsd_open_control("s.ctl", 0, NULL) != -1);
    check(rsd_promise("stdio unix", RSD_KILL) == 0);
}

static void log_to_device(void)
{
    int null = open("/dev/null", O_RDWR);
    check(dup2(null, 2) == 2);
    check(rsd_promise("stdio", RSD_KILL) == 0);
    rsd_log(LOG_INFO, "nobody reads this");
}

static void commands(void)
{
    char *argv[] = { "/bin/true", NULL };
    struct rsd_result *result;
    check(rsd_promise("stdio rpath proc exec", RSD_KILL) == 0);
    check(rsd_run(argv, NULL, &result) == 0);
    rsd_free_result(result);
}

/* What was promised before holds for who records, too. */
static void record_late(void)
{
    check(rsd_promise("stdio proc rpath", RSD_REFUSE) == 0);
    check_refused(rsd_promise("stdio", RSD_RECORD), EBUSY);
    check(read_file() != -1);
}

static void record_log(void)
{
    check(rsd_open_log(RSD_LOG_OPTIONS(.name = "test", .file = "./log")) == 0);
    check(rsd_promise("stdio", RSD_RECORD) == 0);
    check(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
    check(tcp() != -1);
    check(signal_parent() == 0);
    check_refused(rsd_promise("stdio", RSD_RECORD), EBUSY);
}

/* Leaves a process that goes on when the first has ended. */
static void record_daemon(void)
{
    check(rsd_promise("stdio", RSD_RECORD) == 0);
    if (checked_fork() == 0) {
        check(setsid() != -1);
        pid_t parent = getppid();
        while (getppid() == parent && parent != 1)
            poll(NULL, 0, 1);
        check(tcp() != -1);
    }
}

/* Says who it is, and does something at each line of its input. */
static void record_interactive(void)
{
    check(rsd_promise("stdio", RSD_RECORD) == 0);
    tell(1);
    await(0);
    errno = 0;
    check(tcp() == -1 && errno == ENOSYS);
    check(getppid() > 0);
}

static const struct one_case cases[] = {
    { "refuse", refuse },
    { "kill", kill_it },
    { "both", both },
    { "nothing", nothing },
    { "missing", missing },
    { "threads", threads },
    { "other_filter", other_filter },
    { "dns", dns },
    { "again", again },
    { "misuse", misuse },
    { "no_filters", no_filters },
    { "library", library },
    { "careful", careful },
    { "ending_carefully", ending_carefully },
    { "log_to_device", log_to_device },
    { "commands", commands },
    { "record_late", record_late },
    { "record_log", record_log },
    { "record_daemon", record_daemon },
    { "record_interactive", record_interactive },
    { NULL, NULL },
};

/* PROGRAM do ACTION, PROGRAM exec PROMISES COMMAND..., or a case. */
int main(int argc, char *argv[])
{
    if (argc > 2 && strcmp(argv[1], "do") == 0) {
        for (size_t i = 0; i < ACTIONS; i++) {
            if (strcmp(actions[i].name, argv[2]) == 0)
                actions[i].run();
        }
        return 0;
    }
    if (argc > 3 && strcmp(argv[1], "exec") == 0) {
        check(rsd_promise(argv[2], RSD_KILL) == 0);
        execv(argv[3], argv + 3);
        return 1;
    }
    return run_case(cases, argc, argv);
}
