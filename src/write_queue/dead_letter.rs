use bytes::Bytes;
use http::Request;

use super::status::WriteStatus;

/// A write that was given up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its status, with the reason and the last response.
    pub status: WriteStatus,
    /// The key whose writes are applied in order.
    pub key: Box<str>,
    /// The request, with the fields that were kept; `None` if the stored one cannot be read.
    pub request: Option<Request<Bytes>>,
}
