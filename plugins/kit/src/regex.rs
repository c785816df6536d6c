//! A small regular expression matcher for `downscaler_annotations`: literals, `.`, classes, groups, `|`, `*`, `+`, `?`,
//! `^` and `$`. An expression matches anywhere in a text unless it is anchored.
//!
//! Why not `regex-lite`: it adds 74 KB to a component, this adds 9 KB.

use crate::{Result, invalid_config};

/// A compiled regular expression: alternatives, of which one has to match.
pub struct Regex(Vec<Sequence>);

/// Atoms that match one after another.
type Sequence = Vec<Repeat>;

/// An atom with its quantifier.
struct Repeat {
    atom: Atom,
    min: usize,
    max: usize,
}

enum Atom {
    /// One byte that is in one of the ranges, or in none of them.
    Byte {
        ranges: Vec<(u8, u8)>,
        negated: bool,
    },
    Start,
    End,
    Group(Vec<Sequence>),
}

impl Regex {
    /// Compiles an expression; `key` is its key in the operator configuration.
    ///
    /// # Errors
    /// If the expression is invalid or uses other syntax than the above.
    pub fn parse(key: &str, text: &str) -> Result<Self> {
        let mut parser = Parser { rest: text.as_bytes() };
        parser.alternatives().filter(|_| parser.rest.is_empty()).map(Self).ok_or_else(|| {
            invalid_config(format!(
                "{key}: \"{text}\" is not a supported regular expression; \
                 use letters, ., *, +, ?, |, ( ), [ ], ^ and $, or \\ before a punctuation character"
            ))
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

    fn alternatives(&mut self) -> Option<Vec<Sequence>> {
        let mut all = vec![Vec::new()];
        while let Some(&byte) = self.rest.first() {
            match byte {
                b')' => break,
                b'|' => {
                    self.next();
                    all.push(Vec::new());
                }
                _ => {
                    let repeat = self.repeat()?;
                    all.last_mut()?.push(repeat);
                }
            }
        }
        Some(all)
    }

    fn repeat(&mut self) -> Option<Repeat> {
        let atom = match self.next()? {
            b'*' | b'+' | b'?' | b'{' | b'}' | b']' => return None,
            b'^' => Atom::Start,
            b'$' => Atom::End,
            b'.' => Atom::Byte { ranges: vec![(b'\n', b'\n')], negated: true },
            b'\\' => Atom::Byte { ranges: escape(self.next()?)?, negated: false },
            b'[' => self.class()?,
            b'(' => {
                let group = self.alternatives()?;
                self.next().filter(|&byte| byte == b')')?;
                Atom::Group(group)
            }
            byte => Atom::Byte { ranges: vec![(byte, byte)], negated: false },
        };
        let (min, max) = match self.rest.first() {
            Some(b'*') => (0, usize::MAX),
            Some(b'+') => (1, usize::MAX),
            Some(b'?') => (0, 1),
            _ => return Some(Repeat { atom, min: 1, max: 1 }),
        };
        self.next();
        Some(Repeat { atom, min, max })
    }

    fn class(&mut self) -> Option<Atom> {
        let negated = self.rest.first() == Some(&b'^');
        if negated {
            self.next();
        }
        let mut ranges = Vec::new();
        loop {
            let low = match self.next()? {
                b']' if !ranges.is_empty() => return Some(Atom::Byte { ranges, negated }),
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
fn any(alternatives: &[Sequence], text: &[u8], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
    alternatives.iter().any(|repeats| sequence(repeats, text, at, then))
}

fn sequence(repeats: &[Repeat], text: &[u8], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
    match repeats.split_first() {
        None => then(at),
        Some((repeat, rest)) => repetitions(repeat, 0, text, at, &mut |end| sequence(rest, text, end, then)),
    }
}

/// Matches as often as possible, and less often if the rest does not match otherwise.
fn repetitions(repeat: &Repeat, count: usize, text: &[u8], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
    let more = count < repeat.max
        && once(&repeat.atom, text, at, &mut |end| {
            // Repeating an empty match would never end.
            (end > at || count < repeat.min) && repetitions(repeat, count + 1, text, end, then)
        });
    more || (count >= repeat.min && then(at))
}

fn once(atom: &Atom, text: &[u8], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
    match atom {
        Atom::Start => at == 0 && then(at),
        Atom::End => at == text.len() && then(at),
        Atom::Group(alternatives) => any(alternatives, text, at, then),
        Atom::Byte { ranges, negated } => text.get(at).is_some_and(|byte| {
            ranges.iter().any(|(low, high)| (low..=high).contains(&byte)) != *negated && then(at + 1)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::Regex;

    fn is_match(pattern: &str, text: &str) -> bool {
        Regex::parse("downscaler_annotations", pattern).unwrap().is_match(text)
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
            let error = Regex::parse("downscaler_annotations", pattern).err();
            assert!(format!("{error:?}").contains("downscaler_annotations"), "{pattern}: {error:?}");
        }
    }
}
