/*
 * The calls of the control socket: what they refuse, and what may be called from where.
 */
#include "control_calls.h"

#include <wchar.h>

#define PATH "socket"

static volatile sig_atomic_t shutdown_flag, reload_flag;

static void say(struct rsd_control_request *request, void *arg)
{
    rsd_control_print(request, "%s\n", (const char *)arg);
}

static void arguments_of_open(void)
{
    check_refused(rsd_open_control(NULL, 0, NULL), EINVAL);
    check_refused(rsd_open_control("", 0, NULL), EINVAL);
    check_refused(rsd_open_control("@", 0, NULL), EINVAL);
    const unsigned int modes[] = { 01000, 04755, 02755, 0100644, 010000, 0x80000000u, ~0u };
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        check_refused(rsd_open_control(PATH, modes[i], NULL), EINVAL);
    const char *owners[] = { "", ":", "no-such-user", "root:no-such-group", ":no-such-group",
                             "root:", "4294967295", "99999999999", "-1", "root:root:root" };
    for (size_t i = 0; i < sizeof owners / sizeof *owners; i++) {
        errno = 0;
        int result = rsd_open_control(PATH, 0, owners[i]);
        if (result != -1 || errno != EINVAL)
            dprintf(2, "owner \"%s\": ", owners[i]);
        check(result == -1 && errno == EINVAL && strlen(rsd_last_error()) > 5);
    }
    check(!exists(PATH) && !exists(PATH ".lock"));
    check(rsd_open_control(PATH, 0, NULL) == 0);
    check_refused(rsd_open_control(PATH, 0, NULL), EALREADY);
    check_refused(rsd_open_control("other", 0, NULL), EALREADY);
    check(!exists("other") && !exists("other.lock"));
    check(is_answered(PATH, "ping\n", "ok\n"));
    for (int i = 0; i < 3; i++)
        check(rsd_close_control() == 0);
    check(!exists(PATH) && !exists(PATH ".lock"));
    check(rsd_open_control("other", 0, NULL) == 0);
    check(is_answered("other", "ping\n", "ok\n"));
}

static void names(void)
{
    static const char *const bad[] = { "", " ", "a b", "a\tb", "a\nb", "\"a\"", "a\\", "\177", "\001" };
    check_refused(rsd_control_command(NULL, NULL, say, "x"), EINVAL);
    check_refused(rsd_control_query(NULL, NULL, say, "x"), EINVAL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_refused(rsd_control_command(bad[i], NULL, say, "x"), EINVAL);
        check_refused(rsd_control_query(bad[i], NULL, say, "x"), EINVAL);
        check_refused(rsd_control_query(bad[i], NULL, NULL, NULL), EINVAL);
    }
    static const char *const ours[] = { "help", "ping", "status", "reload", "stop", "log-level",
                                        "reopen-logs" };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        check_refused(rsd_control_command(ours[i], NULL, say, "x"), EEXIST);
        check_refused(rsd_control_query(ours[i], NULL, NULL, NULL), EEXIST);
    }
    check(rsd_control_query("caf\303\251", "", say, "x") == 0);
    check(rsd_control_query("'$(x)'", NULL, say, "y") == 0);
    check(rsd_open_control(PATH, 0, NULL) == 0);
    check(is_answered(PATH, "caf\303\251\n", " x\nok\n"));
    check(is_answered(PATH, "'$(x)'\n", " y\nok\n"));
}

static void replaced(void)
{
    char name[] = "greet", help[] = "one";
    check(rsd_open_control(PATH, 0, NULL) == 0);
    check(rsd_control_query(name, help, say, "first") == 0);
    memset(name, 'x', sizeof name - 1); /* both are copied */
    memset(help, 'x', sizeof help - 1);
    check(is_answered(PATH, "greet\n", " first\nok\n"));
    check(strstr(ask(PATH, "help\n"), " greet  one\n") != NULL);
    check(rsd_control_command("greet", "two", say, "second") == 0);
    check(is_answered(PATH, "greet\n", " second\nok\n"));
    const char *help_text = ask(PATH, "help\n");
    check(strstr(help_text, " greet  two\n") != NULL && strstr(help_text, "one") == NULL);
    check(rsd_control_query("greet", "two", NULL, NULL) == 0);
    check(rsd_control_query("greet", "two", NULL, NULL) == 0);
    check(is_answered(PATH, "greet\n", "error there is no command greet; try help\n"));
    /* Very many, and they go on when the socket is opened anew. */
    for (int i = 0; i < 500; i++) {
        char many[16];
        snprintf(many, sizeof many, "many%d", i);
        check(rsd_control_query(many, NULL, say, "many") == 0);
    }
    check(rsd_close_control() == 0 && rsd_open_control(PATH, 0, NULL) == 0);
    check(is_answered(PATH, "many499\n", " many\nok\n"));
}

static void no_request(void)
{
    check_refused(rsd_control_print(NULL, "x"), EINVAL);
    check_refused(rsd_control_fail(NULL, "x"), EINVAL);
}

