/*
 * Two forks with one copy of the page tables.
 *
 * The middle process borrows the caller's memory (vfork), so only the second fork copies it.
 * That is C because a compiler must know that vfork returns twice; Rust cannot say so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
/* Weak: an older C library has none, and these come from the dynamic linker, which we do not need. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));
#endif

/*
 * The kernel forgets the restartable sequences (rseq(2)) of a process that borrows memory, and so of
 * its children, while the C library goes on believing in them: sched_getcpu(3) would tell the same
 * processor for ever. Registers them again as the C library did, or tells it that there are none.
 */
static void register_rseq(void)
{
#if defined(RSEQ_SIG) && defined(SYS_rseq)
    if (&__rseq_offset == NULL || &__rseq_size == NULL || __rseq_size == 0)
        return;
    struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
    unsigned size = __rseq_size < 32 ? 32 : (__rseq_size + 31) & ~31u;
    area->cpu_id = (unsigned)RSEQ_CPU_ID_UNINITIALIZED;
    if (syscall(SYS_rseq, area, size, 0, RSEQ_SIG) == -1)
        area->cpu_id = (unsigned)RSEQ_CPU_ID_REGISTRATION_FAILED;
#endif
}

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
        if (child == 0) {
            register_rseq();
            return 0; /* on its own copy of this stack */
        }
        *daemon = child;
        _exit(0);
    }
    return middle;
}
