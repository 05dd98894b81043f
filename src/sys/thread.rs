//! What belongs to a thread, and what threads share. std's would need the dynamic linker's thread
//! storage, and with it a second library at run time.

use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
    sync::atomic::{
        AtomicBool, AtomicU32,
        Ordering::{Relaxed, SeqCst},
    },
};

use super::process::generation;
use crate::error::{SENTENCE_MAX, Sentence};

/// What each thread has for itself.
pub struct Own {
    /// That of the latest error, as it is composed.
    pub sentence: Sentence,
    /// What C was given last, ending in NUL.
    pub given: [u8; SENTENCE_MAX + 128],
}

/// The key of each thread's `Own`. u32::MAX: there is none.
static KEY: AtomicU32 = AtomicU32::new(u32::MAX);

/// Called once, at load.
pub fn make_key() {
    let mut key = 0;
    // SAFETY: `key` is writable, and free(3) is the right destructor for what calloc(3) made.
    if unsafe { libc::pthread_key_create(&mut key, Some(libc::free)) } == 0 {
        KEY.store(key, Relaxed);
    }
}

/// Uses what this thread has; its first use in a thread allocates it. `None` without memory.
pub fn with_own<T>(act: impl FnOnce(&mut Own) -> T) -> Option<T> {
    let key = KEY.load(Relaxed);
    if key == u32::MAX {
        return None;
    }
    // SAFETY: the key was made at load and is never deleted.
    let mut own = unsafe { libc::pthread_getspecific(key) }.cast::<Own>();
    if own.is_null() {
        // SAFETY: calloc(3) has no preconditions.
        own = unsafe { libc::calloc(1, size_of::<Own>()) }.cast();
        // SAFETY: as above.
        unsafe { libc::pthread_setspecific(key, own.cast()) };
    }
    // SAFETY: NULL, or memory for an Own, valid as zeros, which only this thread reaches. `act` is
    // one of this library's and does not call back into here.
    unsafe { own.as_mut() }.map(act)
}

/// A value that one thread at a time may use. In a forked child, whose other threads are gone, none
/// of those has it.
pub struct Mutex<T> {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    value: UnsafeCell<T>,
    /// The process for which `mutex` says the truth, as a generation.
    process: AtomicU32,
    /// A thread of the parent's had it: the value may be half changed.
    is_torn: AtomicBool,
}

// SAFETY: the mutex lets only one thread at a time reach the value.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Mutex {
            mutex: UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER),
            value: UnsafeCell::new(value),
            process: AtomicU32::new(0),
            is_torn: AtomicBool::new(false),
        }
    }

    pub fn lock(&self) -> Guard<'_, T> {
        let mutex = self.of_this_process();
        // SAFETY: initialized, and never moved since only statics are locked.
        unsafe { libc::pthread_mutex_lock(mutex) };
        Guard(self)
    }

    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        let mutex = self.of_this_process();
        // SAFETY: as in `lock`.
        let result = unsafe { libc::pthread_mutex_trylock(mutex) };
        (result == 0).then_some(Guard(self))
    }

    /// Whether the value may be half changed; told once.
    pub fn was_torn(&self) -> bool {
        self.is_torn.swap(false, SeqCst)
    }

    #[inline(always)]
    fn of_this_process(&self) -> *mut libc::pthread_mutex_t {
        if self.process.load(SeqCst) != generation() {
            renew(&self.process, self.mutex.get(), &self.is_torn);
        }
        self.mutex.get()
    }
}

/// Makes the mutex free in a forked child, if it was not when its parent was forked.
#[cold]
#[inline(never)]
fn renew(process: &AtomicU32, mutex: *mut libc::pthread_mutex_t, is_torn: &AtomicBool) {
    /// The generation of who is doing this. An older one is that of a process that was forked
    /// meanwhile.
    static BUSY: AtomicU32 = AtomicU32::new(0);
    let generation = generation();
    loop {
        let busy = BUSY.load(SeqCst);
        if busy == generation {
            std::thread::yield_now();
        } else if BUSY.compare_exchange(busy, generation, SeqCst, SeqCst).is_ok() {
            break;
        }
    }
    let before = process.load(SeqCst);
    if before != generation {
        // SAFETY: initialized, and never moved since only statics are locked.
        let is_free = unsafe { libc::pthread_mutex_trylock(mutex) } == 0;
        if is_free {
            // SAFETY: just locked.
            unsafe { libc::pthread_mutex_unlock(mutex) };
        } else if before != 0 {
            // SAFETY: whoever has it does not exist in this process, and nobody waits for it yet.
            unsafe { mutex.write(libc::PTHREAD_MUTEX_INITIALIZER) };
            is_torn.store(true, SeqCst);
        }
        process.store(generation, SeqCst);
    }
    BUSY.store(0, SeqCst);
}

pub struct Guard<'a, T>(&'a Mutex<T>);

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard has the mutex, so nobody else reaches the value.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard has the mutex, so nobody else reaches the value.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this guard locked it.
        unsafe { libc::pthread_mutex_unlock(self.0.mutex.get()) };
    }
}
