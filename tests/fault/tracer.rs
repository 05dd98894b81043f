//! A start of a program with its processes traced from birth, and one of its calls made to fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::CommandExt,
    process::Command,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::{
    BEGIN, Blow, Fault, Marker, Program,
    calls::{self, Way},
};

/// All processes of one start; they are killed on drop. Every use must be in the thread that made
/// it: only that one is their tracer.
pub struct Start {
    tracees: BTreeMap<Pid, Tracee>,
    /// In the order in which they were made, the launcher first.
    roles: Vec<Pid>,
    /// Stopped children whose parent has not been heard of yet.
    newborn: BTreeSet<Pid>,
    /// The calls of each, by number, since main() or since it was made.
    calls: Vec<Vec<i64>>,
    ends: BTreeMap<Pid, WaitStatus>,
    ready: Option<Marker>,
    fault: Option<Fault>,
    hit: Option<i64>,
    daemon: Option<Pid>,
    /// The children that the first process has left, running or not waited for, when it ends itself.
    left: Vec<&'static str>,
    killer: Killer,
}

#[derive(Default)]
struct Tracee {
    /// The SIGSTOP that every traced child starts with has been seen.
    is_started: bool,
    is_counted: bool,
    is_released: bool,
    result: Option<Errno>,
    /// What a changed first argument was.
    argument: Option<u64>,
}

impl Start {
    pub fn new(mut command: Command, program: &Program, fault: Option<Fault>) -> Self {
        // SAFETY: only system calls, which are allowed after fork.
        unsafe { command.pre_exec(prepare) };
        let launcher = Pid::from_raw(command.spawn().unwrap().id() as i32);
        let mut start = Start {
            tracees: BTreeMap::new(),
            roles: Vec::new(),
            newborn: BTreeSet::new(),
            calls: Vec::new(),
            ends: BTreeMap::new(),
            ready: program.ready(),
            fault,
            hit: None,
            daemon: None,
            left: Vec::new(),
            killer: Killer::new(program.deadline),
        };
        start.register(launcher);
        start.tracees.get_mut(&launcher).unwrap().is_started = true;
        let stop = waitpid(launcher, Some(WaitPidFlag::__WALL)).unwrap();
        assert_eq!(stop, WaitStatus::Stopped(launcher, Signal::SIGTRAP));
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(launcher, options).unwrap();
        start.resume(launcher, None);
        start
    }

    /// Waits until the first process has ended. How, and which others were alive at that moment.
    pub fn first_end(&mut self) -> (WaitStatus, Vec<usize>) {
        let first = *self.roles.first().unwrap();
        while !self.ends.contains_key(&first) {
            self.step();
        }
        let alive = |pid: &Pid| self.tracees.contains_key(pid) && !is_zombie(*pid);
        let roles = self.roles.iter().enumerate().filter(|(_, pid)| alive(pid));
        (self.ends[&first], roles.map(|(role, _)| role).collect())
    }

    /// Waits until all have ended but the daemon, which is stopped where it is ready.
    pub fn settle(&mut self) -> Option<Pid> {
        while self.tracees.keys().any(|&pid| Some(pid) != self.daemon) {
            self.step();
        }
        self.daemon.filter(|pid| self.tracees.contains_key(pid))
    }

    /// Lets the daemon go on, ends it by SIGTERM, and waits. How it ended.
    pub fn stop(&mut self, daemon: Pid) -> WaitStatus {
        self.tracees.get_mut(&daemon).unwrap().is_released = true;
        let _ = kill(daemon, Signal::SIGTERM);
        self.resume(daemon, None);
        while !self.tracees.is_empty() {
            self.step();
        }
        self.ends[&daemon]
    }

    pub fn calls(&self) -> &[Vec<i64>] {
        &self.calls
    }

    /// The number of the call that was made to fail, if it came to that.
    pub fn hit(&self) -> Option<i64> {
        self.hit
    }

    /// The children that the first process has left when it ended itself.
    pub fn left(&self) -> &[&'static str] {
        &self.left
    }

    pub fn has_hung(&self) -> bool {
        self.killer.has_killed()
    }

