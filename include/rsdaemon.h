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
#endif

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
     * Not 0: no fork, no session; everything else happens. For a terminal, or a supervisor.
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
};

#ifdef __cplusplus
extern "C" {
#endif

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
 * With foreground there is no fork: the call returns 0 or -1 in the process that called, which
 * after -1 may be half way and must end.
 *
 * @param options  RSD_OPTIONS(...), or a struct whose size member is set; NULL: all defaults
 * @return         0 in the daemon; -1 in the process that called, with errno set as for daemonize()
 *                 and also:
 *                 EINVAL     an option is out of range, or no such user or group, or user is root
 *                 E2BIG      the options are of a newer version and ask for what this one lacks, or
 *                            the user has more than 1024 groups
 *                 ETIMEDOUT  the daemon was not ready in time and was ended
 *                 EPERM      privileges cannot be given up, or could be had back
 *                 or any errno of getpwnam(3), setgroups(2), setresuid(2)
 *
 * Not thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_daemonize(const struct rsd_options *options);

/**
 * Say that the daemon is ready: the process that called rsd_daemonize() leaves with status 0.
 *
 * Call it when the daemon does its work: sockets bound, configuration read, privileges given up.
 * A pid file that was to wait for this appears, and so do kept stdout and stderr go to their place.
 * Without rsd_daemonize() and when called again it does nothing.
 *
 * @return 0, or -1 with errno set, and the daemon should end (rsd_fail(1, rsd_last_error())):
 *         ECANCELED  whoever started the daemon is gone, and the pid file is removed; or rsd_fail()
 *                    was called before
 *         EPERM      called in a child of the daemon
 *         EBADF      the program has closed descriptors of this library
 *         or, with RSD_PIDFILE_AT_READY, any errno of lock_pidfile()
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
 * waits any more, and only the pid file is removed. Without rsd_daemonize(), and in a child of the
 * daemon, nothing happens. The call does not end the process.
 *
 * @param status  1 to 255; anything else counts as 1
 * @param text    one line; NULL: none. Longer than 4096 bytes is cut.
 * @return        the status
 *
 * Thread-safe. Not async-signal-safe. Since 0.1.
 */
int rsd_fail(int status, const char *text);

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

#if !defined(RSDAEMON_NO_DROP_IN_NAMES)
/**
 * Let signals set variables of the program.
 *
 * SIGTERM and SIGINT set *shutdown_flag to 1, SIGHUP sets *reload_flag to 1; the program looks at
 * them in its loop and sets *reload_flag back to 0 itself. SIGPIPE is ignored, so that writing to a
 * closed connection fails with EPIPE instead of ending the daemon; programs that it executes inherit
 * that. The handled signals are unblocked in the calling thread, also where the caller of the
 * program had them blocked or ignored. They interrupt system calls: sleep(3) returns early, others
 * fail with EINTR. The handler stores and does nothing else.
 *
 * A signal that arrives between the look at the flag and the sleep that follows is seen only after
 * that sleep, as with every flag.
 *
 * Call it before or after daemonize(), before threads are started. A second call moves the flags.
 *
 * @param shutdown_flag  a variable that lives as long as the process
 * @param reload_flag    the same; NULL: SIGHUP is ignored
 * @return               0, or -1 with errno set and nothing changed:
 *                       EINVAL  shutdown_flag is NULL
 *                       or any errno of sigaction(2) and pthread_sigmask(3)
 *
 * Not thread-safe: signal actions belong to the process. Not async-signal-safe. Since 0.1.
 */
int install_signal_flags(volatile sig_atomic_t *shutdown_flag,
                         volatile sig_atomic_t *reload_flag);
#endif

/**
 * install_signal_flags() under a name that no program has for itself.
 */
int rsd_install_signal_flags(volatile sig_atomic_t *shutdown_flag,
                             volatile sig_atomic_t *reload_flag);

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

#endif  /* RSDAEMON_H */
