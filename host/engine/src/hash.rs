//! SHA-256 of values in memory, by which the result of a computation is found again.

use std::hash::Hasher;

use sha2::{Digest, Sha256};

/// SHA-256 as a [`Hasher`], for the keys of what is reused. A collision would use what was made for another manifest, so
/// the author of a manifest must not be able to find one: SipHash with its 64 bits and a known key is not enough. `Hash`
/// writes a few bytes at a time, which is slow with SHA-256, so the bytes are buffered.
pub struct Sha {
    digest: Sha256,
    gathered: [u8; Self::BLOCK],
    length: usize,
}

impl Sha {
    const BLOCK: usize = 1024;

    #[cold]
    fn flush(&mut self) {
        self.digest.update(self.gathered.get(..self.length).unwrap_or_default());
        self.length = 0;
    }

    /// The SHA-256 of all that was written.
    #[must_use]
    pub fn finalize(mut self) -> [u8; 32] {
        self.flush();
        self.digest.finalize().into()
    }
}

impl Default for Sha {
    fn default() -> Self {
        Self { digest: Sha256::new(), gathered: [0; Self::BLOCK], length: 0 }
    }
}

impl Hasher for Sha {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        if self.length + bytes.len() > Self::BLOCK {
            self.flush();
        }
        match self.gathered.get_mut(self.length..self.length + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => self.digest.update(bytes),
        }
    }

    // Lengths and discriminants are eight bytes for mostly one, and would be a third of all that is hashed.
    fn write_usize(&mut self, number: usize) {
        match u8::try_from(number) {
            Ok(small) if small < u8::MAX => self.write(&[small]),
            _ => {
                self.write(&[u8::MAX]);
                self.write(&number.to_le_bytes());
            }
        }
    }

    fn write_isize(&mut self, number: isize) {
        self.write_usize(number.cast_unsigned());
    }

    fn finish(&self) -> u64 {
        let mut digest = self.digest.clone();
        digest.update(self.gathered.get(..self.length).unwrap_or_default());
        digest.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hash;

    use super::*;

    fn digest(value: &impl Hash) -> [u8; 32] {
        let mut sha = Sha::default();
        value.hash(&mut sha);
        sha.finalize()
    }

    #[test]
    fn equal_values_and_no_others_have_the_same_digest() {
        for length in [0, 1, Sha::BLOCK - 1, Sha::BLOCK, Sha::BLOCK * 3] {
            let (same, longer) = ("x".repeat(length), "x".repeat(length + 1));
            assert_eq!(digest(&same), digest(&same.clone()));
            assert_ne!(digest(&same), digest(&longer), "{length}");
        }
        assert_ne!(digest(&("ab", "c")), digest(&("a", "bc")));
        let numbers = [0, 1, 254, 255, 256, 0xfeff, usize::MAX];
        let digests: std::collections::BTreeSet<_> = numbers.iter().map(digest).collect();
        assert_eq!(digests.len(), numbers.len());
    }
}
