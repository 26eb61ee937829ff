//! The error of `get_or_set`.

use std::{error::Error, fmt};

/// The error of [`Keep::get_or_set`](crate::Keep::get_or_set).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GetOrSetError<E> {
    /// The value waits for itself: `make` has called `get_or_set` for the same key, directly or
    /// through other calls of the same task. Make the value without that call.
    SelfWait {
        /// The key of the value.
        key: Box<str>,
    },
    /// The error of `make`.
    Make(E),
}

impl<E: fmt::Display> fmt::Display for GetOrSetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SelfWait { key } => write!(
                f,
                "the value of `{key}` waits for itself: what makes it calls `get_or_set` for the same key; make it without that call"
            ),
            Self::Make(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for GetOrSetError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::SelfWait { .. } => None,
            // Its message is that of this error.
            Self::Make(error) => error.source(),
        }
    }
}
