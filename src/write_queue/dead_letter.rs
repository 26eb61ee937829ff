use bytes::Bytes;
use http::{HeaderMap, Method, Uri};

use super::status::WriteStatus;

/// A write that was given up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its status, with the reason and the last response.
    pub status: WriteStatus,
    /// The key whose writes are applied in order.
    pub key: Box<str>,
    /// The request's method.
    pub method: Method,
    /// The request's target, as received.
    pub uri: Uri,
    /// The request's fields that were kept.
    pub headers: HeaderMap,
    /// The request's content.
    pub body: Bytes,
}
