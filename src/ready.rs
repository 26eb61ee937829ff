//! Heads kept ready to be cloned.
//!
//! A hit clones a head that already holds `Age` and `Cache-Status` for the current second, and a
//! body whose reference count only its own stripe touches: threads that serve the same hot key do
//! not write to the same cache line.

use std::{
    cell::Cell,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arc_swap::{ArcSwapOption, Guard};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

const STRIPES: usize = 4;

/// The ready heads of one entry, a stripe per group of threads; none before its second use, for
/// many an entry has only one.
#[derive(Debug, Default)]
pub(crate) struct ReadyHeads {
    used: AtomicBool,
    stripes: OnceLock<Box<[ArcSwapOption<Ready>; STRIPES]>>,
}

/// A head as it goes out while the entry's age is `age` seconds.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) age: u64,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl ReadyHeads {
    /// Whether this is not the first use.
    pub(crate) fn are_worthwhile(&self) -> bool {
        self.used.load(Ordering::Relaxed) || self.used.swap(true, Ordering::Relaxed)
    }

    /// The head for `age`, made by `make` if this thread's stripe holds none of that age.
    pub(crate) fn at(
        &self,
        age: u64,
        make: impl FnOnce() -> Ready,
    ) -> Guard<Option<Arc<Ready>>> {
        let stripe = &self.stripes.get_or_init(Box::default)[stripe()];
        let ready = stripe.load();
        if ready.as_ref().is_some_and(|r| r.age == age) {
            return ready;
        }
        stripe.store(Some(Arc::new(make())));
        stripe.load()
    }
}

impl Ready {
    /// Copies head and `extra` fields into one allocation of their own; the body is shared, with a
    /// reference count of its own.
    pub(crate) fn new<'a>(
        age: u64,
        stored: &'a HeaderMap,
        body: &Bytes,
        extra: &'a [(HeaderName, Vec<u8>)],
    ) -> Self {
        let fields = || {
            let stored = stored.iter().map(|(n, v)| (n, v.as_bytes()));
            stored.chain(extra.iter().map(|(n, v)| (n, v.as_slice())))
        };
        let mut values = BytesMut::with_capacity(fields().map(|(_, v)| v.len()).sum());
        fields().for_each(|(_, v)| values.extend_from_slice(v));
        let values = values.freeze();
        let mut headers = HeaderMap::with_capacity(stored.len() + extra.len());
        let mut at = 0;
        for (name, value) in fields() {
            let end = at + value.len();
            if let Ok(value) = HeaderValue::from_maybe_shared(values.slice(at..end)) {
                headers.append(name, value);
            }
            at = end;
        }
        Self {
            age,
            headers,
            body: Bytes::from_owner(body.clone()),
        }
    }
}

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

    fn ready(age: u64, headers: &HeaderMap) -> Ready {
        let extra = [(http::header::AGE, age.to_string().into_bytes())];
        Ready::new(age, headers, &Bytes::from_static(b"body"), &extra)
    }

    #[test]
    fn a_head_is_made_once_per_second_of_age() {
        let mut headers = HeaderMap::new();
        headers.append("set", HeaderValue::from_static("a"));
        headers.append("set", HeaderValue::from_static("b"));
        let heads = ReadyHeads::default();
        let first = heads.at(3, || ready(3, &headers));
        let first = first.as_ref().expect("made");
        assert_eq!(first.headers["age"], "3");
        assert_eq!(first.headers.get_all("set").iter().count(), 2);
        assert_eq!(first.body, "body");
        heads.at(3, || unreachable!("it is ready"));
        let next = heads.at(4, || ready(4, &headers));
        assert_eq!(next.as_ref().expect("made").headers["age"], "4");
    }
}
