/*
 * What the library costs, against the same thing by hand and with other libraries (make bench).
 *
 * How to read it: compare ratios, not times. All variants of a table take turns in one run, in a
 * different order each round, so that whatever else the machine does hits all of them. A time is
 * the median of all runs; a ratio is the median of the quotients with the first variant of the same
 * round, so it holds better than the times on a busy machine. "bare again" is the first program a
 * second time: as far as its ratio is from 1.00, so far is any other ratio of that table noise.
 * Nothing here passes or fails for its time. It fails if a start by hand or with this library goes
 * wrong, or its launcher leaves before the pid file is right; what others do wrong is shown.
 *
 *   start    from the start of the program until its launcher has left with status 0, which is how
 *            long a boot script waits; loading the program and its libraries is part of it
 *   call     the same, but from the call that makes it a daemon on
 *   right    in how many runs the pid file held the pid of the living daemon at that moment
 *   cycle    a pid file locked, written and removed again. "guide" is lock_pidfile() as guides to
 *            writing daemons print it
 *   locked   whether somebody else's flock(2) on it is refused in between
 *   check    a look at the signal flag when no signal came. The library is not in that loop.
 *   load     the first dlopen(3) in a fresh process; "empty" is a library without content
 *   dirty    memory that the process has for itself afterwards, and that no other process shares
 *
 * The libraries do not do the same amount of work: libbsd and libdaemon have much besides, and
 * daemon(3) waits for nothing. libdaemon cannot start with a descriptor above 1023 (select(2)).
 */
#include "tiny_daemon.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <rsdaemon.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define ROUNDS_MAX 400
#define VARIANTS_MAX 6
#define PATH_SIZE 4096
/* Long enough for the slowest machine: only reached when something hangs. */
#define DEADLINE_S 120

extern char **environ;

/* Where the programs are, and folders for pid files on two file systems. */
static const char *programs;
static char disk[PATH_SIZE];
static char shm[] = "/dev/shm/rsdaemon-bench-XXXXXX";
static bool has_shm;
static bool went_wrong;

/* --- numbers ---------------------------------------------------------------------------------- */

static double median_ratio(const double *values, const double *bases, int count)
{
    double ratios[ROUNDS_MAX];
    for (int i = 0; i < count; i++)
        ratios[i] = values[i] / bases[i];
    return median(ratios, count);
}

static void show_time(const double *values, const double *bases, int count, int width, int digits)
{
    printf("%*.*f", width, digits, median(values, count));
    if (bases != NULL)
        printf("%8.2f", median_ratio(values, bases, count));
    else
        printf("%8s", "-"); /* nothing to compare with: the first one failed */
}

static const char *file_system(const char *folder)
{
    static char number[32];
    struct statfs info;
    if (statfs(folder, &info) == -1)
        return "unknown";
    switch (info.f_type) {
    case 0xef53:     return "ext4";
    case 0x1021994:  return "tmpfs";
    case 0x58465342: return "xfs";
    case 0x794c7630: return "overlayfs";
    case 0x9123683e: return "btrfs";
    }
    snprintf(number, sizeof number, "type 0x%lx", (unsigned long)info.f_type);
    return number;
}

/* --- folders and hangs ------------------------------------------------------------------------ */