    fn register(&mut self, pid: Pid) {
        // Children count from their birth, the launcher from main().
        let is_counted = !self.roles.is_empty();
        self.tracees.insert(pid, Tracee { is_counted, ..Tracee::default() });
        self.roles.push(pid);
        self.calls.push(Vec::new());
        self.killer.add(pid);
    }

    /// Waits for one event and handles it.
    fn step(&mut self) {
        // Other threads have children and tracees of their own.
        match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
            Ok(WaitStatus::PtraceSyscall(pid)) => self.at_call(pid),
            Ok(WaitStatus::PtraceEvent(pid, _, event)) => self.at_event(pid, event),
            Ok(WaitStatus::Stopped(pid, signal)) => self.at_signal(pid, signal),
            Ok(end @ (WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _))) => {
                self.killer.forget(pid);
                self.newborn.remove(&pid);
                if self.tracees.remove(&pid).is_some() {
                    self.ends.insert(pid, end);
                }
            }
            Ok(other) => panic!("unexpected: {other:?}"),
            Err(Errno::EINTR) => {}
            Err(error) => panic!("waitpid: {error}, with {} processes", self.tracees.len()),
        }
    }

    fn at_event(&mut self, pid: Pid, event: i32) {
        if event == libc::PTRACE_EVENT_EXEC {
            // What it calls from here on is up to another program.
            self.tracees.get_mut(&pid).unwrap().is_released = true;
        } else {
            // An error means that it has been killed meanwhile, here and below.
            if let Ok(child) = ptrace::getevent(pid) {
                let child = Pid::from_raw(child as i32);
                self.register(child);
                if self.newborn.remove(&child) {
                    self.at_signal(child, Signal::SIGSTOP);
                }
            }
        }
        self.resume(pid, None);
    }

    fn at_signal(&mut self, pid: Pid, signal: Signal) {
        let Some(tracee) = self.tracees.get_mut(&pid) else {
            self.newborn.insert(pid);
            self.killer.add(pid);
            return;
        };
        if signal == Signal::SIGSTOP && !std::mem::replace(&mut tracee.is_started, true) {
            return self.resume(pid, None);
        }
        // ptrace(2): a stop of the whole process has no siginfo.
        let is_group_stop = ptrace::getsiginfo(pid) == Err(Errno::EINVAL);
        self.resume(pid, (!is_group_stop).then_some(signal));
    }

    fn at_call(&mut self, pid: Pid) {
        let Ok(info) = ptrace::syscall_info(pid) else { return };
        if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY {
            // SAFETY: the kernel says that this is the member.
            let entry = unsafe { info.u.entry };
            return self.at_entry(pid, entry.nr as i64, entry.args[0] as i32);
        }
        let tracee = self.tracees.get_mut(&pid).unwrap();
        if let Some(errno) = tracee.result.take() {
            change_registers(pid, |registers| registers.rax = -(errno as i64) as u64);
        }
        if let Some(argument) = tracee.argument.take() {
            change_registers(pid, |registers| registers.rdi = argument);
        }
        self.resume(pid, None);
    }

    fn at_entry(&mut self, pid: Pid, number: i64, argument: i32) {
        let role = self.roles.iter().position(|&known| known == pid).unwrap();
        let tracee = self.tracees.get_mut(&pid).unwrap();
        if !tracee.is_counted {
            tracee.is_counted = BEGIN.is_at(number, argument);
            return self.resume(pid, None);
        }
        if role > 0 && self.ready.is_some_and(|ready| ready.is_at(number, argument)) {
            self.daemon = Some(pid);
            return; // it stays stopped here
        }
        if role == 0 && number == libc::SYS_exit_group {
            self.left = children(pid);
        }
        let calls = self.calls.get_mut(role).unwrap();
        calls.push(number);
        let is_here = |fault: &Fault| (fault.role, fault.index + 1) == (role, calls.len());
        if let Some(fault) = self.fault.filter(is_here) {
            self.hit = Some(number);
            match fault.blow {
                Blow::Kill => {
                    let _ = kill(pid, Signal::SIGKILL);
                    return;
                }
                Blow::Fail(errno) | Blow::FailFromHereOn(errno) => tracee.fail(pid, number, errno),
            }
        } else if let (Some(Blow::FailFromHereOn(errno)), true) =
            (self.fault.map(|fault| fault.blow), self.hit == Some(number))
        {
            tracee.fail(pid, number, errno);
        }
        self.resume(pid, None);
    }

    fn resume(&self, pid: Pid, signal: Option<Signal>) {
        let is_released = self.tracees.get(&pid).is_some_and(|tracee| tracee.is_released);
        let result = match is_released {
            true => ptrace::cont(pid, signal),
            false => ptrace::syscall(pid, signal),
        };
        assert!(matches!(result, Ok(()) | Err(Errno::ESRCH)), "cannot resume {pid}: {result:?}");
    }
}

