//! Reads and writes JSON. The same as `serde_json` does for its [`Value`], in a tenth of the code: a guest reads its whole
//! request and writes its whole answer on every call, and pays for nothing else.

use serde_json::{Map, Number, Value};

/// How deep lists and objects may be nested.
const MAX_DEPTH: usize = 128;

/// Reads a value; nothing if the text is not JSON.
pub fn parse(text: &str) -> Option<Value> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let value = parser.value()?;
    (parser.peek().is_none()).then_some(value)
}

/// The fields of an object, each as its name and the text of its value, which is not read; nothing if the text is no object.
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

/// Writes a value, without spaces.
pub fn write(value: &Value) -> String {
    let mut text = String::with_capacity(1024);
    write_to(value, &mut text);
    text
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Goes on behind that byte if it is the next one.
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

    /// Goes on behind a value without reading it, and says what its text is.
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

    /// The characters up to a quote, a backslash, or what must not stand in a string.
    fn plain(&mut self) -> Option<&'a str> {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..)?;
        let is_special = |byte: u8| byte == b'"' || byte == b'\\' || byte < b' ';
        self.at += rest.iter().position(|&byte| is_special(byte)).unwrap_or(rest.len());
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

fn write_to(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::String(string) => write_string(string, text),
        Value::Array(list) => {
            let mut sign = '[';
            for item in list {
                text.push(sign);
                write_to(item, text);
                sign = ',';
            }
            text.push_str(if list.is_empty() { "[]" } else { "]" });
        }
        Value::Object(object) => {
            let mut sign = '{';
            for (key, value) in object {
                text.push(sign);
                write_string(key, text);
                text.push(':');
                write_to(value, text);
                sign = ',';
            }
            text.push_str(if object.is_empty() { "{}" } else { "}" });
        }
    }
}

fn write_string(string: &str, text: &mut String) {
    text.push('"');
    let mut rest = string;
    let is_special = |byte: u8| byte == b'"' || byte == b'\\' || byte < b' ';
    while let Some(place) = rest.bytes().position(is_special) {
        let (plain, tail) = rest.split_at(place);
        text.push_str(plain);
        write_escape(tail.as_bytes()[0], text);
        rest = &tail[1..];
    }
    text.push_str(rest);
    text.push('"');
}

#[cold]
fn write_escape(byte: u8, text: &mut String) {
    text.push('\\');
    let digit = |value: u8| char::from(if value < 10 { b'0' + value } else { b'a' + value - 10 });
    match byte {
        b'"' | b'\\' => text.push(char::from(byte)),
        8 => text.push('b'),
        12 => text.push('f'),
        b'\n' => text.push('n'),
        b'\r' => text.push('r'),
        b'\t' => text.push('t'),
        _ => {
            text.push_str("u00");
            text.push(digit(byte >> 4));
            text.push(digit(byte & 15));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [&str; 20] = [
        "null",
        " true ",
        "false",
        "0",
        "-1",
        "18446744073709551615",
        "-9223372036854775808",
        "1.5",
        "-2.5e3",
        "1e9",
        r#""""#,
        r#""plain""#,
        r#""\"\\\/\b\f\n\r\t\u0001\u00e9\ud83d\ude00 \u007f""#,
        "\"\u{e9}\u{1f600}\"",
        "[]",
        "{}",
        "[ 1 , [ ] , { } ]",
        r#"{"b": {"c": [1, "2", null]}, "a": -0.5, "": ""}"#,
        r#"{"a": 1, "a": 2}"#,
        "\r\n\t[\n]\n",
    ];

    const BAD: [&str; 30] = [
        "",
        " ",
        "nul",
        "nulll",
        "truefalse",
        "01",
        "1.",
        ".5",
        "-",
        "+1",
        "1e",
        "--1",
        "1-2",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\n\"",
        "[",
        "[1",
        "[1,]",
        "[,1]",
        "{",
        "{\"a\"}",
        "{\"a\":1,}",
        "{a:1}",
        "1 2",
    ];

    #[test]
    fn it_reads_and_writes_as_serde_does() {
        for text in GOOD {
            let expected: Value = serde_json::from_str(text).unwrap();
            assert_eq!(parse(text), Some(expected.clone()), "{text}");
            assert_eq!(write(&expected), expected.to_string(), "{text}");
        }
    }

    #[test]
    fn it_refuses_what_serde_refuses() {
        for text in BAD {
            assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
            assert_eq!(parse(text), None, "{text}");
        }
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(parse(&nested(MAX_DEPTH)).is_some());
        assert_eq!(parse(&nested(MAX_DEPTH + 1)), None);
    }

    #[test]
    fn the_fields_of_an_object_are_found_without_reading_them() {
        let text = r#" { "a" : {"b": ["}", "\\"]} ,"c":-1.5e3, "d":"x\"y","e":null,"f":[[],{}] }"#;
        let expected =
            [("a", r#"{"b": ["}", "\\"]}"#), ("c", "-1.5e3"), ("d", r#""x\"y""#), ("e", "null"), ("f", "[[],{}]")];
        assert_eq!(fields(text).as_deref(), Some(&expected[..]));
        assert_eq!(fields("{ }"), Some(Vec::new()));
        for bad in [
            "",
            "[]",
            "{",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1"#,
            r#"{"a":[1}"#,
            r#"{a:1}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":"x}"#,
            r#"{"a":"x\"#,
        ] {
            assert_eq!(fields(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_character_comes_back() {
        let text: String = ('\0'..='\u{17f}').chain(['\u{2028}', '\u{fffd}', '\u{10ffff}']).collect();
        let value = Value::from(text);
        assert_eq!(write(&value), value.to_string());
        assert_eq!(parse(&write(&value)), Some(value));
    }

    #[test]
    fn a_text_that_is_cut_anywhere_is_refused() {
        let text = r#"{"a":[true,null,"\u00e9\\",-1.5e3],"b":{"c":"d"}}"#;
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end]), None, "{}", &text[..end]);
        }
        assert!(parse(text).is_some());
    }
}