static void empty(const char *folder)
{
    const char *const names[] = { "pid", "trace", "stripped" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[PATH_SIZE + 16];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void remove_folders(void)
{
    empty(disk);
    if (has_shm)
        empty(shm);
}

static void make_folders(void)
{
    snprintf(disk, sizeof disk, "%s/pid-XXXXXX", programs);
    if (mkdtemp(disk) == NULL)
        err(1, "cannot make a folder in %s", programs);
    /* The daemons go to another working directory. */
    char *absolute = realpath(disk, NULL);
    if (absolute == NULL || strlen(absolute) >= sizeof disk)
        err(1, "cannot use %s", disk);
    strcpy(disk, absolute);
    free(absolute);
    has_shm = mkdtemp(shm) != NULL;
    atexit(remove_folders);
}

/* The signal that interrupted us; SIGALRM if something hangs. */
static volatile sig_atomic_t interrupted_by;

static void on_signal(int signo)
{
    interrupted_by = signo;
}

/* Without SA_RESTART, so that all waits return. */
static void watch_signals(void)
{
    static const int signals[] = { SIGALRM, SIGHUP, SIGINT, SIGTERM };
    struct sigaction action = { .sa_handler = on_signal };
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
}

/* Interrupts all that takes longer, again and again. */
static void set_deadline(int seconds)
{
    struct itimerval timer = { .it_value.tv_sec = seconds, .it_interval.tv_sec = seconds > 0 };
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* Ends `pid`, if it is not 0. A daemon ends with us, since its channel does. */
static void stop_if_interrupted(const char *name, pid_t pid)
{
    if (interrupted_by == 0)
        return;
    if (pid > 0)
        kill(pid, SIGKILL);
    errx(1, interrupted_by == SIGALRM ? "%s hangs" : "%s: interrupted", name);
}

/* --- programs that print two numbers ---------------------------------------------------------- */

/* Runs a program from the PATH or by path; returns whether it ended well. */
static bool ask(char *const argv[], char *answer, size_t size)
{
    int output[2];
    if (pipe2(output, O_CLOEXEC) == -1)
        err(1, "cannot make a pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, output[1], 1);
    pid_t pid;
    int error = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(output[1]);

    size_t length = 0;
    ssize_t more;
    while ((more = read(output[0], answer + length, size - 1 - length)) > 0)
        length += (size_t)more;
    answer[length] = '\0';
    close(output[0]);
    if (length > 0 && answer[length - 1] == '\n')
        answer[length - 1] = '\0';

    int status;
    if (error != 0)
        return false;
    stop_if_interrupted(argv[0], pid);
    bool has_ended = waitpid(pid, &status, 0) == pid;
    stop_if_interrupted(argv[0], has_ended ? 0 : pid);
    return has_ended && status == 0;
}

struct contestant {
    const char *name;
    char *argv[4];
    double first[ROUNDS_MAX];
    double second[ROUNDS_MAX];
};

/* Round 0 warms up and does not count. */
static void compete(struct contestant *list, int count, int rounds)
{
    for (int round = 0; round <= rounds; round++) {
        for (int turn = 0; turn < count; turn++) {
            struct contestant *one = &list[(round + turn) % count];
            int slot = round > 0 ? round - 1 : 0;
            char answer[256];
            set_deadline(DEADLINE_S);
            if (!ask(one->argv, answer, sizeof answer) ||
                sscanf(answer, "%lf %lf", &one->first[slot], &one->second[slot]) != 2)
                errx(1, "%s %s failed", one->argv[0], one->argv[1]);
            set_deadline(0);
        }
    }
}

/* --- start to ready --------------------------------------------------------------------------- */

struct variant {
    const char *name;
    const char *file;
    const char *package; /* what to install for it; NULL: nothing */
    /* Whether a failure is one of ours and not a finding about another library. */
    bool must_work;
    double start[ROUNDS_MAX];
    double call[ROUNDS_MAX];
    int right;
    char failure[80];
};

struct scenario {
    const char *title;
    rlim_t nofile; /* 0: as it is */
    int descriptors;
    long mebibytes;
    int rounds;
};

static long read_pid(const char *pidfile)
{
    char text[32] = "";
    int file = open(pidfile, O_RDONLY | O_CLOEXEC);
    if (file == -1)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 && text[length - 1] == '\n' ? strtol(text, NULL, 10) : 0;
}

/* Ends the daemon, if there is one, and waits for all that its start has left. */
static bool end_daemon(pid_t daemon)
{
    bool has_ended = false;
    /* Nobody but us waits for it, so its number cannot be somebody else's. */
    if (daemon > 0)
        kill(daemon, SIGTERM);
    for (pid_t gone; (gone = waitpid(-1, NULL, 0)) > 0;)
        has_ended = has_ended || gone == daemon;
    stop_if_interrupted("the end of a daemon", has_ended ? 0 : daemon);
    return has_ended;
}

/* One start and the daemon's end. What went wrong is left in variant->failure. */
static void start_once(struct variant *variant, int slot, char *pidfile, long mebibytes)
{
    char *program = join(programs, variant->file);
    int channel[2];
    char number[16], size[16];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) == -1 ||
        fcntl(channel[1], F_SETFD, 0) == -1)
        err(1, "cannot make a socket");
    snprintf(number, sizeof number, "%d", channel[1]);
    snprintf(size, sizeof size, "%ld", mebibytes);
    char *argv[] = { program, pidfile, number, size, NULL };
    if (unlink(pidfile) == -1 && errno != ENOENT)
        err(1, "cannot remove %s", pidfile);
    set_deadline(DEADLINE_S);

    pid_t launcher;
    int status;
    int64_t begin = now_ns();
    if ((errno = posix_spawn(&launcher, program, NULL, NULL, argv, environ)) != 0)
        err(1, "cannot run %s", program);
    close(channel[1]); /* so that we notice when no process has it any more */
    bool has_left = waitpid(launcher, &status, 0) == launcher;
    int64_t end = now_ns();
    stop_if_interrupted(variant->name, has_left ? 0 : launcher);
    if (!has_left)
        err(1, "cannot wait for %s", variant->name);
    long pid_in_file = read_pid(pidfile);

    struct report report = { .pid = 0 };
    const char *failure = NULL;
    if (WIFSIGNALED(status))
        failure = strsignal(WTERMSIG(status));
    else if (status != 0)
        failure = "its launcher tells of a failure";
    else if (recv(channel[0], &report, sizeof report, 0) != sizeof report)
        failure = "its launcher left with status 0, but there is no daemon";
    else if (report.pid == launcher || kill((pid_t)report.pid, 0) == -1)
        failure = "its launcher left with status 0, but the daemon is gone";
    variant->start[slot] = (double)(end - begin) / 1e6;
    variant->call[slot] = (double)(end - report.called_at) / 1e6;
    variant->right += failure == NULL && pid_in_file == report.pid;

    if (failure != NULL)
        close(channel[0]); /* a daemon without a launcher ends with this */
    if (!end_daemon((pid_t)report.pid) && failure == NULL)
        failure = "the daemon has another parent";
    set_deadline(0);
    if (failure == NULL)
        close(channel[0]);
    else
        snprintf(variant->failure, sizeof variant->failure, "%s", failure);
    free(program);
}

/* Returns what the soft limit is now: the one asked for, or the highest allowed. */
static rlim_t limit_descriptors(rlim_t wanted)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (wanted > limit.rlim_max) {
        struct rlimit higher = { .rlim_cur = wanted, .rlim_max = wanted };
        if (setrlimit(RLIMIT_NOFILE, &higher) == 0)
            return wanted;
        wanted = limit.rlim_max;
    }
    limit.rlim_cur = wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
        err(1, "cannot set the limit of descriptors");
    return wanted;
}

static void show_starts(struct variant *variants, int count, int rounds, bool whole_start)
{
    const struct variant *first = variants[0].failure[0] == '\0' ? &variants[0] : NULL;
    printf("  %-14s%10s%8s%10s%8s%16s\n", "", "start ms", "ratio", "call ms", "ratio", "right");
    for (int i = 0; i < count; i++) {
        const struct variant *one = &variants[i];
        printf("  %-14s", one->name);
        if (one->failure[0] != '\0') {
            printf("  FAILED: %s\n", one->failure);
            went_wrong = went_wrong || one->must_work;
            continue;
        }
        if (whole_start)
            show_time(one->start, first ? first->start : NULL, rounds, 10, 3);
        else
            printf("%10s%8s", "-", "-");
        show_time(one->call, first ? first->call : NULL, rounds, 10, 3);
        printf("%9d of %d\n", one->right, rounds);
        if (one->must_work && one->right < rounds) {
            printf("  WRONG: the launcher of %s left before the pid file was right\n", one->name);
            went_wrong = true;
        }
    }
}

static void run_scenario(const struct scenario *scenario, struct variant *variants, int count)
{
    if (scenario->mebibytes > 0 && !has_memory(2 * scenario->mebibytes)) {
        printf("\nSKIPPED %s: less than %ld MiB of memory are free\n", scenario->title,
               2 * scenario->mebibytes);
        return;
    }
    static int open_fds[8192];
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    rlim_t nofile = before.rlim_cur;
    if (scenario->nofile != 0)
        nofile = limit_descriptors(scenario->nofile);
    int opened = 0;
    while (opened < scenario->descriptors && (open_fds[opened] = open("/dev/null", O_RDONLY)) != -1)
        opened++;

    printf("\nStart to ready, %s: %d runs each, limit of descriptors %llu", scenario->title,
           scenario->rounds, (unsigned long long)nofile);
    if (scenario->descriptors > 0)
        printf(", %d more open", opened);
    puts("");
    if (opened < scenario->descriptors)
        printf("  (wanted %d)\n", scenario->descriptors);
    if (scenario->nofile > nofile)
        printf("  (wanted a limit of %llu, which this user may not set)\n",
               (unsigned long long)scenario->nofile);
    fflush(stdout);

    char *pidfile = join(has_shm ? shm : disk, "pid");
    for (int round = 0; round <= scenario->rounds; round++) {
        for (int turn = 0; turn < count; turn++) {
            struct variant *one = &variants[(round + turn) % count];
            if (round == 0)
                one->failure[0] = '\0';
            if (round <= 1)
                one->right = 0; /* round 0 warms up and does not count */
            if (one->failure[0] == '\0')
                start_once(one, round > 0 ? round - 1 : 0, pidfile, scenario->mebibytes);
        }
    }
    unlink(pidfile);
    free(pidfile);
    for (int i = 0; i < opened; i++)
        close(open_fds[i]);
    if (scenario->nofile != 0)
        limit_descriptors(before.rlim_cur);

    show_starts(variants, count, scenario->rounds, scenario->mebibytes == 0);
}

static void measure_starts(void)
{
    static struct variant all[] = {
        { .name = "bare", .file = "bare", .must_work = true },
        { .name = "bare again", .file = "bare", .must_work = true },
        { .name = "rsdaemon", .file = "rsdaemon", .must_work = true },
        { .name = "libc, libbsd", .file = "libc_libbsd", .package = "libbsd-dev" },
        { .name = "libdaemon", .file = "libdaemon", .package = "libdaemon-dev" },
    };
    static const struct scenario scenarios[] = {
        { .title = "normal", .rounds = 250 },
        { .title = "a high limit of descriptors", .nofile = 1000000, .rounds = 150 },
        { .title = "many descriptors", .nofile = 6000, .descriptors = 5000, .rounds = 100 },
        { .title = "a heap of 1 GiB", .mebibytes = 1024, .rounds = 11 },
    };

    int count = 0;
    puts("");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (is_built(programs, all[i].file, all[i].package))
            all[count++] = all[i];
    if (!has_shm)
        printf("SKIPPED /dev/shm: no folder can be made there; pid files are on the disk\n");
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        run_scenario(&scenarios[i], all, count);
}

/* --- pid file cycles -------------------------------------------------------------------------- */

/* System calls of one cycle, or -1: what 100 more cycles add to a trace. */
static double count_calls(char *program, char *pidfile)
{
    char *trace = join(disk, "trace");
    char answer[256];
    long lines[2];
    char *const cycles[] = { "10", "110" };
    for (int i = 0; i < 2; i++) {
        char *argv[] = { "strace", "-o", trace, program, pidfile, cycles[i], NULL };
        set_deadline(DEADLINE_S);
        lines[i] = ask(argv, answer, sizeof answer) ? count_lines(trace) : -1;
        set_deadline(0);
    }
    unlink(trace);
    free(trace);
    return lines[0] < 0 || lines[1] < 0 ? -1 : (double)(lines[1] - lines[0]) / 100;
}

static void measure_cycles(char *folder)
{
    static const struct {
        const char *name, *file, *package;
    } all[] = {
        { "bare", "cycle_bare", NULL },
        { "bare again", "cycle_bare", NULL },
        { "guide", "cycle_guide", NULL },
        { "rsdaemon", "cycle_rsdaemon", NULL },
        { "libbsd", "cycle_libbsd", "libbsd-dev" },
        { "libdaemon", "cycle_libdaemon", "libdaemon-dev" },
    };
    static struct contestant list[VARIANTS_MAX];
    static char cycles[] = "50";
    enum { ROUNDS = 41 };

    const char *kind = file_system(folder);
    printf("\nPid file cycles in a folder on %s: %d runs of %s cycles\n", kind, ROUNDS, cycles);
    char *pidfile = join(folder, "pid");
    int count = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!is_built(programs, all[i].file, all[i].package))
            continue;
        struct contestant *one = &list[count++];
        one->name = all[i].name;
        one->argv[0] = join(programs, all[i].file);
        one->argv[1] = pidfile;
        one->argv[2] = cycles;
        one->argv[3] = NULL;
    }
    fflush(stdout);
    compete(list, count, ROUNDS);

    bool is_counted = true;
    printf("  %-14s%10s%8s%12s%8s\n", "", "cycle ns", "ratio", "sys. calls", "locked");
    for (int i = 0; i < count; i++) {
        double calls = count_calls(list[i].argv[0], pidfile);
        is_counted = is_counted && calls >= 0;
        printf("  %-14s", list[i].name);
        show_time(list[i].first, list[0].first, ROUNDS, 10, 0);
        if (calls >= 0)
            printf("%12.2f", calls);
        else
            printf("%12s", "-");
        printf("%8s\n", median(list[i].second, ROUNDS) == 1 ? "yes" : "no");
        free(list[i].argv[0]);
    }
    if (!is_counted)
        puts("SKIPPED system calls: strace is not installed or not allowed");
    free(pidfile);
}

