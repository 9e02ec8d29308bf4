//! How much memory a decoder takes.
//!
//! A program that installs [`Counting`] as its global allocator counts what each thread holds. Without it nothing is counted
//! and [`bounded`] only runs what it is given; the replay test checks that counting works.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Memory that a decoder may take for each byte of its input: an entry of two bytes may become a message of some hundreds.
const FACTOR: usize = 256;
/// Memory that it may take for an empty input: buffers of fixed size, texts of errors.
const BASE: usize = 128 << 10;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, and a count of what each thread holds.
#[derive(Debug, Clone, Copy)]
pub struct Counting;

fn note(change: isize) {
    // A thread that ends frees memory after its counters are gone.
    let _ = HELD.try_with(|held| {
        let now = held.get().saturating_add(change);
        held.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

fn signed(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

// SAFETY: every call goes to the system's allocator unchanged; the counters neither allocate nor unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(signed(layout.size()));
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-signed(layout.size()));
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(signed(size).saturating_sub(signed(layout.size())));
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Runs `run`, and returns its result and the most memory that this thread held meanwhile beyond what it held before.
pub fn measured<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = run();
    let taken = usize::try_from(PEAK.get().saturating_sub(before)).unwrap_or(0);
    (result, taken)
}

/// Runs a decoder.
///
/// # Panics
/// When it takes more memory than `input` bytes warrant.
pub fn bounded<T>(input: usize, decode: impl FnOnce() -> T) -> T {
    let (result, taken) = measured(decode);
    let limit = input.saturating_mul(FACTOR).saturating_add(BASE);
    assert!(taken <= limit, "{input} bytes of input took {taken} bytes of memory, more than {limit}");
    result
}
