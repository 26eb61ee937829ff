//! What an `Idempotency-Key` names.

use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

use crate::{key::hash, store::contracts::queue::Idempotency, write_queue::request::QueuedRequest};

/// The scope of an idempotency key is the user, the method, and the path with its query; the queue's
/// key is a part of it because the path alone may not decide which partition holds the write. The
/// fingerprint is that of the content and its type and coding.
pub(super) fn of(request: &QueuedRequest, key: &str) -> Idempotency {
    let target = request.uri.path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    let scope = [
        request.user.as_deref().unwrap_or_default(),
        request.method.as_str(),
        target,
        &request.key,
        key,
    ];
    let (media_type, coding) = (
        joined(&request.headers, CONTENT_TYPE.as_str()),
        joined(&request.headers, CONTENT_ENCODING.as_str()),
    );
    Idempotency {
        scope: hash::of_parts(scope.map(str::as_bytes)),
        fingerprint: hash::of_parts([&media_type[..], &coding, &request.body]),
    }
}

/// All lines of a field as one list (RFC 9110 section 5.2).
pub(super) fn joined(headers: &HeaderMap, name: &str) -> Vec<u8> {
    let lines = headers.get_all(name).iter().map(|line| line.as_bytes());
    lines.collect::<Vec<_>>().join(&b", "[..])
}