/* --- signal flags ----------------------------------------------------------------------------- */

static void measure_flags(void)
{
    static struct contestant list[] = {
        { .name = "bare", .argv = { NULL, "bare", NULL } },
        { .name = "bare again", .argv = { NULL, "bare", NULL } },
        { .name = "rsdaemon", .argv = { NULL, "rsdaemon", NULL } },
    };
    enum { ROUNDS = 101, COUNT = sizeof list / sizeof *list };

    printf("\nSignal flags: %d runs of 20000000 checks and 5000 signals\n", ROUNDS);
    fflush(stdout);
    char *program = join(programs, "flags");
    for (int i = 0; i < COUNT; i++)
        list[i].argv[0] = program;
    compete(list, COUNT, ROUNDS);

    printf("  %-14s%10s%8s%12s%8s\n", "", "check ns", "ratio", "signal ns", "ratio");
    for (int i = 0; i < COUNT; i++) {
        printf("  %-14s", list[i].name);
        show_time(list[i].first, list[0].first, ROUNDS, 10, 3);
        show_time(list[i].second, list[0].second, ROUNDS, 12, 1);
        puts("");
    }
    free(program);
}

/* --- the libraries themselves ----------------------------------------------------------------- */

struct library {
    const char *name;
    const char *soname; /* NULL: the path is known */
    char *path;
};

