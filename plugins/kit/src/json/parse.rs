//! Reads JSON: a whole value, or only where the fields of an object are.

use serde_json::{Map, Number, Value};

use super::scan;

/// How deep lists and objects may be nested.
pub(super) const MAX_DEPTH: usize = 128;

/// Parses a value; none if the text is not JSON.
pub fn parse(text: &str) -> Option<Value> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let value = parser.value()?;
    (parser.peek().is_none()).then_some(value)
}

/// The fields of an object: the name of each and the text of its value, which is not parsed. None if the text is not an
/// object. Names that contain escapes are not decoded.
pub fn fields(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let mut fields = Vec::with_capacity(32);
    if !parser.skip(b'{') {
        return None;
    }
    if parser.skip(b'}') {
        return Some(fields);
    }
    loop {
        parser.peek()?;
        let name = parser.pass()?;
        let name = name.strip_prefix('"')?.strip_suffix('"')?;
        if !parser.skip(b':') {
            return None;
        }
        parser.peek()?;
        fields.push((name, parser.pass()?));
        if parser.skip(b'}') {
            return Some(fields);
        }
        if !parser.skip(b',') {
            return None;
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Skips this byte if it is the next one.
    fn skip(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn value(&mut self) -> Option<Value> {
        match self.peek()? {
            b'"' => self.string().map(Value::String),
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::list),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => self.number(),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Option<Value>) -> Option<Value> {
        self.at += 1;
        self.depth += 1;
        let value = if self.depth > MAX_DEPTH { None } else { read(self) };
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Option<Value> {
        let mut object = Map::new();
        if self.skip(b'}') {
            return Some(Value::Object(object));
        }
        loop {
            if self.peek()? != b'"' {
                return None;
            }
            let key = self.string()?;
            if !self.skip(b':') {
                return None;
            }
            object.insert(key, self.value()?);
            if self.skip(b'}') {
                return Some(Value::Object(object));
            }
            if !self.skip(b',') {
                return None;
            }
        }
    }

    fn list(&mut self) -> Option<Value> {
        let mut list = Vec::new();
        if self.skip(b']') {
            return Some(Value::Array(list));
        }
        loop {
            list.push(self.value()?);
            if self.skip(b']') {
                return Some(Value::Array(list));
            }
            if !self.skip(b',') {
                return None;
            }
        }
    }

    /// Skips a value without parsing it; returns its text.
    fn pass(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut open = 0_usize;
        loop {
            match *bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    loop {
                        self.plain()?;
                        match bytes.get(self.at)? {
                            b'"' => break,
                            _ => self.at += 2,
                        }
                    }
                    self.at += 1;
                }
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    open = open.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                _ => {
                    let is_end =
                        |byte: u8| matches!(byte, b',' | b':' | b'}' | b']' | b'"' | b' ' | b'\n' | b'\r' | b'\t');
                    let rest = bytes.get(self.at..)?;
                    let length = rest.iter().position(|&byte| is_end(byte))?;
                    self.at += length.max(1);
                }
            }
            if open == 0 {
                return self.text.get(start..self.at);
            }
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += word.len();
        rest.starts_with(word.as_bytes()).then_some(value)
    }

    fn number(&mut self) -> Option<Value> {
        let rest = self.text.get(self.at..)?;
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.bytes().position(|byte| !is_part(&byte)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length)?.parse::<Number>().ok().map(Value::Number)
    }

    fn string(&mut self) -> Option<String> {
        self.at += 1;
        let plain = self.plain()?;
        if self.text.as_bytes().get(self.at) == Some(&b'"') {
            self.at += 1;
            return Some(plain.to_owned());
        }
        let mut text = plain.to_owned();
        loop {
            match self.text.as_bytes().get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(text);
                }
                b'\\' => text.push(self.escape()?),
                _ => return None,
            }
            text.push_str(self.plain()?);
        }
    }

    /// The characters up to a quote, a backslash or a control character.
    fn plain(&mut self) -> Option<&'a str> {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..)?;
        self.at += scan::plain(rest);
        self.text.get(start..self.at)
    }

    #[cold]
    fn escape(&mut self) -> Option<char> {
        let kind = *self.text.as_bytes().get(self.at + 1)?;
        self.at += 2;
        Some(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit()?;
                if !(0xd800..0xdc00).contains(&unit) {
                    return char::from_u32(unit);
                }
                let rest = self.text.as_bytes().get(self.at..)?;
                if !rest.starts_with(b"\\u") {
                    return None;
                }
                self.at += 2;
                let low = self.unit().filter(|low| (0xdc00..0xe000).contains(low))?;
                return char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
            }
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        self.at += 4;
        let mut unit = 0;
        for &digit in digits {
            unit = unit << 4 | char::from(digit).to_digit(16)?;
        }
        Some(unit)
    }
}
