/*
 * A log with all its targets: a file that is rotated and that somebody moves, syslog and stderr.
 */
#include "fault_record.h"

#include <rsdaemon.h>
#include <syslog.h>

static void log_lines(int count)
{
    while (count-- > 0) {
        struct rsd_log_state state = { .size = sizeof state };
        int number = record->begun + 1;
        record->begun = number;
        rsd_log(LOG_INFO, TEXT, number);
        rsd_get_log_state(&state);
        note_lost(&record->file, (int)state.file_lost, state.file_errno);
        note_lost(&record->syslog, (int)state.syslog_lost, state.syslog_errno);
        note_lost(&record->stderr_, (int)state.stderr_lost, state.stderr_errno);
        if (state.reopen_errno != 0)
            record->reopen_error = state.reopen_errno;
        record->returned = number;
    }
}

int main(void)
{
    char moved[32], why[512] = "";

    if (rsd_open_log(RSD_LOG_OPTIONS(.name = NAME, .file = "log", .file_limit = 300,
                                     .file_count = 2, .to_syslog = record->has_syslog,
                                     .to_stderr = 1))
        == -1)
        return say("fault_targets", rsd_last_error());
    log_lines(3);

    snprintf(moved, sizeof moved, "moved.%03d", record->first);
    /* After a rotation that could not make a new file there is none. */
    if (rename("log", moved) == -1 && errno != ENOENT)
        snprintf(why, sizeof why, "cannot move the file: %s", strerror(errno));
    if (rsd_reopen_log() == -1)
        snprintf(why, sizeof why, "%s", rsd_last_error());
    log_lines(5);
    return why[0] == '\0' ? 0 : say("fault_targets", why);
}
