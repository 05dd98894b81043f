//! All that a daemon gives up, in the only order in which that can be done, and what of it is in force.

pub mod report;

use core::ffi::CStr;

use nix::errno::Errno;

use self::report::{Part, Report};
use crate::{
    access::Rules,
    cgroup::Group,
    confinement::{Confinement, Module},
    error::{OrCannot, Result},
    limits::Limits,
    privileges::{self, Privileges},
    promises::{Otherwise, Promises},
    sys::process::{self, Scope},
};

/// What the program asked for.
pub struct Options<'a> {
    /// What the kernel, or whoever set it up, does not offer is left out.
    pub best_effort: bool,
    pub limits: &'a CStr,
    pub cgroup: Option<(&'a CStr, &'a CStr)>,
    pub profile: Option<&'a CStr>,
    pub context: Option<&'a CStr>,
    pub umask: Option<u32>,
    pub privileges: Option<privileges::Options<'a>>,
    pub allows_dumps: bool,
    pub access: Option<&'a CStr>,
    pub promises: Option<(&'a CStr, Otherwise)>,
}

/// Looked up, opened and compiled. Nothing has changed yet.
pub struct Sandbox<'a> {
    best_effort: bool,
    cgroup: Option<Group<'a>>,
    profile: Option<Confinement<'a>>,
    context: Option<Confinement<'a>>,
    umask: Option<u32>,
    privileges: Option<Privileges>,
    forbids_dumps: bool,
    access: Option<Rules>,
    promises: Option<Promises>,
    report: Report,
}

impl<'a> Sandbox<'a> {
    #[inline(never)]
    pub fn prepare(options: &Options<'a>) -> Result<Self> {
        let mut sandbox = Sandbox {
            best_effort: options.best_effort,
            cgroup: None,
            profile: None,
            context: None,
            umask: options.umask,
            privileges: None,
            forbids_dumps: !options.allows_dumps,
            access: None,
            promises: None,
            report: Report::new(options, Limits::parse(options.limits)?)?,
        };
        if let Some((name, limits)) = options.cgroup {
            let group = Group::prepare(name, limits);
            sandbox.cgroup = sandbox.unless_missing(Part::Cgroup, group)?;
        }
        if let Some(name) = options.profile {
            let profile = Confinement::prepare(Module::AppArmor, name);
            sandbox.profile = sandbox.unless_missing(Part::Profile, profile)?;
        }
        if let Some(name) = options.context {
            let context = Confinement::prepare(Module::Selinux, name);
            sandbox.context = sandbox.unless_missing(Part::Context, context)?;
        }
        if let Some(privileges) = &options.privileges {
            sandbox.privileges = Some(Privileges::prepare(privileges)?);
        }
        if let Some(rules) = options.access {
            let rules = Rules::prepare(rules, options.best_effort);
            sandbox.access = sandbox.unless_missing(Part::Access, rules)?;
            if let Some(rules) = &sandbox.access {
                sandbox.report.note_ports_left_out(rules.left_out())?;
            }
        }
        if let Some((words, otherwise)) = options.promises {
            let promises = Promises::prepare(words, otherwise);
            sandbox.promises = sandbox.unless_missing(Part::Promises, promises)?;
        }
        Ok(sandbox)
    }

    /// Each step needs what later ones take away. Neither heap nor lock, but for the report. After an error the process
    /// may be half way: it must end.
    #[inline(never)]
    pub fn apply(&mut self, scope: Scope) -> Result<()> {
        self.report.limits.apply()?;
        if let Some(group) = &self.cgroup {
            let done = group.apply();
            self.unless_missing(Part::Cgroup, done)?;
        }
        if let Some(profile) = &self.profile {
            profile.apply(scope)?;
        }
        if let Some(context) = &self.context {
            context.apply(scope)?;
        }
        if let Some(mask) = self.umask {
            process::set_umask(mask);
        }
        match &self.privileges {
            Some(privileges) => privileges.apply(scope)?,
            None => privileges::forbid_new(scope)?,
        }
        // A program that is executed has memory of its own, and a child that borrows ours would change that.
        if self.forbids_dumps && scope == Scope::Process {
            process::forbid_dumps().or_cannot("forbid core dumps")?;
        }
        if let Some(rules) = &self.access {
            rules.apply(scope)?;
        }
        if scope == Scope::Process {
            self.report.read_state()?;
        }
        if let Some(promises) = &self.promises {
            promises.apply(scope)?;
        }
        if scope == Scope::Process {
            core::mem::take(&mut self.report).publish()?;
        }
        Ok(())
    }

    /// In the best of efforts what is missing is noted, and left out. A mistake is an error.
    fn unless_missing<T>(&mut self, part: Part, prepared: Result<T>) -> Result<Option<T>> {
        match prepared {
            Ok(prepared) => Ok(Some(prepared)),
            Err(error) if self.best_effort && is_missing(part, error.0) => {
                self.report.note_missing(part, error.0);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The kernel does not have it, or others have not set it up for this process.
fn is_missing(part: Part, errno: Errno) -> bool {
    match errno {
        Errno::ENOSYS | Errno::EOPNOTSUPP => true,
        Errno::EINVAL => false,
        _ => part == Part::Cgroup,
    }
}
