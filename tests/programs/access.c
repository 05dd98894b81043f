/*
 * Access: "access [PATH=ACCESS|PORT:ACCESS]... - ACTION [PATH...]" allows these, restricts access and tries each action:
 * prints its name and 0 or the errno. "access CASE" checks one thing.
 */
#include "cases.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <syslog.h>

static int result_of(int result)
{
    return result == -1 ? errno : 0;
}

static int opened(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600), error = result_of(fd);
    if (fd != -1)
        close(fd);
    return error;
}

static int executed(const char *path)
{
    pid_t child = checked_fork();
    if (child == 0) {
        execl(path, path, (char *)NULL);
        _exit(errno);
    }
    int status;
    check(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int socket_made(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    check(fd != -1);
    int error = result_of(bind(fd, (struct sockaddr *)&address, sizeof address));
    close(fd);
    return error;
}

static int with_device(const char *path)
{
    int count, fd = open(path, O_RDONLY | O_NONBLOCK);
    if (fd == -1)
        return errno;
    int error = result_of(ioctl(fd, FIONREAD, &count));
    close(fd);
    return error;
}

static int ported(const char *number, int is_bind)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(number)) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    check(fd != -1 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
    int error = result_of(is_bind ? bind(fd, (struct sockaddr *)&address, sizeof address)
                                  : connect(fd, (struct sockaddr *)&address, sizeof address));
    close(fd);
    return error;
}

static int tried(const char *action)
{
    const char *at = strchr(action, ':');
    const char *path = at == NULL ? "" : at + 1;
    size_t length = at == NULL ? strlen(action) : (size_t)(at - action);
#define IS(name) (strlen(name) == length && strncmp(action, name, length) == 0)
    if (IS("read"))
        return opened(path, O_RDONLY);
    if (IS("list"))
        return opened(path, O_RDONLY | O_DIRECTORY);
    if (IS("write"))
        return opened(path, O_WRONLY);
    if (IS("truncate"))
        return result_of(truncate(path, 0));
    if (IS("execute"))
        return executed(path);
    if (IS("make"))
        return opened(path, O_WRONLY | O_CREAT | O_EXCL);
    if (IS("mkdir"))
        return result_of(mkdir(path, 0700));
    if (IS("symlink"))
        return result_of(symlink("nowhere", path));
    if (IS("fifo"))
        return result_of(mkfifo(path, 0600));
    if (IS("socket"))
        return socket_made(path);
    if (IS("device"))
        return result_of(mknod(path, S_IFCHR | 0600, makedev(1, 3)));
    if (IS("unlink"))
        return result_of(unlink(path));
    if (IS("rmdir"))
        return result_of(rmdir(path));
    if (IS("ioctl"))
        return with_device(path);
    if (IS("rename") || IS("link")) { /* FROM,TO */
        char from[256];
        const char *comma = strchr(path, ',');
        check(comma != NULL);
        snprintf(from, sizeof from, "%.*s", (int)(comma - path), path);
        return result_of(IS("rename") ? rename(from, comma + 1) : link(from, comma + 1));
    }
    if (IS("bind"))
        return ported(path, 1);
    if (IS("connect"))
        return ported(path, 0);
    check(!"such an action");
    return -1;
}

static int restrict_and_try(int argc, char *argv[])
{
    int i = 1;
    for (; i < argc && strcmp(argv[i], "-") != 0; i++) {
        char *port = strchr(argv[i], ':'), *path = strchr(argv[i], '=');
        if (port != NULL) {
            *port = '\0';
            check(rsd_allow_port(atoi(argv[i]), port + 1) == 0);
        } else {
            check(path != NULL);
            *path = '\0';
            check(rsd_allow_path(argv[i], path + 1) == 0);
        }
    }
    errno = 4711;
    int version = rsd_restrict_access();
    if (version == -1) {
        printf("restrict %d %s\n", errno, rsd_last_error());
        return 0;
    }
    check(version >= 1 && errno == 4711);
    for (i++; i < argc; i++)
        printf("%s %d\n", argv[i], tried(argv[i]));
    return 0;
}

static void misuse(void)
{
    int next = dup(0);
    close(next);
    check_refused(rsd_allow_path(NULL, "r"), EINVAL);
    check_refused(rsd_allow_path(".", NULL), EINVAL);
    check_refused(rsd_allow_path(".", ""), EINVAL);
    check_refused(rsd_allow_path(".", "rz"), EINVAL);
    check_refused(rsd_allow_path(".", "R"), EINVAL);
    check_refused(rsd_allow_path("", "r"), ENOENT);
    check_refused(rsd_allow_path("nowhere", "r"), ENOENT);
    check(strstr(rsd_last_error(), "nowhere") != NULL);
    check_refused(rsd_allow_path("/dev/null", "rc"), ENOTDIR);
    check(strstr(rsd_last_error(), "/dev/null") != NULL);
    check_refused(rsd_allow_port(-1, "b"), EINVAL);
    check_refused(rsd_allow_port(65536, "b"), EINVAL);
    check_refused(rsd_allow_port(80, NULL), EINVAL);
    check_refused(rsd_allow_port(80, ""), EINVAL);
    check_refused(rsd_allow_port(80, "bd"), EINVAL);
    check(next == dup(0)); /* of a call that was refused nothing is left, not even a descriptor */
}

static void *wait_for_end(void *fd)
{
    char byte;
    check(read(*(int *)fd, &byte, 1) == 0);
    return NULL;
}

static void threads(void)
{
    int ends[2];
    pthread_t thread;
    check(pipe(ends) == 0 && pthread_create(&thread, NULL, wait_for_end, ends) == 0);
    check_refused(rsd_restrict_access(), EBUSY);
    check(opened("/", O_RDONLY) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
    close(ends[1]);
    check(pthread_join(thread, NULL) == 0);
    /* It may still be there for a moment. */
    while (rsd_restrict_access() == -1)
        check(errno == EBUSY);
    check(opened("/", O_RDONLY) == EACCES && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
}

static void open_ones(void)
{
    int fd = open("file", O_RDWR | O_CREAT, 0600), folder = open(".", O_RDONLY | O_DIRECTORY);
    char byte = 'x';
    check(fd != -1 && folder != -1 && rsd_restrict_access() >= 1);
    check(write(fd, &byte, 1) == 1 && pread(fd, &byte, 1, 0) == 1 && ftruncate(fd, 0) == 0);
    check(opened("file", O_RDONLY) == EACCES && openat(folder, "file", O_RDONLY) == -1 && errno == EACCES);
}

static void descriptors(void)
{
    int was_open[64], made = 0;
    for (int fd = 3; fd < 64; fd++)
        was_open[fd] = fcntl(fd, F_GETFD) != -1;
    check(rsd_allow_path(".", "r") == 0 && rsd_allow_port(1, "bc") == 0);
    for (int fd = 3; fd < 64; fd++)
        if (!was_open[fd] && fcntl(fd, F_GETFD) != -1) {
            made++;
            check(fcntl(fd, F_GETFD) == FD_CLOEXEC);
        }
    check(made == 1 && rsd_restrict_access() >= 1);
    for (int fd = 3; fd < 64; fd++)
        check((fcntl(fd, F_GETFD) != -1) == was_open[fd]);
}

/* What a child allows itself is not its parent's. */
static void childs_own(void)
{
    check(rsd_allow_path(".", "r") == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        check(rsd_allow_path("/", "rwxc") == 0 && rsd_allow_port(1, "b") == 0);
        _exit(0);
    }
    check_ends_well(child);
    check(rsd_restrict_access() >= 1);
    check(opened(".", O_RDONLY) == 0 && opened("/", O_RDONLY) == EACCES && ported("0", 1) == 0);
}

/* In a namespace of its own: other threads could not be seen. */
static void without_proc(void)
{
    if (unshare(CLONE_NEWNS) == -1 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1
        || mount("none", "/proc", "tmpfs", 0, NULL) == -1)
        exit(CANNOT_RUN_HERE);
    threads();
}

static volatile sig_atomic_t reload_flag;

static void ask(const char *command)
{
    char reply[4096];
    check(rsd_control_request("run/control", command, reply, sizeof reply, LONG_MS) >= 0);
}

/* The folder for c, and for the log rwc: all goes on, and nothing is left. */
static void library(void)
{
    check(mkdir("run", 0700) == 0 && mkdir("log", 0700) == 0);
    int lock = rsd_lock_pidfile("run/pid");
    check(lock != -1 && rsd_open_control("run/control", 0600, NULL) == 0);
    check(rsd_open_log(RSD_LOG_OPTIONS(.name = "test", .file = "log/log", .file_limit = 1000, .file_count = 3)) == 0);
    check(rsd_flag_signal(SIGHUP, &reload_flag, 1) == 0);
    check(rsd_allow_path("run", "c") == 0 && rsd_allow_path("log", "rwc") == 0);
    /* The program that asks lives under the same: it sees who it is by /proc. */
    check(rsd_allow_path("/proc", "r") == 0 && rsd_restrict_access() >= 1);

    for (int i = 0; i < 30; i++)
        rsd_log(LOG_INFO, "a line that is long enough for a rotation now and then: %d", i);
    check(access("log/log.1", F_OK) == 0 && rename("log/log", "log/moved") == 0);
    check(rsd_reopen_log() == 0 && access("log/log", F_OK) == 0);

    pid_t child = checked_fork();
    if (child == 0) {
        ask("ping");
        ask("reload");
        _exit(0);
    }
    int status;
    while (waitpid(child, &status, WNOHANG) == 0) {
        check(rsd_wait(20) != -1);
        if (reload_flag) {
            reload_flag = 0;
            check(rsd_begin_reload() != -1 && rsd_commit_reload() == 0);
        }
    }
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    check(rsd_close_control() == 0 && rsd_remove_pidfile("run/pid", lock) == 0);
    check(rmdir("run") == -1 && errno == EACCES); /* it lies in a folder without c */
    check(access("run/pid", F_OK) == -1 && access("run/control", F_OK) == -1);
    check(access("run/control.lock", F_OK) == -1);
}

/* Another file came to the number, as where a program closes all that it does not know. */
static void closed(void)
{
    check(rsd_allow_path(".", "r") == 0);
    for (int fd = 3; fd < 20; fd++)
        close(fd);
    check(open("/dev/null", O_RDONLY) == 3 && dup(3) == 4 && dup(3) == 5);
    check_refused(rsd_restrict_access(), EBADF);
    check(opened("/", O_RDONLY) == 0);
    check(fcntl(3, F_GETFD) == 0 && fcntl(4, F_GETFD) == 0 && fcntl(5, F_GETFD) == 0);
}

static void twice(void)
{
    check(mkdir("a", 0700) == 0 && mkdir("b", 0700) == 0);
    check(rsd_allow_path("a", "r") == 0 && rsd_allow_path("b", "r") == 0);
    check(rsd_restrict_access() >= 1);
    check(opened("a", O_RDONLY) == 0 && opened("b", O_RDONLY) == 0);
    check(rsd_allow_path("a", "r") == 0 && rsd_allow_path(".", "r") == 0);
    check(rsd_restrict_access() >= 1);
    check(opened("a", O_RDONLY) == 0 && opened("b", O_RDONLY) == 0 && opened(".", O_RDONLY) == EACCES);
    check(rsd_allow_path("b", "r") == 0 && rsd_restrict_access() >= 1);
    check(opened("a", O_RDONLY) == EACCES && opened("b", O_RDONLY) == 0);
}

/* No more than 16, which is said. */
static void too_often(void)
{
    int count = 0;
    while (rsd_restrict_access() >= 1)
        check(++count <= 16);
    check(count == 16 && errno == E2BIG);
}

static void children(void)
{
    check(rsd_allow_path(".", "r") == 0);
    pid_t child = checked_fork();
    if (child == 0) { /* has the rules, too */
        check(rsd_restrict_access() >= 1);
        check(opened(".", O_RDONLY) == 0 && opened("/", O_RDONLY) == EACCES);
        _exit(0);
    }
    check_ends_well(child);
    check(opened("/", O_RDONLY) == 0 && rsd_restrict_access() >= 1);
    child = checked_fork();
    if (child == 0) {
        check(opened(".", O_RDONLY) == 0 && opened("/", O_RDONLY) == EACCES);
        _exit(0);
    }
    check_ends_well(child);
}

static void another_user(void)
{
    if (setgid(64001) == -1 || setuid(64001) == -1)
        exit(CANNOT_RUN_HERE);
    check(rsd_allow_path("/dev", "rw") == 0 && rsd_restrict_access() >= 1);
    check(opened("/dev/null", O_RDWR) == 0 && opened("/", O_RDONLY) == EACCES);
}

static const struct one_case cases[] = {
    { "misuse", misuse },
    { "threads", threads },
    { "open", open_ones },
    { "descriptors", descriptors },
    { "closed", closed },
    { "twice", twice },
    { "too-often", too_often },
    { "children", children },
    { "childs-own", childs_own },
    { "without-proc", without_proc },
    { "library", library },
    { "user", another_user },
    { NULL, NULL },
};

int main(int argc, char *argv[])
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "-") == 0)
            return restrict_and_try(argc, argv);
    return run_case(cases, argc, argv);
}
