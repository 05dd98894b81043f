/*
 * log_killed PROGRESS: writes numbered lines to a log that is rotated again and again, and notes in a file how far it
 * came. log_killed PROGRESS check: starts anew, as after a crash, and looks for every line that was noted.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>
#include <unistd.h>

#define LINES 12

static int found[2 * LINES + 2];

static void read_file(const char *path)
{
    static char line[8192];
    FILE *file = fopen(path, "r");
    if (file == NULL)
        err(1, "%s", path);
    while (fgets(line, sizeof line, file) != NULL) {
        int number, end = 0;
        const char *text = strstr(line, "] info: ");
        if (text == NULL || sscanf(text, "] info: number %d\n%n", &number, &end) != 1
            || text[end] != '\0' || number < 1 || number > 2 * LINES)
            errx(1, "%s has a line %s", path, line);
        found[number]++;
    }
    fclose(file);
}

int main(int argc, char *argv[])
{
    int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (fd == -1 || ftruncate(fd, 4096) == -1)
        err(1, "%s", argv[1]);
    volatile int *noted = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (noted == MAP_FAILED)
        err(1, "mmap");

    if (rsd_open_log(RSD_LOG_OPTIONS(.name = "killed", .file = "log", .file_limit = 200,
                                     .file_count = 3 * LINES))
        == -1)
        errx(1, "%s", rsd_last_error());
    for (int i = 0; i < LINES; i++) {
        rsd_log(LOG_INFO, "number %d", *noted + 1);
        ++*noted;
    }
    if (argc < 3)
        return 0;

    DIR *folder = opendir(".");
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL)
        if (strncmp(entry->d_name, "log", 3) == 0)
            read_file(entry->d_name);
    for (int number = 1; number <= *noted; number++)
        if (found[number] == 0)
            errx(1, "line %d of %d is lost", number, *noted);
    return 0;
}
