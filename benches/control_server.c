#include "control.h"

#include <err.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int listen_at(const char *path, int backlog, int flags)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (listener == -1 || bind(listener, (struct sockaddr *)&address, sizeof address) == -1 ||
        listen(listener, backlog) == -1)
        err(1, "cannot listen at %s", path);
    return listener;
}

void say_ready(void)
{
    if (write(STDOUT_FILENO, "", 1) != 1)
        err(1, "cannot say that it is ready");
}

int main(int argc, char *argv[])
{
    if (argc != 3)
        errx(2, "usage: %s KIND PATH, started by a program that reads its stdout", argv[0]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    serve(argv[1], argv[2]);
}
