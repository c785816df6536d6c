//! An error with its causes in one line.

/// The innermost cause alone.
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

/// An error with all that caused it, in one line.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to apply the plan")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("the API server refuses Service c: no")]
    struct Inner;

    #[test]
    fn a_chain_names_every_cause_once() {
        assert_eq!(error_chain(&Outer(Inner)), "failed to apply the plan: the API server refuses Service c: no");
        assert_eq!(root_cause(&Outer(Inner)), "the API server refuses Service c: no");
    }
}
