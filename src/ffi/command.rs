//! The C face of commands that the program runs.

use core::{
    ffi::{c_char, c_int, c_uint, c_void},
    ptr, slice,
};

use nix::errno::Errno;

use super::{
    boundary::{self, run},
    main_loop::call,
    sandbox::{self, rsd_sandbox_options},
};
use crate::{
    command::{self, Client, Finished, Options, Outcome, Output},
    error::{Error, Result},
    main_loop,
    sys::{callback::Callback, process::Arguments},
};

/// How rsd_run() and rsd_spawn() run a command. What is left out (0, NULL) has its default. Write
/// it with RSD_RUN_OPTIONS(), which fills in the size.
#[repr(C)]
pub struct rsd_run_options {
    /// sizeof(struct rsd_run_options): how much of it the program knows.
    pub size: usize,
    /// What the command reads from stdin; copied. NULL: /dev/null.
    pub input: *const c_void,
    /// Its length in bytes.
    pub input_length: usize,
    /// How many bytes are kept of stdout, and as many of stderr; the rest is read and dropped. 0: 65536.
    pub output_limit: usize,
    /// Not 0: stderr goes where stdout goes, in the order of writing.
    pub merge_stderr: c_int,
    /// How long the command may run, in milliseconds. 0: as long as it likes.
    pub timeout_ms: c_uint,
    /// How long a command that is ended by SIGTERM may take until SIGKILL comes, in milliseconds. 0: 5000.
    pub kill_after_ms: c_uint,
    /// Not 0: the command is run although a shutdown flag is raised, and is not ended by one: for
    /// what cleans up.
    pub during_shutdown: c_int,
    /// RSD_SANDBOX(...): what the command gives up, the last before it is executed, as rsd_sandbox() has it.
    /// Programs that it executes may do no more. promises must have exec, and access must allow x for the
    /// program and rx for its libraries. Dumps are not concerned, which executing allows again. A cgroup
    /// with limits needs a group above it that has no processes. NULL: nothing.
    pub sandbox: *const rsd_sandbox_options,
}

/// How a command ended, and what it wrote.
#[repr(C)]
pub struct rsd_result {
    /// Its pid, which it has no more.
    pub pid: c_int,
    /// As of waitpid(2), for WIFEXITED() and its like; -1 if that is not known: somebody else in this
    /// process has waited for the command, or nobody can because SIGCHLD is ignored, or SIGKILL could
    /// not end it.
    pub status: c_int,
    /// 0, or why it was ended: ETIMEDOUT, or ECANCELED for a shutdown or rsd_end_command().
    pub error: c_int,
    /// What it wrote to stdout, and a NUL after it.
    pub out: *const c_char,
    /// Bytes, without that NUL.
    pub out_length: usize,
    /// Not 0: there was more, which is lost.
    pub out_is_cut: c_int,
    /// What it wrote to stderr, and a NUL after it.
    pub err: *const c_char,
    /// Bytes, without that NUL.
    pub err_length: usize,
    /// Not 0: there was more, which is lost.
    pub err_is_cut: c_int,
}

/// Called from rsd_dispatch() or rsd_wait() when a command of rsd_spawn() has ended.
///
/// @param result  valid until the callback returns
/// @param arg     as given to rsd_spawn()
#[allow(non_camel_case_types)] // as C has it
pub type rsd_run_callback =
    Option<unsafe extern "C" fn(result: *const rsd_result, arg: *mut c_void)>;