/* Asks the loader, which knows where libraries are. */
static char *find_library(const char *soname)
{
    struct link_map *map;
    void *library = dlopen(soname, RTLD_NOW);
    if (library == NULL || dlinfo(library, RTLD_DI_LINKMAP, &map) == -1)
        return NULL;
    return realpath(map->l_name, NULL);
}

/* What a shell script prints about a file; "-" where a tool is missing. */
static const char *tell(const char *script, char *file)
{
    static char answer[1024];
    char *stripped = join(disk, "stripped");
    char *argv[] = { "sh", "-c", (char *)(intptr_t)script, "sh", file, stripped, NULL };
    bool is_told = ask(argv, answer, sizeof answer) && answer[0] != '\0';
    unlink(stripped);
    free(stripped);
    return is_told ? answer : "-";
}

static void show_sizes(struct library *list, int count)
{
    double peer = 0;
    for (int i = 0; i < count; i++)
        if (strcmp(list[i].name, "libdaemon") == 0)
            peer = atof(tell("strip -o \"$2\" \"$1\" && wc -c < \"$2\"", list[i].path));

    puts("\nThe libraries on disk, stripped; the ratio is to libdaemon");
    printf("  %-14s%10s%8s%8s%9s", "", "bytes", "ratio", "relocs", "exports");
    puts("  file, needs");
    for (int i = 0; i < count; i++) {
        char *path = list[i].path;
        const char *size = tell("strip -o \"$2\" \"$1\" && wc -c < \"$2\"", path);
        printf("  %-14s%10s", list[i].name, size);
        if (peer > 0)
            printf("%8.2f", atof(size) / peer);
        else
            printf("%8s", "-");
        printf("%8s", tell("readelf -rW \"$1\" | grep -c ' R_'", path));
        printf("%9s", tell("readelf --dyn-syms -W \"$1\" | awk '$5 ~ /GLOBAL|WEAK|UNIQUE/ && "
                           "$7 ~ /^[0-9]+$/ { n++ } END { print n + 0 }'", path));
        printf("  %s,", strrchr(path, '/') + 1);
        printf(" %s\n", tell("readelf -dW \"$1\" | sed -n 's/.*(NEEDED).*\\[\\(.*\\)\\]/\\1/p' | "
                             "paste -sd ' ' -", path));
    }
}

