//! The targets that a successful write invalidates.

use http::Response;
use tower_keep::{
    Route, Scope, Table,
    table::{Unlisted, mins},
};

use super::stack::{hits, is_hit, stack};
use crate::common::{
    client::{as_user, get, put, request, send},
    keeps::new_keep,
    origin::{Origin, full, ok_text},
};

fn public(path: &str, key: &str) -> Route {
    Route::new(path).key(key).scope(Scope::Public)
}

fn table() -> Table {
    Table::new()
        .ttl("engagement", mins(30))
        .route(public("/engagements", "engagements"))
        .route(public("/engagements/{id}/tasks", "engagement:{id}:tasks"))
        .route(public("/orgs/{org}/stats", "dashboard:{org}:stats"))
        .route(
            public("/engagements/{id}", "engagement:{id}")
                .vary(["accept-language"])
                .invalidates(["engagements", "engagement:{id}:*"]),
        )
}

#[tokio::test]
async fn a_write_invalidates_the_targets_of_its_route_and_all_variants_of_its_path() {
    let keep = new_keep(table());
    let service = stack(&keep, &Origin::with_fields(&[]));
    let named = [
        "/engagements",
        "/engagements/1",
        "/engagements/1?page=2",
        "/engagements/1/tasks",
    ];
    let others = [
        "/engagements/2",
        "/engagements/12",
        "/engagements/2/tasks",
        "/orgs/1/stats",
    ];
    let german = || request("GET", "/engagements/1", &[("accept-language", "de")]);
    for path in named.into_iter().chain(others) {
        send(&service, get(path)).await;
    }
    send(&service, german()).await;
    assert_eq!(hits(&service, &named).await, [true; 4]);
    assert!(is_hit(&service, german()).await);

    assert_eq!(send(&service, put("/engagements/1")).await.status, 200);
    assert_eq!(hits(&service, &named).await, [false; 4]);
    assert!(!is_hit(&service, german()).await);
    assert_eq!(hits(&service, &others).await, [true; 4]);
}

