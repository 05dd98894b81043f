/*
 * What a line in a log file costs (make bench-log).
 *
 * Each way to log is a process of its own; they take turns, in another order each round, with the
 * same message and a file each. When the call returns, the kernel has the line, with all of them.
 *
 *   ns a line  how long a thread that logs is held up by a line: the median of all turns
 *   ratio      to the first of the same round, the median of these; "the same again" is the first one
 *              a second time: as far as its ratio is from 1.00, so far is any other one noise
 *   goal       what the ratio is to be at most. It is only shown.
 *   missing    lines that were logged and do not stand in the file, whole
 *
 *   write            write(2) of a line that stands ready, to a file opened with O_APPEND
 *   by hand          as careful C does it: a stamp that is made once a second, snprintf(3), write(2)
 *   dprintf, fprintf  a stamp by localtime_r(3) and strftime(3) in each line; with fflush(3)
 *   rsd_log, limit   with a file_limit that is not reached; "rotates": with one of 64 KiB
 *
 * It fails if lines of the floor or of this library are missing.
 */
#include "loggers.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 300
#define LINES 1000
#define ROTATED_MAX 5
#define GOAL 1.4

static bool went_wrong;

static int count_from(const char *path, int first, int lines)
{
    char line[512];
    int count = 0;
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        int connection = connection_of(line);
        count += connection == 0 || (connection >= first && connection < first + lines);
    }
    if (file != NULL)
        fclose(file);
    return count;
}

/* FILE.1 of this library; FILE.1.log of spdlog is "STEM.1.log". */
static char *rotated_name(const struct logger *logger, int number)
{
    char *name;
    int stem = (int)(strrchr(logger->path, '.') - logger->path);
    bool is_before = logger->package != NULL;
    if ((is_before ? asprintf(&name, "%.*s.%d.log", stem, logger->path, number)
                   : asprintf(&name, "%s.%d", logger->path, number)) == -1)
        err(1, "cannot use %s", logger->path);
    return name;
}

/* Files that are rotated stay, so that there is something to rename each time. */
static int arrived(struct logger *logger, int first, int lines)
{
    int count = count_from(logger->path, first, lines);
    for (int number = 1; logger->rotates && number <= ROTATED_MAX; number++) {
        char *name = rotated_name(logger, number);
        count += count_from(name, first, lines);
        free(name);
    }
    if (!logger->rotates && truncate(logger->path, 0) == -1)
        err(1, "cannot empty %s", logger->path);
    return count;
}

static void remove_files(const struct logger *list, int count)
{
    for (int i = 0; i < count; i++) {
        unlink(list[i].path);
        for (int number = 1; list[i].rotates && number <= ROTATED_MAX; number++) {
            char *name = rotated_name(&list[i], number);
            unlink(name);
            free(name);
        }
    }
}

static const struct logger all[] = {
    { .name = "write", .file = "logger_bare", .kind = "write" },
    { .name = "the same again", .file = "logger_bare", .kind = "write" },
    { .name = "by hand", .file = "logger_bare", .kind = "by hand" },
    { .name = "dprintf", .file = "logger_bare", .kind = "dprintf" },
    { .name = "fprintf, fflush", .file = "logger_bare", .kind = "fprintf" },
    { .name = "log4c", .file = "logger_log4c", .kind = "", .package = "liblog4c-dev" },
    { .name = "spdlog, flush", .file = "logger_spdlog", .kind = "", .package = "libspdlog-dev" },
    { .name = "spdlog, rotates",
      .file = "logger_spdlog",
      .kind = "rotates",
      .package = "libspdlog-dev",
      .rotates = true },
    { .name = "rsd_log", .file = "logger_rsdaemon", .kind = "file", .goal = GOAL },
    { .name = "rsd_log, limit", .file = "logger_rsdaemon", .kind = "may rotate", .goal = GOAL },
    { .name = "rsd_log, rotates", .file = "logger_rsdaemon", .kind = "rotates", .rotates = true },
    { .name = "rsd_log_string", .file = "logger_rsdaemon", .kind = "string", .goal = GOAL },
};

static void measure(const char *programs, const char *folder, const char *where)
{
    static struct logger list[LOGGERS_MAX];
    char *path = join(folder, "line");
    int count = start_loggers(programs, all, sizeof all / sizeof *all, path, false, list);
    for (int threads = 1; threads <= 2; threads++) {
        printf("\nA line in a file on %s, threads: %d; %d turns of %d lines each\n", where, threads,
               ROUNDS, LINES);
        fflush(stdout);
        compete(list, count, ROUNDS, threads, LINES, arrived);
        show(list, count, ROUNDS, threads);
        for (int i = 0; i < count; i++)
            went_wrong = went_wrong || (list[i].package == NULL && list[i].missing > 0);
    }
    remove_files(list, count);
    stop_loggers(list, count);
    free(path);
}

static bool measure_in(const char *programs, char *folder, const char *where)
{
    if (mkdtemp(folder) == NULL)
        return false;
    measure(programs, folder, where);
    rmdir(folder);
    return true;
}

int main(int argc, char *argv[])
{
    char shm[] = "/dev/shm/rsdaemon-log-XXXXXX";
    if (argc != 2)
        errx(2, "usage: %s FOLDER-OF-PROGRAMS", argv[0]);
    char *disk = join(argv[1], "log-XXXXXX");
    if (!measure_in(argv[1], disk, "the disk"))
        err(1, "cannot make a folder in %s", argv[1]);
    free(disk);
    puts("\nSKIPPED zlog: Debian has no package of it");
    if (!measure_in(argv[1], shm, "tmpfs"))
        puts("SKIPPED tmpfs: /dev/shm cannot be used");
    return went_wrong;
}
