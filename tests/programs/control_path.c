/*
 * Where a control socket may stand, and whose files are left alone.
 */
#include "control_calls.h"

#include <grp.h>

#define PATH "socket"
#define LOCK PATH ".lock"

static int replacement = -1;

static void make(const char *path, int kind);

/* In the place of the C library's, for this program and its libraries. */
int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    int result = (int)syscall(SYS_bind, fd, address.__sockaddr__, length);
    if (replacement != -1) {
        int kind = replacement;
        replacement = -1;
        unlink(PATH);
        make(PATH, kind);
    }
    return result;
}

static int bound(const char *path, int kind, int is_listening)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, kind | SOCK_CLOEXEC, 0);
    check(fd != -1 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    if (is_listening)
        check(listen(fd, 5) == 0);
    return fd;
}

static ino_t inode(const char *path)
{
    struct stat stat;
    check(lstat(path, &stat) == 0);
    return stat.st_ino;
}

static unsigned int mode_of(const char *path)
{
    struct stat stat;
    check(lstat(path, &stat) == 0);
    return stat.st_mode & 07777;
}

static void open_and_close(void)
{
    check(rsd_open_control(PATH, 0, NULL) == 0);
    check(exists(PATH) && exists(LOCK));
    check(is_answered(PATH, "ping\n", "ok\n"));
    check(rsd_close_control() == 0 && !exists(PATH) && !exists(LOCK));
}

