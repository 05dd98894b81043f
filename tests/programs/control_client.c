/*
 * usage: control_client PATH COMMAND SIZE TIMEOUT_MS [HOW...]
 *
 * Asks, and prints to descriptor 100 "RESULT ERRNO SENTENCE", in another line the reply. Its descriptors
 * must be the same afterwards, and nothing may be written behind the reply.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <rsdaemon.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#define OUTPUT 100

static volatile sig_atomic_t interrupted;

static void interrupt(int signo)
{
    (void)signo;
    interrupted++;
}

static int descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

int main(int argc, char *argv[])
{
    if (argc < 5)
        errx(2, "usage");
    size_t size = (size_t)strtoul(argv[3], NULL, 0);
    char *room = malloc(size + 16), *reply = size == 0 ? NULL : room;
    const char *path = argv[1], *command = argv[2];

    memset(room, '#', size + 16);
    if (dup2(1, OUTPUT) == -1)
        err(2, "dup2");
    for (int i = 5; i < argc; i++) {
        struct sigaction action = { .sa_handler = interrupt };
        struct itimerval often = { { 0, 2000 }, { 0, 2000 } };
        if (strcmp(argv[i], "storm") == 0) {
            sigaction(SIGALRM, &action, NULL);
            setitimer(ITIMER_REAL, &often, NULL);
        } else if (strcmp(argv[i], "nobody") == 0) {
            if (setresuid(65534, 65534, 65534) == -1)
                err(2, "setresuid");
        } else if (strcmp(argv[i], "closed") == 0) {
            close(0);
            close(1);
            close(2);
        } else if (strcmp(argv[i], "full") == 0) {
            struct rlimit limit = { 3, 3 };
            setrlimit(RLIMIT_NOFILE, &limit);
        } else if (strcmp(argv[i], "no-path") == 0) {
            path = NULL;
        } else if (strcmp(argv[i], "no-command") == 0) {
            command = NULL;
        } else if (strcmp(argv[i], "no-reply") == 0) {
            reply = NULL;
        }
    }

    int before = descriptors();
    errno = 4711;
    int result = rsd_control_request(path, command, reply, size, atoi(argv[4]));
    int error = errno;
    if (result != -1 && error != 4711)
        dprintf(OUTPUT, "errno was changed by success\n");
    if (descriptors() != before)
        dprintf(OUTPUT, "descriptors are left\n");
    for (size_t i = size; i < size + 16; i++)
        if (room[i] != '#')
            dprintf(OUTPUT, "written behind the reply\n");
    dprintf(OUTPUT, "%d %d %s\n", result, result == -1 ? error : 0, result == -1 ? rsd_last_error() : "");
    if (reply != NULL)
        dprintf(OUTPUT, "%s", reply);
    free(room);
    return 0;
}
