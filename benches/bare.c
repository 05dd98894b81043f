/*
 * The start by hand: what a careful C programmer writes with nothing but system calls.
 */
#include "tiny_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>

static int write_pid(int file)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(file, 0) == -1)
        return -1;
    return write(file, text, (size_t)length) == length ? 0 : -1;
}

/* The lock lasts as long as the daemon, so the descriptor is left open. */
static int take_pidfile(const char *path)
{
    for (;;) {
        int file = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (file == -1)
            return -1;
        struct stat locked, here;
        if (flock(file, LOCK_EX | LOCK_NB) == -1 || fstat(file, &locked) == -1)
            return -1;
        /* Retry if the file was replaced between our open and our lock. */
        if (stat(path, &here) == 0 && here.st_ino == locked.st_ino && here.st_dev == locked.st_dev)
            return write_pid(file);
        close(file);
    }
}

static int set_up(const char *pidfile)
{
    umask(022);
    if (take_pidfile(pidfile) == -1 || chdir("/") == -1)
        return -1;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null == -1)
        return -1;
    if (dup2(null, 0) == -1 || dup2(null, 1) == -1 || dup2(null, 2) == -1)
        return -1;
    if (null > 2)
        close(null);
    return 0;
}

static void tell(int launcher, int error)
{
    if (write(launcher, &error, sizeof error) != sizeof error)
        _exit(1);
}

/* Leaves with the daemon's success, or returns why there is none. */
static int wait_ready(int daemon, pid_t middle)
{
    int error;
    ssize_t length;
    do
        length = read(daemon, &error, sizeof error);
    while (length == -1 && errno == EINTR);
    waitpid(middle, NULL, 0);

    if (length == sizeof error && error == 0)
        _exit(0);
    errno = length == sizeof error ? error : ECHILD;
    return -1;
}

static int become_daemon(const char *pidfile)
{
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) == -1)
        return -1;
    pid_t middle = fork();
    if (middle == -1)
        return -1;
    if (middle > 0) {
        close(ready[1]);
        return wait_ready(ready[0], middle);
    }
    close(ready[0]);

    /* The second fork, so that the daemon cannot get a terminal again. */
    pid_t daemon = setsid() == -1 ? -1 : fork();
    if (daemon == -1)
        tell(ready[1], errno);
    if (daemon != 0)
        _exit(0);

    if (set_up(pidfile) == -1) {
        tell(ready[1], errno);
        _exit(1);
    }
    tell(ready[1], 0);
    close(ready[1]);
    return 0;
}

int main(int argc, char *argv[])
{
    int64_t called_at = prepare(argc, argv);
    if (become_daemon(argv[1]) == -1)
        err(1, "cannot start");
    return serve(argv, called_at);
}
