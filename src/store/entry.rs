//! The entry that a tier stores under one key.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_LENGTH};

use super::position::Position;
use crate::{
    clock::Timestamp,
    message::{
        buffer_budget::{BufferBudget, UNCOUNTED},
        counted_body::{BodyHolder, counted_body},
        header_map,
        prebuilt_head::PrebuiltHeads,
    },
    semantics::{
        freshness::Lifetime,
        stored_response::{ListedVariant, StoredResponse, Variant, Variants},
    },
};

/// A stored response, the list of a key's variants, or an application value.
///
/// Copies between tiers keep position, times and tags.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) content: Content,
    /// The fence's contiguous position before the inner service was called.
    pub(crate) position: Position,
    /// When the entry was received from the inner service or last validated.
    pub(crate) stored: Timestamp,
    /// When the entry must not be used any more, even as stale; at most `[ttl] max` after `stored`.
    pub(crate) expires: Timestamp,
    /// The entity whose TTL applies; empty for a path without a route.
    pub(crate) entity: Box<str>,
    /// The user that the entry belongs to, if it is not shared.
    pub(crate) user: Option<Box<str>>,
    pub(crate) tags: Box<[Box<str>]>,
    // The last field, so that it is dropped after the content.
    pub(crate) local: LocalState,
}

// Nearly every entry is a response.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(crate) enum Content {
    Response(StoredResponse),
    Variants(Variants),
    /// An application value: JSON text.
    Value(StoredValue),
}

#[derive(Clone, Debug)]
pub(crate) struct StoredValue {
    pub(crate) json: Bytes,
    pub(crate) lifetime: Lifetime,
    pub(crate) cost: Duration,
}

impl Entry {
    /// The response, if the entry is one.
    pub(crate) fn response(&self) -> Option<&StoredResponse> {
        match &self.content {
            Content::Response(response) => Some(response),
            _ => None,
        }
    }

    /// An upper bound of the content's bytes in memory, including the response heads that hits prepare,
    /// without [`BOOKKEEPING`].
    pub(crate) fn weight(&self) -> u64 {
        // Each tag has a pointer, and a hash in `LocalState::targets`.
        let tags: usize = self.tags.iter().map(|t| t.len() + 16 + 8).sum();
        let names = self.entity.len() + self.user.as_ref().map_or(0, |user| user.len());
        let content = match &self.content {
            Content::Response(response) => {
                let trailers = response.trailers.as_ref().map_or(0, header_map::weight);
                header_map::weight(&response.headers)
                    + PrebuiltHeads::weight(&response.headers)
                    + trailers
                    + response.body.len()
            }
            Content::Variants(variants) => variants.iter().map(variant_weight).sum(),
            Content::Value(value) => value.json.len(),
        };
        (content + tags + names) as u64
    }

    /// A copy of this response with a body and trailers; `None` if the entry is no response.
    pub(crate) fn with_body(&self, body: Bytes, trailers: Option<HeaderMap>) -> Option<Self> {
        let mut response = self.response()?.clone();
        if !has_length(response.status) {
            response.headers.remove(CONTENT_LENGTH);
        } else if !response.headers.contains_key(CONTENT_LENGTH) && trailers.is_none() {
            let length = HeaderValue::from(body.len());
            response.headers.insert(CONTENT_LENGTH, length);
        }
        response.body = body;
        response.trailers = trailers;
        Some(self.with_content(Content::Response(response)))
    }

    /// Whether the entry is a response whose body counts once the entry has gone.
    pub(crate) fn has_large_body(&self) -> bool {
        (self.response()).is_some_and(|response| response.body.len() > UNCOUNTED)
    }

    /// Makes a large body count towards `budget` while clients hold it longer than the entry lives.
    pub(crate) fn count_body(&mut self, budget: &Arc<BufferBudget>) {
        if self.local.body_holder.is_some() || !self.has_large_body() {
            return;
        }
        if let Content::Response(response) = &mut self.content {
            let body = std::mem::take(&mut response.body);
            let (body, holder) = counted_body(body, budget.permit());
            response.body = body;
            self.local.body_holder = Some(holder);
        }
    }