static void show_loads(struct library *list, int count)
{
    static struct contestant contestants[VARIANTS_MAX];
    enum { ROUNDS = 300 };
    char *program = join(programs, "load");
    for (int i = 0; i < count; i++) {
        contestants[i].name = list[i].name;
        contestants[i].argv[0] = program;
        contestants[i].argv[1] = list[i].path;
    }
    printf("\nThe libraries in memory: %d fresh processes each\n", ROUNDS);
    fflush(stdout);
    compete(contestants, count, ROUNDS);

    printf("  %-14s%10s%8s%12s\n", "", "load ns", "ratio", "dirty KiB");
    for (int i = 0; i < count; i++) {
        printf("  %-14s", contestants[i].name);
        show_time(contestants[i].first, contestants[0].first, ROUNDS, 10, 0);
        printf("%12.0f\n", median(contestants[i].second, ROUNDS));
    }
    free(program);
}

static void measure_libraries(const char *ours)
{
    static struct library all[] = {
        { .name = "empty" },
        { .name = "rsdaemon" },
        { .name = "libdaemon", .soname = "libdaemon.so.0" },
        { .name = "libbsd", .soname = "libbsd.so.0" },
    };
    char *empty = join(programs, "empty.so");
    all[0].path = realpath(empty, NULL);
    all[1].path = realpath(ours, NULL);
    if (all[0].path == NULL || all[1].path == NULL)
        err(1, "cannot find %s or %s", empty, ours);

    int count = 2;
    puts("");
    for (size_t i = 2; i < sizeof all / sizeof *all; i++) {
        all[i].path = find_library(all[i].soname);
        if (all[i].path != NULL)
            all[count++] = all[i];
        else
            printf("SKIPPED %s: it is not installed\n", all[i].soname);
    }
    show_sizes(all + 1, count - 1);
    show_loads(all, count);
    free(empty);
}

