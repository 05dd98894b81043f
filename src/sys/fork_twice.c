/*
 * Two forks with one copy of the page tables.
 *
 * The middle process borrows the caller's memory (vfork), so only the second fork copies it.
 * That is C because a compiler must know that vfork returns twice; Rust cannot say so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * Returns 0 in the daemon: a member of a new session, but not its leader.
 * Returns the pid of the middle process, or -1 and errno, in the caller.
 *
 * The middle process has ended, unreaped, when the caller goes on. Its exit status is 0, or the
 * errno of what failed in it. *daemon is the daemon's pid, or still 0 where vfork copies memory
 * like fork (valgrind and user-mode emulators do that).
 */
pid_t rsd_fork_twice(volatile pid_t *daemon)
{
    pid_t middle = vfork();

    if (middle == 0) {
        if (setsid() == -1)
            _exit(errno);
        pid_t child = fork();
        if (child == -1)
            _exit(errno);
        if (child == 0)
            return 0; /* on its own copy of this stack */
        *daemon = child;
        _exit(0);
    }
    return middle;
}
