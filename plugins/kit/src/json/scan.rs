//! Finds the end of what a JSON string has without escapes, eight bytes at once.

/// A byte in every place of a word.
const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The number of bytes before the first quote, backslash or control character; all of them, if there is none.
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: u8| byte == b'"' || byte == b'\\' || byte < b' ';
    words.len() * 8 + rest.iter().position(|&byte| is_special(byte)).unwrap_or(rest.len())
}

/// Sets the highest bit of the first special byte of a word. Of the bytes behind it, it may set some by mistake: a
/// subtraction borrows from the next byte.
fn special(word: u64) -> u64 {
    let is_less = |word: u64, than: u8| word.wrapping_sub(every(than)) & !word;
    let is = |byte: u8| is_less(word ^ every(byte), 1);
    (is_less(word, b' ') | is(b'"') | is(b'\\')) & every(0x80)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_special_byte_is_found_at_every_place() {
        for length in 0..40 {
            for byte in 0..=u8::MAX {
                for place in 0..length {
                    // A byte behind the special one, which a borrow could reach.
                    let mut bytes = vec![b'!'; length];
                    bytes[place] = byte;
                    let is_special = byte < b' ' || byte == b'"' || byte == b'\\';
                    assert_eq!(plain(&bytes), if is_special { place } else { length }, "{byte} at {place}");
                }
            }
        }
        assert_eq!(plain("\u{e9}\u{20}\u{1f600}\u{7f}\u{a0}#][".as_bytes()), 13);
    }
}
