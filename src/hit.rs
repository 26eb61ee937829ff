//! A plain hit on its way out.

use std::sync::Arc;

use http::Response;

use crate::{
    body::ResponseBody,
    clock::Now,
    entry::{Content, Entry},
    seconds,
};

/// A stored response that is answered with whole, under a head that is kept ready for it.
///
/// It becomes a response where that is taken: until then it is small to move about.
#[derive(Debug)]
pub(crate) struct Hit {
    entry: Arc<Entry>,
    times: Times,
}

/// What the head says of time, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    age: u64,
    ttl: i64,
}

impl Times {
    /// `None` if the entry is not one to answer with in this way, or is used for the first time.
    #[inline]
    pub(crate) fn of(entry: &Entry, now: Now) -> Option<Self> {
        let Content::Response(stored) = &entry.content else {
            return None;
        };
        let whole = stored.part.is_none() && stored.trailers.is_none();
        if !whole || !entry.local.ready.are_worthwhile() {
            return None;
        }
        let resident = now.wall.since(entry.stored);
        Some(Self {
            age: stored.lifetime.age(resident).as_secs(),
            ttl: stored.lifetime.ttl(resident),
        })
    }
}

impl Hit {
    /// `times` are those of `entry`.
    pub(crate) fn new(entry: Arc<Entry>, times: Times) -> Self {
        Self { entry, times }
    }

    // Inlined, it would be in the way of what passes, which is polled by the same function.
    #[inline(never)]
    pub(crate) fn response<B>(self) -> Response<ResponseBody<B>> {
        let Content::Response(stored) = &self.entry.content else {
            unreachable!("nothing else has `Times`");
        };
        let Times { age, ttl } = self.times;
        let ready = self.entry.local.ready.of(&stored.headers, &stored.body);
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = stored.status;
        head.headers = ready.head(seconds::age(age), seconds::hit(ttl));
        Response::from_parts(head, ResponseBody::full(ready.body()))
    }
}
