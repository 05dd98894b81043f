/*
 * rsd_open_log(): its options, and what is refused.
 */
#include "log_lines.h"

#include <dirent.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define refused(error, ...) check_log_refused(error, RSD_LOG_OPTIONS(.name = "other", __VA_ARGS__), __LINE__)

static int count_names(void)
{
    int count = 0;
    DIR *folder = opendir(".");
    check(folder != NULL);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static int count_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 2048; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

static unsigned mode_of(const char *path)
{
    struct stat stat;
    check(lstat(path, &stat) == 0);
    return stat.st_mode & 07777;
}

static int is_same_file(int one, int two)
{
    struct stat first, second;
    check(fstat(one, &first) == 0 && fstat(two, &second) == 0);
    return first.st_ino == second.st_ino && first.st_dev == second.st_dev;
}

/* The log is what it was: file, name, level, state, stdio and descriptors; and there is no new file. */
static void check_log_refused(int error, const struct rsd_log_options *options, int line)
{
    int out = dup(1), err = dup(2), names = count_names(), descriptors = count_descriptors();
    char text[32];
    errno = 0;
    int result = rsd_open_log(options), told = errno;
    int has_stdio = is_same_file(out, 1) && is_same_file(err, 2);
    check(dup2(err, 2) == 2);
    names -= count_names(), descriptors -= count_descriptors();
    if (result != -1 || told != error || rsd_last_error()[0] == '\0' || !has_stdio || names != 0
        || descriptors != 0) {
        dprintf(2, "line %d: %d, errno %d, \"%s\"%s%s%s\n", line, result, told, rsd_last_error(),
                has_stdio ? "" : ", stdio was redirected", names ? ", a new file" : "",
                descriptors ? ", a new descriptor" : "");
        _exit(1);
    }
    close(out), close(err);
    sprintf(text, "after line %d", line);
    rsd_log(LOG_WARNING, "%s", text);
    rsd_log(LOG_NOTICE, "not logged");
    check_last(LOG, text);
    check(strcmp(last_line(LOG).name, "tester") == 0);
    check(state_now().level == LOG_WARNING);
}

static void refusals(void)
{
    char long_path[5000] = { 0 };
    open_log(.file = LOG, .level = LOG_WARNING);
    refused(EINVAL, .level = -1);
    refused(EINVAL, .level = 8);
    refused(EINVAL, .facility = 1);
    refused(EINVAL, .facility = -8);
    refused(EINVAL, .facility = 24 << 3);
    refused(EINVAL, .facility = LOG_DAEMON | LOG_ERR);
    refused(EINVAL, .file = "");
    refused(EINVAL, .file = "new", .file_mode = 010000);
    refused(EINVAL, .file_mode = 0600);
    refused(EINVAL, .file_owner = "root");
    refused(EINVAL, .file_limit = 1000);
    refused(EINVAL, .file_count = 1);
    refused(EINVAL, .file_age_s = 1);
    refused(EINVAL, .to_syslog = 1, .redirect_stdio = 1);
    refused(EINVAL, .file = "new", .redirect_stdio = 1, .to_stderr = 1);
    refused(EINVAL, .file = "new", .file_owner = "no-such-user");
    refused(EINVAL, .reopen_signal = -1);
    refused(EINVAL, .reopen_signal = SIGSEGV);
    refused(EINVAL, .reopen_signal = SIGKILL, .file = LOG, .level = LOG_DEBUG);
    refused(EINVAL, .reopen_signal = SIGKILL, .file = LOG, .redirect_stdio = 1);
    refused(EINVAL, .reopen_signal = SIGRTMAX + 1, .file = "new");
    refused(ENOENT, .file = "no-such-folder/new");
    refused(ENOTDIR, .file = LOG "/new");
    memset(long_path, 'p', sizeof long_path - 1);
    refused(ENAMETOOLONG, .file = long_path);
    long_path[300] = '\0';
    refused(ENAMETOOLONG, .file = long_path);

    check(mkfifo("fifo", 0600) == 0 && mkdir("folder", 0700) == 0);
    check(symlink("target", "to-none") == 0 && symlink(LOG, "to-log") == 0);
    check(close(creat("first", 0600)) == 0 && link("first", "second") == 0);
    struct sockaddr_un address = { AF_UNIX, "socket" };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    check(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    refused(EINVAL, .file = "fifo");
    int reader = open("fifo", O_RDONLY | O_NONBLOCK);
    check(reader != -1);
    refused(EINVAL, .file = "fifo");
    refused(EINVAL, .file = "socket");
    refused(EINVAL, .file = "/dev/null");
    refused(EISDIR, .file = "folder");
    refused(EISDIR, .file = "/");
    refused(ELOOP, .file = "to-none");
    refused(ELOOP, .file = "to-log");
    refused(EMLINK, .file = "first");
    check(!exists("target"));
}

static void sizes(void)
{
    open_log(.file = LOG, .level = LOG_WARNING);
    struct {
        struct rsd_log_options known;
        int unknown;
    } newer = { { .size = sizeof newer, .file = "new", .name = "newer" }, 1 };
    check_log_refused(E2BIG, &newer.known, __LINE__);
    newer.known.size = 1 << 20;
    check_log_refused(E2BIG, &newer.known, __LINE__);
    newer.known.size = 0;
    check_log_refused(EINVAL, &newer.known, __LINE__);
    newer.known.size = sizeof newer;
    newer.unknown = 0;
    check(rsd_open_log(&newer.known) == 0);
    rsd_log(LOG_DEBUG, "to the new one");
    check_last("new", "to the new one");
    /* An older program knows less. */
    struct rsd_log_options older = { .size = offsetof(struct rsd_log_options, file_mode), .file = "older" };
    older.file_mode = 1u << 30;
    check(rsd_open_log(&older) == 0);
    rsd_log(LOG_DEBUG, "to the older one");
    check_last("older", "to the older one");
    /* The defaults are syslog, where nobody may listen. */
    check(rsd_open_log(NULL) == 0);
    rsd_log(LOG_DEBUG, "to syslog");
    check_last("older", "to the older one");

    struct rsd_log_state state = { .size = sizeof state - 1, .level = 77 };
    check_refused(rsd_get_log_state(NULL), EINVAL);
    check_refused(rsd_get_log_state(&state), EINVAL);
    check(state.level == 77);
}

static void modes(void)
{
    umask(0);
    open_log(.file = "plain");
    check(mode_of("plain") == 0640);
    umask(077);
    open_log(.file = "masked");
    check(mode_of("masked") == 0600);
    open_log(.file = "open", .file_mode = 0666);
    check(mode_of("open") == 0666);
    umask(0777);
    open_log(.file = "closed", .file_mode = 0400);
    check(mode_of("closed") == 0400);
    rsd_log(LOG_INFO, "x");
    check_last("closed", "x");
    umask(022);
    check(close(creat("there", 0604)) == 0);
    open_log(.file = "there", .file_mode = 0666);
    rsd_log(LOG_INFO, "x");
    check(mode_of("there") == 0604);
    check_last("there", "x");

    /* And of the files that come later. */
    umask(077);
    open_log(.file = LOG, .file_mode = 0664, .file_limit = 100);
    for (int i = 0; i < 5; i++)
        log_numbered(0, 10);
    check(mode_of(LOG) == 0664 && mode_of(LOG ".1") == 0664);
    check(rename(LOG, "moved") == 0 && rsd_reopen_log() == 0);
    check(mode_of(LOG) == 0664);
}

static void owners(void)
{
    if (geteuid() != 0)
        _exit(CANNOT_RUN_HERE);
    struct passwd *nobody = getpwnam("nobody");
    struct stat stat;
    check(nobody != NULL);
    uid_t uid = nobody->pw_uid;
    gid_t gid = nobody->pw_gid;
    char number[16];
    sprintf(number, "%u", uid);
    const char *names[] = { "nobody", number };
    for (int i = 0; i < 2; i++) {
        open_log(.file = names[i], .file_owner = names[i], .file_mode = 0620);
        check(lstat(names[i], &stat) == 0 && stat.st_uid == uid && stat.st_gid == gid);
        check(mode_of(names[i]) == 0620);
    }
    open_log(.file = "mine");
    check(lstat("mine", &stat) == 0 && stat.st_uid == 0);
    open_log(.file = "mine", .file_owner = "nobody");
    check(lstat("mine", &stat) == 0 && stat.st_uid == 0);
}

/* What is opened from one directory is rotated and reopened there from another, also as a daemon. */
static void relative_path(void)
{
    pid_t child = checked_fork();
    if (child == 0) {
        check(mkdir("sub", 0755) == 0 && chdir("sub") == 0);
        open_log(.file = "../" LOG, .file_limit = 300);
        rsd_log(LOG_INFO, "before");
        check(daemonize(NULL) == 0);
        for (unsigned number = 0; number < 20; number++)
            log_numbered(0, number);
        check(rsd_reopen_log() == 0);
        rsd_log(LOG_INFO, "done");
        _exit(0);
    }
    check_ends_well(child);
    await_text(LOG, "done");
    check(exists(LOG ".1") && last_line(LOG).pid != child);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "refusals", refusals },
        { "sizes", sizes },
        { "modes", modes },
        { "owners", owners },
        { "relative-path", relative_path },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
