//! A cgroup for this process alone, below the one it is in, with limits of resources (version 2, cgroups(7)).
//! What was made is removed when anything fails.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::{errno::Errno, fcntl::AT_FDCWD};

use crate::{
    error::{self, Error, OrCannot, Result},
    limits,
    sys::{
        file::PathBuffer,
        kernel_file::{self, Content},
        memory::Buffer,
    },
    text,
};

const OWN_GROUP: &CStr = c"/proc/self/cgroup";
const MOUNTS: &CStr = c"/proc/self/mountinfo";

/// A file of the kernel's, and what it holds.
struct Kind {
    file: &'static CStr,
    controller: &'static [u8],
    value: fn(&[u8]) -> Option<Value>,
}

const KINDS: [Kind; 7] = [
    Kind { file: c"memory.max", controller: b"memory", value: amount },
    Kind { file: c"memory.high", controller: b"memory", value: amount },
    Kind { file: c"memory.swap.max", controller: b"memory", value: amount },
    Kind { file: c"pids.max", controller: b"pids", value: amount },
    Kind { file: c"cpu.max", controller: b"cpu", value: processor_time },
    Kind { file: c"cpu.weight", controller: b"cpu", value: weight },
    Kind { file: c"io.weight", controller: b"io", value: default_weight },
];

const CONTROLLERS: [&[u8]; 4] = [b"memory", b"pids", b"cpu", b"io"];

/// As the kernel writes it.
type Value = Buffer<48>;
type Path = Buffer<{ libc::PATH_MAX as usize }>;

/// The limits asked for, in the order of `KINDS`.
struct Limits([Option<Value>; KINDS.len()]);

impl Limits {
    #[inline(never)]
    fn parse(text: &CStr) -> Result<Self> {
        let mut limits = Limits([None; KINDS.len()]);
        let words = text.to_bytes().split(|byte| b" \t\n".contains(byte));
        for word in words.filter(|word| !word.is_empty()) {
            let mut halves = word.splitn(2, |&byte| byte == b'=');
            let name = halves.next().unwrap_or_default();
            let value = halves.next().ok_or_else(|| unusable(word, b"it lacks its ="))?;
            let mut places = KINDS.iter().zip(limits.0.iter_mut());
            let found = places.find(|(kind, _)| kind.file.to_bytes() == name);
            let (kind, place) = found.ok_or_else(|| unusable(word, b"there is no such limit"))?;
            if place.is_some() {
                return Err(unusable(word, b"this limit was there before"));
            }
            let value = (kind.value)(value);
            *place = Some(value.ok_or_else(|| unusable(word, b"it takes no such value"))?);
        }
        Ok(limits)
    }

    fn iter(&self) -> impl Iterator<Item = (&'static Kind, &Value)> {
        const ALL: &[Kind; KINDS.len()] = &KINDS;
        ALL.iter().zip(&self.0).filter_map(|(kind, value)| Some((kind, value.as_ref()?)))
    }

    /// Those without which these limits cannot be set.
    fn controllers(&self) -> impl Iterator<Item = &'static [u8]> {
        CONTROLLERS
            .into_iter()
            .filter(|&controller| self.iter().any(|(kind, _)| kind.controller == controller))
    }
}

/// A group to be made.
pub struct Group<'a> {
    name: &'a CStr,
    limits: Limits,
    /// The group that the process is in, as the kernel names it, and its folder.
    path: Path,
    parent: OwnedFd,
}

impl<'a> Group<'a> {
    /// Finds out whether the group could be made with these limits. Nothing is changed.
    #[inline(never)]
    pub fn prepare(name: &'a CStr, limits: &CStr) -> Result<Self> {
        if !is_component(name.to_bytes()) {
            let pieces: [&[u8]; 3] =
                [b"cannot name a cgroup \"", name.to_bytes(), b"\": it takes one name, without /"];
            return Err(Error::new(Errno::EINVAL, &pieces));
        }
        let limits = Limits::parse(limits)?;
        let mut path = Path::new();
        if !own_path(&mut path)? {
            return Err(Error::new(
                Errno::EOPNOTSUPP,
                &[b"this process is in no cgroup of version 2"],
            ));
        }
        let parent = find_folder(path.as_bytes())?;
        let group = Group { name, limits, path, parent };
        let present = group.words(c"cgroup.controllers")?;
        for controller in group.limits.controllers() {
            if !has_word(&present, controller) {
                return Err(group.lacks(controller));
            }
        }
        Ok(group)
    }

