//! Updating stored responses with later ones (RFC 9111 sections 3.2, 4.3.4 and 4.3.5).

use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{
        AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, EXPIRES,
        LAST_MODIFIED,
    },
};

use super::{
    freshness::{Exchange, Lifetime},
    request_head::RequestHead,
    storable::{self, Refusal},
    storage_policy::StoragePolicy,
    stored_fields::{self, FieldFilter},
    targeted::CDN_CACHE_CONTROL,
};

/// A stored head, updated with a 304, a 206 or the response to a HEAD.
#[derive(Debug)]
pub(crate) struct UpdatedHead {
    pub(crate) headers: HeaderMap,
    /// After a refusal, the updated response may answer this request only. The stored response
    /// stays unchanged after [`Refusal::Credentials`], and must be removed after any other.
    pub(crate) lifetime: Result<Lifetime, Refusal>,
}

/// Updates a stored response with the fields of `newer`, and decides again how long it is fresh.
///
/// `status` belongs to the stored response, `exchange` to the newer one.
pub(crate) fn update(
    request: &RequestHead<'_>,
    status: StatusCode,
    stored: &HeaderMap,
    newer: &HeaderMap,
    exchange: &Exchange,
    policy: &StoragePolicy<'_>,
) -> UpdatedHead {
    let mut headers = merge(status, stored, newer, policy);
    // A response without `Date` was generated when it was received, not when the stored one was.
    if !newer.contains_key(DATE) {
        headers.remove(DATE);
    }
    stored_fields::add_date(&mut headers, exchange.received);
    // `decide` needs `Age`, which is not stored.
    if let Some(age) = newer.get(AGE) {
        headers.insert(AGE, age.clone());
    }
    let lifetime = storable::decide(request, status, &headers, exchange, policy);
    headers.remove(AGE);
    UpdatedHead { headers, lifetime }
}

/// Replaces all fields (RFC 9111 section 3.2) except those that are not stored, and those that
/// describe the stored bytes. The directives of either response can forbid storing a field.
fn merge(
    status: StatusCode,
    stored: &HeaderMap,
    newer: &HeaderMap,
    policy: &StoragePolicy<'_>,
) -> HeaderMap {
    let filter = FieldFilter::of(newer, policy.strip);
    let is_part = status == StatusCode::PARTIAL_CONTENT;
    let mut merged = stored.clone();
    for name in filter.forbidden() {
        merged.remove(name);
    }
    for name in newer.keys() {
        let describes_bytes = [CONTENT_LENGTH, CONTENT_ENCODING].contains(name)
            || (is_part && *name == CONTENT_RANGE);
        if describes_bytes || !filter.stores(name) {
            continue;
        }
        merged.remove(name);
        for value in newer.get_all(name) {
            merged.append(name, value.clone());
        }
    }
    let forbidden: Vec<_> = FieldFilter::of(&merged, policy.strip)
        .forbidden()
        .cloned()
        .collect();
    for name in forbidden {
        merged.remove(name);
    }
    merged
}

/// The fields of a 304 by which it says how long the response is fresh; no others, which may be meant
/// for the client that sent the request.
pub(crate) fn freshness_fields(not_modified: &HeaderMap) -> HeaderMap {
    const NAMES: [HeaderName; 7] = [
        AGE,
        CACHE_CONTROL,
        CDN_CACHE_CONTROL,
        DATE,
        ETAG,
        EXPIRES,
        LAST_MODIFIED,
    ];
    let mut fields = HeaderMap::new();
    for name in NAMES {
        for value in not_modified.get_all(&name) {
            fields.append(&name, value.clone());
        }
    }
    fields
}

/// The effect of the response to a HEAD on a stored response to GET (RFC 9111 section 4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadEffect {
    None,
    /// The stored response takes the fields of the response to the HEAD.
    Update,
    /// The stored response is of another version. It is removed; the section only asks to consider it
    /// stale.
    Remove,
}

/// Decides the effect. `length` is that of the stored representation, if it is complete.
pub(crate) fn head_effect(
    status: StatusCode,
    head: &HeaderMap,
    stored: &HeaderMap,
    length: Option<u64>,
) -> HeadEffect {
    if status != StatusCode::OK {
        return HeadEffect::None;
    }
    let same_validators = [ETAG, LAST_MODIFIED].iter().all(|name| {
        head.get(name)
            .is_none_or(|value| stored.get(name) == Some(value))
    });
    let same_length = head.get(CONTENT_LENGTH).is_none_or(|value| {
        let text = length.map(|length| length.to_string());
        text.is_some_and(|text| value.as_bytes() == text.as_bytes())
            || stored.get(CONTENT_LENGTH) == Some(value)
    });
    if same_validators && same_length {
        HeadEffect::Update
    } else {
        HeadEffect::Remove
    }
}

