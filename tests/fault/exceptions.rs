//! Outcomes that look wrong and are all that can be had. Each has its reason.

use super::Blow;

struct Exception {
    role: usize,
    /// How the call begins, as strace shows it.
    call: &'static str,
    blow: Option<Blow>,
    /// A part of the outcome.
    outcome: &'static str,
    reason: &'static str,
}

static EXCEPTIONS: &[Exception] = &[];

/// Why this outcome is accepted, if it is.
pub fn reason(role: usize, call: &str, blow: Blow, outcome: &str) -> Option<&'static str> {
    let exception = EXCEPTIONS.iter().find(|exception| {
        exception.role == role
            && call.starts_with(exception.call)
            && exception.blow.is_none_or(|accepted| accepted == blow)
            && outcome.contains(exception.outcome)
    });
    exception.map(|exception| exception.reason)
}
