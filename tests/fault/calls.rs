//! Which system calls can fail, and how: the errnos that their manual pages list and that a machine
//! in trouble gives, and the two that a seccomp filter answers.

use nix::{
    errno::Errno::{self, *},
    libc,
};

/// What becomes of a call that is to fail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It does not happen.
    Skipped,
    /// It happens, and the result is a lie: what close(2) fails to close is closed all the same.
    Done,
    /// brk(2) fails by telling the old end.
    OldBreak,
}

pub struct Call {
    pub name: &'static str,
    pub number: i64,
    /// Besides ENOSYS and EPERM. None: it cannot fail.
    errnos: Option<&'static [Errno]>,
    pub way: Way,
}

impl Call {
    /// With what it is made to fail.
    pub fn errnos(&self) -> Vec<Errno> {
        let Some(errnos) = self.errnos else { return Vec::new() };
        if self.way != Way::Skipped {
            return errnos.to_vec();
        }
        let refusals = [ENOSYS, EPERM].into_iter().filter(|refusal| !errnos.contains(refusal));
        errnos.iter().copied().chain(refusals).collect()
    }

    /// Those that do not go away by trying again.
    pub fn lasting_errnos(&self) -> Vec<Errno> {
        let is_lasting = |errno: &Errno| !matches!(errno, EINTR | EAGAIN | EEXIST);
        self.errnos().into_iter().filter(is_lasting).collect()
    }
}

pub fn by_number(number: i64) -> &'static Call {
    let call = CALLS.iter().find(|call| call.number == number);
    call.unwrap_or_else(|| panic!("system call {number} is missing in the table of calls"))
}

pub fn name(number: i64) -> String {
    let call = CALLS.iter().find(|call| call.number == number);
    call.map_or_else(|| format!("system call {number}"), |call| call.name.to_owned())
}

const fn call(name: &'static str, number: i64, errnos: &'static [Errno]) -> Call {
    Call { name, number, errnos: Some(errnos), way: Way::Skipped }
}

const fn sure(name: &'static str, number: i64) -> Call {
    Call { name, number, errnos: None, way: Way::Skipped }
}

