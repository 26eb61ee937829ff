//! The requests of pending writes that this process has read from the queue.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use quick_cache::{Weighter, sync::Cache};

use crate::write_queue::{WriteId, request::QueuedRequest};

/// Keeps requests by the id of their write, up to a total size.
#[derive(Default)]
pub(crate) struct KnownRequests {
    /// Made at the first use: most keeps have no pending writes to show.
    cache: OnceLock<RequestCache>,
}

type RequestCache = Cache<WriteId, KnownRequest, RequestWeight, foldhash::fast::RandomState>;

/// A request as read from the queue, which never changes; `None` if its record cannot be read, which
/// does not change either.
pub(crate) type KnownRequest = Option<Arc<QueuedRequest>>;

impl KnownRequests {
    pub(crate) fn get(&self, id: WriteId) -> Option<KnownRequest> {
        self.cache.get()?.get(&id)
    }

    pub(crate) fn insert(&self, id: WriteId, request: KnownRequest) {
        let cache = self.cache.get_or_init(|| {
            let hasher = foldhash::fast::RandomState::default();
            Cache::with(64, CAPACITY, RequestWeight, hasher, Default::default())
        });
        cache.insert(id, request);
    }
}

impl fmt::Debug for KnownRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.cache.get().map_or(0, Cache::len);
        f.debug_struct("KnownRequests").field("len", &len).finish()
    }
}

/// The bytes of all requests that are kept.
const CAPACITY: u64 = 8 << 20;

/// The size of a request without its content, key and route, roughly.
const FIXED_SIZE: u64 = 1 << 10;

#[derive(Clone, Debug)]
struct RequestWeight;

impl Weighter<WriteId, KnownRequest> for RequestWeight {
    fn weight(&self, _: &WriteId, request: &KnownRequest) -> u64 {
        let size = |request: &Arc<QueuedRequest>| {
            let texts = request.key.len() + request.route.len() + request.body.len();
            texts as u64
        };
        FIXED_SIZE + request.as_ref().map_or(0, size)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method, Uri};

    use super::*;

    fn request(size: usize) -> KnownRequest {
        Some(Arc::new(QueuedRequest {
            key: "a".into(),
            route: "/a".into(),
            method: Method::POST,
            uri: Uri::from_static("/a"),
            host: None,
            headers: HeaderMap::new(),
            body: vec![b'x'; size].into(),
            user: None,
            is_vouched: false,
            targets: Vec::new(),
        }))
    }

    #[test]
    fn the_size_of_all_requests_is_bounded() {
        let known = KnownRequests::default();
        let first = WriteId::random(0).expect("random numbers");
        assert!(known.get(first).is_none());
        known.insert(first, request(100));
        let body = |id| Some(known.get(id)??.body.clone());
        assert_eq!(body(first), Some(Bytes::from(vec![b'x'; 100])));
        for _ in 0..100 {
            let id = WriteId::random(0).expect("random numbers");
            known.insert(id, request(1 << 20));
        }
        let cache = known.cache.get().expect("it has been used");
        assert!(cache.weight() <= CAPACITY && cache.len() > 1);
    }
}
