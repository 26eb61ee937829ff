//! Why a write was not accepted.

use crate::{
    engine::queue_metrics::QueueMetrics,
    error::{Error, Kind},
    store::contracts::queue::Bound,
    table::KeyError,
};

/// Why a write was not accepted.
#[derive(Debug)]
pub(crate) enum NotAccepted {
    /// No route serves its path at its host, or the route does not have `write = "behind"`, or its
    /// method writes nothing.
    NotBehind,
    /// Servers may read several paths from its path, so that its key is unknown.
    AmbiguousPath,
    /// Servers may read several hosts from its head, and the host is part of the key.
    AmbiguousHost,
    /// It lacks a value of its key.
    NoKey(KeyError),
    /// It has more fields than the queue keeps.
    TooManyFields,
    /// Its idempotency key was used for other content.
    OtherContent,
    Full(Bound),
    /// The store has refused it.
    Refused(Error),
    /// The store's reply is missing: it may have been accepted.
    Unknown(Error),
}

impl NotAccepted {
    /// The reason as a sentence for the client.
    pub(crate) fn detail(&self) -> &'static str {
        match self {
            Self::NotBehind => "This path and method do not queue writes.",
            Self::AmbiguousPath => {
                "The path can be read as several resources; send it without dot segments, empty segments and encoded slashes."
            }
            Self::AmbiguousHost => {
                "The request's host is ambiguous; send one Host field that agrees with the request's target."
            }
            Self::NoKey(KeyError::NoUser) => {
                "Writes to this path need an authenticated user, and the request has none."
            }
            Self::NoKey(KeyError::Missing) => {
                "The request lacks a parameter or a header field that names its resource."
            }
            Self::NoKey(KeyError::Malformed) => {
                "The request's target is not properly percent-encoded."
            }
            Self::NoKey(KeyError::AmbiguousQuery) => {
                "A parameter of the query is spelled almost like one that names the resource."
            }
            Self::TooManyFields => "The request has too many header fields.",
            Self::OtherContent => {
                "The Idempotency-Key was used for a request with other content; send another key."
            }
            Self::Full(Bound::Writes) => "Too many writes are waiting to be applied.",
            Self::Full(Bound::Bytes) => {
                "The writes that are waiting to be applied take up all room."
            }
            Self::Full(Bound::PerKey) => {
                "Too many writes to this resource are waiting to be applied."
            }
            Self::Refused(_) => "The write was not accepted, because it cannot be stored.",
            Self::Unknown(_) => {
                "The write may have been accepted, because the store did not confirm it. Repeat the request with the same Idempotency-Key to find it."
            }
        }
    }

    pub(super) fn count(&self, metrics: &QueueMetrics) {
        let counter = match self {
            Self::Full(_) => &metrics.rejected_full,
            Self::Refused(_) | Self::Unknown(_) => &metrics.rejected_unavailable,
            _ => &metrics.rejected_invalid,
        };
        counter.increment(1);
    }

    /// The error for code that has queued the write.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::NotBehind => Error::config(
                "no route with `write = \"behind\"` serves the request; enqueue a request with an unsafe method to such a route",
            ),
            Self::Refused(cause) => Error::new(Kind::Refused, "the store refuses the write")
                .with_shown_cause(cause),
            Self::Unknown(cause) => Error::unavailable(
                "the write may have been accepted: repeat it with the same `Idempotency-Key` to find it",
            )
            .with_shown_cause(cause),
            Self::Full(_) | Self::OtherContent => Error::new(Kind::Refused, self.detail()),
            _ => Error::config(self.detail()),
        }
    }
}
