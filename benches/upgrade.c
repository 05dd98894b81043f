/*
 * What clients see of an upgrade: c-examples/echo_server.c under one client after the other, each of which connects, sends
 * a byte and waits for it. Left alone, upgraded again and again (rsd_upgrade()), and restarted again and again (`restart`), as
 * one that cannot be upgraded is. How many were refused, and the longest time from one answer to the next.
 *
 * usage: upgrade ECHO_SERVER
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

#define TIMES 100
#define EVERY_NS 50000000

static char folder[] = "/tmp/rsdaemon-bench-XXXXXX";
static char pidfile[64], control[64], address[32];
static struct sockaddr_in server = { .sin_family = AF_INET };
static const char *program;

static pid_t start_command(const char *word)
{
    pid_t child = fork();
    if (child == 0) {
        execl(program, program, word, "--pidfile", pidfile, "-l", address, "-c", control, (char *)NULL);
        err(127, "cannot run %s", program);
    }
    return child;
}

static void command(const char *word)
{
    int status;
    if (waitpid(start_command(word), &status, 0) == -1 || status != 0)
        errx(1, "%s %s: %d", program, word, status);
}

static pid_t daemon_pid(void)
{
    int pid = 0;
    FILE *file = fopen(pidfile, "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%d", &pid) != 1)
        pid = 0;
    fclose(file);
    return pid;
}

/* Whether it was served. */
static int ask(void)
{
    char byte = 'x';
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct linger at_once = { .l_onoff = 1 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once); /* no ports in TIME_WAIT */
    int is_served = connect(fd, (struct sockaddr *)&server, sizeof server) == 0
        && send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1;
    close(fd);
    return is_served;
}

enum how { LEFT_ALONE, UPGRADED, RESTARTED };

static void measure(const char *name, enum how how)
{
    long answers = 0, refused = 0;
    int changes = 0, status;
    pid_t before = daemon_pid(), restart = 0;
    int64_t begin = now_ns(), last = begin, longest = 0, next = begin + EVERY_NS;
    while (changes < TIMES) {
        if (ask()) {
            int64_t now = now_ns();
            longest = now - last > longest ? now - last : longest;
            last = now;
            answers++;
        } else {
            refused++;
        }
        if (restart != 0 && waitpid(restart, &status, WNOHANG) == restart) {
            if (status != 0)
                errx(1, "restart: %d", status);
            restart = 0;
            changes++;
        }
        if (how == UPGRADED && daemon_pid() != before) {
            before = daemon_pid();
            changes++;
        }
        if (now_ns() < next)
            continue;
        next = now_ns() + EVERY_NS;
        if (how == LEFT_ALONE)
            changes++;
        else if (how == UPGRADED)
            kill(before, SIGUSR2);
        else if (restart == 0)
            restart = start_command("restart");
    }
    printf("  %-24s %8ld answered  %6ld not  longest gap %8.2f ms\n", name, answers, refused,
           (double)longest / 1e6);
}

int main(int argc, char *argv[])
{
    socklen_t length = sizeof server;
    if (argc != 2)
        errx(2, "usage: upgrade ECHO_SERVER");
    program = argv[1];
    if (mkdtemp(folder) == NULL)
        err(1, "mkdtemp");
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(probe, (struct sockaddr *)&server, sizeof server) == -1
        || getsockname(probe, (struct sockaddr *)&server, &length) == -1)
        err(1, "no port");
    close(probe);
    snprintf(pidfile, sizeof pidfile, "%s/d.pid", folder);
    snprintf(control, sizeof control, "%s/d.ctl", folder);
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(server.sin_port));
    command("start");
    printf("%d times, one each %d ms:\n", TIMES, EVERY_NS / 1000000);
    measure("left alone", LEFT_ALONE);
    measure("upgraded", UPGRADED);
    measure("restarted", RESTARTED);
    command("stop");
    rmdir(folder);
    return 0;
}
