//! A plain hit on its way out.

use std::sync::Arc;

use http::Response;

use crate::{
    clock::Now,
    message::{response_body::ResponseBody, static_values},
    semantics::{freshness::FreshnessState, stored::StoredResponse},
    store::entry::{Content, Entry},
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
        if !is_whole(stored) || !entry.local.ready.use_again() {
            return None;
        }
        let resident = now.wall.since(entry.stored);
        Some(Self {
            age: stored.lifetime.age(resident).as_secs(),
            ttl: stored.lifetime.ttl(resident),
        })
    }

    /// The same of a response that stands so, and no use: `None` too if it is the first, or stale.
    #[inline(always)]
    pub(crate) fn of_fresh(
        entry: &Entry,
        stored: &StoredResponse,
        standing: &FreshnessState,
    ) -> Option<Self> {
        let left = standing.left?;
        let again = is_whole(stored) && entry.local.ready.is_used();
        again.then(|| Self {
            age: standing.age.as_secs(),
            ttl: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        })
    }
}

#[inline]
fn is_whole(stored: &StoredResponse) -> bool {
    stored.part.is_none() && stored.trailers.is_none()
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
        let fields = ready.head(static_values::age(age), static_values::hit(ttl));
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = stored.status;
        head.headers = fields;
        Response::from_parts(head, ResponseBody::full(ready.body()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        clock::Timestamp,
        semantics::{freshness::Lifetime, stored::Part},
        store::{entry::LocalState, position::Position},
    };

    fn entry(lifetime: Lifetime, part: Option<Part>) -> Entry {
        Entry {
            content: Content::Response(StoredResponse {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: Bytes::new(),
                trailers: None,
                lifetime,
                part,
                cost: Duration::ZERO,
            }),
            position: Position::UNKNOWN,
            stored: Timestamp(10_000),
            expires: Timestamp(u64::MAX),
            entity: "".into(),
            user: None,
            tags: Box::new([]),
            local: LocalState::default(),
        }
    }

    fn of_fresh(entry: &Entry, now: Now) -> Option<Times> {
        let Content::Response(stored) = &entry.content else {
            return None;
        };
        let resident = now.wall.since(entry.stored);
        Times::of_fresh(entry, stored, &stored.lifetime.standing(resident))
    }

    fn now(wall: u64) -> Now {
        let wall = Timestamp(wall);
        Now { mono: 0, wall }
    }

    #[test]
    fn the_first_use_is_not_answered_in_this_way_and_only_one_counts() {
        let lifetime = Lifetime {
            fresh: Duration::from_secs(9),
            ..Lifetime::default()
        };
        let whole = entry(lifetime, None);
        assert!(of_fresh(&whole, now(10_000)).is_none());
        assert!(of_fresh(&whole, now(10_000)).is_none());
        assert!(Times::of(&whole, now(10_000)).is_none());
        assert!(of_fresh(&whole, now(10_000)).is_some());
        let part = Part {
            first: 0,
            complete: None,
        };
        let part = entry(lifetime, Some(part));
        part.local.ready.use_again();
        assert!(of_fresh(&part, now(10_000)).is_none());
    }

    proptest! {
        #[test]
        fn what_is_fresh_has_the_times_that_any_hit_has(
            fresh in 0..5_000_u64,
            initial_age in 0..3_000_u64,
            wall in 8_000..16_000_u64,
        ) {
            let lifetime = Lifetime {
                fresh: Duration::from_millis(fresh),
                initial_age: Duration::from_millis(initial_age),
                ..Lifetime::default()
            };
            let entry = entry(lifetime, None);
            entry.local.ready.use_again();
            let resident = now(wall).wall.since(entry.stored);
            let all = Times::of(&entry, now(wall)).expect("it has been used");
            match of_fresh(&entry, now(wall)) {
                Some(times) => prop_assert_eq!((times.age, times.ttl), (all.age, all.ttl)),
                None => prop_assert!(lifetime.remaining(resident).is_none()),
            }
        }
    }
}
