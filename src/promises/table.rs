//! Which words give which system call: any one of them. What stands here under NONE no word gives.

use super::{
    checks::{Check, LISTS, id},
    words::*,
};

/// A system call.
#[derive(Clone, Copy)]
pub struct Call {
    pub number: u16,
    words: Words,
    /// In the list of its table.
    check: u8,
}

/// What is not to be there, so that a program does without: the filter could not see what it is told to do.
const MISSING: Words = Words(1 << 15);

/// Newer ones are not known here, and answer as from an old kernel.
pub(crate) const LAST: u32 = 469;

/// Those that the libc crate lacks for some of the architectures.
#[allow(non_upper_case_globals)]
mod numbers {
    pub use libc::*;
    pub(crate) const SYS_cachestat: i64 = 451;
    pub(crate) const SYS_fchmodat2: i64 = 452;
    pub(crate) const SYS_map_shadow_stack: i64 = 453;
    pub(crate) const SYS_futex_wake: i64 = 454;
    pub(crate) const SYS_futex_wait: i64 = 455;
    pub(crate) const SYS_futex_requeue: i64 = 456;
    pub(crate) const SYS_statmount: i64 = 457;
    pub(crate) const SYS_listmount: i64 = 458;
    pub(crate) const SYS_lsm_get_self_attr: i64 = 459;
    pub(crate) const SYS_lsm_set_self_attr: i64 = 460;
    pub(crate) const SYS_lsm_list_modules: i64 = 461;
    pub(crate) const SYS_mseal: i64 = 462;
    pub(crate) const SYS_setxattrat: i64 = 463;
    pub(crate) const SYS_getxattrat: i64 = 464;
    pub(crate) const SYS_listxattrat: i64 = 465;
    pub(crate) const SYS_removexattrat: i64 = 466;
    pub(crate) const SYS_open_tree_attr: i64 = 467;
    pub(crate) const SYS_file_getattr: i64 = 468;
    pub(crate) const SYS_file_setattr: i64 = 469;
    #[cfg(target_arch = "aarch64")]
    pub(crate) const SYS_renameat: i64 = 38;
    #[cfg(target_arch = "aarch64")]
    pub(crate) const SYS_sync_file_range: i64 = 84;
    #[cfg(target_arch = "aarch64")]
    pub(crate) const SYS_getrlimit: i64 = 163;
    #[cfg(target_arch = "aarch64")]
    pub(crate) const SYS_setrlimit: i64 = 164;
    #[cfg(target_arch = "riscv64")]
    pub(crate) const SYS_riscv_hwprobe: i64 = 258;
    #[cfg(target_arch = "riscv64")]
    pub(crate) const SYS_riscv_flush_icache: i64 = 259;
    #[cfg(target_arch = "riscv64")]
    pub(crate) const SYS_kexec_file_load: i64 = 294;
}

macro_rules! table {
    ($calls:ident, $names:ident: $($words:expr, $check:ident => $($name:ident)+;)+) => {
        static $calls: &[Call] = &[$($(
            Call { number: numbers::$name as u16, words: $words, check: id::$check },
        )+)+];
        /// In the same order, SYS_ before each.
        static $names: &str = concat!($($(stringify!($name), " "),+),+);
    };
}

impl Call {
    /// One of these is needed, whatever the arguments are.
    pub fn words(&self) -> Words {
        self.words
    }

    pub fn checks(&self) -> &'static [Check] {
        LISTS.get(usize::from(self.check)).copied().unwrap_or_default()
    }

    /// Answers ENOSYS, whatever is promised.
    pub fn is_missing(&self) -> bool {
        self.words == MISSING
    }
}

pub fn calls() -> impl Iterator<Item = &'static Call> {
    COMMON.iter().chain(LOCAL)
}

/// A system call and its name, by number.
pub fn find(number: u32) -> Option<(&'static Call, &'static [u8])> {
    let names = COMMON_NAMES.as_bytes().split(|&byte| byte == b' ').take(COMMON.len());
    let local = LOCAL_NAMES.as_bytes().split(|&byte| byte == b' ');
    let (call, name) =
        calls().zip(names.chain(local)).find(|(call, _)| u32::from(call.number) == number)?;
    Some((call, name.get(4..).unwrap_or_default()))
}

