/*
 * environment bool|int|string MINIMUM MAXIMUM VALUE...: reads each value from the environment and
 * prints what the call returned, errno, what the variable of the program is then, and the sentence.
 * The value "UNSET" stands for a variable that is not there.
 */
#include <err.h>
#include <errno.h>
#include <rsdaemon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char name[] = "RSDAEMON_TEST_VALUE";

static void check(int condition, const char *what)
{
    if (!condition)
        errx(1, "%s: %d %s", what, errno, rsd_last_error());
}

static void refuse(void)
{
    int number = 4711;
    const char *text = "default";

    setenv(name, "1", 1);
    check(rsd_env_bool(NULL, &number) == -1 && errno == EINVAL, "bool: no name");
    check(rsd_env_int(NULL, 0, 9, &number) == -1 && errno == EINVAL, "int: no name");
    check(rsd_env_int(name, 1, 0, &number) == -1 && errno == EINVAL, "int: odd range");
    check(rsd_env_string(NULL, &text) == -1 && errno == EINVAL, "string: no name");
    check(number == 4711 && strcmp(text, "default") == 0, "the default is lost");
    errno = 0;
    check(rsd_env_bool(name, NULL) == -1 && errno == EINVAL, "bool: no value");
    errno = 0;
    check(rsd_env_int(name, 0, 9, NULL) == -1 && errno == EINVAL, "int: no value");
    errno = 0;
    check(rsd_env_string(name, NULL) == -1 && errno == EINVAL, "string: no value");
    setenv(name, "\xff\xfe", 1);
    errno = 0;
    check(rsd_env_bool(name, &number) == -1 && errno == EINVAL, "bool: no UTF-8");
    errno = 0;
    check(rsd_env_int(name, 0, 9, &number) == -1 && errno == EINVAL, "int: no UTF-8");
    check(number == 4711, "no UTF-8: the default is lost");
    unsetenv(name);
    errno = 0;
    check(rsd_env_int(name, 1, 0, &number) == -1 && errno == EINVAL, "int: odd range, unset");
    check(rsd_env_bool("", &number) == 0 && rsd_env_bool("A=B", &number) == 0, "odd names");

    clearenv();
    errno = 4711;
    check(rsd_env_bool(name, &number) == 0 && rsd_env_int(name, 0, 9, &number) == 0
              && rsd_env_string(name, &text) == 0,
          "no environment");
    check(errno == 4711 && number == 4711 && strcmp(text, "default") == 0, "nothing is changed");
}

int main(int argc, char *argv[])
{
    if (argc == 1) {
        refuse();
        return 0;
    }
    for (int i = 4; i < argc; i++) {
        int number = 4711, result;
        const char *text = "default";

        if (strcmp(argv[i], "UNSET") == 0)
            unsetenv(name);
        else
            setenv(name, argv[i], 1);
        errno = 0;
        if (strcmp(argv[1], "bool") == 0)
            result = rsd_env_bool(name, &number);
        else if (strcmp(argv[1], "int") == 0)
            result = rsd_env_int(name, atoi(argv[2]), atoi(argv[3]), &number);
        else
            result = rsd_env_string(name, &text);
        int error = errno;
        check(result != 1 || strcmp(argv[1], "string") != 0 || text == getenv(name), "a copy");
        printf("%d %d %d %s|%s\n", result, error, number, text, result == -1 ? rsd_last_error() : "");
    }
    return 0;
}
