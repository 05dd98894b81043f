/*
 * Servers by hand: one with epoll(7), as somebody would write it who knows that no client may make it
 * wait, and one as guides to writing daemons have it.
 */
#include "control.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 32

struct client {
    int fd;
    unsigned int used;
    char line[256];
};

static int loop, listener;

static void attend(int fd, struct client *client)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };
    if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) == -1)
        err(1, "cannot wait for a client");
}

static void drop(struct client *client)
{
    close(client->fd);
    free(client);
}

static void accept_client(void)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd == -1 && errno == EAGAIN)
        return;
    struct client *client = fd == -1 ? NULL : malloc(sizeof *client);
    if (client == NULL)
        err(1, "cannot accept a client");
    client->fd = fd;
    client->used = 0;
    attend(fd, client);
}

/* Whether the client stays. One that does not read its answers has to go. */
static int answer(struct client *client, const char *line)
{
    const char *text = strcmp(line, "get speed") == 0 ? ANSWER : "error\n";
    ssize_t length = (ssize_t)strlen(text);
    return send(client->fd, text, (size_t)length, MSG_NOSIGNAL) == length;
}

static void read_lines(struct client *client)
{
    size_t room = sizeof client->line - client->used;
    ssize_t count = read(client->fd, client->line + client->used, room);
    if (count == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        drop(client);
        return;
    }
    client->used += (unsigned int)count;
    char *line = client->line, *end;
    while ((end = memchr(line, '\n', client->used)) != NULL) {
        *end = '\0';
        if (!answer(client, line)) {
            drop(client);
            return;
        }
        client->used -= (unsigned int)(end + 1 - line);
        line = end + 1;
    }
    memmove(client->line, line, client->used);
    if (client->used == sizeof client->line)
        drop(client);
}

static void serve_by_epoll(const char *path)
{
    listener = listen_at(path, 4096, SOCK_NONBLOCK);
    loop = epoll_create1(EPOLL_CLOEXEC);
    if (loop == -1)
        err(1, "cannot make an epoll instance");
    attend(listener, NULL);
    say_ready();
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(loop, events, EVENTS, -1);
        if (count == -1 && errno != EINTR)
            err(1, "cannot wait");
        for (int i = 0; i < count; i++)
            if (events[i].data.ptr == NULL)
                accept_client();
            else
                read_lines(events[i].data.ptr);
    }
}

static void serve_by_accept(const char *path)
{
    int sock = listen_at(path, 5, 0);
    say_ready();
    for (;;) {
        char command[256] = "";
        int client = accept(sock, NULL, NULL);
        if (read(client, command, sizeof command) > 0 && strcmp(command, REQUEST) == 0)
            if (write(client, ANSWER, strlen(ANSWER)) == -1)
                err(1, "cannot answer");
        close(client);
    }
}

void serve(const char *kind, const char *path)
{
    if (strcmp(kind, "accept") == 0)
        serve_by_accept(path);
    else
        serve_by_epoll(path);
}
