//! Processes: forks, how a child ended, the attributes of this process.

use core::{
    ffi::{CStr, c_char, c_int, c_void},
    mem, ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering::SeqCst},
};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::{errno::Errno, unistd::Pid};

use super::{
    check,
    file::{self, OwnedFd, Text},
    load,
    signal::{self, How, Set},
    thread::{Guard, Mutex},
};

unsafe extern "C" {
    static mut environ: *const *const c_char;
    /// Defined in spawn.c, which says what it does.
    fn rsd_spawn_child(spawn: *mut Spawn) -> libc::pid_t;
    /// As above.
    fn rsd_execute(
        path: *const c_char,
        arguments: *const *mut c_char,
        environment: *const *mut c_char,
        fds: *mut c_int,
        count: c_int,
        ignored: u64,
    ) -> c_int;
    /// Defined in fork_twice.c, which says what it does.
    fn rsd_fork_twice(daemon: *mut libc::pid_t) -> libc::pid_t;
}

/// Whom a change of the process's rights is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All threads of this process.
    Process,
    /// This thread alone, by bare system calls: that of a child that borrows the memory of its parent (vfork(2)), in
    /// which no variable of ours or of the C library may change.
    Child,
}

/// Which side of the fork this is.
pub enum Fork {
    /// The new process.
    Daemon,
    /// The process that called, with the child to wait for and, where it is known, the daemon.
    Caller { child: libc::pid_t, daemon: Option<libc::pid_t> },
}

/// fork(2), and the child leads a new session.
pub fn fork_once() -> nix::Result<Fork> {
    // SAFETY: the child only makes system calls until its setup is done; it allocates nothing and
    // takes no lock.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Fork::Daemon),
        child => Ok(Fork::Caller { child, daemon: Some(child) }),
    }
}

/// Two forks with the session led by the first child, which has ended when the caller goes on.
pub fn fork_twice() -> nix::Result<Fork> {
    let mut daemon = 0;
    // SAFETY: `daemon` lives across the call, and the process that returns 0 has its own copy of
    // this memory. As after fork(2), it only makes system calls until its setup is done.
    match check(unsafe { rsd_fork_twice(&mut daemon) })? {
        0 => Ok(Fork::Daemon),
        child => Ok(Fork::Caller { child, daemon: (daemon > 0).then_some(daemon) }),
    }
}

/// What a spawned child is to be. Also in spawn.c, which says what it means.
#[repr(C)]
struct Spawn {
    argv: *const *mut c_char,
    environment: *const *mut c_char,
    path: *const c_char,
    stdio: [c_int; 3],
    prepare: Option<extern "C" fn(*mut c_void) -> c_int>,
    argument: *mut c_void,
    report: c_int,
    is_lent: c_int,
    failed: c_int,
}

/// The arguments of a command: at least one, and a NULL after the last.
#[derive(Clone, Copy)]
pub struct Arguments(*const *mut c_char);

impl Arguments {
    /// # Safety
    /// `argv` is as execve(2) wants it, for as long as this value is used. `None`: NULL or empty.
    pub unsafe fn new(argv: *const *mut c_char) -> Option<Self> {
        if argv.is_null() {
            return None;
        }
        // SAFETY: by our contract there is a first one, if only the NULL.
        let first = unsafe { *argv };
        (!first.is_null()).then_some(Arguments(argv))
    }

    pub fn as_ptr(&self) -> *const *mut c_char {
        self.0
    }

    /// The name of the command.
    pub fn first(&self) -> &CStr {
        // SAFETY: `new` saw that it is not NULL; by its contract it is a C string.
        unsafe { CStr::from_ptr(*self.0) }
    }
}

/// The variables of this process's environment, "NAME=VALUE", as long as nobody changes them.
pub fn environment() -> impl Iterator<Item = &'static CStr> {
    // SAFETY: nobody changes the environment meanwhile, as the header asks for.
    let mut next = unsafe { environ };
    core::iter::from_fn(move || {
        if next.is_null() {
            return None;
        }
        // SAFETY: not after the NULL at the end, at which we stay.
        let variable = unsafe { *next };
        if variable.is_null() {
            return None;
        }
        // SAFETY: another one follows, if only the NULL.
        next = unsafe { next.add(1) };
        // SAFETY: environ(7) points to C strings.
        Some(unsafe { CStr::from_ptr(variable) })
    })
}

