/*
 * "dropped FOLDER OPTION...": a daemon in the foreground that opens its pid file, log and control socket in FOLDER
 * as root and gives up privileges then; with "access=" or "promises=" by rsd_sandbox(). It prints "ready", and reloads on
 * SIGHUP. The command "fill" logs more than a file may have; what a
 * log line begins with is the number of those before it.
 */
#include "cases.h"

#include <signal.h>
#include <syslog.h>

static volatile sig_atomic_t is_over, is_reload;
static int lines;

static void fill(struct rsd_control_request *request, void *none)
{
    (void)request;
    (void)none;
    for (int i = 0; i < 100; i++)
        rsd_log(LOG_INFO, "%d of the lines that fill the file up to what it may have", lines++);
}

int main(int argc, char *argv[])
{
    struct rsd_privileges asked = { .size = sizeof asked };
    struct rsd_sandbox_options sandbox = { .size = sizeof sandbox, .privileges = &asked };
    char pidfile[4096], log[4096], control[4096];
    check(argc >= 2);
    snprintf(pidfile, sizeof pidfile, "%s/d.pid", argv[1]);
    snprintf(log, sizeof log, "%s/d.log", argv[1]);
    snprintf(control, sizeof control, "%s/control", argv[1]);
    const char *owner = NULL;
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value != NULL)
            *value++ = '\0';
        if (strcmp(argv[i], "user") == 0)
            asked.user = owner = value;
        else if (strcmp(argv[i], "root") == 0)
            asked.root = value;
        else if (strcmp(argv[i], "no_new_privileges") == 0)
            asked.no_new_privileges = 1;
        else if (strcmp(argv[i], "access") == 0)
            sandbox.access = value;
        else if (strcmp(argv[i], "promises") == 0)
            sandbox.promises = value;
        else
            check(!"such an option");
    }

    check(install_signal_flags(&is_over, &is_reload) == 0);
    check(rsd_daemonize(RSD_OPTIONS(.pidfile = pidfile, .foreground = 1, .directory = ".", .stdio = RSD_STDIO_KEEP))
          == 0);
    check(rsd_open_log(RSD_LOG_OPTIONS(.file = log, .file_owner = owner, .file_limit = 4096, .file_count = 9,
                                       .reopen_signal = SIGUSR1))
          == 0);
    check(rsd_open_control(control, 0, owner) == 0);
    check(rsd_control_command("fill", NULL, fill, NULL) == 0);
    if (sandbox.access != NULL || sandbox.promises != NULL)
        check(rsd_sandbox(&sandbox) == 0);
    else
        check(rsd_drop_privileges(&asked) == 0);
    check(rsd_ready() == 0);
    puts("ready");
    fflush(stdout);
    while (!is_over) {
        if (is_reload) {
            is_reload = 0;
            check(rsd_begin_reload() == 0 && rsd_commit_reload() == 0);
        }
        check(rsd_wait(-1) >= 0);
    }
    return 0;
}
