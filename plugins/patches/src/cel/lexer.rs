//! Splits an expression into tokens.

use pgloom_kit::{Value, serde_json};

use super::Error;

/// A token with its position.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// In characters from 0.
    pub at: usize,
    /// Its kind.
    pub kind: Kind,
}

/// The kind of a token.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A name, also `true`, `null` and `in`.
    Name(String),
    /// A number.
    Number(Value),
    /// A string.
    String(String),
    /// An operator or a bracket, as in `&&`.
    Sign(&'static str),
    /// The end.
    End,
}

/// Operators and brackets; longer ones are first, so that `<=` is not `<`.
const SIGNS: [&str; 26] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "?", ":", ".", ",", "(", ")", "[", "]", "{", "}", "+", "-", "*",
    "/", "%", "=", "&",
];

/// Splits a text into tokens.
pub fn tokens(text: &str) -> Result<Vec<Token>, Error> {
    let mut lexer = Lexer { rest: text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next()?;
        let is_end = token.kind == Kind::End;
        tokens.push(token);
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Result<Token, Error> {
        while self.rest.starts_with(char::is_whitespace) || self.rest.starts_with("//") {
            let space = self.rest.find(|c: char| !c.is_whitespace()).unwrap_or(self.rest.len());
            let comment = self.rest.find('\n').unwrap_or(self.rest.len());
            self.take(if self.rest.starts_with("//") { comment } else { space });
        }
        let at = self.at;
        let kind = match self.rest.chars().next() {
            None => Kind::End,
            Some('"' | '\'') => self.text(false)?,
            Some('r' | 'R') if self.rest[1..].starts_with(['"', '\'']) => {
                self.take(1);
                self.text(true)?
            }
            Some(first) if first.is_ascii_digit() => self.number()?,
            Some(first) if first.is_ascii_alphabetic() || first == '_' => {
                let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
                Kind::Name(self.take(end).to_owned())
            }
            Some(first) => {
                let sign = SIGNS.into_iter().find(|sign| self.rest.starts_with(sign) && !["=", "&"].contains(sign));
                let Some(sign) = sign else {
                    let message = format!("\"{first}\" is not an operator");
                    return Err(Error::new(at, message, "use ==, != and &&, || for comparison and logic"));
                };
                self.take(sign.len());
                Kind::Sign(sign)
            }
        };
        Ok(Token { at, kind })
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.at += taken.chars().count();
        self.rest = rest;
        taken
    }

    fn number(&mut self) -> Result<Kind, Error> {
        let at = self.at;
        let invalid =
            |text: &str| Error::new(at, format!("\"{text}\" is not a number"), "write it as in 12, 0x1f, 1.5 or 1e6");
        if self.rest.starts_with("0x") || self.rest.starts_with("0X") {
            let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
            let text = self.take(end);
            return i64::from_str_radix(&text[2..], 16)
                .map(|number| Kind::Number(number.into()))
                .map_err(|_| invalid(text));
        }
        let mut end = 0;
        let bytes = self.rest.as_bytes();
        while let Some(&byte) = bytes.get(end) {
            let is_fraction = byte == b'.' && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
            let is_sign = matches!(byte, b'+' | b'-') && matches!(bytes[end - 1], b'e' | b'E');
            if !byte.is_ascii_alphanumeric() && !is_fraction && !is_sign {
                break;
            }
            end += 1;
        }
        let text = self.take(end);
        // Numbers have the syntax of JSON; integers have 64 bits.
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Number(number)) if number.is_i64() || number.is_f64() => Ok(Kind::Number(number.into())),
            _ => Err(invalid(text)),
        }
    }

    fn text(&mut self, is_raw: bool) -> Result<Kind, Error> {
        const REMEDY: &str = "close it with the quote that opens it";
        let start = self.at;
        let quote = self.take(1);
        if self.rest.starts_with(&quote.repeat(2)) {
            return Err(Error::new(
                start,
                "a string in triple quotes is not supported",
                "use one quote, and \\n for a new line",
            ));
        }
        let mut text = String::new();
        loop {
            let at = self.at;
            let Some(next) = self.rest.chars().next() else {
                return Err(Error::new(start, "a string does not end", REMEDY));
            };
            self.take(next.len_utf8());
            match next {
                _ if quote.starts_with(next) => return Ok(Kind::String(text)),
                '\n' => return Err(Error::new(start, "a string does not end in its line", REMEDY)),
                '\\' if !is_raw => text.push(self.escape(at)?),
                _ => text.push(next),
            }
        }
    }

    fn escape(&mut self, at: usize) -> Result<char, Error> {
        let invalid =
            || Error::new(at, "this escape is not supported", "use \\n, \\r, \\t, \\\\, \\\", \\', \\x41 or \\u0041");
        let next = self.rest.chars().next().ok_or_else(invalid)?;
        self.take(next.len_utf8());
        let digits = match next {
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            '\\' | '"' | '\'' | '`' | '?' => return Ok(next),
            'x' | 'X' => 2,
            'u' => 4,
            'U' => 8,
            _ => return Err(invalid()),
        };
        let code = self.rest.get(..digits).ok_or_else(invalid)?;
        let code = u32::from_str_radix(code, 16).ok().and_then(char::from_u32).ok_or_else(invalid)?;
        self.take(digits);
        Ok(code)
    }
}