/// Run a command to its end, without a shell.
///
/// The command is searched in PATH if argv[0] has no slash (there is no way through /bin/sh for what
/// the kernel cannot execute). It starts with clean signals (none blocked, all at their defaults), in
/// a process group of its own, with stdin, stdout and stderr and no other descriptor. It has the
/// environment, working directory, umask and user of this process. However large this process is, its
/// memory is not copied.
///
/// While the command runs, the call does what rsd_wait() does: signals set their flags, callbacks are
/// called. The command has ended when its first process has; what others of it still write later is
/// lost. After timeout_ms, or when a shutdown flag is raised (see rsd_flag_signal(); also one that was
/// raised before), its process group gets SIGTERM, and SIGKILL when it is not gone kill_after_ms
/// later.
///
/// @param argv     the command and its arguments, ended by NULL
/// @param options  NULL: the defaults
/// @param result   what it wrote, for rsd_free_result(); NULL: it does not matter. *result is set also
///                 when the call fails: to NULL if the command was not run
/// @return         the status as of waitpid(2), as from system(3): 0 is success; or -1 with errno set:
///                 EINVAL     argv is NULL or empty, or options has a wrong size, or input is NULL
///                            but has a length
///                 ETIMEDOUT  the time was over
///                 ECANCELED  a shutdown flag is raised, or rsd_end_command() was called
///                 E2BIG      options is of a newer version than this library, or as of execve(2)
///                 ECHILD     somebody else in this process has waited for the command, or nobody
///                            can because SIGCHLD is ignored
///                 ENOENT, EACCES, ENOEXEC or another errno of execve(2)
///                 EAGAIN, EMFILE, ENFILE, ENOMEM or another errno of pipe(2), memfd_create(2),
///                 vfork(2), or as for rsd_fd(), or of rsd_sandbox(): the command was not run
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_run(
    argv: *const *mut c_char,
    options: *const rsd_run_options,
    result: *mut *mut rsd_result,
) -> c_int {
    if !result.is_null() {
        // SAFETY: not NULL, so by the contract of this function a writable pointer.
        unsafe { result.write(ptr::null_mut()) };
    }
    run(|| {
        // SAFETY: by the contract of this function both are as they should be, or NULL.
        let (arguments, given) = unsafe { (read_arguments(argv)?, boundary::options(options)?) };
        // SAFETY: as above.
        let options = unsafe { convert(&given) }?;
        let outcome = main_loop::run(arguments, &options, call)?;
        let (status, error) = (outcome.status, outcome.error);
        if !result.is_null() {
            // SAFETY: as above.
            unsafe { result.write(Reported::allocate(outcome)?) };
        }
        match error {
            Some(errno) => Err(command::ended_by(errno)),
            None if status == -1 => Err(command::lost()),
            None => Ok(status),
        }
    })
}

/// Start a command, and be told when it has ended.
///
/// As rsd_run(), but returns when the command is executed; the rest is done by rsd_dispatch() and
/// rsd_wait(). If another thread dispatches, the callback may be called before this call returns.
///
/// @param argv      as for rsd_run()
/// @param options   as for rsd_run()
/// @param callback  called once, unless this call fails
/// @param arg       handed to it
/// @return          the pid of the command, or -1 with errno set as for rsd_run(), and EINVAL if
///                  callback is NULL; not ETIMEDOUT, not ECHILD
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_spawn(
    argv: *const *mut c_char,
    options: *const rsd_run_options,
    callback: rsd_run_callback,
    arg: *mut c_void,
) -> c_int {
    run(|| {
        // SAFETY: by the contract of this function both are as they should be, or NULL.
        let (arguments, given) = unsafe { (read_arguments(argv)?, boundary::options(options)?) };
        // SAFETY: as above.
        let options = unsafe { convert(&given) }?;
        let function = callback.ok_or_else(|| Error::invalid("callback is NULL"))?;
        let client = Client::Callback(Callback { function, arg });
        command::start(arguments, &options, client).map(|(_, pid)| pid)
    })
}

/// End a command of rsd_spawn() as if its time were over, but with ECANCELED. Its callback is called
/// when it is gone.
///
/// @return  0, also if it is being ended already, or -1 with errno set:
///          ENOENT  pid is no command that runs
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn rsd_end_command(pid: c_int) -> c_int {
    run(|| command::end(pid).map(|()| 0))
}

