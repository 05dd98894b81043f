/*
 * A log with rotation, from the first call to the last: each line stands in one of its files, whole and once,
 * or was counted as lost.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#define LINES 14

static int failed(const char *what)
{
    /* Unlike what is printed, so that whoever makes that fail hears why. */
    char why[1024];
    snprintf(why, sizeof why, "fault_log: %s\n", what);
    struct iovec line = { why, strlen(why) };
    return writev(2, &line, 1) == -1 ? 2 : 1;
}

static int failed_with(const char *what, int error)
{
    char why[512];
    snprintf(why, sizeof why, "%s: %s", what, strerror(error));
    return failed(why);
}

static int found[LINES + 1], torn;

/* Only what a file of a log may hold counts; a line that was lost may have left its beginning. */
static void look_at_line(const char *line)
{
    int number, length = 0;
    const char *text = strstr(line, "] info: line ");

    if (text != NULL && sscanf(text, "] info: line %d of the log%n", &number, &length) == 1
        && text[length] == '\0' && line[4] == '-' && number > 0 && number <= LINES)
        found[number]++;
    else if (strstr(line, "] warning: ") == NULL)
        torn++;
}

static int read_file(const char *path)
{
    static char text[65536];
    int fd = open(path, O_RDONLY);
    if (fd == -1)
        return -1;
    ssize_t count = read(fd, text, sizeof text - 1);
    close(fd);
    if (count == -1)
        return -1;
    text[count] = '\0';
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        look_at_line(line);
    }
    return 0;
}

/* Whichever there are, so that a call that lies about one is noticed. */
static int read_files(void)
{
    DIR *folder = opendir(".");
    if (folder == NULL)
        return -1;
    errno = 0;
    struct dirent *entry;
    int count = 0;
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        if (read_file(entry->d_name) == -1)
            return -1;
        count++;
    }
    if (count == 0 && errno == 0)
        errno = ENOENT; /* of getdents(2), which readdir(3) takes for the end */
    return errno == 0 ? closedir(folder) : -1;
}

int main(void)
{
    struct rsd_log_state state = { .size = sizeof state };

    if (rsd_open_log(RSD_LOG_OPTIONS(.name = "f", .file = "log", .file_limit = 300, .file_count = 4))
        == -1)
        return failed(rsd_last_error());
    for (int number = 1; number <= LINES; number++) {
        rsd_log(LOG_INFO, "line %d of the log", number);
        if (number == 10 && rename("log", "moved") == 0 && rsd_reopen_log() == -1)
            return failed(rsd_last_error());
        if (number == 12) {
            /* As old programs do. */
            closefrom(3);
            if (open("other", O_WRONLY | O_CREAT, 0600) == -1)
                return failed_with("cannot open other", errno);
        }
    }
    if (rsd_get_log_state(&state) == -1)
        return failed(rsd_last_error());

    if (read_files() == -1)
        return failed_with("cannot read the files of the log", errno);
    unsigned missing = 0, twice = 0;
    for (int number = 1; number <= LINES; number++) {
        missing += found[number] == 0;
        twice += found[number] > 1;
    }
    char result[128];
    snprintf(result, sizeof result, "not accounted for: %d, twice: %u, torn: %d\n",
             (int)missing - (int)state.file_lost, twice, torn);
    while (write(1, result, strlen(result)) == -1)
        if (errno != EINTR)
            return failed_with("cannot print", errno);
    return 0;
}
