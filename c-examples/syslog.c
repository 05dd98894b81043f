/*
 * The guide's lines for syslog, with rsd_log() in the place of syslog().
 *
 * usage: syslog FILE
 *
 * Tries to read FILE, and tells syslog what came of it, at four levels.
 *
 * syslog() waits for as long as nobody reads at the other end, and with it the daemon; what it cannot send
 * it drops without a word. LOG_CONS writes on the console of the machine. A message with a newline in it
 * looks like two, the second of them from whomever it likes. None of that here, and nothing to close.
 */
#define _POSIX_C_SOURCE 200809L
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <rsdaemon.h>

int main(int argc, char *argv[])
{
    if (argc != 2)
        errx(2, "usage: syslog FILE");

    /* openlog("mydaemon", LOG_PID | LOG_CONS, LOG_DAEMON) */
    if (rsd_open_log(RSD_LOG_OPTIONS(.name = "mydaemon", .facility = LOG_DAEMON, .to_syslog = 1)) == -1)
        errx(1, "%s", rsd_last_error());

    int file = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (file == -1)
        rsd_log(LOG_ERR, "cannot read %s: %s", argv[1], strerror(errno));
    else if (lseek(file, 0, SEEK_END) == 0)
        rsd_log(LOG_WARNING, "%s is empty", argv[1]);
    else
        rsd_log(LOG_INFO, "%s can be read", argv[1]);
    rsd_log(LOG_DEBUG, "tried by process %d", (int)getpid());

    /* What nobody has with syslog(): whether it got there. */
    struct rsd_log_state state = {.size = sizeof state};
    if (rsd_get_log_state(&state) == -1)
        errx(1, "%s", rsd_last_error());
    if (state.syslog_lost > 0)
        errx(1, "syslog did not take %u lines", state.syslog_lost);
    return 0;
}
