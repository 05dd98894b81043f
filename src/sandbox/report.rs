//! What a sandbox was asked for, and what of that is in force: as the kernel says now, where it can be asked.

use core::ffi::CStr;

use nix::errno::Errno;

use super::Options;
use crate::{
    access, cgroup,
    confinement::{self, Module},
    error::{self, Error, OrCannot, Result, Sentence},
    limits::{self, Limits},
    privileges::State,
    promises::Otherwise,
    sys::{
        file::Text,
        memory::{Buffer, Table},
        process, seccomp,
        thread::Mutex,
    },
    text,
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Limits,
    Cgroup,
    Profile,
    Context,
    Privileges,
    NoNewPrivileges,
    NoDumps,
    Access,
    Promises,
}

const PARTS: [(Part, &str); 9] = [
    (Part::Limits, "limits"),
    (Part::Cgroup, "cgroup"),
    (Part::Profile, "profile"),
    (Part::Context, "context"),
    (Part::Privileges, "privileges"),
    (Part::NoNewPrivileges, "no new privileges"),
    (Part::NoDumps, "no dumps"),
    (Part::Access, "access"),
    (Part::Promises, "promises"),
];

/// A part that was asked for.
struct Entry {
    part: Part,
    asked: Text,
    /// Why it is not to be had.
    missing: Option<(Sentence, Errno)>,
}

/// Of one sandbox, or of all that were entered.
#[derive(Default)]
pub struct Report {
    entries: Table<Entry>,
    pub limits: Limits,
    /// As it was when privileges had been proven to be dropped.
    state: Option<State>,
}

static REPORT: Mutex<Option<Report>> = Mutex::new(None);

/// How it stands with a part that was asked for.
enum Standing {
    InForce,
    /// It was when it was done, but what was given up since keeps us from asking.
    Unseen(Error),
    NoMore,
    /// Promises that only are told of when they are broken.
    Recorded,
    Missing,
}

const RECORDED: &CStr = c"(recorded only)";

/// A line of it at most; what is longer is cut.
pub type Told = Buffer<1024>;

impl Part {
    /// Adds what was asked of it. Whether it was at all.
    fn describe(self, options: &Options, text: &mut Told) -> bool {
        let mut add = |name: &str, value: Option<&CStr>| {
            let Some(value) = value.filter(|value| !value.is_empty()) else { return };
            for piece in [if text.as_bytes().is_empty() { "" } else { " " }, name] {
                text.push(piece.as_bytes());
            }
            text.push(value.to_bytes());
        };
        match self {
            Part::Limits => add("", Some(options.limits)),
            Part::Cgroup => {
                add("", options.cgroup.map(|(name, _)| name));
                add("", options.cgroup.map(|(_, limits)| limits));
            }
            Part::Profile => add("", options.profile),
            Part::Context => add("", options.context),
            Part::Privileges => {
                let Some(given) = &options.privileges else { return false };
                add("user=", given.user);
                add("group=", given.group);
                add("groups=", given.groups);
                add("root=", given.root);
                let kept = given.capabilities.filter(|kept| !kept.is_empty());
                add("capabilities=", kept.or(Some(c"none")));
            }
            Part::NoNewPrivileges => return true,
            Part::NoDumps => return !options.allows_dumps,
            Part::Access => {
                let Some(rules) = options.access else { return false };
                add("", Some(rules));
                return true;
            }
            Part::Promises => {
                let Some((words, otherwise)) = options.promises else { return false };
                add("", Some(words));
                match otherwise {
                    Otherwise::Refuse => {}
                    Otherwise::Kill => add("", Some(c"(or be killed)")),
                    Otherwise::Record => add("", Some(RECORDED)),
                }
                return true;
            }
        }
        !text.as_bytes().is_empty()
    }
}

impl Report {
    #[inline(never)]
    pub fn new(options: &Options, limits: Limits) -> Result<Self> {
        let mut report = Report { limits, ..Report::default() };
        for (part, _) in PARTS {
            let mut text = Told::new();
            if part.describe(options, &mut text) {
                report.insert(part, text.as_bytes(), None)?;
            }
        }
        Ok(report)
    }

    fn insert(
        &mut self,
        part: Part,
        asked: &[u8],
        missing: Option<(Sentence, Errno)>,
    ) -> Result<()> {
        let inserted =
            Text::new(asked).and_then(|asked| self.entries.insert(Entry { part, asked, missing }));
        inserted.map(drop).or_cannot("keep what was asked for")
    }

    /// By the latest error.
    pub fn note_missing(&mut self, part: Part, errno: Errno) {
        let mut entries = self.entries.iter().map(|(_, entry)| entry);
        if let Some(entry) = entries.find(|entry| entry.part == part) {
            entry.missing = Some((error::sentence(), errno));
        }
    }

    /// The rules of ports have a line of their own, by the latest error.
    pub fn note_ports_left_out(&mut self, rules: &[u8]) -> Result<()> {
        if rules.is_empty() {
            return Ok(());
        }
        let missing = (error::sentence(), Errno::EOPNOTSUPP);
        for (_, entry) in self.entries.iter().filter(|(_, entry)| entry.part == Part::Access) {
            let mut files = Told::new();
            let asked = text::words(entry.asked.as_c_str().to_bytes());
            for rule in asked.filter(|rule| !access::is_of_port(rule)) {
                files.push(if files.as_bytes().is_empty() { b"" } else { b" " });
                files.push(rule);
            }
            entry.asked = Text::new(files.as_bytes()).or_cannot("keep what was asked for")?;
        }
        self.insert(Part::Access, rules, Some(missing))
    }