    /// A copy with other content, and the same position, times and tags.
    pub(crate) fn with_content(&self, content: Content) -> Self {
        let has_same_body = match (self.response(), &content) {
            (Some(own), Content::Response(other)) => own.body.as_ptr() == other.body.as_ptr(),
            _ => false,
        };
        let local = LocalState {
            body_holder: (self.local.body_holder.clone()).filter(|_| has_same_body),
            ..LocalState::default()
        };
        Self {
            content: content.compact(),
            position: self.position,
            stored: self.stored,
            expires: self.expires,
            entity: self.entity.clone(),
            user: self.user.clone(),
            tags: self.tags.clone(),
            local,
        }
    }
}

impl Content {
    /// Copies header fields out of the buffers that they were parsed from.
    fn compact(self) -> Self {
        match self {
            Self::Response(response) => Self::Response(StoredResponse {
                headers: header_map::compact(&response.headers),
                trailers: response.trailers.as_ref().map(header_map::compact),
                ..response
            }),
            other => other,
        }
    }
}

/// State of an entry in this process only; never stored.
#[derive(Debug, Default)]
pub(crate) struct LocalState {
    /// Hashes of all purge targets that match this entry; computed when it is first used again.
    pub(crate) targets: OnceLock<Box<[u64]>>,
    /// The fence's stamp of the last check that found this entry usable.
    pub(crate) checked: AtomicU64,
    /// Response heads for hits, complete except for `Age` and the TTL.
    pub(crate) prebuilt: PrebuiltHeads,
    /// The monotonic clock before the inner service was called, if this process made the entry;
    /// else 0.
    pub(crate) captured: u64,
    /// When the entry was last used as a variant, in milliseconds since the Unix epoch.
    pub(crate) used: AtomicU64,
    /// When the claim of the current refresh expires, on the monotonic clock.
    pub(crate) refreshing: AtomicU64,
    /// Counts a large body that clients hold longer than the entry lives. The last field: the prebuilt
    /// heads hold the body, too.
    pub(crate) body_holder: Option<BodyHolder>,
}

impl LocalState {
    /// Notes that the entry was used as a variant.
    #[inline]
    pub(crate) fn note_use(&self, now: Timestamp) {
        // Later than what was stored in the same millisecond.
        self.used.store(now.0.saturating_add(1), Ordering::Relaxed);
    }

    /// When the entry was last used as a variant; the epoch if it was not.
    pub(crate) fn last_use(&self) -> Timestamp {
        Timestamp(self.used.load(Ordering::Relaxed))
    }

    /// Claims the refresh of the entry; returns false if another request has claimed it.
    pub(crate) fn claim_refresh(&self, now: u64) -> bool {
        let until = self.refreshing.load(Ordering::Relaxed);
        let relaxed = Ordering::Relaxed;
        let claimed = || {
            let new = later(now, REFRESH_TIMEOUT);
            self.refreshing
                .compare_exchange(until, new, relaxed, relaxed)
        };
        until <= now && claimed().is_ok()
    }

    /// Delays the next refresh after one that failed.
    pub(crate) fn delay_refresh(&self, now: u64) {
        let until = later(now, REFRESH_BACKOFF);
        self.refreshing.store(until, Ordering::Relaxed);
    }
}

fn later(now: u64, delta: Duration) -> u64 {
    now.saturating_add(u64::try_from(delta.as_nanos()).unwrap_or(u64::MAX))
}

/// RFC 9110 section 8.6: no `Content-Length` in 1xx and 204.
fn has_length(status: http::StatusCode) -> bool {
    !status.is_informational() && status != http::StatusCode::NO_CONTENT
}

fn variant_weight(variant: &Variant) -> usize {
    let fields = variant.fields.iter();
    let hashes = variant.hash.len() + variant.by_language.as_ref().map_or(0, |hash| hash.len());
    let names: usize = fields
        .map(|name| size_of_val(name) + name.as_str().len() + 24)
        .sum();
    // A list that grows has room for up to twice as many.
    2 * size_of::<ListedVariant>() + hashes + names
}

