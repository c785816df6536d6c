//! The allocator of a component: it only moves a pointer forward.
//!
//! Every call has a fresh instance, whose whole memory is dropped after the call. So only the last block is ever freed
//! or grown in place.
//!
//! Why not the default allocator, dlmalloc: it adds 8 KB to a component, and a decision of the shipped pipeline takes 9
//! to 15 percent longer with it.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr;

/// The size of a WebAssembly page in bytes.
const PAGE: usize = 64 << 10;

/// The allocator; [`register!`](crate::register) installs it.
pub struct Allocator {
    /// The address of the next block, before alignment.
    next: Cell<usize>,
    /// The end of the memory; 0 before the first block.
    end: Cell<usize>,
}

// SAFETY: a component has one thread.
unsafe impl Sync for Allocator {}

impl Allocator {
    /// An allocator without any block.
    #[expect(clippy::new_without_default, reason = "it is the value of a static")]
    pub const fn new() -> Self {
        Self { next: Cell::new(0), end: Cell::new(0) }
    }

    /// A block of `size` bytes at `start`; null if there is no memory left.
    #[inline]
    fn claim(&self, start: usize, size: usize) -> *mut u8 {
        let next = start.wrapping_add(size);
        if next > self.end.get() || next < start {
            return self.claim_more(start, size);
        }
        self.next.set(next);
        ptr::with_exposed_provenance_mut(start)
    }

    /// The same, if the memory has to grow first, or for the first block.
    #[cold]
    #[inline(never)]
    fn claim_more(&self, start: usize, size: usize) -> *mut u8 {
        if self.end.get() == 0 {
            return self.claim(self.first_start(), size);
        }
        let Some(next) = start.checked_add(size) else { return ptr::null_mut() };
        let pages = (next - self.end.get()).div_ceil(PAGE);
        if core::arch::wasm32::memory_grow::<0>(pages) == usize::MAX {
            return ptr::null_mut();
        }
        self.end.set(self.end.get() + pages * PAGE);
        self.next.set(next);
        ptr::with_exposed_provenance_mut(start)
    }

    /// The start of the first block: the linker puts the free memory behind its own data, from `__heap_base` on.
    fn first_start(&self) -> usize {
        unsafe extern "C" {
            static __heap_base: u8;
        }
        self.end.set(core::arch::wasm32::memory_size::<0>() * PAGE);
        (&raw const __heap_base).expose_provenance().next_multiple_of(16)
    }

    #[inline]
    fn align(&self, align: usize) -> usize {
        (self.next.get() + (align - 1)) & !(align - 1)
    }

    #[inline]
    fn is_last(&self, block: *mut u8, size: usize) -> bool {
        block.addr() + size == self.next.get()
    }
}

// SAFETY: blocks do not overlap, because `next` only goes back to the start of a block that its owner gives up.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.claim(self.align(layout.align()), layout.size())
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.is_last(block, layout.size()) {
            self.next.set(block.addr());
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.is_last(block, layout.size()) {
            return self.claim(block.addr(), size);
        }
        if size <= layout.size() {
            return block;
        }
        let moved = self.claim(self.align(layout.align()), size);
        if !moved.is_null() {
            // SAFETY: the new block is larger than the old one and is behind it.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size()) };
        }
        moved
    }
}
