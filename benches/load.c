/*
 * Loads a library in a fresh process: prints the nanoseconds of dlopen and the KiB of memory of its
 * own that the process has more afterwards.
 */
#include "tiny_daemon.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Nothing is allocated here, or it would be counted. */
static long private_dirty(void)
{
    static char text[4096];
    static const char label[] = "Private_Dirty:";
    int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t length = file == -1 ? -1 : read(file, text, sizeof text - 1);
    if (length <= 0)
        err(1, "cannot read /proc/self/smaps_rollup");
    close(file);
    text[length] = '\0';
    const char *line = strstr(text, label);
    if (line == NULL)
        errx(1, "/proc/self/smaps_rollup has no Private_Dirty");
    return strtol(line + sizeof label - 1, NULL, 10);
}

int main(int argc, char *argv[])
{
    if (argc != 2)
        errx(2, "usage: %s LIBRARY", argv[0]);

    private_dirty(); /* touches what reading it touches */
    long before = private_dirty();
    int64_t begin = now_ns();
    void *library = dlopen(argv[1], RTLD_NOW);
    int64_t end = now_ns();
    if (library == NULL)
        errx(1, "%s", dlerror());
    printf("%lld %ld\n", (long long)(end - begin), private_dirty() - before);
    return 0;
}