    /// Makes the group, enters it and sets its limits. No heap, no lock.
    #[inline(never)]
    pub fn apply(&self) -> Result<()> {
        self.make()?;
        let mut enabled = Content::new();
        let done = self.enter_and_limit(&mut enabled);
        if done.is_err() {
            error::keeping_sentence(|| self.undo(&enabled));
        }
        done
    }

    /// A group that was left is made anew, so that it has no limits from before. The kernel removes none with a
    /// process in it.
    fn make(&self) -> Result<()> {
        let parent = self.parent.as_fd();
        let mut made = kernel_file::make_folder(parent, self.name);
        if made == Err(Errno::EEXIST) {
            match kernel_file::remove_folder(parent, self.name) {
                Err(Errno::EBUSY) => {
                    return Err(self.failed(Errno::EBUSY, "take", b": it has processes or groups"));
                }
                removed => {
                    made = removed.and_then(|()| kernel_file::make_folder(parent, self.name));
                }
            }
        }
        made.map_err(|errno| match errno {
            Errno::EACCES | Errno::EPERM => {
                let why = b": the group above it is not delegated to this process";
                self.failed(errno, "make", why)
            }
            errno => self.failed(errno, "make", b"").without_reason(),
        })
    }

    /// `enabled` is what was done to the group above it.
    fn enter_and_limit(&self, enabled: &mut Content) -> Result<()> {
        let folder = kernel_file::open_folder(self.parent.as_fd(), self.name);
        let folder = folder.map_err(|errno| self.failed(errno, "open", b"").without_reason())?;
        // 0: whoever writes it.
        kernel_file::write(folder.as_fd(), c"cgroup.procs", b"0")
            .map_err(|errno| self.failed(errno, "enter", b"").without_reason())?;
        if !self.is_in_force()? {
            return Err(self.failed(Errno::EPERM, "enter", b": the process is not in it"));
        }
        self.enable_controllers(enabled)?;
        for (kind, value) in self.limits.iter() {
            set(folder.as_fd(), kind, value)?;
        }
        Ok(())
    }

    /// Whether the process is in the group.
    fn is_in_force(&self) -> Result<bool> {
        let mut path = Path::new();
        own_path(&mut path)?;
        let above = self.path.as_bytes();
        let rest = path.as_bytes().strip_prefix(above.strip_suffix(b"/").unwrap_or(above));
        Ok(rest.and_then(|rest| rest.strip_prefix(b"/")) == Some(self.name.to_bytes()))
    }

    /// A group other than the first one hands controllers on only when no process is in it (cgroups(7), "no
    /// internal processes"), and so this one has left it.
    fn enable_controllers(&self, enabled: &mut Content) -> Result<()> {
        let present = self.words(c"cgroup.subtree_control")?;
        let mut word = Content::new();
        for controller in self.limits.controllers() {
            if !has_word(&present, controller) {
                for piece in [b"+", controller, b" "] {
                    word.push(piece);
                }
            }
        }
        if word.as_bytes().is_empty() {
            return Ok(());
        }
        let parent = self.parent.as_fd();
        match kernel_file::write(parent, c"cgroup.subtree_control", word.as_bytes()) {
            Ok(()) => {}
            Err(Errno::EBUSY) => {
                let why = b": other processes are in the group above it";
                return Err(self.failed(Errno::EBUSY, "limit", why));
            }
            Err(errno) => return Err(self.failed(errno, "limit", b"").without_reason()),
        }
        *enabled = word;
        let present = self.words(c"cgroup.subtree_control")?;
        match self.limits.controllers().find(|controller| !has_word(&present, controller)) {
            Some(controller) => Err(self.lacks(controller)),
            None => Ok(()),
        }
    }

