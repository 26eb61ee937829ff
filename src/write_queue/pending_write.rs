use bytes::Bytes;
use http::Request;

use super::id::WriteId;

/// A write that was accepted and has not ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PendingWrite {
    /// The write.
    pub id: WriteId,
    /// The user who sent it, if one was known.
    pub user: Option<Box<str>>,
    /// The request, with the fields that were kept.
    pub request: Request<Bytes>,
}
