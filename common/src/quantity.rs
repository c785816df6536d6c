//! Kubernetes quantities: parsed exactly, compared by value, shown as the user wrote them.
//!
//! Why not the crate `kube_quantity`: it brings `rust_decimal` and `nom` into every plugin that reads a quantity.

use std::cmp::Ordering;
use std::fmt;

/// The most significant digits of a quantity. The exact value of a longer one would overflow while it is computed.
const MAX_DIGITS: usize = 20;
/// The largest value: Kubernetes limits a quantity to an `int64` of whole units.
const CAP: i128 = i64::MAX as i128 * NANO;
const NANO: i128 = 1_000_000_000;
const NANO_DIGITS: i32 = 9;

/// An amount such as `100m`, `1.5Gi` or `1e9`.
///
/// Two quantities are equal if their values are: `1G`, `1e9` and `1000M` are one amount. The text stays what the user
/// wrote.
#[derive(Clone, Debug)]
pub struct Quantity {
    text: String,
    nano: i128,
    format: Format,
}

/// The reason why a text is not a quantity, in the syntax of
/// [`resource.Quantity`](https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    text: String,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    Empty,
    NoNumber,
    Suffix(String),
    Exponent,
    TooLong,
}

/// Which suffixes the text uses: the canonical form keeps to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Binary,
    Decimal,
    Exponent,
}

/// The factor that a suffix stands for.
enum Scale {
    /// 1024 to the power of this.
    Binary(u32),
    /// 10 to the power of this.
    Decimal(i32),
}

impl Quantity {
    /// Reads an amount of a resource that may be switched off: none for an empty text, `null`, and any zero.
    ///
    /// ```
    /// # use pgloom_common::quantity::Quantity;
    /// assert!(Quantity::given("0").is_none() && Quantity::given("0Mi").is_none());
    /// assert_eq!(Quantity::given("1Gi"), Some(Quantity::parse("1024Mi")));
    /// ```
    #[must_use]
    pub fn given(text: &str) -> Option<Result<Self, Error>> {
        if matches!(text, "" | "null") {
            return None;
        }
        let quantity = Self::parse(text);
        quantity.as_ref().map_or(true, |quantity| !quantity.is_zero()).then_some(quantity)
    }

    /// Reads a quantity as the Kubernetes API does: a signed decimal number with one of the suffixes
    /// `n u m k M G T P E`, `Ki Mi Gi Ti Pi Ei`, or an exponent as in `1e9`. What is finer than a billionth is rounded
    /// up.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let fail = |reason| Error { text: text.to_owned(), reason };
        if text.is_empty() {
            return Err(fail(Reason::Empty));
        }
        let (negative, unsigned) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(fail(Reason::NoNumber));
        }
        let (scale, format) = scale(suffix).map_err(fail)?;
        let magnitude = magnitude(whole, fraction, &scale).ok_or_else(|| fail(Reason::TooLong))?;
        Ok(Self { text: text.to_owned(), nano: if negative { -magnitude } else { magnitude }, format })
    }

    /// A quantity of `units` bytes or cores, written with the largest binary suffix that is exact: 1073741824 gives
    /// `1Gi`.
    #[must_use]
    pub fn binary(units: i64) -> Self {
        Self::of(i128::from(units) * NANO, Format::Binary)
    }

    fn of(nano: i128, format: Format) -> Self {
        let mut quantity = Self { text: String::new(), nano: nano.clamp(-CAP, CAP), format };
        quantity.text = quantity.canonical();
        quantity
    }

    /// The text as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whole units, rounded up: bytes of a size, cores of a CPU amount.
    #[must_use]
    pub fn units(&self) -> i64 {
        round_up(self.nano, NANO)
    }

    /// Whether a quantity counts in parts of a unit, as `512m`. Of bytes that is hardly what its author meant.
    #[must_use]
    pub fn is_in_parts(text: &str) -> bool {
        text.ends_with(['n', 'u', 'm'])
    }

    /// Whether the value is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.nano == 0
    }

    /// Whether the value is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.nano < 0
    }

    /// The text that the Kubernetes API stores: `1024Mi` becomes `1Gi`, `1000m` becomes `1`, `0.7Gi` becomes
    /// `751619276800m`.
    #[must_use]
    pub fn canonical(&self) -> String {
        if self.nano == 0 {
            return "0".to_owned();
        }
        let whole = self.nano % NANO == 0;
        let small = self.nano.abs() < 1024 * NANO;
        match self.format {
            Format::Binary if whole && !small => binary_text(self.nano / NANO),
            Format::Binary | Format::Decimal => decimal_text(self.nano),
            Format::Exponent => exponent_text(self.nano),
        }
    }

    /// One text for each value, whatever suffix was written: `100Mi`, `102400Ki` and `104857600` are `104857600`.
    #[must_use]
    pub fn decimal(&self) -> String {
        if self.is_zero() { "0".to_owned() } else { decimal_text(self.nano) }
    }
}

