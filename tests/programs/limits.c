/*
 * Limits: "limits CASE" does one thing and checks it; "limits set TEXT" sets them and prints what the call returned,
 * errno, what is in force then, and the sentence.
 */
#include "cases.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#define USER 64001

static struct rlimit present(int resource)
{
    struct rlimit limit;
    check(getrlimit(resource, &limit) == 0);
    return limit;
}

static int is(int resource, rlim_t soft, rlim_t hard)
{
    struct rlimit limit = present(resource);
    return limit.rlim_cur == soft && limit.rlim_max == hard;
}

static void all_names(void)
{
    static const struct {
        const char *name;
        int resource;
    } all[] = {
        { "as", RLIMIT_AS },           { "core", RLIMIT_CORE },     { "cpu", RLIMIT_CPU },
        { "data", RLIMIT_DATA },       { "fsize", RLIMIT_FSIZE },   { "locks", RLIMIT_LOCKS },
        { "memlock", RLIMIT_MEMLOCK }, { "msgqueue", RLIMIT_MSGQUEUE }, { "nice", RLIMIT_NICE },
        { "nofile", RLIMIT_NOFILE },   { "nproc", RLIMIT_NPROC },   { "rss", RLIMIT_RSS },
        { "rtprio", RLIMIT_RTPRIO },   { "rttime", RLIMIT_RTTIME }, { "sigpending", RLIMIT_SIGPENDING },
        { "stack", RLIMIT_STACK },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char text[64];
        struct rlimit before[sizeof all / sizeof *all];
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            before[k] = present(all[k].resource);
        /* What is there, and one less: nothing that the test itself lacks afterwards. */
        rlim_t hard = before[i].rlim_max, soft = before[i].rlim_cur;
        if (hard == RLIM_INFINITY)
            hard = (rlim_t)1 << 50;
        else if (hard > 0)
            hard--;
        if (soft > hard)
            soft = hard;
        snprintf(text, sizeof text, "%s=%llu:%llu", all[i].name, (unsigned long long)soft,
                 (unsigned long long)hard);
        check(rsd_set_limits(text) == 0);
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            check(k == i ? is(all[k].resource, soft, hard)
                         : is(all[k].resource, before[k].rlim_cur, before[k].rlim_max));
    }
}

static void words(void)
{
    errno = 4711;
    check(rsd_set_limits("") == 0 && rsd_set_limits(" \t ") == 0);
    check(rsd_set_limits("  core=0\tfsize=3K:2M  nofile=64:128") == 0);
    check(errno == 4711);
    check(is(RLIMIT_CORE, 0, 0) && is(RLIMIT_FSIZE, 3 << 10, 2 << 20) && is(RLIMIT_NOFILE, 64, 128));
    check(rsd_set_limits("fsize=1M") == 0 && is(RLIMIT_FSIZE, 1 << 20, 1 << 20));
}

static void units(void)
{
    if (present(RLIMIT_DATA).rlim_max != RLIM_INFINITY)
        exit(CANNOT_RUN_HERE);
    check(rsd_set_limits("data=unlimited") == 0 && is(RLIMIT_DATA, RLIM_INFINITY, RLIM_INFINITY));
    check(rsd_set_limits("data=2T:unlimited") == 0 && is(RLIMIT_DATA, (rlim_t)2 << 40, RLIM_INFINITY));
    check(rsd_set_limits("data=3G") == 0 && is(RLIMIT_DATA, (rlim_t)3 << 30, (rlim_t)3 << 30));
}

static void bad_words(void)
{
    static const char *const bad[] = {
        "core", "core=", "=1", "core=x", "core=1:", "core=:1", "core=1:2:3", "core=-1", "core=+1",
        "core=1k", "core=1KK", "core=K", "core= 1", "cores=1", "CORE=1", "RLIMIT_CORE=1", "core=2:1",
        "core=unlimited:1", "core=18446744073709551615", "core=18446744073709551616",
        "core=16777216T", "core=1 core=1", "core=1,nofile=1", "core=0x10", "core==1", "\xff=1",
    };
    struct rlimit core = present(RLIMIT_CORE), nofile = present(RLIMIT_NOFILE);
    check_refused(rsd_set_limits(NULL), EINVAL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[100];
        snprintf(text, sizeof text, "nofile=10 %s", bad[i]);
        check_refused(rsd_set_limits(text), EINVAL);
        check(strstr(rsd_last_error(), strrchr(bad[i], ' ') ? "core=1" : bad[i]) != NULL
              || strcmp(bad[i], "core= 1") == 0);
    }
    check(is(RLIMIT_CORE, core.rlim_cur, core.rlim_max));
    check(is(RLIMIT_NOFILE, nofile.rlim_cur, nofile.rlim_max));
}