static void print_nonsense(struct rsd_control_request *request, void *arg)
{
    (void)arg;
    const char *volatile none = NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-security"
    check_refused(rsd_control_print(request, none), EINVAL);
#pragma GCC diagnostic pop
    check(rsd_control_print(request, "%s", "") == 0);
    /* What printf(3) cannot make in the locale "C". */
    check_refused(rsd_control_print(request, "%ls", L"\x4e2d"), EILSEQ);
}

static void nonsense_in_a_callback(void)
{
    check(rsd_control_query("nonsense", NULL, print_nonsense, NULL) == 0);
    check(rsd_open_control(PATH, 0, NULL) == 0);
    const char *text = ask(PATH, "nonsense\n");
    check(strncmp(text, "error a part of the text is missing", 35) == 0);
}

static void reload_calls(void)
{
    check_refused(rsd_commit_reload(), EINVAL);
    check_refused(rsd_abort_reload("x"), EINVAL);
    check_refused(rsd_abort_reload(NULL), EINVAL);
    check(rsd_begin_reload() == 0 && rsd_commit_reload() == 0);
    check_refused(rsd_commit_reload(), EINVAL);
    check(rsd_begin_reload() == 0 && rsd_begin_reload() == 0 && rsd_abort_reload(NULL) == 0);
    check_refused(rsd_abort_reload(NULL), EINVAL);
    check(rsd_open_control(PATH, 0, NULL) == 0);
    check(strstr(ask(PATH, "status\n"), " reloads: 1\n failed reloads: 1\n latest reload failed: failed\n"));
}

static void status_text(void)
{
    char text[4000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    check(rsd_status(text) == 0);
    check(rsd_open_control(PATH, 0, NULL) == 0);
    check(strstr(ask(PATH, "status\n"), "\n status: xxxxxx") != NULL);
    check(rsd_status("serving\n5 clients\033[2J") == 0);
    check(strstr(ask(PATH, "status\n"), "\n status: serving?5 clients?[2J\n") != NULL);
    check(rsd_status(NULL) == 0);
    check(strstr(ask(PATH, "status\n"), "status:") == NULL);
    check(rsd_status("x") == 0 && rsd_status("") == 0);
    check(strstr(ask(PATH, "status\n"), "status:") == NULL);
    check(rsd_install_signal_flags(&shutdown_flag, &reload_flag) == 0);
    check(rsd_begin_reload() == 0);
    check(strstr(ask(PATH, "status\n"), "\n state: reloading\n") != NULL);
    check(is_answered(PATH, "stop\n", "ok\n") && shutdown_flag == 1);
    check(strstr(ask(PATH, "status\n"), "\n state: stopping\n") != NULL);
}

/* A daemon that was already one before cannot take the socket along. */
static void daemonize_after(void)
{
    check(rsd_open_control(PATH, 0, NULL) == 0);
    check_refused(rsd_daemonize(RSD_OPTIONS(.name = "x", .directory = ".")), EBUSY);
    check_refused(rsd_daemonize(RSD_OPTIONS(.name = "x", .directory = ".", .pidfile = "./pid")), EBUSY);
    check(!exists("pid"));
    check(is_answered(PATH, "ping\n", "ok\n"));
    check(rsd_close_control() == 0 && !exists(PATH));
}

static void long_names(void)
{
    char path[5000], name[200];
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    check_refused(rsd_open_control(path, 0, NULL), ENAMETOOLONG);
    for (int length = 70; length < 130; length++) {
        memset(name, 'n', (size_t)length);
        name[length] = '\0';
        if (length <= 80) {
            check(rsd_open_control(name, 0, NULL) == 0);
            check(exists(name) && rsd_close_control() == 0 && !exists(name));
        } else if (rsd_open_control(name, 0, NULL) == -1) {
            check(errno == ENAMETOOLONG && strlen(rsd_last_error()) > 5);
        } else {
            check(rsd_close_control() == 0);
        }
        check(!exists(name));
        strcat(name, ".lock");
        check(!exists(name));
    }
    /* Deep directories, whose path is longer than sun_path. */
    path[0] = '\0';
    for (int depth = 0; depth < 20; depth++) {
        strcat(path, "directory-number/");
        check(mkdir(path, 0700) == 0);
    }
    strcat(path, "socket");
    check(rsd_open_control(path, 0, NULL) == 0 && exists(path));
    check(chdir("directory-number") == 0); /* the place stays what it was */
    check(rsd_close_control() == 0);
    check(!exists(path + strlen("directory-number/")));
    /* Abstract: up to 107 bytes. */
    memset(name, 'n', sizeof name);
    name[0] = '@', name[108] = '\0';
    check(rsd_open_control(name, 0, NULL) == 0 && rsd_close_control() == 0);
    name[108] = 'n', name[109] = '\0';
    check_refused(rsd_open_control(name, 0, NULL), ENAMETOOLONG);
}

int main(int argc, char *argv[])
{
    static const struct one_case cases[] = {
        { "arguments-of-open", arguments_of_open },
        { "names", names },
        { "replaced", replaced },
        { "no-request", no_request },
        { "nonsense-in-a-callback", nonsense_in_a_callback },
        { "reload-calls", reload_calls },
        { "status-text", status_text },
        { "daemonize-after", daemonize_after },
        { "long-names", long_names },
        { NULL, NULL },
    };
    return run_case(cases, argc, argv);
}
