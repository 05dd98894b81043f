/*
 * For programs that serve their own control socket and are its client, too.
 */
#ifndef CONTROL_CALLS_H
#define CONTROL_CALLS_H

#include "cases.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* "@NAME" is an abstract name. -1 and errno as connect(2). */
static inline int try_connect(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    check(strlen(path) < sizeof address.sun_path);
    strcpy(address.sun_path, path);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)
                                   + (path[0] != '@'));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd != -1);
    if (connect(fd, (struct sockaddr *)&address, length) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static inline int connected(const char *path)
{
    int fd = try_connect(path);
    check(fd != -1);
    return fd;
}

static inline void send_line(int fd, const char *line)
{
    check(send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line));
}

/* Also where the other side is gone. */
static inline int has_something(int fd, int ms)
{
    struct pollfd one = { .fd = fd, .events = POLLIN };
    return poll(&one, 1, ms) == 1;
}

/* Serves until a whole answer has come, which is returned with its newlines; "" if the connection ended. */
static inline const char *answer(int fd)
{
    static char text[65536];
    size_t length = 0;
    long long end = now_us() + LONG_MS * 1000LL;
    for (text[0] = '\0';;) {
        char *last = length > 1 ? memrchr(text, '\n', length - 1) : NULL;
        last = last == NULL ? text : last + 1;
        if (length > 0 && text[length - 1] == '\n' && *last != ' ')
            return text;
        if (!has_something(fd, 0)) {
            check(now_us() < end);
            check(rsd_dispatch() >= 0);
            has_something(fd, 1);
            continue;
        }
        /* Byte by byte, so that what belongs to the next answer is left. */
        ssize_t got = read(fd, text + length, 1);
        if (got <= 0)
            return "";
        length++;
        text[length] = '\0';
        check(length < sizeof text - 1);
    }
}

static inline const char *ask(const char *path, const char *line)
{
    int fd = connected(path);
    send_line(fd, line);
    const char *text = answer(fd);
    close(fd);
    return text;
}

static inline int is_answered(const char *path, const char *line, const char *text)
{
    return strcmp(ask(path, line), text) == 0;
}

static inline int exists(const char *path)
{
    struct stat stat;
    return lstat(path, &stat) == 0;
}

#endif
