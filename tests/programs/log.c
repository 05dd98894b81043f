/*
 * Lines of the log: what they look like, which are logged, and what is made of a message.
 */
#include "log_lines.h"

/* Not where the compiler sees it: strict ISO C, which it warns about, has no %m. */
static char *errno_text = "%m", *number_and_errno_text = "%d: %m";

static const char *const levels[] = { "emerg", "alert", "crit", "err",
                                      "warning", "notice", "info", "debug" };

/* Seconds since 1970 of a time stamp, and what it says local time is ahead. */
static time_t moment(const char *stamp, long *ahead)
{
    struct tm tm = { 0 };
    int hours, minutes;
    char sign;
    check(sscanf(stamp, "%d-%d-%dT%d:%d:%d.%*6d%c%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
                 &tm.tm_min, &tm.tm_sec, &sign, &hours, &minutes) == 9);
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ahead = (sign == '-' ? -1 : 1) * (hours * 3600L + minutes * 60L);
    return timegm(&tm) - *ahead;
}

static void check_line(const struct line *line, int pid, int level, const char *message)
{
    check(strcmp(line->name, "tester") == 0 && line->pid == pid);
    check(strcmp(line->level, levels[level]) == 0 && strcmp(line->message, message) == 0);
}

static void format(void)
{
    time_t before = time(NULL);
    open_log(.file = LOG);
    for (int level = LOG_EMERG; level <= LOG_DEBUG; level++)
        rsd_log(level, "%s %d", "message", level);
    pid_t child = checked_fork();
    if (child == 0) {
        rsd_log(LOG_INFO, "of a child");
        _exit(0);
    }
    check_ends_well(child);
    rsd_log(LOG_INFO, "of its parent");
    char message[32], *rest = text_of(LOG);
    struct line line;
    for (int level = LOG_EMERG; level <= LOG_DEBUG; level++) {
        long ahead;
        sprintf(message, "message %d", level);
        check(next_line(&rest, &line));
        check_line(&line, getpid(), level, message);
        time_t told = moment(line.stamp, &ahead);
        check(before <= told && told <= time(NULL));
    }
    check(next_line(&rest, &line));
    check_line(&line, child, LOG_INFO, "of a child");
    check(next_line(&rest, &line));
    check_line(&line, getpid(), LOG_INFO, "of its parent");
    check(!next_line(&rest, &line));
}

/* The zone of TZ; what the C library makes of it is right. */
static void zone(void)
{
    open_log(.file = LOG);
    rsd_log(LOG_INFO, "now");
    long ahead;
    struct line line = last_line(LOG);
    time_t told = moment(line.stamp, &ahead);
    struct tm tm;
    check(localtime_r(&told, &tm) != NULL);
    check(tm.tm_gmtoff == ahead && labs(told - time(NULL)) < 60);
    printf("%+ld\n", ahead);
}

static void default_name(void)
{
    check(rsd_open_log(RSD_LOG_OPTIONS(.file = LOG)) == 0);
    rsd_log(LOG_INFO, "x");
    check(strcmp(last_line(LOG).name, "log") == 0);
    /* A name is no way to forge a line. */
    check(rsd_open_log(RSD_LOG_OPTIONS(.file = LOG, .name = "a\nb\x1b[")) == 0);
    rsd_log(LOG_INFO, "x");
    check(file_contains(LOG, " a\\nb\\x1b[["));
    char longest[5000] = { 0 };
    memset(longest, 'n', sizeof longest - 1);
    check(rsd_open_log(RSD_LOG_OPTIONS(.file = LOG, .name = longest)) == 0);
    rsd_log(LOG_INFO, "x");
    check(last_line(LOG).length <= RSD_LOG_LINE_MAX);
    check_last(LOG, "x");
}

static void check_logged_up_to(int least)
{
    static int round;
    char message[32];
    for (int level = LOG_EMERG; level <= LOG_DEBUG; level++) {
        sprintf(message, "round %d level %d.", ++round, level);
        check(rsd_log_wants(level) == (level <= least));
        check(rsd_log_wants(LOG_LOCAL7 | level) == (level <= least));
        rsd_log(level, "%s", message);
        check(file_contains(LOG, message) == (level <= least));
        sprintf(message, "round %d level %d.", ++round, level);
        rsd_log_string(LOG_LOCAL5 | level, message);
        check(file_contains(LOG, message) == (level <= least));
        sprintf(message, "round %d level %d.", ++round, level);
        rsd_log_fields(LOG_KERN | level, message, NULL, 0);
        check(file_contains(LOG, message) == (level <= least));
    }
    check(state_now().level == least);
}

static void level(void)
{
    open_log(.file = LOG);
    check_logged_up_to(LOG_DEBUG);
    check(rsd_set_log_level(LOG_WARNING) == LOG_DEBUG);
    check_logged_up_to(LOG_WARNING);
    check_refused(rsd_set_log_level(-1), EINVAL);
    check_refused(rsd_set_log_level(8), EINVAL);
    check_refused(rsd_set_log_level(LOG_LOCAL0 | LOG_ERR), EINVAL);
    check_logged_up_to(LOG_WARNING);
    check(rsd_set_log_level(LOG_EMERG) == LOG_WARNING);
    check_logged_up_to(LOG_EMERG);
    open_log(.file = LOG, .level = LOG_ALERT);
    check_logged_up_to(LOG_ALERT);
    rsd_log(LOG_LOCAL3 | LOG_ALERT, "with a facility");
    check(strcmp(last_line(LOG).level, "alert") == 0);
    check_last(LOG, "with a facility");
}

