/*
 * rsdaemon: what a C program needs to be a daemon.
 *
 * Generated from the Rust sources (make header); do not edit.
 *
 * Every call that can fail returns -1, sets errno and leaves one sentence in rsd_last_error().
 * No call prints, exits, blocks signals or changes process state beyond what its text says.
 *
 * A program that has a function of its own named daemonize, lock_pidfile or
 * install_signal_flags defines RSDAEMON_NO_DROP_IN_NAMES before it includes this file.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef RSDAEMON_H
#define RSDAEMON_H

#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

/** The version of this header; rsd_version() tells that of the library. */
#define RSDAEMON_VERSION_MAJOR 0
#define RSDAEMON_VERSION_MINOR 1
#define RSDAEMON_VERSION_PATCH 0
/** 10000 * major + 100 * minor + patch, for comparisons. */
#define RSDAEMON_VERSION_NUMBER \
    (10000 * RSDAEMON_VERSION_MAJOR + 100 * RSDAEMON_VERSION_MINOR + RSDAEMON_VERSION_PATCH)

#if !defined(__cplusplus) && defined(__STDC_VERSION__) && __STDC_VERSION__ >= 199901L
/**
 * The options of a call, named, the others at their defaults:
 * rsd_daemonize(RSD_OPTIONS(.pidfile = "/run/mydaemon.pid")).
 * In C++: rsd_options options = {}; options.size = sizeof options; ...
 */
#define RSD_OPTIONS(...) \
    (&(const struct rsd_options){ .size = sizeof(struct rsd_options), __VA_ARGS__ })
/**
 * The same for rsd_run() and rsd_spawn(): rsd_run(argv, RSD_RUN_OPTIONS(.timeout_ms = 10000), NULL).
 */
#define RSD_RUN_OPTIONS(...) \
    (&(const struct rsd_run_options){ .size = sizeof(struct rsd_run_options), __VA_ARGS__ })
/**
 * The same for rsd_open_log(): rsd_open_log(RSD_LOG_OPTIONS(.name = "mydaemon", .to_syslog = 1)).
 */
#define RSD_LOG_OPTIONS(...) \
    (&(const struct rsd_log_options){ .size = sizeof(struct rsd_log_options), __VA_ARGS__ })
/**
 * The same for rsd_command(): rsd_command(&argc, argv, RSD_COMMAND_OPTIONS(.daemon = RSD_OPTIONS(...))).
 */
#define RSD_COMMAND_OPTIONS(...) \
    (&(const struct rsd_command_options){ .size = sizeof(struct rsd_command_options), __VA_ARGS__ })
/**
 * The same for rsd_drop_privileges(): rsd_drop_privileges(RSD_PRIVILEGES(.user = "mydaemon")).
 */
#define RSD_PRIVILEGES(...) \
    (&(const struct rsd_privileges){ .size = sizeof(struct rsd_privileges), __VA_ARGS__ })
/**
 * The same for rsd_sandbox(): rsd_sandbox(RSD_SANDBOX(.access = "r:/etc/mydaemon", .promises = "stdio rpath inet")).
 */
#define RSD_SANDBOX(...) \
    (&(const struct rsd_sandbox_options){ .size = sizeof(struct rsd_sandbox_options), __VA_ARGS__ })
/**
 * The same for rsd_keep_alive(): rsd_keep_alive(RSD_KEEP_ALIVE(.max_restarts = 3)).
 */
#define RSD_KEEP_ALIVE(...) \
    (&(const struct rsd_keep_alive_options){ .size = sizeof(struct rsd_keep_alive_options), __VA_ARGS__ })
/**
 * The same for rsd_listen(): rsd_listen(RSD_SOCKET(.name = "http", .address = "8080")).
 */
#define RSD_SOCKET(...) \
    (&(const struct rsd_socket_options){ .size = sizeof(struct rsd_socket_options), __VA_ARGS__ })
#endif

/**
 * rsd_command(): this process is the daemon now.
 */
#define RSD_IS_DAEMON 256

/**
 * A request of the control socket has at most so many bytes, its newline included.
 */
#define RSD_CONTROL_LINE_MAX 4096

/**
 * A request of the control socket has at most so many words.
 */
#define RSD_CONTROL_WORDS_MAX 64

/**
 * The text of an answer has at most so many bytes.
 */
#define RSD_CONTROL_TEXT_MAX 1048576

/**
 * rsd_options.pidfile_when: the pid file is there before rsd_daemonize() returns.
 */
#define RSD_PIDFILE_AT_START 0

/**
 * rsd_options.pidfile_when: the pid file appears with rsd_ready().
 */
#define RSD_PIDFILE_AT_READY 1

/**
 * rsd_options.umask: leave the umask as it is.
 */
#define RSD_UMASK_KEEP -1

/**
 * rsd_options.umask: a umask of 0, which makes what others create careless world-writable.
 */
#define RSD_UMASK_NONE -2

/**
 * rsd_options.stdio: RSD_STDIO_KEEP in the foreground without a log_file, else RSD_STDIO_REDIRECT.
 */
#define RSD_STDIO_DEFAULT 0

/**
 * rsd_options.stdio: stdin from /dev/null, stdout and stderr to the log file or /dev/null.
 */
#define RSD_STDIO_REDIRECT 1

/**
 * rsd_options.stdio: all three stay what they are; not together with log_file.
 */
#define RSD_STDIO_KEEP 2

/**
 * rsd_options.stdio: stdin at once, stdout and stderr when rsd_ready() is called.
 */
#define RSD_STDIO_KEEP_UNTIL_READY 3

/**
 * rsd_options.foreground: the daemon is a new process, and the one that called leaves when it is ready.
 */
#define RSD_BACKGROUND 0

/**
 * rsd_options.foreground: no fork, no session; everything else happens. For a terminal, or a supervisor.
 */
#define RSD_FOREGROUND 1

/**
 * rsd_options.foreground: in the foreground where whoever executed this very process waits for it itself, else in the
 * background; rsd_ready() logs which and why (LOG_INFO), if there is a log. That is, in this order: as process
 * 1; with notify_fd; executed by systemd (SYSTEMD_EXEC_PID, since its version 248), unless the unit has a PIDFile=, which
 * a daemon in the background is to write; with sockets passed to it (LISTEN_PID); with NOTIFY_SOCKET and no
 * SYSTEMD_EXEC_PID; with a socket on stdin, as under inetd. Others set
 * nothing to know them by: in a script for runit or for systemd with Type=forking and no
 * PIDFile= say what is wanted.
 */
#define RSD_AUTOMATIC 2

/**
 * rsd_keep_alive(): this process is the worker.
 */
#define RSD_IS_WORKER 257

/**
 * The longest request of rsd_ask_parent(), the longest answer, and in a worker the longest text of rsd_notify(), in bytes.
 */
#define RSD_MESSAGE_MAX 4096

/**
 * rsd_stop_daemon(): a daemon that has not ended after the timeout is killed (SIGKILL).
 */
#define RSD_STOP_KILL 1

/**
 * A line of the log, in a file or on stderr, has at most so many bytes, its time, name and newline
 * included. Of a longer one the end of the message is replaced by "[cut]".
 */
#define RSD_LOG_LINE_MAX 4096

/**
 * rsd_wait(), rsd_dispatch(): a flagged signal has arrived since this was last told.
 */
#define RSD_SIGNAL_ARRIVED 1

/**
 * rsd_wait(), rsd_dispatch(): a callback of the program was called.
 */
#define RSD_CALLBACK_RAN 2

/**
 * rsd_wait(): a signal handler of the program's own has interrupted the wait. Not told if at the same
 * moment an ignored signal (rsd_ignore_signal()) has, or SIGCHLD (rsd_reap_children()).
 */
#define RSD_HANDLER_RAN 4

/**
 * For rsd_promise(): a system call that was not promised fails with EPERM.
 */
#define RSD_REFUSE 0

/**
 * For rsd_promise(): a system call that was not promised ends the process by SIGSYS.
 */
#define RSD_KILL 1

/**
 * For rsd_promise(): a system call that was not promised passes, and is told of at the end.
 */
#define RSD_RECORD 2

/**
 * rsd_sandbox_state.asked and in_force: limits.
 */
#define RSD_SANDBOX_LIMITS 1

/**
 * rsd_sandbox_state.asked and in_force: cgroup.
 */
#define RSD_SANDBOX_CGROUP 2

/**
 * rsd_sandbox_state.asked and in_force: profile.
 */
#define RSD_SANDBOX_PROFILE 4

/**
 * rsd_sandbox_state.asked and in_force: context.
 */
#define RSD_SANDBOX_CONTEXT 8

/**
 * rsd_sandbox_state.asked and in_force: privileges.
 */
#define RSD_SANDBOX_PRIVILEGES 16

/**
 * rsd_sandbox_state.asked and in_force: executing a program gives nothing (no_new_privs).
 */
#define RSD_SANDBOX_NO_NEW_PRIVILEGES 32

/**
 * rsd_sandbox_state.asked and in_force: no core dumps, not to be read by others of the user (PR_SET_DUMPABLE).
 */
#define RSD_SANDBOX_NO_DUMPS 64

/**
 * rsd_sandbox_state.asked and in_force: access.
 */
#define RSD_SANDBOX_ACCESS 128

/**
 * rsd_sandbox_state.asked and in_force: promises.
 */
#define RSD_SANDBOX_PROMISES 256

/**
 * rsd_set_signal_options(): system calls that the signal interrupts go on (SA_RESTART), as far as
 * signal(7) says that they can. sleep(3), poll(2) and others return early all the same.
 */
#define RSD_SIGNAL_RESTART 1

/**
 * rsd_set_signal_options(): the signal is handled once; a second one has its default action, which
 * for SIGTERM and SIGINT ends the process at once (SA_RESETHAND).
 */
#define RSD_SIGNAL_SECOND_ENDS 2

/**
 * The first descriptor that a service manager passes.
 */
#define RSD_LISTEN_FDS_START 3



/**
 * Capabilities: bit N is number N.
 */
struct Set;

/**
 * Called from rsd_dispatch() or rsd_wait() when a watched child has ended and was waited for.
 *
 * @param pid     the child
 * @param status  as of waitpid(2), for WIFEXITED() and its like; -1 if somebody else in this
 *                process has waited for the child, or nobody can because SIGCHLD is ignored
 * @param arg     as given to rsd_watch_child()
 */
typedef void (*rsd_child_callback)(int pid, int status, void *arg);

/**
 * What rsd_drop_privileges() is to leave. What is left out (0, NULL) has its default. Write it with
 * RSD_PRIVILEGES(), which fills in the size.
 */
struct rsd_privileges {
    /**
     * sizeof(struct rsd_privileges): how much of it the program knows.
     */
    size_t size;
    /**
     * The user to become, by name or number, with all three ids; not root. NULL: stay.
     */
    const char *user;
    /**
     * The group to become, by name or number. NULL: that of user.
     */
    const char *group;
    /**
     * The supplementary groups, by names or numbers: "adm,audio". "": none. NULL: those of a user given
     * by name; of one given by number, or with a group alone, none.
     */
    const char *groups;
    /**
     * The folder to become "/" and the working directory (chroot(2)). It and all folders above it must
     * belong to root, and nobody else may write to them, but to those above that are sticky. Symbolic
     * links in the path are followed: they are not looked at. A folder that is open, from outside, leads out
     * again, as those do that the library has open for pid file and control socket, and as do other processes
     * outside: it confines best together with user. NULL: stay.
     */
    const char *root;
    /**
     * The capabilities to keep: "net_bind_service,net_raw", with or without "cap_", or numbers. With user
     * neither setuid nor setgid, with root not sys_chroot: they lead back. Others are as good as root, too
     * (sys_admin, sys_ptrace, sys_module, dac_override, chown, fowner, setfcap ...). NULL, "": none.
     */
    const char *capabilities;
    /**
     * Not 0: the programs that the process executes have these capabilities, too. Otherwise only those whose
     * files give them (setcap(8)) have.
     */
    int ambient;
    /**
     * Not 0: executing a program gives nothing that the process does not have: set-user-ID bits and
     * capabilities of files count for nothing (no_new_privs).
     */
    int no_new_privileges;
};

/**
 * What rsd_sandbox() is to do. What is left out (0, NULL) has its default. Write it with RSD_SANDBOX(), which
 * fills in the size.
 */
struct rsd_sandbox_options {
    /**
     * sizeof(struct rsd_sandbox_options): how much of it the program knows.
     */
    size_t size;
    /**
     * Not 0: of cgroup, profile, context, access and promises what this kernel does not have, or a container forbids
     * (ENOSYS, EOPNOTSUPP) is left out, of access where it only lacks ports those alone, as is a cgroup that cannot be made; rsd_sandbox_report() tells that. 0: it is
     * an error.
     */
    int best_effort;
    /**
     * As for rsd_set_limits(). NULL: "core=0". "": none.
     */
    const char *limits;
    /**
     * The name of a group for rsd_limit_resources(). NULL: none.
     */
    const char *cgroup;
    /**
     * Its limits. NULL: none.
     */
    const char *cgroup_limits;
    /**
     * As for rsd_change_profile(), which must allow all that follows. NULL: none.
     */
    const char *profile;
    /**
     * As for rsd_change_context(). NULL: none.
     */
    const char *context;
    /**
     * The umask. 0: leave it. Or RSD_UMASK_NONE.
     */
    int umask;
    /**
     * RSD_PRIVILEGES(...): as for rsd_drop_privileges(). NULL: user, groups and capabilities stay.
     */
    const struct rsd_privileges *privileges;
    /**
     * Not 0: core dumps, and being read by other processes of the user, stay allowed (PR_SET_DUMPABLE).
     */
    int allow_dumps;
    /**
     * Files and TCP ports: rules as "r:/etc/mydaemon rwc:/var/lib/mydaemon bind:80", with the letters of
     * rsd_allow_path(), and "bind:" and "connect:" as for rsd_allow_port(). What was allowed by these
     * before is allowed, too, in this sandbox and each later one, until rsd_restrict_access() has used it.
     * "": no files but those. NULL: not restricted.
     */
    const char *access;
    /**
     * As for rsd_promise(). NULL: not restricted.
     */
    const char *promises;
    /**
     * What happens to other system calls: RSD_REFUSE, RSD_KILL or RSD_RECORD.
     */
    int otherwise;
};

/**
 * How rsd_run() and rsd_spawn() run a command. What is left out (0, NULL) has its default. Write
 * it with RSD_RUN_OPTIONS(), which fills in the size.
 */
struct rsd_run_options {
    /**
     * sizeof(struct rsd_run_options): how much of it the program knows.
     */
    size_t size;
    /**
     * What the command reads from stdin; copied. NULL: /dev/null.
     */
    const void *input;
    /**
     * Its length in bytes.
     */
    size_t input_length;
    /**
     * How many bytes are kept of stdout, and as many of stderr; the rest is read and dropped. 0: 65536.
     */
    size_t output_limit;
    /**
     * Not 0: stderr goes where stdout goes, in the order of writing.
     */
    int merge_stderr;
    /**
     * How long the command may run, in milliseconds. 0: as long as it likes.
     */
    unsigned int timeout_ms;
    /**
     * How long a command that is ended by SIGTERM may take until SIGKILL comes, in milliseconds. 0: 5000.
     */
    unsigned int kill_after_ms;
    /**
     * Not 0: the command is run although a shutdown flag is raised, and is not ended by one: for
     * what cleans up.
     */
    int during_shutdown;
    /**
     * RSD_SANDBOX(...): what the command gives up, the last before it is executed, as rsd_sandbox() has it.
     * Programs that it executes may do no more. promises must have exec, and access must allow x for the
     * program and rx for its libraries. Dumps are not concerned, which executing allows again. A cgroup
     * with limits needs a group above it that has no processes. NULL: nothing.
     */
    const struct rsd_sandbox_options *sandbox;
};

