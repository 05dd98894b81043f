/*
 * A worker that asks its parent and is ready. Where something fails in it there is another one, and then a third.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int answer(const void *request, size_t length, void *to, int *fd, void *arg)
{
    (void)arg;
    *fd = dup(0);
    memcpy(to, request, length);
    return *fd == -1 ? -1 : (int)length;
}

static int worker(void)
{
    char answered[16] = "";
    int fd = -1;
    if (rsd_ask_parent("answered", 8, answered, sizeof answered - 1, &fd) == -1 || rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());
    return fd == -1 || rsd_fail(9, answered) != 9 || close(fd) == -1 ? 1 : 9;
}

int main(void)
{
    close(-1000001); /* a mark for strace(1): before are the loader's calls */
    int status = rsd_keep_alive(RSD_KEEP_ALIVE(.max_restarts = 2, .delay_ms = 1, .answer = answer));
    if (status == RSD_IS_WORKER)
        return worker();
    if (status != 9)
        errx(1, "%s", rsd_last_error());
    printf("%s\n", rsd_last_error());
    return 0;
}
