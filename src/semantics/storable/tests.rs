use std::time::Duration;

use http::{HeaderName, HeaderValue, header::*};
use proptest::prelude::*;

use super::*;
use crate::{
    clock::Timestamp,
    semantics::{dates, sharing::Credentials},
};

const NOW: Timestamp = Timestamp(1_780_000_000_000);
const CDN: HeaderName = crate::semantics::targeted::CDN_CACHE_CONTROL;
const NOT_FOUND: &[(StatusCode, Duration)] = &[(StatusCode::NOT_FOUND, secs(10))];
const LISTED: StoragePolicy<'static> = StoragePolicy {
    ttl: Some(secs(300)),
    heuristic: false,
    ..StoragePolicy::STANDARD
};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn map(fields: &[(HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.clone(), HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn ago(seconds: u64) -> String {
    let date = dates::format(Timestamp(NOW.0 - seconds * 1000));
    date.to_str().expect("a date").to_owned()
}

struct Case {
    method: Method,
    request: HeaderMap,
    credentials: Credentials,
    status: u16,
    policy: StoragePolicy<'static>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            method: Method::GET,
            request: HeaderMap::new(),
            credentials: Credentials::None,
            status: 200,
            policy: StoragePolicy::STANDARD,
        }
    }
}

impl Case {
    fn decide(&self, fields: &[(HeaderName, &str)]) -> Result<Lifetime, Refusal> {
        self.decide_on(&map(fields))
    }

    fn decide_on(&self, headers: &HeaderMap) -> Result<Lifetime, Refusal> {
        let request = RequestHead {
            method: &self.method,
            headers: &self.request,
            credentials: self.credentials,
            authority: Some("example.com"),
            target: "/a?b",
        };
        let exchange = Exchange {
            requested: NOW,
            received: NOW,
        };
        let status = StatusCode::from_u16(self.status).expect("a status");
        decide(&request, status, headers, &exchange, &self.policy)
    }

    fn fresh(&self, fields: &[(HeaderName, &str)]) -> Option<u64> {
        self.decide(fields).ok().map(|life| life.fresh.as_secs())
    }
}

fn standard(fields: &[(HeaderName, &str)]) -> Result<Lifetime, Refusal> {
    Case::default().decide(fields)
}

fn with_status(status: u16) -> Case {
    Case {
        status,
        ..Case::default()
    }
}

#[test]
fn any_final_status_with_explicit_freshness_is_stored() {
    // RFC 9111 section 3
    for status in [
        200, 203, 204, 299, 301, 302, 303, 307, 308, 404, 405, 410, 499, 500, 501, 503, 599,
    ] {
        assert_eq!(
            with_status(status).fresh(&[(CACHE_CONTROL, "max-age=60")]),
            Some(60),
            "{status}"
        );
    }
    for status in [100, 101, 103, 304] {
        let refused = with_status(status).decide(&[(CACHE_CONTROL, "max-age=60")]);
        assert_eq!(refused, Err(Refusal::Status), "{status}");
    }
}

/// Regression: only those of RFC 6585 were refused, so that the refusal of one client's malformed
/// request was stored for all.
#[test]
fn statuses_about_the_request_are_never_stored() {
    let fresh = [(CACHE_CONTROL, "max-age=60, public")];
    for status in [
        400, 406, 407, 408, 411, 412, 413, 414, 415, 416, 417, 421, 422, 425, 426, 428, 429, 431,
        505, 511,
    ] {
        let overriding = StoragePolicy {
            override_freshness: true,
            scope: SharingScope::Public,
            ..LISTED
        };
        for policy in [StoragePolicy::STANDARD, LISTED, overriding] {
            let case = Case {
                policy,
                ..with_status(status)
            };
            assert_eq!(case.decide(&fresh), Err(Refusal::Status), "{status}");
        }
    }
}

#[test]
fn a_whole_response_that_may_not_be_stored_supersedes_the_stored_one() {
    let supersedes =
        |status, refusal| supersedes(StatusCode::from_u16(status).expect("a status"), refusal);
    for status in [200, 203, 301, 302, 307, 404, 410, 500] {
        for refusal in [
            Refusal::NoStore,
            Refusal::Vary,
            Refusal::Stream,
            Refusal::Size,
        ] {
            assert!(supersedes(status, refusal), "{status} {refusal:?}");
        }
    }
    for (status, refusal) in [
        (103, Refusal::Status),
        (304, Refusal::Status),
        (206, Refusal::Partial),
        (200, Refusal::Method),
        (400, Refusal::Status),
        (429, Refusal::Status),
    ] {
        assert!(!supersedes(status, refusal), "{status} {refusal:?}");
    }
}

/// Regression: permanent redirections were fresh for the TTL of the entity.
#[test]
fn the_ttl_of_the_entity_is_for_successes() {
    const MOVED: &[(StatusCode, Duration)] = &[(StatusCode::MOVED_PERMANENTLY, secs(10))];
    let listed = |status, negative| Case {
        policy: StoragePolicy { negative, ..LISTED },
        ..with_status(status)
    };
    for status in [200, 203, 204] {
        assert_eq!(listed(status, MOVED).fresh(&[]), Some(300), "{status}");
    }
    for status in [301, 308] {
        let refused = listed(status, NOT_FOUND).decide(&[]);
        assert_eq!(refused, Err(Refusal::NoLifetime), "{status}");
        let own = listed(status, NOT_FOUND).fresh(&[(CACHE_CONTROL, "max-age=60")]);
        assert_eq!(own, Some(60), "{status}");
    }
    assert_eq!(listed(301, MOVED).fresh(&[]), Some(10));
}

#[test]
fn heuristic_freshness_needs_a_cacheable_status() {
    // RFC 9111 section 4.2.2
    let modified = ago(24 * 3600);
    for (status, expected) in [
        (200, Some(8640)),
        (404, Some(8640)),
        (501, Some(8640)),
        (201, None),
        (503, None),
        (599, None),
    ] {
        assert_eq!(
            with_status(status).fresh(&[(LAST_MODIFIED, &modified)]),
            expected,
            "{status}"
        );
    }
    let public = [
        (LAST_MODIFIED, modified.as_str()),
        (CACHE_CONTROL, "public"),
    ];
    assert_eq!(with_status(599).fresh(&public), Some(8640));
    assert_eq!(standard(&[]), Err(Refusal::NoLifetime));
    let listed = Case {
        policy: LISTED,
        ..with_status(404)
    };
    assert_eq!(listed.fresh(&[(LAST_MODIFIED, &modified)]), None);
}

#[test]
fn no_store_and_private_take_precedence() {
    // RFC 9111 sections 5.2.2.5 and 5.2.2.7
    let overriding = Case {
        policy: StoragePolicy {
            override_freshness: true,
            scope: SharingScope::Public,
            ..LISTED
        },
        ..Case::default()
    };
    for case in [Case::default(), overriding] {
        assert_eq!(
            case.decide(&[(CACHE_CONTROL, "max-age=9, no-store")]),
            Err(Refusal::NoStore)
        );
        assert_eq!(
            case.decide(&[(CACHE_CONTROL, "public, private, max-age=9")]),
            Err(Refusal::Private)
        );
        assert_eq!(
            case.decide(&[(CDN, "private"), (CACHE_CONTROL, "max-age=9")]),
            Err(Refusal::Private)
        );
    }
    let user = Case {
        policy: StoragePolicy {
            scope: SharingScope::User,
            ..LISTED
        },
        ..Case::default()
    };
    assert_eq!(
        user.fresh(&[(CACHE_CONTROL, "private, max-age=9")]),
        Some(9)
    );
    assert_eq!(
        user.decide(&[(CACHE_CONTROL, "no-store")]),
        Err(Refusal::NoStore)
    );
}

#[test]
fn targeted_directives_replace_the_others() {
    // RFC 9213 section 2.2
    assert_eq!(
        Case::default().fresh(&[(CDN, "max-age=10"), (CACHE_CONTROL, "no-store")]),
        Some(10)
    );
    let expires = [(CDN, "none"), (EXPIRES, "Thu, 18 Aug 2050 02:01:18 GMT")];
    assert_eq!(standard(&expires), Err(Refusal::NoLifetime));
    let invalid = [(CDN, "max-age=\"10000\""), (CACHE_CONTROL, "no-store")];
    assert_eq!(standard(&invalid), Err(Refusal::NoStore));
}

#[test]
fn must_understand_overrides_no_store_for_known_statuses() {
    // RFC 9111 section 5.2.2.3
    let fields = [(CACHE_CONTROL, "max-age=60, no-store, must-understand")];
    assert_eq!(with_status(200).fresh(&fields), Some(60));
    assert_eq!(with_status(599).decide(&fields), Err(Refusal::Status));
}

#[test]
fn a_response_to_credentials_needs_permission() {
    // RFC 9111 section 3.5
    for credentials in [Credentials::Cookie, Credentials::User] {
        let case = Case {
            credentials,
            ..Case::default()
        };
        assert_eq!(
            case.decide(&[(CACHE_CONTROL, "max-age=60")]),
            Err(Refusal::Credentials)
        );
        for leave in [
            "public, max-age=60",
            "must-revalidate, max-age=60",
            "s-maxage=60",
        ] {
            assert_eq!(case.fresh(&[(CACHE_CONTROL, leave)]), Some(60), "{leave}");
        }
        let modified = ago(1000);
        let guess = [
            (LAST_MODIFIED, modified.as_str()),
            (CACHE_CONTROL, "public"),
        ];
        assert_eq!(case.fresh(&guess), Some(0));
        let vouched = Case {
            credentials,
            policy: StoragePolicy {
                scope: SharingScope::Public,
                ..LISTED
            },
            ..Case::default()
        };
        assert_eq!(vouched.fresh(&[]), Some(300));
    }
}

#[test]
fn cookies_are_not_stored() {
    let fields = [(SET_COOKIE, "a=b"), (CACHE_CONTROL, "max-age=60, public")];
    assert_eq!(standard(&fields), Err(Refusal::SetCookie));
    let stripping = Case {
        policy: StoragePolicy {
            strip: &[SET_COOKIE],
            ..StoragePolicy::STANDARD
        },
        ..Case::default()
    };
    assert_eq!(stripping.fresh(&fields), Some(60));
    let left_out = [
        (SET_COOKIE, "a=b"),
        (CACHE_CONTROL, "max-age=60, no-cache=\"set-cookie\""),
    ];
    assert_eq!(Case::default().fresh(&left_out), Some(60));
}

#[test]
fn vary_star_and_streams_are_not_stored() {
    // RFC 9111 section 4.1
    assert_eq!(
        standard(&[(VARY, "a, *"), (CACHE_CONTROL, "max-age=60")]),
        Err(Refusal::Vary)
    );
    let stream = [
        (CONTENT_TYPE, "Text/Event-Stream ; charset=utf-8"),
        (CACHE_CONTROL, "max-age=60"),
    ];
    assert_eq!(standard(&stream), Err(Refusal::Stream));
}

#[test]
fn a_response_with_a_validator_is_stored() {
    // RFC 9111 section 5.2.2.4
    let kept = standard(&[(CACHE_CONTROL, "max-age=60, no-cache"), (ETAG, "\"a\"")]).expect("kept");
    assert!(kept.no_cache);
    assert_eq!(
        standard(&[(CACHE_CONTROL, "max-age=60, no-cache")]),
        Err(Refusal::NoLifetime)
    );
    assert_eq!(Case::default().fresh(&[(ETAG, "\"a\"")]), Some(0));
    assert_eq!(
        Case::default().fresh(&[(CACHE_CONTROL, "max-age=0"), (ETAG, "\"a\"")]),
        Some(0)
    );
    assert_eq!(
        standard(&[(CACHE_CONTROL, "max-age=0")]),
        Err(Refusal::NoLifetime)
    );
    // A 304 does not describe an error.
    assert_eq!(
        with_status(404).decide(&[(CACHE_CONTROL, "max-age=0"), (ETAG, "\"a\"")]),
        Err(Refusal::NoLifetime)
    );
    assert_eq!(
        with_status(201).decide(&[(ETAG, "\"a\"")]),
        Err(Refusal::NoLifetime)
    );
}

#[test]
fn the_tables_ttl_has_its_precedence() {
    let listed = Case {
        policy: LISTED,
        ..Case::default()
    };
    assert_eq!(listed.fresh(&[]), Some(300));
    assert_eq!(listed.fresh(&[(CACHE_CONTROL, "max-age=7")]), Some(7));
    let aged = listed.decide(&[(AGE, "1000")]).expect("stored");
    assert_eq!(aged.remaining(Duration::ZERO), Some(secs(300)));
    let negative = Case {
        policy: StoragePolicy {
            negative: NOT_FOUND,
            ..LISTED
        },
        ..with_status(404)
    };
    assert_eq!(negative.fresh(&[]), Some(10));
    assert_eq!(negative.fresh(&[(CACHE_CONTROL, "max-age=7")]), Some(7));
    let overriding = Case {
        policy: StoragePolicy {
            override_freshness: true,
            ..LISTED
        },
        ..Case::default()
    };
    let life = overriding
        .decide(&[(CACHE_CONTROL, "no-cache, max-age=7")])
        .expect("stored");
    assert_eq!((life.fresh, life.no_cache), (secs(300), false));
    let capped = Case {
        policy: StoragePolicy {
            max: secs(5),
            ..LISTED
        },
        ..Case::default()
    };
    assert_eq!(capped.fresh(&[(CACHE_CONTROL, "max-age=60")]), Some(5));
    assert_eq!(capped.fresh(&[]), Some(5));
}

#[test]
fn windows_come_from_the_response_then_the_table() {
    // RFC 5861, RFC 9111 section 5.2.2.10
    let policy = StoragePolicy {
        stale_while_revalidate: Some(secs(30)),
        stale_if_error: Some(secs(40)),
        ..LISTED
    };
    let case = Case {
        policy,
        ..Case::default()
    };
    let windows = |cache_control: &str| {
        let life = case
            .decide(&[(CACHE_CONTROL, cache_control)])
            .expect("stored");
        (
            life.stale_while_revalidate.as_secs(),
            life.stale_if_error.as_secs(),
        )
    };
    assert_eq!(windows("max-age=1"), (30, 40));
    assert_eq!(
        windows("max-age=1, stale-while-revalidate=5, stale-if-error=0"),
        (5, 0)
    );
    assert_eq!(windows("max-age=1, must-revalidate"), (0, 0));
    assert_eq!(windows("s-maxage=1, stale-while-revalidate=5"), (0, 0));
}

/// Regression: with a window in the table, any response was stored, and a 503 without a lifetime answered
/// the next requests as a stale hit.
#[test]
fn the_windows_of_the_table_do_not_keep_errors_without_a_lifetime() {
    // RFC 9111 section 3
    for status in [302, 404, 500, 503] {
        let case = Case {
            status,
            policy: StoragePolicy {
                stale_while_revalidate: Some(secs(30)),
                stale_if_error: Some(secs(40)),
                ..LISTED
            },
            ..Case::default()
        };
        assert_eq!(case.decide(&[]), Err(Refusal::NoLifetime), "{status}");
        let own = case.decide(&[(CACHE_CONTROL, "stale-while-revalidate=5")]);
        let is_heuristic = status == 404;
        assert_eq!(own.is_ok(), is_heuristic, "{status}");
        let stated = case
            .decide(&[(CACHE_CONTROL, "max-age=1")])
            .expect("stored");
        assert_eq!(stated.stale_while_revalidate, secs(30), "{status}");
    }
}

#[test]
fn only_some_methods_are_stored() {
    // RFC 9111 section 3, RFC 9110 section 9.3.3
    let by = |method: &str, fields: &[(HeaderName, &str)]| {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        Case {
            method,
            ..Case::default()
        }
        .decide(fields)
        .err()
    };
    let fresh = (CACHE_CONTROL, "max-age=60");
    assert_eq!(by("QUERY", std::slice::from_ref(&fresh)), None);
    for method in ["HEAD", "PUT", "DELETE", "OPTIONS", "POST", "FOO"] {
        assert_eq!(
            by(method, std::slice::from_ref(&fresh)),
            Some(Refusal::Method),
            "{method}"
        );
    }
    let own = (CONTENT_LOCATION, "/a?b");
    assert_eq!(by("POST", &[fresh.clone(), own.clone()]), None);
    assert_eq!(
        by("POST", &[fresh.clone(), (CONTENT_LOCATION, "/c")]),
        Some(Refusal::Method)
    );
    assert_eq!(
        by("POST", &[own, (LAST_MODIFIED, &ago(1000))]),
        Some(Refusal::Method)
    );
}

#[test]
fn requests_may_forbid_storing() {
    // RFC 9111 section 5.2.1.5
    let request = map(&[(CACHE_CONTROL, "no-store")]);
    let case = Case {
        request,
        ..Case::default()
    };
    assert_eq!(
        case.decide(&[(CACHE_CONTROL, "max-age=60")]),
        Err(Refusal::NoStore)
    );
    let policy = StoragePolicy {
        request_directives: false,
        ..StoragePolicy::STANDARD
    };
    assert_eq!(
        Case { policy, ..case }.fresh(&[(CACHE_CONTROL, "max-age=60")]),
        Some(60)
    );
}

#[test]
fn parts_need_a_content_range() {
    // RFC 9111 section 3.3
    let fresh = (CACHE_CONTROL, "max-age=60");
    assert_eq!(
        with_status(206).decide(std::slice::from_ref(&fresh)),
        Err(Refusal::Partial)
    );
    let ranged = [fresh, (CONTENT_RANGE, "bytes 0-4/10")];
    assert_eq!(with_status(206).fresh(&ranged), Some(60));
}

proptest! {
    #[test]
    fn a_no_store_response_is_never_stored(
        before in "[ -~&&[^\"]]{0,30}", after in "[ -~]{0,30}", status in 100u16..600,
        override_freshness: bool, public: bool, ttl in proptest::option::of(0u64..1000),
    ) {
        let cache_control = format!("{before}, no-store, {after}");
        prop_assume!(!cache_control.to_ascii_lowercase().contains("must-understand"));
        let policy = StoragePolicy {
            override_freshness,
            scope: if public { SharingScope::Public } else { SharingScope::Standard },
            ttl: ttl.map(secs),
            ..StoragePolicy::STANDARD
        };
        let stored = Case { policy, ..with_status(status) }
            .decide(&[(CACHE_CONTROL, &cache_control), (ETAG, "\"a\""), (EXPIRES, "Thu, 18 Aug 2050 02:01:18 GMT")]);
        prop_assert!(stored.is_err());
    }

    #[test]
    fn no_lifetime_exceeds_the_maximum(cache_control in "[ -~]{0,40}", age: u32, max in 0u64..100_000) {
        let policy = StoragePolicy { max: secs(max), ..LISTED };
        let case = Case { policy, ..Case::default() };
        if let Ok(life) = case.decide(&[(CACHE_CONTROL, &cache_control), (AGE, &age.to_string())]) {
            prop_assert!(life.remaining(Duration::ZERO).unwrap_or_default() <= secs(max));
            prop_assert!(life.initial_age >= secs(age.min(1 << 31).into()));
        }
    }
}