/// After this long, another request may retry a refresh that has not finished.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a refresh that failed.
const REFRESH_BACKOFF: Duration = Duration::from_secs(1);

/// The most bytes that an entry takes beyond its key, head, body and tags: the entry itself, its
/// share of the map, which may have twice the slots that it needs, and the hashes of the purge
/// targets that match it.
pub(crate) const BOOKKEEPING: u64 = 256 + size_of::<Entry>() as u64;

#[cfg(test)]
mod tests {
    use std::{hint::black_box, sync::Arc, time::Duration};

    use allocation_counter::measure;
    use bytes::Bytes;
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    use super::*;
    use crate::{
        clock::Timestamp,
        semantics::stored_response::StoredResponse,
        store::{entry::LocalState, position::Position},
    };

    /// Header fields as a parser makes them: slices of a large buffer.
    fn parsed(count: usize, length: usize) -> HeaderMap {
        let mut fields = HeaderMap::with_capacity(1000);
        let read = Bytes::from(vec![b'x'; 100_000]);
        for i in 0..count {
            let name = match i % 3 {
                0 => http::header::CONTENT_TYPE,
                _ => HeaderName::try_from(format!("x-field-{i}")).expect("a name"),
            };
            let value = HeaderValue::from_maybe_shared(read.slice(..length));
            fields.append(name, value.expect("a value"));
        }
        fields
    }

    fn stored(fields: usize, length: usize, body: usize) -> Arc<Entry> {
        let parsed = parsed(fields, length);
        let head = Entry {
            content: Content::Response(StoredResponse {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: Bytes::new(),
                trailers: None,
                lifetime: Default::default(),
                part: None,
                cost: Duration::ZERO,
            }),
            position: Position::UNKNOWN,
            stored: Timestamp(0),
            expires: Timestamp(1),
            entity: "engagement".into(),
            user: Some("user-123".into()),
            tags: Box::new(["org:456".into()]),
            local: LocalState::default(),
        };
        let response = head.response().expect("a response");
        let entry = head.with_content(Content::Response(StoredResponse {
            headers: parsed.clone(),
            trailers: Some(parsed),
            body: vec![b'x'; body].into(),
            ..response.clone()
        }));
        let response = entry.response().expect("a response");
        entry.local.prebuilt.fill(response);
        drop(black_box(response.clone()));
        entry.local.targets.get_or_init(|| vec![0; 8].into());
        Arc::new(entry)
    }

    /// The bound is documented at `[local] size`.
    #[test]
    fn an_entry_weighs_no_more_than_documented() {
        let text = "content-type".len() + 20 + 2 * ("x-field-1".len() + 20);
        let names = "engagement".len() + "user-123".len() + 24 + "org:456".len();
        for (fields, text) in [(0, 0), (3, text)] {
            let mut entry = stored(fields, 20, 1024);
            let entry = Arc::get_mut(&mut entry).expect("not shared");
            if let Content::Response(response) = &mut entry.content {
                response.trailers = None;
            }
            let documented = 2048 + 432 * fields + 3 * text + 1024 + names;
            let weight = entry.weight() + BOOKKEEPING;
            assert!(weight <= documented as u64, "{weight} of {documented}");
        }
    }

    #[test]
    fn an_entry_holds_no_more_than_it_weighs() {
        for (fields, length, body) in [(0, 0, 0), (1, 1, 1), (8, 20, 1024), (50, 5, 0), (9, 900, 9)]
        {
            let mut entry = None;
            let held = measure(|| entry = Some(stored(fields, length, body))).bytes_current;
            let held = u64::try_from(held).expect("positive");
            let weight = entry.expect("stored").weight() + BOOKKEEPING;
            assert!(
                held <= weight,
                "{held} of {weight}: {fields} fields of {length}, {body}"
            );
            // The weight is not much too large.
            assert!(
                weight <= held * 3 / 2 + 512,
                "{held} of {weight}: {fields} of {length}, {body}"
            );
        }
    }
}
