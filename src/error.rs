//! The error of the whole crate.

use std::{
    error::Error as StdError,
    fmt,
    sync::{LockResult, PoisonError},
};

/// A boxed error, the same type as tower's `BoxError`.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// An error of the table, the store or a value.
///
/// `Display` and `Debug` print the same message: what failed, and what to write or do instead. The cause
/// is available as [`source`](StdError::source).
pub struct Error(Box<Repr>);

struct Repr {
    kind: Kind,
    message: String,
    source: Option<BoxError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The table, or a key, tag or pattern given by the application.
    Config,
    /// The store did not answer, or not in time.
    Unavailable,
    /// The store refused: wrong credentials, a command its ACL forbids, read-only, out of memory.
    Refused,
    /// Stored data or a reply that cannot be read.
    #[cfg(feature = "redis")]
    Corrupt,
    /// An application value does not serialise to JSON, or stored JSON is of another type.
    Value,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Repr {
            kind,
            message: message.into(),
            source: None,
        }))
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    /// Sets `cause` as the source and appends its message, for causes that the user must act on.
    pub(crate) fn with_shown_cause(mut self, cause: impl Into<BoxError>) -> Self {
        let cause = cause.into();
        self.0.message = format!("{}: {cause}", self.0.message);
        self.with_hidden_cause(cause)
    }

    /// Sets `cause` as the source without showing its message, which may repeat this one or contain
    /// secrets.
    pub(crate) fn with_hidden_cause(mut self, cause: impl Into<BoxError>) -> Self {
        self.0.source = Some(cause.into());
        self
    }

    #[cfg(feature = "redis")]
    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Whether the table, a key, a tag or a pattern is wrong. The message says what to write instead.
    #[must_use]
    pub fn is_config(&self) -> bool {
        self.0.kind == Kind::Config
    }

    /// Whether the store could not be reached, or did not answer within its deadline.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.0.kind == Kind::Unavailable
    }

    /// Whether the store refused: wrong credentials, a command its ACL forbids, read-only, out of
    /// memory.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.0.kind == Kind::Refused
    }

    /// Whether a value does not serialise to JSON, or the stored JSON is not of the requested type.
    /// The store is not at fault.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("config").id("theme");
    /// keep.set(&key, "dark").await?;
    /// assert!(keep.get::<u32>(&key).await.unwrap_err().is_value());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_value(&self) -> bool {
        self.0.kind == Kind::Value
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

/// Prints the message, so that `fn main() -> Result<(), Error>` ends with a readable one.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|s| s as &(dyn StdError + 'static))
    }
}

/// Returns the guard of a poisoned lock, too: a panic in a critical section leaves no half-changed
/// state.
pub(crate) fn ignore_poison<G>(lock: LockResult<G>) -> G {
    lock.unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_what_display_prints() {
        let error = Error::config("the table is wrong").with_shown_cause("no such file");
        assert_eq!(error.to_string(), "the table is wrong: no such file");
        assert_eq!(format!("{error:?}"), error.to_string());
        assert_eq!(
            error.source().expect("a source").to_string(),
            "no such file"
        );
    }

    #[test]
    fn a_hidden_cause_is_not_shown() {
        let error = Error::unavailable("redis cannot be reached").with_hidden_cause("a secret");
        assert_eq!(error.to_string(), "redis cannot be reached");
        assert!(error.source().is_some());
    }
}
