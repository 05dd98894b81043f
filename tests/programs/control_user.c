/*
 * A client of a control socket as a user of its own.
 *
 * usage: control_user PATH UID GID GROUPS LINE   (GROUPS: numbers with commas between, or "")
 *
 * Prints all that is answered, or the name of the errno of connect(2). PATH may be "@NAME".
 */
#include <errno.h>
#include <grp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    gid_t groups[16];
    size_t count = 0;
    char bytes[4096];
    ssize_t got;

    if (argc != 6 || strlen(argv[1]) >= sizeof address.sun_path)
        return 2;
    for (char *group = strtok(argv[4], ","); group != NULL; group = strtok(NULL, ","))
        groups[count++] = (gid_t)atoi(group);
    if (setgroups(count, groups) == -1 || setgid((gid_t)atoi(argv[3])) == -1
        || setuid((uid_t)atoi(argv[2])) == -1)
        return 3;

    strcpy(address.sun_path, argv[1]);
    if (argv[1][0] == '@')
        address.sun_path[0] = '\0';
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(argv[1])
                                   + (argv[1][0] != '@'));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, length) == -1) {
        puts(strerrorname_np(errno));
        return 0;
    }
    /* It may have been turned away already. */
    send(fd, argv[5], strlen(argv[5]), MSG_NOSIGNAL);
    send(fd, "\n", 1, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        fwrite(bytes, 1, (size_t)got, stdout);
    if (got == -1)
        puts(strerrorname_np(errno));
    return 0;
}
