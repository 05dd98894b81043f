/*
 * A log file read back: its lines, taken apart, and lines that are numbered, so that none can be lost,
 * torn or written twice unseen.
 */
#ifndef LOG_LINES_H
#define LOG_LINES_H

#include "cases.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <syslog.h>

#define LOG "l" /* in the folder of the case */

#define open_log(...) check(rsd_open_log(RSD_LOG_OPTIONS(.name = "tester", __VA_ARGS__)) == 0)

struct line {
    const char *stamp, *name, *level, *message; /* each ends with NUL */
    int pid;
    size_t length; /* with its newline */
};

/* The whole file, ended with NUL; nothing where there is none. Kept until the program ends. */
static inline char *contents_of(const char *path, size_t *length)
{
    static struct text {
        struct text *before;
        char bytes[];
    } *latest;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat stat = { .st_size = 0 };
    check(fd == -1 || fstat(fd, &stat) == 0);
    size_t room = (size_t)stat.st_size;
    struct text *text = malloc(sizeof *text + room + 1);
    check(text != NULL);
    text->before = latest;
    latest = text;
    ssize_t got;
    for (*length = 0; *length < room; *length += (size_t)got)
        if ((got = read(fd, text->bytes + *length, room - *length)) <= 0)
            break;
    text->bytes[*length] = '\0';
    if (fd != -1)
        close(fd);
    return text->bytes;
}

static inline char *text_of(const char *path)
{
    size_t length;
    char *text = contents_of(path, &length);
    check(strlen(text) == length); /* no NUL in it */
    return text;
}

/* Ends the part of the text before `sign`, and returns what is behind it. */
static inline char *cut_at(char *text, const char *sign)
{
    char *end = text == NULL ? NULL : strstr(text, sign);
    if (end == NULL)
        return NULL;
    *end = '\0';
    return end + strlen(sign);
}

static inline int has_form(const char *text, const char *form)
{
    for (; *form != '\0'; text++, form++)
        if (*form == '0' ? !isdigit((unsigned char)*text) : *form == '+' ? strchr("+-", *text) == NULL
                                                                         : *text != *form)
            return 0;
    return *text == '\0';
}

/* Takes apart "TIME NAME[PID] LEVEL: MESSAGE"; 0 where it is no such line. */
static inline int take_apart(char *text, struct line *line)
{
    line->length = strlen(text) + 1;
    line->stamp = text;
    line->name = cut_at(text, " ");
    char *pid = cut_at((char *)line->name, "[");
    line->level = cut_at(pid, "] ");
    line->message = cut_at((char *)line->level, ": ");
    if (line->message == NULL || !has_form(line->stamp, "0000-00-00T00:00:00.000000+00:00"))
        return 0;
    line->pid = atoi(pid);
    return 1;
}

/* The next line of a text, without its newline; NULL at its end. A line always has one. */
static inline char *next_text(char **rest)
{
    char *text = *rest;
    if (*text == '\0')
        return NULL;
    *rest = cut_at(text, "\n");
    check(*rest != NULL);
    return text;
}

static inline int next_line(char **rest, struct line *line)
{
    char *text = next_text(rest);
    if (text == NULL)
        return 0;
    if (!take_apart(text, line))
        dprintf(2, "no line: \"%s\"\n", text), _exit(1);
    return 1;
}

/* The last line of the file, which is there. */
static inline struct line last_line(const char *path)
{
    struct line line, last = { .message = NULL };
    char *rest = text_of(path);
    while (next_line(&rest, &line))
        last = line;
    check(last.message != NULL);
    return last;
}

static inline void check_last(const char *path, const char *text)
{
    struct line last = last_line(path);
    if (strcmp(last.message, text) != 0)
        dprintf(2, "the last line says \"%s\", not \"%s\"\n", last.message, text), _exit(1);
}

static inline int file_contains(const char *path, const char *piece)
{
    return strstr(text_of(path), piece) != NULL;
}

static inline void await_text(const char *path, const char *piece)
{
    long long start = now_us();
    while (!file_contains(path, piece)) {
        check(now_us() - start < LONG_MS * 1000LL);
        usleep(2000);
    }
}

static inline struct rsd_log_state state_now(void)
{
    struct rsd_log_state state = { .size = sizeof state };
    check(rsd_get_log_state(&state) == 0);
    return state;
}

static inline int exists(const char *path)
{
    struct stat stat;
    return lstat(path, &stat) == 0;
}

static inline void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED);
    return memory;
}

/* Numbered lines: each writer's from 0 on, with lengths and letters that tell of any other byte. */

#define WRITERS_MAX 64
#define NUMBERS_MAX 100000

static inline const char *numbered(unsigned writer, unsigned number, char *text)
{
    int start = sprintf(text, "%u:%u:", writer, number);
    unsigned padding = (number * 37 + writer * 11) % 150;
    memset(text + start, 'a' + (int)((number + writer) % 26), padding);
    strcpy(text + start + padding, ".");
    return text;
}

static inline void log_numbered(unsigned writer, unsigned number)
{
    char text[256];
    rsd_log(LOG_INFO, "%s", numbered(writer, number, text));
}

struct tally {
    unsigned char seen[WRITERS_MAX][NUMBERS_MAX];
    unsigned others; /* whole lines that have no number */
    unsigned torn;
};

/* 1 if the message is one of the numbered ones. */
static inline int count_message(struct tally *tally, const char *message)
{
    unsigned writer, number;
    char text[256];
    if (sscanf(message, "%u:%u:", &writer, &number) != 2 || writer >= WRITERS_MAX || number >= NUMBERS_MAX
        || strcmp(message, numbered(writer, number, text)) != 0)
        return 0;
    tally->seen[writer][number]++;
    return 1;
}

/* Counts the lines of a file; nothing where there is none. How many there were. */
static inline unsigned count_lines(struct tally *tally, const char *path)
{
    char *rest = text_of(path), *text;
    unsigned count = 0;
    for (; (text = next_text(&rest)) != NULL; count++) {
        struct line line;
        char *copy = strdup(text);
        if (!take_apart(copy, &line)) {
            dprintf(2, "%s: no line: \"%s\"\n", path, text);
            tally->torn++;
        } else if (!count_message(tally, line.message)) {
            /* What begins like a numbered one is one that was torn. */
            tally->torn += isdigit((unsigned char)line.message[0]) != 0;
            tally->others++;
            dprintf(2, "%s: another line: \"%s\"\n", path, line.message);
        }
        free(copy);
    }
    return count;
}

/* FILE and FILE.1 to FILE.`most`, the oldest first. */
static inline void count_files(struct tally *tally, unsigned most)
{
    char name[32];
    for (unsigned number = most; number > 0; number--) {
        sprintf(name, LOG ".%u", number);
        count_lines(tally, name);
    }
    count_lines(tally, LOG);
}

static inline struct tally *new_tally(void)
{
    return shared_memory(sizeof(struct tally));
}

/* Each number of the writer below this one was found once. */
static inline void check_each_once(const struct tally *tally, unsigned writer, unsigned numbers)
{
    check(tally->torn == 0);
    for (unsigned number = 0; number < NUMBERS_MAX; number++) {
        if (tally->seen[writer][number] == (number < numbers))
            continue;
        dprintf(2, "writer %u: line %u is there %u times\n", writer, number, tally->seen[writer][number]);
        _exit(1);
    }
}

#endif
