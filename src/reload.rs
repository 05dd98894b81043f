//! A reload as a transaction: begun, and then either the new configuration is in force or the old one still is.

use crate::{
    control,
    error::{Error, Result},
    status,
};

/// `rsd_begin_reload`
pub fn begin() {
    status::change(|status| status.is_reloading = true);
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
    control::reload_ends(reason);
    Ok(())
}