#[tokio::test]
async fn templates_use_the_user_keyed_fields_and_the_response() {
    let users = Route::new("/me/{part}")
        .key("user:{user}:{part}")
        .scope(Scope::User);
    let tenant = public("/list", "list:{header.x-tenant}").vary(["x-tenant"]);
    let table = table().route(users).route(tenant).route(
        Route::new("/tasks")
            .key("tasks")
            .scope(Scope::User)
            .vary(["x-tenant"])
            .invalidates([
                "user:{user}:*",
                "list:{header.x-tenant}",
                "dashboard:{answer.org}:stats",
            ]),
    );
    table.validate().expect("a table");
    let keep = new_keep(table);
    let origin = Origin::from_fn(|_, _| async {
        let response = Response::builder().header("content-type", "application/json");
        Ok(response.body(full(r#"{"org": 7}"#)).expect("a response"))
    });
    let service = stack(&keep, &origin);
    let list = |tenant| request("GET", "/list", &[("x-tenant", tenant)]);
    let requests = || {
        [
            (as_user("ann", get("/me/profile")), true),
            (as_user("bob", get("/me/profile")), false),
            (list("a"), true),
            (list("b"), false),
            (get("/orgs/7/stats"), true),
            (get("/orgs/70/stats"), false),
        ]
    };
    for (request, _) in requests() {
        send(&service, request).await;
    }
    let write = as_user("ann", request("POST", "/tasks", &[("x-tenant", "a")]));
    let response = send(&service, write).await;
    assert_eq!(
        response.body, r#"{"org": 7}"#,
        "the response was read for its fields and passed on whole"
    );
    for (request, named) in requests() {
        let path = request.uri().clone();
        assert_eq!(is_hit(&service, request).await, !named, "{path} {named}");
    }
}

#[tokio::test]
async fn a_missing_template_value_matches_everything() {
    let write = public("/tasks", "tasks").invalidates(["dashboard:{answer.org}:stats"]);
    for (kind, body) in [
        ("application/json", "{}"),
        ("application/json", "{\"org\""),
        ("application/json", ""),
        ("text/plain", "{\"org\": 7}"),
        ("application/json", "{\"org\": [7]}"),
    ] {
        let keep = new_keep(table().route(write.clone()));
        let origin = Origin::from_fn(move |_, _| async move {
            let response = Response::builder().header("content-type", kind);
            Ok(response.body(full(body)).expect("a response"))
        });
        let service = stack(&keep, &origin);
        hits(
            &service,
            &["/orgs/7/stats", "/orgs/8/stats", "/engagements/1"],
        )
        .await;
        assert_eq!(
            send(&service, request("POST", "/tasks", &[])).await.body,
            body
        );
        let hits = hits(
            &service,
            &["/orgs/7/stats", "/orgs/8/stats", "/engagements/1"],
        )
        .await;
        assert_eq!(hits, [false, false, true], "{kind} {body}");
    }
}

#[tokio::test]
async fn a_response_too_large_to_parse_matches_everything_and_is_forwarded_whole() {
    let write = public("/tasks", "tasks").invalidates(["dashboard:{answer.org}:stats"]);
    let keep = new_keep(table().route(write));
    let origin = Origin::from_fn(|request, _| async move {
        if request.method() == "GET" {
            return ok_text("");
        }
        let filler = "x".repeat(2 << 20);
        let response = Response::builder().header("content-type", "application/json");
        let body = full(format!(r#"{{"org": 7, "filler": "{filler}"}}"#));
        Ok(response.body(body).expect("a response"))
    });
    let service = stack(&keep, &origin);
    hits(&service, &["/orgs/8/stats"]).await;
    let response = send(&service, request("POST", "/tasks", &[])).await;
    assert_eq!(
        response.body.len(),
        (2 << 20) + r#"{"org": 7, "filler": ""}"#.len()
    );
    assert_eq!(hits(&service, &["/orgs/8/stats"]).await, [false]);
}

#[tokio::test]
async fn locations_of_the_same_origin_are_invalidated() {
    // RFC 9111 section 4.4
    let keep = new_keep(table());
    let origin = Origin::with_head(|parts| {
        let mut response = Response::builder();
        for name in ["location", "content-location"] {
            if let Some(value) = parts.headers.get(name) {
                response = response.header(name, value);
            }
        }
        response
    });
    let service = stack(&keep, &origin);
    let paths = ["/engagements/8", "/engagements/9", "/engagements/10"];
    hits(&service, &paths).await;
    let fields = [
        ("host", "example.com"),
        ("location", "http://example.com/engagements/8"),
        ("content-location", "../engagements/9"),
    ];
    send(&service, request("POST", "/engagements", &fields)).await;
    assert_eq!(hits(&service, &paths).await, [false, false, true]);

    let fields = [
        ("host", "example.com"),
        ("location", "http://example.org/engagements/8"),
    ];
    send(&service, request("POST", "/engagements", &fields)).await;
    assert_eq!(hits(&service, &paths).await, [true; 3]);
}

#[tokio::test]
async fn an_unlisted_path_is_invalidated() {
    let fresh = || Origin::with_head(|_| Response::builder().header("cache-control", "max-age=60"));
    let keep = new_keep(Table::new());
    let service = stack(&keep, &fresh());
    let paths = ["/a", "/a?b", "/c"];
    hits(&service, &paths).await;
    send(&service, put("/a")).await;
    assert_eq!(hits(&service, &paths).await, [false, false, true]);
    send(&service, request("M-SEARCH", "/c", &[])).await;
    assert_eq!(
        hits(&service, &paths).await,
        [true, true, false],
        "an unknown method is not safe"
    );

    let keep = new_keep(Table::new().unlisted(Unlisted::Pass));
    let mut heard = keep.invalidations();
    let service = stack(&keep, &fresh());
    send(&service, put("/a")).await;
    drop((service, keep));
    assert_eq!(heard.next().await, None);
}

#[tokio::test]
async fn safe_methods_invalidate_nothing() {
    let keep = new_keep(
        table().route(
            public("/search", "search:{#body}")
                .safe_methods(["POST"])
                .invalidates(["engagements"]),
        ),
    );
    let service = stack(&keep, &Origin::with_fields(&[]));
    hits(&service, &["/engagements", "/engagements/1"]).await;
    for (method, path) in [
        ("GET", "/engagements/1"),
        ("HEAD", "/engagements/1"),
        ("OPTIONS", "/engagements/1"),
        ("QUERY", "/engagements/1"),
        ("POST", "/search"),
    ] {
        send(&service, request(method, path, &[])).await;
        let hits = hits(&service, &["/engagements", "/engagements/1"]).await;
        assert_eq!(hits, [true; 2], "{method} {path}");
    }
}
