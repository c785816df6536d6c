//! The text of a finding, as it is shown to people and written to the golden folders of plugins.

use std::fmt;

/// A finding as one sentence: object, field, message, remedy.
///
/// ```
/// # use pgloom_common::finding::Sentence;
/// let path = Some("spec.volume.size");
/// let sentence = Sentence { object: None, path, message: "is missing", remedy: Some("add it, as in 5Gi") };
/// assert_eq!(sentence.to_string(), "spec.volume.size: is missing; add it, as in 5Gi");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sentence<'a> {
    /// Kind and name of the object that `path` belongs to; `None` for the document that was checked.
    pub object: Option<(&'a str, &'a str)>,
    /// The field; `None` for the document as a whole.
    pub path: Option<&'a str>,
    /// The problem.
    pub message: &'a str,
    /// What the user can do about it.
    pub remedy: Option<&'a str>,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((kind, name)) = self.object {
            write!(f, "{kind} {name} ")?;
        }
        if let Some(path) = self.path {
            write!(f, "{path}: ")?;
        }
        f.write_str(self.message)?;
        match self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}