/// In a process of our own: executes a program with clean signals, but for the ignored ones of these bits, and these descriptors alone, which stand on the numbers
/// from 3 on then, beside stdio. Returns only with an errno. Neither heap nor lock.
pub fn execute(
    path: &CStr,
    arguments: *const *mut c_char,
    environment: *const *mut c_char,
    fds: &mut [c_int],
    ignored: u64,
) -> Errno {
    // SAFETY: the pointers are as execve(2) wants them, by whoever has put them together, and signals are blocked.
    let errno = unsafe {
        let (start, count) = (fds.as_mut_ptr(), fds.len() as c_int);
        rsd_execute(path.as_ptr(), arguments, environment, start, count, ignored)
    };
    Errno::from_raw(errno)
}

/// What a child does last before it executes, in memory that it borrows: see `Scope::Child`.
pub type Prepare<'a> = &'a mut dyn FnMut() -> nix::Result<()>;

extern "C" fn prepare(argument: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes the address of one, which lives until the child executes.
    let prepare = unsafe { &mut *argument.cast::<Prepare>() };
    prepare().err().map_or(0, |errno| errno as c_int)
}

/// Executes a command in a process group of its own, with clean signals and these descriptors alone.
/// An errno is that of vfork(2), of execve(2), or of a call between.
pub fn spawn(
    arguments: Arguments,
    stdio: [BorrowedFd; 3],
    mut last: Option<Prepare>,
) -> nix::Result<libc::pid_t> {
    let (told, report) = file::pipe()?;
    let path = load::environment(c"PATH").unwrap_or(c"/bin:/usr/bin");
    // SAFETY: nobody changes the environment meanwhile, as the header asks for.
    let environment = unsafe { environ };
    let mut spawn = Spawn {
        argv: arguments.0,
        environment: environment.cast(),
        path: path.as_ptr(),
        stdio: stdio.map(|fd| fd.as_raw_fd()),
        prepare: last.is_some().then_some(prepare),
        argument: last.as_mut().map_or(ptr::null_mut(), |last| ptr::from_mut(last).cast()),
        report: report.as_raw_fd(),
        is_lent: 0,
        failed: 0,
    };
    let mask = signal::change_mask(How::Set, &Set::all())?;
    let was_dumpable = spawn.prepare.is_some() && is_dumpable() == Ok(true);
    // SAFETY: all pointers in it are valid across the call, and signals are blocked.
    let child = check(unsafe { rsd_spawn_child(&mut spawn) });
    if was_dumpable {
        // A child that becomes another user takes that from the memory, which was ours.
        let _ = set_dumpable(true);
    }
    let _ = signal::change_mask(How::Set, &mask);
    let child = child?;
    drop(report);
    if spawn.is_lent == 0 {
        // The other side of this is in the child's own memory. The pipe ends when it executes.
        let _ = nix::unistd::setpgid(Pid::from_raw(child), Pid::from_raw(child));
        let mut errno = [0; size_of::<c_int>()];
        if super::retry(|| nix::unistd::read(&told, &mut errno)) == Ok(errno.len()) {
            spawn.failed = c_int::from_ne_bytes(errno);
        }
    }
    match spawn.failed {
        0 => Ok(child),
        errno => {
            let _ = wait(Wait::Process(child), 0);
            Err(Errno::from_raw(errno))
        }
    }
}

/// Some child that has ended and that nobody has waited for. It stays so.
pub fn ended_child() -> Option<libc::pid_t> {
    // SAFETY: all zeros is a valid siginfo_t: integers and pointers.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is writable and lives across the call.
    check(unsafe { libc::waitid(libc::P_ALL, 0, &mut info, flags) }).ok()?;
    // SAFETY: waitid(2) fills in the fields of a child's siginfo, or leaves the zeros.
    let pid = unsafe { info.si_pid() };
    (pid > 0).then_some(pid)
}

