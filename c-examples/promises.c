/* Tells which promises any program needs: promises nginx -g 'daemon off;' */
#include <err.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s COMMAND [ARGUMENT...]\n", argv[0]);
        return 2;
    }

    if (rsd_promise("stdio exec", RSD_RECORD) == -1)
        errx(1, "%s", rsd_last_error());
    execvp(argv[1], argv + 1);
    err(1, "%s", argv[1]);
}
