/*
 * The security scanner of the guide: which files may anybody write, which ones make anybody somebody else,
 * and what of that has changed since the scan before.
 *
 * usage: security_scanner [start|stop|restart|reload|status|run] [--pidfile FILE] [--user USER]
 *                         [--group GROUP] [--config /FILE] [--log /FILE] [--control /SOCKET]
 *        security_scanner --scan FOLDER...      once, to stdout
 *
 * The configuration is YAML:
 *
 *     scan_interval: 300        # seconds from the end of a scan to the next one
 *     folders: [/usr, /tmp]     # links are not followed, nor other file systems entered
 *     user: scanner             # whom to become, from the next start on. Pid file, log and socket are
 *     group: scanner            # then best in folders where this user may make files.
 *
 * HUP and "reload" read it again and scan; of a bad file nothing counts, and whoever asked is told the line. On
 * the socket "findings" tells what is the matter now, "scan" starts a scan. Each scan is a process of its own:
 * whatever becomes of it, the daemon logs it and goes on.
 *
 * The hand-written one scanned nothing, and did not start, since it imports a class that is not there. With that
 * repaired its log ended where it went into the background, and told nobody; it died of an empty configuration,
 * took any other, and after TERM slept to the end of its interval. Its "stop" sent TERM to whatever process had
 * the number in its file.
 */
#define _DEFAULT_SOURCE
#define _FILE_OFFSET_BITS 64
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include <yaml.h>

#include <rsdaemon.h>

#define FOLDERS_MAX 100
#define DEPTH_MAX 1000 /* each folder on the way down is open */

static volatile sig_atomic_t shutdown_flag = 0, reload_flag = 0;

/* --- the scan, in its own process: a line for each finding, "FACTS: /PATH" ------------------------------ */

static char path[PATH_MAX + DEPTH_MAX * (NAME_MAX + 1)];

/* Whatever a name holds, it stays one line. */
static void print_path(const char *end)
{
    printf(": ");
    for (const char *c = path; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == '\\' || *c == '\x7f')
            printf("\\x%02x", (unsigned)*c);
        else
            putchar(*c);
    printf("%s\n", end);
}

/* With a slash, as it may be writable, too, which is another finding. */
static void not_scanned(int error)
{
    printf("not scanned (%s)", strerror(error));
    print_path("/");
}

static void look_at(const struct stat *file)
{
    int is_file = S_ISREG(file->st_mode), is_folder = S_ISDIR(file->st_mode);
    int set_user = is_file && (file->st_mode & S_ISUID), set_group = is_file && (file->st_mode & S_ISGID);
    int writable = (file->st_mode & S_IWOTH) && (is_file || (is_folder && !(file->st_mode & S_ISVTX)));
    const struct tm *time = gmtime(&file->st_ctim.tv_sec);
    char changed[32] = "?";

    if (!writable && !set_user && !set_group)
        return;
    printf("%s%s%s%s, mode %04o, user %u, group %u", writable ? "world-writable " : "",
           set_user ? "set-user-id " : "", set_group ? "set-group-id " : "", is_folder ? "folder" : "file",
           file->st_mode & 07777, file->st_uid, file->st_gid);
    if (set_user || set_group) { /* it matters what is in it, and nobody can set this time back */
        if (time != NULL)
            strftime(changed, sizeof changed, "%F %T", time);
        printf(", %jd bytes, changed %s.%09ld UTC", (intmax_t)file->st_size, changed, file->st_ctim.tv_nsec);
    }
    print_path("");
}

