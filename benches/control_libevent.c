#include "control.h"

#include <err.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void on_line(struct bufferevent *client, void *arg)
{
    (void)arg;
    char *line;
    while ((line = evbuffer_readln(bufferevent_get_input(client), NULL, EVBUFFER_EOL_LF)) != NULL) {
        const char *text = strcmp(line, "get speed") == 0 ? ANSWER : "error\n";
        free(line);
        bufferevent_write(client, text, strlen(text));
    }
}

static void on_end(struct bufferevent *client, short what, void *arg)
{
    (void)what;
    (void)arg;
    bufferevent_free(client);
}

static void on_client(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int length, void *base)
{
    (void)listener;
    (void)address;
    (void)length;
    struct bufferevent *client = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (client == NULL)
        errx(1, "cannot accept a client");
    bufferevent_setcb(client, on_line, NULL, on_end, NULL);
    bufferevent_enable(client, EV_READ | EV_WRITE);
}

void serve(const char *kind, const char *path)
{
    (void)kind;
    struct event_base *base = event_base_new();
    int fd = listen_at(path, 4096, SOCK_NONBLOCK);
    if (base == NULL ||
        evconnlistener_new(base, on_client, base, LEV_OPT_CLOSE_ON_EXEC, 0, fd) == NULL)
        errx(1, "cannot wait for clients");
    say_ready();
    event_base_dispatch(base);
    errx(1, "cannot run the loop");
}
