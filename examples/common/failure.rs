use std::{error::Error, process::ExitCode};

/// Why an example did not start, or stopped early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A flag, or a file named by a flag, is invalid.
    Usage(String),
    /// Anything else, such as an address in use or a database that cannot be opened.
    Other(Box<dyn Error + Send + Sync>),
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// Prints the error and its causes to standard error.
    pub(super) fn report(self) -> ExitCode {
        match self {
            Self::Usage(message) => {
                eprintln!("error: {message}\nfor a list of flags: --help");
                ExitCode::from(2)
            }
            Self::Other(error) => {
                eprintln!("error: {}", with_causes(&*error));
                ExitCode::FAILURE
            }
        }
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// The error and its causes, on one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}
