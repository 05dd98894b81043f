/*
 * A control socket and a client of it, from opening to closing. The client tries again as long as it is not answered;
 * its own calls are others than those by which it is served. One line at a time, so that the calls do not depend on the
 * time. What was seen is printed at the end.
 */
#include <errno.h>
#include <poll.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATH "socket"
/* More than is taken at once, so that it goes on later. */
#define LONG_TEXT 300000

static char why[512];

static long now_ms(void)
{
    struct timespec now = { 0, 0 };
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int exists(const char *path)
{
    return access(path, F_OK) == 0 || access(path, F_OK) == 0;
}

/* Before the program ends: a sentence, and nothing is left. */
static int say(const char *sentence)
{
    snprintf(why, sizeof why, "fault_control: %s\n%s", sentence,
             exists(PATH) || exists(PATH ".lock") ? "but there is a file\n" : "");
    struct iovec line = { why, strlen(why) };
    return writev(2, &line, 1) == -1 ? 2 : 1; /* not write(2): that may be what fails */
}

static void hello(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    if (rsd_control_print(request, "hello\n") == -1)
        rsd_control_fail(request, rsd_last_error());
}

static void print_long(struct rsd_control_request *request, void *arg)
{
    static char text[LONG_TEXT + 1];
    (void)arg;
    memset(text, 'x', LONG_TEXT);
    if (rsd_control_print(request, "%s", text) == -1)
        rsd_control_fail(request, rsd_last_error());
}

/* Serves until `length` bytes of an answer are there. 1: they are. -1: the loop says why it does not go on. */
static int gets(int fd, const char *line, const char *first, size_t length, long end)
{
    static char answer[LONG_TEXT + 100];
    size_t got = 0;
    if (send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line))
        return 0;
    if (strchr(line, '\n') == NULL && shutdown(fd, SHUT_WR) == -1)
        return 0;
    while (now_ms() < end && got < length) {
        struct pollfd one = { .fd = fd, .events = POLLIN };
        if (rsd_wait(20) == -1)
            return -1;
        int ready = poll(&one, 1, 0);
        if (ready == -1 && errno != EINTR)
            break;
        if (ready != 1)
            continue;
        ssize_t count = read(fd, answer + got, sizeof answer - 1 - got);
        if (count == -1 && errno == EINTR)
            continue;
        if (count <= 0)
            break;
        got += (size_t)count;
    }
    answer[got] = '\0';
    return got == length && strncmp(answer, first, strlen(first)) == 0;
}

static int is_answered(long end)
{
    static const char unknown[] = "error there is no command quit; try help\n";
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = PATH };
    int result = 0, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return 0;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        result = gets(fd, "hello\n", " hello\nok\n", 10, end);
    if (result == 1)
        result = gets(fd, "long\n", " xxx", LONG_TEXT + 5, end);
    if (result == 1)
        result = gets(fd, "quit", unknown, strlen(unknown), end);
    close(fd);
    return result;
}

int main(void)
{
    int answered = 0;
    if (rsd_open_control(PATH, 0660, ":0") == -1)
        return say(rsd_last_error());
    if (rsd_control_query("hello", "say it", hello, NULL) == -1
        || rsd_control_query("long", NULL, print_long, NULL) == -1) {
        char sentence[400];
        snprintf(sentence, sizeof sentence, "%s", rsd_last_error());
        rsd_close_control();
        return say(sentence);
    }
    long end = now_ms() + 1150; /* after a second without descriptors it is tried again */
    for (int tries = 0; answered == 0 && tries < 3 && now_ms() < end; tries++)
        answered = is_answered(end);
    if (answered == -1) {
        char sentence[400];
        snprintf(sentence, sizeof sentence, "%s", rsd_last_error());
        rsd_close_control();
        return say(sentence);
    }
    rsd_close_control();
    snprintf(why, sizeof why, "%s, %s\n", answered ? "answered" : "not answered",
             exists(PATH) ? "socket is left" : exists(PATH ".lock") ? "lock is left" : "nothing is left");
    while (write(1, why, strlen(why)) == -1)
        if (errno != EINTR) {
            char sentence[100];
            snprintf(sentence, sizeof sentence, "cannot print: %s", strerror(errno));
            return say(sentence);
        }
    return 0;
}
