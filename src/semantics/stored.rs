//! A stored response (RFC 9111 section 3) and the variants of a key (section 4.1), as values.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};

use super::freshness::Lifetime;

/// RFC 9111 section 3: what is kept of a response.
#[derive(Clone, Debug)]
pub(crate) struct StoredResponse {
    pub(crate) status: StatusCode,
    /// End-to-end fields only, `Age` excepted.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) lifetime: Lifetime,
    /// What part of the representation `body` is; `None`: the whole (RFC 9111 section 3.3).
    pub(crate) part: Option<Part>,
    /// How long the inner service took; for early refresh.
    pub(crate) cost: Duration,
}

/// The range of a stored 206 (RFC 9110 section 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) first: u64,
    /// Complete length of the representation, when known.
    pub(crate) complete: Option<u64>,
}

/// The variants of one key (RFC 9111 section 4.1), the most recently stored first, bounded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variants(pub(crate) Vec<Variant>);

/// One variant: the fields that `Vary` named, and the hash of the request's normalised values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) fields: Box<[HeaderName]>,
    /// 32 hexadecimal digits: the `#vary` part of the variant's key.
    pub(crate) hash: Box<str>,
    /// The same with the response's own language for the request's `Accept-Language`, where both
    /// are known: it selects this variant for whoever prefers that language.
    pub(crate) by_language: Option<Box<str>>,
}
