use std::{error::Error, process::ExitCode};

/// Why an example did not start, or stopped before it was told to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A flag, or a file that a flag names, is at fault.
    Usage(String),
    /// Anything else: an address in use, a database that does not open.
    Other(Box<dyn Error + Send + Sync>),
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// Says on standard error what is wrong, with every cause.
    pub(super) fn report(self) -> ExitCode {
        match self {
            Self::Usage(message) => {
                eprintln!("error: {message}\nfor the flags: --help");
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

/// One line: the error and what caused it.
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
