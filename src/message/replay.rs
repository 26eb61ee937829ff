//! A request once more, as a GET for the whole and fresh.

use http::{
    HeaderName, Method, Request,
    header::{
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
        CONTENT_RANGE, CONTENT_TYPE, EXPECT, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
        IF_UNMODIFIED_SINCE, PRAGMA, RANGE, TRAILER, TRANSFER_ENCODING,
    },
    request,
};

/// The same target, fields, credentials and extensions; what one client wants of the answer's form
/// is not what everybody is to get, and it has no content.
pub(crate) fn as_get<B>(request: &Request<B>) -> request::Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::GET;
    parts.uri = request.uri().clone();
    parts.version = request.version();
    parts.headers = request.headers().clone();
    parts.extensions = request.extensions().clone();
    whole(&mut parts);
    parts
}

/// As [`as_get`], of a request's parts.
pub(crate) fn parts_as_get(parts: &request::Parts) -> request::Parts {
    let mut parts = parts.clone();
    parts.method = Method::GET;
    whole(&mut parts);
    parts
}

fn whole(parts: &mut request::Parts) {
    for name in LEFT_OUT {
        parts.headers.remove(name);
    }
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