/* --- the machine ------------------------------------------------------------------------------ */

static void show_machine(void)
{
    struct utsname system;
    uname(&system);
    printf("%s %s %s, %ld CPUs, %s\n", system.sysname, system.release, system.machine,
           sysconf(_SC_NPROCESSORS_ONLN),
           tell("sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1", ""));
    printf("load %s", tell("cut -d ' ' -f 1-3 /proc/loadavg", ""));
    printf(", transparent huge pages: %s\n",
           tell("sed 's/.*\\[\\(.*\\)\\].*/\\1/' /sys/kernel/mm/transparent_hugepage/enabled", ""));
    printf("rsdaemon %d.%d.%d, glibc %s, compiler %s", RSDAEMON_VERSION_MAJOR,
           RSDAEMON_VERSION_MINOR, RSDAEMON_VERSION_PATCH, gnu_get_libc_version(), __VERSION__);
    printf(", libbsd %s", tell("pkg-config --modversion libbsd 2>/dev/null", ""));
    printf(", libdaemon %s\n", tell("pkg-config --modversion libdaemon 2>/dev/null", ""));
    printf("pid files of the starts on %s\n", file_system(has_shm ? shm : disk));
}

int main(int argc, char *argv[])
{
    if (argc != 3)
        errx(2, "usage: %s FOLDER-OF-PROGRAMS LIBRARY", argv[0]);
    programs = argv[1];
    setenv("LC_ALL", "C", 1);
    watch_signals();
    /* So that the daemons become our children when their launchers have left. */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) == -1)
        err(1, "cannot become the parent of the daemons");

    int64_t begin = now_ns();
    make_folders();
    show_machine();
    measure_starts();
    measure_cycles(disk);
    if (has_shm)
        measure_cycles(shm);
    measure_flags();
    measure_libraries(argv[2]);
    printf("\n%.0f seconds\n", (double)(now_ns() - begin) / 1e9);
    return went_wrong;
}
