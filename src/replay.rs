//! A request once more, as a GET for the whole and fresh.

use http::{
    HeaderName, Method,
    header::{
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
        CONTENT_RANGE, CONTENT_TYPE, EXPECT, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
        IF_UNMODIFIED_SINCE, PRAGMA, RANGE, TRAILER, TRANSFER_ENCODING,
    },
    request,
};

/// The same target, fields, credentials and extensions; what one client wants of the answer's form
/// is not what everybody is to get, and it has no content.
pub(crate) fn as_get(parts: &request::Parts) -> request::Parts {
    let mut replayed = parts.clone();
    replayed.method = Method::GET;
    for name in LEFT_OUT {
        replayed.headers.remove(name);
    }
    replayed
}

const LEFT_OUT: [HeaderName; 17] = [
    CACHE_CONTROL,
    PRAGMA,
    RANGE,
    IF_RANGE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    CONTENT_TYPE,
    EXPECT,
    TRAILER,
    TRANSFER_ENCODING,
];
