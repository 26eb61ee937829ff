//! What lies under one key in a tier.

use std::{
    sync::OnceLock,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_LENGTH};

use super::position::Position;
use crate::{
    clock::Timestamp,
    message::{header_map, prebuilt_head::PrebuiltHeads},
    semantics::{
        freshness::Lifetime,
        stored::{StoredResponse, Variant, Variants},
    },
};

/// One stored thing: a response, the list of a key's variants, or an application value.
///
/// A copy between tiers keeps position, times and tags.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) content: Content,
    /// The fence's contiguous position before the inner service was called.
    pub(crate) position: Position,
    /// When it was received from the inner service, or last validated.
    pub(crate) stored: Timestamp,
    /// When it stops being of any use, stale or not; `[ttl] max` after `stored` at the latest.
    pub(crate) expires: Timestamp,
    /// The entity whose TTL the key has; empty for a path that no route names.
    pub(crate) entity: Box<str>,
    /// The user it was made for, if it is somebody's own.
    pub(crate) user: Option<Box<str>>,
    pub(crate) tags: Box<[Box<str>]>,
    /// What only this process knows of it.
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
    /// The bytes that what is stored holds at most, with all that hits add to it, without
    /// bookkeeping.
    pub(crate) fn weight(&self) -> u64 {
        // Each with the hash that it is found by.
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
            Content::Variants(variants) => variants.0.iter().map(variant_weight).sum(),
            Content::Value(value) => value.json.len(),
        };
        (content + tags + names) as u64
    }

    /// This response's head with a body.
    pub(crate) fn with_body(&self, body: Bytes, trailers: Option<HeaderMap>) -> Option<Self> {
        let Content::Response(head) = &self.content else {
            return None;
        };
        let mut response = head.clone();
        if !has_length(response.status) {
            response.headers.remove(CONTENT_LENGTH);
        } else if !response.headers.contains_key(CONTENT_LENGTH) && trailers.is_none() {
            let length = HeaderValue::from(body.len());
            response.headers.insert(CONTENT_LENGTH, length);
        }
        response.body = body;
        response.trailers = trailers;
        Some(self.with(Content::Response(response)))
    }

    /// The same entry, position, times and tags kept, with other content.
    pub(crate) fn with(&self, content: Content) -> Self {
        Self {
            content: content.compact(),
            position: self.position,
            stored: self.stored,
            expires: self.expires,
            entity: self.entity.clone(),
            user: self.user.clone(),
            tags: self.tags.clone(),
            local: LocalState::default(),
        }
    }
}

impl Content {
    fn compact(self) -> Self {
        match self {
            Self::Response(response) => Self::Response(StoredResponse {
                headers: header_map::fields(&response.headers),
                trailers: response.trailers.as_ref().map(header_map::fields),
                ..response
            }),
            other => other,
        }
    }
}

/// Remembered by one process about an entry in its hands; never stored.
#[derive(Debug, Default)]
pub(crate) struct LocalState {
    /// Hashes of every subject that can name this entry, once it is used again.
    pub(crate) subjects: OnceLock<Box<[u64]>>,
    /// The fence's stamp up to which this entry was checked and found usable.
    pub(crate) checked: AtomicU64,
    /// Heads as they go out, but for the time.
    pub(crate) ready: PrebuiltHeads,
    /// Of our own fill: the monotonic clock before the inner service was called; else 0.
    pub(crate) captured: u64,
    /// Until when nobody else refreshes it, on the monotonic clock.
    pub(crate) refreshing: AtomicU64,
}

/// A refresh that has not come back after this long is tried again by another request.
const REFRESH: Duration = Duration::from_secs(10);
/// Between a refresh that failed and the next.
const BACKOFF: Duration = Duration::from_secs(1);

impl LocalState {
    /// Whether the caller is the one to refresh the entry.
    pub(crate) fn claim_refresh(&self, now: u64) -> bool {
        let until = self.refreshing.load(Ordering::Relaxed);
        until <= now
            && self
                .refreshing
                .compare_exchange(
                    until,
                    later(now, REFRESH),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// The refresh failed: the next one waits a little.
    pub(crate) fn refresh_failed(&self, now: u64) {
        self.refreshing
            .store(later(now, BACKOFF), Ordering::Relaxed);
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
    2 * size_of::<Variant>() + hashes + names
}

/// What an entry holds at most beyond the bytes of its key, head, body and tags: the entry itself,
/// its share of the map, which has up to twice the slots that it needs, and the hashes of the
/// subjects that name it.
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
        semantics::stored::StoredResponse,
        store::{entry::LocalState, position::Position},
    };

    fn loose(count: usize, length: usize) -> HeaderMap {
        let mut fields = HeaderMap::with_capacity(1000);
        // As a parser leaves them: slices of what was read.
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
        let loose = loose(fields, length);
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
        let Content::Response(response) = &head.content else {
            unreachable!()
        };
        let entry = head.with(Content::Response(StoredResponse {
            headers: loose.clone(),
            trailers: Some(loose),
            body: vec![b'x'; body].into(),
            ..response.clone()
        }));
        let Content::Response(response) = &entry.content else {
            unreachable!()
        };
        entry.local.ready.fill(&response.headers, &response.body);
        drop(black_box(response.clone()));
        entry.local.subjects.get_or_init(|| vec![0; 8].into());
        Arc::new(entry)
    }

    /// As the documentation of `[local] size` has it.
    #[test]
    fn what_an_entry_weighs_is_stated() {
        let text = "content-type".len() + 20 + 2 * ("x-field-1".len() + 20);
        let names = "engagement".len() + "user-123".len() + 24 + "org:456".len();
        for (fields, text) in [(0, 0), (3, text)] {
            let mut entry = stored(fields, 20, 1024);
            let entry = Arc::get_mut(&mut entry).expect("nobody else has it");
            if let Content::Response(response) = &mut entry.content {
                response.trailers = None;
            }
            let stated = 2048 + 432 * fields + 3 * text + 1024 + names;
            let weight = entry.weight() + BOOKKEEPING;
            assert!(weight <= stated as u64, "{weight} of {stated}");
        }
    }

    #[test]
    fn no_entry_holds_more_than_it_weighs() {
        for (fields, length, body) in [(0, 0, 0), (1, 1, 1), (8, 20, 1024), (50, 5, 0), (9, 900, 9)]
        {
            let mut entry = None;
            let held = measure(|| entry = Some(stored(fields, length, body))).bytes_current;
            let held = u64::try_from(held).expect("something is held");
            let weight = entry.expect("it is there").weight() + BOOKKEEPING;
            assert!(
                held <= weight,
                "{held} of {weight}: {fields} fields of {length}, {body}"
            );
            // Nor does it weigh much more.
            assert!(
                weight <= held * 3 / 2 + 512,
                "{held} of {weight}: {fields} of {length}, {body}"
            );
        }
    }
}
