/*
 * A log whose file cannot be written to for a while: the disk is full, the directory is gone or is not ours.
 */
#include "log_lines.h"

#include <grp.h>
#include <sched.h>
#include <sys/mount.h>

/* "disk", with room for some lines. */
static void make_disk(void)
{
    check(mkdir("disk", 0755) == 0);
    if (unshare(CLONE_NEWNS) == -1 && unshare(CLONE_NEWUSER | CLONE_NEWNS) == -1)
        _exit(CANNOT_RUN_HERE);
    if (mount("none", "/", "none", MS_REC | MS_PRIVATE, "") == -1
        || mount("none", "disk", "tmpfs", 0, "size=64k") == -1)
        _exit(CANNOT_RUN_HERE);
}

static void fill(const char *name)
{
    static char block[4096];
    int fd = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
    check(fd != -1);
    while (write(fd, block, sizeof block) > 0)
        ;
    check(errno == ENOSPC && close(fd) == 0);
}

/* "COUNT lines were lost": how many by all such lines. */
static unsigned told_lost(const char *path)
{
    unsigned all = 0;
    struct line line;
    char *rest = text_of(path), *text;
    while ((text = next_text(&rest)) != NULL) {
        if (!take_apart(text, &line) || strstr(line.message, "lost") == NULL)
            continue;
        check(strcmp(line.level, "warning") == 0);
        all += (unsigned)atoi(line.message);
    }
    return all;
}

/* All that was logged is in the file, or was lost and told of. What was begun and did not fit is no line. */
static void check_found_or_lost(const char *path, unsigned numbers, unsigned lost)
{
    struct tally *tally = new_tally();
    unsigned found = 0;
    char *rest = text_of(path), *text;
    struct line line;
    while ((text = next_text(&rest)) != NULL)
        if (take_apart(text, &line))
            found += (unsigned)count_message(tally, line.message);
    for (unsigned number = 0; number < numbers; number++)
        check(tally->seen[0][number] <= 1);
    if (found + lost != numbers)
        dprintf(2, "%u of %u lines are there, %u were lost\n", found, numbers, lost), _exit(1);
}

static void full(void)
{
    make_disk();
    open_log(.file = "disk/" LOG);
    unsigned number = 0, lost = 0;
    for (unsigned round = 1; round <= 3; round++) {
        log_numbered(0, number++);
        check(state_now().file_errno == 0 && state_now().file_lost == lost);
        fill("disk/other");
        for (unsigned before = lost; lost < before + 100; lost = state_now().file_lost)
            log_numbered(0, number++);
        check(state_now().file_errno == ENOSPC);
        /* Nothing is told before there is room. */
        check(truncate("disk/other", 0) == 0);
        log_numbered(0, number++);
        check(state_now().file_errno == 0 && state_now().file_lost == lost);
        check(told_lost("disk/" LOG) == lost);
        log_numbered(0, number++);
        check(told_lost("disk/" LOG) == lost);
    }
    check_found_or_lost("disk/" LOG, number, lost);
}

/* The others are told all of it meanwhile. */
static void full_beside_stderr(void)
{
    make_disk();
    int err = open("err", O_WRONLY | O_CREAT | O_APPEND, 0600);
    open_log(.file = "disk/" LOG, .to_stderr = 1);
    fill("disk/other");
    int screen = dup(2);
    check(dup2(err, 2) == 2);
    for (unsigned number = 0; number < 100; number++)
        log_numbered(0, number);
    check(dup2(screen, 2) == 2);
    struct rsd_log_state state = state_now();
    check(state.file_lost == 100 && state.stderr_lost == 0 && state.stderr_errno == 0);
    char text[256], *rest = text_of("err");
    for (unsigned number = 0; number < 100; number++)
        check(strcmp(next_text(&rest) + strlen("tester: "), numbered(0, number, text)) == 0);
    check(*rest == '\0');
}

/* Where it was is a file system now that is read-only. */
static void read_only(void)
{
    make_disk();
    open_log(.file = "disk/" LOG);
    int old = open("disk/" LOG, O_RDONLY);
    unsigned number = 0;
    struct stat before, after;
    log_numbered(0, number++);
    check(fstat(old, &before) == 0);
    check(mount("none", "disk", "tmpfs", MS_RDONLY, "") == 0);
    check_refused(rsd_open_log(RSD_LOG_OPTIONS(.file = "disk/other")), EROFS);
    check_refused(rsd_reopen_log(), EROFS);
    check(state_now().reopen_errno == EROFS);
    log_numbered(0, number++);
    check(fstat(old, &after) == 0 && after.st_size > before.st_size);
    check(state_now().file_lost == 0);
    check(umount2("disk", MNT_DETACH) == 0);
    check(rsd_reopen_log() == 0 && state_now().reopen_errno == 0);
    check_found_or_lost("disk/" LOG, number, 0);
}