fn round_up(nano: i128, unit: i128) -> i64 {
    let quotient = nano / unit;
    let rest = nano % unit;
    let away = match rest.cmp(&0) {
        Ordering::Greater => 1,
        Ordering::Less => -1,
        Ordering::Equal => 0,
    };
    i64::try_from(quotient + away).unwrap_or(if nano < 0 { i64::MIN } else { i64::MAX })
}

fn scale(suffix: &str) -> Result<(Scale, Format), Reason> {
    let decimal = |exponent| Ok((Scale::Decimal(exponent), Format::Decimal));
    let binary = |exponent| Ok((Scale::Binary(exponent), Format::Binary));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => exponent(suffix),
    }
}

fn exponent(suffix: &str) -> Result<(Scale, Format), Reason> {
    let Some(digits) = suffix.strip_prefix(['e', 'E']) else {
        return Err(Reason::Suffix(suffix.to_owned()));
    };
    let exponent: i32 = digits.parse().map_err(|_| Reason::Suffix(suffix.to_owned()))?;
    if !(-18..=18).contains(&exponent) {
        return Err(Reason::Exponent);
    }
    Ok((Scale::Decimal(exponent), Format::Exponent))
}

/// The value in billionths, rounded up; `None` if there are too many digits.
fn magnitude(whole: &str, fraction: &str, scale: &Scale) -> Option<i128> {
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.len() > MAX_DIGITS {
        return None;
    }
    let digits = if digits.is_empty() { 0 } else { digits.parse::<i128>().ok()? };
    let shift = NANO_DIGITS - i32::try_from(fraction.len()).ok()?;
    let scaled = match scale {
        Scale::Decimal(exponent) => shifted(digits, shift + exponent),
        Scale::Binary(power) => shifted(digits.saturating_mul(1024_i128.pow(*power)), shift),
    };
    Some(scaled.min(CAP))
}

/// `digits` times 10 to the power of `shift`, rounded up, saturating.
fn shifted(digits: i128, shift: i32) -> i128 {
    let factor = 10_i128.checked_pow(shift.unsigned_abs());
    match (factor, shift < 0) {
        (Some(factor), false) => digits.saturating_mul(factor),
        (Some(factor), true) => digits / factor + i128::from(digits % factor != 0),
        (None, false) if digits == 0 => 0,
        (None, false) => CAP,
        (None, true) => i128::from(digits != 0),
    }
}

fn binary_text(mut units: i128) -> String {
    let mut power = 0;
    while units % 1024 == 0 && power < 6 {
        units /= 1024;
        power += 1;
    }
    format!("{units}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power])
}

fn decimal_text(nano: i128) -> String {
    let (number, thousands) = thousands(nano);
    format!("{number}{}", ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][thousands])
}

fn exponent_text(nano: i128) -> String {
    match thousands(nano) {
        (number, 3) => number.to_string(),
        (number, thousands) => format!("{number}e{}", thousands as i32 * 3 - NANO_DIGITS),
    }
}

