/*
 * Cgroups: "cgroup CASE" does one thing and checks it; "cgroup limit GROUP LIMITS" makes a group and prints what the
 * call returned, errno, the group that it is in, and the sentence. With a third argument it first enters the group with
 * that cgroup.procs.
 */
#include "cases.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#define ROOT "/sys/fs/cgroup"

/* What is in a file of the kernel's, without the newline. */
static const char *content(const char *path)
{
    static char text[512];
    int fd = open(path, O_RDONLY);
    check(fd != -1);
    ssize_t length = read(fd, text, sizeof text - 1);
    check(length >= 0);
    close(fd);
    text[length] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static const char *own_group(void)
{
    static char line[512];
    FILE *file = fopen("/proc/self/cgroup", "r");
    if (file == NULL)
        return "";
    while (fgets(line, sizeof line, file) != NULL && strncmp(line, "0::", 3) != 0)
        ;
    fclose(file);
    line[strcspn(line, "\n")] = '\0';
    return line + 3;
}

static void bad_words(void)
{
    static const char *const groups[] = { "", ".", "..", "a/b", "/", "a\nb" };
    static const char *const limits[] = {
        "memory.max", "memory.max=", "=1", "memory.max=1k", "memory.max=-1", "memory.max=50%", "memory.min=1",
        "cgroup.procs=0", "pids.max=x", "pids.max=1 pids.max=1", "cpu.max=%", "cpu.max=0%", "cpu.max=50",
        "cpu.max=50000,", "cpu.max=,100000", "cpu.max=1,2,3", "cpu.max=50000 100000", "cpu.weight=0",
        "cpu.weight=10001", "io.weight=max", "io.weight=0", "memory.max=16777216T", "\xff=1",
    };
    char before[512], name[300];
    strcpy(before, own_group());
    check_refused(rsd_limit_resources(NULL, ""), EINVAL);
    check_refused(rsd_limit_resources("box", NULL), EINVAL);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        check_refused(rsd_limit_resources(groups[i], ""), EINVAL);
    memset(name, 'a', sizeof name);
    name[256] = '\0';
    check_refused(rsd_limit_resources(name, ""), EINVAL);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        check_refused(rsd_limit_resources("box", limits[i]), EINVAL);
        char word[64];
        snprintf(word, sizeof word, "cannot use the limit %.*s", (int)strcspn(limits[i], " "), limits[i]);
        check(strncmp(rsd_last_error(), word, strlen(word)) == 0);
    }
    check(strcmp(own_group(), before) == 0);
}

static void memory(void)
{
    check(rsd_limit_resources("box", "memory.max=24M memory.swap.max=0") == 0);
    check(strcmp(content(ROOT "/box/memory.max"), "25165824") == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        size_t length = 64 << 20;
        char *start = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        check(start != MAP_FAILED);
        memset(start, 1, length);
        _exit(0);
    }
    int status;
    check(waitpid(child, &status, 0) == child);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void processes(void)
{
    check(setpgid(0, 0) == 0);
    check(rsd_limit_resources("box", "pids.max=3") == 0);
    int count = 1;
    pid_t child;
    while ((child = fork()) > 0)
        check(++count <= 3);
    if (child == 0) {
        pause();
        _exit(0);
    }
    check(errno == EAGAIN && count == 3);
    check(signal(SIGTERM, SIG_IGN) != SIG_ERR && kill(0, SIGTERM) == 0);
}

static void processor(void)
{
    check(rsd_limit_resources("box", "cpu.max=10% cpu.weight=7") == 0);
    check(strcmp(content(ROOT "/box/cpu.max"), "10000 100000") == 0);
    check(strcmp(content(ROOT "/box/cpu.weight"), "7") == 0);
    char text[512];
    unsigned throttled = 0;
    for (long long end = now_us() + LONG_MS * 1000LL; throttled == 0 && now_us() < end;) {
        FILE *file = fopen(ROOT "/box/cpu.stat", "r");
        check(file != NULL);
        while (fgets(text, sizeof text, file) != NULL)
            sscanf(text, "nr_throttled %u", &throttled);
        fclose(file);
    }
    check(throttled > 0);
}

static void forms(void)
{
    check(rsd_limit_resources("box", " memory.high=1G\tmemory.max=100000001  cpu.max=25000,50000 pids.max=1K") == 0);
    check(strcmp(content(ROOT "/box/memory.high"), "1073741824") == 0);
    check(strcmp(content(ROOT "/box/memory.max"), "99999744") == 0); /* in pages */
    check(strcmp(content(ROOT "/box/cpu.max"), "25000 50000") == 0);
    check(strcmp(content(ROOT "/box/pids.max"), "1024") == 0);
}

static void most(void)
{
    check(rsd_limit_resources("box", "memory.max=max cpu.max=max pids.max=max") == 0);
    check(strcmp(content(ROOT "/box/memory.max"), "max") == 0);
    check(strcmp(content(ROOT "/box/cpu.max"), "max 100000") == 0);
    check(strcmp(content(ROOT "/box/pids.max"), "max") == 0);
}

static const struct one_case cases[] = {
    { "bad-words", bad_words }, { "memory", memory }, { "processes", processes },
    { "processor", processor }, { "forms", forms },   { "most", most },
    { NULL, NULL },
};

static void enter(const char *group)
{
    int fd = open(group, O_WRONLY);
    check(fd != -1 && write(fd, "0", 1) == 1);
    close(fd);
}

static int limit(const char *group, const char *limits)
{
    errno = 0;
    int result = rsd_limit_resources(group, limits), error = errno;
    printf("%d %d %s|%s\n", result, error, own_group(), result == -1 ? rsd_last_error() : "");
    return 0;
}

int main(int argc, char *argv[])
{
    if (argc == 4 && strcmp(argv[1], "limit") == 0)
        return limit(argv[2], argv[3]);
    if (argc == 5 && strcmp(argv[1], "limit") == 0) {
        enter(argv[4]);
        return limit(argv[2], argv[3]);
    }
    return run_case(cases, argc, argv);
}