/// Free what rsd_run() returned.
///
/// @param result  may be NULL
///
/// Thread-safe. Not async-signal-safe. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsd_free_result(result: *mut rsd_result) {
    if !result.is_null() {
        // SAFETY: by the contract of this function `Reported::allocate` made it.
        unsafe { Reported::free(result.cast()) };
    }
}

/// # Safety
/// `argv` is NULL or as execve(2) wants it.
unsafe fn read_arguments(argv: *const *mut c_char) -> Result<Arguments> {
    // SAFETY: our contract.
    unsafe { Arguments::new(argv) }.ok_or_else(|| Error::invalid("argv is NULL or empty"))
}

/// # Safety
/// `input` is NULL or has `input_length` bytes, and `sandbox` is as for `sandbox::read`, for 'a.
unsafe fn convert<'a>(c: &rsd_run_options) -> Result<Options<'a>> {
    let mut options = Options {
        merge_stderr: c.merge_stderr != 0,
        timeout_ms: (c.timeout_ms != 0).then_some(c.timeout_ms),
        during_shutdown: c.during_shutdown != 0,
        sandbox: match c.sandbox.is_null() {
            true => None,
            // SAFETY: our contract.
            false => Some(unsafe { sandbox::read(c.sandbox) }?),
        },
        ..Options::default()
    };
    options.input = match (c.input.is_null(), c.input_length) {
        (true, 0) => None,
        (true, _) => return Err(Error::invalid("input is NULL but input_length is not 0")),
        (false, length) if isize::try_from(length).is_err() => {
            return Err(Error::invalid("input_length is out of range"));
        }
        // SAFETY: our contract.
        (false, length) => Some(unsafe { slice::from_raw_parts(c.input.cast(), length) }),
    };
    if c.output_limit != 0 {
        options.output_limit = c.output_limit.min(isize::MAX as usize >> 1);
    }
    if c.kill_after_ms != 0 {
        options.kill_after_ms = c.kill_after_ms;
    }
    Ok(options)
}

/// What C is given, and behind it what it points to.
#[repr(C)]
struct Reported {
    result: rsd_result,
    outcome: Outcome,
}

impl Reported {
    fn new(outcome: Outcome) -> Self {
        let text = |output: &Output| match output.bytes.as_ptr().is_null() {
            true => c"".as_ptr(),
            false => output.bytes.as_ptr().cast(),
        };
        let result = rsd_result {
            pid: outcome.pid,
            status: outcome.status,
            error: outcome.error.map_or(0, |errno| errno as c_int),
            out: text(&outcome.out),
            out_length: outcome.out.bytes.len(),
            out_is_cut: outcome.out.is_cut.into(),
            err: text(&outcome.err),
            err_length: outcome.err.bytes.len(),
            err_is_cut: outcome.err.is_cut.into(),
        };
        Reported { result, outcome }
    }

    fn allocate(outcome: Outcome) -> Result<*mut rsd_result> {
        // SAFETY: malloc(3) has no preconditions.
        let place = unsafe { libc::malloc(size_of::<Self>()) }.cast::<Self>();
        if place.is_null() {
            return Err(Error::cannot(Errno::ENOMEM, "return the result of a command"));
        }
        // SAFETY: malloc(3) made room for it.
        unsafe { place.write(Reported::new(outcome)) };
        Ok(place.cast())
    }

    /// # Safety
    /// `allocate` made it, and it is used no more.
    unsafe fn free(place: *mut Self) {
        // SAFETY: our contract.
        unsafe { place.drop_in_place() };
        // SAFETY: as above.
        unsafe { libc::free(place.cast()) };
    }
}

/// Calls the callback of a command that has ended.
pub fn tell(finished: Finished) {
    let reported = Reported::new(finished.outcome);
    let Callback { function, arg } = finished.callback;
    // SAFETY: by the contract of rsd_spawn the function takes these; the result lives across the call.
    unsafe { function(&reported.result, arg) };
    drop(reported.outcome);
}
