//! A stored response (RFC 9111 section 3) and the variants of a key (section 4.1), as values.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};

use super::freshness::Lifetime;
use crate::clock::Timestamp;

/// A stored response (RFC 9111 section 3).
#[derive(Clone, Debug)]
pub(crate) struct StoredResponse {
    pub(crate) status: StatusCode,
    /// End-to-end fields, without `Age`.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) lifetime: Lifetime,
    /// The range of the representation that `body` contains (RFC 9111 section 3.3); `None` if `body`
    /// is complete.
    pub(crate) part: Option<Part>,
    /// The time that the inner service needed for the response; early refresh uses it.
    pub(crate) cost: Duration,
}

/// The range of a stored 206 (RFC 9110 section 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) first: u64,
    /// The complete length of the representation, if known.
    pub(crate) complete: Option<u64>,
}

/// The variants of one key (RFC 9111 section 4.1), the most recently stored first; a bounded list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variants(pub(crate) Vec<ListedVariant>);

/// A variant in the list of a key, with what decides how long it stays there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedVariant {
    pub(crate) variant: Variant,
    /// The size of its response in bytes.
    pub(crate) weight: usize,
    /// When it was stored or last used, as far as the processes have told that wrote the list.
    pub(crate) used: Timestamp,
}

impl Variants {
    /// A list of variants that have no weight and were never used.
    pub(crate) fn of(variants: impl IntoIterator<Item = Variant>) -> Self {
        let listed = variants.into_iter().map(|variant| ListedVariant {
            variant,
            weight: 0,
            used: Timestamp(0),
        });
        Self(listed.collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Variant> {
        self.0.iter().map(|listed| &listed.variant)
    }
}

/// The request fields that `Vary` names, and a hash of their normalised values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) fields: Box<[HeaderName]>,
    /// 32 hexadecimal digits: the `#vary` part of the variant's key.
    pub(crate) hash: Box<str>,
    /// The hash with the response's language in place of the request's `Accept-Language`, if `Vary`
    /// names that field and the response has one language. Requests that prefer this language
    /// select the variant by it.
    pub(crate) by_language: Option<Box<str>>,
}
