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

use super::{Inner, admitted, field, from, get, of_user, send};

fn table(limits: impl IntoIterator<Item = Limit>) -> Table {
    limits.into_iter().fold(Table::new(), Table::limit)
}

fn keep(limits: impl IntoIterator<Item = Limit>) -> Keep {
    Keep::new(table(limits)).expect("a valid table")
}

#[tokio::test]
async fn what_is_refused_never_reaches_the_inner_service() {
    // A layer that called the inner service first and checked then answered 429 to requests that
    // had been executed.
    let inner = Inner::default();
    let keep = keep([Limit::new("none", 0, mins(1))]);
    let buffered = Buffer::new(inner.clone(), 8);
    let mut service = RateLimitLayer::new(&keep).layer(buffered);
    for _ in 0..20 {
        let response = send(&mut service, of_user("/", "u")).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn a_refusal_keeps_no_permit_of_the_inner_service() {
    let inner = Inner::default();
    let keep = keep([Limit::new("none", 0, mins(1)).path("/refused")]);
    let service = RateLimitLayer::new(&keep).layer(ConcurrencyLimit::new(inner.clone(), 1));
    let mut one = service.clone();
    for _ in 0..5 {
        let response = send(&mut one, of_user("/refused", "u")).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        // `one` lives on; only its readiness is gone
        let other = service.clone().oneshot(of_user("/", "u"));
        let other = tokio::time::timeout(Duration::from_secs(5), other).await;
        assert_eq!(
            other.expect("a permit").expect("an answer").status(),
            StatusCode::OK
        );
    }
    assert_eq!(inner.calls(), 5);
}

#[tokio::test]
async fn the_instance_that_was_made_ready_is_called() {
    // Calling a clone of the inner service panics in `ConcurrencyLimit`.
    let keep = keep([Limit::new("all", 100, mins(1))]);
    let inner = ConcurrencyLimit::new(Inner::default(), 1);
    let mut service = ServiceBuilder::new()
        .layer(RateLimitLayer::new(&keep))
        .service(inner);
    assert_eq!(admitted(&mut service, 10, || of_user("/", "u")).await, 10);
}

#[tokio::test]
async fn readiness_alone_takes_no_quota() {
    let keep = keep([Limit::new("all", 2, mins(1))]);
    let mut service = RateLimitLayer::new(&keep).layer(Inner::default());
    for _ in 0..10 {
        service.clone().ready().await.expect("ready");
    }
    assert_eq!(admitted(&mut service, 5, || of_user("/", "u")).await, 2);
}

#[tokio::test]
async fn counters_belong_to_the_keep_and_not_to_a_layer_or_a_service() {
    // One limiter for each `layer()` call: a limit of 5 a second let 1,500 through.
    let keep = keep([Limit::new("all", 5, mins(1))]);
    let mut total = 0;
    for _ in 0..3 {
        let layer = RateLimitLayer::new(&keep.clone());
        for _ in 0..3 {
            let mut service = layer.clone().layer(Inner::default()).clone();
            total += admitted(&mut service, 3, || of_user("/", "u")).await;
        }
    }
    assert_eq!(total, 5);
}

#[tokio::test]
async fn a_layer_applied_twice_counts_once() {
    let keep = keep([Limit::new("all", 4, mins(1))]);
    let layer = RateLimitLayer::new(&keep);
    let mut service = layer.clone().layer(layer.layer(Inner::default()));
    assert_eq!(admitted(&mut service, 10, || of_user("/", "u")).await, 4);
}

#[tokio::test(start_paused = true)]
async fn only_selects_limits_and_two_layers_speak_together() {
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
    let response = send(&mut service, of_user("/", "u")).await;
    assert_eq!(response.body(), "address,user");
    let lines = response.headers().get_all("ratelimit").iter();
    let lines: Vec<_> = lines.map(|line| line.to_str().expect("ASCII")).collect();
    assert_eq!(lines, [r#""user";r=49;t=120"#, r#""address";r=99;t=120"#]);
}

#[tokio::test]
async fn several_limits_of_a_subject_charge_all_or_nothing() {
    let limits = [
        Limit::new("day", 1000, mins(24 * 60)),
        Limit::new("minute", 3, mins(1)),
    ];
    let keep = keep(limits);
    let mut service = RateLimitLayer::new(&keep).layer(Inner::default());
    assert_eq!(admitted(&mut service, 20, || of_user("/", "u")).await, 3);
    let refusal = send(&mut service, of_user("/", "u")).await;
    assert!(field(&refusal, "ratelimit").contains(r#""day";r=997"#));
    let policies = field(&refusal, "ratelimit-policy");
    assert_eq!(policies, r#""day";q=1000;w=86400,"minute";q=3;w=60"#);
}

#[tokio::test]
async fn limits_of_several_subjects_are_asked_strictest_first_and_refunded() {
    let limits = [
        Limit::new("user", 10, mins(1)),
        Limit::new("everybody", 15, mins(1)).by([By::Route]),
    ];
    let keep = keep(limits);
    let mut service = RateLimitLayer::new(&keep).layer(Inner::default());
    assert_eq!(admitted(&mut service, 10, || of_user("/", "a")).await, 10);
    assert_eq!(admitted(&mut service, 10, || of_user("/", "b")).await, 5);
    // user b was charged first and got back what the wider limit refused
    let refusal = send(&mut service, of_user("/", "b")).await;
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
    let mut service = RateLimitLayer::new(&keep).layer(Inner::default());
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
        let response = send(service, costs(cost)).await;
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
    // absurd values cost one unit, enormous ones are refused, several lines cost the most
    for absurd in ["", "-5", "0", "1e3", "NaN", "0x10", "ten", "１"] {
        let mut request = of_user("/field", absurd);
        request
            .headers_mut()
            .insert("x-cost", absurd.parse().expect("a value"));
        let response = send(&mut service, request).await;
        if absurd.is_empty() {
            continue; // an empty name is nobody's: the address counts
        }
        assert!(
            field(&response, "ratelimit").starts_with(r#""field";r=9"#),
            "{absurd:?}"
        );
    }
    let huge = "99999999999999999999999999999999";
    assert_eq!(left(&mut service, &[huge]).await.0, 429);
    assert!(
        left(&mut service, &["1", "5"])
            .await
            .1
            .starts_with(r#""field";r=1"#)
    );

    let mut service = RateLimitLayer::new(&keep)
        .cost(|parts| u64::from(parts.uri.path() == "/fixed") * 5)
        .layer(Inner::default());
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
async fn answers_that_the_limit_names_are_given_back() {
    let limits = [
        Limit::new("api", 3, mins(1))
            .refund_on(["5xx"])
            .path("/api"),
        Limit::new("login", 2, mins(1))
            .refund_on(["2xx"])
            .path("/login"),
    ];
    let keep = keep(limits);
    let mut service = RateLimitLayer::new(&keep).layer(Inner::default());
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
async fn a_shadow_reports_and_never_refuses() {
    let keep = keep([Limit::new("new", 1, mins(1)).shadow(true)]);
    let decided = tower::service_fn(async |request: Request<Full<Bytes>>| {
        let decision = request.extensions().get::<Decision>().expect("decided");
        let limit = decision.limit("new").expect("applied");
        assert!(limit.is_shadow() && decision.is_admitted());
        let said = limit.is_admitted().to_string();
        Ok::<_, std::convert::Infallible>(Response::new(Full::from(said)))
    });
    let mut service = RateLimitLayer::new(&keep).layer(decided);
    assert_eq!(send(&mut service, of_user("/", "u")).await.body(), "true");
    let response = send(&mut service, of_user("/", "u")).await;
    assert_eq!(response.body(), "false");
    assert!(!response.headers().contains_key("ratelimit"));
}

#[tokio::test]
async fn one_switch_turns_all_limits_off_or_into_shadows() {
    let limits = || [Limit::new("none", 0, mins(1))];
    let keep = keep(limits());
    let mut service = RateLimitLayer::new(&keep).layer(Inner::default());
    let status = async |service: &mut _| send(service, of_user("/", "u")).await.status().as_u16();
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
    let mut service = RateLimitLayer::new(&keep).layer(Inner::default());
    assert_eq!(admitted(&mut service, 5, || of_user("/", "u")).await, 2);
    keep.reload(&table([Limit::new("api", 5, mins(1))]))
        .expect("a good table");
    assert_eq!(admitted(&mut service, 5, || of_user("/", "u")).await, 3);
    let gcra = Limit::new("api", 5, mins(1)).algorithm(Algorithm::Gcra);
    keep.reload(&table([gcra])).expect("a good table");
    assert_eq!(
        admitted(&mut service, 9, || of_user("/", "u")).await,
        5,
        "counted anew"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_admitted_after_retry_after() {
    for algorithm in [
        Algorithm::SlidingWindow,
        Algorithm::FixedWindow,
        Algorithm::Gcra,
    ] {
        let keep = keep([Limit::new("api", 3, secs(10)).algorithm(algorithm)]);
        let mut service = RateLimitLayer::new(&keep).layer(Inner::default());
        assert_eq!(admitted(&mut service, 5, || of_user("/", "u")).await, 3);
        let refusal = send(&mut service, of_user("/", "u")).await;
        let after: u64 = field(&refusal, "retry-after").parse().expect("seconds");
        assert!(after >= 1);
        tokio::time::advance(Duration::from_secs(after)).await;
        let response = send(&mut service, of_user("/", "u")).await;
        assert_eq!(response.status(), StatusCode::OK, "{algorithm:?}");
    }
}

#[tokio::test]
async fn what_no_limit_claims_is_untouched() {
    let keep = keep([Limit::new("api", 0, mins(1)).path("/api").methods(["POST"])]);
    let mut service = RateLimitLayer::new(&keep).layer(Inner::default());
    for request in [of_user("/api", "u"), of_user("/other", "u")] {
        let response = send(&mut service, request).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers().is_empty());
    }
    let post = Request::post("/api")
        .body(Full::default())
        .expect("a request");
    assert_eq!(
        send(&mut service, post).await.status(),
        StatusCode::TOO_MANY_REQUESTS
    );
}

#[tokio::test]
async fn whoever_is_exempt_is_not_counted() {
    let exempt = ["user:admin", "ip:10.0.0.0/8", "path:/healthz"];
    let keep = keep([Limit::new("none", 0, mins(1)).exempt(exempt)]);
    let mut service = RateLimitLayer::new(&keep).layer(Inner::default());
    let cases = [
        (of_user("/", "admin"), 200),
        (of_user("/", "administrator"), 429),
        (from("/", "10.9.8.7"), 200),
        (from("/", "11.9.8.7"), 429),
        (from("/healthz", "11.9.8.7"), 200),
    ];
    for (request, status) in cases {
        assert_eq!(send(&mut service, request).await.status(), status);
    }
}

#[tokio::test]
async fn a_user_s_plan_has_its_own_limit() {
    let keep = keep([Limit::new("api", 2, mins(1)).plan("pro", 7)]);
    let mut service = RateLimitLayer::new(&keep).layer(Inner::default());
    let pro = || {
        let user = tower_keep::UserId::new("p").plan("pro");
        get("/")
            .extension(user)
            .body(Full::default())
            .expect("a request")
    };
    assert_eq!(admitted(&mut service, 20, pro).await, 7);
    assert_eq!(admitted(&mut service, 20, || of_user("/", "q")).await, 2);
    assert!(field(&send(&mut service, pro()).await, "ratelimit-policy").contains("q=7"));
}

fn assert_parts<T: Send + Sync + Clone + std::fmt::Debug + 'static>(_: &T) {}

#[test]
fn layer_and_service_are_what_tower_expects() {
    let keep = keep([]);
    let layer = RateLimitLayer::new(&keep);
    assert_parts(&layer);
    assert_parts(&layer.layer(Inner::default()));
    fn send_future<S: Service<Request<Full<Bytes>>, Future: Send>>(_: &S) {}
    send_future(&layer.layer(Inner::default()));
}