/* Looks at what is at path, which from parent is name, and if that is a folder, at all in it. */
static void scan(int parent, const char *name, dev_t device, int depth)
{
    const struct dirent *entry;
    struct stat file;
    size_t length = strlen(path);

    if (fstatat(parent, name, &file, AT_SYMLINK_NOFOLLOW) == -1) {
        if (errno != ENOENT || depth == 0) /* else it is gone since its name was read */
            not_scanned(errno);
        return;
    }
    look_at(&file);
    if (depth == 0)
        device = file.st_dev;
    if (!S_ISDIR(file.st_mode) && depth == 0)
        not_scanned(ENOTDIR);
    if (!S_ISDIR(file.st_mode) || file.st_dev != device)
        return;

    int fd = -1;
    errno = ENAMETOOLONG;
    if (depth < DEPTH_MAX)
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd == -1 ? NULL : fdopendir(fd);
    if (folder == NULL) {
        if (errno != ENOENT)
            not_scanned(errno);
        if (fd != -1)
            close(fd);
        return;
    }
    /* It may be another one by now than what was looked at. */
    int is_here = fstat(fd, &file) == 0 && file.st_dev == device;
    while (is_here && (errno = 0, entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        const char *slash = path[length - 1] == '/' ? "" : "/";
        snprintf(path + length, sizeof path - length, "%s%s", slash, entry->d_name);
        scan(fd, entry->d_name, device, depth + 1);
        path[length] = '\0';
    }
    if (is_here && errno != 0)
        not_scanned(errno);
    closedir(folder);
}

static int scan_all(char *folders[])
{
    for (; *folders != NULL; folders++) {
        size_t length = strlen(*folders);
        while (length > 1 && (*folders)[length - 1] == '/')
            length--;
        if (length == 0 || length >= PATH_MAX)
            errx(1, "%s makes no sense", *folders);
        snprintf(path, sizeof path, "%.*s", (int)length, *folders);
        scan(AT_FDCWD, path, 0, 0);
    }
    if (fflush(stdout) != 0 || ferror(stdout))
        err(1, "stdout");
    return 0;
}

/* --- the configuration --------------------------------------------------------------------------------- */

static struct config {
    yaml_document_t document; /* all strings lie in it */
    int interval;
    const char *user, *group;
    size_t count;
    const char *folders[FOLDERS_MAX];
} *config = NULL;

static const char *config_path;
static char wrong[PATH_MAX + 500];

/* Says what is wrong, in which line (0: none). Returns -1. */
__attribute__((format(printf, 2, 3)))
static int refuse(size_t line, const char *format, ...)
{
    char what[400], where[40] = "";
    va_list values;

    va_start(values, format);
    vsnprintf(what, sizeof what, format, values);
    va_end(values);
    if (line > 0)
        snprintf(where, sizeof where, "line %zu: ", line);
    snprintf(wrong, sizeof wrong, "%s: %s%s", config_path, where, what);
    return -1;
}

static int refuse_yaml(const yaml_parser_t *parser, FILE *file)
{
    size_t line = parser->problem_mark.line + 1;

    if (ferror(file))
        return refuse(0, "%s", strerror(errno));
    if (parser->error == YAML_READER_ERROR) { /* it only knows the byte */
        rewind(file);
        for (size_t i = 0; i < parser->problem_offset; i++)
            line += getc(file) == '\n';
    }
    return refuse(line, "%s", parser->problem != NULL ? parser->problem : "no memory");
}

static size_t line_of(const yaml_node_t *node)
{
    return node->start_mark.line + 1;
}

/* NULL if it is no text that C can use. */
static const char *text_of(const yaml_node_t *node)
{
    const char *text = node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : "";

    return text[0] != '\0' && strlen(text) == node->data.scalar.length ? text : NULL;
}

static int set_folders(struct config *new, const yaml_node_t *list)
{
    if (list->type != YAML_SEQUENCE_NODE || new->count > 0)
        return refuse(line_of(list), list->type != YAML_SEQUENCE_NODE ? "folders is no list" : "folders again");
    for (yaml_node_item_t *i = list->data.sequence.items.start; i < list->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_document_get_node(&new->document, *i);
        const char *folder = text_of(item);
        if (folder == NULL || folder[0] != '/' || strlen(folder) >= PATH_MAX)
            return refuse(line_of(item), "\"%.99s\" is no path from / on", folder != NULL ? folder : "");
        if (new->count == FOLDERS_MAX)
            return refuse(line_of(item), "more than %d folders", FOLDERS_MAX);
        new->folders[new->count++] = folder;
    }
    return 0;
}

static int set(struct config *new, const yaml_node_t *key, const yaml_node_t *value)
{
    const char *name = text_of(key), *text = text_of(value);
    char *end = NULL;

    if (name != NULL && strcmp(name, "folders") == 0)
        return set_folders(new, value);
    if (name == NULL || text == NULL)
        return refuse(line_of(name != NULL ? value : key), "%.99s is no text", name != NULL ? name : "a name");
    if (strcmp(name, "user") == 0)
        new->user = text;
    else if (strcmp(name, "group") == 0)
        new->group = text;
    else if (strcmp(name, "scan_interval") != 0)
        return refuse(line_of(key), "unknown setting: %.99s", name);
    else {
        long seconds = strtol(text, &end, 10);
        if (*end != '\0' || seconds < 1 || seconds > 7 * 24 * 3600)
            return refuse(line_of(value), "scan_interval is \"%.99s\", not seconds from 1 to a week", text);
        new->interval = (int)seconds;
    }
    return 0;
}

static int parse(struct config *new, yaml_parser_t *parser, FILE *file)
{
    yaml_parser_set_input_file(parser, file);
    if (!yaml_parser_load(parser, &new->document))
        return refuse_yaml(parser, file);

    const yaml_node_t *root = yaml_document_get_root_node(&new->document);
    if (root == NULL || root->type != YAML_MAPPING_NODE)
        return refuse(1, "there are no settings");
    for (yaml_node_pair_t *i = root->data.mapping.pairs.start; i < root->data.mapping.pairs.top; i++)
        if (set(new, yaml_document_get_node(&new->document, i->key),
                yaml_document_get_node(&new->document, i->value)) == -1)
            return -1;
    if (new->count == 0)
        return refuse(0, "there are no folders to scan");

    yaml_document_t more;
    if (!yaml_parser_load(parser, &more))
        return refuse_yaml(parser, file);
    root = yaml_document_get_root_node(&more);
    size_t line = root != NULL ? line_of(root) : 0;
    yaml_document_delete(&more);
    return line > 0 ? refuse(line, "there is a second document") : 0;
}

/* Either the new configuration is in force, or the old one still is, and it is known what is wrong. */
static int read_config(void)
{
    struct config *new = calloc(1, sizeof *new), *old = config;
    yaml_parser_t parser;
    FILE *file = fopen(config_path, "re");
    int result = -1;

    if (file == NULL || new == NULL || !yaml_parser_initialize(&parser)) {
        refuse(0, "%s", strerror(errno));
    } else {
        new->interval = 300;
        result = parse(new, &parser, file);
        yaml_parser_delete(&parser);
    }
    if (file != NULL)
        fclose(file);
    if (result == 0)
        config = new;
    else
        old = new;
    if (old != NULL)
        yaml_document_delete(&old->document);
    free(old);
    return result;
}

/* --- what was found ------------------------------------------------------------------------------------ */

/* The findings of a scan, sorted by path. */
static struct findings {
    char *text, **lines; /* these lie in text; NULL: there was no scan */
    size_t count;
} findings;

static const char *path_of(const char *finding)
{
    const char *at = strstr(finding, ": /");

    return at != NULL ? at : finding;
}

static int by_path(const void *one, const void *other)
{
    return strcmp(path_of(*(char *const *)one), path_of(*(char *const *)other));
}

static void free_findings(struct findings *old)
{
    free(old->lines);
    free(old->text);
}

/* What a scan printed, where folders lie in each other only once. Returns -1 if there is no memory for it. */
static int sort(const char *printed, struct findings *new)
{
    size_t lines = 1, all = 0;
    char *rest = NULL;

    if ((new->text = strdup(printed)) == NULL)
        return -1;
    char *end = strrchr(new->text, '\n'); /* behind it is at most half a line */
    *(end != NULL ? end : new->text) = '\0';
    for (const char *c = new->text; *c != '\0'; c++)
        lines += *c == '\n';
    if ((new->lines = calloc(lines, sizeof *new->lines)) == NULL)
        return -1;
    for (char *line = strtok_r(new->text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        new->lines[all++] = line;
    qsort(new->lines, all, sizeof *new->lines, by_path);
    for (size_t i = 0; i < all; i++)
        if (new->count == 0 || by_path(&new->lines[new->count - 1], &new->lines[i]) != 0)
            new->lines[new->count++] = new->lines[i];
    return 0;
}

/* Whoever may make files must not be able to make the log turn over what it holds. */
static void tell(int level, const char *what, const char *finding)
{
    RSD_LOG_LIMITED(5000, 60, level, "%s: %s", what, finding);
}

static void tell_changes(const struct findings *old, const struct findings *new)
{
    for (size_t i = 0, j = 0; i < old->count || j < new->count;) {
        int order = i == old->count ? 1 : j == new->count ? -1 : by_path(&old->lines[i], &new->lines[j]);
        if (order < 0)
            tell(LOG_NOTICE, "gone", old->lines[i++]);
        else if (order > 0)
            tell(LOG_WARNING, "new", new->lines[j++]);
        else if (strcmp(old->lines[i++], new->lines[j++]) != 0)
            tell(LOG_WARNING, "changed", new->lines[j - 1]);
    }
}

/* --- the daemon ---------------------------------------------------------------------------------------- */

static char self[PATH_MAX];
static int scan_pid = -1, scan_is_wanted = 1;
static long long due = 0; /* when there is to be one anyway */

static long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void scan_ended(const struct rsd_result *result, void *arg)
{
    struct findings new = {0};

    (void)arg;
    scan_pid = -1;
    due = now_ms() + config->interval * 1000LL;
    if (result->err_length > 0)
        rsd_log(LOG_ERR, "scan: %s", result->err);
    if (result->error == ECANCELED) {
        rsd_log(LOG_INFO, "scan given up");
    } else if (WIFSIGNALED(result->status)) {
        rsd_log(LOG_ERR, "scan crashed: %s", strsignal(WTERMSIG(result->status)));
    } else if (result->status != 0) {
        rsd_log(LOG_ERR, "scan failed with status %d", WEXITSTATUS(result->status));
    } else if (sort(result->out, &new) == -1) {
        rsd_log(LOG_ERR, "scan is of no use: no memory");
        free_findings(&new);
    } else {
        if (result->out_is_cut)
            rsd_log(LOG_WARNING, "scan found more than fits in here");
        tell_changes(&findings, &new);
        rsd_log(LOG_INFO, "scan complete, %zu findings", new.count);
        free_findings(&findings);
        findings = new;
    }
}

static void start_scan(void)
{
    char *argv[FOLDERS_MAX + 3] = {self, "--scan"};

    for (size_t i = 0; i < config->count; i++)
        argv[i + 2] = (char *)config->folders[i];
    scan_is_wanted = 0;
    scan_pid = rsd_spawn(argv, RSD_RUN_OPTIONS(.output_limit = 64 << 20), scan_ended, NULL);
    due = now_ms() + config->interval * 1000LL;
    if (scan_pid == -1)
        rsd_log(LOG_ERR, "cannot scan: %s", rsd_last_error());
    else
        rsd_log(LOG_DEBUG, "scan started");
}

static void reload(void)
{
    reload_flag = 0;
    rsd_begin_reload();
    if (read_config() == -1) {
        rsd_log(LOG_ERR, "kept the old configuration: %s", wrong);
        rsd_abort_reload(wrong);
        return;
    }
    rsd_log(LOG_NOTICE, "configuration loaded from %s", config_path);
    rsd_commit_reload();
    if (scan_pid > 0) /* of what may be no more to be scanned */
        rsd_end_command(scan_pid);
    scan_is_wanted = 1;
}

static void answer_findings(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    if (findings.lines == NULL)
        rsd_control_fail(request, "no scan is complete yet");
    for (size_t i = 0; i < findings.count; i++)
        rsd_control_print(request, "%s\n", findings.lines[i]);
}

static void answer_scan(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    rsd_control_print(request, "%s\n", scan_pid > 0 ? "after the one that runs" : "now");
    scan_is_wanted = 1;
}

/* The value of an option, which is taken out of argv. */
static const char *take(int *argc, char *argv[], const char *name, const char *preset)
{
    for (int i = 1; i + 1 < *argc; i++)
        if (strcmp(argv[i], name) == 0) {
            preset = argv[i + 1];
            memmove(&argv[i], &argv[i + 2], (size_t)(*argc - i - 1) * sizeof *argv);
            *argc -= 2;
        }
    return preset;
}

/* Before anything is started, or stopped to be started again. */
static int check(int argc, char *argv[], void *config_is_wrong)
{
    if (argc > 1)
        fprintf(stderr, "security-scanner: %s makes no sense\n", argv[1]);
    else if (*(int *)config_is_wrong)
        fprintf(stderr, "security-scanner: %s\n", wrong);
    return argc > 1 ? 2 : *(int *)config_is_wrong;
}

int main(int argc, char *argv[])
{
    if (argc > 2 && strcmp(argv[1], "--scan") == 0)
        return scan_all(argv + 2);

    config_path = take(&argc, argv, "--config", "/etc/security-scanner/config.yaml");
    const char *log = take(&argc, argv, "--log", "/var/log/security-scanner.log");
    const char *control = take(&argc, argv, "--control", "/run/security-scanner.sock");
    const char *group = take(&argc, argv, "--group", NULL), *user = NULL;
    if (config_path[0] != '/' || log[0] != '/' || (control[0] != '/' && control[0] != '@'))
        errx(2, "--config, --log and --control need paths from / on"); /* as a daemon works there */
    if (readlink("/proc/self/exe", self, sizeof self - 1) == -1)
        err(1, "/proc/self/exe");

    int is_wrong = read_config() == -1; /* stop and status do without */
    if (!is_wrong) {
        user = config->user;
        group = group != NULL ? group : config->group;
    }
    int status = rsd_command(&argc, argv, RSD_COMMAND_OPTIONS(
        .daemon = RSD_OPTIONS(.name = "security-scanner", .pidfile = "security-scanner",
                              .user = user, .group = group, .reset_signals = 1,
                              .foreground = RSD_AUTOMATIC),
        .control = control, .check = check, .check_arg = &is_wrong,
        .usage = "  --group GROUP, --config /FILE, --log /FILE, --control /SOCKET\n"
                 "  --scan FOLDER...  scan once, to stdout"));
    if (status != RSD_IS_DAEMON)
        return status;

    if (read_config() == -1) /* again: it may not be for this user to read */
        return rsd_fail(1, wrong);
    if (rsd_open_log(RSD_LOG_OPTIONS(.name = "security-scanner", .file = log, .file_limit = 10 << 20,
                                     .file_count = 5, .to_syslog = 1, .to_stderr = 1)) == -1
        || rsd_log_crashes() == -1 || install_signal_flags(&shutdown_flag, &reload_flag) == -1
        || rsd_control_query("findings", "what is the matter now", answer_findings, NULL) == -1
        || rsd_control_command("scan", "start a scan", answer_scan, NULL) == -1
        || rsd_open_control(control, 0600, NULL) == -1 || rsd_ready() == -1)
        return rsd_fail(1, rsd_last_error());
    rsd_log(LOG_NOTICE, "started, every %d s, folders: %zu", config->interval, config->count);

    while (!shutdown_flag) {
        char text[100];
        struct rsd_signal_info info = {.size = sizeof info};
        if (reload_flag)
            reload();
        if (scan_pid <= 0 && (scan_is_wanted || now_ms() >= due))
            start_scan();
        snprintf(text, sizeof text, "%zu findings%s", findings.count, scan_pid > 0 ? ", scanning" : "");
        rsd_status(text);
        long long left = due - now_ms();
        if (rsd_wait(scan_pid > 0 ? -1 : left > 0 ? (int)left : 0) == -1)
            rsd_log(LOG_ERR, "%s", rsd_last_error());
        while (rsd_next_signal(&info) == 1)
            rsd_log(LOG_NOTICE, "got %s from process %d of user %u", strsignal(info.signo), info.pid, info.uid);
    }
    while (scan_pid > 0) /* it is being ended, too */
        rsd_wait(-1);
    rsd_log(LOG_NOTICE, "stopped");
    return 0;
}