/// A number for this process that none of its ancestors in memory has: a forked child has another
/// one. Unlike getpid(2) this is no system call, and tells apart two processes that are the first
/// of their namespaces. Async-signal-safe, except for the first call in a program.
#[inline(never)]
pub fn generation() -> u32 {
    /// A word that the kernel sets to 0 in a forked child (MADV_WIPEONFORK). Null: not made yet.
    static WORD: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
    /// No process up to this one has a higher number.
    static HIGHEST: AtomicU32 = AtomicU32::new(0);
    /// There are kernels without it (before Linux 4.14).
    static NONE: AtomicU32 = AtomicU32::new(u32::MAX);

    let mut word = WORD.load(SeqCst);
    if word.is_null() {
        let made = wiped_on_fork().unwrap_or((&raw const NONE).cast_mut());
        word = match WORD.compare_exchange(ptr::null_mut(), made, SeqCst, SeqCst) {
            Ok(_) => made,
            Err(first) => first, // a page is lost, once
        };
    }
    // SAFETY: not null, so a page that is never unmapped, or a static.
    let word = unsafe { &*word };
    match word.load(SeqCst) {
        0 => {
            let next = HIGHEST.fetch_add(1, SeqCst) + 1;
            match word.compare_exchange(0, next, SeqCst, SeqCst) {
                Ok(_) => next,
                Err(number) => number,
            }
        }
        u32::MAX => nix::unistd::getpid().as_raw() as u32,
        number => number,
    }
}

fn wiped_on_fork() -> Option<*mut AtomicU32> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let length = size_of::<AtomicU32>();
    // SAFETY: new memory, wherever there is room.
    let page = unsafe { libc::mmap(ptr::null_mut(), length, protection, kind, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the page just made.
    match unsafe { libc::madvise(page, length, libc::MADV_WIPEONFORK) } {
        0 => Some(page.cast()),
        _ => {
            // SAFETY: as above, and nobody knows of it.
            unsafe { libc::munmap(page, length) };
            None
        }
    }
}

/// A number in which stands what process wrote it: in a forked child it is 0 again, without anybody's
/// doing.
pub struct OfProcess(AtomicU64);

impl OfProcess {
    pub const fn new() -> Self {
        OfProcess(AtomicU64::new(0))
    }

    pub fn get(&self, process: u32) -> u32 {
        let [owner, number] = halves(self.0.load(SeqCst));
        if owner == process { number } else { 0 }
    }

    /// Returns the number before.
    pub fn change(&self, process: u32, change: impl Fn(u32) -> u32) -> u32 {
        let mut before = self.0.load(SeqCst);
        loop {
            let [owner, number] = halves(before);
            let number = if owner == process { number } else { 0 };
            let after = joined([process, change(number)]);
            match self.0.compare_exchange_weak(before, after, SeqCst, SeqCst) {
                Ok(_) => return number,
                Err(now) => before = now,
            }
        }
    }
}

pub fn halves(both: u64) -> [u32; 2] {
    [(both >> 32) as u32, both as u32]
}

pub fn joined([high, low]: [u32; 2]) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// A value of this process, shared by its threads. A forked child finds an empty one, and what it
/// has inherited is dropped: its copies of descriptors are closed, the parent keeps its own.
pub struct Own<T>(Mutex<(u32, Option<T>)>);

impl<T: Default + Send> Own<T> {
    pub const fn new() -> Self {
        Own(Mutex::new((0, None)))
    }

    pub fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        self.act_on(self.0.lock(), act)
    }

    /// As `with`, unless a thread is in it.
    pub fn try_with<R>(&self, act: impl FnOnce(&mut T) -> R) -> Option<R> {
        Some(self.act_on(self.0.try_lock()?, act))
    }

    fn act_on<R>(&self, mut guard: Guard<(u32, Option<T>)>, act: impl FnOnce(&mut T) -> R) -> R {
        act(self.of_this_process(&mut guard))
    }

    #[inline(never)] // for each kind of value, not for each use
    fn of_this_process<'a>(&self, (owner, value): &'a mut (u32, Option<T>)) -> &'a mut T {
        let generation = generation();
        if *owner != generation {
            *owner = generation;
            match self.0.was_torn() {
                true => mem::forget(value.take()),
                false => *value = None,
            }
        }
        value.get_or_insert_with(T::default)
    }
}

/// Which children to wait for.
#[derive(Clone, Copy)]
pub enum Wait<'a> {
    Process(libc::pid_t),
    Group(libc::pid_t),
    /// Linux 5.4.
    Pidfd(BorrowedFd<'a>),
}

/// How a child ended.
#[derive(Clone, Copy)]
pub enum End {
    Exited(i32),
    Killed { signo: i32, dumped_core: bool },
}

