//! Signal flags: variables of the program's own that a signal sets to 1.

use crate::{
    error::{OrCannot, Result},
    sys::{
        load,
        signal::{self, Action, How, Set},
    },
};
use libc::{SIGHUP, SIGINT, SIGPIPE, SIGTERM, c_int};

/// Where a flag stands; null: there is none.
pub type FlagPointer = *mut c_int;

/// SIGTERM and SIGINT set `shutdown`, SIGHUP sets `reload` or is ignored, SIGPIPE is ignored.
/// All or nothing: after a failure everything is as it was.
pub fn install_flags(shutdown: FlagPointer, reload: FlagPointer) -> Result<()> {
    let handled = Set::empty().with(SIGTERM).with(SIGINT).with(SIGHUP);

    // Blocked while the pieces do not fit together.
    let before = signal::change_mask(How::Block, &handled).or_cannot("block signals")?;

    let flags_before = signal::set_flags(shutdown, reload);
    let mut actions_before = [None; 4];
    let installed = install(reload.is_null(), &mut actions_before).and_then(|()| {
        // Also where the caller inherited them blocked.
        let unblocked = signal::change_mask(How::Unblock, &handled);
        unblocked.map(drop).or_cannot("unblock signals")
    });
    if installed.is_err() {
        for (signo, action) in SIGNALS.into_iter().zip(actions_before.iter().flatten()) {
            let _ = signal::set_action(signo, action);
        }
        signal::set_flags(flags_before.0, flags_before.1);
        let _ = signal::change_mask(How::Set, &before);
    } else {
        SIGNALS.into_iter().for_each(load::forget_signal);
    }
    installed
}

const SIGNALS: [c_int; 4] = [SIGTERM, SIGINT, SIGHUP, SIGPIPE];

/// Sets the actions one after the other and notes what each was.
fn install(ignore_hangup: bool, before: &mut [Option<Action>; 4]) -> Result<()> {
    for (signo, before) in SIGNALS.into_iter().zip(before) {
        let action = match signo {
            SIGPIPE => Action::ignore(),
            SIGHUP if ignore_hangup => Action::ignore(),
            _ => Action::raise_flag(),
        };
        let old = signal::set_action(signo, &action).or_cannot("install a signal handler")?;
        *before = Some(old);
    }
    Ok(())
}
