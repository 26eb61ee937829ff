//! Heads kept ready to be cloned.
//!
//! A hit clones a head that has a place for `Age` and `Cache-Status`, and a body whose reference
//! count only its own stripe touches: threads that serve the same hot key do not write to the same
//! cache line.

use std::{
    cell::Cell,
    mem,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::AGE};

use super::header_map;
use crate::semantics::cache_status::CACHE_STATUS;

/// Each costs as much memory as what is stored of the head, and counts towards its weight.
const STRIPES: usize = 2;

/// The ready heads of one entry, a stripe per group of threads; none before its second use, for
/// many an entry has only one.
#[derive(Debug, Default)]
pub(crate) struct PrebuiltHeads {
    used: AtomicBool,
    stripes: [OnceLock<Box<Ready>>; STRIPES],
}

/// A head, but for the values of `Age` and `Cache-Status`, and a body.
#[derive(Debug)]
pub(crate) struct Ready {
    headers: HeaderMap,
    /// How many values stand between that of `Age`, which is the first, and ours of
    /// `Cache-Status`: none, unless another cache has written one.
    between: usize,
    body: Bytes,
}

impl PrebuiltHeads {
    /// Whether this is not the first use.
    pub(crate) fn are_worthwhile(&self) -> bool {
        self.are_in_use() || self.used.swap(true, Ordering::Relaxed)
    }

    /// Whether there has been a use.
    #[inline]
    pub(crate) fn are_in_use(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// This thread's stripe, made of what is stored if nobody has used it before.
    #[inline]
    pub(crate) fn of(&self, stored: &HeaderMap, body: &Bytes) -> &Ready {
        self.stripe(stripe(), stored, body)
    }

    #[inline]
    fn stripe(&self, at: usize, stored: &HeaderMap, body: &Bytes) -> &Ready {
        self.stripes[at].get_or_init(|| Box::new(Ready::new(stored, body)))
    }

    /// The bytes that all stripes hold at most.
    pub(crate) fn weight(stored: &HeaderMap) -> usize {
        STRIPES
            * (size_of::<Ready>()
                + OWNER
                + 2 * (header_map::FIELD + 16)
                + header_map::weight(stored))
    }

    #[cfg(test)]
    pub(crate) fn fill(&self, stored: &HeaderMap, body: &Bytes) {
        for at in 0..STRIPES {
            let ready = self.stripe(at, stored, body);
            ready.head(EMPTY, EMPTY);
            ready.body();
        }
    }
}

impl Ready {
    /// Copies the values into one allocation of their own; the body is shared, with a reference
    /// count of its own. What is stored has no `Age`.
    fn new(stored: &HeaderMap, body: &Bytes) -> Self {
        let mut headers = HeaderMap::with_capacity(stored.len() + 2);
        // First, for there they are found without a look-up.
        headers.append(AGE, EMPTY);
        if !stored.contains_key(CACHE_STATUS) {
            headers.append(CACHE_STATUS, EMPTY);
        }
        header_map::append(stored, &mut headers);
        if stored.contains_key(CACHE_STATUS) {
            // Behind those of caches nearer to the origin (RFC 9211 section 2).
            headers.append(CACHE_STATUS, EMPTY);
        }
        let ours = headers.iter().skip(1).enumerate();
        let ours = ours.filter(|(_, (name, _))| *name == CACHE_STATUS);
        let between = ours.last().map_or(0, |(at, _)| at);
        Self {
            // A clone has exactly the room that it needs.
            headers: headers.clone(),
            between,
            body: Bytes::from_owner(body.clone()),
        }
    }

    #[inline]
    pub(crate) fn head(&self, age: HeaderValue, status: HeaderValue) -> HeaderMap {
        let mut headers = self.headers.clone();
        let mut values = headers.values_mut();
        // What stands in the places is static, so that there is nothing to drop.
        if let Some(place) = values.next() {
            mem::forget(mem::replace(place, age));
        }
        if let Some(place) = values.nth(self.between) {
            mem::forget(mem::replace(place, status));
        }
        headers
    }

    #[inline]
    pub(crate) fn body(&self) -> Bytes {
        self.body.clone()
    }
}

/// What a body's reference count of its own takes.
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
    use super::*;

    fn filled(stored: &HeaderMap) -> HeaderMap {
        let heads = PrebuiltHeads::default();
        let ready = heads.of(stored, &Bytes::from_static(b"body"));
        assert_eq!(ready.body(), "body");
        ready.head(HeaderValue::from(3), HeaderValue::from_static("ours"))
    }

    fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a HeaderValue> {
        headers.get_all(name).iter().collect()
    }

    #[test]
    fn a_head_is_what_is_stored_with_age_and_status() {
        let mut stored = HeaderMap::new();
        stored.append("set", HeaderValue::from_static("a"));
        stored.append("etag", HeaderValue::from_static("\"1\""));
        stored.append("set", HeaderValue::from_static("b"));
        let head = filled(&stored);
        assert_eq!(head.len(), 5);
        assert_eq!(lines(&head, "set"), ["a", "b"]);
        assert_eq!(lines(&head, "etag"), ["\"1\""]);
        assert_eq!(lines(&head, "age"), ["3"]);
        assert_eq!(lines(&head, "cache-status"), ["ours"]);
    }

    #[test]
    fn our_status_follows_those_of_other_caches() {
        let mut stored = HeaderMap::new();
        stored.append("a", HeaderValue::from_static("1"));
        stored.append("cache-status", HeaderValue::from_static("origin"));
        stored.append("b", HeaderValue::from_static("2"));
        stored.append("cache-status", HeaderValue::from_static("near"));
        stored.append("c", HeaderValue::from_static("3"));
        let head = filled(&stored);
        assert_eq!(lines(&head, "cache-status"), ["origin", "near", "ours"]);
        assert_eq!(lines(&head, "age"), ["3"]);
        assert_eq!(lines(&head, "c"), ["3"]);
    }

    #[test]
    fn a_head_is_made_once() {
        let heads = PrebuiltHeads::default();
        let first: *const Ready = heads.of(&HeaderMap::new(), &Bytes::new());
        assert!(std::ptr::eq(
            first,
            heads.of(&HeaderMap::new(), &Bytes::new())
        ));
    }
}
