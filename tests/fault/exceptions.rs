//! Outcomes that look wrong and are all that can be had. Each has its reason.

use nix::errno::Errno;

use super::{Blow, Fault};

struct Exception {
    /// The system call, or several with | between.
    call: &'static str,
    /// What strace shows of its arguments, or a part of that.
    arguments: &'static str,
    blow: fn(Blow) -> bool,
    /// The whole of what is wrong.
    outcome: &'static str,
    reason: &'static str,
}

static EXCEPTIONS: &[Exception] = &[
    Exception {
        call: "sendto",
        arguments: "MSG_NOSIGNAL",
        blow: |_| true,
        outcome: "does not say why but \"the daemon exited with status 1 before it was ready\"",
        reason: "what failed is the sending of the reason",
    },
    Exception {
        call: "recvfrom",
        arguments: "MSG_DONTWAIT",
        blow: |blow| blow.errno() == Some(Errno::ECONNRESET),
        outcome: "does not say why but \"the daemon closed the descriptors of its library before it \
                  was ready\"",
        reason: "a daemon that closed its end looks like that",
    },
    Exception {
        call: "flock",
        arguments: "LOCK_EX|LOCK_NB",
        blow: |blow| blow == Blow::Fail(Errno::EAGAIN),
        outcome: "does not say why but \"cannot lock ./daemon.pid: No locks available\"",
        reason: "the file has no name yet, so nobody else can have locked it",
    },
    Exception {
        call: "newfstatat",
        arguments: "AT_",
        blow: is_from_here_on,
        outcome: "the start left daemon.pid",
        reason: "a file is only removed when it is known to be ours; the next start takes it over",
    },
    Exception {
        call: "newfstatat",
        arguments: "AT_",
        blow: is_from_here_on,
        outcome: "does not say why but \"the daemon exited with status 1 before it was ready\"",
        reason: "the reason is only sent on a descriptor that is known to be ours",
    },
    Exception { call: "read", arguments: "", blow: |_| true, outcome: LOST, reason: LOST_REASON },
    Exception {
        call: "newfstatat",
        arguments: "S_IFIFO",
        blow: |_| true,
        outcome: LOST,
        reason: LOST_REASON,
    },
    Exception {
        call: "pidfd_open",
        arguments: "",
        blow: |blow| blow.errno() == Some(Errno::ESRCH),
        outcome: "does not say why but \"cannot watch a child: No child processes\"",
        reason: "a child that is not there has been waited for",
    },
    Exception {
        call: "waitid",
        arguments: "P_PIDFD",
        blow: is_nobody_to_wait,
        outcome: "does not say why but \"nobody knows how the command ended: somebody else has waited \
                  for it, or SIGCHLD is ignored\"",
        reason: UNWAITED_REASON,
    },
    Exception {
        call: "waitid",
        arguments: "P_PIDFD",
        blow: is_nobody_to_wait,
        outcome: "does not say why but \"somebody else has waited for the child: No child processes\"",
        reason: UNWAITED_REASON,
    },
    Exception {
        call: "waitid",
        arguments: "P_PIDFD",
        blow: is_nobody_to_wait,
        outcome: "does not say why but \"somebody else has waited for the command: No child processes\"",
        reason: UNWAITED_REASON,
    },
    Exception {
        call: "waitid",
        arguments: "P_PIDFD",
        blow: is_nobody_to_wait,
        outcome: "left a zombie",
        reason: UNWAITED_REASON,
    },
    Exception {
        call: "fcntl",
        arguments: "F_",
        blow: |blow| matches!(blow.errno(), Some(Errno::EACCES | Errno::EAGAIN)),
        outcome: LONG,
        reason: "a file whose lock somebody has is being rotated, and written on meanwhile",
    },
    Exception {
        call: "openat",
        arguments: "O_WRONLY|O_NOCTTY|O_NONBLOCK",
        blow: |blow| blow == Blow::Fail(Errno::ENOENT),
        outcome: LONG,
        reason: UNSEEN_REASON,
    },
    Exception {
        call: "newfstatat",
        arguments: "AT_SYMLINK_NOFOLLOW",
        blow: |blow| matches!(blow, Blow::Fail(_)),
        outcome: LONG,
        reason: UNSEEN_REASON,
    },
    Exception {
        call: "newfstatat",
        arguments: "AT_EMPTY_PATH",
        blow: |blow| matches!(blow, Blow::Fail(_)),
        outcome: "left log.3",
        reason: "a descriptor that may be the program's stays open, and its file counts as written to",
    },
    Exception {
        call: "flock",
        arguments: "LOCK_EX|LOCK_NB",
        blow: |blow| blow == Blow::Fail(Errno::EAGAIN),
        outcome: "left log.3",
        reason: "a file that somebody has locked is written to",
    },
    Exception {
        call: "flock",
        arguments: "LOCK_EX|LOCK_NB",
        blow: |blow| blow == Blow::Fail(Errno::EAGAIN),
        outcome: "does not say why but \"cannot lock socket.lock: No locks available\"",
        reason: "the file has no name yet, so nobody else can have locked it",
    },
    Exception {
        call: "bind",
        arguments: "AF_UNIX",
        blow: |blow| blow.errno() == Some(Errno::EADDRINUSE),
        outcome: "does not say why but \"cannot use socket: another process serves it\"",
        reason: "what that errno means is said",
    },
    Exception {
        call: "newfstatat",
        arguments: "AT_",
        blow: is_from_here_on,
        outcome: "status 1 and said \"fault_control: cannot examine socket: (why)\\n\
                  but there is a file\\n\"",
        reason: SOCKET_LEFT_REASON,
    },
    Exception {
        call: "newfstatat|unlinkat",
        arguments: "",
        blow: |_| true,
        outcome: "status 0 and printed \"answered, socket is left\\n\"",
        reason: SOCKET_LEFT_REASON,
    },
    Exception {
        call: "newfstatat|unlinkat",
        arguments: "",
        blow: |_| true,
        outcome: "status 0 and printed \"answered, lock is left\\n\"",
        reason: SOCKET_LEFT_REASON,
    },
    Exception {
        call: "newfstatat",
        arguments: "AT_EMPTY_PATH",
        blow: is_from_here_on,
        outcome: "status 0 and printed \"not answered, socket is left\\n\"",
        reason: UNANSWERED_REASON,
    },
    Exception {
        call: "socket|connect|sendto|shutdown|poll|read|accept4|getsockopt|recvfrom|epoll_ctl",
        arguments: "",
        blow: is_from_here_on,
        outcome: "status 0 and printed \"not answered, nothing is left\\n\"",
        reason: UNANSWERED_REASON,
    },
];

