//! What a successful write makes unusable.

use http::Response;
use tower_keep::{
    Keep, Route, Scope, Table,
    table::{Unlisted, mins},
};

use super::kit::{Origin, by, get, hits, is_hit, ok, put, request, send, stack, text};

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
async fn what_the_route_names_and_the_target_with_all_variations() {
    let keep = Keep::new(table()).expect("a valid table");
    let service = stack(&keep, &Origin::plain());
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
async fn user_and_keyed_fields_and_the_answer_fill_the_templates() {
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
    let keep = Keep::new(table).expect("a valid table");
    let origin = Origin::of(|_, _| async {
        let answer = Response::builder().header("content-type", "application/json");
        Ok(answer.body(text(r#"{"org": 7}"#)).expect("a response"))
    });
    let service = stack(&keep, &origin);
    let list = |tenant| request("GET", "/list", &[("x-tenant", tenant)]);
    let requests = || {
        [
            (by("ann", get("/me/profile")), true),
            (by("bob", get("/me/profile")), false),
            (list("a"), true),
            (list("b"), false),
            (get("/orgs/7/stats"), true),
            (get("/orgs/70/stats"), false),
        ]
    };
    for (request, _) in requests() {
        send(&service, request).await;
    }
    let write = by("ann", request("POST", "/tasks", &[("x-tenant", "a")]));
    let answer = send(&service, write).await;
    assert_eq!(
        answer.body, r#"{"org": 7}"#,
        "the answer was looked into, and went on whole"
    );
    for (request, named) in requests() {
        let path = request.uri().clone();
        assert_eq!(is_hit(&service, request).await, !named, "{path} {named}");
    }
}

#[tokio::test]
async fn what_is_missing_matches_everything() {
    let write = public("/tasks", "tasks").invalidates(["dashboard:{answer.org}:stats"]);
    for (kind, body) in [
        ("application/json", "{}"),
        ("application/json", "{\"org\""),
        ("application/json", ""),
        ("text/plain", "{\"org\": 7}"),
        ("application/json", "{\"org\": [7]}"),
    ] {
        let keep = Keep::new(table().route(write.clone())).expect("a valid table");
        let origin = Origin::of(move |_, _| async move {
            let answer = Response::builder().header("content-type", kind);
            Ok(answer.body(text(body)).expect("a response"))
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
async fn an_answer_too_large_to_look_into_matches_everything_and_goes_on_whole() {
    let write = public("/tasks", "tasks").invalidates(["dashboard:{answer.org}:stats"]);
    let keep = Keep::new(table().route(write)).expect("a valid table");
    let origin = Origin::of(|parts, _| async move {
        if parts.method == "GET" {
            return ok("");
        }
        let filler = "x".repeat(2 << 20);
        let answer = Response::builder().header("content-type", "application/json");
        let body = text(format!(r#"{{"org": 7, "filler": "{filler}"}}"#));
        Ok(answer.body(body).expect("a response"))
    });
    let service = stack(&keep, &origin);
    hits(&service, &["/orgs/8/stats"]).await;
    let answer = send(&service, request("POST", "/tasks", &[])).await;
    assert_eq!(
        answer.body.len(),
        (2 << 20) + r#"{"org": 7, "filler": ""}"#.len()
    );
    assert_eq!(hits(&service, &["/orgs/8/stats"]).await, [false]);
}

#[tokio::test]
async fn locations_of_the_same_origin() {
    // RFC 9111 section 4.4
    let keep = Keep::new(table()).expect("a valid table");
    let origin = Origin::new(|parts| {
        let mut answer = Response::builder();
        for name in ["location", "content-location"] {
            if let Some(value) = parts.headers.get(name) {
                answer = answer.header(name, value);
            }
        }
        answer
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
async fn a_path_that_no_route_names() {
    let fresh = || Origin::new(|_| Response::builder().header("cache-control", "max-age=60"));
    let keep = Keep::new(Table::new()).expect("a valid table");
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

    let keep = Keep::new(Table::new().unlisted(Unlisted::Pass)).expect("a valid table");
    let mut heard = keep.invalidations();
    let service = stack(&keep, &fresh());
    send(&service, put("/a")).await;
    drop((service, keep));
    assert_eq!(heard.next().await, None);
}

#[tokio::test]
async fn safe_methods_change_nothing() {
    let keep = Keep::new(
        table().route(
            public("/search", "search:{#body}")
                .safe_methods(["POST"])
                .invalidates(["engagements"]),
        ),
    )
    .expect("a valid table");
    let service = stack(&keep, &Origin::plain());
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
