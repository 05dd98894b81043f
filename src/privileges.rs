//! Becoming another user for good: groups, then gid, then uid, and proof that there is no way back. `drop` gives up
//! the rest of root, too.

mod capabilities;
mod drop;
mod proof;
mod root;

use core::ffi::CStr;

use nix::{
    errno::Errno,
    unistd::{Gid, Uid, getresgid, getresuid},
};

pub use self::proof::State;
pub use self::{
    capabilities::Set,
    drop::{Options, Privileges, forbid_new},
};
use crate::{
    error::{Error, OrCannot, Result},
    sys::{
        capability::{self, SETGID, SETUID},
        file::Text,
        process::Scope,
        user::{self, GROUPS_MAX, User},
    },
    text,
};

/// Who to become: looked up before the fork, since the databases allocate and take locks.
pub struct Target {
    user: Option<Uid>,
    /// `None`: stay who we are.
    group: Option<Gid>,
    groups: [libc::gid_t; GROUPS_MAX],
    group_count: usize,
    sets_groups: bool,
}

impl Target {
    pub fn nobody() -> Self {
        let groups = [0; GROUPS_MAX];
        Target { user: None, group: None, groups, group_count: 0, sets_groups: false }
    }

    /// Nobody if neither is given. Without a user only the group changes; without a group it is
    /// the user's own. The supplementary groups are those of the user, or none.
    #[inline(never)] // keeps its parts out of the one long function that calls it
    pub fn look_up(&mut self, user: Option<&CStr>, group: Option<&CStr>) -> Result<()> {
        if let Some(name) = group {
            self.group = Some(find_group(name)?);
            self.sets_groups = true;
        }
        let Some(name) = user else {
            return Ok(());
        };
        let (uid, entry) = find_user(name)?;
        if uid.is_root() {
            return Err(unusable("user", name, b"it is root"));
        }
        self.user = Some(uid);
        let group = match (self.group, entry) {
            (Some(group), _) => group,
            (None, Some(entry)) => Gid::from_raw(entry.gid),
            (None, None) => {
                return Err(unusable("user", name, b"it has no entry, so give a group"));
            }
        };
        self.group = Some(group);
        self.sets_groups = true;
        // A number without an entry has no supplementary groups to look up by name.
        if entry.is_some() && !is_number(name) {
            self.group_count = user::groups_of(name, group.as_raw(), &mut self.groups)
                .or_cannot_at("list the groups of", name)?;
        }
        Ok(())
    }

    /// These supplementary groups instead, and no others: "adm,audio". Empty: none.
    #[inline(never)]
    pub fn look_up_groups(&mut self, list: &CStr) -> Result<()> {
        self.sets_groups = true;
        self.group_count = 0;
        if list.is_empty() {
            return Ok(());
        }
        for name in list.to_bytes().split(|&byte| byte == b',') {
            let name = Text::new(name.trim_ascii()).or_cannot("keep a name")?;
            let group = find_group(name.as_c_str())?.as_raw();
            let Some(place) = self.groups.get_mut(self.group_count) else {
                return Err(Error::cannot(Errno::E2BIG, "have so many groups"));
            };
            *place = group;
            self.group_count += 1;
        }
        Ok(())
    }

    /// Changes all ids of all threads, and proves it. After an error the process may be half way:
    /// it must end.
    #[inline(never)]
    pub fn assume(&self) -> Result<()> {
        if !self.sets_groups {
            return Ok(());
        }
        self.change(Scope::Process)?;
        // Also where nothing was to do.
        if self.user.is_some() {
            let permitted = capability::get().or_cannot("read the capabilities")?.permitted;
            if Set(permitted).has(SETUID) || Set(permitted).has(SETGID) {
                return Err(not_proven(b"root could come back"));
            }
        }
        self.prove()
    }

    /// In the only order in which that can be done. Also for who seems to be the one already: it sets the ids for
    /// files, which nothing else tells of.
    fn change(&self, scope: Scope) -> Result<()> {
        if self.sets_groups {
            match user::set_groups(self.groups(), scope) {
                // That takes a capability even where they are what is wanted.
                Err(Errno::EPERM) if self.has_groups()? => {}
                result => changed(result, "set the supplementary groups")?,
            }
        }
        if let Some(group) = self.group {
            changed(user::set_group(group.as_raw(), scope), "change the group")?;
        }
        if let Some(user) = self.user {
            changed(user::set_user(user.as_raw(), scope), "change the user")?;
        }
        Ok(())
    }

    /// Of this thread: the ids are those asked for, and user 0 is refused. A user namespace may not have one.
    fn prove(&self) -> Result<()> {
        if self.user.is_some() {
            match user::become_root() {
                Err(Errno::EPERM | Errno::EINVAL) => {}
                Ok(()) => return Err(not_proven(b"root could come back")),
                Err(errno) => return Err(Error::cannot(errno, "try to become root again")),
            }
        }
        match self.is_assumed()? {
            true => Ok(()),
            false => Err(not_proven(b"the ids are not those asked for")),
        }
    }

