use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit};
use tower_keep::{
    Keep, Key, Limit, RateLimitLayer, Table,
    rate_limit::{Decision, Quota},
    table::{Algorithm, By, Cost, RateLimiting, mins, secs},
};

use super::{admitted, field, from, get, of_user, origin};
use crate::common::{client::send_to, keeps::new_keep};

fn table(limits: impl IntoIterator<Item = Limit>) -> Table {
    limits.into_iter().fold(Table::new(), Table::limit)
}

fn keep(limits: impl IntoIterator<Item = Limit>) -> Keep {
    new_keep(table(limits))
}

#[tokio::test]
async fn a_refused_request_never_reaches_the_inner_service() {
    // Regression: a layer that called the inner service before it checked answered 429 to requests that
    // had been executed.
    let inner = origin();
    let keep = keep([Limit::new("none", 0, mins(1))]);
    let buffered = Buffer::new(inner.clone(), 8);
    let mut service = RateLimitLayer::new(&keep).layer(buffered);
    for _ in 0..20 {
        let response = send_to(&mut service, of_user("/", "u")).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn a_refusal_keeps_no_permit_of_the_inner_service() {
    let inner = origin();
    let keep = keep([Limit::new("none", 0, mins(1)).path("/refused")]);
    let service = RateLimitLayer::new(&keep).layer(ConcurrencyLimit::new(inner.clone(), 1));
    let mut one = service.clone();
    for _ in 0..5 {
        let response = send_to(&mut one, of_user("/refused", "u")).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        // `one` is still alive, but no longer ready.
        let other = service.clone().oneshot(of_user("/", "u"));
        let other = tokio::time::timeout(Duration::from_secs(5), other).await;
        assert_eq!(
            other.expect("a permit").expect("a response").status(),
            StatusCode::OK
        );
    }
    assert_eq!(inner.calls(), 5);
}

#[tokio::test]
async fn the_instance_that_was_made_ready_is_called() {
    // Calling a clone of the inner service panics in `ConcurrencyLimit`.
    let keep = keep([Limit::new("all", 100, mins(1))]);
    let inner = ConcurrencyLimit::new(origin(), 1);
    let mut service = ServiceBuilder::new()
        .layer(RateLimitLayer::new(&keep))
        .service(inner);
    assert_eq!(admitted(&mut service, 10, || of_user("/", "u")).await, 10);
}

#[tokio::test]
async fn readiness_alone_takes_no_quota() {
    let keep = keep([Limit::new("all", 2, mins(1))]);
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    for _ in 0..10 {
        ServiceExt::<Request<Full<Bytes>>>::ready(&mut service.clone())
            .await
            .expect("ready");
    }
    assert_eq!(admitted(&mut service, 5, || of_user("/", "u")).await, 2);
}

#[tokio::test]
async fn layers_and_services_of_one_keep_share_counters() {
    // Regression: with a limiter for each `layer()` call, a limit of 5 per second admitted 1,500 requests.
    let keep = keep([Limit::new("all", 5, mins(1))]);
    let mut total = 0;
    for _ in 0..3 {
        let layer = RateLimitLayer::new(&keep.clone());
        for _ in 0..3 {
            let mut service = layer.clone().layer(origin()).clone();
            total += admitted(&mut service, 3, || of_user("/", "u")).await;
        }
    }
    assert_eq!(total, 5);
}

#[tokio::test]
async fn a_layer_applied_twice_counts_once() {
    let keep = keep([Limit::new("all", 4, mins(1))]);
    let layer = RateLimitLayer::new(&keep);
    let mut service = layer.clone().layer(layer.layer(origin()));
    assert_eq!(admitted(&mut service, 10, || of_user("/", "u")).await, 4);
}

#[tokio::test(start_paused = true)]
async fn only_selects_limits_and_two_layers_merge_their_fields() {
    let limits = [
        Limit::new("address", 100, mins(1)).by([By::Ip]),
        Limit::new("user", 50, mins(1)),
    ];
    let keep = keep(limits);
    let decided = tower::service_fn(async |request: Request<Full<Bytes>>| {
        let decision = request.extensions().get::<Decision>().expect("decided");
        let names: Vec<_> = decision
            .limits()
            .map(|limit| limit.name().to_owned())
            .collect();
        assert!(decision.is_admitted());
        Ok::<_, std::convert::Infallible>(Response::new(Full::from(names.join(","))))
    });
    let by_user = RateLimitLayer::new(&keep).only(["user"]).layer(decided);
    let mut service = RateLimitLayer::new(&keep).only(["address"]).layer(by_user);
    let response = send_to(&mut service, of_user("/", "u")).await;
    assert_eq!(response.body(), "address,user");
    let lines = response.headers().get_all("ratelimit").iter();
    let lines: Vec<_> = lines.map(|line| line.to_str().expect("ASCII")).collect();
    assert_eq!(lines, [r#""user";r=49;t=60"#, r#""address";r=99;t=60"#]);
}

#[tokio::test]
async fn several_limits_of_a_subject_charge_all_or_nothing() {
    let limits = [
        Limit::new("day", 1000, mins(24 * 60)),
        Limit::new("minute", 3, mins(1)),
    ];
    let keep = keep(limits);
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    assert_eq!(admitted(&mut service, 20, || of_user("/", "u")).await, 3);
    let refusal = send_to(&mut service, of_user("/", "u")).await;
    assert!(field(&refusal, "ratelimit").contains(r#""day";r=997"#));
    let policies = field(&refusal, "ratelimit-policy");
    assert_eq!(policies, r#""day";q=1000;w=86400,"minute";q=3;w=60"#);
}

#[tokio::test]
async fn limits_of_several_subjects_are_checked_strictest_first_and_refunded() {
    let limits = [
        Limit::new("user", 10, mins(1)),
        Limit::new("everybody", 15, mins(1)).by([By::Route]),
    ];
    let keep = keep(limits);
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    assert_eq!(admitted(&mut service, 10, || of_user("/", "a")).await, 10);
    assert_eq!(admitted(&mut service, 10, || of_user("/", "b")).await, 5);
    // User b was charged first, and refunded when the wider limit refused.
    let refusal = send_to(&mut service, of_user("/", "b")).await;
    assert!(
        !field(&refusal, "ratelimit").contains(r#""user";r=0"#),
        "{refusal:?}"
    );
    let key = Key::new("user").id("b");
    let left = keep.peek_rate_limit(&key, Quota::per_minute(10)).await;
    assert_eq!(left.remaining(), 5);
}

#[tokio::test]
async fn a_cost_comes_from_the_table_a_field_or_a_function() {
    let limits = [
        Limit::new("fixed", 10, mins(1))
            .cost(Cost::Fixed(3))
            .path("/fixed"),
        Limit::new("field", 10, mins(1))
            .cost(Cost::Header("x-cost".into()))
            .path("/field"),
    ];
    let keep = keep(limits);
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    assert_eq!(
        admitted(&mut service, 9, || of_user("/fixed", "u")).await,
        3
    );

    let costs = |cost: &[&'static str]| {
        let mut request = of_user("/field", "v");
        for line in cost {
            request
                .headers_mut()
                .append("x-cost", http::HeaderValue::from_static(line));
        }
        request
    };
    let left = async |service: &mut _, cost: &[&'static str]| {
        let response = send_to(service, costs(cost)).await;
        (
            response.status().as_u16(),
            field(&response, "ratelimit").to_owned(),
        )
    };
    assert!(
        left(&mut service, &["4"])
            .await
            .1
            .starts_with(r#""field";r=6"#)
    );
    // Invalid values cost one unit, too large ones are refused, and of several lines the largest counts.
    for absurd in ["", "-5", "0", "1e3", "NaN", "0x10", "ten", "１"] {
        let mut request = of_user("/field", absurd);
        request
            .headers_mut()
            .insert("x-cost", absurd.parse().expect("a value"));
        let response = send_to(&mut service, request).await;
        if absurd.is_empty() {
            continue; // an empty name is no user: the address is limited
        }
        assert!(
            field(&response, "ratelimit").starts_with(r#""field";r=9"#),
            "{absurd:?}"
        );
    }
    let huge = "99999999999999999999999999999999";
    assert_eq!(left(&mut service, &[huge]).await.0, 429);
    assert!(
        left(&mut service, &["1", "3"])
            .await
            .1
            .starts_with(r#""field";r=3"#)
    );
    // As a proxy may join the lines.
    assert!(
        left(&mut service, &["2, 1"])
            .await
            .1
            .starts_with(r#""field";r=1"#)
    );

    let mut service = RateLimitLayer::new(&keep)
        .cost(|parts| u64::from(parts.uri.path() == "/fixed") * 5)
        .layer(origin());
    assert_eq!(
        admitted(&mut service, 9, || of_user("/fixed", "w")).await,
        2
    );
    assert_eq!(
        admitted(&mut service, 99, || of_user("/field", "w")).await,
        99
    );
}

#[tokio::test]
async fn responses_with_a_refund_status_are_refunded() {
    let limits = [
        Limit::new("api", 3, mins(1))
            .refund_on(["5xx"])
            .path("/api"),
        Limit::new("login", 2, mins(1))
            .refund_on(["2xx"])
            .path("/login"),
    ];
    let keep = keep(limits);
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    let answered = |path: &str, status: &'static str| {
        let mut request = of_user(path, "u");
        request
            .headers_mut()
            .insert("x-answer", http::HeaderValue::from_static(status));
        request
    };
    assert_eq!(
        admitted(&mut service, 20, || answered("/api", "503")).await,
        20
    );
    assert_eq!(
        admitted(&mut service, 20, || answered("/api", "404")).await,
        3
    );
    // only failures count
    assert_eq!(
        admitted(&mut service, 20, || answered("/login", "200")).await,
        20
    );
    assert_eq!(
        admitted(&mut service, 20, || answered("/login", "401")).await,
        2
    );
    assert_eq!(
        admitted(&mut service, 20, || answered("/login", "200")).await,
        0
    );
}

#[tokio::test]
async fn a_shadow_limit_reports_but_never_refuses() {
    let keep = keep([Limit::new("new", 1, mins(1)).shadow(true)]);
    let decided = tower::service_fn(async |request: Request<Full<Bytes>>| {
        let decision = request.extensions().get::<Decision>().expect("decided");
        let limit = decision.limit("new").expect("applied");
        assert!(limit.is_shadow() && decision.is_admitted());
        let said = limit.is_admitted().to_string();
        Ok::<_, std::convert::Infallible>(Response::new(Full::from(said)))
    });
    let mut service = RateLimitLayer::new(&keep).layer(decided);
    assert_eq!(
        send_to(&mut service, of_user("/", "u")).await.body(),
        "true"
    );
    let response = send_to(&mut service, of_user("/", "u")).await;
    assert_eq!(response.body(), "false");
    assert!(!response.headers().contains_key("ratelimit"));
}

#[tokio::test]
async fn one_setting_turns_all_limits_off_or_into_shadow_limits() {
    let limits = || [Limit::new("none", 0, mins(1))];
    let keep = keep(limits());
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    let status =
        async |service: &mut _| send_to(service, of_user("/", "u")).await.status().as_u16();
    assert_eq!(status(&mut service).await, 429);
    for (switch, expected) in [
        (RateLimiting::Off, 200),
        (RateLimiting::Shadow, 200),
        (RateLimiting::On, 429),
    ] {
        keep.reload(&table(limits()).rate_limit(switch))
            .expect("a good table");
        assert_eq!(status(&mut service).await, expected, "{switch:?}");
    }
}

#[tokio::test]
async fn a_reload_changes_limit_and_algorithm_for_the_next_request() {
    let keep = keep([Limit::new("api", 2, mins(1))]);
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    assert_eq!(admitted(&mut service, 5, || of_user("/", "u")).await, 2);
    keep.reload(&table([Limit::new("api", 5, mins(1))]))
        .expect("a good table");
    assert_eq!(admitted(&mut service, 5, || of_user("/", "u")).await, 3);
    let gcra = Limit::new("api", 5, mins(1)).algorithm(Algorithm::Gcra);
    keep.reload(&table([gcra])).expect("a good table");
    assert_eq!(
        admitted(&mut service, 9, || of_user("/", "u")).await,
        5,
        "the counter starts from zero"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_admitted_after_retry_after() {
    for algorithm in [
        Algorithm::SlidingWindow,
        Algorithm::FixedWindow,
        Algorithm::Gcra,
    ] {
        let keep = keep([Limit::new("api", 3, secs(10)).algorithm(algorithm)]);
        let mut service = RateLimitLayer::new(&keep).layer(origin());
        assert_eq!(admitted(&mut service, 5, || of_user("/", "u")).await, 3);
        let refusal = send_to(&mut service, of_user("/", "u")).await;
        let after: u64 = field(&refusal, "retry-after").parse().expect("seconds");
        assert!(after >= 1);
        tokio::time::advance(Duration::from_secs(after)).await;
        let response = send_to(&mut service, of_user("/", "u")).await;
        assert_eq!(response.status(), StatusCode::OK, "{algorithm:?}");
    }
}

#[tokio::test]
async fn requests_without_a_limit_pass_unchanged() {
    let keep = keep([Limit::new("api", 0, mins(1)).path("/api").methods(["POST"])]);
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    for request in [of_user("/api", "u"), of_user("/other", "u")] {
        let response = send_to(&mut service, request).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers().is_empty());
    }
    let post = Request::post("/api")
        .body(Full::default())
        .expect("a request");
    assert_eq!(
        send_to(&mut service, post).await.status(),
        StatusCode::TOO_MANY_REQUESTS
    );
}

#[tokio::test]
async fn exempt_subjects_are_not_counted() {
    let exempt = ["user:admin", "ip:10.0.0.0/8", "path:/healthz"];
    let keep = keep([Limit::new("none", 0, mins(1)).exempt(exempt)]);
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    let cases = [
        (of_user("/", "admin"), 200),
        (of_user("/", "administrator"), 429),
        (from("/", "10.9.8.7"), 200),
        (from("/", "11.9.8.7"), 429),
        (from("/healthz", "11.9.8.7"), 200),
    ];
    for (request, status) in cases {
        assert_eq!(send_to(&mut service, request).await.status(), status);
    }
}

#[tokio::test]
async fn a_user_s_plan_has_its_own_limit() {
    let keep = keep([Limit::new("api", 2, mins(1)).plan("pro", 7)]);
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    let pro = || {
        let user = tower_keep::UserId::new("p").plan("pro");
        get("/")
            .extension(user)
            .body(Full::default())
            .expect("a request")
    };
    assert_eq!(admitted(&mut service, 20, pro).await, 7);
    assert_eq!(admitted(&mut service, 20, || of_user("/", "q")).await, 2);
    assert!(field(&send_to(&mut service, pro()).await, "ratelimit-policy").contains("q=7"));
}

fn assert_parts<T: Send + Sync + Clone + std::fmt::Debug + 'static>(_: &T) {}

#[test]
fn layer_and_service_implement_the_expected_traits() {
    let keep = keep([]);
    let layer = RateLimitLayer::new(&keep);
    assert_parts(&layer);
    assert_parts(&layer.layer(origin()));
    fn send_future<S: Service<Request<Full<Bytes>>, Future: Send>>(_: &S) {}
    send_future(&layer.layer(origin()));
}