#define keeps_errno(call) \
    do { \
        errno = error; \
        call; \
        check(errno == error); \
    } while (0)

static void log_in_all_ways(int error)
{
    const char *field[] = { "A=b" };
    static struct rsd_log_site site;
    keeps_errno(rsd_log(LOG_ERR, errno_text));
    keeps_errno(rsd_log_string(LOG_ERR, "text"));
    keeps_errno(rsd_log_fields(LOG_ERR, "text", field, 1));
    keeps_errno(rsd_log_wants(LOG_ERR));
    keeps_errno(rsd_log_allows(&site, 2, 1000, LOG_ERR));
    for (int i = 0; i < 3; i++)
        keeps_errno(RSD_LOG_LIMITED(2, 1000, LOG_ERR, number_and_errno_text, i));
}

static void errno_kept(void)
{
    open_log(.file = LOG);
    errno = ENOENT;
    rsd_log(LOG_ERR, number_and_errno_text, 7);
    check_last(LOG, "7: No such file or directory");
    for (int error = 0; error < 20; error++)
        log_in_all_ways(error);
    check(file_contains(LOG, " err: Success\n") && file_contains(LOG, " err: File exists\n"));

    /* And when nobody takes a line. */
    struct rlimit limit = { 1, RLIM_INFINITY };
    int out = dup(2), full = open("/dev/full", O_WRONLY);
    check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    check(dup2(full, 2) == 2);
    open_log(.file = LOG, .to_stderr = 1, .to_syslog = 1, .to_journal = 1);
    for (int error = 0; error < 20; error++)
        log_in_all_ways(error);
    check(dup2(out, 2) == 2);
    struct rsd_log_state state = state_now();
    check(state.file_lost > 40 && state.file_errno == EFBIG);
    check(state.stderr_lost > 40 && state.stderr_errno == ENOSPC);
}

/* What is to stand for a text in the file. */
static void show(const unsigned char *text, char *shown)
{
    for (; *text != '\0'; text++) {
        int is_c1 = text[0] == 0xc2 && text[1] >= 0x80 && text[1] < 0xa0;
        if (*text == '\n' || *text == '\t' || *text == '\r')
            shown += sprintf(shown, "\\%c", *text == '\n' ? 'n' : *text == '\t' ? 't' : 'r');
        else if (*text < 0x20 || *text == 0x7f || is_c1)
            shown += sprintf(shown, "\\x%02x", *(text += is_c1));
        else
            *shown++ = (char)*text;
    }
    *shown = '\0';
}

static void check_shown(const char *message, const char *shown)
{
    rsd_log(LOG_INFO, "%s", message);
    check(strcmp(last_line(LOG).message, shown) == 0);
    rsd_log_string(LOG_INFO, message);
    check(strcmp(last_line(LOG).message, shown) == 0);
    check(truncate(LOG, 0) == 0);
}

static void one_line(void)
{
    open_log(.file = LOG);
    check_shown("a\nb\tc\x1b[31md", "a\\nb\\tc\\x1b[31md");
    check_shown("x\n2026-11-25T16:05:59.123456+01:00 sshd[1] info: forged",
                "x\\n2026-11-25T16:05:59.123456+01:00 sshd[1] info: forged");
    check_shown("\x7f \x01 \xc2\x80 \xc2\x9b \xc2\x9f \xc2\xa0 \xc3\xa9",
                "\\x7f \\x01 \\x80 \\x9b \\x9f \xc2\xa0 \xc3\xa9");
    check_shown("end\n", "end");
    check_shown("end\n\n\n", "end");
    check_shown("\nend", "\\nend");
    check_shown("end \n", "end ");
    check_shown("\n\n", "");
    check_shown("", "");
    check_shown("100% %s %n", "100% %s %n");
    rsd_log(LOG_INFO, "before");
    rsd_log_string(LOG_INFO, NULL);
    rsd_log_fields(LOG_INFO, NULL, NULL, 0);
    check_last(LOG, "before");
    const char *fields[] = { "UNIT=x\ny" };
    rsd_log_fields(LOG_INFO, "text", fields, 1);
    check_last(LOG, "text");
    check(!file_contains(LOG, "UNIT"));

    /* Each pair of bytes, at each place of a word of the machine, among others of all kinds. */
    unsigned step = getenv("SLOW") != NULL ? 101 : 1;
    static char shown[65536 * 80];
    char *expected = shown, *end = shown;
    check(truncate(LOG, 0) == 0);
    for (unsigned pair = 0; pair < 65536; pair += step) {
        unsigned char text[32] = "\xe2\x82\xac" "bcdefghijklmnopqrstuvw.";
        unsigned char one = (unsigned char)(pair >> 8), two = (unsigned char)pair;
        text[3 + pair % 11] = one != 0 ? one : ' ';
        text[4 + pair % 11] = two != 0 ? two : ' ';
        rsd_log_string(LOG_INFO, (const char *)text);
        show(text, end);
        end += strlen(end);
        *end++ = '\n';
    }
    *end = '\0';
    struct line line;
    char *rest = text_of(LOG);
    while (next_line(&rest, &line))
        check(strcmp(line.message, next_text(&expected)) == 0);
    check(next_text(&expected) == NULL);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "format", format },
        { "zone", zone },
        { "default-name", default_name },
        { "level", level },
        { "errno", errno_kept },
        { "one-line", one_line },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
