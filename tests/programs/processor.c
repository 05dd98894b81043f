/*
 * processor PIDFILE FILE: a daemon that writes to FILE on which processor it believes to be, after
 * it went to each that it may use. The C library answers from memory that the kernel keeps current.
 */
#include <err.h>
#include <rsdaemon.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
    cpu_set_t allowed, one;

    if (argc != 3)
        return 2;
    sched_getaffinity(0, sizeof allowed, &allowed);
    if (rsd_daemonize(RSD_OPTIONS(.pidfile = argv[1], .log_file = argv[2])) == -1)
        errx(1, "%s", rsd_last_error());
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        unsigned really;
        if (sched_setaffinity(0, sizeof one, &one) == 0 && syscall(SYS_getcpu, &really, NULL, NULL) == 0)
            printf("%u %d\n", really, sched_getcpu());
    }
    fflush(stdout);
    return rsd_ready() == -1;
}
