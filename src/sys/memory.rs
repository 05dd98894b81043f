//! Memory that grows. std's collections end the program when there is none, and are larger than all
//! of this.

use core::{
    ffi::{CStr, c_char, c_int, c_void},
    mem::MaybeUninit,
    ptr, slice,
    sync::atomic::{AtomicPtr, Ordering::SeqCst},
};

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

/// The least room that is made for something put together in pieces.
const SMALL: usize = 63;

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

    pub fn as_slice(&self) -> &[u8] {
        if self.start.is_null() {
            return &[];
        }
        // SAFETY: that many bytes were written.
        unsafe { slice::from_raw_parts(self.start, self.length) }
    }

    /// The strings in them, each with a NUL at its end.
    pub fn strings(&self) -> impl Iterator<Item = &CStr> {
        self.as_slice()
            .split_inclusive(|&byte| byte == 0)
            .filter(|string| string.ends_with(b"\0"))
            .map(|string| {
                // SAFETY: one NUL, at its end.
                unsafe { CStr::from_bytes_with_nul_unchecked(string) }
            })
    }

    /// Takes so many of the first ones away.
    pub fn drop_first(&mut self, count: usize) {
        let left = self.length.saturating_sub(count);
        if !self.start.is_null() {
            // SAFETY: both places lie within the bytes, with `left` of them behind.
            unsafe { self.start.copy_from(self.start.add(self.length - left), left) };
        }
        self.length = left;
    }

    /// With room for so many. ENOMEM.
    pub fn with_room(room: usize) -> nix::Result<Self> {
        let mut bytes = Bytes::new();
        bytes.grow(room).map(|()| bytes)
    }

    /// Room behind them, for `add`; it grows up to `limit`. Empty at the limit, or without memory.
    #[inline(never)]
    pub fn spare(&mut self, limit: usize) -> &mut [u8] {
        if self.length == self.room && self.room < limit {
            let _ = self.grow((2 * self.room).max(4096).min(limit));
        }
        self.left()
    }

    /// ENOMEM.
    #[inline(never)]
    fn grow(&mut self, room: usize) -> nix::Result<()> {
        // SAFETY: `start` is NULL or realloc(3) made it.
        let start = unsafe { libc::realloc(self.start.cast(), room + 1) }.cast::<u8>();
        if start.is_null() {
            return Err(Errno::ENOMEM);
        }
        // SAFETY: realloc(3) made room for that many bytes from there on.
        let new = unsafe { start.add(self.length) };
        // SAFETY: as above.
        unsafe { new.write_bytes(0, room + 1 - self.length) };
        self.start = start;
        self.room = room;
        Ok(())
    }

    /// The room that is left, for `add`.
    pub fn left(&mut self) -> &mut [u8] {
        if self.start.is_null() {
            return &mut [];
        }
        // SAFETY: the length is never above the room, for which memory was made and zeroed.
        unsafe { slice::from_raw_parts_mut(self.start.add(self.length), self.room - self.length) }
    }

    /// Puts a copy behind them. ENOMEM, and then nothing of it.
    #[inline(never)]
    pub fn push(&mut self, more: &[u8]) -> nix::Result<()> {
        let length = self.length + more.len();
        if length > self.room {
            self.grow(length.max(2 * self.room).max(SMALL))?;
        }
        if !more.is_empty() {
            // SAFETY: not NULL, as there is room, and the length is never above it.
            let end = unsafe { self.start.add(self.length) };
            // SAFETY: `more` fits into the room, and is not in these bytes, which are borrowed mutably.
            unsafe { end.copy_from_nonoverlapping(more.as_ptr(), more.len()) };
        }
        self.length = length;
        Ok(())
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

/// What printf(3) makes of a format.
pub struct Printed {
    start: *mut c_char,
    length: usize,
}

unsafe extern "C" {
    /// With a pointer for a va_list, as in ffi.
    fn vasprintf(to: *mut *mut c_char, format: *const c_char, list: *mut c_void) -> c_int;
}

impl Printed {
    /// # Safety
    /// As vprintf(3) wants them.
    pub unsafe fn new(format: *const c_char, arguments: *mut c_void) -> nix::Result<Self> {
        let mut start = ptr::null_mut();
        // SAFETY: our contract; `start` is writable.
        let length = super::check(unsafe { vasprintf(&mut start, format, arguments) })?;
        Ok(Printed { start, length: length as usize })
    }

    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: vasprintf(3) succeeded: it wrote as many bytes as it said.
        unsafe { slice::from_raw_parts(self.start.cast(), self.length) }
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        // SAFETY: vasprintf(3) allocated it, and nobody else frees it.
        unsafe { libc::free(self.start.cast()) };
    }
}

