//! Tags and groups.

use http::{HeaderName, Response};
use tower::Layer;
use tower_keep::{CacheLayer, InvalidateLayer, Key, Route, Scope, Table, keep::Invalidation};

use super::stack::{hits, is_hit, stack};
use crate::common::{
    client::{as_user, get, request, send},
    keeps::new_keep,
    origin::{Origin, full},
};

#[tokio::test]
async fn tags_of_routes_and_of_responses() {
    let orgs = Route::new("/orgs/{org}/{page}")
        .key("org:{org}:{page}")
        .scope(Scope::Public);
    let response = Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public);
    let keep = new_keep(
        Table::new()
            .route(orgs.tags(["org:{org}"]))
            .route(response.tags(["org:{answer.org}"])),
    );
    let origin = Origin::from_fn(|request, _| async move {
        let response = Response::builder()
            .header("cache-control", "max-age=60")
            .header("content-type", "application/json");
        let response = match request.uri().path() {
            "/tag" => response.header("cache-tag", "x, org:7"),
            "/key" => response.header("surrogate-key", "x org:7"),
            "/group" => response.header("cache-groups", "\"x\", \"org:7\""),
            _ => response,
        };
        Ok(response.body(full(r#"{"org": 7}"#)).expect("a response"))
    });
    let service = stack(&keep, &origin);
    let tagged = [
        "/orgs/7/a",
        "/orgs/7/b",
        "/engagements/1",
        "/tag",
        "/key",
        "/group",
    ];
    let others = ["/orgs/70/a", "/none"];
    hits(&service, &tagged).await;
    hits(&service, &others).await;
    keep.invalidate([Invalidation::tag("org:7")])
        .await
        .expect("invalidated");
    assert_eq!(hits(&service, &tagged).await, [false; 6]);
    assert_eq!(hits(&service, &others).await, [true; 2]);
}

/// The tags of the route, which need the content, were added to those of the head after their number
/// had been checked.
#[tokio::test]
async fn a_response_with_too_many_tags_in_its_fields_and_content_is_not_stored() {
    let keep = new_keep(
        Table::new().route(
            Route::new("/engagements/{count}")
                .key("engagement:{count}")
                .scope(Scope::Public)
                .tags(["org:{answer.org}"]),
        ),
    );
    let origin = Origin::from_fn(|request, _| async move {
        let count = request.uri().path().rsplit('/').next();
        let count = count.and_then(|n| n.parse().ok()).expect("a number");
        let tags: Vec<_> = (0..count).map(|n| format!("t{n}")).collect();
        let response = Response::builder()
            .header("cache-control", "max-age=60")
            .header("content-type", "application/json")
            .header("cache-tag", tags.join(","));
        Ok(response.body(full(r#"{"org": 7}"#)).expect("a response"))
    });
    let service = stack(&keep, &origin);
    for (path, is_stored) in [("/engagements/127", true), ("/engagements/128", false)] {
        send(&service, get(path)).await;
        let again = send(&service, get(path)).await;
        assert_eq!(again.cache_status().contains("; hit"), is_stored, "{path}");
    }
}

#[tokio::test]
async fn tags_made_by_templates_are_encoded_like_keys() {
    let orgs = Route::new("/orgs/{org}")
        .key("org:{org}")
        .scope(Scope::Public);
    let keep = new_keep(Table::new().route(orgs.tags(["org:{org}"])));
    let service = stack(&keep, &Origin::with_fields(&[]));
    hits(&service, &["/orgs/a%20b"]).await;
    keep.invalidate([Invalidation::tag("org:a b")])
        .await
        .expect("invalidated");
    assert_eq!(hits(&service, &["/orgs/a%20b"]).await, [true]);
    let tag = Key::new("org").id("a b");
    keep.invalidate([Invalidation::tag(tag.as_str())])
        .await
        .expect("invalidated");
    assert_eq!(hits(&service, &["/orgs/a%20b"]).await, [false]);
}

/// Returns the request's `x-NAME` fields as `NAME`; every response is fresh.
fn mirror() -> Origin {
    Origin::with_head(|parts| {
        let mut response = Response::builder().header("cache-control", "max-age=60");
        for name in ["cache-groups", "cache-group-invalidation", "status"] {
            let asked = parts.headers.get(format!("x-{name}"));
            match asked {
                Some(value) if name == "status" => {
                    response = response.status(value.to_str().expect("text"));
                }
                Some(value) => response = response.header(name, value),
                None => {}
            }
        }
        response
    })
}

#[tokio::test]
async fn a_group_belongs_to_one_origin() {
    // RFC 9875 sections 2.1 and 3
    let listed = Route::new("/listed").key("listed").scope(Scope::Public);
    let keep = new_keep(Table::new().route(listed));
    let service = stack(&keep, &mirror());
    let of = |host, path| {
        request(
            "GET",
            path,
            &[("host", host), ("x-cache-groups", "\"scripts\";q, \"b\"")],
        )
    };
    let own = || of("example.com", "/a");
    let with_port = || of("Example.com:80", "/b");
    let foreign = || of("example.org", "/a");
    let of_all_hosts = || of("example.org", "/listed");
    for stored in [own(), with_port(), foreign(), of_all_hosts()] {
        assert!(!is_hit(&service, stored).await);
    }
    let write = |method, path, status| {
        let fields = [
            ("host", "example.com"),
            ("x-cache-group-invalidation", "\"scripts\""),
            ("x-status", status),
        ];
        request(method, path, &fields)
    };
    // The field is ignored for safe methods.
    send(&service, write("GET", "/safe", "200")).await;
    assert!(is_hit(&service, own()).await);
    // Another group is not affected either.
    send(
        &service,
        request(
            "POST",
            "/w",
            &[
                ("host", "example.com"),
                ("x-cache-group-invalidation", "\"Scripts\""),
            ],
        ),
    )
    .await;
    assert!(is_hit(&service, own()).await);
    // A field that is no list of strings is ignored (RFC 9651 section 4.2).
    send(
        &service,
        request(
            "POST",
            "/w",
            &[
                ("host", "example.com"),
                ("x-cache-group-invalidation", "\"scripts"),
            ],
        ),
    )
    .await;
    assert!(is_hit(&service, own()).await);

    for status in ["200", "404", "500"] {
        send(&service, write("POST", "/w", status)).await;
        for (request, hit) in [
            (own(), false),
            (with_port(), false),
            (foreign(), true),
            (of_all_hosts(), false),
        ] {
            let uri = format!("{:?} {}", request.headers()["host"], request.uri());
            assert_eq!(is_hit(&service, request).await, hit, "{uri} {status}");
        }
    }
}

#[tokio::test]
async fn one_users_entries_can_be_invalidated() {
    let keep =
        new_keep(Table::new().route(Route::new("/me").key("profile:{user}").scope(Scope::User)));
    let service = stack(&keep, &Origin::with_fields(&[]));
    let (ann, bob) = (
        || as_user("ann smith", get("/me")),
        || as_user("bob", get("/me")),
    );
    for mine in [ann(), bob()] {
        send(&service, mine).await;
    }
    keep.invalidate([Invalidation::user("ann smith")])
        .await
        .expect("invalidated");
    assert!(!is_hit(&service, ann()).await);
    assert!(is_hit(&service, bob()).await);
}

#[tokio::test]
async fn configured_tag_fields_are_read_and_removed() {
    let route = Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public);
    let keep = new_keep(Table::new().route(route));
    let origin = Origin::with_head(|parts| {
        let response = Response::builder()
            .header("x-tags", "a, b")
            .header("cache-tag", "c");
        match parts.uri.query() {
            Some("private") => response.header("cache-control", "private"),
            _ => response,
        }
    });
    let cache = CacheLayer::new(&keep).tag_fields([HeaderName::from_static("x-tags")]);
    let service =
        (InvalidateLayer::new(&keep), cache.clone().strip_tags(true)).layer(origin.clone());
    for path in ["/engagements/1", "/engagements/1", "/engagements/1?private"] {
        let seen = send(&service, get(path)).await;
        assert!(!seen.headers.contains_key("x-tags"), "{path}");
        assert!(
            seen.headers.contains_key("cache-tag"),
            "{path}: no tag here"
        );
    }
    assert_eq!(hits(&service, &["/engagements/1"]).await, [true]);
    keep.invalidate([Invalidation::tag("c")])
        .await
        .expect("invalidated");
    assert_eq!(hits(&service, &["/engagements/1"]).await, [true]);
    keep.invalidate([Invalidation::tag("b")])
        .await
        .expect("invalidated");
    assert_eq!(hits(&service, &["/engagements/1"]).await, [false]);

    let open = cache.layer(origin);
    for path in ["/engagements/2", "/engagements/2"] {
        assert_eq!(send(&open, get(path)).await.headers["x-tags"], "a, b");
    }
}
