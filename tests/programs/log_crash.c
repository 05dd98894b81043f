/*
 * rsd_log_crashes(): what a crash leaves in the log, and how the program ends.
 */
#include "log_lines.h"

#include <pthread.h>
#include <setjmp.h>

static volatile int zero, hundred = 100;

static void by_null(void)
{
    *(volatile int *)(uintptr_t)(zero + 16) = 1;
}

static __attribute__((noinline)) int overflow(int depth)
{
    volatile char frame[4096];
    frame[0] = (char)depth;
    return (zero != 0 ? 0 : overflow(depth + 1)) + frame[0];
}

static void by_overflow(void)
{
    overflow(0);
}

static void by_abort(void)
{
    abort();
}

static void by_division(void)
{
    hundred = hundred / zero;
}

static void by_trap(void)
{
    __builtin_trap();
}

static void by_kill(void)
{
    kill(getpid(), SIGBUS);
}

/* In the middle of what the library does. */
static void by_format(void)
{
    rsd_log(LOG_INFO, "%s", (const char *)(uintptr_t)(zero + 24));
}

static void *run(void *crash)
{
    (*(void (**)(void))crash)();
    return NULL;
}

static void (*crash_of_thread)(void) = by_null;

static void by_thread(void)
{
    pthread_t thread;
    check(pthread_create(&thread, NULL, run, &crash_of_thread) == 0);
    pthread_join(thread, NULL);
}

static void *overflow_thread(void *argument)
{
    if (argument != NULL)
        check(rsd_log_crashes() == 0);
    overflow(0);
    return NULL;
}

static const struct crash {
    void (*crash)(void);
    int signo;
    const char *signal, *address;
} crashes[] = {
    { by_null, SIGSEGV, "SIGSEGV", "0x10" },
    { by_overflow, SIGSEGV, "SIGSEGV", "0x" },
    { by_abort, SIGABRT, "SIGABRT", "" },
    { by_division, SIGFPE, "SIGFPE", "0x" },
    { by_trap, SIGILL, "SIGILL", "0x" },
    { by_kill, SIGBUS, "SIGBUS", "" },
    { by_format, SIGSEGV, "SIGSEGV", "0x18" },
    { by_thread, SIGSEGV, "SIGSEGV", "0x10" },
};

#define CRASHES (sizeof crashes / sizeof *crashes)

static int err;

static void be_quiet(void)
{
    if (err == 0)
        err = open("err", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    check(dup2(err, 2) == 2);
}

static int status_of(pid_t child)
{
    int status;
    check(waitpid(child, &status, 0) == child);
    return status;
}

static int ends_unrecorded(const struct crash *crash)
{
    pid_t child = checked_fork();
    if (child == 0) {
        crash->crash();
        _exit(0);
    }
    return status_of(child);
}

static void allow_core(void)
{
    struct rlimit limit;
    check(getrlimit(RLIMIT_CORE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_CORE, &limit);
}

static void check_recorded(const struct crash *crash, pid_t pid)
{
    struct line line = last_line(LOG);
    check(line.pid == pid && strcmp(line.level, "crit") == 0 && strcmp(line.name, "tester") == 0);
    check(strstr(line.message, crash->signal) != NULL && strstr(line.message, crash->address) != NULL);
    check(file_contains("err", "tester: ") && file_contains("err", line.message));
    check(truncate(LOG, 0) == 0 && truncate("err", 0) == 0);
}

static void recorded(void)
{
    open_log(.file = LOG, .to_stderr = 1, .to_syslog = 1, .to_journal = 1);
    allow_core();
    for (size_t i = 0; i < CRASHES; i++) {
        pid_t child = checked_fork();
        if (child == 0) {
            be_quiet();
            check(rsd_log_crashes() == 0 && rsd_log_crashes() == 0);
            crashes[i].crash();
            _exit(0);
        }
        int status = status_of(child);
        check(WIFSIGNALED(status) && WTERMSIG(status) == crashes[i].signo);
        check(status == ends_unrecorded(&crashes[i])); /* with the same core dump, or none */
        check_recorded(&crashes[i], child);
    }
}

static void overflow_of_a_thread(void)
{
    open_log(.file = LOG, .to_stderr = 1);
    for (int asks = 0; asks < 2; asks++) {
        pid_t child = checked_fork();
        if (child == 0) {
            pthread_t thread;
            be_quiet();
            check(rsd_log_crashes() == 0);
            check(pthread_create(&thread, NULL, overflow_thread, asks ? &thread : NULL) == 0);
            pthread_join(thread, NULL);
            _exit(0);
        }
        int status = status_of(child);
        check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
        if (asks)
            check_recorded(&crashes[1], child);
    }
}

static sigjmp_buf back;
static volatile sig_atomic_t address_seen;

static void come_back(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)context;
    address_seen = (sig_atomic_t)(intptr_t)info->si_addr;
    siglongjmp(back, 1);
}

static void own_handlers(void)
{
    struct sigaction own = { .sa_sigaction = come_back, .sa_flags = SA_SIGINFO };
    open_log(.file = LOG, .to_stderr = 1);
    be_quiet();
    check(sigaction(SIGSEGV, &own, NULL) == 0 && rsd_log_crashes() == 0);
    if (sigsetjmp(back, 1) == 0)
        by_null();
    check(address_seen == 16);
    check_recorded(&crashes[0], getpid());

    /* One that is ignored when it is sent is no crash that ends the program. */
    pid_t child = checked_fork();
    if (child == 0) {
        signal(SIGBUS, SIG_IGN);
        check(rsd_log_crashes() == 0);
        by_kill();
        _exit(0);
    }
    check_ends_well(child);

    /* One that comes later replaces it. */
    check(rsd_log_crashes() == 0 && sigaction(SIGSEGV, &own, NULL) == 0);
    check(truncate(LOG, 0) == 0);
    address_seen = 0;
    if (sigsetjmp(back, 1) == 0)
        by_null();
    check(address_seen == 16 && *text_of(LOG) == '\0');
}

static void alternate_stacks(void)
{
    static char own[1 << 16];
    stack_t stack = { .ss_sp = own, .ss_size = sizeof own }, now;
    check(sigaltstack(NULL, &now) == 0);
    check((now.ss_flags & SS_DISABLE) != 0);
    check(sigaltstack(&stack, NULL) == 0 && rsd_log_crashes() == 0);
    check(sigaltstack(NULL, &now) == 0 && now.ss_sp == own);
    stack.ss_flags = SS_DISABLE;
    check(sigaltstack(&stack, NULL) == 0 && rsd_log_crashes() == 0);
    check(sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_DISABLE) == 0);
    void *made = now.ss_sp;
    check(rsd_log_crashes() == 0);
    check(sigaltstack(NULL, &now) == 0 && now.ss_sp == made);
}

/* Without a log that is open, and when stderr is all there is. */
static void before_it_is_open(void)
{
    pid_t child = checked_fork();
    if (child == 0) {
        be_quiet();
        check(rsd_log_crashes() == 0);
        by_null();
        _exit(0);
    }
    int status = status_of(child);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    check(file_contains("err", "SIGSEGV") && file_contains("err", "log_crash: "));
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "recorded", recorded },
        { "overflow-of-a-thread", overflow_of_a_thread },
        { "own-handlers", own_handlers },
        { "alternate-stacks", alternate_stacks },
        { "before-it-is-open", before_it_is_open },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