/// Text that is put together on the stack. What does not fit is cut. In decimal and hexadecimal without
/// core::fmt, which is larger than all of this.
#[derive(Clone, Copy)]
pub struct Buffer<const ROOM: usize> {
    length: usize,
    bytes: MaybeUninit<[u8; ROOM]>,
}

impl<const ROOM: usize> Buffer<ROOM> {
    /// Not zeroed: that would take as long as all the rest of logging a line.
    pub const fn new() -> Self {
        Buffer { length: 0, bytes: MaybeUninit::uninit() }
    }

    /// Whether all of it fitted.
    pub fn push(&mut self, text: &[u8]) -> bool {
        let count = text.len().min(ROOM - self.length);
        // SAFETY: `length` is never above ROOM.
        let end = unsafe { self.bytes.as_mut_ptr().cast::<u8>().add(self.length) };
        // SAFETY: `count` bytes are left there, and the text is not in this buffer.
        unsafe { end.copy_from_nonoverlapping(text.as_ptr(), count) };
        self.length += count;
        count == text.len()
    }

    /// In decimal, with zeros before it up to `digits`.
    pub fn push_number(&mut self, number: u32, digits: usize) {
        self.push_long(number.into(), digits);
    }

    pub fn push_long(&mut self, number: u64, digits: usize) {
        self.push(decimal(number, digits, &mut [0; 20]));
    }

    /// In hexadecimal, as `push_number`.
    pub fn push_hex(&mut self, number: u64, digits: usize) {
        let mut shown = [b'0'; 16];
        let mut rest = number;
        let mut used = 0;
        for digit in shown.iter_mut().rev() {
            let value = (rest & 0xf) as u8;
            *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
            rest >>= 4;
            used += 1;
            if rest == 0 && used >= digits {
                break;
            }
        }
        self.push(shown.get(16 - used..).unwrap_or_default());
    }

    /// Has `write` put bytes behind them, at most so many, and say how many these are.
    ///
    /// # Safety
    /// `write` writes as many bytes as it says.
    pub unsafe fn append(
        &mut self,
        write: impl FnOnce(*mut u8, usize) -> nix::Result<usize>,
    ) -> nix::Result<usize> {
        // SAFETY: `length` is never above ROOM.
        let end = unsafe { self.bytes.as_mut_ptr().cast::<u8>().add(self.length) };
        let count = write(end, ROOM - self.length)?;
        self.length += count;
        Ok(count)
    }

    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Has `write` put bytes from a place on, at most so many, and say how many it wanted to. A NUL of its
    /// own may be the last.
    ///
    /// # Safety
    /// `write` writes as many bytes as it says, up to the limit less one.
    pub unsafe fn fill(&mut self, write: impl FnOnce(*mut u8, usize) -> usize) {
        let wanted = write(self.bytes.as_mut_ptr().cast(), ROOM);
        self.length = wanted.min(ROOM - 1);
    }

    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: that many bytes were written.
        unsafe { slice::from_raw_parts(self.bytes.as_ptr().cast(), self.length) }
    }
}

/// Of all buffers, so it is there once.
#[inline(never)]
fn decimal(number: u64, digits: usize, shown: &mut [u8; 20]) -> &[u8] {
    let mut rest = number;
    let mut used = 0;
    for digit in shown.iter_mut().rev() {
        *digit = b'0' + rest.wrapping_rem(10) as u8;
        rest = rest.wrapping_div(10);
        used += 1;
        if rest == 0 && used >= digits {
            break;
        }
    }
    shown.get(20 - used..).unwrap_or_default()
}

/// A value that all threads and signal handlers see, and that is replaced as a whole. Older ones stay, for
/// those that still use them.
pub struct Published<T: 'static>(AtomicPtr<Node<T>>);

struct Node<T> {
    value: T,
    /// So that nobody takes it for lost memory.
    _before: *mut Node<T>,
}

// SAFETY: the value is only ever shared.
unsafe impl<T: Sync + Send> Sync for Published<T> {}

impl<T> Published<T> {
    pub const fn new() -> Self {
        Published(AtomicPtr::new(ptr::null_mut()))
    }

    pub fn get(&self) -> Option<&'static T> {
        // SAFETY: NULL, or a node that is never freed.
        unsafe { self.0.load(SeqCst).as_ref() }.map(|node| &node.value)
    }

    /// ENOMEM.
    pub fn publish(&self, value: T) -> nix::Result<&'static T> {
        // SAFETY: malloc(3) has no preconditions.
        let node = unsafe { libc::malloc(size_of::<Node<T>>()) }.cast::<Node<T>>();
        if node.is_null() {
            return Err(Errno::ENOMEM);
        }
        // SAFETY: new memory of that size; malloc(3) aligns for everything.
        unsafe { node.write(Node { value, _before: self.0.load(SeqCst) }) };
        self.0.store(node, SeqCst);
        // SAFETY: just written, and never freed.
        Ok(unsafe { &(*node).value })
    }
}
