//! A reload as a transaction: begun, and then either the new configuration is in force or the old one still is.

use crate::{
    control,
    daemonize::{self, Stage},
    error::{Error, Result},
    notify, status,
    sys::{memory::Buffer, process},
};

/// `rsd_begin_reload`
pub fn begin() {
    status::change(|status| status.is_reloading = true);
    if serves() {
        let mut now = Buffer::<20>::new();
        now.push_long(process::monotonic_us(), 1);
        // In one message, and not before the program has taken the signal.
        notify::mention(&[b"RELOADING=1\nMONOTONIC_USEC=", now.as_bytes()]);
    }
    control::reload_begins();
}

/// `rsd_commit_reload`, and with a reason `rsd_abort_reload`.
pub fn end(reason: Option<&[u8]>) -> Result<()> {
    status::change(|status| {
        if !core::mem::take(&mut status.is_reloading) {
            return Err(Error::invalid("no reload was begun"));
        }
        status.reason.clear();
        match reason {
            None => status.reloads = status.reloads.saturating_add(1),
            Some(reason) => {
                status.failed_reloads = status.failed_reloads.saturating_add(1);
                status.reason.push(reason);
            }
        }
        Ok(())
    })?;
    if serves() {
        let status = status::get();
        let (what, text): (&[u8], _) = match reason {
            Some(_) => (b"READY=1\nSTATUS=the reload has failed: ", status.reason),
            None => (b"READY=1\nSTATUS=", status.text),
        };
        notify::mention(&[what, text.as_bytes()]);
    }
    control::reload_ends(reason);
    Ok(())
}

/// Whether the service manager knows that it is ready: it is told so again when the reload is over.
fn serves() -> bool {
    matches!(daemonize::stage(), Some(Stage::Ready) | None)
}
