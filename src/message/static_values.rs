//! `Age` and `Cache-Status` of a hit, which are made of a number of seconds.

use std::sync::LazyLock;

use http::HeaderValue;

use crate::semantics::{cache_status::CacheStatus, reported::NAME};

/// An hour's values are made once and for all: to clone one of them touches no reference count.
const READY: usize = 3601;

/// RFC 9111 section 5.1.
#[inline]
pub(crate) fn age(seconds: u64) -> HeaderValue {
    match ready(&AGES, seconds) {
        Some(value) => value.clone(),
        None => seconds.into(),
    }
}

/// A hit with so many seconds of freshness left.
#[inline]
pub(crate) fn hit(ttl: i64) -> HeaderValue {
    match ready(&HITS, ttl) {
        Some(value) => value.clone(),
        None => CacheStatus::hit(ttl).to_value(NAME),
    }
}

fn ready(values: &[HeaderValue], seconds: impl TryInto<usize>) -> Option<&HeaderValue> {
    values.get(seconds.try_into().ok()?)
}

static AGES: LazyLock<Box<[HeaderValue]>> = LazyLock::new(|| values(|n| n.to_string()));

static HITS: LazyLock<Box<[HeaderValue]>> =
    LazyLock::new(|| values(|n| format!("{NAME}; hit; ttl={n}")));

/// One text for all of them, for ever.
fn values(text: impl Fn(usize) -> String) -> Box<[HeaderValue]> {
    let texts: Vec<String> = (0..READY).map(text).collect();
    let mut rest: &'static str = texts.concat().leak();
    let value = |text: &String| {
        let (first, after) = rest.split_at(text.len());
        rest = after;
        HeaderValue::from_static(first)
    };
    texts.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_values_are_those_that_would_be_written() {
        for n in [0_i64, 1, 59, 3599, 3600, 3601, 86400] {
            assert_eq!(age(n.unsigned_abs()), n.to_string());
            assert_eq!(hit(n), CacheStatus::hit(n).to_value(NAME));
        }
        assert_eq!(hit(-1), "tower-keep; hit; ttl=-1");
    }
}
