//! The password of a role whose Secret is missing, and to which the operator sets no other one.
//!
//! The database has the superuser's password from its initialisation, and running members replicate with the one they
//! were started with. A new password locks the user out, so it is only generated where no database can have another
//! one.

use super::Password;

/// A member's answer to the question for the password that it was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The password.
    Password(Password),
    /// It was started without one.
    None,
    /// The member did not answer; the reason.
    Failed(String),
}

/// The source of the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The password is known.
    Known(Password),
    /// No database has a password yet, so one may be generated.
    Generate,
    /// A database may have a password that is not known; the reason.
    Unknown(String),
    /// A database may have a password that no member knows, and the operator has no access to set another one.
    NotSettable,
}

/// Decides of a role with which no member is started, where the operator has no access to the database. `has_data` says
/// whether a member or data of the cluster exists.
#[must_use]
pub fn recover_without_access(has_data: bool) -> Recovery {
    if has_data { Recovery::NotSettable } else { Recovery::Generate }
}

/// Decides by the answers of all members. `has_claims` says whether data of the cluster exists.
#[must_use]
pub fn recover(answers: impl IntoIterator<Item = Answer>, has_claims: bool) -> Recovery {
    let (mut asked, mut failures) = (false, Vec::new());
    for answer in answers {
        asked = true;
        match answer {
            Answer::Password(password) => return Recovery::Known(password),
            Answer::None => {}
            Answer::Failed(reason) => failures.push(reason),
        }
    }
    if !failures.is_empty() {
        Recovery::Unknown(failures.join("; "))
    } else if has_claims && !asked {
        Recovery::Unknown("no member runs that could be asked, and the cluster's claims exist".to_owned())
    } else {
        Recovery::Generate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(reason: &str) -> Answer {
        Answer::Failed(reason.to_owned())
    }

    #[test]
    fn one_member_that_knows_the_password_is_enough() {
        let known = Password::new("former");
        let answers = [failed("forbidden"), Answer::None, Answer::Password(known.clone())];
        assert_eq!(recover(answers, true), Recovery::Known(known));
    }

    #[test]
    fn a_password_is_generated_only_if_every_member_answered_that_it_has_none() {
        assert_eq!(recover([Answer::None, Answer::None], true), Recovery::Generate);
        let answers = [Answer::None, failed("pod c-1: forbidden"), failed("pod c-2: too late")];
        assert_eq!(recover(answers, true), Recovery::Unknown("pod c-1: forbidden; pod c-2: too late".to_owned()));
    }

    #[test]
    fn without_access_to_the_database_a_password_is_generated_only_for_a_new_cluster() {
        assert_eq!(recover_without_access(false), Recovery::Generate);
        assert_eq!(recover_without_access(true), Recovery::NotSettable);
    }

    #[test]
    fn a_new_cluster_has_no_password_yet_and_one_whose_claims_were_kept_may_have_one() {
        assert_eq!(recover([], false), Recovery::Generate);
        assert!(matches!(recover([], true), Recovery::Unknown(_)));
    }
}
