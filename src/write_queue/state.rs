use super::id::WriteId;

/// The state of an accepted write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteState {
    /// It waits for a worker, for an earlier write of its key, or for its next attempt.
    Waiting,
    /// A worker is applying it.
    Applying,
    /// It was applied.
    Done,
    /// It was given up: refused by the service, or failed in every attempt.
    Dead,
    /// A later write of the same key has taken its place, and decides what becomes of it.
    Superseded(WriteId),
}

impl WriteState {
    /// The state in JSON: `waiting`, `applying`, `done`, `dead` or `superseded`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Applying => "applying",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Superseded(_) => "superseded",
        }
    }

    /// Whether the write can no longer change its state by itself.
    #[must_use]
    pub fn has_ended(self) -> bool {
        !matches!(self, Self::Waiting | Self::Applying)
    }
}
