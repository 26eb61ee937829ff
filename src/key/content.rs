//! The content of a request as part of its key.

use http::{
    HeaderMap, Method,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use sha2::{Digest, Sha256};

use super::hash;

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
        for name in [CONTENT_TYPE, CONTENT_ENCODING] {
            for line in headers.get_all(name) {
                digest.update(line.as_bytes());
                digest.update([0]);
            }
            digest.update([0]);
        }
        digest.update(content);
        Self(hash::hex(&digest.finalize()))
    }

    pub(crate) fn digits(&self) -> &[u8] {
        &self.0
    }
}
