/*
 * dlopened LIBRARY: loads it, flags signals, unloads it, and signals come then. Does not link it.
 */
#include <dlfcn.h>
#include <err.h>
#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t flag;

typedef int flag_signal(int, volatile sig_atomic_t *, int);
typedef int ignore_signal(int);
typedef int wait_for(int);
typedef int descriptor(void);

static void *look_up(void *library, const char *name)
{
    void *found = dlsym(library, name);
    if (found == NULL)
        errx(1, "%s", dlerror());
    return found;
}

int main(int argc, char *argv[])
{
    if (argc != 2)
        return 2;
    for (int round = 1; round <= 3; round++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL)
            errx(1, "%s", dlerror());
        /* POSIX wants a function to be had from void *; pedantic C does not. */
        __extension__ flag_signal *flags = (flag_signal *)look_up(library, "rsd_flag_signal");
        __extension__ ignore_signal *ignores = (ignore_signal *)look_up(library, "rsd_ignore_signal");
        __extension__ wait_for *waits = (wait_for *)look_up(library, "rsd_wait");
        __extension__ descriptor *asks = (descriptor *)look_up(library, "rsd_fd");
        if (flags(SIGTERM, &flag, round) == -1 || ignores(SIGUSR1) == -1)
            errx(1, "signals");
        if (asks() == -1)
            errx(1, "descriptor");
        /* What came while nobody had it loaded is told. */
        if (waits(0) != (round > 1))
            errx(1, "round %d: a signal was lost, or told twice", round);
        if (dlclose(library) != 0)
            errx(1, "%s", dlerror());
        raise(SIGTERM);
        raise(SIGUSR1);
        if (flag != round)
            errx(1, "round %d: the flag is %d", round, (int)flag);
    }
    return 0;
}
