//! Major versions of PostgreSQL: their order, which one a cluster is to have, and the one that a pod asks for.

/// The annotation of a manifest with the major version of the cluster's data, while its pods ask for a newer one.
pub const OF_DATA: &str = "pgloom.dev/data-version";
/// The annotation of a manifest with the time of the last upgrade. The Zalando operator's has the name, too.
pub const SUCCESS: &str = "last-major-upgrade-success";
/// The annotation of a manifest with the time of the last upgrade that failed: it is not tried again while this is there. The
/// Zalando operator's has the name, too.
pub const FAILURE: &str = "last-major-upgrade-failure";

/// The part of the operator configuration about upgrades.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// `major_version_upgrade_mode`: `off`, `manual` or `full`.
    pub mode: &'a str,
    /// `minimal_major_version`.
    pub minimal: &'a str,
    /// `target_major_version`.
    pub target: &'a str,
    /// Whether `major_version_upgrade_team_allow_list` has the cluster's team.
    pub is_team_allowed: bool,
}

impl Rules<'_> {
    /// Whether the cluster may be upgraded.
    #[must_use]
    pub fn allow(&self) -> bool {
        self.mode != "off" || self.is_team_allowed
    }

    /// The version that a cluster is to have whose manifest has this one: in the mode `full` that of the target instead of one
    /// that is too old.
    #[must_use]
    pub fn wanted<'a>(&'a self, of_manifest: &'a str) -> &'a str {
        let is_old = is_older(of_manifest, self.minimal) && is_older(of_manifest, self.target);
        if self.mode == "full" && is_old { self.target } else { of_manifest }
    }
}

/// A version as a number that orders it, as in `906` for `9.6` and `1500` for `15`.
#[must_use]
pub fn number(version: &str) -> Option<u32> {
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    major.checked_mul(100)?.checked_add(minor)
}

/// Whether a version is older than another one. One that cannot be read is not.
#[must_use]
pub fn is_older(version: &str, than: &str) -> bool {
    number(version).zip(number(than)).is_some_and(|(version, than)| version < than)
}

/// The major version of a server by its number, as in `15` for `150018` and `9.6` for `90624`.
#[must_use]
pub fn of_server(number: u64) -> String {
    match number {
        100_000.. => (number / 10_000).to_string(),
        _ => format!("{}.{}", number / 10_000, number / 100 % 100),
    }
}

/// The version in the path of the server's programs, as in `/usr/lib/postgresql/12/bin`.
#[must_use]
pub fn in_path(programs: &str) -> Option<&str> {
    programs.strip_suffix("/bin")?.rsplit_once('/').map(|(_, version)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANUAL: Rules<'static> = Rules { mode: "manual", minimal: "14", target: "18", is_team_allowed: false };

    #[test]
    fn versions_are_in_the_order_of_their_releases() {
        let ordered = ["9.5", "9.6", "10", "15", "18"];
        for (older, newer) in ordered.iter().zip(&ordered[1..]) {
            assert!(is_older(older, newer) && !is_older(newer, older) && !is_older(older, older), "{older} {newer}");
        }
        assert!(!is_older("next", "18") && !is_older("15", "next"));
    }

    #[test]
    fn a_server_tells_its_major_version() {
        assert_eq!([150_018, 180_004, 90_624].map(of_server), ["15", "18", "9.6"]);
        assert_eq!(in_path("/usr/lib/postgresql/9.6/bin"), Some("9.6"));
        assert_eq!(in_path("/usr/lib/postgresql"), None);
    }

    #[test]
    fn only_the_mode_full_replaces_a_version_and_only_one_that_is_too_old() {
        let full = Rules { mode: "full", ..MANUAL };
        for (of_manifest, expected) in [("13", "18"), ("14", "14"), ("9.6", "18"), ("18", "18")] {
            assert_eq!(full.wanted(of_manifest), expected);
            assert_eq!(MANUAL.wanted(of_manifest), of_manifest);
        }
        // A target that is older than what runs is no upgrade.
        assert_eq!(Rules { minimal: "17", target: "14", ..full }.wanted("15"), "15");
    }

    #[test]
    fn the_mode_off_allows_the_teams_that_are_listed() {
        let off = Rules { mode: "off", ..MANUAL };
        assert!(MANUAL.allow() && !off.allow() && Rules { is_team_allowed: true, ..off }.allow());
    }
}
