//! A scalar of YAML as kubectl reads it: the words and numbers of YAML 1.1, to the extent of
//! [the library that it reads with](https://github.com/kubernetes-sigs/yaml).

use std::sync::OnceLock;

use regex::Regex;
use serde_json::{Number, Value};

/// What a scalar without quotes is. An error is the reason why JSON has no such value.
pub fn plain(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Ok(true.into()),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(false.into());
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => return Err(format!("{text} is not a number in JSON")),
        _ => {}
    }
    let number = match text.as_bytes() {
        [b'.', ..] => float(text),
        [b'0'..=b'9' | b'+' | b'-', ..] => {
            let digits = text.replace('_', "");
            integer(&digits).or_else(|| float(&digits))
        }
        _ => None,
    };
    Ok(number.map_or_else(|| text.into(), Value::Number))
}

/// An integer with the prefixes of Go: `0x`, `0b`, `0o`, and `0` for octal numbers as file modes are written.
pub(crate) fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let amount = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        0_i64.checked_sub_unsigned(amount).map(Number::from)
    } else if text.starts_with('+') {
        i64::try_from(amount).ok().map(Number::from)
    } else {
        Some(amount.into())
    }
}

/// A decimal fraction.
fn float(text: &str) -> Option<Number> {
    static FORM: OnceLock<Option<Regex>> = OnceLock::new();
    let form = FORM.get_or_init(|| Regex::new(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$").ok());
    let number: f64 = form.as_ref().filter(|form| form.is_match(text)).and_then(|_| text.parse().ok())?;
    whole_or_fraction(number)
}

/// A number as kubectl sends it: one without a remainder is an integer.
pub fn whole_or_fraction(number: f64) -> Option<Number> {
    // The largest integers that a float has exactly; -0 is none.
    let exact = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 && !is_negative_zero(number);
    #[allow(clippy::cast_possible_truncation, reason = "within the bounds of exact integers")]
    if exact { Some((number as i64).into()) } else { Number::from_f64(number) }
}

fn is_negative_zero(number: f64) -> bool {
    number == 0.0 && number.is_sign_negative()
}

/// Whether a text without quotes is something else to a reader of YAML, 1.1 or 1.2.
pub fn is_ambiguous(text: &str) -> bool {
    const WORDS: [&str; 14] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "=", "<<", ".nan", ".inf", "-.inf"];
    static DATE: OnceLock<Option<Regex>> = OnceLock::new();
    static BASE_60: OnceLock<Option<Regex>> = OnceLock::new();
    let matches = |form: &OnceLock<Option<Regex>>, pattern| {
        form.get_or_init(|| Regex::new(pattern).ok()).as_ref().is_none_or(|form| form.is_match(text))
    };
    plain(text).ok().is_none_or(|value| !value.is_string())
        || WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
        || matches(&DATE, r"^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?$")
        || matches(&BASE_60, r"^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$")
}
