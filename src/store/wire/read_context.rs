use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_LENGTH};

use super::{key_hash::KeyHash, unreadable::Unreadable};
use crate::{
    clock::Timestamp,
    semantics::{
        freshness::Lifetime,
        stored_fields::is_hop_by_hop,
        stored_response::{Part, StoredResponse},
    },
};

/// The key under which an entry was found, the time, and the bounds that the reader would have
/// observed if it had stored the entry itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadContext {
    pub(crate) key: KeyHash,
    pub(crate) now: Timestamp,
    /// No entry lives longer.
    pub(crate) max_ttl: Duration,
    /// The longest body of a response, in bytes.
    pub(crate) max_body: u64,
}

impl ReadContext {
    /// When an entry must not be used any more.
    pub(super) fn expiry(
        &self,
        stored: Timestamp,
        expires: Timestamp,
    ) -> Result<Timestamp, Unreadable> {
        if stored.since(self.now) > CLOCK_TOLERANCE {
            return Err(Unreadable::Implausible);
        }
        Ok(expires.min(stored.after(self.max_ttl)))
    }

    pub(super) fn capped(&self, lifetime: Lifetime) -> Lifetime {
        let cap = |duration: Duration| duration.min(self.max_ttl);
        Lifetime {
            fresh: cap(lifetime.fresh),
            stale_while_revalidate: cap(lifetime.stale_while_revalidate),
            stale_if_error: cap(lifetime.stale_if_error),
            ..lifetime
        }
    }

    /// Checks what would break the framing of a response to a client, or a reader's arithmetic.
    pub(super) fn check_response(&self, response: &StoredResponse) -> Result<(), Unreadable> {
        let length = response.body.len() as u64;
        let is_final = response.status >= StatusCode::OK;
        let is_valid = is_final
            && response.status != StatusCode::NOT_MODIFIED
            && length <= self.max_body
            && is_framed(&response.headers, length)
            && response.part.is_none_or(|part| is_within(part, length));
        is_valid.then_some(()).ok_or(Unreadable::Implausible)
    }
}

/// Whether no field contradicts the body's length.
fn is_framed(headers: &HeaderMap, length: u64) -> bool {
    let is_length = |value: &HeaderValue| {
        let text = value.to_str().ok();
        text.and_then(|text| text.parse().ok()) == Some(length)
    };
    headers.get_all(CONTENT_LENGTH).iter().all(is_length) && !headers.keys().any(is_hop_by_hop)
}

/// Whether a part with so many bytes ends within its representation.
fn is_within(part: Part, length: u64) -> bool {
    let end = part.first.checked_add(length);
    end.is_some_and(|end| part.complete.is_none_or(|complete| end <= complete))
}

/// How far the clock of the process that stored an entry may be ahead.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(10);
