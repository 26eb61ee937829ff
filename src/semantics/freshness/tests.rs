use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::semantics::dates;

const NOW: Timestamp = Timestamp(1_780_000_000_000);
const AT_ONCE: Exchange = Exchange {
    requested: NOW,
    received: NOW,
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn map(fields: &[(&HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn at(offset: i64) -> String {
    let time = Timestamp(NOW.0.saturating_add_signed(offset * 1000));
    dates::format(time).to_str().expect("a date").to_owned()
}

fn lifetime(headers: &HeaderMap) -> Option<Duration> {
    AT_ONCE.explicit_lifetime(&ResponseDirectives::parse(headers), headers, true)
}

#[test]
fn the_age_is_the_first_number_of_the_field() {
    // RFC 9111 section 5.1
    let age = |lines: &[&str]| {
        let fields: Vec<_> = lines.iter().map(|line| (&AGE, *line)).collect();
        age_value(&map(&fields)).as_secs()
    };
    assert_eq!(age(&["7200"]), 7200);
    assert_eq!(age(&["7200, 0"]), 7200);
    assert_eq!(age(&["0, 7200"]), 0);
    assert_eq!(age(&["7200", "0"]), 7200);
    assert_eq!(age(&["0", "7200"]), 0);
    assert_eq!(age(&["7200;foo=bar"]), 7200);
    assert_eq!(age(&["2147483649"]), 1 << 31);
    for invalid in ["abc", "-7200", "7200.0", "", "7200 s"] {
        assert_eq!(age(&[invalid]), 0, "{invalid}");
    }
}

#[test]
fn the_older_of_date_and_age_counts() {
    // RFC 9111 section 4.2.3
    let age = |fields: &[(&HeaderName, &str)]| AT_ONCE.initial_age(&map(fields)).as_secs();
    assert_eq!(age(&[(&DATE, &at(-7200))]), 7200);
    assert_eq!(age(&[(&DATE, &at(-10)), (&AGE, "25")]), 25);
    assert_eq!(age(&[(&DATE, &at(10)), (&AGE, "15")]), 15);
    assert_eq!(age(&[(&DATE, "foo")]), 0);
    let slow = Exchange {
        requested: NOW,
        received: NOW.after(secs(5)),
    };
    assert_eq!(slow.initial_age(&map(&[(&AGE, "30")])), secs(35));
}

#[test]
fn expires_counts_from_date() {
    // RFC 9111 section 4.2.1 and 5.3
    assert_eq!(
        lifetime(&map(&[(&EXPIRES, &at(20)), (&DATE, &at(-10))])),
        Some(secs(30))
    );
    assert_eq!(
        lifetime(&map(&[(&EXPIRES, &at(300)), (&DATE, &at(400))])),
        Some(secs(0))
    );
    assert_eq!(
        lifetime(&map(&[(&EXPIRES, &at(10)), (&DATE, "foo")])),
        Some(secs(10))
    );
    assert_eq!(lifetime(&map(&[(&EXPIRES, &at(10))])), Some(secs(10)));
    assert_eq!(lifetime(&map(&[(&EXPIRES, "0")])), Some(secs(0)));
    assert_eq!(lifetime(&map(&[])), None);
}

#[test]
fn s_maxage_beats_max_age_beats_expires() {
    use http::header::CACHE_CONTROL;
    // RFC 9111 section 4.2.1
    let both = map(&[
        (&CACHE_CONTROL, "max-age=0, s-maxage=60"),
        (&EXPIRES, &at(-10)),
    ]);
    assert_eq!(lifetime(&both), Some(secs(60)));
    let max_age = map(&[(&CACHE_CONTROL, "max-age=5"), (&EXPIRES, &at(600))]);
    assert_eq!(lifetime(&max_age), Some(secs(5)));
    let invalid = map(&[(&CACHE_CONTROL, "max-age=x"), (&EXPIRES, &at(600))]);
    assert_eq!(lifetime(&invalid), Some(secs(0)));
}

const MINUTE: Lifetime = Lifetime {
    fresh: secs_const(60),
    initial_age: Duration::ZERO,
    stale_while_revalidate: secs_const(30),
    stale_if_error: secs_const(100),
    must_revalidate: false,
    no_cache: false,
    heuristic: false,
    explicit: true,
    shared: false,
};

const fn secs_const(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn plain(resident: u64) -> Usability {
    usable(&MINUTE, secs(resident), &RequestCacheControl::default())
}

#[test]
fn fresh_then_stale_then_validated() {
    // RFC 9111 section 4.2.4, RFC 5861 sections 3 and 4
    assert_eq!(plain(10), Usability::Fresh { ttl: secs(50) });
    assert_eq!(
        plain(60),
        Usability::Stale {
            over: secs(0),
            revalidate: true
        }
    );
    assert_eq!(
        plain(89),
        Usability::Stale {
            over: secs(29),
            revalidate: true
        }
    );
    assert_eq!(plain(90), validate(Reason::Stale, true, true));
    assert_eq!(plain(160), validate(Reason::Stale, false, true));
}

#[test]
fn prohibitions_take_precedence_over_windows() {
    // RFC 9111 sections 4.2.4, 5.2.2.2, 5.2.2.4
    let strict = Lifetime {
        must_revalidate: true,
        ..MINUTE
    };
    let generous = RequestCacheControl {
        max_stale: Some(Duration::MAX),
        stale_if_error: Some(Duration::MAX),
        ..RequestCacheControl::default()
    };
    assert_eq!(
        usable(&strict, secs(61), &generous),
        validate(Reason::Stale, false, false)
    );
    assert_eq!(
        usable(&strict, secs(10), &generous),
        Usability::Fresh { ttl: secs(50) }
    );
    let never = Lifetime {
        no_cache: true,
        ..MINUTE
    };
    assert_eq!(
        usable(&never, secs(1), &generous),
        validate(Reason::Stale, false, false)
    );
}

#[test]
fn request_directives_restrict_and_extend_use() {
    // RFC 9111 section 5.2.1
    let with = |change: fn(&mut RequestCacheControl)| {
        let mut request = RequestCacheControl::default();
        change(&mut request);
        move |resident| usable(&MINUTE, secs(resident), &request)
    };
    let demanded = validate(Reason::Request, true, true);
    assert_eq!(with(|r| r.max_age = Some(secs(5)))(6), demanded);
    assert_eq!(
        with(|r| r.max_age = Some(secs(5)))(5),
        Usability::Fresh { ttl: secs(55) }
    );
    assert_eq!(
        with(|r| r.max_age = Some(secs(100)))(70),
        validate(Reason::Stale, true, true)
    );
    assert_eq!(with(|r| r.min_fresh = Some(secs(55)))(6), demanded);
    assert_eq!(
        with(|r| r.no_cache = true)(0),
        validate(Reason::Request, false, false)
    );
    let stale = Usability::Stale {
        over: secs(140),
        revalidate: false,
    };
    assert_eq!(with(|r| r.max_stale = Some(secs(140)))(200), stale);
    assert_eq!(
        with(|r| r.max_stale = Some(secs(139)))(200),
        validate(Reason::Stale, false, true)
    );
    assert_eq!(
        with(|r| r.stale_if_error = Some(secs(200)))(200),
        validate(Reason::Stale, true, true)
    );
}

#[test]
fn the_ttl_is_negative_when_stale() {
    // RFC 9211 section 2.4
    assert_eq!(MINUTE.ttl(secs(10)), 50);
    assert_eq!(MINUTE.ttl(secs(60)), 0);
    assert_eq!(MINUTE.ttl(secs(472)), -412);
    assert_eq!(MINUTE.ttl(Duration::from_millis(60_500)), -1);
}

proptest! {
    #[test]
    fn the_age_is_never_less_than_the_received_one(age: u32, date in -100_000i64..100_000, resident: u32) {
        let headers = map(&[(&AGE, &age.to_string()), (&DATE, &at(date))]);
        let life = Lifetime { initial_age: AT_ONCE.initial_age(&headers), ..MINUTE };
        prop_assert!(life.age(secs(resident.into())) >= secs(age.min(1 << 31).into()));
    }

    #[test]
    fn a_response_is_fresh_exactly_within_its_lifetime(fresh: u64, initial: u64, resident: u64) {
        let life = Lifetime { fresh: secs(fresh), initial_age: secs(initial), ..MINUTE };
        let used = usable(&life, secs(resident), &RequestCacheControl::default());
        let age = u128::from(initial) + u128::from(resident);
        prop_assert_eq!(matches!(used, Usability::Fresh { .. }), age.min(u64::MAX.into()) < u128::from(fresh));
        life.retention(true);
        life.ttl(secs(resident));
    }

    #[test]
    fn any_dates_are_accepted(expires in "[ -~]{0,40}", date in "[ -~]{0,40}", now: u64) {
        let headers = map(&[(&EXPIRES, &expires), (&DATE, &date)]);
        let exchange = Exchange { requested: Timestamp(now), received: Timestamp(now) };
        exchange.explicit_lifetime(&ResponseDirectives::default(), &headers, true);
        exchange.initial_age(&headers);
    }
}
