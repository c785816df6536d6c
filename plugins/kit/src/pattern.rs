//! Regular expressions of the operator configuration, as far as names need them: literals, `.`, classes, groups, `|`,
//! `*`, `+`, `?`, `^` and `$`. A pattern matches anywhere in a text unless it is anchored.

use crate::{Result, invalid_config};

/// A pattern, ready to match.
pub struct Pattern(Vec<Vec<Piece>>);

/// What is matched once, and how often it is.
struct Piece {
    what: What,
    least: usize,
    most: usize,
}

enum What {
    /// One byte of a range, or of none of them.
    Byte {
        ranges: Vec<(u8, u8)>,
        negated: bool,
    },
    Start,
    End,
    Group(Vec<Vec<Piece>>),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// If it uses what is not known here; `key` names where it stands.
    pub fn parse(key: &str, text: &str) -> Result<Self> {
        let mut parser = Parser { rest: text.as_bytes() };
        parser.alternatives().filter(|_| parser.rest.is_empty()).map(Self).ok_or_else(|| {
            invalid_config(
                [
                    key,
                    ": \"",
                    text,
                    "\" is no pattern; use letters, ., *, +, ?, |, ( ), [ ], ^ and $, or \\ before a sign",
                ]
                .concat(),
            )
        })
    }

    /// Whether it matches somewhere in the text.
    pub fn is_match(&self, text: &str) -> bool {
        let text = text.as_bytes();
        (0..=text.len()).any(|start| any(&self.0, text, start, &mut |_| true))
    }
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl Parser<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn alternatives(&mut self) -> Option<Vec<Vec<Piece>>> {
        let mut all = vec![Vec::new()];
        while let Some(&byte) = self.rest.first() {
            match byte {
                b')' => break,
                b'|' => {
                    self.next();
                    all.push(Vec::new());
                }
                _ => {
                    let piece = self.piece()?;
                    all.last_mut()?.push(piece);
                }
            }
        }
        Some(all)
    }

    fn piece(&mut self) -> Option<Piece> {
        let what = match self.next()? {
            b'*' | b'+' | b'?' | b'{' | b'}' | b']' => return None,
            b'^' => What::Start,
            b'$' => What::End,
            b'.' => What::Byte { ranges: vec![(b'\n', b'\n')], negated: true },
            b'\\' => What::Byte { ranges: escape(self.next()?)?, negated: false },
            b'[' => self.class()?,
            b'(' => {
                let group = self.alternatives()?;
                self.next().filter(|&byte| byte == b')')?;
                What::Group(group)
            }
            byte => What::Byte { ranges: vec![(byte, byte)], negated: false },
        };
        let (least, most) = match self.rest.first() {
            Some(b'*') => (0, usize::MAX),
            Some(b'+') => (1, usize::MAX),
            Some(b'?') => (0, 1),
            _ => return Some(Piece { what, least: 1, most: 1 }),
        };
        self.next();
        Some(Piece { what, least, most })
    }

    fn class(&mut self) -> Option<What> {
        let negated = self.rest.first() == Some(&b'^');
        if negated {
            self.next();
        }
        let mut ranges = Vec::new();
        loop {
            let low = match self.next()? {
                b']' if !ranges.is_empty() => return Some(What::Byte { ranges, negated }),
                b'\\' => {
                    ranges.extend(escape(self.next()?)?);
                    continue;
                }
                byte => byte,
            };
            match self.rest {
                [b'-', high, ..] if *high != b']' => {
                    ranges.push((low, *high));
                    self.rest = &self.rest[2..];
                }
                _ => ranges.push((low, low)),
            }
        }
    }
}

fn escape(byte: u8) -> Option<Vec<(u8, u8)>> {
    match byte {
        b'd' => Some(vec![(b'0', b'9')]),
        b'w' => Some(vec![(b'0', b'9'), (b'A', b'Z'), (b'a', b'z'), (b'_', b'_')]),
        b's' => Some(vec![(b'\t', b'\r'), (b' ', b' ')]),
        _ if byte.is_ascii_alphanumeric() => None,
        _ => Some(vec![(byte, byte)]),
    }
}

/// Whether one of the alternatives matches from `at` so that `then` accepts where it ends.
fn any(alternatives: &[Vec<Piece>], text: &[u8], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
    alternatives.iter().any(|pieces| sequence(pieces, text, at, then))
}

fn sequence(pieces: &[Piece], text: &[u8], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
    match pieces.split_first() {
        None => then(at),
        Some((piece, rest)) => repeated(piece, 0, text, at, &mut |end| sequence(rest, text, end, then)),
    }
}

/// Matches as often as it can, and gives back what the rest needs.
fn repeated(piece: &Piece, count: usize, text: &[u8], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
    let more = count < piece.most
        && once(&piece.what, text, at, &mut |end| {
            // An empty match that is repeated gets nowhere.
            (end > at || count < piece.least) && repeated(piece, count + 1, text, end, then)
        });
    more || (count >= piece.least && then(at))
}

fn once(what: &What, text: &[u8], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
    match what {
        What::Start => at == 0 && then(at),
        What::End => at == text.len() && then(at),
        What::Group(alternatives) => any(alternatives, text, at, then),
        What::Byte { ranges, negated } => text.get(at).is_some_and(|byte| {
            ranges.iter().any(|(low, high)| (low..=high).contains(&byte)) != *negated && then(at + 1)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn is_match(pattern: &str, text: &str) -> bool {
        Pattern::parse("downscaler_annotations", pattern).unwrap().is_match(text)
    }

    #[test]
    fn a_pattern_matches_anywhere_unless_it_is_anchored() {
        for (pattern, text, expected) in [
            ("deployment-time", "deployment-time", true),
            ("deployment-time", "my-deployment-time", true),
            ("downscaler/*", "downscaler/downtime_replicas", true),
            ("downscaler/*", "downscaler", true),
            ("^downscaler/.+$", "downscaler/", false),
            ("^downscaler/.+$", "downscaler/uptime", true),
            ("^scaler", "downscaler", false),
            ("a|b", "xbx", true),
            ("^(a|bc)+$", "abcbca", true),
            ("^(a|bc)+$", "abcb", false),
            ("[a-c-]x", "-x", true),
            ("^[^/]+$", "a/b", false),
            (r"zalando\.org/\d+", "zalando.org/12", true),
            (r"zalando\.org", "zalandoXorg", false),
            ("(a*)*b", "aaab", true),
            ("", "anything", true),
        ] {
            assert_eq!(is_match(pattern, text), expected, "{pattern} in {text}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_with_the_key() {
        for pattern in ["a{2}", "*a", "(a", "a)", "[a", r"\b"] {
            let error = Pattern::parse("downscaler_annotations", pattern).err();
            assert!(format!("{error:?}").contains("downscaler_annotations"), "{pattern}: {error:?}");
        }
    }
}
