/*
 * What a notification of the service manager costs the program: rsd_notify(), libsystemd's sd_notify(), and what is
 * written by hand: a socket that stays open, and one that is opened for each message, as the examples in sd_notify(3) do.
 * In turns, with the same text; a process beside takes the messages. Then what it costs to load the libraries.
 *
 * usage: notify LOAD_PROGRAM EMPTY_LIBRARY OUR_LIBRARY
 */
#include <dlfcn.h>
#include <err.h>
#include <rsdaemon.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

#define ROUNDS 201
#define AT_ONCE 50
#define LOADS 101

static const char text[] = "STATUS=Serving 17 clients\nWATCHDOG=1";
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t length;
static int kept = -1;
static int (*sd_notify)(int unset, const char *state);

static void by_hand(void)
{
    if (send(kept, text, sizeof text - 1, MSG_NOSIGNAL) == -1)
        err(1, "send");
}

static void by_hand_anew(void)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd == -1 || connect(fd, (struct sockaddr *)&address, length) == -1
        || write(fd, text, sizeof text - 1) == -1)
        err(1, "cannot send");
    close(fd);
}

static void ours(void)
{
    if (rsd_notify(text) != 1)
        errx(1, "%s", rsd_last_error());
}

static void systemds(void)
{
    if (sd_notify(0, text) != 1)
        errx(1, "sd_notify");
}

struct way {
    const char *name;
    void (*tell)(void);
    double took[ROUNDS];
};

static struct way ways[] = {
    { .name = "by hand, a socket that stays open", .tell = by_hand },
    { .name = "rsd_notify()", .tell = ours },
    { .name = "by hand, a socket for each", .tell = by_hand_anew },
    { .name = "sd_notify() of libsystemd", .tell = systemds },
};
enum { WAYS = sizeof ways / sizeof *ways };

static void notifications(void)
{
    int order[WAYS], count = sd_notify != NULL ? WAYS : WAYS - 1;
    for (int round = 0; round < ROUNDS; round++) {
        shuffle(order, count);
        for (int i = 0; i < count; i++) {
            struct way *way = &ways[order[i]];
            way->tell();
            int64_t begin = now_ns();
            for (int times = 0; times < AT_ONCE; times++)
                way->tell();
            way->took[round] = (double)(now_ns() - begin) / AT_ONCE;
        }
    }
    double base = median(ways[0].took, ROUNDS);
    printf("one notification, median of %d:\n", ROUNDS);
    for (int i = 0; i < count; i++) {
        double took = median(ways[i].took, ROUNDS);
        printf("  %-36s %7.0f ns  %5.2f\n", ways[i].name, took, took / base);
    }
}

/* Median nanoseconds and KiB. */
static void load(const char *program, const char *library, double result[2])
{
    double values[2][LOADS];
    char command[1024];
    snprintf(command, sizeof command, "%s %s", program, library);
    for (int i = 0; i < LOADS; i++) {
        FILE *pipe = popen(command, "r");
        if (pipe == NULL || fscanf(pipe, "%lf %lf", &values[0][i], &values[1][i]) != 2)
            errx(1, "cannot measure %s", library);
        pclose(pipe);
    }
    result[0] = median(values[0], LOADS);
    result[1] = median(values[1], LOADS);
}

int main(int argc, char *argv[])
{
    char folder[] = "/tmp/rsdaemon-bench-XXXXXX";
    if (argc != 4)
        errx(2, "usage: notify LOAD_PROGRAM EMPTY_LIBRARY OUR_LIBRARY");
    if (mkdtemp(folder) == NULL)
        err(1, "mkdtemp");
    length = sizeof address.sun_family
        + (socklen_t)snprintf(address.sun_path, sizeof address.sun_path, "%s/s", folder) + 1;
    int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    kept = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (manager == -1 || bind(manager, (struct sockaddr *)&address, length) == -1
        || connect(kept, (struct sockaddr *)&address, length) == -1)
        err(1, "cannot listen");
    pid_t reader = fork();
    if (reader == 0)
        for (char bytes[4096];;)
            if (recv(manager, bytes, sizeof bytes, 0) == -1)
                _exit(1);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    pin(0, 0);
    pin(reader, 1);
    void *libsystemd = dlopen("libsystemd.so.0", RTLD_NOW);
    if (libsystemd != NULL)
        *(void **)&sd_notify = dlsym(libsystemd, "sd_notify");
    else
        printf("libsystemd.so.0 is not there to compare\n");
    notifications();
    kill(reader, SIGKILL);
    waitpid(reader, NULL, 0);
    unlink(address.sun_path);
    rmdir(folder);

    const char *names[] = { "an empty library", "librsdaemon, all of it", "libsystemd" };
    const char *libraries[] = { argv[2], argv[3], "libsystemd.so.0" };
    double loads[3][2];
    int count = sd_notify != NULL ? 3 : 2;
    printf("loading, median of %d:\n", LOADS);
    for (int i = 0; i < count; i++) {
        load(argv[1], libraries[i], loads[i]);
        printf("  %-36s %7.0f us  %5.0f KiB\n", names[i], loads[i][0] / 1000, loads[i][1]);
    }
    if (count == 3)
        printf("  above the empty one, of libsystemd's:    %5.2f   %5.2f\n",
               (loads[1][0] - loads[0][0]) / (loads[2][0] - loads[0][0]),
               (loads[1][1] - loads[0][1]) / (loads[2][1] - loads[0][1]));
    return 0;
}