const SOCKET_LEFT_REASON: &str =
    "a file is only removed when it is known to be ours; the next start takes it over";
const UNANSWERED_REASON: &str =
    "a client that can never be reached is not answered, and the daemon goes on";

fn is_from_here_on(blow: Blow) -> bool {
    matches!(blow, Blow::FailFromHereOn(_))
}

const LONG: &str = "a file is longer than allowed, and no reason is told";
const UNSEEN_REASON: &str =
    "a file that is not seen in its place was rotated by somebody else; the next line looks again";

const LOST: &str = "does not say why but \"the output of the command was lost\"";
const LOST_REASON: &str = "that output is lost is told by is_cut, without an errno";

const UNWAITED_REASON: &str =
    "a child that the kernel lets nobody wait for has an unknown status, and stays a zombie";

fn is_nobody_to_wait(blow: Blow) -> bool {
    blow.errno() == Some(Errno::ECHILD) || matches!(blow, Blow::FailFromHereOn(_))
}

/// Why this outcome is accepted, if it is.
pub fn reason(fault: Fault, call: &str, outcome: &str) -> Option<&'static str> {
    let exception = EXCEPTIONS.iter().find(|exception| {
        exception.call.split('|').any(|name| call.split('(').next() == Some(name))
            && call.contains(exception.arguments)
            && (exception.blow)(fault.blow)
            && outcome == exception.outcome
    });
    exception.map(|exception| exception.reason)
}
