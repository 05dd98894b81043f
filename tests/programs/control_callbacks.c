/*
 * What a callback of the control socket may call, which is everything; forked children, threads, and a program
 * that closes descriptors which are not its own.
 */
#include "control_calls.h"

#include <pthread.h>

#define PATH "socket"

static int runs;

static void enter(const char *name, rsd_control_callback callback)
{
    check(rsd_control_command(name, NULL, callback, NULL) == 0);
}

static void open_here(void)
{
    check(rsd_open_control(PATH, 0, NULL) == 0);
}

static void close_it(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    check(rsd_control_print(request, "before\n") == 0);
    check(rsd_close_control() == 0 && !exists(PATH));
    check(rsd_control_print(request, "after\n") == 0 && request->argc == 2
          && strcmp(request->argv[1], "word") == 0);
    check(rsd_control_fail(request, "nobody hears it") == 0);
}

static void closed_in_a_callback(void)
{
    open_here();
    enter("close", close_it);
    check(is_answered(PATH, "close word\n", ""));
    check(try_connect(PATH) == -1 && errno == ENOENT);
}

static void open_again(struct rsd_control_request *request, void *arg)
{
    int *other = arg;
    close_it(request, arg);
    check(rsd_open_control(PATH, 0, NULL) == 0);
    /* With the number that this one had, and who must not get its answer. */
    *other = connected(PATH);
    send_line(*other, "ping\nping\n");
    check(strcmp(answer(*other), "ok\n") == 0);
}

static void opened_again_in_a_callback(void)
{
    int other = -1;
    open_here();
    check(rsd_control_command("again", NULL, open_again, &other) == 0);
    check(is_answered(PATH, "again word\n", ""));
    check(strcmp(answer(other), "ok\n") == 0);
    send_line(other, "nonsense\n");
    check(strncmp(answer(other), "error there is no", 17) == 0);
}

static void remove_itself(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    check(rsd_control_command(request->argv[0], NULL, NULL, NULL) == 0);
    check(rsd_control_print(request, "%s\n", request->argv[0]) == 0);
}

static void removed_by_itself(void)
{
    open_here();
    enter("once", remove_itself);
    int fd = connected(PATH);
    send_line(fd, "once\nonce\n");
    check(strcmp(answer(fd), " once\nok\n") == 0);
    check(strncmp(answer(fd), "error there is no command", 25) == 0);
}

/* One client within the callback of another, which is within one more. */
static void nest(struct rsd_control_request *request, void *arg)
{
    int depth = atoi(request->argv[1]);
    char line[32];
    snprintf(line, sizeof line, "nest %d\n", depth - 1);
    runs++;
    rsd_control_print(request, "%d begins\n", depth);
    if (depth > 1)
        check(strncmp(ask(PATH, line), " ", 1) == 0);
    check(rsd_wait(0) >= 0 && rsd_dispatch() >= 0);
    rsd_control_print(request, "%d ends\n", depth);
    (void)arg;
}

static void nested(void)
{
    open_here();
    enter("nest", nest);
    check(is_answered(PATH, "nest 10\n", " 10 begins\n 10 ends\nok\n"));
    check(runs == 10);
    /* Deeper than callbacks are called: the innermost one waits for the others, which do not wait for ever. */
    check(is_answered(PATH, "nest 1\n", " 1 begins\n 1 ends\nok\n"));
}

static void run_command(struct rsd_control_request *request, void *arg)
{
    struct rsd_result *result;
    char *argv[] = { "sh", "-c", "echo output", NULL };
    (void)arg;
    check(rsd_run(argv, NULL, &result) == 0);
    rsd_control_print(request, "%s", result->out);
    rsd_free_result(result);
}

static void commands_in_a_callback(void)
{
    need_pidfd();
    open_here();
    enter("run", run_command);
    check(is_answered(PATH, "run\n", " output\nok\n"));
}

