//! The guest's memory. A call has an instance of its own that is thrown away behind it, so memory is handed out in a row and
//! only the last piece is ever taken back: that is a few instructions where a general allocator needs hundreds.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr;

/// WebAssembly's memory grows by pages of this many bytes.
const PAGE: usize = 64 << 10;

/// The allocator of a component; [`register!`](crate::register) installs it.
pub struct Heap {
    /// Where the next piece may start.
    next: Cell<usize>,
    /// The first address that is not memory; 0 before the first piece.
    end: Cell<usize>,
}

// SAFETY: a component has one thread.
unsafe impl Sync for Heap {}

impl Heap {
    /// An allocator that has handed out nothing.
    #[expect(clippy::new_without_default, reason = "it is a static, and there is one")]
    pub const fn new() -> Self {
        Self { next: Cell::new(0), end: Cell::new(0) }
    }

    /// Hands out `size` bytes from `start` on.
    #[inline]
    fn claim(&self, start: usize, size: usize) -> *mut u8 {
        let next = start.wrapping_add(size);
        if next > self.end.get() || next < start {
            return self.claim_more(start, size);
        }
        self.next.set(next);
        ptr::with_exposed_provenance_mut(start)
    }

    /// The same where memory has to grow first, or was never handed out.
    #[cold]
    #[inline(never)]
    fn claim_more(&self, start: usize, size: usize) -> *mut u8 {
        if self.end.get() == 0 {
            return self.claim(self.begin(), size);
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

    /// The memory that the linker laid out ends with what is free.
    fn begin(&self) -> usize {
        unsafe extern "C" {
            static __heap_base: u8;
        }
        self.end.set(core::arch::wasm32::memory_size::<0>() * PAGE);
        (&raw const __heap_base).expose_provenance().next_multiple_of(16)
    }

    #[inline]
    fn place(&self, align: usize) -> usize {
        (self.next.get() + (align - 1)) & !(align - 1)
    }

    #[inline]
    fn is_last(&self, piece: *mut u8, size: usize) -> bool {
        piece.addr() + size == self.next.get()
    }
}

// SAFETY: pieces do not overlap, because `next` only goes back to the start of a piece that its owner gives up.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.claim(self.place(layout.align()), layout.size())
    }

    #[inline]
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        if self.is_last(piece, layout.size()) {
            self.next.set(piece.addr());
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.is_last(piece, layout.size()) {
            return self.claim(piece.addr(), size);
        }
        if size <= layout.size() {
            return piece;
        }
        let moved = self.claim(self.place(layout.align()), size);
        if !moved.is_null() {
            // SAFETY: the new piece is larger than the old one and lies behind it.
            unsafe { ptr::copy_nonoverlapping(piece, moved, layout.size()) };
        }
        moved
    }
}
