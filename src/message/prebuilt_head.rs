//! Heads of hits, built once for each entry.
//!
//! A hit clones a head that has a place for `Age` and `Cache-Status`.

use std::{
    cell::Cell,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header::AGE, response};

use super::{header_map, response_body::ResponseBody, static_values};
use crate::semantics::{cache_status::CACHE_STATUS, stored_response::StoredResponse};

/// The number of copies of a head and of its body's reference count. Each is for a group of threads, so
/// that threads that serve the same hot key write to different cache lines.
///
/// Each takes as much memory as the stored head, and counts towards the entry's weight. With one, two
/// threads on one hot key serve no more than one thread; with two, 1.5 times as much
/// (`cargo bench --bench cache`, "local hit, one hot key").
const STRIPES: usize = 2;

/// The prebuilt heads of one entry. They are built at its second use, since many entries are used
/// only once.
#[derive(Debug, Default)]
pub(crate) struct PrebuiltHeads {
    used: AtomicBool,
    stripes: [OnceLock<Arc<PrebuiltHead>>; STRIPES],
}

impl PrebuiltHeads {
    /// Records a use, and returns whether it is not the first.
    pub(crate) fn use_again(&self) -> bool {
        self.is_used() || self.used.swap(true, Ordering::Relaxed)
    }

    /// Whether the entry has been used before.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// The head of this thread's stripe, built from the stored response if it is missing.
    #[inline]
    pub(crate) fn of(&self, stored: &StoredResponse) -> &Arc<PrebuiltHead> {
        self.stripe(stripe(), stored)
    }

    #[inline]
    fn stripe(&self, at: usize, stored: &StoredResponse) -> &Arc<PrebuiltHead> {
        self.stripes[at].get_or_init(|| Arc::new(PrebuiltHead::new(stored)))
    }

    /// The most bytes that all stripes hold.
    pub(crate) fn weight(stored: &HeaderMap) -> usize {
        STRIPES
            * (size_of::<PrebuiltHead>()
                + OWNER
                + 2 * (header_map::FIELD_OVERHEAD + 16)
                + header_map::weight(stored))
    }

    #[cfg(test)]
    pub(crate) fn fill(&self, stored: &StoredResponse) {
        for at in 0..STRIPES {
            let prebuilt = self.stripe(at, stored);
            prebuilt.head(EMPTY, EMPTY);
            prebuilt.body();
        }
    }
}

/// A head without the values of `Age` and `Cache-Status`, and a body.
#[derive(Debug)]
pub(crate) struct PrebuiltHead {
    /// A hit clones it whole: assigning the fields to a new head would first drop that head's map.
    head: response::Parts,
    /// The number of values between that of `Age`, which is the first, and this cache's own
    /// `Cache-Status`: 0 unless another cache has written that field.
    between: usize,
    body: Bytes,
}

impl PrebuiltHead {
    /// Copies the values into a new allocation. The body's bytes are shared, through a new reference
    /// count. Stored fields have no `Age`.
    fn new(stored: &StoredResponse) -> Self {
        let fields = &stored.headers;
        let mut headers = HeaderMap::with_capacity(fields.len() + 2);
        // As the first field it is found without a look-up.
        headers.append(AGE, EMPTY);
        if !fields.contains_key(CACHE_STATUS) {
            headers.append(CACHE_STATUS, EMPTY);
        }
        header_map::append_compact(fields, &mut headers);
        if fields.contains_key(CACHE_STATUS) {
            // Follows the entries of caches nearer to the origin (RFC 9211 section 2).
            headers.append(CACHE_STATUS, EMPTY);
        }
        let own = headers.iter().skip(1).enumerate();
        let own = own.filter(|(_, (name, _))| *name == CACHE_STATUS);
        let between = own.last().map_or(0, |(at, _)| at);
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = stored.status;
        // A clone has exactly the capacity that it needs.
        head.headers = headers.clone();
        Self {
            head,
            between,
            body: Bytes::from_owner(stored.body.clone()),
        }
    }