impl End {
    /// As waitpid(2) has it.
    pub fn status(self) -> c_int {
        match self {
            End::Exited(status) => (status & 0xff) << 8,
            End::Killed { signo, dumped_core } => signo | if dumped_core { 0x80 } else { 0 },
        }
    }
}

/// waitid(2) for children that ended. `Ok(None)`: none has yet (only with WNOHANG in `flags`).
#[inline(never)]
pub fn wait(which: Wait, flags: i32) -> nix::Result<Option<End>> {
    let (kind, id) = match which {
        Wait::Process(pid) => (libc::P_PID, pid),
        Wait::Group(group) => (libc::P_PGID, group),
        Wait::Pidfd(pidfd) => (libc::P_PIDFD, pidfd.as_raw_fd()),
    };
    // SAFETY: all zeros is a valid siginfo_t: integers and pointers.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    super::retry(|| {
        // SAFETY: `info` is writable and lives across the call.
        check(unsafe { libc::waitid(kind, id as libc::id_t, &mut info, libc::WEXITED | flags) })
    })?;
    // SAFETY: waitid(2) fills in the fields of a child's siginfo, or leaves the zeros.
    if unsafe { info.si_pid() } == 0 {
        return Ok(None);
    }
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    Ok(Some(if info.si_code == libc::CLD_EXITED {
        End::Exited(status)
    } else {
        End::Killed { signo: status, dumped_core: info.si_code == libc::CLD_DUMPED }
    }))
}

/// A descriptor that becomes readable when the process ends (Linux 5.3).
pub fn pidfd_open(pid: libc::pid_t) -> nix::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes no pointers. It returns an int, close-on-exec from birth.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    file::above_stdio(file::owned(fd as i32)?)
}

/// Sends a signal to the process of a pidfd and to no other that has its number by now (Linux 5.1).
/// 0 only asks whether that were possible.
pub fn pidfd_send_signal(pidfd: BorrowedFd, signo: c_int) -> nix::Result<()> {
    let (fd, info) = (pidfd.as_raw_fd(), ptr::null::<libc::siginfo_t>());
    // SAFETY: NULL stands for what kill(2) tells.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signo, info, 0) };
    check(sent as i32).map(drop)
}

/// Sends a signal, also a real-time one (nix knows only the others), to a child that nobody has waited for.
pub fn send_signal(pid: libc::pid_t, signo: c_int) -> nix::Result<()> {
    // SAFETY: kill(2) takes no pointers.
    check(unsafe { libc::kill(pid, signo) }).map(drop)
}

/// The signal that this process gets when the thread that made it ends (PR_SET_PDEATHSIG); 0: none.
pub fn parent_death_signal() -> nix::Result<c_int> {
    let mut signo: c_int = 0;
    // SAFETY: PR_GET_PDEATHSIG writes an int, which lives across the call.
    check(unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &mut signo) }).map(|_| signo)
}

/// From now on. ESRCH: the parent has ended already.
pub fn set_parent_death_signal(signo: c_int, parent: Pid) -> nix::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signo as libc::c_ulong) })?;
    if nix::unistd::getppid() == parent { Ok(()) } else { Err(Errno::ESRCH) }
}

/// Whether orphaned descendants become children of this process (PR_SET_CHILD_SUBREAPER).
pub fn is_subreaper() -> bool {
    let mut set: libc::c_int = 0;
    // SAFETY: PR_GET_CHILD_SUBREAPER writes an int, which lives across the call.
    unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &mut set) == 0 && set != 0 }
}

#[inline(never)]
pub fn set_subreaper(on: bool) -> nix::Result<()> {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes no pointers.
    let result = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, libc::c_ulong::from(on)) };
    check(result).map(drop)
}

/// Leaves at once, without exit handlers and without flushing stdio.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(status) }
}

/// What is done at a normal exit, also of a forked child.
pub struct AtExit {
    handler: extern "C" fn(),
    is_registered: AtomicBool,
}

impl AtExit {
    pub const fn new(handler: extern "C" fn()) -> Self {
        AtExit { handler, is_registered: AtomicBool::new(false) }
    }