impl Tracee {
    /// At the entry of a call.
    fn fail(&mut self, pid: Pid, number: i64, errno: Errno) {
        match calls::by_number(number).way {
            Way::Skipped => {
                change_registers(pid, |registers| registers.orig_rax = u64::MAX);
                self.result = Some(errno);
            }
            Way::Done => self.result = Some(errno),
            // The program may rely on its argument afterwards: no call changes that register.
            Way::OldBreak => change_registers(pid, |registers| {
                self.argument = Some(registers.rdi);
                registers.rdi = 0;
            }),
        }
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        for &pid in self.tracees.keys().chain(&self.newborn) {
            let _ = kill(pid, Signal::SIGKILL);
        }
        while !self.tracees.is_empty() || !self.newborn.is_empty() {
            self.step();
        }
        // Orphans have become children of this process, of whichever thread.
        for &pid in &self.roles {
            let _ = waitpid(pid, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG));
        }
    }
}

fn change_registers(pid: Pid, change: impl FnOnce(&mut libc::user_regs_struct)) {
    if let Ok(mut registers) = ptrace::getregs(pid) {
        change(&mut registers);
        let _ = ptrace::setregs(pid, registers);
    }
}

/// What the children of a process are that is stopped.
fn children(pid: Pid) -> Vec<&'static str> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let pids = list.split_whitespace().map(|child| Pid::from_raw(child.parse().unwrap()));
    pids.map(|child| if is_zombie(child) { "zombie" } else { "child running" }).collect()
}

fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
}

/// In the new process, before it executes the program: whatever started the test, the program
/// inherits no descriptors but stdio, no ignored and no blocked signals.
pub fn inherit_nothing() -> std::io::Result<()> {
    // SAFETY: these calls take no pointers, or point to locals.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        for signo in 1..=libc::SIGRTMAX() {
            // Not by the C library, which keeps some signals to itself.
            libc::syscall(libc::SYS_rt_sigaction, signo, &[0u64; 4], 0, 8);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        libc::umask(0o077);
    }
    Ok(())
}

fn prepare() -> std::io::Result<()> {
    inherit_nothing()?;
    Ok(ptrace::traceme()?)
}

/// Kills all processes of a start when the time is up: waitpid(2) has no timeout.
struct Killer {
    pids: Arc<Mutex<(BTreeSet<Pid>, bool)>>,
    _until_dropped: mpsc::Sender<()>,
}

impl Killer {
    fn new(deadline: Duration) -> Self {
        let pids = Arc::new(Mutex::new((BTreeSet::new(), false)));
        let (sender, receiver) = mpsc::channel();
        let shared = Arc::clone(&pids);
        thread::spawn(move || {
            while receiver.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout) {
                let mut shared = shared.lock().unwrap();
                shared.1 = true;
                for &pid in &shared.0 {
                    let _ = kill(pid, Signal::SIGKILL);
                }
            }
        });
        Killer { pids, _until_dropped: sender }
    }

    fn add(&self, pid: Pid) {
        let mut pids = self.pids.lock().unwrap();
        pids.0.insert(pid);
        if pids.1 {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }

    fn forget(&self, pid: Pid) {
        self.pids.lock().unwrap().0.remove(&pid);
    }

    fn has_killed(&self) -> bool {
        self.pids.lock().unwrap().1
    }
}