table! { COMMON, COMMON_NAMES:
    EXIT, PLAIN => SYS_exit SYS_exit_group SYS_restart_syscall SYS_rt_sigreturn;
    STDIO, PLAIN =>
        SYS_brk SYS_cachestat SYS_capget SYS_clock_getres SYS_clock_gettime SYS_clock_nanosleep SYS_close
        SYS_close_range SYS_copy_file_range SYS_dup SYS_dup3 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait
        SYS_epoll_pwait2 SYS_eventfd2 SYS_fadvise64 SYS_fallocate SYS_fchdir SYS_fdatasync SYS_fgetxattr
        SYS_flistxattr SYS_flock SYS_fstat SYS_fstatfs SYS_fsync SYS_ftruncate SYS_futex SYS_futex_requeue
        SYS_futex_wait SYS_futex_waitv SYS_futex_wake SYS_get_mempolicy SYS_get_robust_list SYS_getcpu SYS_getcwd
        SYS_getegid SYS_geteuid SYS_getgid SYS_getgroups SYS_getitimer SYS_getpeername SYS_getpgid SYS_getpid
        SYS_getppid SYS_getpriority SYS_getrandom SYS_getresgid SYS_getresuid SYS_getrusage SYS_getsid
        SYS_getsockname SYS_getsockopt SYS_gettid SYS_gettimeofday SYS_getuid SYS_inotify_init1 SYS_inotify_rm_watch
        SYS_ioprio_get SYS_landlock_add_rule SYS_landlock_create_ruleset SYS_landlock_restrict_self SYS_lseek
        SYS_lsm_get_self_attr SYS_lsm_list_modules SYS_madvise SYS_map_shadow_stack SYS_mbind SYS_membarrier
        SYS_memfd_create SYS_mincore SYS_mlock SYS_mlock2 SYS_mlockall SYS_mremap SYS_mseal SYS_msync SYS_munlock
        SYS_munlockall SYS_munmap SYS_nanosleep SYS_pidfd_open SYS_pipe2 SYS_pkey_alloc SYS_pkey_free SYS_ppoll
        SYS_pread64 SYS_preadv SYS_preadv2 SYS_pselect6 SYS_pwrite64 SYS_pwritev SYS_pwritev2 SYS_read SYS_readahead
        SYS_readv SYS_recvfrom SYS_recvmmsg SYS_recvmsg SYS_rseq SYS_rt_sigaction SYS_rt_sigpending
        SYS_rt_sigprocmask SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_sched_get_priority_max
        SYS_sched_get_priority_min SYS_sched_getaffinity SYS_sched_getattr SYS_sched_getparam SYS_sched_getscheduler
        SYS_sched_rr_get_interval SYS_sched_yield SYS_seccomp SYS_sendfile SYS_sendmmsg SYS_sendmsg SYS_sendto
        SYS_set_mempolicy SYS_set_robust_list SYS_set_tid_address SYS_setitimer SYS_shutdown SYS_sigaltstack
        SYS_signalfd4 SYS_splice SYS_sync SYS_syncfs SYS_sysinfo SYS_tee SYS_timer_create SYS_timer_delete
        SYS_timer_getoverrun SYS_timer_gettime SYS_timer_settime SYS_timerfd_create SYS_timerfd_gettime
        SYS_timerfd_settime SYS_times SYS_umask SYS_uname SYS_vmsplice SYS_wait4 SYS_waitid SYS_write SYS_writev;
    STDIO, FCNTL => SYS_fcntl;
    STDIO, FSTATAT => SYS_newfstatat;
    STDIO, IOCTL => SYS_ioctl;
    STDIO, KILL => SYS_kill SYS_rt_sigqueueinfo;
    STDIO, PERSONALITY => SYS_personality;
    STDIO, PRCTL => SYS_prctl;
    STDIO, PRLIMIT => SYS_prlimit64;
    STDIO, PROTECTION => SYS_mmap SYS_mprotect SYS_pkey_mprotect;
    STDIO, SOCKETPAIR => SYS_socketpair;
    STDIO, UNSHARE => SYS_unshare;
    STDIO, STATX => SYS_statx;
    STDIO, TGKILL => SYS_rt_tgsigqueueinfo SYS_tgkill;
    STDIO, TKILL => SYS_tkill;
    STDIO.or(PROC), CLONE => SYS_clone;
    RPATH, PLAIN =>
        SYS_chdir SYS_file_getattr SYS_getxattr SYS_getxattrat SYS_inotify_add_watch SYS_lgetxattr SYS_listmount
        SYS_listxattr SYS_listxattrat SYS_llistxattr SYS_name_to_handle_at SYS_statfs SYS_statmount;
    RPATH.or(DNS), PLAIN => SYS_faccessat SYS_faccessat2 SYS_getdents64 SYS_readlinkat;
    RPATH.or(WPATH).or(CPATH).or(DNS), OPENAT => SYS_openat;
    WPATH, PLAIN => SYS_truncate;
    CPATH, PLAIN => SYS_linkat SYS_mkdirat SYS_renameat2 SYS_symlinkat SYS_unlinkat;
    CPATH, MKNODAT => SYS_mknodat;
    FATTR, PLAIN =>
        SYS_fchmod SYS_fchmodat SYS_fchmodat2 SYS_fchown SYS_fchownat SYS_file_setattr SYS_fremovexattr
        SYS_fsetxattr SYS_lremovexattr SYS_lsetxattr SYS_removexattr SYS_removexattrat SYS_setxattr SYS_setxattrat
        SYS_utimensat;
    INET.or(UNIX).or(DNS), PLAIN => SYS_bind SYS_connect SYS_setsockopt;
    INET.or(UNIX).or(DNS), SOCKET => SYS_socket;
    INET.or(UNIX), PLAIN => SYS_accept SYS_accept4 SYS_listen;
    PROC, PLAIN =>
        SYS_ioprio_set SYS_pidfd_send_signal SYS_sched_setaffinity SYS_sched_setattr SYS_sched_setparam
        SYS_sched_setscheduler SYS_setpgid SYS_setsid;
    PROC.or(ID), PLAIN => SYS_setpriority;
    EXEC, PLAIN => SYS_execve SYS_execveat;
    ID, PLAIN =>
        SYS_capset SYS_setfsgid SYS_setfsuid SYS_setgid SYS_setgroups SYS_setregid SYS_setresgid SYS_setresuid
        SYS_setreuid SYS_setuid;
    MISSING, PLAIN => SYS_clone3 SYS_io_uring_enter SYS_io_uring_register SYS_io_uring_setup SYS_openat2;
    NONE, PLAIN =>
        SYS_acct SYS_add_key SYS_adjtimex SYS_bpf SYS_chroot SYS_clock_adjtime SYS_clock_settime SYS_delete_module
        SYS_fanotify_init SYS_fanotify_mark SYS_finit_module SYS_fsconfig SYS_fsmount SYS_fsopen SYS_fspick
        SYS_init_module SYS_io_cancel SYS_io_destroy SYS_io_getevents SYS_io_setup SYS_io_submit SYS_kcmp
        SYS_kexec_load SYS_keyctl SYS_lookup_dcookie SYS_lsm_set_self_attr SYS_memfd_secret SYS_migrate_pages
        SYS_mount SYS_mount_setattr SYS_move_mount SYS_move_pages SYS_mq_getsetattr SYS_mq_notify SYS_mq_open
        SYS_mq_timedreceive SYS_mq_timedsend SYS_mq_unlink SYS_msgctl SYS_msgget SYS_msgrcv SYS_msgsnd
        SYS_nfsservctl SYS_open_by_handle_at SYS_open_tree SYS_open_tree_attr SYS_perf_event_open SYS_pidfd_getfd
        SYS_pivot_root SYS_process_madvise SYS_process_mrelease SYS_process_vm_readv SYS_process_vm_writev
        SYS_ptrace SYS_quotactl SYS_quotactl_fd SYS_reboot SYS_remap_file_pages SYS_request_key SYS_semctl
        SYS_semget SYS_semop SYS_semtimedop SYS_set_mempolicy_home_node SYS_setdomainname SYS_sethostname SYS_setns
        SYS_settimeofday SYS_shmat SYS_shmctl SYS_shmdt SYS_shmget SYS_swapoff SYS_swapon SYS_syslog SYS_umount2
        SYS_userfaultfd SYS_vhangup;
}

