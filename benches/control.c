/*
 * What a command to a daemon costs over a Unix socket, from the client's side (make bench-control).
 *
 * One client process holds all connections: it sends a line on each, then takes the answer of each. All
 * servers answer the same bytes, and take turns, in another order each round. A server is on the CPU of the
 * client, where what is measured is all the work, or on another one, where waking it up is the most of it.
 *
 *   us        a round trip, of all that were made in a turn: the median of all turns
 *   a second  as many round trips
 *   / pair    the median of the quotients with "socketpair" of the same round. That is the floor: a process
 *             that knows its clients and reads and writes their sockets in turn, blocking, in the same bytes.
 *             It never connects
 *   / accept  the same with "accept loop", which guides to writing daemons have. It is the floor of connecting
 *             for each command, and any client that sends nothing makes it wait for ever
 *   / epoll   the same with a server by hand that no client can make wait
 *   again     that server a second time: as far as its ratio is from 1.00, so far is any other one noise
 *   goal      what "/ pair" is to be at most on kept connections, and "/ accept" on others. It is only shown
 *
 * The last part is what 10,000 connections cost in memory that each have had one answer and are idle: in
 * the process alone. What the kernel needs for a socket is the same for all.
 *
 * It fails if an answer is wrong.
 */
#include "control.h"
#include "measure.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVERS_MAX 8
#define CLIENTS_MAX 256
#define ROUNDS 150
#define TURN_NS 2000000
#define IDLE 10000
#define GOAL_KEPT 1.15
#define GOAL_CONNECTING 1.45
#define GOAL_BYTES 286

/* An answer that has not come by then does not come. */
#define PATIENCE_S 20

extern char **environ;

struct server {
    const char *name, *file, *kind, *package, *libraries;
    bool is_ours;
    pid_t pid;
    int pairs[CLIENTS_MAX]; /* of the socketpair server */
    int kept[CLIENTS_MAX];
    double us[ROUNDS];
};

enum { PAIR, ACCEPT, EPOLL }; /* the first ones of the list */

static const struct server all[] = {
    { .name = "socketpair" },
    { .name = "accept loop", .file = "control_bare", .kind = "accept" },
    { .name = "epoll by hand", .file = "control_bare", .kind = "epoll" },
    { .name = "the same again", .file = "control_bare", .kind = "epoll" },
    { .name = "libevent", .file = "control_libevent", .kind = "", .package = "libevent-dev" },
    { .name = "rsdaemon", .file = "control_rsdaemon", .kind = "", .is_ours = true },
};

static struct server list[SERVERS_MAX];
static int count;
static const char *programs;
static char folder[] = "/tmp/rsdaemon-bench-XXXXXX";

/* --- servers ---------------------------------------------------------------------------------- */

static void give_up_after(int fd)
{
    struct timeval patience = { .tv_sec = PATIENCE_S };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

/* Of the path that is the server's number. */
static int connect_to(const struct server *server)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%td", server - list);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1 || connect(fd, (struct sockaddr *)&address, sizeof address) == -1)
        err(1, "cannot connect to %s", server->name);
    return fd;
}

static void serve_pairs(const int *fds, int clients)
{
    char line[256];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0;; i = i + 1 < clients ? i + 1 : 0)
        if (read(fds[i], line, sizeof line) <= 0 ||
            write(fds[i], ANSWER, strlen(ANSWER)) == -1)
            _exit(1);
}

static void start_pairs(struct server *server, int clients)
{
    int theirs[CLIENTS_MAX];
    for (int i = 0; i < clients; i++) {
        int both[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) == -1)
            err(1, "cannot make sockets");
        server->pairs[i] = both[0];
        theirs[i] = both[1];
        give_up_after(both[0]);
    }
    server->pid = fork();
    if (server->pid == -1)
        err(1, "cannot start a server");
    if (server->pid == 0)
        serve_pairs(theirs, clients);
    for (int i = 0; i < clients; i++)
        close(theirs[i]);
}

