//! The content of a request as part of its key.

use std::collections::BTreeSet;

use http::{
    HeaderMap, HeaderName, Method,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use sha2::{Digest, Sha256};

use super::hash;

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// A hash of a request's content, in hexadecimal digits.
///
/// It covers the method and the fields that describe the content: a server may answer the same bytes
/// in another way if they are of another type or coding, or if they come with another method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentHash([u8; 32]);

impl ContentHash {
    /// HEAD counts as GET, whose stored response answers it.
    pub(crate) fn of(method: &Method, headers: &HeaderMap, content: &[u8]) -> Self {
        let method = if *method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let mut digest = Sha256::new();
        // Neither a method nor a field value contains a zero.
        digest.update(method.as_str());
        digest.update([0]);
        for name in [CONTENT_TYPE, CONTENT_ENCODING, GRPC_ENCODING] {
            for line in headers.get_all(name) {
                // Marks a line, which may be empty.
                digest.update([1]);
                digest.update(line.as_bytes());
                digest.update([0]);
            }
            digest.update([0]);
        }
        // A gRPC client must be able to decode the response. Other clients choose by `Vary`.
        let accepted = headers.get_all(GRPC_ACCEPT_ENCODING).iter();
        let accepted = accepted.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let accepted: BTreeSet<_> = accepted.map(<[u8]>::trim_ascii).collect();
        for encoding in accepted.iter().filter(|encoding| !encoding.is_empty()) {
            digest.update(encoding);
            digest.update([0]);
        }
        digest.update([0]);
        digest.update(content);
        Self(hash::hex(&digest.finalize()))
    }

    pub(crate) fn digits(&self) -> &[u8] {
        &self.0
    }
}