    /// From now on. Not between fork and the end of the daemon's setup: it may allocate. ENOMEM when the C library
    /// has no room.
    pub fn register(&self) -> nix::Result<()> {
        if self.is_registered.swap(true, SeqCst) {
            return Ok(());
        }
        // SAFETY: the library is never unmapped (-z nodelete), so the handler outlives the process.
        match unsafe { libc::atexit(self.handler) } {
            0 => Ok(()),
            _ => {
                self.is_registered.store(false, SeqCst);
                Err(Errno::ENOMEM)
            }
        }
    }
}

/// Writes out what C's stdio has buffered, so that no two processes do.
pub fn flush_stdio() {
    // SAFETY: fflush(NULL) is allowed at any time outside signal handlers.
    unsafe { libc::fflush(core::ptr::null_mut()) };
}

/// No core dump shows this process's memory, and no other process of the user reads it (PR_SET_DUMPABLE), until it
/// executes a program. A change of ids sets this anew.
pub fn forbid_dumps() -> nix::Result<()> {
    if dumpable()? == 0 {
        return Ok(());
    }
    set_dumpable(false)?;
    if dumpable()? == 0 { Ok(()) } else { Err(Errno::EPERM) }
}

pub fn set_dumpable(on: bool) -> nix::Result<()> {
    // SAFETY: PR_SET_DUMPABLE takes no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(on)) }).map(drop)
}

/// By anybody of the user.
pub fn is_dumpable() -> nix::Result<bool> {
    dumpable().map(|dumpable| dumpable == 1)
}

/// 0: by nobody, 1: by the user, 2: by root alone.
fn dumpable() -> nix::Result<c_int> {
    // SAFETY: PR_GET_DUMPABLE takes no pointers.
    check(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) })
}

/// Whether there are other threads than this one. An error: nobody can tell.
pub fn has_threads() -> nix::Result<bool> {
    // unshare(2): does nothing in a process of one thread, and is refused in others.
    // SAFETY: no pointers.
    match check(unsafe { libc::unshare(libc::CLONE_THREAD) }) {
        Ok(_) => Ok(false),
        Err(Errno::EINVAL) => Ok(true),
        // A filter refuses it. A directory has a link for each subdirectory, and two more.
        Err(_) => nix::sys::stat::stat(c"/proc/self/task").map(|tasks| tasks.st_nlink > 3),
    }
}

/// Milliseconds of CLOCK_MONOTONIC.
pub fn monotonic_ms() -> i64 {
    (monotonic_us() as i64).wrapping_div(1000)
}

/// Microseconds of CLOCK_MONOTONIC.
#[inline(never)]
pub fn monotonic_us() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable and lives across the call; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000 + (now.tv_nsec as u64).wrapping_div(1000)
}

/// umask(2), which cannot fail. nix's panics on bits it does not know.
pub fn set_umask(mask: libc::mode_t) {
    // SAFETY: umask(2) takes no pointers.
    unsafe { libc::umask(mask) };
}

unsafe extern "C" {
    /// What was executed, without the folder; set before main.
    static program_invocation_short_name: *const c_char;
}

/// The path of this program's file: that by which it was executed, a symbolic link perhaps, if it still leads there.
pub fn program() -> nix::Result<Text> {
    let identity = |path: &CStr| nix::sys::stat::stat(path).map(load::Identity::from);
    // SAFETY: the kernel has put a string there, which is never changed by the C library.
    let executed = unsafe { libc::getauxval(libc::AT_EXECFN) as *const c_char };
    if !executed.is_null() {
        // SAFETY: as above.
        let executed = unsafe { CStr::from_ptr(executed) };
        let is_program =
            || identity(executed).is_ok_and(|it| Ok(it) == identity(c"/proc/self/exe"));
        if executed.to_bytes().starts_with(b"/") && is_program() {
            return Text::new(executed.to_bytes());
        }
    }
    let mut path = [0; libc::PATH_MAX as usize];
    let length = file::read_link(c"/proc/self/exe", &mut path)?;
    Text::new(path.get(..length).unwrap_or_default())
}

/// The name of this program.
pub fn name() -> &'static CStr {
    // SAFETY: the C library has set it, and the program may only set it to another C string.
    let name = unsafe { program_invocation_short_name };
    if name.is_null() {
        return c"";
    }
    // SAFETY: not NULL, so a C string that lives as long as the process.
    unsafe { CStr::from_ptr(name) }
}
