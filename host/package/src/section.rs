//! The sections of a WebAssembly file: as much as is needed to say what the file is.

/// The id of a section with what does not change how the file runs.
pub(crate) const CUSTOM: u8 = 0;
/// The id of the section with the exports of a core module.
const EXPORT: u8 = 7;
/// Magic, version and layer come before the first section.
const PREAMBLE: usize = 8;

/// One section.
pub(crate) struct Section<'a> {
    pub id: u8,
    /// All bytes, with id and length.
    pub whole: &'a [u8],
    content: &'a [u8],
}

impl<'a> Section<'a> {
    /// The name of a custom section.
    pub(crate) fn custom_name(&self) -> Option<&'a str> {
        let (length, rest) = number(self.content).filter(|_| self.id == CUSTOM)?;
        std::str::from_utf8(rest.get(..length)?).ok()
    }

    /// The names in the section with the exports.
    pub(crate) fn exports(&self) -> Vec<&'a str> {
        self.names().unwrap_or_default()
    }

    fn names(&self) -> Option<Vec<&'a str>> {
        let (count, mut rest) = number(self.content).filter(|_| self.id == EXPORT)?;
        let mut names = Vec::new();
        for _ in 0..count {
            let (length, behind) = number(rest)?;
            let (name, behind) = behind.split_at_checked(length)?;
            names.push(std::str::from_utf8(name).ok()?);
            // The kind of what is exported, and its index.
            rest = number(behind.get(1..)?)?.1;
        }
        Some(names)
    }
}

/// All sections; `None` if the last one is cut off.
pub(crate) fn all(file: &[u8]) -> Option<Vec<Section<'_>>> {
    let mut rest = file.get(PREAMBLE..)?;
    let mut sections = Vec::new();
    while let Some((&id, behind)) = rest.split_first() {
        let (length, behind) = number(behind)?;
        let (content, behind) = behind.split_at_checked(length)?;
        let whole = rest.get(..rest.len() - behind.len())?;
        sections.push(Section { id, whole, content });
        rest = behind;
    }
    Some(sections)
}

/// A number as WebAssembly writes it (LEB128), and what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (index, &byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}
