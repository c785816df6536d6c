//! The allocator of a component: it only moves a pointer forward.
//!
//! Every call has a fresh instance, whose whole memory is dropped after the call. So only the last block is ever freed
//! or grown in place.
//!
//! Why not the default allocator, dlmalloc: it adds 8 KB to a component, and a decision of the shipped pipeline takes 9
//! to 15 percent longer with it.

use std::cell::Cell;

/// The size of a WebAssembly page in bytes.
const PAGE: usize = 64 << 10;

/// The memory that the allocator may use, as addresses.
struct Free {
    /// The address of the next block, before alignment.
    next: Cell<usize>,
    /// The end; 0 before the first block.
    end: Cell<usize>,
}

/// Where the memory begins and ends, and how it grows.
struct Memory {
    /// Start and end of the free part of the first pages.
    first: fn() -> (usize, usize),
    /// Adds pages and returns the number of the first one; `usize::MAX` if there are none left.
    grow: fn(usize) -> usize,
}

impl Free {
    /// The start of a block of `size` bytes: `start`, or behind it. None if there is no memory left.
    #[inline]
    fn take(&self, start: usize, size: usize, align: usize, memory: &Memory) -> Option<usize> {
        let next = start.wrapping_add(size);
        if next > self.end.get() || next < start {
            return self.take_more(start, size, align, memory);
        }
        self.next.set(next);
        Some(start)
    }

    /// The same, if the memory has to grow first, or for the first block.
    #[cold]
    #[inline(never)]
    fn take_more(&self, start: usize, size: usize, align: usize, memory: &Memory) -> Option<usize> {
        if self.end.get() == 0 {
            let (first, end) = (memory.first)();
            self.end.set(end);
            return self.take(first.checked_next_multiple_of(align)?, size, align, memory);
        }
        let missing = start.checked_add(size)?.checked_sub(self.end.get())?;
        let pages = missing.div_ceil(PAGE);
        let page = (memory.grow)(pages);
        if page == usize::MAX {
            return None;
        }
        let grown = page * PAGE;
        let start = if grown == self.end.get() { start } else { grown.checked_next_multiple_of(align)? };
        // If someone else has grown the memory in between, the pages before these belong to them.
        self.end.set(grown + pages * PAGE);
        self.take(start, size, align, memory)
    }

    #[inline]
    fn aligned(&self, align: usize) -> usize {
        (self.next.get() + (align - 1)) & !(align - 1)
    }

    #[cfg(target_arch = "wasm32")]
    #[inline]
    fn is_last(&self, block: usize, size: usize) -> bool {
        block + size == self.next.get()
    }
}

#[cfg(target_arch = "wasm32")]
mod global {
    use std::alloc::{GlobalAlloc, Layout};
    use std::cell::Cell;
    use std::ptr;

    use super::{Free, Memory};

    /// The allocator; [`register!`](crate::register) installs it.
    pub struct Allocator(Free);

    // SAFETY: a component has one thread.
    unsafe impl Sync for Allocator {}

    impl Allocator {
        /// An allocator without any block.
        #[expect(clippy::new_without_default, reason = "it is the value of a static")]
        pub const fn new() -> Self {
            Self(Free { next: Cell::new(0), end: Cell::new(0) })
        }

        #[inline]
        fn take(&self, start: usize, size: usize, align: usize) -> *mut u8 {
            match self.0.take(start, size, align, &Memory { first, grow: core::arch::wasm32::memory_grow::<0> }) {
                Some(start) => ptr::with_exposed_provenance_mut(start),
                None => ptr::null_mut(),
            }
        }
    }

    /// The linker puts the free memory behind its own data, from `__heap_base` to `__heap_end`, the end of the memory
    /// with which an instance starts.
    fn first() -> (usize, usize) {
        unsafe extern "C" {
            static __heap_base: u8;
            static __heap_end: u8;
        }
        ((&raw const __heap_base).expose_provenance(), (&raw const __heap_end).expose_provenance())
    }

    // SAFETY: blocks do not overlap: `next` only goes back to the start of a block that its owner gives up, and only
    // the linker's free memory and the pages that `grow` has returned are used.
    unsafe impl GlobalAlloc for Allocator {
        #[inline]
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            self.take(self.0.aligned(layout.align()), layout.size(), layout.align())
        }

        #[inline]
        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            if self.0.is_last(block.addr(), layout.size()) {
                self.0.next.set(block.addr());
            }
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            let is_last = self.0.is_last(block.addr(), layout.size());
            if !is_last && size <= layout.size() {
                return block;
            }
            let start = if is_last { block.addr() } else { self.0.aligned(layout.align()) };
            let moved = self.take(start, size, layout.align());
            if !moved.is_null() && moved != block {
                // SAFETY: the new block is larger than the old one and is behind it.
                unsafe { ptr::copy_nonoverlapping(block, moved, layout.size()) };
            }
            moved
        }
    }
}

#[cfg(target_arch = "wasm32")]
pub use global::Allocator;

#[cfg(test)]
mod tests {
    use super::*;

    fn free() -> Free {
        Free { next: Cell::new(0), end: Cell::new(0) }
    }

    /// Blocks of these sizes, aligned to 8 bytes.
    fn take(free: &Free, sizes: &[usize], memory: &Memory) -> Vec<Option<usize>> {
        sizes.iter().map(|&size| free.take(free.aligned(8), size, 8, memory)).collect()
    }

    #[test]
    fn blocks_follow_one_another_from_the_free_part_of_the_first_pages_on() {
        let memory = Memory { first: || (1001, PAGE), grow: |_| usize::MAX };
        assert_eq!(take(&free(), &[5, 8, 1], &memory), [Some(1008), Some(1016), Some(1024)]);
    }

    #[test]
    fn a_block_continues_in_new_pages_that_follow_the_old_ones() {
        let memory = Memory { first: || (0, PAGE), grow: |pages| if pages == 2 { 1 } else { usize::MAX } };
        assert_eq!(take(&free(), &[PAGE - 8, 2 * PAGE, 8], &memory), [Some(0), Some(PAGE - 8), Some(3 * PAGE - 8)]);
    }

    #[test]
    fn pages_that_someone_else_has_added_are_not_used() {
        // The new pages start at page 7: pages 1 to 6 belong to another user of `memory.grow`.
        let memory = Memory { first: || (0, PAGE), grow: |pages| if pages == 1 { 7 } else { usize::MAX } };
        assert_eq!(take(&free(), &[PAGE - 8, 16, 8], &memory), [Some(0), Some(7 * PAGE), Some(7 * PAGE + 16)]);
    }

    #[test]
    fn without_memory_there_is_no_block() {
        let memory = Memory { first: || (0, PAGE), grow: |_| usize::MAX };
        assert_eq!(take(&free(), &[PAGE + 1, usize::MAX, 8], &memory), [None, None, Some(0)]);
    }
}