/**
 * How a command ended, and what it wrote.
 */
struct rsd_result {
    /**
     * Its pid, which it has no more.
     */
    int pid;
    /**
     * As of waitpid(2), for WIFEXITED() and its like; -1 if that is not known: somebody else in this
     * process has waited for the command, or nobody can because SIGCHLD is ignored, or SIGKILL could
     * not end it.
     */
    int status;
    /**
     * 0, or why it was ended: ETIMEDOUT, or ECANCELED for a shutdown or rsd_end_command().
     */
    int error;
    /**
     * What it wrote to stdout, and a NUL after it.
     */
    const char *out;
    /**
     * Bytes, without that NUL.
     */
    size_t out_length;
    /**
     * Not 0: there was more, which is lost.
     */
    int out_is_cut;
    /**
     * What it wrote to stderr, and a NUL after it.
     */
    const char *err;
    /**
     * Bytes, without that NUL.
     */
    size_t err_length;
    /**
     * Not 0: there was more, which is lost.
     */
    int err_is_cut;
};

/**
 * Called from rsd_dispatch() or rsd_wait() when a command of rsd_spawn() has ended.
 *
 * @param result  valid until the callback returns
 * @param arg     as given to rsd_spawn()
 */
typedef void (*rsd_run_callback)(const struct rsd_result *result, void *arg);

/**
 * What rsd_daemonize() is to do. What is left out (0, NULL) has its default. Write it with
 * RSD_OPTIONS(), which fills in the size.
 */
struct rsd_options {
    /**
     * sizeof(struct rsd_options): how much of it the program knows.
     */
    size_t size;
    /**
     * What the daemon is called in front of the text of rsd_fail(). NULL: nothing.
     */
    const char *name;
    /**
     * The pid file: a path, relative to the working directory of the caller, or a name without a
     * slash, which stands for /run/NAME.pid. NULL: none.
     */
    const char *pidfile;
    /**
     * Its mode, whatever the umask. 0: 0644 less the umask. Whoever may read the file may lock it, too,
     * and so keep the daemon from starting: 0600 where other local users are not trusted.
     */
    unsigned int pidfile_mode;
    /**
     * Its owner, by name or number, with the group of that user. NULL: whoever starts.
     */
    const char *pidfile_owner;
    /**
     * RSD_PIDFILE_AT_START, or RSD_PIDFILE_AT_READY for a file that tells others that the daemon is
     * ready. Then two starts at the same time both get as far as rsd_ready(), where one fails, and
     * user must be allowed to make files in the directory.
     */
    int pidfile_when;
    /**
     * The working directory. NULL: "/". ".": stay.
     */
    const char *directory;
    /**
     * The umask. 0: 022. Or RSD_UMASK_KEEP, RSD_UMASK_NONE.
     */
    int umask;
    /**
     * RSD_STDIO_...
     */
    int stdio;
    /**
     * A file that redirected stdout and stderr are appended to. NULL: /dev/null.
     */
    const char *log_file;
    /**
     * The mode of a new log file. 0: 0640; less the umask of the caller.
     */
    unsigned int log_file_mode;
    /**
     * RSD_BACKGROUND, RSD_FOREGROUND or RSD_AUTOMATIC.
     */
    int foreground;
    /**
     * Not 0: one fork, and the daemon leads its session: it could get a terminal again.
     */
    int session_leader;
    /**
     * Not 0: descriptors that were open when the program was executed are closed, but for 0, 1, 2,
     * keep_fds and sockets passed by a service manager (LISTEN_FDS). What the program opened
     * itself is left alone, as long as it is not the same file on the same number (/dev/null) without
     * close-on-exec. A library loaded by dlopen(3) takes what was open then for inherited.
     * Before Linux 6.2 only numbers below 65536 are looked at.
     */
    int close_inherited;
    /**
     * Inherited descriptors to keep, and how many.
     */
    const int *keep_fds;
    /**
     * The length of keep_fds.
     */
    size_t keep_fds_count;
    /**
     * Not 0: signals that were ignored or blocked when the program was executed have their default
     * action again and are unblocked; real-time signals stay as they are.
     */
    int reset_signals;
    /**
     * Not 0: go into the background although other threads run, which then do not exist in the
     * daemon. Whatever lock they hold stays locked.
     */
    int allow_threads;
    /**
     * How long until rsd_ready() at most, in milliseconds. 0: any time. Not in the foreground.
     */
    unsigned int ready_timeout_ms;
    /**
     * The user to become for good: by name with its supplementary groups, by number without any.
     * NULL: stay. A pid file in a directory where this user may not remove files, such as /run, is
     * emptied at the end instead of removed.
     */
    const char *user;
    /**
     * The group to become, by name or number. NULL: that of user. Without a user the supplementary
     * groups are given up, too.
     */
    const char *group;
    /**
     * RSD_SANDBOX(...): what the daemon gives up, the last before rsd_daemonize() returns, as rsd_sandbox() has
     * it. What the program does from there to rsd_ready() must be allowed, too; where that is more than
     * the daemon needs afterwards, call rsd_sandbox() itself later. Paths are those of the caller. NULL:
     * nothing.
     */
    const struct rsd_sandbox_options *sandbox;
    /**
     * Where a supervisor as s6 waits for a newline (notification-fd): from rsd_ready(), which then closes it. 0: nowhere.
     */
    int notify_fd;
};

/**
 * Whether the daemon could start with these arguments; see rsd_command_options.check.
 */
typedef int (*rsd_check_callback)(int argc, char **argv, void *arg);

/**
 * What rsd_command() is to start and stop. What is left out (0, NULL) has its default. Write it with
 * RSD_COMMAND_OPTIONS(), which fills in the size.
 */
struct rsd_command_options {
    /**
     * sizeof(struct rsd_command_options): how much of it the program knows.
     */
    size_t size;
    /**
     * How the daemon is started, as for rsd_daemonize(): RSD_OPTIONS(...). Its pidfile is needed; --pidfile,
     * --user, --foreground, --background and --notify-fd take precedence over what stands there. Its name stands in front of
     * each line that is written; NULL: what was executed, without its folder.
     */
    const struct rsd_options *daemon;
    /**
     * The control socket that the daemon opens (rsd_open_control()), for reload and status; NULL: none.
     */
    const char *control;
    /**
     * More text for --help, as it is to be shown: the program's own options. NULL: none.
     */
    const char *usage;
    /**
     * How long the daemon may take to end, or to answer on its control socket, in milliseconds. 0: 30000.
     */
    unsigned int stop_timeout_ms;
    /**
     * Not 0: a daemon that takes longer to end is killed (SIGKILL).
     */
    int stop_kills;
    /**
     * Called for start, restart and run before anything is stopped or started, with what is left of the
     * arguments: reads the program's own options and its configuration, so that a mistake there does not stop a
     * daemon that runs. Returns 0, or after it has written why the status to leave with, 1 to 255; anything else
     * counts as 1. NULL: nothing is checked.
     */
    rsd_check_callback check;
    /**
     * Handed to it.
     */
    void *check_arg;
};

/**
 * What a client of the control socket asks for, and who it is.
 */
struct rsd_control_request {
    /**
     * sizeof(struct rsd_control_request), set by the library.
     */
    size_t size;
    /**
     * How many words were sent, the command among them.
     */
    int argc;
    /**
     * The words, the command first, and NULL after the last. They live until the callback returns.
     */
    const char *const *argv;
    /**
     * The client's process when it connected, as numbered where this process runs. 0: it is not seen
     * from here. It may be another process by now.
     */
    int pid;
    /**
     * The client's effective user when it connected.
     */
    unsigned int uid;
    /**
     * The client's effective group when it connected.
     */
    unsigned int gid;
};

/**
 * Called from rsd_dispatch() or rsd_wait() for a command that a client has sent.
 *
 * What it prints (rsd_control_print()) is the answer; unless it says rsd_control_fail() the command has
 * succeeded. It should be quick, as the loop waits for it. One that itself waits (rsd_wait(), rsd_run()) has
 * other requests served meanwhile, in callbacks upon its own; where 16 of them have not returned, further
 * requests wait for one that does.
 *
 * @param request  valid until the callback returns
 * @param arg      as given to rsd_control_command()
 */
typedef void (*rsd_control_callback)(struct rsd_control_request *request, void *arg);

/**
 * What the parent does for a worker that calls rsd_ask_parent(). It should be quick: nothing else is done meanwhile, no
 * signal is passed on, and the watchdog is not fed. All signals are blocked, also in what it executes, unless that
 * unblocks them. It must not wait for the worker's process (as by waitpid(-1, ...)). A worker whose channel it closes
 * (closefrom(3)) is killed and started again. Whatever stands in the request may come from somebody who has taken the
 * worker over.
 *
 * @param request  what the worker has sent, of that length in bytes
 * @param answer   where the answer goes; there is room for RSD_MESSAGE_MAX bytes
 * @param fd       -1; a descriptor that is put here is passed to the worker, and closed in the parent
 * @param arg      as in the options
 * @return         the length of the answer in bytes, or -1 with errno set, which rsd_ask_parent() fails with
 */
typedef int (*rsd_answer_callback)(const void *request,
                                   size_t length,
                                   void *answer,
                                   int *fd,
                                   void *arg);

/**
 * How rsd_keep_alive() keeps a worker alive. What is left out (0, NULL) has its default. Write it with
 * RSD_KEEP_ALIVE(), which fills in the size.
 */
struct rsd_keep_alive_options {
    /**
     * sizeof(struct rsd_keep_alive_options): how much of it the program knows.
     */
    size_t size;
    /**
     * How many restarts there may be within interval_ms; the crash after that is the end. 0: 5. -1: without end.
     */
    int max_restarts;
    /**
     * Counted from the first of them, in milliseconds. 0: 60000.
     */
    unsigned int interval_ms;
    /**
     * The pause before a restart, in milliseconds, twice as long for each one within interval_ms. 0: 100.
     */
    unsigned int delay_ms;
    /**
     * The longest pause, in milliseconds. 0: 10000.
     */
    unsigned int max_delay_ms;
    /**
     * How long a worker that is asked to end may take until it is killed (SIGKILL), in milliseconds. 0: as long as it
     * likes.
     */
    unsigned int kill_after_ms;
    /**
     * What the parent does for the worker: the part of the program that keeps its rights. NULL: nothing.
     */
    rsd_answer_callback answer;
    /**
     * Handed to it.
     */
    void *arg;
};

/**
 * Where rsd_log() writes. What is left out (0, NULL) has its default. Write it with RSD_LOG_OPTIONS(),
 * which fills in the size. With neither to_syslog, to_journal, to_stderr nor a file it is syslog.
 */
struct rsd_log_options {
    /**
     * sizeof(struct rsd_log_options): how much of it the program knows.
     */
    size_t size;
    /**
     * What the program is called in each line. NULL: as it was executed, without the folder.
     */
    const char *name;
    /**
     * LOG_DAEMON, LOG_LOCAL0 ... of syslog(3). 0: LOG_DAEMON.
     */
    int facility;
    /**
     * The least important level that is logged, LOG_ALERT to LOG_DEBUG. 0: LOG_DEBUG, that is all.
     */
    int level;
    /**
     * Not 0: to the syslog daemon, through /dev/log (RFC 3164, in the form that syslog(3) has).
     */
    int to_syslog;
    /**
     * Not 0: to systemd-journald, in its own protocol, with the fields of rsd_log_fields().
     */
    int to_journal;
    /**
     * Not 0: to stderr. "NAME: MESSAGE"; with "<LEVEL>" instead of the name where stderr is the journal
     * (JOURNAL_STREAM).
     */
    int to_stderr;
    /**
     * A file that lines are appended to: "2026-11-25T16:05:59.123456+01:00 NAME[PID] LEVEL: MESSAGE",
     * with the level as in syslog.conf(5): emerg, alert, crit, err, warning, notice, info, debug.
     * Relative to the working directory of this call. NULL: none.
     */
    const char *file;
    /**
     * The mode of a new file, whatever the umask. 0: 0640, less the umask.
     */
    unsigned int file_mode;
    /**
     * The owner of a new file, by name or number, with the group of that user. NULL: whoever makes it.
     */
    const char *file_owner;
    /**
     * Rotate before a line that would make the file longer than so many bytes: FILE becomes FILE.1,
     * FILE.1 becomes FILE.2 and so on. 0: never. Several threads and processes may write and rotate the same
     * file; then it may become longer by what the others write while one rotates, and for each other process
     * by a sixteenth or what it writes in a second.
     */
    size_t file_limit;
    /**
     * How many files are kept besides FILE, when it is rotated. 0: 5. A file that somebody is still
     * writing to is kept longer.
     */
    unsigned int file_count;
    /**
     * Rotate when the file was begun more than so many seconds ago. 0: never.
     */
    unsigned int file_age_s;
    /**
     * Not 0: stdout and stderr of this process are the file, too, also after it was rotated or reopened.
     * Not together with to_stderr. For children see rsd_log_pipe().
     */
    int redirect_stdio;
    /**
     * A signal on which rsd_dispatch() and rsd_wait() do rsd_reopen_log(), as SIGHUP or SIGUSR1 for
     * logrotate(8). It may be flagged by rsd_flag_signal() and install_signal_flags(), too, before or
     * after. 0: none.
     */
    int reopen_signal;
};

/**
 * How the log is doing.
 */
struct rsd_log_state {
    /**
     * sizeof(struct rsd_log_state), set by the program.
     */
    size_t size;
    /**
     * The least important level that is logged.
     */
    int level;
    /**
     * 0, or the errno of why the file did not take the latest line.
     */
    int file_errno;
    /**
     * How many lines the file did not take.
     */
    unsigned int file_lost;
    /**
     * As file_errno, of syslog.
     */
    int syslog_errno;
    /**
     * How many lines syslog did not take.
     */
    unsigned int syslog_lost;
    /**
     * As file_errno, of the journal.
     */
    int journal_errno;
    /**
     * How many lines the journal did not take.
     */
    unsigned int journal_lost;
    /**
     * As file_errno, of stderr.
     */
    int stderr_errno;
    /**
     * How many lines stderr did not take.
     */
    unsigned int stderr_lost;
    /**
     * 0, or the errno of why the file could not be reopened or rotated the last time.
     */
    int reopen_errno;
    /**
     * How many lines RSD_LOG_LIMITED() held back.
     */
    unsigned int held_back;
};

/**
 * What RSD_LOG_LIMITED() knows of a place in the program. All zeros: nothing yet.
 */
struct rsd_log_site {
    /**
     * For the library alone.
     */
    unsigned int state[4];
};

/**
 * What rsd_get_sandbox_state() tells.
 */
struct rsd_sandbox_state {
    /**
     * sizeof(struct rsd_sandbox_state), set by the program.
     */
    size_t size;
    /**
     * What rsd_sandbox() was asked for, of all calls together: RSD_SANDBOX_... 0: there was none.
     */
    unsigned int asked;
    /**
     * What of that is in force, and was not left out by any call.
     */
    unsigned int in_force;
};

/**
 * What rsd_next_signal() tells.
 */
struct rsd_signal_info {
    /**
     * sizeof(struct rsd_signal_info), set by the program.
     */
    size_t size;
    /**
     * The signal.
     */
    int signo;
    /**
     * The process that sent the latest one, as numbered where this process runs. 0: the kernel (a
     * terminal, a timer), or a process that cannot be seen from here.
     */
    int pid;
    /**
     * The real user of that process; 0 if pid is 0.
     */
    unsigned int uid;
    /**
     * How many have arrived since it was last told. What arrives while one of the same number is
     * still to be delivered is one with it, except for real-time signals.
     */
    unsigned int count;
};

