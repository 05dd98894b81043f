/*
 * "drop_privileges OPTION... - ACTION...": gives up privileges as the options say, prints "dropped" and then each
 * action with 0 or its errno; or prints "refused ERRNO SENTENCE", and "unchanged" if all is as it was before.
 */
#include "cases.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Looked at after another root directory was entered, too. */
static int tasks;
/* A folder from before. */
static int outside = -1;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static int result_of(long result)
{
    return result == -1 ? errno : 0;
}

static int bound(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    check(fd != -1 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
    int error = result_of(bind(fd, (struct sockaddr *)&address, sizeof address));
    close(fd);
    return error;
}

static int opened(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    int error = result_of(fd);
    if (fd != -1)
        close(fd);
    return error;
}

static int in_namespace(void)
{
    pid_t child = checked_fork();
    if (child == 0)
        _exit(result_of(unshare(CLONE_NEWUSER)));
    int status;
    check(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int raised(int resource)
{
    struct rlimit limit;
    check(getrlimit(resource, &limit) == 0);
    limit.rlim_max++;
    return result_of(setrlimit(resource, &limit));
}

static int run(const char *command)
{
    pid_t child = checked_fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(126);
    }
    int status;
    check(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The lines of a thread's status that tell what it may. */
static void add_status(const char *name, char *text, size_t size)
{
    static const char *const fields[] = { "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
                                          "NoNewPrivs" };
    char path[64], status[8192];
    snprintf(path, sizeof path, "%s/status", name);
    int fd = openat(tasks, path, O_RDONLY);
    if (fd == -1)
        return;
    ssize_t length = 0, got;
    while ((got = read(fd, status + length, sizeof status - 1 - (size_t)length)) > 0)
        length += got;
    close(fd);
    status[length] = '\0';
    for (char *save, *line = strtok_r(status, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            if (strncmp(line, fields[i], strlen(fields[i])) == 0 && line[strlen(fields[i])] == ':')
                snprintf(text + strlen(text), size - strlen(text), "%s ", line);
        }
    }
    snprintf(text + strlen(text), size - strlen(text), "\n");
}

static char *truth(void)
{
    static char both[2][65536];
    static int turn;
    char *text = both[turn++ % 2];
    text[0] = '\0';
    lseek(tasks, 0, SEEK_SET);
    DIR *folder = fdopendir(dup(tasks));
    check(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.')
            add_status(entry->d_name, text, sizeof both[0]);
    }
    closedir(folder);
    struct stat top, here;
    check(stat("/", &top) == 0 && stat(".", &here) == 0);
    snprintf(text + strlen(text), sizeof both[0] - strlen(text), "securebits %lx root %lx:%lx here %lx:%lx\n",
             syscall(SYS_prctl, PR_GET_SECUREBITS, 0, 0, 0, 0), (unsigned long)top.st_dev, (unsigned long)top.st_ino,
             (unsigned long)here.st_dev, (unsigned long)here.st_ino);
    return text;
}

static void *wait_for_end(void *none)
{
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return none;
}

static void *print_own(void *none)
{
    char text[1024] = "", name[16];
    snprintf(name, sizeof name, "%ld", (long)syscall(SYS_gettid));
    add_status(name, text, sizeof text);
    printf("%s", text);
    return none;
}

static int tried(const char *action)
{
    const char *at = strchr(action, ':');
    const char *value = at == NULL ? "" : at + 1;
    size_t length = at == NULL ? strlen(action) : (size_t)(at - action);
#define is(name) (length == strlen(name) && strncmp(action, name, length) == 0)
    if (is("read"))
        return opened(value, O_RDONLY);
    if (is("write"))
        return opened(value, O_WRONLY);
    if (is("chown"))
        return result_of(chown(value, 1, 1));
    if (is("bind"))
        return bound(atoi(value));
    if (is("kill"))
        return result_of(kill(atoi(value), 0));
    if (is("trace"))
        return result_of(ptrace(PTRACE_SEIZE, atoi(value), NULL, NULL));
    if (is("namespace"))
        return in_namespace();
    if (is("outside")) {
        int fd = openat(outside, value, O_RDONLY | O_CLOEXEC);
        return fd == -1 ? errno : close(fd);
    }
    if (is("setfsuid")) {
        setfsuid((uid_t)atoi(value));
        return setfsuid((uid_t)-1) == atoi(value) ? 0 : EPERM;
    }
    if (is("raise"))
        return raised(RLIMIT_NOFILE);
    if (is("mount"))
        return result_of(mount("none", value, "tmpfs", 0, NULL));
    if (is("chroot"))
        return result_of(chroot(value));
    if (is("setuid"))
        return result_of(syscall(SYS_setuid, atoi(value)));
    if (is("setgid"))
        return result_of(syscall(SYS_setgid, atoi(value)));
    if (is("setgroups")) {
        gid_t group = 0;
        return result_of(syscall(SYS_setgroups, 1, &group));
    }
    if (is("raw"))
        return result_of(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    if (is("ambient"))
        return result_of(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, atoi(value), 0, 0));
    if (is("keepcaps"))
        return result_of(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
    if (is("run"))
        return run(value);
    if (is("cwd")) {
        char path[4096];
        return getcwd(path, sizeof path) == NULL ? errno : strcmp(path, value) != 0;
    }
    if (is("truth")) {
        printf("%s", truth());
        return 0;
    }
    if (is("thread")) {
        pthread_t thread;
        check(pthread_create(&thread, NULL, print_own, NULL) == 0 && pthread_join(thread, NULL) == 0);
        return 0;
    }
    check(!"such an action");
    return -1;
}

static void become(const char *ids)
{
    uid_t uid = (uid_t)atoi(ids);
    check(setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0);
}

static void change_capabilities(int is_all)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct sets[2];
    check(syscall(SYS_capget, &header, sets) == 0);
    for (int i = 0; i < 2; i++) {
        sets[i].effective = is_all ? sets[i].permitted : 0;
        sets[i].permitted = is_all ? sets[i].permitted : 0;
    }
    check(syscall(SYS_capset, &header, sets) == 0);
}

static pthread_barrier_t is_odd;

/* What only a thread may have that knows the kernel and not the C library. */
static void *be_odd(void *given)
{
    const char *how = given;
    if (strcmp(how, "weak") == 0)
        change_capabilities(0);
    else if (strcmp(how, "user") == 0)
        check(syscall(SYS_setresuid, -1, 1, -1) == 0);
    else if (strcmp(how, "root") == 0)
        check(unshare(CLONE_FS) == 0);
    else if (strcmp(how, "keeps") == 0)
        check(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
    else
        check(!"such a thread");
    pthread_barrier_wait(&is_odd);
    return wait_for_end(NULL);
}

/* Another user already, but with the capabilities and, for files, the ids of root. */
static void become_in_part(void)
{
    check(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
    become("65534");
    change_capabilities(1);
    setfsuid(0);
    setfsgid(0);
    check(setfsuid((uid_t)-1) == 0 && setfsgid((gid_t)-1) == 0);
}

/* The thread of main ends, and another goes on. */
static void leave_main(int argc, char *argv[]);

static int drop_and_try(int argc, char *argv[])
{
    struct rsd_privileges asked = { .size = sizeof asked };
    const struct rsd_privileges *given = &asked;
    pthread_t thread;
    int i;
    for (i = 1; i < argc && strcmp(argv[i], "-") != 0; i++) {
        char *name = argv[i], *value = strchr(name, '=');
        if (value != NULL)
            *value++ = '\0';
#define option(member) if (strcmp(name, #member) == 0) asked.member = value
        option(user);
        else option(group);
        else option(groups);
        else option(root);
        else option(capabilities);
        else if (strcmp(name, "ambient") == 0)
            asked.ambient = 1;
        else if (strcmp(name, "no_new_privileges") == 0)
            asked.no_new_privileges = 1;
        else if (strcmp(name, "null") == 0)
            given = NULL;
        else if (strcmp(name, "become") == 0)
            become(value);
        else if (strcmp(name, "threads") == 0) {
            for (int count = atoi(value); count > 0; count--)
                check(pthread_create(&thread, NULL, wait_for_end, NULL) == 0);
        } else if (strcmp(name, "odd-thread") == 0) {
            check(pthread_barrier_init(&is_odd, NULL, 2) == 0);
            check(pthread_create(&thread, NULL, be_odd, value) == 0);
            pthread_barrier_wait(&is_odd);
        } else if (strcmp(name, "in-part") == 0)
            become_in_part();
        else if (strcmp(name, "lowered") == 0)
            check(seteuid(getuid()) == 0);
        else if (strcmp(name, "outside") == 0)
            check((outside = open(value, O_PATH | O_DIRECTORY | O_CLOEXEC)) != -1);
        else if (strcmp(name, "size") == 0)
            asked.size = (size_t)atoi(value);
        else if (strcmp(name, "nofile") == 0) {
            rlim_t most = (rlim_t)atoi(value);
            check(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ most, most }) == 0);
        } else
            check(!"such an option");
    }
    int is_quiet = getenv("QUIET") != NULL;
    const char *before = is_quiet ? "" : truth();
    if (rsd_drop_privileges(given) == -1) {
        int error = errno;
        check(rsd_last_error()[0] != '\0');
        printf("refused %d %s\n", error, rsd_last_error());
        if (!is_quiet && strcmp(before, truth()) == 0)
            printf("unchanged\n");
        return 3;
    }
    printf("dropped\n");
    for (i++; i < argc; i++) {
        fflush(stdout);
        int error = tried(argv[i]);
        printf("%s %d\n", argv[i], error);
    }
    return 0;
}

struct arguments {
    int count;
    char **all;
};

static void *go_on(void *given)
{
    struct arguments *arguments = given;
    char state[64] = "";
    /* Until main's is a zombie. */
    do {
        char path[64], stat[512] = "";
        snprintf(path, sizeof path, "%d/stat", (int)getpid());
        int fd = openat(tasks, path, O_RDONLY);
        check(fd != -1 && read(fd, stat, sizeof stat - 1) > 0);
        close(fd);
        snprintf(state, sizeof state, "%.3s", strrchr(stat, ')') + 2);
    } while (state[0] != 'Z');
    int status = drop_and_try(arguments->count, arguments->all);
    fflush(stdout);
    _exit(status);
}

static void leave_main(int argc, char *argv[])
{
    static struct arguments arguments;
    arguments = (struct arguments){ argc, argv };
    pthread_t thread;
    check(pthread_create(&thread, NULL, go_on, &arguments) == 0);
    pthread_exit(NULL);
}

int main(int argc, char *argv[])
{
    tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(tasks != -1 || getenv("QUIET") != NULL);
    pthread_mutex_lock(&gate);
    if (argc > 1 && strcmp(argv[1], "without-main") == 0)
        leave_main(argc - 1, argv + 1);
    int status = drop_and_try(argc, argv);
    fflush(stdout);
    _exit(status);
}
