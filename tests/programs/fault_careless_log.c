/*
 * Logs to a file, syslog and stderr, right as long as nothing fails. It shows that the fault test finds what it looks
 * for.
 */
#include "fault_record.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

static int file, syslog_, size;

static void open_file(void)
{
    file = open("log", O_WRONLY | O_CREAT | O_APPEND, 0640); /* whether or not */
    size = 0;
}

static void rotate(void)
{
    rename("log.1", "log.2");
    rename("log", "log.1");
    close(file);
    open_file();
}

static void lose(int error)
{
    note_lost(&record->file, record->file.lost + 1, error);
}

static void log_line(int number)
{
    char header[64], text[80], line[160];
    struct stat seen;
    int length = snprintf(text, sizeof text, TEXT, number);
    int before = snprintf(header, sizeof header, "2026-11-25T16:05:59.123456+01:00 speaker[1] info: ");

    if (size + before + length + 1 > 300)
        rotate();
    /* In two parts, and nobody is told of the first. */
    while (write(file, header, (size_t)before) == -1 && errno == ENOSPC)
        ; /* there may be room again */
    length += snprintf(text + length, sizeof text - (size_t)length, "\n");
    if (write(file, text, (size_t)length) == -1)
        lose(ENOSPC); /* what else? */
    size += before + length;
    if (fstat(file, &seen) == -1) {
        lose(errno); /* although it is there */
        if (errno == ENOMEM)
            dprintf(file, "%s%s", header, text);
    }
    length = snprintf(line, sizeof line, "speaker: %s", text);
    writev(2, &(struct iovec){ line, (size_t)length }, 1);
    length = snprintf(line, sizeof line, "<30>Nov 25 16:05:59 speaker[1]: %.*s", (int)strcspn(text, "\n"),
                      text);
    send(syslog_, line, (size_t)length, MSG_NOSIGNAL);
}

int main(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };

    if (open("lock", O_WRONLY | O_CREAT | O_EXCL, 0600) == -1)
        return 1; /* without a word; and whoever is killed leaves it */
    syslog_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    connect(syslog_, (struct sockaddr *)&address, sizeof address);
    open_file();
    for (int i = 0; i < 8; i++) {
        record->begun++;
        log_line(record->begun);
        record->returned = record->begun;
    }
    unlink("lock");
    return 0;
}