    fn groups(&self) -> &[libc::gid_t] {
        self.groups.get(..self.group_count).unwrap_or_default()
    }

    fn is_assumed(&self) -> Result<bool> {
        let uids = getresuid().or_cannot("read the user ids")?;
        let gids = getresgid().or_cannot("read the group ids")?;
        let is_user = |uid| self.user.is_none_or(|user| user == uid);
        let is_group = |gid| self.group.is_none_or(|group| group == gid);
        Ok([uids.real, uids.effective, uids.saved].into_iter().all(is_user)
            && [gids.real, gids.effective, gids.saved].into_iter().all(is_group)
            && (!self.sets_groups || self.has_groups()?))
    }

    /// This thread.
    fn has_groups(&self) -> Result<bool> {
        let mut list = [0; GROUPS_MAX];
        let groups = user::groups(&mut list).or_cannot("read the supplementary groups")?;
        Ok(self.are_groups(groups.iter().map(|&group| Some(group))))
    }

    /// In any order. The group itself means the same with and without a place among them.
    fn are_groups(&self, groups: impl Iterator<Item = Option<u32>> + Clone) -> bool {
        let group = self.group.map(Gid::as_raw);
        let is_wanted = |own: Option<u32>| {
            own.is_some() && own == group || own.is_some_and(|own| self.groups().contains(&own))
        };
        let has =
            |&wanted: &u32| Some(wanted) == group || groups.clone().any(|own| own == Some(wanted));
        groups.clone().all(is_wanted) && self.groups().iter().all(has)
    }
}

/// The owner that a file is to have: the user and its group.
#[inline(never)]
pub fn find_owner(name: &CStr) -> Result<(Uid, Gid)> {
    match find_user(name)? {
        (uid, Some(entry)) => Ok((uid, Gid::from_raw(entry.gid))),
        (uid, None) => Ok((uid, Gid::current())),
    }
}

/// "USER", "USER:GROUP" or ":GROUP".
#[inline(never)]
pub fn find_owner_and_group(text: &CStr) -> Result<(Option<Uid>, Option<Gid>)> {
    let bytes = text.to_bytes();
    let Some(colon) = bytes.iter().position(|&byte| byte == b':') else {
        return find_owner(text).map(|(uid, gid)| (Some(uid), Some(gid)));
    };
    let (user, group) = bytes.split_at_checked(colon).unwrap_or_default();
    let user = Text::new(user).or_cannot("keep a name")?;
    let group = Text::new(group.get(1..).unwrap_or_default()).or_cannot("keep a name")?;
    let uid = match user.as_c_str() {
        name if name.is_empty() => None,
        name => Some(find_user(name)?.0),
    };
    Ok((uid, Some(find_group(group.as_c_str())?)))
}

/// A user by name, or by number, with or without an entry in the database.
fn find_user(name: &CStr) -> Result<(Uid, Option<User>)> {
    match parse_id(name) {
        Some(id) => {
            let entry = user::user_by_id(id).or_cannot_at("look up the user", name)?;
            Ok((Uid::from_raw(id), entry))
        }
        None => match user::user_by_name(name).or_cannot_at("look up the user", name)? {
            Some(entry) => Ok((Uid::from_raw(entry.uid), Some(entry))),
            None => Err(unusable("user", name, b"there is no such user")),
        },
    }
}

#[inline(never)]
fn find_group(name: &CStr) -> Result<Gid> {
    match parse_id(name) {
        Some(id) => Ok(Gid::from_raw(id)),
        None => match user::group_by_name(name).or_cannot_at("look up the group", name)? {
            Some(gid) => Ok(Gid::from_raw(gid)),
            None => Err(unusable("group", name, b"there is no such group")),
        },
    }
}

/// -1 as an id means "leave it alone" to the kernel, so it is none.
#[inline(never)]
fn parse_id(name: &CStr) -> Option<u32> {
    text::number(name.to_bytes()).filter(|&id| id != u32::MAX)
}

fn is_number(name: &CStr) -> bool {
    !name.is_empty() && name.to_bytes().iter().all(u8::is_ascii_digit)
}

/// The kernel calls an id that a user namespace does not have invalid. That is none of the caller's arguments, and
/// others may have changed already.
fn changed(result: nix::Result<()>, action: &str) -> Result<()> {
    match result {
        Err(Errno::EINVAL) => {
            let why: &[u8] = b": this user namespace does not have that id";
            Err(Error::new(Errno::EPERM, &[b"cannot ", action.as_bytes(), why]))
        }
        result => result.or_cannot(action),
    }
}

fn unusable(kind: &str, name: &CStr, why: &[u8]) -> Error {
    let pieces = [b"cannot use ", kind.as_bytes(), b" ", name.to_bytes(), b": ", why];
    Error::new(Errno::EINVAL, &pieces)
}

fn not_proven(why: &[u8]) -> Error {
    Error::new(Errno::EPERM, &[b"cannot give up privileges: ", why])
}