static CALLS: &[Call] = &[
    call("access", libc::SYS_access, &[EACCES, ENOENT, EIO]),
    call(
        "accept4",
        libc::SYS_accept4,
        &[EINTR, EAGAIN, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM],
    ),
    call("bind", libc::SYS_bind, &[EACCES, EADDRINUSE, ENOENT, ENOMEM, EROFS]),
    Call { way: Way::OldBreak, ..call("brk", libc::SYS_brk, &[ENOMEM]) },
    call("chdir", libc::SYS_chdir, &[EACCES, ENOENT, EIO]),
    call("clock_nanosleep", libc::SYS_clock_nanosleep, &[EINTR]),
    call("clock_gettime", libc::SYS_clock_gettime, &[EINVAL]),
    call("clone", libc::SYS_clone, &[EAGAIN, ENOMEM]),
    call("clone3", libc::SYS_clone3, &[EAGAIN, ENOMEM]),
    Call { way: Way::Done, ..call("close", libc::SYS_close, &[EIO, EINTR, ENOSPC, EDQUOT]) },
    call("close_range", libc::SYS_close_range, &[EINVAL, EMFILE, ENOMEM]),
    call("connect", libc::SYS_connect, &[EINTR, ENOENT, ECONNREFUSED, EAGAIN, EACCES]),
    call("dup", libc::SYS_dup, &[EMFILE]),
    call("dup2", libc::SYS_dup2, &[EBUSY, EINTR, EMFILE]),
    call("dup3", libc::SYS_dup3, &[EBUSY, EINTR, EMFILE]),
    call("epoll_create1", libc::SYS_epoll_create1, &[EMFILE, ENFILE, ENOMEM]),
    call("epoll_ctl", libc::SYS_epoll_ctl, &[ENOMEM, ENOSPC]),
    call("epoll_wait", libc::SYS_epoll_wait, &[EINTR]),
    call("eventfd2", libc::SYS_eventfd2, &[EMFILE, ENFILE, ENODEV, ENOMEM]),
    call(
        "execve",
        libc::SYS_execve,
        &[EACCES, ENOENT, ENOMEM, E2BIG, EIO, ENOEXEC, ETXTBSY, EAGAIN],
    ),
    call("fchdir", libc::SYS_fchdir, &[EACCES, EIO]),
    call("fchmod", libc::SYS_fchmod, &[EIO, EROFS]),
    call("fchmodat", libc::SYS_fchmodat, &[EIO, EROFS, ENOENT]),
    call("fchown", libc::SYS_fchown, &[EIO, EROFS, EINVAL]),
    call("fchownat", libc::SYS_fchownat, &[EIO, EROFS, EINVAL]),
    call("fcntl", libc::SYS_fcntl, &[EMFILE, EACCES, EAGAIN, EINTR, EINVAL, ENOLCK, ENOMEM]),
    call("flock", libc::SYS_flock, &[EINTR, ENOLCK, EAGAIN, EIO, EOPNOTSUPP]),
    call("fork", libc::SYS_fork, &[EAGAIN, ENOMEM]),
    call("fstat", libc::SYS_fstat, &[EACCES, EIO, ENOMEM]),
    call("fsync", libc::SYS_fsync, &[EIO, ENOSPC, EINTR]),
    call("ftruncate", libc::SYS_ftruncate, &[EINTR, EIO]),
    call("futex", libc::SYS_futex, &[EINTR, EAGAIN]),
    call("getdents64", libc::SYS_getdents64, &[EIO, ENOENT]),
    call("capget", libc::SYS_capget, &[EINVAL]),
    call("rseq", libc::SYS_rseq, &[EINVAL, EBUSY]),
    call("getgroups", libc::SYS_getgroups, &[EINVAL]),
    call("getresgid", libc::SYS_getresgid, &[EFAULT]),
    call("getresuid", libc::SYS_getresuid, &[EFAULT]),
    call("getcwd", libc::SYS_getcwd, &[ENOENT, EACCES]),
    call("getrandom", libc::SYS_getrandom, &[EAGAIN, EINTR]),
    call("getsockopt", libc::SYS_getsockopt, &[ENOBUFS, ENOPROTOOPT]),
    call("kill", libc::SYS_kill, &[ESRCH]),
    call("link", libc::SYS_link, &[EEXIST, ENOSPC, EACCES, EIO, EROFS]),
    call("linkat", libc::SYS_linkat, &[EEXIST, ENOSPC, EACCES, EIO, EROFS, ENOENT, EDQUOT, EMLINK]),
    call("listen", libc::SYS_listen, &[EADDRINUSE, ENOBUFS]),
    call("lseek", libc::SYS_lseek, &[ESPIPE]),
    call("madvise", libc::SYS_madvise, &[EINVAL, ENOMEM]),
    call("memfd_create", libc::SYS_memfd_create, &[EMFILE, ENFILE, ENOMEM]),
    call("mmap", libc::SYS_mmap, &[ENOMEM]),
    call("mprotect", libc::SYS_mprotect, &[ENOMEM, EACCES]),
    call("mremap", libc::SYS_mremap, &[ENOMEM]),
    call("munmap", libc::SYS_munmap, &[ENOMEM]),
    call("newfstatat", libc::SYS_newfstatat, &[EACCES, EIO, ENOENT, ENOMEM]),
    call("open", libc::SYS_open, OPEN),
    call("openat", libc::SYS_openat, OPEN),
    call("pidfd_open", libc::SYS_pidfd_open, &[EMFILE, ENFILE, ENODEV, ENOMEM, EINVAL, ESRCH]),
    call("pidfd_send_signal", libc::SYS_pidfd_send_signal, &[ESRCH]),
    call("pipe", libc::SYS_pipe, &[EMFILE, ENFILE]),
    call("pipe2", libc::SYS_pipe2, &[EMFILE, ENFILE]),
    call("poll", libc::SYS_poll, &[EINTR, ENOMEM, EINVAL]),
    call("ppoll", libc::SYS_ppoll, &[EINTR, ENOMEM, EINVAL]),
    call("prctl", libc::SYS_prctl, &[EINVAL]),
    call("pread64", libc::SYS_pread64, &[EIO, EINTR]),
    call("prlimit64", libc::SYS_prlimit64, &[]),
    call("pwrite64", libc::SYS_pwrite64, &[ENOSPC, EIO, EINTR, EDQUOT, EFBIG]),
    call("read", libc::SYS_read, &[EIO, EINTR]),
    call("readlink", libc::SYS_readlink, &[EACCES, ENOENT, EIO]),
    call("recvfrom", libc::SYS_recvfrom, &[EINTR, EAGAIN, ENOMEM, ECONNRESET]),
    call("recvmsg", libc::SYS_recvmsg, &[EINTR, EAGAIN, ENOMEM, ECONNRESET]),
    call("rename", libc::SYS_rename, &[EACCES, ENOENT, EBUSY, ENOSPC, EROFS, EIO]),
    call("renameat2", libc::SYS_renameat2, &[EACCES, EEXIST, EINVAL, ENOSPC, EROFS]),
    call("rt_sigaction", libc::SYS_rt_sigaction, &[EINVAL]),
    call("rt_sigprocmask", libc::SYS_rt_sigprocmask, &[EINVAL]),
    call("rt_sigtimedwait", libc::SYS_rt_sigtimedwait, &[EINTR, EAGAIN]),
    call(
        "sendmsg",
        libc::SYS_sendmsg,
        &[EINTR, ENOBUFS, ENOMEM, EPIPE, ECONNRESET, ECONNREFUSED, ENOTCONN, EAGAIN, EMSGSIZE],
    ),
    call("sendto", libc::SYS_sendto, &[EINTR, ENOBUFS, ENOMEM, EPIPE, ECONNRESET]),
    call("set_robust_list", libc::SYS_set_robust_list, &[]),
    call("setgid", libc::SYS_setgid, &[]),
    call("setgroups", libc::SYS_setgroups, &[ENOMEM]),
    call("setpgid", libc::SYS_setpgid, &[EACCES, ESRCH]),
    call("setresgid", libc::SYS_setresgid, &[EAGAIN]),
    call("setresuid", libc::SYS_setresuid, &[EAGAIN]),
    call("setsid", libc::SYS_setsid, &[EPERM]),
    call("setuid", libc::SYS_setuid, &[EAGAIN]),
    call("sigaltstack", libc::SYS_sigaltstack, &[EINVAL]),
    call("shutdown", libc::SYS_shutdown, &[ENOTCONN]),
    call("signalfd4", libc::SYS_signalfd4, &[EMFILE, ENFILE, ENODEV, ENOMEM, EINVAL]),
    call("socket", libc::SYS_socket, &[EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES]),
    call("socketpair", libc::SYS_socketpair, &[EMFILE, ENFILE, ENOMEM, EAFNOSUPPORT]),
    call("statx", libc::SYS_statx, &[EACCES, EIO, ENOMEM]),
    call("stat", libc::SYS_stat, &[EACCES, EIO, ENOENT, ENOMEM]),
    call("tgkill", libc::SYS_tgkill, &[EAGAIN]),
    call("timerfd_create", libc::SYS_timerfd_create, &[EMFILE, ENFILE, ENODEV, ENOMEM]),
    call("timerfd_settime", libc::SYS_timerfd_settime, &[EINVAL]),
    call("unlink", libc::SYS_unlink, &[EACCES, EIO, EROFS, EBUSY]),
    call("unlinkat", libc::SYS_unlinkat, &[EACCES, EIO, EROFS, EBUSY]),
    call("unshare", libc::SYS_unshare, &[EPERM, ENOSYS]),
    call("vfork", libc::SYS_vfork, &[EAGAIN, ENOMEM]),
    call("wait4", libc::SYS_wait4, &[EINTR, ECHILD]),
    call("waitid", libc::SYS_waitid, &[EINTR, ECHILD, EINVAL]),
    call("write", libc::SYS_write, &[ENOSPC, EIO, EINTR, EPIPE]),
    call("writev", libc::SYS_writev, &[ENOSPC, EIO, EINTR, EPIPE]),
    sure("exit", libc::SYS_exit),
    sure("exit_group", libc::SYS_exit_group),
    sure("getegid", libc::SYS_getegid),
    sure("geteuid", libc::SYS_geteuid),
    sure("getgid", libc::SYS_getgid),
    sure("getpid", libc::SYS_getpid),
    sure("getppid", libc::SYS_getppid),
    sure("getuid", libc::SYS_getuid),
    sure("gettid", libc::SYS_gettid),
    sure("rt_sigreturn", libc::SYS_rt_sigreturn),
    sure("sched_yield", libc::SYS_sched_yield),
    sure("umask", libc::SYS_umask),
];

const OPEN: &[Errno] = &[
    EACCES, EMFILE, ENFILE, ENOENT, ENOSPC, EINTR, EROFS, ENOMEM, EIO, ELOOP, EOPNOTSUPP, EISDIR,
    EINVAL, EDQUOT,
];
