/*
 * The log with a clock of its own, which this program puts before that of the C library.
 */
#include "log_lines.h"

static struct timespec pretended;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_REALTIME || pretended.tv_sec == 0)
        return (int)syscall(SYS_clock_gettime, clock, now);
    *now = pretended;
    return 0;
}

static struct timespec logged[60000];
static size_t count;

static void log_at(time_t second, long nanosecond)
{
    check(count < sizeof logged / sizeof *logged);
    pretended = logged[count++] = (struct timespec){ second, nanosecond };
    rsd_log_string(LOG_INFO, "x");
}

static void check_stamp(const char *stamp, struct timespec time)
{
    struct tm tm;
    char expected[80], day[24];
    check(localtime_r(&time.tv_sec, &tm) != NULL);
    long minutes = labs(tm.tm_gmtoff) / 60;
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    sprintf(expected, "%s.%06ld%c%02ld:%02ld", day, time.tv_nsec / 1000, tm.tm_gmtoff < 0 ? '-' : '+',
            minutes / 60, minutes % 60);
    if (strcmp(stamp, expected) != 0)
        dprintf(2, "%s, not %s\n", stamp, expected), _exit(1);
}

/* The last and the first second of each half hour of the next year: whatever changes, changes there. */
static void seasons(void)
{
    const time_t begin = 1795620600; /* 2026-11-25 */
    const time_t year = 366 * 86400, step = getenv("SLOW") != NULL ? 86400 : 1800;
    pretended.tv_sec = begin;
    open_log(.file = LOG);
    for (time_t second = begin; second < begin + year; second += step) {
        log_at(second - 1, 999999999);
        log_at(second, 1000);
    }
    /* Each day of the years after it, leap days among them. */
    for (time_t second = begin; second < begin + 9 * year; second += 86400 - 1800 + step % 86400)
        log_at(second, 0);
    /* And when the clock is set back. */
    log_at(begin, 0);

    struct line line;
    char *rest = text_of(LOG);
    for (size_t i = 0; i < count; i++) {
        check(next_line(&rest, &line));
        check_stamp(line.stamp, logged[i]);
    }
    check(!next_line(&rest, &line));
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "seasons", seasons },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