static void start_program(struct server *server)
{
    int ready[2];
    char path[32], byte;
    snprintf(path, sizeof path, "%td", server - list);
    if (pipe2(ready, O_CLOEXEC) == -1)
        err(1, "cannot make a pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ready[1], STDOUT_FILENO);
    char *program = join(programs, server->file);
    if (server->libraries != NULL)
        setenv("LD_LIBRARY_PATH", server->libraries, 1);
    char *argv[] = { program, (char *)server->kind, path, NULL };
    if ((errno = posix_spawn(&server->pid, program, &actions, NULL, argv, environ)) != 0)
        err(1, "cannot run %s", program);
    unsetenv("LD_LIBRARY_PATH");
    posix_spawn_file_actions_destroy(&actions);
    free(program);
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        errx(1, "%s does not start", server->name);
    close(ready[0]);
}

static void start(struct server *server, int clients)
{
    if (server->file == NULL)
        start_pairs(server, clients);
    else
        start_program(server);
}

static void stop(struct server *server, int clients)
{
    char name[32];
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    for (int i = 0; server->file == NULL && i < clients; i++)
        close(server->pairs[i]);
    snprintf(name, sizeof name, "%td", server - list);
    unlink(name);
    snprintf(name, sizeof name, "%td.lock", server - list);
    unlink(name);
}

/* --- the client ------------------------------------------------------------------------------- */

static void ask(const struct server *server, int fd)
{
    if (send(fd, REQUEST, strlen(REQUEST), MSG_NOSIGNAL) != (ssize_t)strlen(REQUEST))
        err(1, "cannot send to %s", server->name);
}

static void take_answer(const struct server *server, int fd)
{
    char answer[256];
    size_t length = 0;
    while (length < strlen(ANSWER)) {
        ssize_t more = read(fd, answer + length, sizeof answer - length);
        if (more <= 0)
            errx(1, "%s does not answer", server->name);
        length += (size_t)more;
    }
    if (length != strlen(ANSWER) || memcmp(answer, ANSWER, length) != 0)
        errx(1, "%s answers: %.*s", server->name, (int)length, answer);
}

static void exchange(const struct server *server, int fd)
{
    ask(server, fd);
    take_answer(server, fd);
}

/* One round trip on each connection. */
static void use_kept(const struct server *server, int clients)
{
    const int *fds = server->file == NULL ? server->pairs : server->kept;
    for (int i = 0; i < clients; i++)
        ask(server, fds[i]);
    for (int i = 0; i < clients; i++)
        take_answer(server, fds[i]);
}

static void connect_each(const struct server *server, int clients)
{
    int fds[CLIENTS_MAX];
    for (int i = 0; i < clients; i++) {
        fds[i] = connect_to(server);
        ask(server, fds[i]);
    }
    for (int i = 0; i < clients; i++) {
        take_answer(server, fds[i]);
        close(fds[i]);
    }
}

/* --- speed ------------------------------------------------------------------------------------ */

static double turn(const struct server *server, int clients, bool is_kept)
{
    bool connects = !is_kept && server->file != NULL;
    int64_t begin = now_ns(), end;
    int trips = 0;
    do {
        if (connects)
            connect_each(server, clients);
        else
            use_kept(server, clients);
        trips += clients;
        end = now_ns();
    } while (end - begin < TURN_NS);
    return (double)(end - begin) / 1e3 / trips;
}

/* The accept loop cannot keep a connection: its second command would wait for the first one's end. */
static bool takes_part(const struct server *server, bool is_kept)
{
    return !is_kept || server != &list[ACCEPT];
}

static double ratio(const struct server *server, const struct server *base)
{
    double quotients[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        quotients[i] = server->us[i] / base->us[i];
    return median(quotients, ROUNDS);
}

static void show(bool is_kept)
{
    printf("  %-17s%9s%10s%8s", "", "us", "a second", "/ pair");
    if (!is_kept)
        printf("%10s", "/ accept");
    printf("%9s%6s\n", "/ epoll", "goal");
    for (int i = 0; i < count; i++) {
        const struct server *one = &list[i];
        if (!takes_part(one, is_kept))
            continue;
        double us = median(one->us, ROUNDS);
        printf("  %-17s%9.2f%10.0f%8.2f", one->name, us, 1e6 / us, ratio(one, &list[PAIR]));
        if (!is_kept)
            printf("%10.2f", ratio(one, &list[ACCEPT]));
        printf("%9.2f", ratio(one, &list[EPOLL]));
        if (one->is_ours)
            printf("%6.2f", is_kept ? GOAL_KEPT : GOAL_CONNECTING);
        puts("");
    }
}

static void measure(int clients, bool is_kept, int cpu, const char *where)
{
    printf("\n%s, clients: %d, servers on %s\n",
           is_kept ? "Kept connections" : "A connection for each command", clients, where);
    fflush(stdout);
    for (int i = 0; i < count; i++) {
        start(&list[i], clients);
        pin(list[i].pid, cpu);
        for (int client = 0; is_kept && list[i].file != NULL && client < clients; client++) {
            list[i].kept[client] = takes_part(&list[i], is_kept) ? connect_to(&list[i]) : -1;
            give_up_after(list[i].kept[client]);
        }
    }
    for (int round = -2; round < ROUNDS; round++) { /* those below 0 warm up */
        int order[SERVERS_MAX];
        shuffle(order, count);
        for (int i = 0; i < count; i++) {
            struct server *one = &list[order[i]];
            if (takes_part(one, is_kept))
                one->us[round < 0 ? 0 : round] = turn(one, clients, is_kept);
        }
    }
    show(is_kept);
    for (int i = 0; i < count; i++) {
        for (int client = 0; is_kept && list[i].file != NULL && client < clients; client++)
            close(list[i].kept[client]);
        stop(&list[i], clients);
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

/* In bytes, all that is resident, and what of it no other process has. */
struct memory {
    double resident, own;
};

static struct memory memory_of(pid_t pid)
{
    struct memory memory = { 0, 0 };
    char path[64], line[256];
    double kib;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        err(1, "cannot open %s", path);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Rss: %lf", &kib) == 1)
            memory.resident += kib * 1024;
        if (sscanf(line, "Private_Clean: %lf", &kib) == 1 ||
            sscanf(line, "Private_Dirty: %lf", &kib) == 1)
            memory.own += kib * 1024;
    }
    fclose(file);
    return memory;
}

static void measure_memory(void)
{
    static int fds[IDLE];
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
        err(1, "cannot ask for a limit");
    limit.rlim_cur = limit.rlim_max;
    /* This library uses half of the limit for clients. */
    if (limit.rlim_max < 2 * IDLE || setrlimit(RLIMIT_NOFILE, &limit) == -1) {
        printf("\nSKIPPED %d idle connections: RLIMIT_NOFILE is less than %d\n", IDLE, 2 * IDLE);
        return;
    }
    printf("\n%d idle connections, bytes for each\n", IDLE);
    printf("  %-17s%10s%10s%9s%6s\n", "", "resident", "private", "/ epoll", "goal");
    double by_hand = 0;
    for (int i = EPOLL; i < count; i++) {
        struct server *one = &list[i];
        fflush(stdout);
        start(one, 0);
        connect_each(one, 1);
        struct memory before = memory_of(one->pid);
        for (int client = 0; client < IDLE; client++) {
            fds[client] = connect_to(one);
            exchange(one, fds[client]);
        }
        exchange(one, fds[0]); /* it is still there */
        struct memory after = memory_of(one->pid);
        double own = (after.own - before.own) / IDLE;
        by_hand = i == EPOLL ? own : by_hand;
        printf("  %-17s%10.0f%10.0f%9.2f", one->name, (after.resident - before.resident) / IDLE,
               own, own / by_hand);
        if (one->is_ours)
            printf("%6d", GOAL_BYTES);
        puts("");
        for (int client = 0; client < IDLE; client++)
            close(fds[client]);
        stop(one, 0);
    }
}

int main(int argc, char *argv[])
{
    if (argc != 2 && argc != 3)
        errx(2, "usage: %s FOLDER-OF-PROGRAMS [FOLDER-OF-ANOTHER-LIBRARY]", argv[0]);
    programs = realpath(argv[1], NULL);
    if (programs == NULL)
        err(1, "cannot use %s", argv[1]);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].file == NULL || is_built(programs, all[i].file, all[i].package))
            list[count++] = all[i];
    if (argc == 3) {
        list[count] = list[count - 1];
        list[count].name = "rsdaemon, other";
        list[count++].libraries = realpath(argv[2], NULL);
    }
    cpu_set_t allowed;
    if (mkdtemp(folder) == NULL || chdir(folder) == -1)
        err(1, "cannot use %s", folder);
    if (sched_getaffinity(0, sizeof allowed, &allowed) == -1)
        err(1, "cannot ask for the CPUs");
    int cpus[2], known = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && known < 2; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            cpus[known++] = cpu;
    pin(0, cpus[0]);

    static const int clients[] = { 1, 16, 256 };
    for (int kept = 1; kept >= 0; kept--)
        for (size_t i = 0; i < sizeof clients / sizeof *clients; i++) {
            measure(clients[i], kept, cpus[0], "the client's CPU");
            if (known == 2)
                measure(clients[i], kept, cpus[1], "another CPU");
        }
    if (known < 2)
        puts("SKIPPED what needs two CPUs: there is one");
    measure_memory();
    rmdir(folder);
    return 0;
}