    fn undo(&self, enabled: &Content) {
        let parent = self.parent.as_fd();
        let mut word = Content::new();
        for &byte in enabled.as_bytes() {
            word.push(&[if byte == b'+' { b'-' } else { byte }]);
        }
        // First, since no process enters a group that hands controllers on.
        if !word.as_bytes().is_empty() {
            let _ = kernel_file::write(parent, c"cgroup.subtree_control", word.as_bytes());
        }
        let _ = kernel_file::write(parent, c"cgroup.procs", b"0");
        let _ = kernel_file::remove_folder(parent, self.name);
    }

    /// A file of the group above it.
    fn words(&self, file: &CStr) -> Result<Content> {
        let content = kernel_file::read(self.parent.as_fd(), file);
        content.or_cannot_at("read", file)
    }

    #[cold]
    fn failed(&self, errno: Errno, action: &str, why: &[u8]) -> Error {
        let above = self.path.as_bytes();
        let above = above.strip_suffix(b"/").unwrap_or(above);
        let name = self.name.to_bytes();
        let pieces = [b"cannot ", action.as_bytes(), b" the cgroup ", above, b"/", name, why];
        Error::new(errno, &pieces)
    }

    #[cold]
    fn lacks(&self, controller: &[u8]) -> Error {
        let why: &[u8] = b" is not available to it: not delegated, or bound to version 1";
        let path = self.path.as_bytes();
        let pieces =
            [b"cannot limit within the cgroup ", path, b": the controller ", controller, why];
        Error::new(Errno::EOPNOTSUPP, &pieces)
    }
}

/// Sets a limit, and sees that it is there.
fn set(group: BorrowedFd, kind: &Kind, value: &Value) -> Result<()> {
    let asked = value.as_bytes();
    kernel_file::write(group, kind.file, asked).or_cannot_at("set", kind.file)?;
    let present = kernel_file::read(group, kind.file).or_cannot_at("read", kind.file)?;
    let present = present.as_bytes().split(|&byte| byte == b'\n').next().unwrap_or_default();
    if present == asked || (kind.controller == b"memory" && is_rounded(asked, present)) {
        return Ok(());
    }
    let name = kind.file.to_bytes();
    Err(Error::new(Errno::EPERM, &[b"the limit ", name, b" was set but is not in force"]))
}

/// The kernel counts memory in pages, of which it leaves out a part.
fn is_rounded(asked: &[u8], present: &[u8]) -> bool {
    const LARGEST_PAGE: u64 = 1 << 16;
    let numbers = text::long_number(asked).zip(text::long_number(present));
    numbers.is_some_and(|(asked, present)| {
        present & 0xfff == 0
            && asked.checked_sub(present).is_some_and(|left_out| left_out < LARGEST_PAGE)
    })
}

/// "max", or a number, perhaps with K, M, G or T.
fn amount(text: &[u8]) -> Option<Value> {
    let mut value = Value::new();
    match text {
        b"max" | b"unlimited" => _ = value.push(b"max"),
        _ => value.push_long(limits::amount(text)?, 1),
    }
    Some(value)
}

/// The usual period of cpu.max, in microseconds.
const PERIOD: u64 = 100_000;

/// "max", a share of one processor as "50%", or the kernel's "QUOTA,PERIOD".
fn processor_time(text: &[u8]) -> Option<Value> {
    let mut quota = Value::new();
    let mut period = PERIOD;
    if text == b"max" {
        quota.push(text);
    } else if let Some(percent) = text.strip_suffix(b"%") {
        let percent = text::number(percent).filter(|&percent| percent > 0)?;
        quota.push_long(u64::from(percent) * 1000, 1);
    } else {
        let mut numbers = text.splitn(2, |&byte| byte == b',');
        match numbers.next() {
            Some(b"max") => _ = quota.push(b"max"),
            number => quota.push_long(text::number(number?)?.into(), 1),
        }
        period = text::number(numbers.next()?)?.into();
    }
    quota.push(b" ");
    quota.push_long(period, 1);
    Some(quota)
}

