/*
 * AppArmor and SELinux: "confinement CASE" does one thing and checks it; "confinement profile|context NAME" prints what
 * the call returned, errno, and the sentence.
 */
#include "cases.h"

#include <fcntl.h>
#include <pthread.h>

static void refuse_names(int (*change)(const char *))
{
    static char long_name[4002];
    memset(long_name, 'a', sizeof long_name - 1);
    check_refused(change(NULL), EINVAL);
    check_refused(change(""), EINVAL);
    check_refused(change("a\nb"), EINVAL);
    check_refused(change("a\x7f"), EINVAL);
    check_refused(change(long_name), EINVAL);
}

static void bad_names(void)
{
    refuse_names(rsd_change_profile);
    refuse_names(rsd_change_context);
}

static void *wait_for_the_end(void *arg)
{
    pause();
    return arg;
}

static void threads(void)
{
    pthread_t thread;
    check(pthread_create(&thread, NULL, wait_for_the_end, NULL) == 0);
    check_refused(rsd_change_profile("unconfined"), EBUSY);
    check(strstr(rsd_last_error(), "threads") != NULL);
}

static int put(int length, char *to, int code, const void *from, unsigned short size)
{
    to[length++] = code;
    memcpy(to + length, from, size);
    return length + size;
}

static int put_text(int length, char *to, int code, const char *text)
{
    unsigned short size = strlen(text) + 1;
    length = put(length, to, code, &size, sizeof size);
    memcpy(to + length, text, size);
    return length + size;
}

/* Loads the profile "box", which allows nothing, in the kernel's own format of policies. */
static void load_profile(void)
{
    enum { U32 = 2, NAME = 4, STRING = 5, STRUCT = 7, STRUCTEND = 8 };
    static const unsigned version = 5, zero;
    char policy[200];
    int length = put_text(0, policy, NAME, "version");
    length = put(length, policy, U32, &version, sizeof version);
    length = put_text(length, policy, NAME, "profile");
    length = put(length, policy, STRUCT, NULL, 0);
    length = put_text(length, policy, STRING, "box");
    length = put_text(length, policy, NAME, "flags");
    length = put(length, policy, STRUCT, NULL, 0);
    for (int i = 0; i < 3; i++) /* no hat, enforcing, without audit */
        length = put(length, policy, U32, &zero, sizeof zero);
    length = put(length, policy, STRUCTEND, NULL, 0);
    for (int i = 0; i < 4; i++) /* no capabilities */
        length = put(length, policy, U32, &zero, sizeof zero);
    length = put(length, policy, STRUCTEND, NULL, 0);
    int fd = open("/sys/kernel/security/apparmor/.load", O_WRONLY);
    check(fd != -1);
    check(write(fd, policy, length) == length);
    close(fd);
}

static void profile(void)
{
    check(open("/etc/hostname", O_RDONLY) != -1);
    check(rsd_change_profile("unconfined") == 0);
    check_refused(rsd_change_profile("box"), ENOENT);
    check(open("/etc/hostname", O_RDONLY) != -1);
    load_profile();
    check_refused(rsd_change_profile("bo"), ENOENT);
    errno = 4711;
    check(rsd_change_profile("box") == 0 && errno == 4711);
    check(open("/etc/hostname", O_RDONLY) == -1 && errno == EACCES);
    check(execl("/bin/true", "true", (char *)NULL) == -1 && errno == EACCES);
    check_refused(rsd_change_profile("unconfined"), EACCES);
}

/* Without a policy the kernel knows the contexts of its own beginning, and takes any other for "kernel". */
static void context(void)
{
    check(rsd_change_context("kernel") == 0);
    check_refused(rsd_change_context("system_u:system_r:init_t:s0"), EPERM);
    check(strstr(rsd_last_error(), "is not in force") != NULL);
    check(rsd_change_context("unlabeled") == 0);
    char text[64] = "";
    int fd = open("/proc/thread-self/attr/current", O_RDONLY);
    check(fd != -1 && read(fd, text, sizeof text - 1) > 0);
    check(strcmp(text, "unlabeled") == 0);
}

static const struct one_case cases[] = {
    { "bad-names", bad_names }, { "threads", threads }, { "profile", profile }, { "context", context },
    { NULL, NULL },
};

int main(int argc, char *argv[])
{
    if (argc == 3) {
        int is_profile = strcmp(argv[1], "profile") == 0;
        errno = 0;
        int result = is_profile ? rsd_change_profile(argv[2]) : rsd_change_context(argv[2]);
        printf("%d %d %s\n", result, errno, result == -1 ? rsd_last_error() : "");
        return 0;
    }
    return run_case(cases, argc, argv);
}
