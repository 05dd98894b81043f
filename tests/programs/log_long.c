/*
 * Lines that are too long, and places in the program that log too often.
 */
#include "log_lines.h"

#define CUT "[cut]"

static size_t cut_length(const struct line *line)
{
    size_t length = strlen(line->message), cut = strlen(CUT);
    return length >= cut && strcmp(line->message + length - cut, CUT) == 0 ? length - cut : 0;
}

static void in_either_way(const char *text, int is_formatted)
{
    if (is_formatted)
        rsd_log(LOG_INFO, "%s", text);
    else
        rsd_log_string(LOG_INFO, text);
}

/* What stands before the message, and the newline. */
static size_t overhead(void)
{
    rsd_log_string(LOG_INFO, "");
    return last_line(LOG).length;
}

static void lengths(void)
{
    static char text[3 * RSD_LOG_LINE_MAX];
    open_log(.file = LOG);
    size_t most = RSD_LOG_LINE_MAX - overhead();
    for (int way = 0; way < 2; way++) {
        for (size_t length = most - 300; length < most + 300; length++) {
            memset(text, 'x', length);
            strcpy(text + length, way ? "\n\n" : "");
            check(truncate(LOG, 0) == 0);
            in_either_way(text, way);
            struct line line = last_line(LOG);
            check(line.length <= RSD_LOG_LINE_MAX);
            check((cut_length(&line) > 0) == (length > most));
            if (length <= most)
                check(strlen(line.message) == length);
        }
        memset(text, 'x', sizeof text - 1);
        in_either_way(text, way);
        check(cut_length(&(struct line){ .message = last_line(LOG).message }) > most - 10);

        /* What is dropped does not make it longer. */
        memset(text + 1, '\n', sizeof text - 2);
        in_either_way(text, way);
        check_last(LOG, "x");
    }
    rsd_log(LOG_INFO, "%0200000d", 1);
    check(last_line(LOG).length <= RSD_LOG_LINE_MAX);
    check(cut_length(&(struct line){ .message = last_line(LOG).message }) > most - 10);
}

/* How many bytes the character there has; 0: it is none. */
static size_t character(const char *text)
{
    unsigned char first = (unsigned char)*text;
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static void between_characters(void)
{
    static const char *const characters[] = { "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\x1b",
                                              "\xc2\x85", "\xc2\xa0" };
    static char text[RSD_LOG_LINE_MAX * 4];
    open_log(.file = LOG);
    for (size_t which = 0; which < sizeof characters / sizeof *characters; which++) {
        for (size_t shift = 0; shift < 8; shift++) {
            char *end = text + shift;
            memset(text, 'x', shift);
            while (end < text + RSD_LOG_LINE_MAX * 3)
                end = stpcpy(end, characters[which]);
            check(truncate(LOG, 0) == 0);
            in_either_way(text, shift % 2 == 1);
            struct line line = last_line(LOG);
            size_t length = cut_length(&line);
            check(line.length <= RSD_LOG_LINE_MAX && length > RSD_LOG_LINE_MAX / 2);
            for (size_t at = 0; at < length; at += character(line.message + at))
                check(character(line.message + at) > 0);
            if (which == 3 || which == 4)
                check((length - shift) % 4 == 0); /* of "\x1b" */
        }
    }
}

static void log_often(unsigned times)
{
    while (times-- > 0)
        RSD_LOG_LIMITED(3, 2, LOG_WARNING, "number %d", 1);
}

static int count_of(const char *text)
{
    struct line line;
    char *rest = text_of(LOG);
    int count = 0;
    while (next_line(&rest, &line))
        count += strcmp(line.message, text) == 0;
    return count;
}

static void limited(void)
{
    open_log(.file = LOG, .level = LOG_WARNING);
    struct rsd_log_site site = { .state = { 0 } };
    for (int i = 0; i < 10; i++)
        check(rsd_log_allows(&site, 10, 1000, LOG_WARNING) == 1);
    check(rsd_log_allows(&site, 10, 1000, LOG_WARNING) == 0);
    check(state_now().held_back == 1);

    /* In the time of one limit; another place has its own. */
    long long start = now_us();
    log_often(8);
    int in_time = now_us() - start < 900000;
    RSD_LOG_LIMITED(1, 1000, LOG_WARNING, "elsewhere");
    check(count_of("elsewhere") == 1);
    if (in_time) {
        check(count_of("number 1") == 3);
        check(state_now().held_back == 6);
    }
    /* Lines that nobody wants are not held back. */
    unsigned before = state_now().held_back;
    for (int i = 0; i < 5; i++)
        RSD_LOG_LIMITED(1, 1000, LOG_DEBUG, "debug");
    check(state_now().held_back == before && !file_contains(LOG, "debug"));

    /* Then one line tells, and goes before the next. */
    while (now_us() - start < 2100000)
        usleep(10000);
    before = (unsigned)count_of("number 1");
    log_often(1);
    char *rest = text_of(LOG);
    struct line line, told = { .message = NULL };
    for (unsigned found = 0; next_line(&rest, &line); told = line)
        if (strcmp(line.message, "number 1") == 0 && ++found == before + 1)
            break;
    check(strcmp(line.message, "number 1") == 0 && (int)before + 1 == count_of("number 1"));
    if (in_time)
        check(strncmp(told.message, "5 ", 2) == 0 && strcmp(told.level, "warning") == 0);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "lengths", lengths },
        { "between-characters", between_characters },
        { "limited", limited },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