static void stale(void)
{
    static const int kinds[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
    for (int i = 0; i < 3; i++) {
        close(bound(PATH, kinds[i], kinds[i] != SOCK_DGRAM));
        open_and_close();
    }
    close(bound(PATH, SOCK_STREAM, 0));
    open_and_close();
    /* With a stale lock of whatever content, too. */
    static const char *const contents[] = { "", "1\n", "x", "-1\n", "99999999\n" };
    for (int i = 0; i < 5; i++) {
        int lock = open(LOCK, O_CREAT | O_WRONLY, 0644);
        check(write(lock, contents[i], strlen(contents[i])) == (ssize_t)strlen(contents[i]));
        close(lock);
        close(bound(PATH, SOCK_STREAM, 1));
        open_and_close();
    }
}

static void foreign_and_alive(void)
{
    static const int kinds[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
    for (int i = 0; i < 3; i++) {
        int fd = bound(PATH, kinds[i], kinds[i] != SOCK_DGRAM);
        ino_t before = inode(PATH);
        for (int times = 0; times < 20; times++) { /* more than its backlog */
            check_refused(rsd_open_control(PATH, 0666, NULL), EADDRINUSE);
            check(strstr(rsd_last_error(), PATH) != NULL);
            check(inode(PATH) == before && !exists(LOCK));
        }
        close(fd);
        check(unlink(PATH) == 0);
    }
    char name[64];
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(name, sizeof name, "@rsdaemon-test-%d", getpid());
    strcpy(address.sun_path + 1, name + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    check(bind(fd, (struct sockaddr *)&address, (socklen_t)(2 + strlen(name))) == 0);
    check_refused(rsd_open_control(name, 0, NULL), EADDRINUSE);
    close(fd);
    check(rsd_open_control(name, 0, NULL) == 0 && is_answered(name, "ping\n", "ok\n"));
    check(rsd_close_control() == 0);
    check(try_connect(name) == -1 && errno == ECONNREFUSED);
}

static void make(const char *path, int kind)
{
    if (kind == 0)
        check(close(open(path, O_CREAT | O_EXCL | O_WRONLY, 0644)) == 0);
    else if (kind == 1)
        check(mkdir(path, 0755) == 0);
    else if (kind == 2)
        check(symlink("nowhere", path) == 0);
    else if (kind == 3)
        check(symlink("other", path) == 0); /* a socket */
    else if (kind == 4)
        check(mkfifo(path, 0600) == 0);
    else
        close(bound(path, SOCK_STREAM, 1));
}

static void other_files(void)
{
    close(bound("other", SOCK_STREAM, 1));
    for (int kind = 0; kind < 5; kind++) {
        make(PATH, kind);
        ino_t before = inode(PATH);
        check_refused(rsd_open_control(PATH, 0, NULL), ENOTSOCK);
        check(strstr(rsd_last_error(), PATH) != NULL);
        check(inode(PATH) == before && !exists(LOCK) && !exists("nowhere") && exists("other"));
        check(remove(PATH) == 0);
    }
    static const int refused[] = { 0, EISDIR, ELOOP, ELOOP, EINVAL, EINVAL };
    for (int kind = 1; kind < 6; kind++) {
        make(LOCK, kind);
        ino_t before = inode(LOCK);
        check_refused(rsd_open_control(PATH, 0, NULL), refused[kind]);
        check(strstr(rsd_last_error(), LOCK) != NULL);
        check(inode(LOCK) == before && !exists(PATH));
        check(remove(LOCK) == 0);
    }
    check_refused(rsd_open_control("other/socket", 0, NULL), ENOTDIR);
    check_refused(rsd_open_control("nowhere/socket", 0, NULL), ENOENT);
    check_refused(rsd_open_control("./", 0, NULL), EISDIR);
    check_refused(rsd_open_control("/", 0, NULL), EISDIR);
    check_refused(rsd_open_control(".", 0, NULL), ENOTSOCK);
    check_refused(rsd_open_control("..", 0, NULL), ENOTSOCK);
    check(!exists("..lock") && !exists("...lock"));
}

static void directories(void)
{
    check(mkdir("open", 0700) == 0);
    static const unsigned int modes[] = { 0777, 0707, 0702, 0703, 02777 };
    for (int i = 0; i < 5; i++) {
        check(chmod("open", modes[i]) == 0);
        check_refused(rsd_open_control("open/socket", 0, NULL), EPERM);
        check(!exists("open/socket") && !exists("open/socket.lock"));
    }
    static const unsigned int good[] = { 01777, 0700, 0755, 0775 };
    for (int i = 0; i < 4; i++) {
        check(chmod("open", good[i]) == 0);
        check(rsd_open_control("open/socket", 0, NULL) == 0 && rsd_close_control() == 0);
    }
    /* Moved meanwhile: still ours, and removed where it is. */
    check(rsd_open_control("open/socket", 0, NULL) == 0);
    check(rename("open", "moved") == 0);
    check(is_answered("moved/socket", "ping\n", "ok\n"));
    check(rsd_close_control() == 0 && !exists("moved/socket") && !exists("moved/socket.lock"));
}

static void modes(void)
{
    static const mode_t masks[] = { 0, 022, 027, 077, 0777, 0111, 0600 };
    static const unsigned int wanted[] = { 0600, 0660, 0666, 0777, 0622, 0606, 0200, 0007 };
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        for (size_t j = 0; j < sizeof wanted / sizeof *wanted; j++) {
            umask(masks[i]);
            check(rsd_open_control(PATH, wanted[j], NULL) == 0);
            check(mode_of(PATH) == wanted[j]);
            check(mode_of(LOCK) == 0600);
            check(umask(0) == masks[i]);
            check(rsd_close_control() == 0);
        }
    }
    check(rsd_open_control(PATH, 0, NULL) == 0 && mode_of(PATH) == 0600);
}

static void replaced(void)
{
    for (int kind = 0; kind < 6; kind++) {
        check(rsd_open_control(PATH, 0, NULL) == 0);
        check(rename(PATH, "ours") == 0);
        make(PATH, kind);
        ino_t before = inode(PATH);
        check(is_answered("ours", "ping\n", "ok\n"));
        check(rsd_close_control() == 0);
        check(inode(PATH) == before && !exists(LOCK));
        check(remove(PATH) == 0 && remove("ours") == 0);
    }
    /* The lock was taken away: whoever comes sees that the socket is alive. */
    check(rsd_open_control(PATH, 0, NULL) == 0);
    check(unlink(LOCK) == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        check_refused(rsd_open_control(PATH, 0, NULL), EADDRINUSE);
        _exit(0);
    }
    check_ends_well(child);
    check(is_answered(PATH, "ping\n", "ok\n"));
    check(rsd_close_control() == 0 && !exists(PATH));
    /* Both are gone. */
    check(rsd_open_control(PATH, 0, NULL) == 0);
    check(unlink(PATH) == 0 && unlink(LOCK) == 0);
    check(rsd_close_control() == 0);
    open_and_close();
}

/* Between two calls of the library. */
static void replaced_between(void)
{
    for (int kind = 0; kind < 5; kind++) {
        replacement = kind;
        check_refused(rsd_open_control(PATH, 0666, NULL), ESTALE);
        check(exists(PATH) && !exists(LOCK));
        check(kind != 0 || mode_of(PATH) == 0644);
        check(remove(PATH) == 0);
        open_and_close();
    }
}

/* How a process ends, and what it leaves to the next one. */
static void ends(void)
{
    for (int how = 0; how < 5; how++) {
        pid_t child = checked_fork();
        if (child == 0) {
            check(rsd_open_control(PATH, 0, NULL) == 0);
            check(is_answered(PATH, "ping\n", "ok\n"));
            if (how == 0)
                exit(0);
            if (how == 1)
                kill(getpid(), SIGKILL);
            if (how == 2)
                _exit(0);
            if (how == 3) {
                int fd = connected(PATH);
                send_line(fd, "stop\nping\n");
                answer(fd); /* by the default action of SIGTERM */
                pause();
            }
            if (fork() == 0) /* its child ends first */
                exit(0);
            wait(NULL);
            check(exists(PATH));
            exit(0);
        }
        int status;
        check(waitpid(child, &status, 0) == child);
        int is_left = how == 1 || how == 2 || how == 3;
        check(is_left == exists(PATH) && is_left == exists(LOCK));
        check(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : how == 1 || WTERMSIG(status) == SIGTERM);
        open_and_close();
    }
}

static void few_descriptors(void)
{
    int failures = 0;
    for (rlim_t limit = 3; limit < 64; limit++) {
        pid_t child = checked_fork();
        if (child == 0) {
            struct rlimit before;
            getrlimit(RLIMIT_NOFILE, &before);
            struct rlimit few = { limit, before.rlim_max };
            check(setrlimit(RLIMIT_NOFILE, &few) == 0);
            int result = rsd_open_control(PATH, 0, NULL), error = errno;
            check(setrlimit(RLIMIT_NOFILE, &before) == 0);
            if (result == 0)
                _exit(is_answered(PATH, "ping\n", "ok\n") && rsd_close_control() == 0 ? 0 : 1);
            check(error == EMFILE && strlen(rsd_last_error()) > 10);
            check(!exists(PATH) && !exists(LOCK));
            open_and_close();
            _exit(7);
        }
        int status;
        check(waitpid(child, &status, 0) == child && WIFEXITED(status));
        check(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 7);
        failures += WEXITSTATUS(status) == 7;
    }
    check(failures > 3 && failures < 60);
}

/* A stranger who tries all the time never gets in, not even for a moment. */
static void nobody_too_early(void)
{
    if (geteuid() != 0)
        _exit(CANNOT_RUN_HERE);
    int rounds = getenv("ROUNDS") != NULL ? atoi(getenv("ROUNDS")) : 1000, ends[2];
    umask(0);
    check(pipe(ends) == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        close(ends[1]);
        check(setgroups(0, NULL) == 0 && setgid(64002) == 0 && setuid(64002) == 0);
        while (!has_something(ends[0], 0))
            check(try_connect(PATH) == -1);
        _exit(0);
    }
    for (int i = 0; i < rounds; i++) {
        check(rsd_open_control(PATH, 0660, i % 2 ? "root:root" : "64001:64001") == 0);
        check(rsd_close_control() == 0);
    }
    close(ends[1]);
    check_ends_well(child);
}

static void without_proc(void)
{
    if (geteuid() != 0 || mkdir("root", 0755) == -1 || chroot("root") == -1 || chdir("/") == -1)
        _exit(CANNOT_RUN_HERE);
    int result = rsd_open_control("/socket", 0640, NULL);
    if (result == 0) {
        check(is_answered("/socket", "ping\n", "ok\n") && mode_of("/socket") == 0640);
        check(rsd_close_control() == 0);
    } else {
        check(strlen(rsd_last_error()) > 10);
    }
    check(!exists("/socket") && !exists("/socket.lock"));
    puts(result == 0 ? "opened" : rsd_last_error());
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "stale", stale },
        { "foreign-and-alive", foreign_and_alive },
        { "other-files", other_files },
        { "directories", directories },
        { "modes", modes },
        { "replaced", replaced },
        { "replaced-between", replaced_between },
        { "ends", ends },
        { "few-descriptors", few_descriptors },
        { "nobody-too-early", nobody_too_early },
        { "without-proc", without_proc },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