/// Whether a response has a validator. The response to a HEAD without one updates any stored
/// response, also one whose representation has changed since.
pub(crate) fn has_validator(headers: &HeaderMap) -> bool {
    [ETAG, LAST_MODIFIED]
        .iter()
        .any(|name| headers.contains_key(name))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{
        HeaderName, HeaderValue, Method,
        header::{CONNECTION, CONTENT_TYPE, DATE, SET_COOKIE},
    };

    use super::*;
    use crate::{clock::Timestamp, semantics::sharing::Credentials};

    const NOW: Timestamp = Timestamp(1_780_000_000_000);

    fn map(fields: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.clone(), HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn updated(
        status: StatusCode,
        stored: &[(HeaderName, &str)],
        newer: &[(HeaderName, &str)],
    ) -> UpdatedHead {
        let request = RequestHead {
            method: &Method::GET,
            headers: &HeaderMap::new(),
            credentials: Credentials::None,
            authority: None,
            target: "/",
        };
        let exchange = Exchange {
            requested: NOW,
            received: NOW,
        };
        update(
            &request,
            status,
            &map(stored),
            &map(newer),
            &exchange,
            &StoragePolicy::STANDARD,
        )
    }

    fn x(name: &'static str) -> HeaderName {
        HeaderName::from_static(name)
    }

    #[test]
    fn newer_fields_replace_stored_ones() {
        // RFC 9111 sections 3.2 and 4.3.4
        let stored = [
            (x("test"), "a"),
            (x("kept"), "1"),
            (CONTENT_TYPE, "a/a"),
            (CONTENT_LENGTH, "36"),
            (CACHE_CONTROL, "max-age=1"),
        ];
        let newer = [
            (x("test"), "b"),
            (x("test"), "c"),
            (CONTENT_TYPE, "b/b"),
            (CONTENT_LENGTH, "10"),
            (CACHE_CONTROL, "max-age=3600"),
            (CONNECTION, "x-hop"),
            (x("x-hop"), "1"),
            (SET_COOKIE, "a=b"),
            (AGE, "100"),
        ];
        let UpdatedHead { headers, lifetime } = updated(StatusCode::OK, &stored, &newer);
        let test: Vec<_> = headers.get_all("test").iter().collect();
        assert_eq!(test, ["b", "c"]);
        assert_eq!(
            (
                &headers["kept"],
                &headers[CONTENT_TYPE],
                &headers[CONTENT_LENGTH]
            ),
            (
                &HeaderValue::from_static("1"),
                &HeaderValue::from_static("b/b"),
                &HeaderValue::from_static("36")
            )
        );
        for gone in [CONNECTION, x("x-hop"), SET_COOKIE, AGE] {
            assert!(!headers.contains_key(&gone), "{gone}");
        }
        assert!(headers.contains_key(DATE));
        let lifetime = lifetime.expect("storable");
        assert_eq!(
            (lifetime.fresh.as_secs(), lifetime.initial_age),
            (3600, Duration::from_secs(100))
        );
    }

    #[test]
    fn an_update_may_forbid_storing() {
        let forbidden = updated(
            StatusCode::OK,
            &[(CACHE_CONTROL, "max-age=1")],
            &[(CACHE_CONTROL, "no-store")],
        );
        assert_eq!(forbidden.lifetime.err(), Some(Refusal::NoStore));
        let named = updated(
            StatusCode::OK,
            &[(x("a"), "1")],
            &[(CACHE_CONTROL, "max-age=9, no-cache=a"), (x("a"), "2")],
        );
        assert!(!named.headers.contains_key("a"));
    }

    #[test]
    fn a_part_keeps_its_range() {
        // RFC 9111 section 3.4
        let stored = [
            (CONTENT_RANGE, "bytes 0-4/10"),
            (CACHE_CONTROL, "max-age=9"),
        ];
        let part = updated(
            StatusCode::PARTIAL_CONTENT,
            &stored,
            &[(CONTENT_RANGE, "bytes 5-9/10")],
        );
        assert_eq!(part.headers[CONTENT_RANGE], "bytes 0-4/10");
    }

    #[test]
    fn a_head_updates_or_marks_stale() {
        // RFC 9111 section 4.3.5
        let stored = map(&[(ETAG, "\"a\""), (CONTENT_LENGTH, "5")]);
        let effect =
            |status, head: &[(HeaderName, &str)]| head_effect(status, &map(head), &stored, Some(5));
        assert_eq!(effect(StatusCode::OK, &[]), HeadEffect::Update);
        assert_eq!(
            effect(StatusCode::OK, &[(ETAG, "\"a\""), (CONTENT_LENGTH, "5")]),
            HeadEffect::Update
        );
        assert_eq!(
            effect(StatusCode::OK, &[(ETAG, "\"b\"")]),
            HeadEffect::Remove
        );
        assert_eq!(
            effect(StatusCode::OK, &[(LAST_MODIFIED, "x")]),
            HeadEffect::Remove
        );
        assert_eq!(
            effect(StatusCode::OK, &[(CONTENT_LENGTH, "6")]),
            HeadEffect::Remove
        );
        assert_eq!(
            effect(StatusCode::GONE, &[(ETAG, "\"b\"")]),
            HeadEffect::None
        );
        let chunked = head_effect(
            StatusCode::OK,
            &map(&[(CONTENT_LENGTH, "5")]),
            &HeaderMap::new(),
            Some(5),
        );
        assert_eq!(chunked, HeadEffect::Update);
    }
}