    #[inline]
    pub(crate) fn head(&self, age: HeaderValue, cache_status: HeaderValue) -> response::Parts {
        let mut head = self.head.clone();
        let mut values = head.headers.values_mut();
        if let Some(value) = values.next() {
            *value = age;
        }
        if let Some(value) = values.nth(self.between) {
            *value = cache_status;
        }
        head
    }

    #[inline]
    pub(crate) fn body(&self) -> Bytes {
        self.body.clone()
    }
}

/// A hit that becomes a response when the response future is polled, because a response is large to
/// move.
///
/// If the response were made in `call`, an in-process hit would take 5 % more instructions
/// (`cargo bench --bench cache`, "local hit, 1 KiB").
#[derive(Debug)]
pub(crate) struct PrebuiltResponse {
    pub(crate) head: Arc<PrebuiltHead>,
    /// Seconds, for `Age`.
    pub(crate) age: u64,
    /// Seconds of freshness left, for `Cache-Status`.
    pub(crate) ttl: i64,
}

impl PrebuiltResponse {
    // Not inlined, to keep the code of passed-through requests small: one function polls both.
    #[inline(never)]
    pub(crate) fn into_response<B>(self) -> Response<ResponseBody<B>> {
        let head = self
            .head
            .head(static_values::age(self.age), static_values::hit(self.ttl));
        Response::from_parts(head, ResponseBody::full(self.head.body()))
    }
}

/// The memory of a body's reference count, in bytes.
const OWNER: usize = 64;
const EMPTY: HeaderValue = HeaderValue::from_static("");

#[inline]
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    STRIPE.with(|cell| {
        if cell.get() == usize::MAX {
            cell.set(NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES);
        }
        cell.get()
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;
    use crate::semantics::freshness::Lifetime;

    fn filled(stored: HeaderMap) -> HeaderMap {
        let stored = StoredResponse {
            status: StatusCode::NOT_FOUND,
            headers: stored,
            body: Bytes::from_static(b"body"),
            trailers: None,
            lifetime: Lifetime::default(),
            part: None,
            cost: Duration::ZERO,
        };
        let heads = PrebuiltHeads::default();
        let prebuilt = heads.of(&stored);
        assert_eq!(prebuilt.body(), "body");
        let head = prebuilt.head(HeaderValue::from(3), HeaderValue::from_static("ours"));
        assert_eq!(head.status, StatusCode::NOT_FOUND);
        head.headers
    }

    fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a HeaderValue> {
        headers.get_all(name).iter().collect()
    }

    #[test]
    fn a_head_has_the_stored_fields_age_and_status() {
        let mut stored = HeaderMap::new();
        stored.append("set", HeaderValue::from_static("a"));
        stored.append("etag", HeaderValue::from_static("\"1\""));
        stored.append("set", HeaderValue::from_static("b"));
        let head = filled(stored);
        assert_eq!(head.len(), 5);
        assert_eq!(lines(&head, "set"), ["a", "b"]);
        assert_eq!(lines(&head, "etag"), ["\"1\""]);
        assert_eq!(lines(&head, "age"), ["3"]);
        assert_eq!(lines(&head, "cache-status"), ["ours"]);
    }

    #[test]
    fn our_cache_status_follows_those_of_other_caches() {
        let mut stored = HeaderMap::new();
        stored.append("a", HeaderValue::from_static("1"));
        stored.append("cache-status", HeaderValue::from_static("origin"));
        stored.append("b", HeaderValue::from_static("2"));
        stored.append("cache-status", HeaderValue::from_static("near"));
        stored.append("c", HeaderValue::from_static("3"));
        let head = filled(stored);
        assert_eq!(lines(&head, "cache-status"), ["origin", "near", "ours"]);
        assert_eq!(lines(&head, "age"), ["3"]);
        assert_eq!(lines(&head, "c"), ["3"]);
    }
}
