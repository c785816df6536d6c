//! Writes JSON.

use serde_json::Value;

use super::scan;

/// The JSON text of a value, without white space.
pub fn write(value: &Value) -> String {
    let mut text = String::with_capacity(1024);
    write_to(value, &mut text);
    text
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
    loop {
        let (plain, tail) = rest.split_at(scan::plain(rest.as_bytes()));
        text.push_str(plain);
        let Some(&special) = tail.as_bytes().first() else { break };
        write_escape(special, text);
        rest = &tail[1..];
    }
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
