/*
 * A daemon that is right as long as nothing fails: few results are looked at. It shows that the
 * fault test finds what it looks for.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t shutdown_flag;

static void on_signal(int signo)
{
    if (signo != SIGPIPE)
        shutdown_flag = 1;
}

int main(int argc, char *argv[])
{
    struct sigaction action = { .sa_handler = on_signal };
    int ready[2];
    char byte = 0;

    if (argc != 2)
        errx(2, "usage: fault_naive PIDFILE");
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGPIPE, &action, NULL);
    if (pipe(ready) == -1)
        return 1; /* without a word */

    switch (fork()) {
    case -1:
        errx(1, "cannot go into the background"); /* but why? */
    case 0:
        break;
    default:
        close(ready[1]);
        if (read(ready[0], &byte, 1) == -1)
            err(1, "cannot hear from the daemon"); /* which goes on */
        return 0; /* also if it said nothing */
    }
    setsid();
    if (fork() > 0)
        _exit(0); /* and if it failed, the leader of the session goes on */

    int folder = open(".", O_PATH | O_DIRECTORY);
    int lock = open(argv[1], O_RDWR | O_CREAT, 0644);
    if (lock == -1)
        return 1;
    while (flock(lock, LOCK_EX | LOCK_NB) == -1 && errno == ENOLCK)
        ; /* it may go away */
    if (dprintf(lock, "%d\n", (int)getpid()) < 0)
        return 1; /* and the file stays */
    if (chdir("/") == -1)
        warn("cannot change the working directory");
    umask(022);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    close(null);
    if (write(ready[1], &byte, 1) == -1)
        return 1;
    close(ready[0]);
    close(ready[1]);

    close(-1000002); /* tells the tracer that the daemon is up */
    while (!shutdown_flag)
        sleep(10);
    unlinkat(folder, argv[1], 0);
    return 0;
}