    /// The rest is proven by whoever did it.
    pub fn read_state(&mut self) -> Result<()> {
        let mut entries = self.entries.iter();
        if entries.any(|(_, entry)| entry.part == Part::Privileges) {
            self.state = Some(State::read()?);
        }
        Ok(())
    }

    /// From now on it is told of, beside what earlier ones did.
    #[inline(never)]
    pub fn publish(self) -> Result<()> {
        let mut all = REPORT.lock();
        let all = all.get_or_insert_default();
        let Report { mut entries, limits, state } = self;
        for (_, entry) in entries.iter() {
            let mut text = Told::new();
            while let Some(number) = all.superseded_by(entry) {
                let before = all.entries.take(number);
                if let Some(before) = before.filter(|_| entry.part == Part::Limits) {
                    let left = before.asked.as_c_str().to_bytes();
                    for word in limits::others(left, entry.asked.as_c_str().to_bytes()) {
                        text.push(word);
                        text.push(b" ");
                    }
                }
            }
            text.push(entry.asked.as_c_str().to_bytes());
            all.insert(entry.part, text.as_bytes(), entry.missing.take())?;
        }
        all.limits.add(limits);
        all.state = state.or(all.state);
        Ok(())
    }

    /// Each access and each promise comes on top of those before. Of the rest the latest holds.
    fn superseded_by(&mut self, newer: &Entry) -> Option<usize> {
        let comes_on_top = matches!(newer.part, Part::Access | Part::Promises);
        let supersedes = |before: &Entry| {
            let is_same = before.asked.as_c_str() == newer.asked.as_c_str();
            before.part == newer.part
                && match newer.missing {
                    None => is_same || !comes_on_top,
                    Some(_) => is_same && before.missing.is_some(),
                }
        };
        self.entries.iter().find_map(|(number, before)| supersedes(before).then_some(number))
    }
}

impl Entry {
    fn standing(&self, limits: &Limits, dropped: Option<State>) -> Standing {
        if self.missing.is_some() {
            return Standing::Missing;
        }
        let asked = self.asked.as_c_str().to_bytes();
        if self.part == Part::Promises && asked.ends_with(RECORDED.to_bytes()) {
            return Standing::Recorded;
        }
        let is_in_force = match self.part {
            Part::Limits => limits.are_in_force(),
            Part::Cgroup => cgroup::is_in(asked),
            Part::Profile => confinement::is_in_force(Module::AppArmor, asked),
            Part::Context => confinement::is_in_force(Module::Selinux, asked),
            Part::Privileges => State::read().map(|state| Some(state) == dropped),
            Part::NoNewPrivileges => State::read().map(|state| state.forbids_new_privileges),
            Part::NoDumps => process::is_dumpable().map(|is| !is).or_cannot("ask for core dumps"),
            // The kernel does not tell, and nobody gets rid of it.
            Part::Access => Ok(true),
            Part::Promises => seccomp::is_in_force().or_cannot("ask for filters"),
        };
        match is_in_force {
            Ok(true) => Standing::InForce,
            Ok(false) => Standing::NoMore,
            Err(error) => Standing::Unseen(error),
        }
    }
}

/// Tells it line by line, a line for each part that was asked for and each time that still counts.
#[inline(never)]
pub fn tell(line: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    each(&mut |name, entry, standing| {
        let asked = entry.asked.as_c_str().to_bytes();
        let mut told = Told::new();
        told.push(name.as_bytes());
        match standing {
            Standing::InForce => told.push(b": in force"),
            Standing::NoMore => told.push(b": NOT in force any more"),
            Standing::Recorded => told.push(b": NOT in force"),
            Standing::Unseen(error) => {
                told.push(b": in force (as far as it can be asked: ");
                told.push(error::told(error).as_bytes());
                told.push(b")")
            }
            Standing::Missing => {
                let why = entry.missing.as_ref();
                told.push(b": MISSING (");
                why.map(|(sentence, errno)| told.push(sentence.told(*errno).as_bytes()));
                told.push(b")")
            }
        };
        if !asked.is_empty() {
            told.push(b": ");
            told.push(asked);
        }
        line(told.as_bytes())
    })
}

/// Those that were asked for and those that are in force, by the bits of their places in `PARTS`.
pub fn bits() -> [u32; 2] {
    let [mut asked, mut missing] = [0; 2];
    let _ = each(&mut |_, entry, standing| {
        let is_in_force = matches!(standing, Standing::InForce | Standing::Unseen(_));
        asked |= 1 << entry.part as u32;
        missing |= u32::from(!is_in_force) << entry.part as u32;
        Ok(())
    });
    [asked, asked & !missing]
}

type Each<'a> = &'a mut dyn FnMut(&str, &Entry, &Standing) -> Result<()>;

fn each(act: Each) -> Result<()> {
    let mut report = REPORT.lock();
    let Some(Report { entries, limits, state }) = report.as_mut() else { return Ok(()) };
    for (part, name) in PARTS {
        for (_, entry) in entries.iter().filter(|(_, entry)| entry.part == part) {
            act(name, entry, &entry.standing(limits, *state))?;
        }
    }
    Ok(())
}
