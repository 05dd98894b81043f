//! Signal flags: variables of the program's own that a signal sets to 1.

use crate::{
    error::{OrCannot, Result},
    sys::signal::{self, Action, How, Set},
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

    let on_hangup = if reload.is_null() { Action::ignore() } else { Action::raise_flag() };
    let actions = [
        (SIGTERM, Action::raise_flag()),
        (SIGINT, Action::raise_flag()),
        (SIGHUP, on_hangup),
        (SIGPIPE, Action::ignore()),
    ];
    let flags_before = signal::set_flags(shutdown, reload);
    let mut actions_before = [None; 4];
    let installed = install(&actions, &mut actions_before).and_then(|()| {
        // Also where the caller inherited them blocked.
        let unblocked = signal::change_mask(How::Unblock, &handled);
        unblocked.map(drop).or_cannot("unblock signals")
    });
    if installed.is_err() {
        for (signo, action) in actions_before.iter().flatten() {
            let _ = signal::set_action(*signo, action);
        }
        signal::set_flags(flags_before.0, flags_before.1);
        let _ = signal::change_mask(How::Set, &before);
    }
    installed
}

type Actions = [(c_int, Action); 4];

/// Sets the actions one after the other and notes what each was.
fn install(actions: &Actions, before: &mut [Option<(c_int, Action)>; 4]) -> Result<()> {
    for ((signo, action), old) in actions.iter().zip(before) {
        let action = signal::set_action(*signo, action).or_cannot("install a signal handler")?;
        *old = Some((*signo, action));
    }
    Ok(())
}
