//! Suggestions for unknown names: the nearest known name, or the list of all; and for labels that cannot be.

/// The remedy for the key or value of a label, or the key of an annotation, that the API server would refuse.
pub const LABEL: &str =
    "use letters, digits, '-', '_' and '.', at most 63; a domain and a slash may be in front of a key";

/// The known name that is nearest to an unknown one: written in another case, or a few letters off.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = folded(name);
    // At most a third of the letters: `http` is not `SCTP`.
    let allowed = match wanted.len() {
        0 | 1 => 0,
        2..=5 => 1,
        length => (1 + length / 4).min(length / 3),
    };
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&wanted, &folded(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

fn folded(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The remedy for an unknown name: the nearest known one, or `otherwise`.
#[must_use]
pub fn nearest_or<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, otherwise: &str) -> String {
    nearest(name, known).map_or_else(|| otherwise.to_owned(), |near| format!("did you mean {near}?"))
}

/// The remedy for an unknown name: the nearest known one, or the list of all.
#[must_use]
pub fn instead<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(name, known.clone()) {
        return format!("did you mean {near}?");
    }
    let known: Vec<_> = known.into_iter().collect();
    match known.len() {
        0 => "remove it".to_owned(),
        1..=16 => format!("known here: {}", known.join(", ")),
        _ => "remove it; kubectl explain lists the fields that exist".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_differs_in_case_or_a_few_letters() {
        let known = ["numberOfInstances", "teamId", "tls", "volume", "users"];
        for (name, expected) in [
            ("number_of_instances", Some("numberOfInstances")),
            ("teamID", Some("teamId")),
            ("volumes", Some("volume")),
            ("user", Some("users")),
            ("tsl", Some("tls")),
            ("sidecars", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }

    #[test]
    fn a_short_name_has_to_be_near() {
        for (name, known, expected) in [
            ("http", &["TCP", "UDP", "SCTP"][..], None),
            ("tpc", &["TCP", "UDP", "SCTP"], Some("TCP")),
            ("gs", &["s3", "gcs", "az"], Some("gcs")),
            ("b", &["a", "c"], None),
            ("holt", &["hold", "ignore"], Some("hold")),
            ("random", &["ordered", "ran"], None),
            ("sesion", &["session", "transaction"], Some("session")),
        ] {
            assert_eq!(nearest(name, known.iter().copied()), expected, "{name}");
        }
    }
}
