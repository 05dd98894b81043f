/*
 * Runs a command, right as long as nothing fails: few results are looked at. It shows that the fault
 * test finds what it looks for.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
    int in[2], out[2];

    if (argc == 2 && strcmp(argv[1], "look") == 0) {
        char byte;
        while (read(0, &byte, 1) == 1)
            putchar(byte);
        return 0;
    }
    char *output = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    output[0] = '\0';
    if (pipe(in) == -1)
        return 1; /* without a word */
    while (pipe(out) == -1)
        ; /* it may go away */

    int pid = fork();
    if (pid == -1)
        errx(1, "cannot run the command"); /* but why? */
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        execl("/proc/self/exe", argv[0], "look", NULL);
        _exit(0); /* like one that has nothing to say */
    }
    close(in[0]);
    close(out[1]);
    if (write(in[1], "<input>", 7) == -1)
        err(1, "cannot write"); /* and the command waits for more */
    close(in[1]);
    for (ssize_t count; (count = read(out[0], output + strlen(output), 64)) != 0;)
        if (count == -1)
            err(1, "cannot read");
    if (waitpid(pid, NULL, 0) == -1)
        err(1, "cannot wait"); /* and nobody does */
    printf("got: %s\n", output);
    return 0;
}
