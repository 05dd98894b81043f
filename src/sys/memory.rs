//! Memory that grows. std's collections end the program when there is none, and are larger than all
//! of this.

use core::{ptr, slice};

use nix::errno::Errno;

/// Values that are found by a number, which stays theirs until they are taken out.
pub struct Table<T> {
    entries: *mut Option<T>,
    length: usize,
    /// No entry before this one is free.
    full_up_to: usize,
}

impl<T> Table<T> {
    pub const fn new() -> Self {
        Table { entries: ptr::null_mut(), length: 0, full_up_to: 0 }
    }

    fn entries(&mut self) -> &mut [Option<T>] {
        if self.entries.is_null() {
            return &mut [];
        }
        // SAFETY: `grow` made room for that many entries and wrote each of them.
        unsafe { slice::from_raw_parts_mut(self.entries, self.length) }
    }

    /// Puts a value in and returns its number. ENOMEM.
    pub fn insert(&mut self, value: T) -> nix::Result<usize> {
        let start = self.full_up_to;
        let free = self.entries().iter().skip(start).position(Option::is_none);
        let number = match free {
            Some(distance) => start + distance,
            None => self.grow()?,
        };
        self.full_up_to = number + 1;
        if let Some(entry) = self.entries().get_mut(number) {
            *entry = Some(value);
        }
        Ok(number)
    }

    /// Doubles the room; the number of the first new entry.
    fn grow(&mut self) -> nix::Result<usize> {
        let first = self.length;
        let length = (2 * first).max(4);
        let size = length.checked_mul(size_of::<Option<T>>()).ok_or(Errno::ENOMEM)?;
        // SAFETY: `entries` is NULL or realloc(3) made it; moving a Rust value is copying its bytes.
        let entries = unsafe { libc::realloc(self.entries.cast(), size) }.cast::<Option<T>>();
        if entries.is_null() {
            return Err(Errno::ENOMEM);
        }
        self.entries = entries;
        while self.length < length {
            // SAFETY: realloc(3) made room for `length` entries.
            let entry = unsafe { entries.add(self.length) };
            // SAFETY: as above, and what stood there was no value.
            unsafe { entry.write(None) };
            self.length += 1;
        }
        Ok(first)
    }

    pub fn get(&mut self, number: usize) -> Option<&mut T> {
        self.entries().get_mut(number)?.as_mut()
    }

    pub fn take(&mut self, number: usize) -> Option<T> {
        let value = self.entries().get_mut(number)?.take();
        self.full_up_to = self.full_up_to.min(number);
        value
    }

    /// All values with their numbers.
    pub fn iter(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        let entries = self.entries().iter_mut().enumerate();
        entries.filter_map(|(number, entry)| Some((number, entry.as_mut()?)))
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table::new()
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        self.entries().iter_mut().for_each(|entry| drop(entry.take()));
        // SAFETY: NULL, or realloc(3) made it and nobody else frees it.
        unsafe { libc::free(self.entries.cast()) };
    }
}

// SAFETY: it owns its values.
unsafe impl<T: Send> Send for Table<T> {}

/// Bytes, and a NUL behind them.
pub struct Bytes {
    start: *mut u8,
    length: usize,
    /// Without the NUL.
    room: usize,
}

impl Bytes {
    pub const fn new() -> Self {
        Bytes { start: ptr::null_mut(), length: 0, room: 0 }
    }

    pub fn len(&self) -> usize {
        self.length
    }

    /// As C sees them; NULL: there are none.
    pub fn as_ptr(&self) -> *const u8 {
        self.start
    }

    /// Room behind them, for `add`; it grows up to `limit`. Empty at the limit, or without memory.
    #[inline(never)]
    pub fn spare(&mut self, limit: usize) -> &mut [u8] {
        if self.length == self.room && self.room < limit {
            let room = (2 * self.room).max(4096).min(limit);
            // SAFETY: `start` is NULL or realloc(3) made it.
            let start = unsafe { libc::realloc(self.start.cast(), room + 1) }.cast::<u8>();
            if !start.is_null() {
                // SAFETY: realloc(3) made room for that many bytes from there on.
                let new = unsafe { start.add(self.length) };
                // SAFETY: as above.
                unsafe { new.write_bytes(0, room + 1 - self.length) };
                self.start = start;
                self.room = room;
            }
        }
        if self.start.is_null() {
            return &mut [];
        }
        // SAFETY: the length is never above the room, for which memory was made and zeroed.
        unsafe { slice::from_raw_parts_mut(self.start.add(self.length), self.room - self.length) }
    }

    /// So many bytes of what `spare` returned are used.
    pub fn add(&mut self, count: usize) {
        self.length = self.length.saturating_add(count).min(self.room);
    }
}

impl Drop for Bytes {
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: NULL, or realloc(3) made it and nobody else frees it.
        unsafe { libc::free(self.start.cast()) };
    }
}

// SAFETY: it owns its memory.
unsafe impl Send for Bytes {}
