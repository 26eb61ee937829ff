use std::{error::Error as StdError, fmt};

/// A boxed error, as tower's.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What went wrong in the table, the store or a value: one opaque error for the whole crate.
///
/// `Display` says what to write or do instead; the cause is kept as [`source`](StdError::source).
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
    /// The store answered with a refusal: credentials, ACL, read-only, out of memory.
    Refused,
    /// A stored value or a reply that cannot be read.
    Corrupt,
    /// The application's own value does not (de)serialise, or its own function failed.
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

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The table, a key, a tag or a pattern is wrong; the message says what to write instead.
    #[must_use]
    pub fn is_config(&self) -> bool {
        self.0.kind == Kind::Config
    }

    /// The store could not be asked, or did not answer within its deadline.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.0.kind == Kind::Unavailable
    }

    /// The store refused: wrong credentials, a command its ACL forbids, read-only, out of memory.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.0.kind == Kind::Refused
    }

    /// A value does not serialise to JSON, or what is stored is not of the type asked for; the
    /// store has nothing to do with it.
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

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
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
