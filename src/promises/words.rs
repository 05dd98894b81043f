//! The words of a promise, as sets.

/// Some words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Words(pub u16);

/// In the order in which they are told.
pub static NAMES: [&str; 14] = [
    "stdio",
    "rpath",
    "wpath",
    "cpath",
    "fattr",
    "inet",
    "unix",
    "dns",
    "tty",
    "proc",
    "prot_exec",
    "exec",
    "id",
    "exit",
];

pub(crate) const NONE: Words = Words(0);
pub(crate) const STDIO: Words = Words(1 << 0);
pub(crate) const RPATH: Words = Words(1 << 1);
pub(crate) const WPATH: Words = Words(1 << 2);
pub(crate) const CPATH: Words = Words(1 << 3);
pub(crate) const FATTR: Words = Words(1 << 4);
pub(crate) const INET: Words = Words(1 << 5);
pub(crate) const UNIX: Words = Words(1 << 6);
pub(crate) const DNS: Words = Words(1 << 7);
pub(crate) const TTY: Words = Words(1 << 8);
pub(crate) const PROC: Words = Words(1 << 9);
pub(crate) const PROT_EXEC: Words = Words(1 << 10);
pub(crate) const EXEC: Words = Words(1 << 11);
pub(crate) const ID: Words = Words(1 << 12);
/// Is always promised, and no word that can be given.
pub(crate) const EXIT: Words = Words(1 << 13);

impl Words {
    pub const fn or(self, other: Words) -> Words {
        Words(self.0 | other.0)
    }

    pub fn has_any(self, of: Words) -> bool {
        self.0 & of.0 != 0
    }

    pub fn is_one(self) -> bool {
        self.0.is_power_of_two()
    }

    /// The first of them alone.
    pub fn first(self) -> Words {
        Words(self.0 & self.0.wrapping_neg())
    }

    /// Their names, without that of EXIT.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let named = NAMES.iter().enumerate().filter(|(bit, _)| *bit < 13);
        named.filter(move |(bit, _)| self.0 >> bit & 1 != 0).map(|(_, name)| *name)
    }

    pub fn named(name: &[u8]) -> Option<Words> {
        let bit = NAMES.iter().position(|known| known.as_bytes() == name)?;
        (bit < 13).then_some(Words(1 << bit))
    }
}
