/*
 * lock PIDFILE: locks it, says the descriptor and waits until stdin ends.
 * lock PIDFILE remove: removes it then. lock PIDFILE child: lets a child try that.
 */
#include <err.h>
#include <errno.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
    const char *path = argc > 1 ? argv[1] : NULL;
    const char *then = argc > 2 ? argv[2] : "";

    errno = 4711;
    int lock = rsd_lock_pidfile(path);
    if (lock == -1)
        errx(1, "%d %s", errno, rsd_last_error());
    if (errno != 4711)
        errx(8, "errno was changed by success");

    printf("%d\n", lock);
    fflush(stdout);
    char byte;
    while (read(0, &byte, 1) > 0)
        continue;

    if (strcmp(then, "child") == 0) {
        pid_t child = fork();
        if (child == 0)
            _exit(rsd_remove_pidfile(path, lock) == -1 ? errno : 0);
        int status;
        waitpid(child, &status, 0);
        printf("%d\n", WEXITSTATUS(status));
    }
    if (strcmp(then, "remove") == 0 && rsd_remove_pidfile(path, lock) == -1)
        errx(1, "%d %s", errno, rsd_last_error());
    return 0;
}
