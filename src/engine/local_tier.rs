//! The local tier: entries in this process, bounded by weight in bytes.

use std::{fmt, sync::Arc};

use metrics::{Counter, counter};
use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use crate::{
    key::encode,
    message::{header_map, prebuilt_head::ReadyHeads},
    semantics::stored::Variant,
    store::entry::{Content, Entry},
};

/// What an entry holds at most beyond the bytes of its key, head, body and tags: the entry itself,
/// its share of the map, which has up to twice the slots that it needs, and the hashes of the
/// subjects that name it.
pub(crate) const BOOKKEEPING: u64 = 256 + size_of::<Entry>() as u64;

/// Entries by the bytes of their full keys. A clone of the keep shares it.
pub(crate) struct Local {
    cache: Cache<Box<[u8]>, Arc<Entry>, Weight, foldhash::fast::RandomState, Evictions>,
}

impl Local {
    /// At most about `bytes` of entries; 0 holds none.
    pub(crate) fn new(bytes: u64) -> Self {
        let options = OptionsBuilder::new()
            .shards(shards(bytes))
            .estimated_items_capacity(
                usize::try_from(bytes / 2048)
                    .unwrap_or(usize::MAX)
                    .min(1 << 20),
            )
            .weight_capacity(bytes)
            .build()
            .expect("every option is given");
        let lifecycle = Evictions(counter!("tower_keep_local_evictions_total"));
        Self {
            cache: Cache::with_options(options, Weight, Default::default(), lifecycle),
        }
    }

    #[inline]
    pub(crate) fn get(&self, key: &[u8]) -> Option<Arc<Entry>> {
        self.cache.get(key)
    }

    pub(crate) fn insert(&self, key: &str, entry: Arc<Entry>) {
        self.cache.insert(key.as_bytes().into(), entry);
    }

    pub(crate) fn remove(&self, key: &str) -> bool {
        self.cache.remove(key.as_bytes()).is_some()
    }

    /// Removes `entry` if it is still what lies there, and not what has replaced it since.
    pub(crate) fn discard(&self, key: &[u8], entry: &Arc<Entry>) {
        self.cache.remove_if(key, |there| Arc::ptr_eq(there, entry));
    }

    pub(crate) fn retain(&self, keep: impl Fn(&str, &Entry) -> bool) {
        self.cache
            .retain(|key, entry| keep(encode::text(key), entry));
    }

    pub(crate) fn clear(&self) {
        self.cache.clear();
    }

    pub(crate) fn resize(&self, bytes: u64) {
        self.cache.set_capacity(bytes);
    }

    /// The heaviest entry that is worth keeping: half of what a shard holds, so that one
    /// large body does not push out all its neighbours.
    pub(crate) fn largest(&self) -> u64 {
        self.cache.shard_capacity() / 2
    }

    pub(crate) fn len(&self) -> usize {
        self.cache.len()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.cache.weight()
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("len", &self.len())
            .field("weight", &self.weight())
            .finish_non_exhaustive()
    }
}

/// Many shards keep threads apart; a shard must still hold some entries of ordinary size.
fn shards(bytes: u64) -> usize {
    const LEAST: u64 = 4 << 20;
    usize::try_from(bytes / LEAST).unwrap_or(1).clamp(1, 256)
}

/// Counts what was pushed out, and drops it outside the shard's lock.
#[derive(Clone)]
struct Evictions(Counter);

impl Lifecycle<Box<[u8]>, Arc<Entry>> for Evictions {
    type RequestState = Option<Arc<Entry>>;

    fn begin_request(&self) -> Self::RequestState {
        None
    }

    fn on_evict(&self, state: &mut Self::RequestState, _key: Box<[u8]>, entry: Arc<Entry>) {
        self.0.increment(1);
        *state = Some(entry);
    }
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Box<[u8]>, Arc<Entry>> for Weight {
    fn weight(&self, key: &Box<[u8]>, entry: &Arc<Entry>) -> u64 {
        entry.weight() + key.len() as u64 + BOOKKEEPING
    }
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
                    + ReadyHeads::weight(&response.headers)
                    + trailers
                    + response.body.len()
            }
            Content::Variants(variants) => variants.0.iter().map(variant_weight).sum(),
            Content::Value(value) => value.json.len(),
        };
        (content + tags + names) as u64
    }
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

#[cfg(test)]
mod tests {
    use std::{hint::black_box, time::Duration};

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
