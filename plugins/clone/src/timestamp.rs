//! Points in time, in the syntax of [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339). A time zone is required,
//! because PostgreSQL would use its own.

/// Whether a text is a point in time with a time zone, as in `2017-12-19T12:40:33+01:00`.
pub fn has_zone(text: &str) -> bool {
    parse(text).is_some()
}

fn parse(text: &str) -> Option<()> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let [year, month, day] = parts::<3>(date, '-')?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (date.len() == 10 && (1..=days).contains(&day)).then_some(())?;

    let zone = rest.find(['+', '-', 'Z', 'z'])?;
    let (time, zone) = rest.split_at(zone);
    let (time, fraction) = time.split_once('.').map_or((time, "0"), |(time, fraction)| (time, fraction));
    (!fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit())).then_some(())?;
    let [hour, minute, second] = parts::<3>(time, ':')?;
    (time.len() == 8 && hour < 24 && minute < 60 && second <= 60).then_some(())?;

    if zone.eq_ignore_ascii_case("z") {
        return Some(());
    }
    let [hour, minute] = parts::<2>(&zone[1..], ':')?;
    (zone.len() == 6 && hour < 24 && minute < 60).then_some(())
}

/// The numbers between the separators, if there are exactly `COUNT`.
fn parts<const COUNT: usize>(text: &str, separator: char) -> Option<[u32; COUNT]> {
    let mut numbers = [0; COUNT];
    let mut rest = text.split(separator);
    for number in &mut numbers {
        let digits = rest.next().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = digits.parse().ok()?;
    }
    rest.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::has_zone;

    #[test]
    fn a_point_in_time_has_a_time_zone() {
        for good in [
            "2017-12-19T12:40:33+01:00",
            "2017-12-19T12:40:33-11:30",
            "2017-12-19t12:40:33.123Z",
            "2016-02-29T23:59:60+00:00",
        ] {
            assert!(has_zone(good), "{good}");
        }
        for bad in [
            "",
            "somewhen",
            "2017-12-19T12:40:33",
            "2017-12-19 12:40:33+01:00",
            "2017-12-19T12:40+01:00",
            "2017-13-19T12:40:33+01:00",
            "2017-02-29T12:40:33+01:00",
            "2017-12-19T24:40:33+01:00",
            "2017-12-19T12:40:33+0100",
            "2017-12-19T12:40:33.+01:00",
            "17-12-19T12:40:33+01:00",
            "2017-12-19T12:40:33+01:00Z",
        ] {
            assert!(!has_zone(bad), "{bad}");
        }
    }
}