fn weight(text: &[u8]) -> Option<Value> {
    let weight = text::number(text).filter(|weight| (1..=10_000).contains(weight))?;
    let mut value = Value::new();
    value.push_number(weight, 1);
    Some(value)
}

/// That of all devices without a weight of their own.
fn default_weight(text: &[u8]) -> Option<Value> {
    let mut value = Value::new();
    value.push(b"default ");
    value.push(weight(text)?.as_bytes());
    Some(value)
}

fn is_component(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= 255
        && !name.iter().any(|byte| *byte == b'/' || byte.is_ascii_control())
}

fn has_word(content: &Content, word: &[u8]) -> bool {
    content.as_bytes().split(u8::is_ascii_whitespace).any(|present| present == word)
}

/// The group of version 2 that the process is in. Whether there is one.
fn own_path(path: &mut Path) -> Result<bool> {
    let found = kernel_file::find_line(OWN_GROUP, &mut |line| match line.strip_prefix(b"0::") {
        Some(own) => path.push(own),
        None => false,
    });
    found.or_cannot_at("read", OWN_GROUP)
}

/// The folder of a group, by some mount that shows it.
fn find_folder(group: &[u8]) -> Result<OwnedFd> {
    let mut folder = None;
    let mut failure = None;
    let found = kernel_file::find_line(MOUNTS, &mut |line| {
        let mut path = PathBuffer::new();
        let Some(path) = shown_at(line, group, &mut path) else { return false };
        match kernel_file::open_folder(AT_FDCWD, path) {
            Ok(opened) if kernel_file::is_cgroup2(opened.as_fd()) => folder = Some(opened),
            // Something else is mounted over it.
            Ok(_) => {}
            Err(errno) => failure = Some(Error::cannot_at(errno, "open", path.to_bytes())),
        }
        folder.is_some()
    });
    found.or_cannot_at("read", MOUNTS)?;
    folder.ok_or_else(|| {
        failure.unwrap_or_else(|| {
            let pieces: [&[u8]; 3] =
                [b"the cgroup ", group, b" cannot be seen: no mount of cgroup2 shows it"];
            Error::new(Errno::EOPNOTSUPP, &pieces)
        })
    })
}

/// Where a mount of cgroup2, a line of /proc/self/mountinfo, shows the group.
fn shown_at<'a>(line: &[u8], group: &[u8], path: &'a mut PathBuffer) -> Option<&'a CStr> {
    let mut fields = line.split(|&byte| byte == b' ');
    let root = decoded(fields.nth(3)?);
    let place = decoded(fields.next()?);
    fields.find(|&field| field == b"-")?;
    if fields.next()? != b"cgroup2" {
        return None;
    }
    let root = root.as_bytes();
    let rest = group.strip_prefix(root.strip_suffix(b"/").unwrap_or(root))?;
    // Outside of what is mounted: /../a is above the cgroup namespace, /ab is not below /a.
    let is_below = rest.is_empty() || rest.starts_with(b"/");
    if !is_below || rest == b"/.." || rest.starts_with(b"/../") {
        return None;
    }
    path.join(&[place.as_bytes(), rest]).ok()
}

/// Blanks and the like stand as \040 in lists of mounts.
fn decoded(field: &[u8]) -> Path {
    let mut path = Path::new();
    let mut rest = field;
    while let Some((&byte, others)) = rest.split_first() {
        rest = others;
        let octal = |digit: &u8| digit.checked_sub(b'0').filter(|&value| value < 8);
        match others {
            [a, b, c, behind @ ..] if byte == b'\\' => {
                if let (Some(a), Some(b), Some(c)) = (octal(a), octal(b), octal(c)) {
                    path.push(&[(a << 6) | (b << 3) | c]);
                    rest = behind;
                    continue;
                }
            }
            _ => {}
        }
        path.push(&[byte]);
    }
    path
}

#[cold]
fn unusable(word: &[u8], why: &[u8]) -> Error {
    Error::new(Errno::EINVAL, &[b"cannot use the limit ", word, b": ", why])
}