/// The number without its trailing thousands, and how many these were.
fn thousands(mut nano: i128) -> (i128, usize) {
    let mut count = 0;
    while nano % 1000 == 0 && count < 9 {
        nano /= 1000;
        count += 1;
    }
    (nano, count)
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Quantity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        match &self.reason {
            Reason::Empty => f.write_str("a quantity is empty; write a number with a unit, as in 500m, 1Gi"),
            Reason::NoNumber => write!(f, "{text:?} is not a quantity; it starts with a number, as in 500m, 1Gi"),
            Reason::Suffix(suffix) => {
                write!(
                    f,
                    "{text:?} is not a quantity; {suffix:?} is not a unit: use m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi or Ei"
                )
            }
            Reason::Exponent => write!(f, "{text:?} is not a quantity; the exponent is beyond 18"),
            Reason::TooLong => write!(f, "{text:?} is not a quantity; it has more than {MAX_DIGITS} digits"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap()
    }

    #[test]
    fn amounts_are_compared_by_value_not_by_text() {
        for (smaller, larger) in
            [("1G", "2G"), ("1G", "1Gi"), ("1023m", "1.1"), ("-1", "0"), ("999n", "1u"), ("0.7Gi", "1Gi")]
        {
            assert!(quantity(smaller) < quantity(larger), "{smaller} < {larger}");
        }
        for (left, right) in [
            ("1e9", "1G"),
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1E3", "1k"),
            (".5", "500m"),
            ("5.", "5"),
            ("+2", "2"),
            ("0", "-0"),
            ("1E", "1e18"),
        ] {
            assert_eq!(quantity(left), quantity(right), "{left} = {right}");
            assert_eq!(quantity(left).decimal(), quantity(right).decimal(), "{left} = {right}");
        }
        // Upstream's table of what is smaller.
        assert!(quantity("1024Mi") >= quantity("1G"));
        assert!(quantity("1e9") >= quantity("1G"));
    }

    #[test]
    fn the_text_stays_as_it_was_written() {
        for text in ["0.7Gi", "1000m", "1e9", "1024Mi"] {
            assert_eq!(quantity(text).to_string(), text);
        }
    }

    #[test]
    fn the_canonical_text_is_what_the_api_server_stores() {
        for (text, canonical) in [
            ("1024Mi", "1Gi"),
            ("1000m", "1"),
            ("0.7Gi", "751619276800m"),
            ("0.5Gi", "512Mi"),
            ("1500m", "1500m"),
            ("0.1", "100m"),
            ("1e9", "1e9"),
            ("1000e6", "1e9"),
            ("5e1", "50"),
            ("1000M", "1G"),
            ("512", "512"),
            ("0.5Ki", "512"),
            ("0Gi", "0"),
            ("-1024Mi", "-1Gi"),
            ("0.0000000001", "1n"),
        ] {
            assert_eq!(quantity(text).canonical(), canonical, "{text}");
        }
    }

    #[test]
    fn numbers_come_out_in_whole_units() {
        assert_eq!(quantity("1.5Gi").units(), 1_610_612_736);
        assert_eq!(quantity("100m").units(), 1);
        assert_eq!(quantity("-1500m").units(), -2);
        assert_eq!(Quantity::binary(1_610_612_736).text(), "1536Mi");
    }

    #[test]
    fn what_is_beyond_an_int64_is_capped_as_kubernetes_caps_it() {
        assert_eq!(quantity("9Ei"), quantity("100E"));
        assert_eq!(quantity("100E").units(), i64::MAX);
    }

    #[test]
    fn an_error_names_the_text_and_what_would_do() {
        for (text, part) in [
            ("", "empty"),
            ("Gi", "starts with a number"),
            ("1K", "\"K\" is not a unit"),
            ("1GB", "\"GB\" is not a unit"),
            ("1 Gi", "\" Gi\" is not a unit"),
            ("1..2", "starts with a number"),
            ("1e", "\"e\" is not a unit"),
            ("1e99", "exponent"),
            ("12345678901234567890123456789", "digits"),
            ("\u{661}", "starts with a number"),
        ] {
            let message = Quantity::parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
            assert!(message.contains(text), "{text}: {message}");
        }
    }
}
