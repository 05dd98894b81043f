/*
 * What no caller of rsd_command() should pass: -1, EINVAL or E2BIG, a sentence, and the same on stderr.
 */
#include "cases.h"

static char name[] = "x", word[] = "start";
static char *argv[] = { name, word, NULL };
static int argc = 2;

struct newer_options {
    struct rsd_command_options known;
    char more[64];
};

static void check_misused(int *count, char **list, const struct rsd_command_options *options, int error,
                          const char *sentence)
{
    fprintf(stderr, "expected: %s\n", sentence);
    errno = 0;
    int result = rsd_command(count, list, options);
    check(result == -1 && errno == error);
    check(strcmp(rsd_last_error(), sentence) == 0);
    check(argc == 2 && argv[1] == word && argv[2] == NULL);
}

int main(void)
{
    const struct rsd_options *daemon = RSD_OPTIONS(.pidfile = "./d.pid", .foreground = 1);
    const struct rsd_command_options *good = RSD_COMMAND_OPTIONS(.daemon = daemon);

    check_misused(NULL, argv, good, EINVAL, "argc or argv cannot be used");
    check_misused(&argc, NULL, good, EINVAL, "argc or argv cannot be used");
    int negative = -1;
    check_misused(&negative, argv, good, EINVAL, "argc or argv cannot be used");
    check_misused(&argc, argv, NULL, EINVAL, "options is NULL");
    check_misused(&argc, argv, RSD_COMMAND_OPTIONS(.daemon = NULL), EINVAL, "options lack their daemon");
    check_misused(&argc, argv, RSD_COMMAND_OPTIONS(.daemon = RSD_OPTIONS(.foreground = 1)), EINVAL,
                  "the daemon lacks a pidfile");
    check_misused(&argc, argv, RSD_COMMAND_OPTIONS(.daemon = RSD_OPTIONS(.pidfile = "x", .stdio = 9)), EINVAL,
                  "stdio is out of range");
    struct rsd_options sizeless = { .pidfile = "./d.pid" };
    check_misused(&argc, argv, RSD_COMMAND_OPTIONS(.daemon = &sizeless), EINVAL, "the options lack their size");

    struct newer_options options;
    memset(&options, 0, sizeof options);
    options.known.daemon = daemon;
    check_misused(&argc, argv, &options.known, EINVAL, "the options lack their size");
    options.known.size = sizeof options;
    options.more[63] = 1;
    check_misused(&argc, argv, &options.known, E2BIG, "the options are of a newer version than this library");
    /* What is unknown but 0 does not matter. */
    options.more[63] = 0;
    options.known.stop_timeout_ms = 1;
    char status[] = "status";
    argv[1] = status;
    check(rsd_command(&argc, argv, &options.known) == 3);
    check(argc == 1 && argv[1] == NULL);

    /* No argument, not even a name. */
    char *none[] = { NULL };
    argc = 0;
    check(rsd_command(&argc, none, good) == RSD_IS_DAEMON);
    check(argc == 0 && none[0] == NULL);
    return 0;
}
