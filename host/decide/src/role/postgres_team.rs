//! What the `PostgresTeam` objects say together: additional teams and members of a team.

use std::collections::{BTreeMap, BTreeSet};

use pgloom_api::postgres_team::{Names, PostgresTeamSpec};

type Map = BTreeMap<String, BTreeSet<String>>;

/// The content of all `PostgresTeam` objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdditionalTeams {
    superuser_teams: Map,
    teams: Map,
    members: Map,
}

impl AdditionalTeams {
    /// All objects together. What two of them say of a team is added up.
    #[must_use]
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a PostgresTeamSpec>) -> Self {
        let mut all = Self::default();
        for spec in objects {
            add(&mut all.superuser_teams, &spec.additional_superuser_teams);
            add(&mut all.teams, &spec.additional_teams);
            add(&mut all.members, &spec.additional_members);
        }
        all
    }

    /// The additional teams of a team, and those of these teams.
    #[must_use]
    pub fn teams(&self, team: &str) -> BTreeSet<String> {
        reached(&self.teams, team)
    }

    /// The same of superusers.
    #[must_use]
    pub fn superuser_teams(&self, team: &str) -> BTreeSet<String> {
        reached(&self.superuser_teams, team)
    }

    /// The additional members of a team.
    #[must_use]
    pub fn members(&self, team: &str) -> BTreeSet<String> {
        self.members.get(team).cloned().unwrap_or_default()
    }

    /// Whether an object names a team, so that the Teams API need not know it.
    #[must_use]
    pub fn names(&self, team: &str) -> bool {
        [&self.superuser_teams, &self.teams, &self.members].into_iter().any(|map| map.contains_key(team))
    }
}

fn add(map: &mut Map, names: &Names) {
    for (team, names) in names {
        map.entry(team.clone()).or_default().extend(names.iter().flatten().filter(|name| !name.is_empty()).cloned());
    }
}

/// The teams that a team leads to, without itself.
fn reached(map: &Map, team: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next = vec![team.to_owned()];
    while let Some(from) = next.pop() {
        for to in map.get(&from).into_iter().flatten() {
            if to != team && found.insert(to.clone()) {
                next.push(to.clone());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> AdditionalTeams {
        let objects: Vec<PostgresTeamSpec> = serde_yaml_ng::from_str(text).unwrap();
        AdditionalTeams::of(&objects)
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn additional_teams_lead_to_their_own_additional_teams_and_never_back() {
        let teams = read(
            "[{additionalTeams: {a: [b, c], b: [a], virtual: [d, e]}}, {additionalTeams: {a: [virtual], d: null}}]",
        );
        assert_eq!(teams.teams("a"), set(&["b", "c", "d", "e", "virtual"]));
        assert_eq!(teams.teams("b"), set(&["a", "c", "d", "e", "virtual"]));
        assert_eq!(teams.teams("e"), set(&[]));
        assert!(teams.names("virtual") && !teams.names("e"));
    }

    #[test]
    fn superusers_and_members_are_those_of_all_objects() {
        let teams = read(
            "[{additionalSuperuserTeams: {a: [dba]}, additionalMembers: {a: [tia]}}, \
              {additionalMembers: {a: [flynch, tia, \"\"]}, additionalTeams: {dba: [b]}}]",
        );
        assert_eq!(teams.superuser_teams("a"), set(&["dba"]));
        assert_eq!(teams.teams("a"), set(&[]), "superuser teams lead to superuser teams alone");
        assert_eq!(teams.members("a"), set(&["flynch", "tia"]));
    }
}
