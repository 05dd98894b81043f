/*
 * Very many clients of a control socket at once.
 *
 * usage: control_crowd PATH COUNT TEXT LENGTH   (TEXT is sent again and again up to LENGTH bytes by each)
 *
 * Prints how many are connected and have sent that, or as much as is taken, and waits for the end of its stdin.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct rlimit limit;
    if (argc != 5 || strlen(argv[1]) >= sizeof address.sun_path)
        return 2;
    strcpy(address.sun_path, argv[1]);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    int count = atoi(argv[2]), connected = 0;
    size_t size = strlen(argv[3]), length = (size_t)atol(argv[4]);
    char *bytes = malloc(length + 1);
    if (bytes == NULL)
        return 3;
    for (size_t i = 0; i < length; i++)
        bytes[i] = argv[3][i % size];

    for (; connected < count; connected++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (fd == -1 || connect(fd, (struct sockaddr *)&address, sizeof address) == -1)
            break;
        fcntl(fd, F_SETFL, O_NONBLOCK);
        send(fd, bytes, length, MSG_NOSIGNAL);
    }
    printf("%d connected\n", connected);
    fflush(stdout);
    return read(0, bytes, 1) == -1;
}