#[cfg(target_arch = "x86_64")]
table! { LOCAL, LOCAL_NAMES:
    STDIO, PLAIN =>
        SYS_alarm SYS_arch_prctl SYS_dup2 SYS_epoll_create SYS_epoll_wait SYS_eventfd SYS_getpgrp SYS_getrlimit
        SYS_inotify_init SYS_pause SYS_pipe SYS_poll SYS_select SYS_signalfd SYS_sync_file_range SYS_time;
    RPATH.or(DNS), PLAIN => SYS_access SYS_getdents SYS_lstat SYS_readlink SYS_stat;
    RPATH.or(WPATH).or(CPATH).or(DNS), OPEN => SYS_open;
    WPATH, CREAT => SYS_creat;
    CPATH, PLAIN => SYS_link SYS_mkdir SYS_rename SYS_renameat SYS_rmdir SYS_symlink SYS_unlink;
    CPATH, MKNOD => SYS_mknod;
    FATTR, PLAIN => SYS_chmod SYS_chown SYS_futimesat SYS_lchown SYS_utime SYS_utimes;
    PROC, PLAIN => SYS_fork SYS_vfork;
    PROC.or(ID), PLAIN => SYS_setrlimit;
    NONE, PLAIN =>
        SYS__sysctl SYS_afs_syscall SYS_epoll_ctl_old SYS_epoll_wait_old SYS_get_thread_area SYS_getpmsg SYS_ioperm
        SYS_iopl SYS_kexec_file_load SYS_modify_ldt SYS_putpmsg SYS_security SYS_set_thread_area SYS_sysfs
        SYS_tuxcall SYS_uselib SYS_ustat SYS_vserver;
}

#[cfg(target_arch = "aarch64")]
table! { LOCAL, LOCAL_NAMES:
    STDIO, PLAIN => SYS_getrlimit SYS_sync_file_range;
    CPATH, PLAIN => SYS_renameat;
    PROC.or(ID), PLAIN => SYS_setrlimit;
    NONE, PLAIN => SYS_kexec_file_load;
}

#[cfg(target_arch = "riscv64")]
table! { LOCAL, LOCAL_NAMES:
    STDIO, PLAIN => SYS_getrlimit SYS_riscv_flush_icache SYS_riscv_hwprobe SYS_sync_file_range;
    PROC.or(ID), PLAIN => SYS_setrlimit;
    NONE, PLAIN => SYS_kexec_file_load;
}