static void no_more_files(void)
{
    check(rsd_set_limits("nofile=16") == 0);
    int count = 0, fd;
    while ((fd = open("/dev/null", O_RDONLY)) != -1)
        check(++count < 16 && fd < 16);
    check(errno == EMFILE);
}

static void no_longer_files(void)
{
    int fd = open("file", O_WRONLY | O_CREAT, 0600);
    check(fd != -1 && rsd_set_limits("fsize=1K") == 0);
    check(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    char bytes[2048] = { 0 };
    check(write(fd, bytes, sizeof bytes) == 1024);
    check(write(fd, bytes, 1) == -1 && errno == EFBIG);
}

static void no_more_memory(void)
{
    check(rsd_set_limits("as=256M") == 0);
    check(mmap(NULL, 512 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    check(errno == ENOMEM);
}

static void no_more_processes(void)
{
    if (setgid(USER) == -1 || setuid(USER) == -1)
        exit(CANNOT_RUN_HERE);
    check(rsd_set_limits("nproc=1") == 0);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    check(child == -1 && errno == EAGAIN);
}

static void no_core(void)
{
    check(rsd_set_limits("core=0") == 0);
    pid_t child = checked_fork();
    if (child == 0)
        abort();
    int status;
    check(child > 0 && waitpid(child, &status, 0) == child);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && !WCOREDUMP(status));
}

static void no_way_up(void)
{
    check(rsd_set_limits("nofile=100 core=0 fsize=1M") == 0);
    if (setgid(USER) == -1 || setuid(USER) == -1)
        exit(CANNOT_RUN_HERE);
    /* Also those that could be set stay what they were, whatever stands first. */
    check_refused(rsd_set_limits("fsize=1K core=1 nofile=50"), EPERM);
    check(strstr(rsd_last_error(), "core") != NULL);
    check_refused(rsd_set_limits("core=unlimited fsize=1K nofile=50"), EPERM);
    check(is(RLIMIT_CORE, 0, 0) && is(RLIMIT_FSIZE, 1 << 20, 1 << 20) && is(RLIMIT_NOFILE, 100, 100));
    check(rsd_set_limits("fsize=1K nofile=50:100") == 0);
    check(is(RLIMIT_FSIZE, 1 << 10, 1 << 10) && is(RLIMIT_NOFILE, 50, 100));
}

static void children(void)
{
    check(rsd_set_limits("nofile=100:200") == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "test $(ulimit -Sn) = 100 && test $(ulimit -Hn) = 200", (char *)NULL);
        _exit(9);
    }
    check_ends_well(child);
}

static const struct one_case cases[] = {
    { "all-names", all_names },
    { "words", words },
    { "units", units },
    { "bad-words", bad_words },
    { "files", no_more_files },
    { "length", no_longer_files },
    { "memory", no_more_memory },
    { "processes", no_more_processes },
    { "core", no_core },
    { "no-way-up", no_way_up },
    { "children", children },
    { NULL, NULL },
};

/* What the call returned, errno, "core nofile" as they are now, and the sentence. */
static int set(const char *text)
{
    errno = 0;
    int result = rsd_set_limits(text), error = errno;
    struct rlimit fsize = present(RLIMIT_FSIZE), nofile = present(RLIMIT_NOFILE);
    printf("%d %d fsize %llu nofile %llu|%s\n", result, error, (unsigned long long)fsize.rlim_cur,
           (unsigned long long)nofile.rlim_cur, result == -1 ? rsd_last_error() : "");
    return 0;
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "set") == 0)
        return set(argv[2]);
    return run_case(cases, argc, argv);
}