static void fork_child(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    pid_t child = checked_fork();
    if (child == 0) {
        /* What it prints goes nowhere, and its end removes nothing. */
        rsd_control_print(request, "from the child\n");
        check(rsd_close_control() == 0);
        check(exists(PATH));
        check(rsd_open_control("childs", 0, NULL) == 0);
        return; /* and lives on */
    }
    rsd_control_print(request, "from the parent\n");
}

static void forked_in_a_callback(void)
{
    pid_t parent = getpid();
    open_here();
    enter("fork", fork_child);
    int fd = connected(PATH);
    send_line(fd, "fork\n");
    const char *text;
    if (getpid() == parent) {
        int waited = 0;
        while (!has_something(fd, 0) && getpid() == parent) {
            check(rsd_wait(1000) >= 0 && waited++ < 100);
        }
    }
    if (getpid() != parent) {
        /* The child serves its own socket, and not its parent's. */
        check(is_answered("childs", "ping\n", "ok\n"));
        exit(0);
    }
    text = answer(fd);
    check(strcmp(text, " from the parent\nok\n") == 0);
    int status;
    check(waitpid(-1, &status, 0) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void forked_child(void)
{
    open_here();
    int fd = connected(PATH);
    send_line(fd, "pi");
    check(rsd_dispatch() >= 0 && rsd_dispatch() >= 0);
    for (int how = 0; how < 4; how++) {
        pid_t child = checked_fork();
        if (child == 0) {
            if (how == 1)
                check(rsd_after_fork() == 0);
            if (how == 2)
                check(rsd_close_control() == 0 && exists(PATH));
            if (how == 3) {
                check(rsd_wait(0) == 0);
                check_refused(rsd_open_control(PATH, 0, NULL), EADDRINUSE);
                check(strstr(rsd_last_error(), PATH) != NULL);
                check(rsd_open_control("childs", 0, NULL) == 0);
                check(is_answered("childs", "ping\n", "ok\n"));
            }
            exit(0); /* with exit handlers */
        }
        check_ends_well(child);
        check(exists(PATH) && exists(PATH ".lock") && !exists("childs") && !exists("childs.lock"));
    }
    send_line(fd, "ng\n");
    check(strcmp(answer(fd), "ok\n") == 0);
}

/* After the parent has closed its socket, or its connections, copies in a child do not matter. */
static void copies_in_a_child(void)
{
    int pipe_ends[2];
    check(pipe(pipe_ends) == 0);
    open_here();
    int fd = connected(PATH), waiting;
    send_line(fd, "ping\n");
    check(strcmp(answer(fd), "ok\n") == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        close(pipe_ends[1]);
        char byte;
        _exit((int)read(pipe_ends[0], &byte, 1));
    }
    waiting = connected(PATH); /* not accepted yet */
    check(rsd_close_control() == 0);
    char byte;
    check(has_something(fd, 2000) && read(fd, &byte, 1) == 0);
    check(has_something(waiting, 2000) && read(waiting, &byte, 1) <= 0);
    close(pipe_ends[1]);
    check_ends_well(child);
}

static void print_back(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    sched_yield();
    rsd_control_print(request, "%s\n", request->argv[1]);
}

static volatile int is_over;

static void *serve(void *arg)
{
    while (!is_over)
        check(rsd_wait(5) >= 0);
    return arg;
}

static void *be_clients(void *arg)
{
    int first = *(int *)arg;
    for (int i = first; i < first + 300; i++) {
        char line[64], expected[64], got[64];
        size_t length = 0;
        snprintf(line, sizeof line, "back %d\nback again\n", i);
        snprintf(expected, sizeof expected, " %d\nok\n again\nok\n", i);
        int fd = connected(PATH);
        send_line(fd, line);
        while (length < strlen(expected)) {
            check(has_something(fd, LONG_MS));
            ssize_t count = read(fd, got + length, sizeof got - 1 - length);
            check(count > 0);
            length += (size_t)count;
        }
        got[length] = '\0';
        check(strcmp(got, expected) == 0);
        close(fd);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t servers[3], clients[3];
    int firsts[3] = { 1000, 2000, 3000 };
    open_here();
    enter("back", print_back);
    for (int i = 0; i < 3; i++) {
        check(pthread_create(&servers[i], NULL, serve, NULL) == 0);
        check(pthread_create(&clients[i], NULL, be_clients, &firsts[i]) == 0);
    }
    for (int i = 0; i < 300; i++) {
        check(rsd_status("a text that changes") == 0 && rsd_begin_reload() == 0);
        rsd_commit_reload();
        enter("other", i % 2 ? print_back : NULL);
    }
    for (int i = 0; i < 3; i++)
        check(pthread_join(clients[i], NULL) == 0);
    is_over = 1;
    for (int i = 0; i < 3; i++)
        check(pthread_join(servers[i], NULL) == 0);
}

/* As old daemons do that close every number they find. */
static void closed_descriptors(void)
{
    open_here();
    int client = connected(PATH);
    send_line(client, "ping\n");
    check(strcmp(answer(client), "ok\n") == 0);
    int before = dup(0);
    close(before);
    for (int fd = 3; fd < 256; fd++)
        close(fd);
    /* Foreign ones on the same numbers, which stay open whatever is done. */
    int files[32], count = 0;
    while (count < 32 && (files[count] = open("/dev/zero", O_RDONLY)) != -1)
        count++;
    int first = rsd_fd();
    check(first > 2 || (first == -1 && rsd_last_error()[0] != '\0'));
    check(rsd_dispatch() >= 0 && rsd_wait(0) >= 0);
    for (int i = 0; i < count; i++) {
        char byte = 'x';
        check(read(files[i], &byte, 1) == 1 && byte == 0);
    }
    /* It is lost, and can be opened anew. */
    open_here();
    check(is_answered(PATH, "ping\n", "ok\n"));
    check(rsd_close_control() == 0 && !exists(PATH) && !exists(PATH ".lock"));
    for (int i = 0; i < count; i++) {
        char byte = 'x';
        check(read(files[i], &byte, 1) == 1 && byte == 0);
    }
}

/* How many are open, and how many of them a new program would get. */
static int open_count(int *inherited)
{
    int count = 0;
    *inherited = 0;
    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        count += flags != -1;
        *inherited += flags != -1 && !(flags & FD_CLOEXEC);
    }
    return count;
}

static void nothing_leaks(void)
{
    open_here();
    check(is_answered(PATH, "ping\n", "ok\n"));
    check(rsd_close_control() == 0);
    int inherited, inherited_before, before = open_count(&inherited_before);
    for (int i = 0; i < 200; i++) {
        open_here();
        int fd = connected(PATH);
        send_line(fd, i % 2 ? "help\n" : "half");
        check(rsd_dispatch() >= 0 && rsd_dispatch() >= 0);
        check(open_count(&inherited) > before && inherited == inherited_before);
        check_refused(rsd_open_control("second", 0, NULL), EALREADY);
        check(rsd_close_control() == 0);
        check_refused(rsd_open_control("no/such/directory", 0, NULL), ENOENT);
        check_refused(rsd_open_control(PATH, 0, "nobody-of-this-name"), EINVAL);
        close(fd);
        if (i == 1)
            before = open_count(&inherited); /* the main loop has a timer by now */
        check(i == 0 || open_count(&inherited) == before);
    }
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "closed-in-a-callback", closed_in_a_callback },
        { "opened-again-in-a-callback", opened_again_in_a_callback },
        { "removed-by-itself", removed_by_itself },
        { "nested", nested },
        { "commands-in-a-callback", commands_in_a_callback },
        { "forked-in-a-callback", forked_in_a_callback },
        { "forked-child", forked_child },
        { "copies-in-a-child", copies_in_a_child },
        { "threads", threads },
        { "closed-descriptors", closed_descriptors },
        { "nothing-leaks", nothing_leaks },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
