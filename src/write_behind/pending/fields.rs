//! The header fields of responses that show pending writes, or may lack some.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT_ENCODING, ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_LENGTH, ETAG, EXPIRES,
        LAST_MODIFIED, PRAGMA, TRAILER, TRANSFER_ENCODING,
    },
};

use crate::semantics::{
    cache_status::{CacheStatus, Forward},
    conditional,
    targeted::CDN_CACHE_CONTROL,
};

/// Whether a response shows all pending writes, or may lack some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completeness {
    Complete,
    Unknown,
}

impl Completeness {
    fn detail(self) -> &'static str {
        match self {
            Self::Complete => "pending",
            Self::Unknown => "pending-unknown",
        }
    }
}

/// Where the content of a response that shows pending writes comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentSource {
    /// From the queue alone.
    Queue,
    /// From the service's response, too.
    Base,
}

/// Makes a request whose response can be completed: for the whole representation, and without a
/// content coding.
pub(super) fn ask_for_whole(request: &mut HeaderMap) {
    conditional::make_unconditional(request);
    // Without the field, any coding would be acceptable (RFC 9110 section 12.5.3).
    request.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Makes the fields of the service's response those of a response that shows pending writes: nobody
/// stores it, and it has no validator and no field that depends on the content's bytes.
pub(super) fn mark_pending(
    headers: &mut HeaderMap,
    source: ContentSource,
    completeness: Completeness,
) {
    for name in OF_BASE {
        headers.remove(name);
    }
    forbid_storing(headers);
    let status = match source {
        ContentSource::Queue => CacheStatus {
            ttl: None,
            ..CacheStatus::hit(0)
        },
        ContentSource::Base => CacheStatus::forward(Forward::Partial),
    };
    status.detail(completeness.detail()).append(headers);
}

/// Marks a response that shows no pending writes, but might lack some: nobody stores it.
pub(super) fn mark_unknown(headers: &mut HeaderMap) {
    forbid_storing(headers);
    let status = CacheStatus::forward(Forward::Bypass);
    status
        .detail(Completeness::Unknown.detail())
        .append(headers);
}

fn forbid_storing(headers: &mut HeaderMap) {
    for name in OF_STORAGE {
        headers.remove(name);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

const OF_BASE: [HeaderName; 11] = [
    ACCEPT_RANGES,
    AGE,
    CONTENT_LENGTH,
    ETAG,
    LAST_MODIFIED,
    TRAILER,
    TRANSFER_ENCODING,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// Fields that a cache may obey in place of `Cache-Control`.
const OF_STORAGE: [HeaderName; 4] = [
    CDN_CACHE_CONTROL,
    EXPIRES,
    PRAGMA,
    HeaderName::from_static("surrogate-control"),
];