static void become_ordinary(void)
{
    if (geteuid() != 0)
        return;
    check(chown(".", 65534, 65534) == 0 && setgroups(0, NULL) == 0);
    check(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    if (access(".", X_OK) == -1)
        _exit(CANNOT_RUN_HERE);
}

static void await_file(unsigned *number)
{
    for (long long start = now_us(); !exists("sub/" LOG); usleep(20000)) {
        check(now_us() - start < LONG_MS * 1000LL);
        log_numbered(0, (*number)++);
    }
}

static void not_allowed(void)
{
    become_ordinary();
    check(mkdir("sub", 0700) == 0);
    open_log(.file = "sub/" LOG);
    unsigned number = 0;
    log_numbered(0, number++);

    /* What is open may be written to. */
    check(chmod("sub/" LOG, 0) == 0);
    log_numbered(0, number++);
    check_refused(rsd_reopen_log(), EACCES);
    check(state_now().reopen_errno == EACCES);
    log_numbered(0, number++);
    check(chmod("sub/" LOG, 0600) == 0 && rsd_reopen_log() == 0);

    check(rename("sub/" LOG, "old") == 0 && chmod("sub", 0500) == 0);
    for (long long start = now_us(); state_now().reopen_errno != EACCES; usleep(20000)) {
        check(now_us() - start < LONG_MS * 1000LL);
        log_numbered(0, number++);
    }
    check(state_now().file_lost == 0);
    /* Not to be seen at all. */
    check(chmod("sub", 0) == 0);
    log_numbered(0, number++);
    check_refused(rsd_reopen_log(), EACCES);
    check(chmod("sub", 0700) == 0);
    await_file(&number);

    struct tally *tally = new_tally();
    check(count_lines(tally, "old") > 3);
    count_lines(tally, "sub/" LOG);
    check_each_once(tally, 0, number);
}

static void directory_gone(void)
{
    check(mkdir("sub", 0700) == 0);
    open_log(.file = "sub/" LOG);
    unsigned number = 0;
    log_numbered(0, number++);
    check(link("sub/" LOG, "old") == 0 && unlink("sub/" LOG) == 0 && rmdir("sub") == 0);
    check_refused(rsd_reopen_log(), ENOENT);
    for (int i = 0; i < 100; i++)
        log_numbered(0, number++);
    check(state_now().file_lost == 0 && mkdir("sub", 0700) == 0);
    await_file(&number);
    struct tally *tally = new_tally();
    count_lines(tally, "old");
    count_lines(tally, "sub/" LOG);
    check_each_once(tally, 0, number);
}

static void limit_size(rlim_t size)
{
    struct rlimit limit = { size, RLIM_INFINITY };
    check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* Lines beyond RLIMIT_FSIZE are lost; its signal, which by default ends the program, does not come. */
static void log_beyond_the_limit(void)
{
    unsigned number = 0;
    log_numbered(0, number++);
    limit_size(3000);
    while (state_now().file_lost < 50)
        log_numbered(0, number++);
    check(state_now().file_errno == EFBIG);
    limit_size(RLIM_INFINITY);
    for (long long start = now_us(); state_now().file_errno != 0; usleep(20000)) {
        check(now_us() - start < LONG_MS * 1000LL);
        log_numbered(0, number++);
    }
    check(told_lost(LOG) == state_now().file_lost);
    check_found_or_lost(LOG, number, state_now().file_lost);
}

static void file_size(void)
{
    limit_size(3000);
    open_log(.file = LOG);
    log_beyond_the_limit();
}

/* Set between two lines of the same second, most of the times. */
static void file_size_later(void)
{
    for (int round = 0; round < 5; round++) {
        pid_t child = checked_fork();
        if (child == 0) {
            open_log(.file = LOG);
            log_beyond_the_limit();
            _exit(0);
        }
        check_ends_well(child);
        check(unlink(LOG) == 0);
    }
}

/* Below what the file has already: as soon as it is seen, or at once by a call. */
static void file_size_passed(void)
{
    for (unsigned round = 0; round < 15; round++) {
        pid_t child = checked_fork();
        if (child == 0) {
            open_log(.file = LOG);
            log_numbered(0, 0);
            limit_size(0);
            if (round % 3 == 0) {
                check(rsd_reopen_log() == 0);
            } else if (round % 3 == 1) { /* though that fails */
                check(rename(LOG, "moved") == 0 && mkdir(LOG, 0700) == 0);
                check(rsd_reopen_log() == -1 && rmdir(LOG) == 0 && rename("moved", LOG) == 0);
            } else {
                usleep(100);
            }
            log_numbered(0, 1);
            check(state_now().file_errno == EFBIG && state_now().file_lost == 1);
            limit_size(RLIM_INFINITY);
            usleep(100);
            log_numbered(0, 2);
            check(state_now().file_errno == 0 && state_now().file_lost == 1);
            _exit(0);
        }
        check_ends_well(child);
    }
    check(told_lost(LOG) == 15);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "full", full },
        { "full-beside-stderr", full_beside_stderr },
        { "read-only", read_only },
        { "not-allowed", not_allowed },
        { "directory-gone", directory_gone },
        { "file-size", file_size },
        { "file-size-later", file_size_later },
        { "file-size-passed", file_size_passed },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
