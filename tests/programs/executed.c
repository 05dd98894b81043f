/*
 * executed CASE: programs that a daemon executes by its own means start as if this library were
 * not there. "executed show BLOCKED IGNORED OPEN" is such a program: it fails if signals beyond
 * these sets are blocked or ignored, or another number of descriptors above 2 is open.
 */
#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>

#include "cases.h"

static const char *self;
static char command[4096], blocked[32], ignored[32], descriptors[32];
static volatile sig_atomic_t flag;

/* A set of signals of this process as /proc shows it. */
static unsigned long long shown(const char *name)
{
    char line[256];
    unsigned long long set = 0;
    FILE *status = fopen("/proc/self/status", "re");
    check(status != NULL);
    while (fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            set = strtoull(line + strlen(name), NULL, 16);
    fclose(status);
    return set;
}

static unsigned long long bit(int signo)
{
    return 1ULL << (signo - 1);
}

static int count_open(void)
{
    DIR *open = opendir("/proc/self/fd");
    struct dirent *entry;
    int count = 0;
    check(open != NULL);
    while ((entry = readdir(open)) != NULL)
        count += atoi(entry->d_name) > 2 && atoi(entry->d_name) != dirfd(open);
    closedir(open);
    return count;
}

static int show(unsigned long long may_block, unsigned long long may_ignore, int open)
{
    check((shown("SigBlk:") & ~may_block) == 0);
    may_ignore |= bit(32) | bit(33); /* posix_spawn(3) of glibc leaves its own ignored */
    check((shown("SigIgn:") & ~may_ignore) == 0);
    check(count_open() == open);
    return 0;
}

/* What this process has, not what it shows: under valgrind that is another thing, and there even
 * this program has a descriptor more. */
static void note_inherited(void)
{
    unsigned long long blocks = 0, ignores = 0;
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int signo = 1; signo <= 64; signo++) {
        struct sigaction action;
        if (sigismember(&mask, signo) == 1)
            blocks |= bit(signo);
        if (sigaction(signo, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            ignores |= bit(signo);
    }
    snprintf(blocked, sizeof blocked, "%llx", blocks);
    snprintf(ignored, sizeof ignored, "%llx", ignores | bit(SIGTTIN) | bit(SIGTTOU));
    snprintf(command, sizeof command, "exec '%s' count", self);
    snprintf(descriptors, sizeof descriptors, "%d", WEXITSTATUS(system(command)));
    snprintf(command, sizeof command, "exec '%s' show %s %s %s", self, blocked, ignored,
             descriptors);
}

extern char **environ;

static void execute_by_all_means(void)
{
    char *argv[] = { (char *)self, "show", blocked, ignored, descriptors, NULL };
    pid_t child = checked_fork();
    if (child == 0) {
        execv(self, argv);
        _exit(127);
    }
    check_ends_well(child);
    child = vfork();
    if (child == 0) {
        execv(self, argv);
        _exit(127);
    }
    check_ends_well(child);
    check(posix_spawn(&child, self, NULL, NULL, argv, environ) == 0);
    check_ends_well(child);
    check(system(command) == 0);
    FILE *output = popen(command, "re");
    check(output != NULL && fgetc(output) == EOF);
    check(pclose(output) == 0);
}

static void execute_in_callback(int pid, int status, void *arg)
{
    (void)pid, (void)status;
    execute_by_all_means();
    *(int *)arg = 1;
}

static void daemon_with_everything(void)
{
    int ends[2], called = 0;
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    note_inherited();
    execute_by_all_means();

    check(rsd_install_signal_flags(&flag, NULL) == 0);
    check(rsd_flag_signal(SIGUSR1, &flag, 1) == 0);
    check(rsd_set_signal_options(SIGUSR1, RSD_SIGNAL_RESTART | RSD_SIGNAL_SECOND_ENDS) == 0);
    check(rsd_ignore_signal(SIGUSR2) == 0);
    check(rsd_ignore_signal(SIGTTIN) == 0 && rsd_ignore_signal(SIGTTOU) == 0);
    check(rsd_ignore_signal(SIGRTMIN) == 0);
    check(rsd_fd() > 2);
    check(pipe2(ends, O_CLOEXEC) == 0);
    pid_t child = checked_fork();
    if (child == 0) {
        char byte;
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 1);
    }
    check(rsd_watch_child(child, execute_in_callback, &called) == 0);
    raise(SIGTERM);
    execute_by_all_means();
    check(rsd_wait(0) == RSD_SIGNAL_ARRIVED);
    execute_by_all_means();
    check(rsd_reap_children(1) == 0);
    execute_by_all_means();
    close(ends[1]);
    while (!called)
        check(rsd_wait(LONG_MS) != -1);
    check(rsd_reap_children(0) == 0);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "daemon-with-everything", daemon_with_everything },
        { NULL, NULL },
    };
    self = argv[0];
    if (argc == 2 && strcmp(argv[1], "count") == 0)
        return count_open();
    if (argc == 5 && strcmp(argv[1], "show") == 0)
        return show(strtoull(argv[2], NULL, 16), strtoull(argv[3], NULL, 16), atoi(argv[4]));
    return run_case(cases, argc, argv);
}