/**
 * A socket that rsd_listen() is to have. What is left out (0, NULL) has its default. Write it with RSD_SOCKET(),
 * which fills in the size.
 */
struct rsd_socket_options {
    /**
     * sizeof(struct rsd_socket_options)
     */
    size_t size;
    /**
     * What FileDescriptorName= of the socket unit says. NULL: the first that was passed and is of this type.
     */
    const char *name;
    /**
     * Where, as ListenStream= of systemd.socket(5) has it: "80" is that port of all addresses, IPv6 and IPv4;
     * "127.0.0.1:80", "[::1]:80"; a path; "@" and an abstract name. NULL: only what was passed.
     */
    const char *address;
    /**
     * SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET. 0: SOCK_STREAM.
     */
    int type;
    /**
     * How many clients may wait for accept(2), less where the kernel's limit is. 0: 4096.
     */
    int backlog;
    /**
     * The permissions of a path, whatever the umask. 0: 0600.
     */
    unsigned int mode;
    /**
     * Its owner, by name or number, with the group of that user. NULL: who this process is.
     */
    const char *owner;
};



#ifdef __cplusplus
extern "C" {
#endif

/**
 * Allow what rsd_restrict_access() would refuse: a file or folder, with all that lies beneath it.
 *
 * Until then nothing is refused. The same path may be allowed more than once, which adds up, as does what is
 * allowed to a folder above it. The path is opened now, symbolic links are followed, and what is allowed is what
 * stands there now, whatever takes its place later. A forked child has a copy of what was allowed, and adds to that alone.
 *
 * Pipes and sockets, to which /dev/stdout may lead, are never restricted, whatever is said about them.
 *
 * @param path    relative to the working directory
 * @param access  letters of:
 *                r  read files, list folders
 *                w  write to files, truncate them, ioctl(2) of devices
 *                x  execute files; programs that are linked dynamically need r (and x) for their libraries
 *                c  make, remove, link and rename files, folders, sockets, FIFOs and symbolic links; only for a
 *                   folder. Devices can never be made.
 * @return        0, or -1 with errno set and nothing more allowed:
 *                EINVAL      path or access is NULL, access is empty, or has another letter
 *                ENOTDIR     c for what is no folder
 *                ENOSYS      the kernel has no Landlock (before Linux 5.13, or built without)
 *                EOPNOTSUPP  Landlock was not enabled at boot, or a filter around the process forbids it
 *                ENOMEM      there is no memory
 *                or any errno of open(2)
 *
 * Thread-safe. Not async-signal-safe. Since 0.1. See landlock(7).
 */
int rsd_allow_path(const char *path,
                   const char *access);

/**
 * Allow a TCP port, which restricts all others: binding to them with the first "b", connecting with the first "c".
 *
 * As long as no port was allowed for binding (connecting), that is not restricted. UDP and other sockets are not
 * concerned. The kernel does not see three ways to other ports: MPTCP (IPPROTO_MPTCP of socket(2), which reaches
 * servers of TCP and is refused by rsd_promise()), sendto(2) and sendmsg(2) with MSG_FASTOPEN, and listen(2) without
 * bind(2), on a free port.
 *
 * @param port    0 to 65535; binding to 0 is to be given a free one
 * @param access  letters of: b bind(2), c connect(2)
 * @return        0, or -1 with errno set and nothing more allowed:
 *                EINVAL      port is out of range, access is NULL, empty, or has another letter
 *                EOPNOTSUPP  the kernel does not restrict ports (before Linux 6.7), or Landlock was not
 *                            enabled at boot
 *                ENOSYS      the kernel has no Landlock
 *                ENOMEM      there is no memory
 *
 * Thread-safe. Not async-signal-safe. Since 0.1. See landlock(7).
 */
int rsd_allow_port(int port,
                   const char *access);

/**
 * Give up all access to files and folders that was not allowed by rsd_allow_path(), for good.
 *
 * It holds for this process, its children and the programs that it executes, also for root. What is refused
 * fails with EACCES; renaming and linking from one folder into another may fail with EXDEV. What is open stays
 * usable. Without any rsd_allow_path() before there is no way to files at all. Ports as rsd_allow_port() says.
 * Further calls can only take away more: then what lies open is what all of them allow.
 *
 * Not refused by the kernel: changing mode, owner and times of files, extended attributes and access lists, learning
 * that a file is there (stat(2), access(2), statfs(2), what a symbolic link says) and that files change (inotify(7),
 * with their names), entering folders, chroot(2), locks, connecting to Unix sockets. Code is not kept out: memory
 * can be executed (memfd_create(2)), the dynamic linker executes what it may read, and dlopen(3) asks only for r;
 * a promise without exec and prot_exec does that. Before Linux 6.2 (version 3) nor is truncate(2),
 * before 6.10 (version 5) ioctl(2) of devices; before 5.19 (version 2) nothing can be renamed or linked from one
 * folder into another, whatever is allowed. Programs executed afterwards gain no privileges (no_new_privs).
 *
 * What the library needs afterwards: the folder of a pid file or a control socket, c, or it is emptied or left at
 * the end; that of a log file, rwc for rotation and reopening. A daemon gets and answers requests on a control
 * socket, logs to syslog and to what is open, and runs its main loop without any.
 *
 * @return the version of Landlock's interface that is in force, from 1 up; or -1 with errno set and nothing
 *         restricted (but no_new_privs may be set), what was allowed is kept for the next call:
 *         EBUSY         other threads run, which would stay free
 *         ENOENT, EACCES  whether other threads run cannot be told: a filter refuses unshare(2), and /proc
 *                       is missing
 *         ENOSYS        the kernel has no Landlock (before Linux 5.13, or built without)
 *         EOPNOTSUPP    Landlock was not enabled at boot, or a filter around the process forbids it
 *         EAFNOSUPPORT  a port was allowed, and the kernel was built without TCP
 *         E2BIG         this was done 16 times
 *         EBADF         the program has closed descriptors of this library
 *         or another errno of landlock_create_ruleset(2), landlock_add_rule(2), prctl(2) and
 *         landlock_restrict_self(2)
 *
 * Not thread-safe. Not async-signal-safe. Since 0.1. See landlock(7).
 */
int rsd_restrict_access(void);

/**
 * The sentence that goes with the last failure.
 *
 * @return what could not be done, on which path, why, and who is in the way, in one line without a
 *         final period: "cannot open /run/x.pid: Permission denied". Empty before the first
 *         failure in this thread. It stays valid until the next failing call in this thread.
 *
 * Thread-safe: each thread has its own. Not async-signal-safe. Since 0.1.
 */
const char *rsd_last_error(void);

/**
 * Limit what this process and its children use together, by a cgroup made for them (version 2, cgroups(7)).
 *
 * rsd_limit_resources("scanner", "memory.max=64M pids.max=16 cpu.max=50%") makes the group "scanner" below the one
 * that the process is in, enters it with all its threads, and sets the limits. Children that it starts from then on
 * are in it, too. Call it before there are children.
 *
 *     memory.max, memory.high, memory.swap.max   bytes, perhaps with K, M, G or T (of 1024), or "max"
 *     pids.max                                   processes and threads, or "max"
 *     cpu.max                                    of one processor: "50%", "150%"; "max"; or as the kernel has
 *                                                it, with a comma: "50000,100000"
 *     cpu.weight, io.weight                      1 to 10000 against other groups, usually 100
 *
 * The process must be allowed to make groups there, as root is, or who has Delegate=yes of systemd. Unless its
 * group is the first one of the system, no other process may be in that: the kernel limits only the parts of a
 * group without processes of its own. memory.max below what the process uses already may have the kernel end it.
 *
 * The group stays when the process ends, empty: nobody can remove the group that he is in. The next call with its
 * name makes it anew, and a service manager removes it with its own.
 *
 * @param group   a name for it, without "/"
 * @param limits  words with blanks between; "": the group alone
 * @return        0, or -1 with errno set and everything as it was, as far as the kernel allows:
 *                EINVAL      group or limits is NULL; group is no single name; rsd_last_error() names a word that is
 *                            no limit, has no such value, or was there before; or the kernel refuses a value
 *                EOPNOTSUPP  the process is in no cgroup of version 2, no mount shows that, or a controller is not
 *                            available in it: not delegated, or bound to version 1
 *                EACCES, EPERM  the group of the process is not delegated to it; or a limit was set and is not in
 *                            force
 *                EROFS       /sys/fs/cgroup cannot be written to, as in many containers
 *                EBUSY       a group of that name has processes or groups in it; or other processes are in the
 *                            group of this one
 *                ENOENT      /proc is not mounted; or the kernel has no such limit (memory.swap.max, io.weight)
 *                or another errno of open(2), mkdir(2), rmdir(2), read(2) and write(2)
 *
 * Not thread-safe: two threads would move each other. Not async-signal-safe. Since 0.1.
 */
int rsd_limit_resources(const char *group,
                        const char *limits);

/**
 * Have a child of this process waited for, and be told how it ended.
 *
 * Only this child is waited for, once it has ended; system(3), popen(3) and waitpid(2) for others
 * go on working. SIGCHLD is not touched. A child that has ended before is told of, too. Where the
 * kernel has no pidfd_open(2) (before Linux 5.3, or by a filter), children are looked at every 20 ms.
 *
 * @param pid       a child of this process that nobody else waits for
 * @param callback  called once
 * @param arg       handed to it
 * @return          0, or -1 with errno set:
 *                  EINVAL  pid is not above 0, or callback is NULL
 *                  ECHILD  pid is no child of this process, or was waited for
 *                  EEXIST  it is watched, or is a command of rsd_spawn()
 *                  EMFILE, ENFILE, ENOMEM, or any errno of pidfd_open(2), or as for rsd_fd()
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_watch_child(int pid,
                    rsd_child_callback callback,
                    void *arg);

/**
 * Watch a child no more: its callback is not called, and it is for the program to wait for it. (If
 * another thread dispatches, the callback may be running already: then the result is ENOENT.)
 *
 * @return  0, or -1 with errno set:
 *          ENOENT  pid is not watched, or was told of
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_forget_child(int pid);

/**
 * Have all children waited for that nobody knows, from rsd_dispatch() and rsd_wait().
 *
 * For process 1 of a container, which inherits orphans, and for daemons that fork and forget. It takes
 * SIGCHLD, which interrupts no system call that SA_RESTART can spare. Watched children and commands
 * are told of as ever. But what the program waits for itself, it has to wait for before the next
 * rsd_dispatch() or rsd_wait(): pclose(3) and waitpid(2) find no child afterwards (ECHILD).
 * system(3) in the thread that dispatches goes on working. It pauses while a command is being ended of
 * which only the first process is gone yet, at most for its kill_after_ms.
 *
 * Call it after daemonize(): a forked child does not reap.
 *
 * @param on  not 0: from now on, and those that have ended already; 0: no more, and SIGCHLD is given
 *            back
 * @return    0, or -1 with errno set:
 *            EBUSY  the program has a handler of its own for SIGCHLD
 *            or as for rsd_fd() and rsd_flag_signal()
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_reap_children(int on);

/**
 * Run a command to its end, without a shell.
 *
 * The command is searched in PATH if argv[0] has no slash (there is no way through /bin/sh for what
 * the kernel cannot execute). It starts with clean signals (none blocked, all at their defaults), in
 * a process group of its own, with stdin, stdout and stderr and no other descriptor. It has the
 * environment, working directory, umask and user of this process. However large this process is, its
 * memory is not copied.
 *
 * While the command runs, the call does what rsd_wait() does: signals set their flags, callbacks are
 * called. The command has ended when its first process has; what others of it still write later is
 * lost. After timeout_ms, or when a shutdown flag is raised (see rsd_flag_signal(); also one that was
 * raised before), its process group gets SIGTERM, and SIGKILL when it is not gone kill_after_ms
 * later.
 *
 * @param argv     the command and its arguments, ended by NULL
 * @param options  NULL: the defaults
 * @param result   what it wrote, for rsd_free_result(); NULL: it does not matter. *result is set also
 *                 when the call fails: to NULL if the command was not run
 * @return         the status as of waitpid(2), as from system(3): 0 is success; or -1 with errno set:
 *                 EINVAL     argv is NULL or empty, or options has a wrong size, or input is NULL
 *                            but has a length
 *                 ETIMEDOUT  the time was over
 *                 ECANCELED  a shutdown flag is raised, or rsd_end_command() was called
 *                 E2BIG      options is of a newer version than this library, or as of execve(2)
 *                 ECHILD     somebody else in this process has waited for the command, or nobody
 *                            can because SIGCHLD is ignored
 *                 ENOENT, EACCES, ENOEXEC or another errno of execve(2)
 *                 EAGAIN, EMFILE, ENFILE, ENOMEM or another errno of pipe(2), memfd_create(2),
 *                 vfork(2), or as for rsd_fd(), or of rsd_sandbox(): the command was not run
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_run(char *const *argv,
            const struct rsd_run_options *options,
            struct rsd_result **result);

/**
 * Start a command, and be told when it has ended.
 *
 * As rsd_run(), but returns when the command is executed; the rest is done by rsd_dispatch() and
 * rsd_wait(). If another thread dispatches, the callback may be called before this call returns.
 *
 * @param argv      as for rsd_run()
 * @param options   as for rsd_run()
 * @param callback  called once, unless this call fails
 * @param arg       handed to it
 * @return          the pid of the command, or -1 with errno set as for rsd_run(), and EINVAL if
 *                  callback is NULL; not ETIMEDOUT, not ECHILD
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_spawn(char *const *argv,
              const struct rsd_run_options *options,
              rsd_run_callback callback,
              void *arg);

/**
 * End a command of rsd_spawn() as if its time were over, but with ECANCELED. Its callback is called
 * when it is gone.
 *
 * @return  0, also if it is being ended already, or -1 with errno set:
 *          ENOENT  pid is no command that runs
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_end_command(int pid);

/**
 * Free what rsd_run() returned.
 *
 * @param result  may be NULL
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
void rsd_free_result(struct rsd_result *result);

/**
 * Do what the command line says: start the daemon, stop it, or tell of it. The body of an init script.
 *
 *     int main(int argc, char *argv[])
 *     {
 *         int status = rsd_command(&argc, argv, RSD_COMMAND_OPTIONS(
 *             .daemon = RSD_OPTIONS(.name = "mydaemon", .pidfile = "mydaemon")));
 *         if (status != RSD_IS_DAEMON)
 *             return status;
 *         ... getopt(argc, argv, ...), rsd_ready(), main loop ...
 *     }
 *
 * Understood are these arguments, in any order, and nothing behind "--":
 *
 *     start            go into the background, and leave when the daemon is ready; also without a word
 *     stop             end the daemon, and leave when it is gone (rsd_stop_daemon())
 *     restart          stop, then start; if it cannot be stopped, nothing is started; if check says that
 *                      it could not start, nothing is stopped
 *     reload           have it read its configuration again
 *     status           tell whether it runs
 *     run              as start --foreground
 *     --pidfile PATH   another pid file, as of rsd_options.pidfile; also --pidfile=PATH
 *     --user USER      another user to become
 *     --foreground     start without going into the background
 *     --background     start in the background, also where foreground = RSD_AUTOMATIC would not
 *     --notify-fd FD   the descriptor on which a supervisor waits, as of rsd_options.notify_fd; for s6, what stands in
 *                      its file notification-fd
 *     --help           tell all this
 *
 * They are taken out of argv, and argc is made less. The rest stays in its order for the program; an
 * argument that is neither an option nor such a word is refused if no word came before it, unless it
 * follows an option of the program's own, whose value it may be.
 *
 * Unlike all others this function writes: what was done to stdout, what failed to stderr, each line in one
 * write and with "NAME: " in front, after what stdio has buffered. Where that cannot be written, the
 * status is right all the same, and there is no SIGPIPE. An answer of the daemon follows, each line of it
 * behind two blanks. A start that works says nothing.
 *
 * reload asks on the control socket, where there is one, and tells the outcome. Without, the daemon gets
 * SIGHUP if it has a handler for it, and nobody knows what comes of it.
 *
 * @param argc     as of main(), changed
 * @param argv     as of main(), changed; the NULL behind the last stays there
 * @param options  RSD_COMMAND_OPTIONS(...), or a struct whose size member is set
 * @return         RSD_IS_DAEMON: this process is the daemon, as after rsd_daemonize(): go on, and call
 *                 rsd_ready(). 0 to 255: the status with which main() is to return, as LSB has it:
 *                 0  done; also start where it runs already, and stop where it does not
 *                 1  it could not be done; reload: the daemon refused; run: it runs already; or what
 *                    rsd_fail() or check says
 *                 2  an unknown command, or an option without its value
 *                 3  reload: the daemon has no handler for SIGHUP, and was left alone
 *                 4  not allowed (EPERM, EACCES)
 *                 7  reload: it does not run
 *                 and of the word status:
 *                 0  it runs
 *                 1  it does not, but its pid file is left
 *                 3  it does not run
 *                 4  that cannot be told
 *                 Or -1 with errno set, and its sentence written to stderr:
 *                 EINVAL  argc, argv, options, its daemon or pidfile is NULL, or argc is negative, or an
 *                         option of the daemon is out of range
 *                 E2BIG   the options are of a newer version and ask for what this one lacks
 *
 * Not thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_command(int *argc,
                char **argv,
                const struct rsd_command_options *options);

/**
 * Confine this process by a profile of AppArmor that is loaded, for good or as far as that profile allows.
 *
 * As aa_change_profile(2), and then it is looked whether the profile is in force. Whether it enforces or only
 * complains is for the administrator. A process that is confined already needs a rule for it (change_profile).
 * Programs that are executed are confined as the profile says.
 *
 * What is asked for after this call, such as the change of the user, the profile must allow. A thread has a
 * profile of its own: call it before there are others.
 *
 * @param profile  its name as aa-status(8) shows it, with the names before it that belong to it
 * @return         0, or -1 with errno set and, except where it was set, nothing changed:
 *                 EINVAL      profile is NULL, empty, longer than 4000 bytes, or has control characters; or the
 *                             kernel knows no such name
 *                 EOPNOTSUPP  AppArmor is not enabled in this kernel, or /sys is not mounted
 *                 EBUSY       there are other threads
 *                 ENOENT      no such profile is loaded, or /proc is not mounted
 *                 EACCES, EPERM  the present profile does not allow it, or no_new_privs does not
 *                 EPERM       it was set, but the kernel names another one afterwards
 *                 or another errno of open(2), read(2) and write(2)
 *
 * Not thread-safe: only for a process of one thread. Not async-signal-safe. Since 0.1.
 */
int rsd_change_profile(const char *profile);

/**
 * Confine this process by a context of SELinux.
 *
 * As setcon(3), and then it is looked whether the context is in force. The policy must allow it (setcurrent,
 * dyntransition); whether it is enforced is for the administrator. What is asked for after this call, such as the
 * change of the user, the new context must allow. A thread has a context of its own: call it before there are
 * others.
 *
 * @param context  "USER:ROLE:TYPE:LEVEL", written as id -Z shows it
 * @return         0, or -1 with errno set and, except where it was set, nothing changed:
 *                 EINVAL      context is NULL, empty, longer than 4000 bytes, or has control characters; or the
 *                             policy knows no such context
 *                 EOPNOTSUPP  SELinux is not enabled in this kernel
 *                 EBUSY       there are other threads
 *                 ENOENT      /proc is not mounted
 *                 EACCES      the policy does not allow it
 *                 EPERM       no_new_privs does not allow it; or it was set, but the kernel names another one
 *                             afterwards, as it does when the same is written in another way
 *                 or another errno of open(2), read(2) and write(2)
 *
 * Not thread-safe: only for a process of one thread. Not async-signal-safe. Since 0.1.
 */
int rsd_change_context(const char *context);

/**
 * Open a Unix socket on which whoever is allowed to can give this daemon commands.
 *
 * rsd_dispatch() and rsd_wait() serve it; no client can make them wait. The commands are those of
 * rsd_control_command() and rsd_control_query(), and these:
 *
 *     help         the commands that this client may use (query)
 *     ping         nothing, successfully (query)
 *     status       pid, since when, state, the text of rsd_status(), reloads, lines that the log lost (query)
 *     reload       as SIGHUP, and waits for the outcome: see rsd_begin_reload()
 *     stop         as SIGTERM
 *     log-level    shows the level of the log, or sets it: log-level debug
 *     reopen-logs  rsd_reopen_log()
 *
 * The protocol, for socat(1), nc(1) and rsd_control_request(): the client sends lines of at most
 * RSD_CONTROL_LINE_MAX bytes, each a command and its arguments, at most RSD_CONTROL_WORDS_MAX words, with
 * blanks or tabs between. In double quotes a word may contain those, and \" and \\ for a quote and a
 * backslash. A line is answered by any number of lines that begin with a blank, the text, and one that
 * does not: "ok", or "error REASON". The answers come in the order of the lines. A client that
 * shuts down its writing side gets what is left of its answers:
 *
 *     echo status | socat -t 60 - UNIX-CONNECT:/run/mydaemon.sock
 *
 * Who may: the owner of the socket, the group of the socket if mode lets it write, root, and the user that
 * this process runs as may use everything; anybody else whom mode lets write may use queries. The kernel tells
 * who connects (SO_PEERCRED, SO_PEERGROUPS of unix(7), socket(7)). User and group 65534, as whom
 * the kernel shows everybody from outside of a user namespace, are nobody's own here.
 *
 * One process at a time serves a path: it holds PATH.lock, a file as that of lock_pidfile() with mode
 * 0600. A socket that another one serves is left alone; one that nobody does, since its process was
 * killed, is replaced. Until mode and owner are right nobody can connect. When this process exits normally
 * (as for daemonize()), or by rsd_close_control(), both files are removed, if they can be; what is left is
 * replaced by the next. A client has ten seconds for each line and for taking each piece of an answer, an
 * idle one as long as it likes. Of RLIMIT_NOFILE at most half is used for clients, then the one that was
 * idle longest is closed, or else the one that has taken nothing of its answer longest.
 *
 * Call it after daemonize(), since a forked child does not serve its parent's socket.
 *
 * @param path   of the socket, usually "/run/NAME/control"; relative to the working directory. One
 *               that is too long for sockaddr_un works as long as its last part has at most 80 bytes.
 *               "@NAME": NAME in the abstract namespace of unix(7), without files and lock; then mode
 *               and owner are enforced here
 * @param mode   its permissions, whatever the umask. 0: 0600
 * @param owner  "USER", "USER:GROUP" or ":GROUP", by names or numbers; a user without a group has its own.
 *               NULL: whoever this process runs as
 * @return       0, or -1 with errno set:
 *               EINVAL      path is NULL or empty, mode has other bits than permissions, or there
 *                           is no such user or group
 *               EALREADY    this process has opened one already
 *               EADDRINUSE  another process serves it; rsd_last_error() names it
 *               ENOTSOCK    something else than a socket stands at path
 *               EPERM       anybody may rename files in the directory, or the owner cannot be set
 *               ENAMETOOLONG  the last part of path is too long
 *               EMFILE, ENFILE, ENOMEM, or any errno of lock_pidfile(), socket(2), bind(2), listen(2),
 *               chown(2), chmod(2), unlink(2), or as for rsd_fd()
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_open_control(const char *path,
                     unsigned int mode,
                     const char *owner);

/**
 * Close the control socket and its connections, and remove its files.
 *
 * @return  0, also if none is open
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_close_control(void);

/**
 * Give the control socket a command that may change something.
 *
 * A second call with the same name replaces the callback. The commands stay in forked children.
 *
 * @param name      one word of printable characters without quotes and backslashes
 * @param help      what it does and takes, in one line, for the command help; NULL: nothing
 * @param callback  NULL: there is no such command any more
 * @param arg       handed to it
 * @return          0, or -1 with errno set:
 *                  EINVAL  name is NULL or no such word
 *                  EEXIST  name is a command of the library's
 *                  ENOMEM  no memory
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_control_command(const char *name,
                        const char *help,
                        rsd_control_callback callback,
                        void *arg);

/**
 * As rsd_control_command(), for a command that only tells something: whoever may connect may use it.
 *
 * @return  as of rsd_control_command()
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_control_query(const char *name,
                      const char *help,
                      rsd_control_callback callback,
                      void *arg);

/**
 * Add to the answer of a request: in the place of vdprintf(client, format, arguments).
 *
 * Text of several lines becomes several lines of the answer. Control characters except tabs become '?'.
 *
 * @param request    as given to the callback
 * @param format     as of printf(3)
 * @param arguments  as of vprintf(3)
 * @return           0, or -1 with errno set:
 *                   EINVAL    request or format is NULL
 *                   EMSGSIZE  with this the text would be longer than RSD_CONTROL_TEXT_MAX; it is cut, and the
 *                             client is told so
 *                   ENOMEM    no memory, or another errno of vasprintf(3); the client is told that
 *                             something is missing
 *
 * Not thread-safe: only for the thread of the callback. Not async-signal-safe. Since 0.1.
 */
int rsd_control_vprint(struct rsd_control_request *request,
                       const char *format,
                       va_list arguments);

/**
 * Say that a command has failed. What was printed is sent all the same.
 *
 * @param request  as given to the callback
 * @param reason   for the client, in one line; NULL: "failed"
 * @return         0, or -1 with errno set:
 *                 EINVAL  request is NULL
 *
 * Not thread-safe: only for the thread of the callback. Not async-signal-safe. Since 0.1.
 */
int rsd_control_fail(struct rsd_control_request *request, const char *reason);

/**
 * Ask a running daemon on its control socket (rsd_open_control()), from another process.
 *
 * Connects, sends one command, and waits for the whole answer. Control characters in it other than tab
 * and the ends of lines become '?', so that it may be printed to a terminal. A daemon that
 * asks itself waits in vain.
 *
 * @param path        the socket: a path of any length, or "@NAME" for an abstract one
 * @param command     one line without its end, at most 4095 bytes: the command and its arguments, separated
 *                    by blanks; an argument with blanks in it stands in double quotes
 * @param reply       gets the lines of the answer, each with its "\n", and a NUL; of what is longer, as
 *                    much as fits. After a failure: what came until then
 * @param size        of reply, in bytes. 0: the answer is not wanted, and reply may be NULL
 * @param timeout_ms  for all of it, in milliseconds; -1: no limit
 * @return            the length of the whole answer without its NUL, as of snprintf(3); or -1 with errno
 *                    set:
 *                    EREMOTEIO     the daemon says no; rsd_last_error() is its reason
 *                    ETIMEDOUT     it did not answer in time, or took no connection
 *                    ECONNREFUSED  nobody serves there, or it is no socket
 *                    ENOENT        there is nothing
 *                    EACCES        this user may not connect
 *                    EPROTO        what answers is something else, or ended before its answer did, or said
 *                                  more than 64 MiB
 *                    EPROTOTYPE    it is a socket of another kind
 *                    EINVAL        path or command is NULL or empty, or command has several lines or is too
 *                                  long, or reply is NULL, or timeout_ms is less than -1
 *                    ENAMETOOLONG  path; from 108 bytes on also without /proc
 *                    or another errno of socket(2), connect(2), send(2), recv(2)
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_control_request(const char *path,
                        const char *command,
                        char *reply,
                        size_t size,
                        int timeout_ms);

#if !defined(RSDAEMON_NO_DROP_IN_NAMES)
/**
 * Go into the background and be the daemon from here on.
 *
 * Two forks and a new session, so that the daemon has no terminal and cannot get one; working
 * directory "/", umask 022, stdin, stdout and stderr on /dev/null; the pid file locked, with the
 * daemon's pid in it, and removed again when the daemon exits normally (exit(3) or return from
 * main; not _exit(2) or a signal's default action). The lock is the one of lock_pidfile().
 *
 * Left alone: signal handlers, ignored and blocked signals, descriptors from 3 up, syslog. What
 * stdio has buffered is flushed first.
 *
 * The process that calls leaves with status 0 when the daemon is up and its pid file is there. If
 * anything fails, in whichever process, the call returns -1 in the process that called, and no
 * process, lock or pid file is left. SIGHUP, SIGINT, SIGQUIT or SIGTERM to the caller meanwhile
 * cancels the start.
 *
 * Call it once, after the arguments are checked and before threads, connections to databases and
 * the like. If the program had locked a file with lock_pidfile(), the lock goes with the daemon.
 *
 * @param pidfile  path of the pid file, relative to the working directory; NULL: none
 * @return         0 in the daemon; -1 in the process that called, with errno set:
 *                 EEXIST    another instance runs; rsd_last_error() tells its pid
 *                 EBUSY     the process has more than one thread
 *                 EALREADY  the process is a daemon already
 *                 ENOTSUP   the process is process 1
 *                 ECHILD    the daemon died; rsd_last_error() tells how
 *                 EINTR     a signal cancelled the start
 *                 ENODEV    /dev/null is not the null device
 *                 EPIPE     the daemon closed the descriptors of this library
 *                 or any errno of lock_pidfile(), fork(2), setsid(2), open(2), dup(2),
 *                 socketpair(2), signalfd(2), sigaction(2)
 *
 * Not thread-safe. Not async-signal-safe. Since 0.1.
 */
int daemonize(const char *pidfile);
#endif

/**
 * Go into the background as the options say, and let the caller wait until rsd_ready().
 *
 * As daemonize(), but the process that called stays until the daemon calls rsd_ready() or
 * rsd_fail(), dies, or takes longer than ready_timeout_ms. So the program can bind sockets, read
 * its configuration and give up privileges in between, and whoever started it learns how that went.
 *
 * If it fails, a service manager (NOTIFY_SOCKET) is told why (STATUS, ERRNO). Sockets that were passed
 * (rsd_listen_fds()) are still there afterwards.
 *
 * In the foreground there is no fork: the call returns 0 or -1 in the process that called, which
 * after -1 may be half way and must end.
 * As process 1, the first of a container, SIGTERM and SIGINT end it with status 128 and their number, unless it has
 * handlers for them (install_signal_flags()): the kernel keeps from process 1 what it has none for.
 *
 * @param options  RSD_OPTIONS(...), or a struct whose size member is set; NULL: all defaults
 * @return         0 in the daemon; -1 in the process that called, with errno set as for daemonize()
 *                 and also:
 *                 EINVAL     an option is out of range, or log_file is no regular file, or no such user
 *                            or group, or user is root
 *                 E2BIG      the options are of a newer version and ask for what this one lacks, or
 *                            the user has more than 1024 groups
 *                 ETIMEDOUT  the daemon was not ready in time and was ended
 *                 EPERM      privileges cannot be given up, or could be had back
 *                 or any errno of getpwnam(3), setgroups(2), setresuid(2), or of rsd_sandbox()
 *
 * Not thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_daemonize(const struct rsd_options *options);

/**
 * Say that the daemon is ready, to all who wait: the process that called rsd_daemonize() leaves with status 0, the
 * service manager (NOTIFY_SOCKET, "READY=1") and a supervisor on notify_fd (a newline) go on.
 *
 * Call it when the daemon does its work: sockets bound, configuration read, privileges given up.
 * A pid file that was to wait for this appears, and so do kept stdout and stderr go to their place. From now on
 * rsd_wait() and rsd_dispatch() feed the watchdog of the service manager (WatchdogSec=), if it has one.
 *
 * In the background it is the process that called that tells the manager, with the daemon as MAINPID, and it
 * leaves when the manager has read that: a service of Type=notify may go into the background. If the manager
 * cannot be told there, that process says so on stderr, and leaves with status 0 all the same.
 *
 * Without rsd_daemonize() the manager alone is told. When called again it does nothing.
 *
 * @return 0, or -1 with errno set, and the daemon should end (rsd_fail(1, rsd_last_error())):
 *         ECANCELED  whoever started the daemon is gone, and the pid file is removed; or rsd_fail()
 *                    was called before
 *         EPERM      called in a child of the daemon
 *         EBADF      the program has closed descriptors of this library
 *         or, with RSD_PIDFILE_AT_READY, any errno of lock_pidfile(); in the foreground, any of
 *         rsd_notify(), and of write(2) to notify_fd
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_ready(void);

/**
 * Say that the daemon cannot start: return rsd_fail(3, "no such interface: wlan0");
 *
 * The pid file is removed. The process that called rsd_daemonize() writes "NAME: TEXT" to its
 * stderr, waits until the daemon has ended and leaves with the status; a daemon that is still there
 * after 10 seconds is killed. In the foreground the text goes to stderr. After rsd_ready() nobody
 * waits any more, and only the pid file is removed. The service manager is told both (STATUS, EXIT_STATUS), also
 * without rsd_daemonize(). In a child of the daemon nothing happens. The call does not end the process.
 *
 * @param status  1 to 255; anything else counts as 1
 * @param text    one line; NULL: none. Longer than 4096 bytes is cut.
 * @return        the status
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_fail(int status,
             const char *text);

/**
 * Read a switch from the environment.
 *
 * The words are true, yes, on, 1 and false, no, off, 0, in upper or lower case. An empty value
 * counts as none.
 *
 * @param name   the variable
 * @param value  holds the default, and gets 1 or 0 if the variable is set
 * @return       1 if the variable is set, 0 if not, or -1 with errno set and *value as it was:
 *               EINVAL  its value is none of these words (rsd_last_error() names variable, value
 *                       and what was expected), or name or value is NULL
 *
 * Thread-safe as long as nobody changes the environment. Not async-signal-safe. Since 0.1.
 */
int rsd_env_bool(const char *name, int *value);

/**
 * Read a decimal number from the environment.
 *
 * A sign may stand before it, and nothing else may stand before or behind it. An empty value counts
 * as none.
 *
 * @param name     the variable
 * @param minimum  the smallest number allowed
 * @param maximum  the largest number allowed
 * @param value    holds the default, and gets the number if the variable is set
 * @return         1 if the variable is set, 0 if not, or -1 with errno set and *value as it was:
 *                 EINVAL  its value is no number (rsd_last_error() names variable, value and what
 *                         was expected), or name or value is NULL, or minimum is above maximum
 *                 ERANGE  the number is outside of minimum and maximum
 *
 * Thread-safe as long as nobody changes the environment. Not async-signal-safe. Since 0.1.
 */
int rsd_env_int(const char *name, int minimum, int maximum, int *value);

/**
 * Read a text from the environment. An empty value counts as none.
 *
 * @param name   the variable
 * @param value  holds the default, and gets the text if the variable is set; it is that of the
 *               environment, as from getenv(3)
 * @return       1 if the variable is set, 0 if not, or -1 with errno set and *value as it was:
 *               EINVAL  name or value is NULL
 *
 * Thread-safe as long as nobody changes the environment. Not async-signal-safe. Since 0.1.
 */
int rsd_env_string(const char *name, const char **value);

/**
 * Go on in a worker that is started again when it crashes.
 *
 *     int status = rsd_keep_alive(NULL);
 *     if (status != RSD_IS_WORKER)
 *         return status;
 *     ... rsd_drop_privileges(), rsd_ready(), main loop ...
 *
 * To be called after rsd_daemonize() or daemonize(), once everything is there that all workers share: sockets, which
 * stay open over a crash, and the log, which tells of each. The call returns in each worker, a forked child. Meanwhile
 * this process is its parent, stays the daemon that everybody sees, and does nothing but this:
 *
 * - It passes on signals that it is sent (not those from a terminal, which the worker gets itself), of SIGTSTP, SIGTTIN,
 *   SIGTTOU and SIGCONT those for which the program has a handler or which it ignores. In a pause there is nobody to have
 *   them: only those that end the daemon count. What is sent to the whole process group or cgroup reaches the worker
 *   twice: with systemd, KillMode=mixed prevents that.
 * - What the worker says by rsd_ready(), rsd_fail(), rsd_status(), rsd_notify() and for reloads and the watchdog it
 *   tells the launcher and the service manager, but for MAINPID and NOTIFYACCESS, and for STOPPING unless the daemon was
 *   asked to end: another worker may follow. What rsd_fail() says is told when the worker has ended. After a crash
 *   the first rsd_ready() of the next worker tells READY=1 and the status again.
 * - A worker that ends with status 0, or after SIGTERM, SIGINT, SIGQUIT or SIGABRT came, is the end of the daemon. One that ends
 *   in another way is started again after a pause; after too many restarts the daemon gives up, as by rsd_fail().
 *   One that ends before the daemon was ever ready is a start that has failed.
 * - It does what answer is for: with rsd_drop_privileges() in the worker, the daemon is split into a small part with
 *   rights and a large one without.
 * - As process 1, it waits for orphans.
 *
 * If the parent ends, the worker gets SIGKILL, also after rsd_drop_privileges(); not after a bare setuid(2), which
 * makes the kernel forget that. As long as either runs, the pid file is locked. Open the control socket
 * (rsd_open_control()) in the worker. A daemon with a worker cannot be upgraded (rsd_upgrade()). After a restart, the
 * worker has the time of the watchdog until rsd_ready(); rsd_notify("WATCHDOG=1") gives it more.
 *
 * @param options  RSD_KEEP_ALIVE(...), or a struct whose size member is set; NULL: all defaults
 * @return         RSD_IS_WORKER in each worker. In the parent, when all is over, the status with which main() is to
 *                 return, 0 to 255: that of the worker; 0, if a signal that asked it to end has ended it; 128 and the
 *                 signal that has killed it otherwise; rsd_last_error() has why, if it was given up. Or -1 with errno set, and no worker was started:
 *                 EINVAL    max_restarts is less than -1, or options lacks its size
 *                 E2BIG     the options are of a newer version than this library
 *                 EALREADY  this process is a worker
 *                 EBUSY     other threads run, or the control socket is open
 *                 or an errno of fork(2), socketpair(2), signalfd(2); these rsd_fail() has been told
 *
 * Not thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_keep_alive(const struct rsd_keep_alive_options *options);

/**
 * Ask the parent for something that this worker has no right to do itself: the answer callback of rsd_keep_alive() gets
 * the request.
 *
 * The call waits until the parent has answered. Other threads of the worker that ask meanwhile wait, too; so do
 * rsd_ready(), rsd_notify_fds() and rsd_notify_barrier(), which the parent answers. A forked child has lost its way to
 * the parent with its first call of this library, such as rsd_after_fork().
 *
 * @param request  what is asked for, as the callback understands it
 * @param length   its length in bytes, at most RSD_MESSAGE_MAX
 * @param answer   where the answer goes; may be NULL if size is 0
 * @param size     how much room there is, in bytes
 * @param fd       gets the descriptor that came with the answer, which is close-on-exec, or -1. NULL: it is closed
 * @return         the length of the answer in bytes, or -1 with errno set:
 *                 EINVAL      request is NULL but length is not 0, or answer is NULL but size is not 0
 *                 EMSGSIZE    the request is too long, or the answer longer than size
 *                 EMFILE      there is no room for the descriptor that came with the answer
 *                 EPERM       this process is no worker (not its forked child, either)
 *                 EOPNOTSUPP  there is no callback
 *                 EIO         the callback returned -1 without an errno
 *                 EBADF       the program has closed descriptors of this library
 *                 EPIPE, ECONNRESET  the parent has ended
 *                 or what the callback set; or an errno of sendmsg(2), recvmsg(2), poll(2)
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_ask_parent(const void *request,
                   size_t length,
                   void *answer,
                   size_t size,
                   int *fd);

/**
 * Learn which process holds a pid file, whose lock is held by lock_pidfile() or daemonize().
 *
 * The lock decides (flock(2)): a file that nobody has locked names nobody, whatever it says. A process
 * that a locked file names is only believed if the file stands at its path, belongs to root, the
 * caller, or a user who could signal that process anyway (its real or its saved one), and is open in
 * that process (/proc/PID/fd). Where that cannot be seen, as for a process of another user or one that
 * may not be dumped (PR_SET_DUMPABLE), or without /proc, it is believed without, unless anybody may
 * write to the file.
 *
 * The file must be readable. Its lock is looked at with a shared one for a moment, which keeps no
 * daemon from starting.
 *
 * @param pidfile  the file, relative to the working directory
 * @return         the pid, above 0; 0: nobody holds the file, or there is none; or -1 with errno set:
 *                 EINVAL  pidfile is NULL or empty, or a FIFO, a socket or a device
 *                 ELOOP   pidfile is a symbolic link
 *                 EISDIR  pidfile is a directory
 *                 EMLINK  pidfile has hard links
 *                 ESRCH   it is locked, but names no process that can be the one: it is empty, holds
 *                         something else than a pid, or names a process that does not have it open
 *                 EPERM   it belongs to a user who has no say about the process that it names; or
 *                         anybody may write to it, and the process cannot be seen
 *                 or any errno of open(2), flock(2) and read(2)
 *
 * The process may end at any time, and another one may have its number then: do not give the pid to
 * kill(2), but call rsd_signal_daemon().
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_pidfile_holder(const char *pidfile);

/**
 * Send a signal to the daemon that holds a pid file, in the place of kill(2) with a pid read from it.
 *
 * The signal reaches the process that rsd_pidfile_holder() tells of, or nobody: it is sent through a
 * pidfd (pidfd_open(2)) that was opened before the lock was seen held for the last time, so that it
 * never reaches a later process of the same pid.
 *
 * @param pidfile  the file, relative to the working directory
 * @param signo    the signal; 0 sends none and only asks whether it were possible
 * @return         the pid that it was sent to, or -1 with errno set and nothing sent:
 *                 ESRCH   nobody holds the file, or as for rsd_pidfile_holder()
 *                 EPERM   the kernel does not let the caller signal that process (kill(2)); or as for
 *                         rsd_pidfile_holder()
 *                 EINVAL  signo is no signal; or as for rsd_pidfile_holder()
 *                 ENOSYS  the kernel has no pidfd_open(2) (before Linux 5.3)
 *                 EMFILE, ENFILE, ENOMEM  as of pidfd_open(2)
 *                 or another errno of rsd_pidfile_holder()
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_signal_daemon(const char *pidfile,
                      int signo);

/**
 * Stop the daemon that holds a pid file, and wait until it is gone.
 *
 * Sends SIGTERM, and SIGCONT so that a stopped process hears it. Returns as soon as the process has
 * ended and the lock is free, also where a worker that it left behind had it longer: then a new one
 * can start. A daemon that takes the file meanwhile is left alone, as is what the path names by then.
 *
 * It waits for events (pidfd_open(2)), without looking again and again. Only a worker's lock it looks at
 * each millisecond for a tenth of a second, before it waits for that to be closed, too (inotify(7));
 * where no inotify instance can be had, it goes on to look 50 times a second. Signals that the caller
 * handles do not end the wait.
 *
 * @param pidfile     the file, relative to the working directory
 * @param timeout_ms  how long to wait for the end; 0: not at all; -1: without limit
 * @param flags       0, or RSD_STOP_KILL: a process that is left after that time is killed, and may
 *                    take another 5 seconds to be gone
 * @return            the pid that was stopped; 0: nobody holds the file; or -1 with errno set:
 *                    ETIMEDOUT  the process has not ended, or somebody else still has the lock:
 *                               rsd_last_error() tells which
 *                    EDEADLK    the caller holds the file itself
 *                    EINVAL     timeout_ms is below -1, or flags has a bit that does not exist; or as
 *                               for rsd_pidfile_holder()
 *                    or another errno of rsd_signal_daemon()
 *
 * A daemon that removes its pid file and only then ends is nobody in between.
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_stop_daemon(const char *pidfile,
                    int timeout_ms,
                    unsigned int flags);

/**
 * Limit what this process and its children may use: "core=0 nofile=1024:4096 nproc=64 as=512M".
 *
 * Each word is NAME=SOFT:HARD, or NAME=BOTH. The names and units are those of setrlimit(2): as, data, fsize,
 * core, memlock, msgqueue, rss and stack in bytes; cpu in seconds, rttime in microseconds; nofile, nproc, locks
 * and sigpending as numbers; nice and rtprio. An amount may end in K, M, G or T (of 1024), or is "unlimited".
 * What is not named stays.
 *
 * All of them are set, or none: those first that may be refused. Without privileges (CAP_SYS_RESOURCE) a hard
 * limit that was lowered cannot be raised again.
 *
 * This library needs a few descriptors (nofile) for itself: the main loop four, each open log one or two, the
 * control socket three and one for each client. A log file that reaches fsize is rotated, and lines that do
 * not fit are counted as lost. nproc counts all processes of the user, and does not hold for root.
 *
 * @param limits  words with blanks between; "": nothing is changed
 * @return        0, or -1 with errno set and nothing changed:
 *                EINVAL  limits is NULL, or rsd_last_error() names a word that is none, has no such name or
 *                        amount, a soft limit above the hard one, or one limit twice
 *                EPERM   a hard limit would have to be raised, or nofile above /proc/sys/fs/nr_open
 *                ENOSYS  the kernel, or a filter, has no prlimit(2)
 *                or another errno of prlimit(2); if it refuses to lower a limit after others were lowered, as it
 *                never does by itself, those stay lowered without privileges
 *
 * Thread-safe: a limit holds for all threads. Not async-signal-safe. Since 0.1.
 */
int rsd_set_limits(const char *limits);

/**
 * Open the log, or open it anew with other options.
 *
 * Instead of openlog(3), with as many targets at once as are asked for. Each of them goes on when it can
 * again: a syslog daemon or journald that is not there yet, is restarted, or takes no more lines; a file
 * that cannot be written. What could not be written meanwhile is counted, and the next line that can be is
 * preceded by one that tells how many were lost. What makes rsd_log() wait is the file system (a disk, NFS), and
 * a reader of syslog, the journal or stderr who is behind: for less than a millisecond, and not again
 * until that reader takes a line. (Before Linux 6.4 a full pipe of another user, as after giving up root, to which
 * several threads write may make one of them wait for as long as it takes.)
 *
 * The file is a regular file with one name, no symbolic link. It is looked for once a second, when there is a
 * line: if it was removed or replaced, the new one is opened or made; if it was moved away, a second later.
 * Where that fails the old one is kept. A file that was truncated (copytruncate) is written on from its new
 * end.
 *
 * A program that closes the log's descriptor has it opened anew, and nothing is written to what it opens there.
 * Beyond RLIMIT_FSIZE lines are lost, and no SIGXFSZ comes. Both are looked at before a line that comes 64
 * microseconds after the last look, or sooner. Whoever does one of them between two lines that are closer
 * together calls rsd_reopen_log() after it.
 *
 * A line is in the kernel when rsd_log() returns, and is one write(2): what ends the process after that loses
 * nothing, and lines of several processes do not mix. (A process that SIGKILL ends within the call may leave
 * the beginning of its line before the next one.)
 *
 * If the call fails, the log stays as it was. Before the first call lines go to stderr.
 *
 * Call it before or after daemonize() and before privileges are given up: another user may not open the terminal
 * that stderr is, and waits when somebody stops it (Ctrl-S). To make, rotate and reopen the file after that, the
 * user needs to be allowed to write in its directory.
 *
 * @param options  NULL: the defaults
 * @return         0, or -1 with errno set and nothing changed:
 *                 EINVAL   an option is out of range, or needs a file and there is none; the file is a
 *                          FIFO, a socket or a device
 *                 ELOOP    the file is a symbolic link
 *                 EISDIR   the file is a directory
 *                 EMLINK   the file has hard links
 *                 E2BIG    the options are of a newer version than this library
 *                 or any errno of open(2), fchmod(2), fchown(2) and sigaction(2); for the owner as for
 *                 rsd_daemonize()
 *
 * Not thread-safe: no other thread may log meanwhile. Not async-signal-safe. Since 0.1.
 */
int rsd_open_log(const struct rsd_log_options *options);

/**
 * rsd_log() with a list of arguments, as vsyslog(3).
 *
 * The message is one line: control characters, also newlines in its middle, are shown as \n, \t or \x1b;
 * newlines at its end are dropped. %m is the error text of errno. errno stays what it is.
 *
 * @param level   LOG_EMERG to LOG_DEBUG; what stands there of a facility is ignored
 * @param format  as for printf(3)
 *
 * Thread-safe, also after fork(2) in a process of many threads. Not async-signal-safe: see
 * rsd_log_string(). Since 0.1.
 */
void rsd_vlog(int level,
              const char *format,
              va_list arguments);

/**
 * Log a text as it is.
 *
 * As rsd_log(), without a format. It needs 32 KiB of stack, which an alternate one may not have.
 *
 * @param level  LOG_EMERG to LOG_DEBUG; what stands there of a facility is ignored
 * @param text   NULL: nothing is logged
 *
 * Thread-safe. Async-signal-safe: a signal handler may call it. Since 0.1.
 */
void rsd_log_string(int level, const char *text);

/**
 * Log a text with fields for the journal (systemd.journal-fields(7)).
 *
 * The fields reach the journal alone; what everybody is to read belongs into the text.
 *
 * @param level   LOG_EMERG to LOG_DEBUG; what stands there of a facility is ignored
 * @param text    NULL: nothing is logged
 * @param fields  "NAME=VALUE" each, with a name of upper case letters, digits and underscores that does
 *                not begin with an underscore or a digit; others are left out. At most 16, and 2048
 *                bytes in all; what is more is left out
 * @param count   how many
 *
 * Thread-safe. Async-signal-safe. Since 0.1.
 */
void rsd_log_fields(int level,
                    const char *text,
                    const char *const *fields,
                    size_t count);

/**
 * Whether lines of this level are logged: to spare the work of making one.
 *
 * @return  1 or 0
 *
 * Thread-safe. Async-signal-safe. Since 0.1.
 */
int rsd_log_wants(int level);

/**
 * Choose anew which levels are logged.
 *
 * @param level  the least important one, LOG_EMERG to LOG_DEBUG
 * @return       the one before, or -1 with errno set:
 *               EINVAL  level is out of range
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_set_log_level(int level);

/**
 * Open the file of the log anew, and connect anew to syslog and the journal.
 *
 * For logrotate(8) and others that have moved the file. The new file is opened before the old one is let
 * go of: no line is lost, and if it cannot be opened, the old one stays.
 *
 * @return  0, also without a file, or -1 with errno set and the old file kept:
 *          EALREADY  the file is being reopened or rotated by another thread
 *          or as for rsd_open_log()
 *
 * Thread-safe. Not async-signal-safe; see reopen_signal of rsd_log_options. Since 0.1.
 */
int rsd_reopen_log(void);

/**
 * Ask how the log is doing. Counts are of this process, since the log was opened or the process forked.
 *
 * @param state  with its size set; filled in
 * @return       0, or -1 with errno set:
 *               EINVAL  state is NULL or its size is too small
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_get_log_state(struct rsd_log_state *state);

/**
 * Whether a place in the program may log a line now: what RSD_LOG_LIMITED() asks.
 *
 * When lines were held back and the time is over, one line tells how many.
 *
 * @param site     of this place alone, static, all zeros at first
 * @param count    so many lines
 * @param seconds  in so many seconds
 * @param level    of the line
 * @return         1 or 0
 *
 * Thread-safe. Async-signal-safe. Since 0.1.
 */
int rsd_log_allows(struct rsd_log_site *site, unsigned int count, unsigned int seconds, int level);

/**
 * Make a pipe whose lines are logged, for the stdout and stderr of children.
 *
 * What is written there, by a child and by the programs it executes, goes through the log line by line,
 * also after it was rotated or reopened: rsd_dispatch() and rsd_wait() read it. A line of more than
 * RSD_LOG_LINE_MAX bytes becomes several. If the daemon does not read for a while, the child waits; so this
 * is nothing for the daemon's own stdout. It ends when the last copy of the descriptor is closed. What
 * is still in it when the daemon ends is lost. A forked child reads nothing of its parent's: call this after
 * daemonize().
 *
 * @param level  LOG_EMERG to LOG_DEBUG, of all its lines
 * @return       a close-on-exec descriptor to write to, for dup2(2) in the child, to be closed by the
 *               program; or -1 with errno set:
 *               EINVAL  level is out of range
 *               EMFILE, ENFILE, ENOMEM  as of pipe(2)
 *               or as for rsd_fd()
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_log_pipe(int level);

/**
 * Have a crash leave a line in the log.
 *
 * On SIGSEGV, SIGABRT, SIGBUS, SIGFPE and SIGILL one line of level LOG_CRIT tells signal, address, pid and
 * name, in the file, on stderr and in syslog and the journal. Then the signal does what it did before this
 * call: core dump and exit status are those of the crash. A handler that the program installs later
 * replaces this.
 *
 * The calling thread gets an alternate stack (sigaltstack(2)) unless it has one, so that a stack
 * overflow can be recorded, too; other threads call this function again for that.
 *
 * @return  0, or -1 with errno set:
 *          ENOMEM  no memory for the stack
 *          or any errno of sigaction(2) and sigaltstack(2)
 *
 * Thread-safe, but signal actions belong to the process. Not async-signal-safe. Since 0.1.
 */
int rsd_log_crashes(void);

/**
 * The descriptor for the program's own event loop (poll, epoll, libevent, GLib).
 *
 * It is readable when anything in this library wants attention: a flagged signal, a child that is
 * watched, a command that runs, a client of the control socket, the watchdog of the service manager. Then call rsd_dispatch(). Do nothing else with it: it is no file, and
 * belongs to the library, which keeps it open. It is close-on-exec.
 *
 * A forked child has to ask again: its descriptor is another one. daemonize() forks, too: ask after
 * it.
 *
 * @return  a descriptor above 2, the same in each call, or -1 with errno set:
 *          EMFILE, ENFILE, ENOMEM  as of epoll_create1(2) and pipe(2)
 *          or another errno of epoll_ctl(2) and fstat(2)
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_fd(void);

/**
 * Do what rsd_fd() became readable for, without waiting.
 *
 * Callbacks are called from here, from nowhere else. One call does a bounded part of the work: if
 * more is left, rsd_fd() stays readable. Without need it does nothing.
 *
 * Where the service manager has a watchdog (WATCHDOG_USEC), it is told from here, and from rsd_wait(), at half of its
 * time, and from nowhere else: a loop that does not come back here is a daemon that hangs. Once a signal has raised
 * the flag of SIGTERM, SIGINT or SIGQUIT the manager is told that the daemon stops ("STOPPING=1").
 *
 * @return  RSD_SIGNAL_ARRIVED, RSD_CALLBACK_RAN, both or-ed together, or 0; or -1 with errno set
 *          as for rsd_fd()
 *
 * Thread-safe; a callback runs in the thread that dispatches, and may call anything here, also this
 * function. Not async-signal-safe. Since 0.1.
 */
int rsd_dispatch(void);

/**
 * Wait instead of sleep(3), and do meanwhile what rsd_dispatch() does.
 *
 * It returns at once when a flagged signal arrives, also when one has arrived since the last
 * rsd_wait() or rsd_dispatch() that told so; after a callback was called; and when a handler of the
 * program's own interrupts it. While nothing happens it makes no system call. Stopping and continuing
 * the process (SIGSTOP, SIGCONT, a debugger) does not end it. The time counts by CLOCK_MONOTONIC, which
 * stands still while the machine is suspended.
 *
 * @param ms  milliseconds; 0: just dispatch; -1: no limit
 * @return    0 when the time is over, or RSD_SIGNAL_ARRIVED, RSD_CALLBACK_RAN, RSD_HANDLER_RAN or-ed
 *            together; or -1 with errno set:
 *            EINVAL  ms is less than -1
 *            or as for rsd_fd(); then the time is over, and signals would have ended it
 *
 * Thread-safe; of several threads that wait, any is told of a signal. If it is one in rsd_run(), that
 * is told again when its command has ended. No cancellation point (pthread_cancel(3)). Not async-signal-safe. Since 0.1.
 */
int rsd_wait(int ms);

/**
 * Say in a forked child that it is one, if it lives on without executing another program.
 *
 * Closes the child's copies of what belongs to its parent alone: the descriptor of the main loop, of
 * children, commands and the control socket, that of a pid file, whose lock would otherwise outlive the parent, and in
 * a child of a worker (rsd_keep_alive()) the way to the worker's parent. Not the locks of paths on which its parent
 * listens (rsd_listen()): they end with the last of both. The parent keeps all of it. Signals
 * stay flagged, and count anew. Without this call a child may use the library, too: the main loop is made anew when it is first used.
 *
 * In a worker of rsd_keep_alive() it changes nothing: it has made its own already, and shares the lock.
 *
 * @return  0, also in a process that is no forked child
 *
 * Not thread-safe: call it while the child has one thread. Not async-signal-safe. Since 0.1.
 */
int rsd_after_fork(void);

/**
 * Tell the service manager something, as sd_notify(3) does: rsd_notify("STATUS=Compacting...").
 *
 * rsd_ready(), rsd_fail(), rsd_status(), rsd_begin_reload() and what follows it, the end of the daemon and, in
 * rsd_wait() and rsd_dispatch(), the watchdog tell it already. This is for the rest, such as
 * "EXTEND_TIMEOUT_USEC=10000000". The socket is the one that NOTIFY_SOCKET names when the library first looks,
 * which rsd_daemonize() does: a path, "@" and an abstract name, or "vsock:CID:PORT" (also "vsock-stream:",
 * "vsock-dgram:", "vsock-seqpacket:"). It stays open, and so works after chroot(2) and in a sandbox. By default
 * (NotifyAccess=main) systemd listens to the main process of the service alone: in the background, to the daemon from
 * rsd_ready() on.
 *
 * In a worker of rsd_keep_alive(), 1 only means that its parent has it, which tells the manager if that makes room
 * within 20 ms. In a forked child of the worker it is ENOTCONN.
 *
 * @param state  lines "NAME=VALUE", as in sd_notify(3)
 * @return       1; 0 where no service manager waits; or -1 with errno set:
 *               EINVAL        state is NULL or empty, or NOTIFY_SOCKET is no address
 *               ENAMETOOLONG  NOTIFY_SOCKET is too long for an address
 *               EAGAIN        the manager has not taken it in 5 seconds
 *               EMSGSIZE      it is too long; in a worker: longer than RSD_MESSAGE_MAX
 *               or any errno of socket(2), connect(2), sendmsg(2)
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_notify(const char *state);

/**
 * Tell the service manager something about descriptors, which it gets copies of.
 *
 * For "FDSTORE=1\nFDNAME=NAME": systemd keeps them (FileDescriptorStoreMax=) and passes them to the next start of
 * this service, where rsd_listen_fds() has them under that name. With vsock there are no descriptors. In a worker of
 * rsd_keep_alive() the call waits until its parent has told the manager, and SO_LINGER of a socket is switched off.
 *
 * @param state  as for rsd_notify()
 * @param fds    the descriptors, which stay open here
 * @param count  how many, at most 253
 * @return       as for rsd_notify(), and also:
 *               EINVAL      fds is NULL, or count is more than 253
 *               EBADF       one of fds is not open
 *               EMFILE      the parent of the worker has no room for them
 *               EOPNOTSUPP  NOTIFY_SOCKET is a vsock
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_notify_fds(const char *state,
                   const int *fds,
                   size_t count);

/**
 * Wait until the service manager has read all that it was told before.
 *
 * For a process that ends right after it has told something: systemd finds the service of whoever told it by
 * the process.
 *
 * @param timeout_ms  how long at most, in milliseconds; -1: for as long as it takes
 * @return            1; 0 where no service manager waits; or -1 with errno set as for rsd_notify(), and also:
 *                    ETIMEDOUT   it has not read it in that time
 *                    EOPNOTSUPP  NOTIFY_SOCKET is a vsock
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_notify_barrier(int timeout_ms);

#if !defined(RSDAEMON_NO_DROP_IN_NAMES)
/**
 * Make sure that only one instance of this daemon runs.
 *
 * Locks the file and leaves the caller's pid in it. A file that nobody has locked is stale,
 * whatever it says, and is replaced. The file appears with its content and its lock at once: nobody
 * ever sees it empty, partial, or locked with somebody else's pid. Where no new file can be made in
 * the directory, an existing one is locked and written over instead.
 *
 * The lock lasts until the returned descriptor is closed in every process that has it, so keep it
 * open. Test for the lock (flock(2)), never for the file. When daemonize() or rsd_daemonize()
 * follows, the daemon has the lock and its own pid in the file (in up to eight such files); do not
 * give them the same path again. The file stays when the process
 * ends; rsd_remove_pidfile() removes it.
 *
 * @param pidfile  file to lock, usually "/run/NAME.pid"; relative to the working directory
 * @return         a close-on-exec descriptor, not 0, 1 or 2; or -1 with errno set:
 *                 EEXIST  another process holds the lock; rsd_last_error() names it
 *                 EINVAL  pidfile is NULL or empty, or a FIFO, a socket or a device
 *                 ELOOP   pidfile is a symbolic link
 *                 EISDIR  pidfile is a directory
 *                 EMLINK  pidfile has hard links
 *                 EPERM   pidfile belongs neither to root nor to the caller
 *                 or any errno of open(2), flock(2), fcntl(2), write(2), link(2) and unlink(2)
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int lock_pidfile(const char *pidfile);
#endif

/**
 * lock_pidfile() under a name that no program has for itself.
 */
int rsd_lock_pidfile(const char *pidfile);

/**
 * Remove a pid file that lock_pidfile() locked, and close the lock.
 *
 * Call it as the last thing before the process ends. The file of daemonize() and rsd_daemonize() is
 * removed without it. Where the directory does not allow the removal, the file is emptied.
 *
 * @param pidfile  the path given to lock_pidfile()
 * @param lock     the descriptor that it returned; closed when the call succeeds
 * @return         0, or -1 with errno set and the file left alone:
 *                 EINVAL  pidfile is NULL or empty
 *                 EBADF   lock is not open
 *                 ESTALE  another file or none stands at pidfile by now
 *                 EPERM   the file names another process: a child does not remove its parent's
 *                 or any errno of unlink(2) and ftruncate(2)
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_remove_pidfile(const char *pidfile, int lock);

/**
 * Give up root for good, and prove it.
 *
 * All names are looked up and root is opened first. Then, in this order: no_new_privileges, root directory, bounding
 * set, groups, ids, capabilities, securebits, ambient capabilities. Whatever was not to be kept is gone from the
 * permitted, effective, inheritable, ambient and bounding set; user ids, 0 too, have no meaning for capabilities any
 * more (securebits NOROOT, NO_SETUID_FIXUP, KEEP_CAPS off, all locked). At the end all of it is read back from the
 * kernel, for each thread where there is a /proc, and the way back to user 0 is tried, which has to fail.
 *
 * Without user the process stays who it is, and only loses groups (if group or groups is given) and capabilities.
 * User 0 without capabilities still owns root's files, and may write to them: give a user where you can.
 *
 * A process that is nobody special may call it for who it is, too: that succeeds when there is nothing to give up.
 * A program with set-user-ID or set-group-ID gives up its owner and group with user (who called it), also while it
 * acts as who called it. Without the capability setpcap the bounding set and the securebits stay as they are. Then
 * giving up anything needs no_new_privileges, and what user 0 keeps, the programs that it executes have; who has
 * nothing to give up may do without, and set-user-ID programs work for it as before.
 *
 * A process may still make a user namespace (unshare(2)), in which it has all capabilities over what belongs to
 * that, where the system lets users do so; not with root, and rsd_promise() refuses it.
 *
 * With other threads: they get the ids and groups, and lose all capabilities with that; those that are kept are
 * the calling thread's alone, and of threads it makes later. As their bounding sets cannot be changed,
 * no_new_privileges is needed, which is brought to all by a filter of system calls that lets everything pass. A
 * thread that changed its own ids, capabilities or root directory by bare system calls is an error, as are threads
 * that the kernel made for io_uring(7). So call it before threads are made.
 *
 * What the library needs afterwards: a pid file in a folder where the user may not remove files, such as /run, is
 * emptied at the end instead of removed, and a control socket there is left. A log file that is open is written on;
 * rotating or reopening it needs a folder (and a file) where the user may write, as does whatever is opened later.
 * A folder of the user's, made before by root or the service manager (/run/NAME, /var/log/NAME), is the way. With
 * root, too, pid file and control socket are removed where they are; the path of a log file, names of users, time
 * zones and /dev/log are looked for in the new root directory. What the kernel forgets when the user changes:
 * PR_SET_PDEATHSIG, and that core dumps are allowed (PR_SET_DUMPABLE).
 *
 * @param privileges  RSD_PRIVILEGES(...), or a struct whose size member is set; NULL: all defaults, which is to
 *                    give up all capabilities
 * @return            0, or -1 with errno set. After EPERM, ENOSYS and EPROTO the process may be half way: it must
 *                    end. After any other nothing has changed.
 *                    EINVAL  no such user, group or capability; user is root, or is a number without an
 *                            entry and there is no group; what is kept would lead back (see capabilities);
 *                            the options lack their size
 *                    E2BIG   the options are of a newer version and ask for what this one lacks, or there are
 *                            more than 1024 groups
 *                    EBUSY   other threads run, and user or no_new_privileges is missing, or /proc is, or one
 *                            has ids or capabilities of its own
 *                    EPERM   a capability to keep is not there; root does not belong to root, or others may
 *                            write to it; something cannot be given up, whatever the reason; the user
 *                            namespace does not have an id; something is not gone afterwards, or root could
 *                            come back
 *                    ENOSYS  other threads run, and the kernel has no seccomp(2) (built without), or it lacks
 *                            another call that is needed
 *                    EPROTO  the kernel's answers make no sense
 *                    ENOENT, ENOTDIR, ...  as of open(2) for root and /proc/self/task
 *                    or any errno of getpwnam(3), getgrnam(3), capget(2), prctl(2)
 *
 * Not thread-safe. Not async-signal-safe. Since 0.1. See capabilities(7). Linux 4.3; with threads 4.10.
 */
int rsd_drop_privileges(const struct rsd_privileges *privileges);

/**
 * Promise which system calls this process makes from now on, in all its threads, its children and the
 * programs it executes, for good. What an intruder would do with the process is refused by the kernel.
 *
 * The words, with one space or more between them, in the manner of OpenBSD's pledge(2):
 *
 *     stdio      what is open: read, write, send, lock, wait for; memory, threads, time, signals to
 *                itself. What the C library does by itself, and the main loop with its signals and timers.
 *     rpath      open files for reading, list folders, learn of files
 *     wpath      open files for writing, truncate them
 *     cpath      make, rename and remove files and folders, but no devices
 *     fattr      change mode, owner, times and extended attributes of files
 *     inet       sockets of IPv4 and IPv6; of streams only TCP, not MPTCP
 *     unix       sockets of AF_UNIX: syslog, the journal, sd_notify, the control socket
 *     dns        look up names and addresses: UDP, and files for reading. Name servers whose answers are
 *                too long for UDP need inet, too.
 *     tty        set up terminals (what a terminal is, is told under stdio)
 *     proc       make processes, signal others, sessions and groups, scheduling
 *     prot_exec  make memory executable: dlopen(3), just-in-time compilers
 *     exec       execute programs, which are under the same promises; prot_exec is part of it. A program
 *                that is not linked statically needs rpath to find its libraries.
 *     id         become another user or group, give up capabilities, set limits
 *
 * The table of system calls for each word is docs/promises.md. The filter sees numbers, not what
 * pointers point to: which files and which addresses is a matter of rsd_allow_path() and
 * rsd_allow_port(). No word gives ptrace(2), mount(2), new namespaces, bpf(2), modules, keys, raw
 * packets (AF_PACKET) and the like. System calls that are newer than this library, and clone3(2),
 * openat2(2) and io_uring, whose arguments cannot be seen, fail with ENOSYS, so that programs do without.
 *
 * Some words give more than they say. bind(2) of an AF_UNIX socket makes a file without cpath (inet, unix, dns).
 * Who has CAP_NET_ADMIN can change interfaces and routes by inet or dns (NETLINK_ROUTE): drop it. wpath can write
 * code into /proc/self/mem without prot_exec, unless the process is not root and not dumpable, or access to /proc
 * is restricted, as rsd_sandbox() does. And what is open stays open: MSG_FASTOPEN connects a TCP socket by stdio.
 *
 * What the library needs afterwards: all of the main loop and a log to stderr, stdio; a log to syslog or the
 * journal, unix; one to a file, rpath wpath cpath, and fattr to rotate it with an owner; rsd_run() and rsd_spawn(),
 * proc exec, and rpath for programs linked dynamically or without an input; rsd_open_control(), unix rpath wpath
 * cpath fattr; removing its socket or the pid file at the end, rpath cpath (otherwise the socket is left and the
 * pid file is emptied); reading the status of processes, rpath; daemonize() with all of its options is called
 * before. With RSD_KILL the library does not open, examine or remove files without the words for it: what would be
 * the end of the process fails with EPERM. Neither the C library nor a program executed afterwards knows of that.
 *
 * What the C library does late needs more, unless it is done once before. With RSD_REFUSE most of it has a way out:
 *
 *     time zone    nothing after setenv("TZ", ":/etc/localtime", 0) and tzset(3). Otherwise glibc looks at the file
 *                  at each localtime(3), mktime(3) and strftime(3): without rpath the time is UTC from then on.
 *     threads      pthread_exit(3) and pthread_cancel(3) of glibc load libgcc_s.so.1 and abort if they cannot, also
 *                  with RSD_REFUSE; backtrace(3) loads it, too: link with it or dlopen(3) it before. With RSD_KILL
 *                  rpath: free(3) in a thread of glibc reads /proc once, pthread_setname_np(3) of another thread
 *                  and pthread_getattr_np(3) of the first do. With musl, pthread_kill(3), pthread_cancel(3) and
 *                  timers with SIGEV_THREAD need proc or id.
 *     processors   get_nprocs(3) and sysconf(3) of _SC_NPROCESSORS_ONLN: rpath with RSD_KILL
 *     users        rpath, with RSD_KILL unix as well (nscd is asked first), and prot_exec for modules of
 *                  nsswitch.conf other than "files"; so under dns for those other than "files" and "dns"
 *     interfaces   if_nametoindex(3) and its like: unix with RSD_KILL
 *     text         locales, rpath; iconv_open(3), rpath prot_exec
 *     syslog(3)    unix, and the time zone as above
 *
 * Further calls only take away: a system call must be promised in each of them. The strictest answer of
 * all wins.
 *
 * With RSD_RECORD, which comes before all other promises, the process is not hindered, but a process apart is told of the calls that were not
 * promised; stdio is always promised there. It writes a line to the log, if one is open, for each word
 * that is found missing, and, when no process is left of those that are under these promises, one line
 * to the stderr of now: "promises: stdio rpath inet", all words that were given or needed, and calls that
 * no word gives. It cannot tell words apart that give the same calls, and then names the first that is
 * enough. It is no wall: what is told may change meanwhile. If somebody kills that process, all calls that
 * it would have been told of fail with ENOSYS. Where this process is the one that orphans go to
 * (PR_SET_CHILD_SUBREAPER, or the first of its namespace), that process becomes a child of it. It has the user and
 * the rights that this one has when it is started, which is before the rest in rsd_sandbox(), and keeps them.
 *
 * Programs executed afterwards gain no privileges (no_new_privs is set).
 *
 * @param promises   the words; "": none, which leaves only the ending
 * @param otherwise  what happens to other calls: RSD_REFUSE, RSD_KILL or RSD_RECORD
 * @return           0, or -1 with errno set:
 *                   EINVAL      promises is NULL or has a word that there is not (rsd_last_error() names
 *                               it), or otherwise is none of the three; nothing has happened
 *                   ENOSYS      the kernel has no filters (before Linux 4.14, or built without)
 *                   EOPNOTSUPP  it does not know RSD_RECORD (before Linux 5.5), or a filter around the process
 *                               forbids another
 *                   ENOTSUP     the filter is not made for this kind of processor: only for x86-64,
 *                               aarch64 and riscv64 (the same number as EOPNOTSUPP)
 *                   EBUSY       another thread has put a filter before itself alone; or with RSD_RECORD,
 *                               calls are recorded already, or promises were made before
 *                   or any errno of seccomp(2) and, with RSD_RECORD, fork(2) and socketpair(2)
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_promise(const char *promises,
                int otherwise);

/**
 * Say that the configuration is being read anew, because SIGHUP has arrived or for any other reason.
 *
 * Then rsd_commit_reload() says that the new one is in force, or rsd_abort_reload() that the old one still
 * is, and why. Whoever asked for the reload before this call, by the command reload of the control
 * socket, gets that outcome. A service manager (NOTIFY_SOCKET) is told that it begins ("RELOADING=1" with
 * MONOTONIC_USEC) and that it is over ("READY=1"), with the reason as STATUS where it failed.
 *
 *     if (reload_flag) {
 *         reload_flag = 0;
 *         rsd_begin_reload();
 *         struct config *new = read_config(path);
 *         if (new)
 *             rsd_commit_reload();
 *         else
 *             rsd_abort_reload("line 12: no such interface");
 *     }
 *
 * A reload that was begun and not ended is begun anew.
 *
 * @return  0
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_begin_reload(void);

/**
 * Say that the new configuration is in force.
 *
 * @return  0, or -1 with errno set:
 *          EINVAL  rsd_begin_reload() was not called before
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_commit_reload(void);

/**
 * Say that the old configuration stays in force.
 *
 * @param reason  for whoever asked, in one line; NULL: "failed"
 * @return        0, or -1 with errno set:
 *                EINVAL  rsd_begin_reload() was not called before
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_abort_reload(const char *reason);

/**
 * Say in one line how the daemon is doing, for the command status of the control socket and for the service manager
 * (STATUS).
 *
 * @param text  copied; control characters become '?'. NULL or "": nothing
 * @return      0
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_status(const char *text);

/**
 * Give up, for good, all that the daemon does not need, in the only order in which that can be done.
 *
 * In this order: limits, cgroup, profile, context, umask, privileges, no_new_privs, no dumps, access, promises. No
 * new privileges and no dumps are always part of it. Each step is what the function of that name says, which see:
 * what it needs, what it proves, what the library and the program can still do afterwards. Names are looked up and
 * paths are opened first, so that access and promises need not allow that.
 *
 * Call it when all is open that the daemon needs (ports, logs, the control socket, devices), before rsd_ready(),
 * and before other threads run. It can be called again: each call can only take away more, but for the umask, which
 * is the latest, and limits, which who has CAP_SYS_RESOURCE can raise. Promises refuse what later calls would need,
 * but for fewer promises and less access. With RSD_RECORD the process that is told of calls is outside of all this.
 *
 * @param options  RSD_SANDBOX(...), or a struct whose size member is set; NULL: all defaults
 * @return         0, or -1 with errno set, as by the functions of the parts: EINVAL for a mistake in the options.
 *                 After an error the process may be half way: it must end.
 *                 EINVAL      an option cannot be used, see rsd_last_error(); nothing has changed
 *                 E2BIG       the options are of a newer version and ask for what this one lacks
 *                 EBUSY       other threads run, and would stay free
 *                 EPERM       something cannot be given up, or is not gone afterwards
 *                 ENOSYS, EOPNOTSUPP  the kernel lacks it, and best_effort is 0
 *                 or any errno of rsd_set_limits(), rsd_limit_resources(), rsd_change_profile(),
 *                 rsd_change_context(), rsd_drop_privileges(), rsd_allow_path(), rsd_restrict_access(),
 *                 rsd_promise(), prctl(2)
 *
 * Not thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_sandbox(const struct rsd_sandbox_options *options);

/**
 * Ask which parts of the sandbox are in force: asked & ~in_force is what is missing.
 *
 * The kernel is asked anew each time. What it does not tell (access), or what may not be asked any more (a file of
 * /proc, behind access or promises) counts as in force, as nobody gets rid of it; limits and cgroups others
 * may change, and a limit that became stricter is another one, too. Promises that are only recorded (RSD_RECORD)
 * are not in force.
 *
 * @param state  with its size set; filled in
 * @return       0, or -1 with errno set:
 *               EINVAL  state is NULL or its size is too small
 *
 * Thread-safe: it tells of the calling thread. Not async-signal-safe. Since 0.1.
 */
int rsd_get_sandbox_state(struct rsd_sandbox_state *state);

/**
 * Tell in words what rsd_sandbox() was asked for and how it stands, a line for each part. After several calls each
 * access and each promise has its line, as all of them hold together, and what was left out by one of them, too;
 * of limits with one name, and of the other parts, the latest is told:
 *
 *     limits: in force: core=0 nofile=64
 *     cgroup: MISSING (this process is in no cgroup of version 2): scanner memory.max=64M
 *     privileges: in force: user=scanner capabilities=net_raw
 *
 * The command "status" of the control socket tells it, too.
 *
 * @param text  room for the text and a NUL after it; NULL: only its length is wanted
 * @param room  of text, in bytes; what does not fit is cut
 * @return      the length of the whole text, as from snprintf(3); 0: there was no rsd_sandbox()
 *
 * Thread-safe: it tells of the calling thread. Not async-signal-safe. Since 0.1.
 */
int rsd_sandbox_report(char *text,
                       size_t room);

#if !defined(RSDAEMON_NO_DROP_IN_NAMES)
/**
 * Let signals set variables of the program.
 *
 * SIGTERM and SIGINT set *shutdown_flag to 1, SIGHUP sets *reload_flag to 1; the program looks at
 * them in its loop and sets *reload_flag back to 0 itself. SIGPIPE is ignored, so that writing to a
 * closed connection fails with EPIPE instead of ending the daemon. See rsd_flag_signal() and
 * rsd_ignore_signal(), which this call stands for.
 *
 * A signal that arrives between the look at the flag and a sleep(3) that follows is seen only after
 * that sleep, as with every flag; rsd_wait() instead of sleep(3) has no such gap.
 *
 * Call it before or after daemonize(), before threads are started. A second call moves the flags.
 *
 * @param shutdown_flag  a variable that lives as long as the process
 * @param reload_flag    the same; NULL: SIGHUP is ignored
 * @return               0, or -1 with errno set and nothing changed:
 *                       EINVAL  shutdown_flag is NULL
 *                       or any errno of sigaction(2) and pthread_sigmask(3)
 *
 * Thread-safe, but signal actions belong to the process. Not async-signal-safe. Since 0.1.
 */
int install_signal_flags(volatile sig_atomic_t *shutdown_flag, volatile sig_atomic_t *reload_flag);
#endif

/**
 * install_signal_flags() under a name that no program has for itself.
 */
int rsd_install_signal_flags(volatile sig_atomic_t *shutdown_flag,
                             volatile sig_atomic_t *reload_flag);

/**
 * Let a signal set a variable of the program, wake rsd_wait() and make rsd_fd() readable.
 *
 * When the signal arrives, *flag becomes value. The handler stores, wakes and does nothing else; it
 * may run in any thread. The signal is unblocked in the calling thread, also where the caller of
 * the program had it blocked or ignored. It interrupts system calls: sleep(3) returns early, others
 * fail with EINTR, as signal(7) says; see rsd_set_signal_options().
 *
 * SIGTERM, SIGINT and SIGQUIT mean shutdown where they are flagged: as long as such a flag has its
 * value, or without a variable until rsd_next_signal() has told of the signal, commands of rsd_run()
 * and rsd_spawn() are ended.
 *
 * A forked child keeps handler and flag. A signal that it gets wakes the child and nobody else, and
 * what its parent got is none of its. A program that is executed starts with the default action.
 *
 * @param signo  any signal up to SIGRTMAX that can be caught, except those that a fault of the
 *               program's own raises
 * @param flag   a variable that lives as long as the process; NULL: only wake
 * @param value  what to store
 * @return       0, or -1 with errno set and nothing changed:
 *               EINVAL  signo is none, or is SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL,
 *                       SIGTRAP or SIGSYS, or one that the C library keeps for itself
 *               or any errno of sigaction(2) and pthread_sigmask(3)
 *
 * Thread-safe, but signal actions belong to the process. Not async-signal-safe. Since 0.1.
 */
int rsd_flag_signal(int signo,
                    volatile sig_atomic_t *flag,
                    int value);

/**
 * Ignore a signal, in this program only.
 *
 * The signal gets a handler that does nothing, so that programs which are executed start with the
 * default action and not with one that is ignored. System calls go on (SA_RESTART), but sleep(3),
 * poll(2) and those like them return early. SIGTTIN and SIGTTOU are really ignored (SIG_IGN), since
 * a handler would make what they guard fail; programs that are executed other than by rsd_run() and
 * rsd_spawn() inherit that.
 *
 * @param signo  as for rsd_flag_signal(), and not SIGCHLD: to ignore that would take the exit status
 *               from all who wait for a child; see rsd_reap_children()
 * @return       0, or -1 with errno set and nothing changed; errno as for rsd_flag_signal()
 *
 * Thread-safe, but signal actions belong to the process. Not async-signal-safe. Since 0.1.
 */
int rsd_ignore_signal(int signo);

/**
 * Give a signal back: it does again what it did before rsd_flag_signal(), rsd_ignore_signal() or
 * install_signal_flags() was first called for it, and is blocked again in the calling thread if it
 * was blocked then. A handler that the program has installed since stays.
 *
 * @return  0, also when nothing was to be done, or -1 with errno set:
 *          EINVAL  signo is no signal
 *          or any errno of sigaction(2) and pthread_sigmask(3)
 *
 * Thread-safe, but signal actions belong to the process. Not async-signal-safe. Since 0.1.
 */
int rsd_restore_signal(int signo);

/**
 * Choose how a flagged signal is handled.
 *
 * @param signo    a signal that rsd_flag_signal() or install_signal_flags() has flagged
 * @param options  RSD_SIGNAL_... or-ed together; 0: neither. Flagging it again sets 0.
 * @return         0, or -1 with errno set and nothing changed:
 *                 EINVAL  signo is not flagged, or there is an unknown option, or
 *                         RSD_SIGNAL_SECOND_ENDS for SIGCHLD together with rsd_reap_children(),
 *                         or for a signal on which the log is reopened
 *                 or any errno of sigaction(2)
 *
 * Thread-safe, but signal actions belong to the process. Not async-signal-safe. Since 0.1.
 */
int rsd_set_signal_options(int signo, unsigned int options);

/**
 * Ask which flagged signals have arrived.
 *
 * Each call tells one signal number that has arrived since it was last told, the lowest first. It
 * neither looks at the flags nor takes a wake-up from rsd_wait() or rsd_fd().
 *
 * @param info  with its size set; filled in when the result is 1
 * @return      1, or 0 when there is none (more), or -1 with errno set:
 *              EINVAL  info is NULL or its size is too small
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_next_signal(struct rsd_signal_info *info);

/**
 * How many descriptors the service manager has passed to this process: RSD_LISTEN_FDS_START and those behind it.
 *
 * As sd_listen_fds(3), and also after the forks of rsd_daemonize(), which looks before them whether they are meant
 * for this process (LISTEN_PID, LISTEN_PIDFDID); call it before forks of your own. They become close-on-exec. After a
 * restart, those that the manager kept (rsd_notify_fds()) are among them.
 *
 * @return  0 or more; or -1 with errno set:
 *          EBADF   LISTEN_FDS tells of descriptors that are not open
 *          ENOMEM  there is no memory
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_listen_fds(void);

/**
 * The name of a descriptor that was passed.
 *
 * @param fd  RSD_LISTEN_FDS_START or one behind it
 * @return    what LISTEN_FDNAMES calls it, valid until the process ends; "unknown" where it has no name; NULL: it
 *            was not passed
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
const char *rsd_listen_fd_name(int fd);

/**
 * A socket to listen on: passed by whoever has started the daemon, or made here.
 *
 *     int http = rsd_listen(RSD_SOCKET(.name = "http", .address = "8080"));
 *
 * Looked for is, in this order, what was passed and not returned before: under the name, or at the address
 * (rsd_listen_fds()); then stdin, if inetd(8) has passed it for all connections ("wait"). Where nothing was passed it
 * is made: a port with SO_REUSEADDR; a path as rsd_open_control() does, so that of two daemons one fails, a stale
 * socket is replaced, and it is removed when the process exits normally, with PATH.lock beside it.
 * A type that does not fit is an error, whoever has made it.
 *
 * @param options  RSD_SOCKET(...), or a struct whose size member is set
 * @return         a close-on-exec descriptor, which waits in accept(2) unless the manager passed another;
 *                 or -1 with errno set:
 *                 EINVAL       options is NULL or lacks its size; the address is none; type or backlog is out of
 *                              range; or mode has other bits than permissions
 *                 EPROTOTYPE   what was passed is of another type, or does not listen
 *                 ENOTSOCK     what was passed under the name is no socket
 *                 ENOENT       nothing was passed, and there is no address
 *                 EADDRINUSE   somebody else listens there
 *                 E2BIG        the options are of a newer version
 *                 ENOTSOCK, EPERM, ... for a path as rsd_open_control()
 *                 or any errno of socket(2), bind(2), listen(2)
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_listen(const struct rsd_socket_options *options);

/**
 * Whether a descriptor is such a socket, as sd_is_socket(3).
 *
 * @param fd         the descriptor
 * @param family     AF_INET, AF_UNIX, ...; AF_UNSPEC (0): any
 * @param type       SOCK_STREAM, ...; 0: any
 * @param listening  1: it listens; 0: it does not; -1: either
 * @return           1, 0, or -1 with errno set: EBADF
 *
 * Thread-safe. Async-signal-safe. Since 0.1.
 */
int rsd_is_socket(int fd, int family, int type, int listening);

/**
 * Whether a descriptor is such an Internet socket, as sd_is_socket_inet(3).
 *
 * @param fd         the descriptor
 * @param family     AF_INET, AF_INET6; AF_UNSPEC (0): either
 * @param type       SOCK_STREAM, ...; 0: any
 * @param listening  1: it listens; 0: it does not; -1: either
 * @param port       the port it is bound to; 0: any
 * @return           1, 0, or -1 with errno set: EBADF; EINVAL: port is no port
 *
 * Thread-safe. Async-signal-safe. Since 0.1.
 */
int rsd_is_socket_inet(int fd, int family, int type, int listening, int port);

/**
 * Whether a descriptor is such a Unix socket, as sd_is_socket_unix(3).
 *
 * @param fd         the descriptor
 * @param type       SOCK_STREAM, ...; 0: any
 * @param listening  1: it listens; 0: it does not; -1: either
 * @param path       the path it is bound to, or "@" and an abstract name; NULL: any
 * @return           1, 0, or -1 with errno set: EBADF
 *
 * Thread-safe. Async-signal-safe. Since 0.1.
 */
int rsd_is_socket_unix(int fd, int type, int listening, const char *path);

/**
 * Whether a descriptor is a FIFO or a pipe, as sd_is_fifo(3).
 *
 * @param fd    the descriptor
 * @param path  where the FIFO stands; NULL: anywhere
 * @return      1, 0, or -1 with errno set: EBADF
 *
 * Thread-safe. Async-signal-safe. Since 0.1.
 */
int rsd_is_fifo(int fd, const char *path);

/**
 * Start this program anew, as it is on disk now, beside this daemon, and let it take over: an upgrade without a refused
 * connection, and without a moment in which nobody holds the pid file.
 *
 * The new process gets copies of what this library knows of: the locks of pid files, the control socket, the sockets
 * of rsd_listen() and those that were passed to rsd_listen_fds(). It runs main() from the start, with the same
 * environment, in the present working directory; its rsd_daemonize(), which does not fork there, or daemonize(),
 * rsd_lock_pidfile(), rsd_listen() and rsd_open_control() find what was handed over, where they are asked for the same
 * path or address. A Unix socket gets the mode and owner that are asked for there when the new process is the daemon.
 * A pid file keeps its mode and owner. Log files it opens anew; both may write to them. rsd_command() starts there,
 * whatever its word.
 *
 * This call returns when the new process has called rsd_ready() and stands in the pid files, and a service manager
 * (NOTIFY_SOCKET) was told of the new main process. Then the control socket, the pid files and the files of Unix sockets
 * are not this process's any more, and descriptors of rsd_lock_pidfile() are closed: it should close those that it
 * listens on, finish what its clients have begun, and return from main. Clients that connect meanwhile wait, or are
 * served by the new process. Until then the watchdog of the service manager is told for as long as this call waits.
 *
 * If the new process ends, gives up (rsd_fail()), or is not ready in time, it is ended with its process group, and this
 * process goes on as if nothing had been. A signal that ends a daemon (SIGTERM, SIGINT, SIGQUIT, SIGHUP) ends the
 * attempt, and is delivered; one that comes when the new process has the pid files already is sent to that. If this
 * process ends meanwhile, the new one serves.
 *
 * The pid changes, so this is for the background, and for the foreground under a manager that is told of it
 * (systemd); under s6, runit and as process 1 of a container the supervisor restarts the service instead. A new
 * process has only the rights that this one has kept: after rsd_drop_privileges() or rsd_sandbox() it must need no others.
 * A program that closes descriptors that it does not know, or executes another, before it calls this library, cannot take
 * over; one that calls daemonize(), which is ready at once, only what it has asked for before. Where somebody has removed
 * the file of a Unix socket, the new process cannot take it over, and the daemon has to be restarted.
 *
 * The callback of a control command may call it, and answers before this process ends: see c-examples/echo_server.c.
 *
 * @param argv        the path of the program and its arguments, with a NULL after the last. NULL: those of this process,
 *                    as they stand in its memory now, and the path by which it was executed, also a symbolic link;
 *                    where that was relative, or led elsewhere when it became a daemon, the path of its file
 * @param timeout_ms  how long the new process may take until it is ready, in milliseconds; -1: as long as it takes
 * @return            0: the new process is the daemon. -1, with errno set, and this one is:
 *                    EINVAL     timeout_ms is less than -1, or argv is empty
 *                    EPERM      this process is no daemon of rsd_daemonize() that is ready
 *                    ENOTSUP    it is process 1, or in the foreground without a manager that is told
 *                    ENOENT, EACCES, ... the program cannot be executed: execve(2)
 *                    ETIMEDOUT  the new process was not ready in time
 *                    ECHILD     it ended before, or gave up: rsd_last_error() has its text
 *                    EINTR      a signal has cancelled the start, or has told this process to end before
 *                    EBADF      the program has closed the lock of the pid file, or that of a Unix socket
 *                    E2BIG      more than 250 sockets and locks
 *                    or what rsd_daemonize() returns in the new process, or an errno of socketpair(2), vfork(2),
 *                    fork(2), and what tells the service manager (see rsd_notify())
 *
 * Not thread-safe: no other thread may use the library or change the environment meanwhile. Not async-signal-safe.
 * Since 0.1.
 */
int rsd_upgrade(char *const *argv,
                int timeout_ms);

/**
 * The version of the library that runs, which may be newer than the header's macros.
 *
 * @return "MAJOR.MINOR.PATCH"
 *
 * Thread-safe and async-signal-safe. Since 0.1.
 */
const char *rsd_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif

#if defined(__cplusplus) || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 199901L)
/**
 * Log a line: in the place of syslog(level, format, ...) and of fprintf(stderr, format, ...).
 *
 * As rsd_vlog(), which see. The levels stand in <syslog.h>.
 *
 * Thread-safe. Not async-signal-safe: see rsd_log_string(). Since 0.1.
 */
#ifdef __GNUC__
__attribute__((__format__(__printf__, 2, 3), __unused__))
#endif
static inline void rsd_log(int level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    rsd_vlog(level, format, arguments);
    va_end(arguments);
}

/**
 * Add to the answer of a request, as printf(3) would print it. As rsd_control_vprint(), which see.
 *
 * Not thread-safe: only for the thread of the callback. Not async-signal-safe. Since 0.1.
 */
#ifdef __GNUC__
__attribute__((__format__(__printf__, 2, 3), __unused__))
#endif
static inline int rsd_control_print(struct rsd_control_request *request, const char *format, ...)
{
    va_list arguments;
    int result;
    va_start(arguments, format);
    result = rsd_control_vprint(request, format, arguments);
    va_end(arguments);
    return result;
}

/**
 * Log at most `count` lines in `seconds` from this place in the program; what is more is held back, and the
 * first line after that time is preceded by one that tells how many were. RSD_LOG_LIMITED(10, 60,
 * LOG_WARNING, "%s: %m", name). It counts by CLOCK_MONOTONIC.
 */
#define RSD_LOG_LIMITED(count, seconds, level, ...) \
    do { \
        static struct rsd_log_site rsd_site_; \
        if (rsd_log_allows(&rsd_site_, (count), (seconds), (level))) \
            rsd_log((level), __VA_ARGS__); \
    } while (0)
#endif

#endif  /* RSDAEMON_H */
