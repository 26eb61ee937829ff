//! Whose credentials a refresh in the background carries.

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use tower::Layer;
use tower_keep::{CacheLayer, Route, Scope, Table, UserId, table::Identity};

use crate::common::{
    client::{advance, as_user, get, request, run_other_tasks, send},
    keeps::new_keep,
    origin::{Origin, cached, response},
};

const SWR: (&str, &str) = ("cache-control", "max-age=2, stale-while-revalidate=3600");

/// A 200 whose body says which credentials the request has.
fn echo_credentials(fields: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::new(move |parts, call| {
        let names = [
            "authorization",
            "cookie",
            "proxy-authorization",
            "x-api-key",
            "x-user-id",
        ];
        let mut has: Vec<&str> = names
            .into_iter()
            .filter(|name| parts.headers.contains_key(*name))
            .collect();
        if parts.extensions.get::<UserId>().is_some() {
            has.push("user");
        }
        let body = Full::from(format!("call {call}: {}", has.join(" ")));
        response(200, fields, "").map(|_| body)
    })
}

/// Regression: each refresh carried the cookie, so that its response was discarded, and the first
/// version was served to the end of the window.
#[tokio::test(start_paused = true)]
async fn visitors_with_cookies_get_the_refreshed_version() {
    let origin = echo_credentials(&[SWR]);
    let service = cached(&new_keep(Table::new()), &origin);
    send(&service, get("/a")).await;
    for call in 1..5 {
        advance(10).await;
        let visitor = request("GET", "/a", &[("cookie", "_ga=GA1.1")]);
        let seen = send(&service, visitor).await;
        assert_eq!(seen.body, format!("call {call}: "), "{seen:?}");
        origin.called(call + 1).await;
        run_other_tasks().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_for_everybody_carries_nobodys_credentials() {
    let table = || {
        let route = Route::new("/pages/{id}").key("page:{id}");
        Table::new()
            .identity(Identity::new().header("x-user-id"))
            .ttl("page", Duration::from_secs(2))
            .route(
                route
                    .scope(Scope::Public)
                    .stale_while_revalidate(Duration::from_secs(60)),
            )
    };
    let with = |field, value| request("GET", "/pages/1", &[(field, value)]);
    let requests: [Request<_>; 5] = [
        with("authorization", "Bearer a"),
        with("proxy-authorization", "Basic a"),
        with("cookie", "id=1"),
        with("x-user-id", "alice"),
        as_user("alice", get("/pages/1")),
    ];
    for request in requests {
        let origin = echo_credentials(&[]);
        let service = cached(&new_keep(table()), &origin);
        send(&service, get("/pages/1")).await;
        advance(5).await;
        let asked = format!("{request:?}");
        assert_eq!(send(&service, request).await.body, "call 1: ", "{asked}");
        origin.called(2).await;
        run_other_tasks().await;
        let next = send(&service, get("/pages/1")).await;
        assert_eq!(next.body, "call 2: ", "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_keeps_the_credentials_that_are_part_of_the_key() {
    let swr = Duration::from_secs(60);
    let of_user = Route::new("/pages/{id}")
        .key("page:{id}")
        .scope(Scope::User);
    let of_token = Route::new("/pages/{id}")
        .key("page:{id}:{#header.authorization}")
        .scope(Scope::Public);
    let of_name = Route::new("/pages/{id}").key("page:{id}:{user}");
    for (route, has) in [
        (of_name.scope(Scope::Public), "authorization user"),
        (of_user, "authorization user"),
        (of_token, "authorization"),
    ] {
        let table = Table::new()
            .ttl("page", Duration::from_secs(2))
            .route(route.stale_while_revalidate(swr));
        let origin = echo_credentials(&[]);
        let service = cached(&new_keep(table), &origin);
        let alice = || {
            let fields = [("authorization", "Bearer a")];
            as_user("alice", request("GET", "/pages/1", &fields))
        };
        send(&service, alice()).await;
        advance(5).await;
        let first = send(&service, alice()).await.body;
        assert_eq!(first, "call 1: authorization user");
        origin.called(2).await;
        run_other_tasks().await;
        assert_eq!(send(&service, alice()).await.body, format!("call 2: {has}"));
        assert_eq!(origin.calls(), 2);
    }
}

/// Regression: the key has one credential, and the refresh kept all of them.
#[tokio::test(start_paused = true)]
async fn a_refresh_keeps_no_credential_because_another_is_in_the_key() {
    let route = Route::new("/pages/{id}").key("page:{id}:{#header.x-api-key}");
    let route = route.query(Vec::<String>::new()).scope(Scope::Public);
    let table = Table::new()
        .ttl("page", Duration::from_secs(2))
        .route(route.stale_while_revalidate(Duration::from_secs(60)));
    let origin = echo_credentials(&[]);
    let service = cached(&new_keep(table), &origin);
    let key = ("x-api-key", "shared");
    let bob = || request("GET", "/pages/1", &[key]);
    send(&service, bob()).await;
    advance(5).await;
    let fields = [key, ("cookie", "id=1"), ("authorization", "Bearer a")];
    let alice = as_user("alice", request("GET", "/pages/1", &fields));
    assert_eq!(send(&service, alice).await.body, "call 1: x-api-key");
    origin.called(2).await;
    run_other_tasks().await;
    assert_eq!(send(&service, bob()).await.body, "call 2: x-api-key");
}

/// An origin whose body is the query.
fn echo_query(fields: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::new(move |parts, call| {
        let query = parts.uri.query().unwrap_or("none");
        let body = Full::from(format!("call {call}: {query}"));
        response(200, fields, "").map(|_| body)
    })
}

/// Regression: the refresh sent one user's token, and its response was stored for all.
#[tokio::test(start_paused = true)]
async fn a_refresh_sends_no_credential_of_the_query_that_is_not_in_the_key() {
    let swr = Duration::from_secs(60);
    let of = |route: Route| {
        let route = route.scope(Scope::Public).stale_while_revalidate(swr);
        Table::new()
            .ttl("page", Duration::from_secs(2))
            .route(route)
    };
    let route = || Route::new("/p").key("page:p");
    let ignored = [
        (
            "cache-control",
            "public, max-age=2, stale-while-revalidate=3600",
        ),
        ("no-vary-search", "params=(\"access_token\")"),
    ];
    let ignored: &[_] = Box::leak(Box::new(ignored));
    let ignores = |route: Route| route.ignore_query("access_token");
    for (table, fields, asked, sent) in [
        (
            of(route().query(Vec::<String>::new())),
            &[][..],
            "access_token=alice&sig=2",
            "none",
        ),
        (of(ignores(route())), &[], "access_token=alice", "none"),
        (
            of(ignores(route())),
            &[],
            "a=1&access_token=alice&sig=2",
            "a=1&sig=2",
        ),
        (Table::new(), ignored, "a=1&access_token=alice", "a=1"),
    ] {
        let origin = echo_query(fields);
        let service = cached(&new_keep(table), &origin);
        let alice = || get(&format!("/p?{asked}"));
        send(&service, alice()).await;
        advance(5).await;
        let stale = send(&service, alice()).await;
        assert_eq!(stale.body, format!("call 1: {asked}"));
        origin.called(2).await;
        run_other_tasks().await;
        let next = send(&service, alice()).await;
        assert_eq!(next.body, format!("call 2: {sent}"), "{asked}");
    }
}

/// The application finds the user in an extension that only it can remove.
#[tokio::test(start_paused = true)]
async fn nothing_is_refreshed_for_all_with_a_user_whom_only_the_application_can_remove() {
    #[derive(Clone)]
    struct Claims(&'static str);
    for is_removed in [false, true] {
        let route = Route::new("/pages/{id}").key("page:{id}");
        let route = route.stale_while_revalidate(Duration::from_secs(60));
        let table = Table::new()
            .ttl("page", Duration::from_secs(2))
            .route(route.scope(Scope::Public));
        let keep = new_keep(table);
        keep.identify(|parts| {
            let claims = parts.extensions.get::<Claims>()?;
            Some(UserId::new(claims.0))
        });
        let origin = echo_credentials(&[]);
        let layer = CacheLayer::new(&keep).refresh_request(move |parts| {
            if is_removed {
                parts.extensions.remove::<Claims>();
            }
        });
        let service = layer.layer(origin.clone());
        send(&service, get("/pages/1")).await;
        advance(5).await;
        let mut alice = get("/pages/1");
        alice.extensions_mut().insert(Claims("alice"));
        assert_eq!(send(&service, alice).await.body, "call 1: ");
        run_other_tasks().await;
        assert_eq!(origin.calls(), if is_removed { 2 } else { 1 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_keeps_the_credentials_that_select_the_variant() {
    let origin = echo_credentials(&[
        (
            "cache-control",
            "public, max-age=2, stale-while-revalidate=3600",
        ),
        ("vary", "cookie"),
    ]);
    let service = cached(&new_keep(Table::new()), &origin);
    let visitor = || {
        let fields = [("cookie", "lang=de"), ("authorization", "Bearer a")];
        request("GET", "/a", &fields)
    };
    send(&service, visitor()).await;
    advance(5).await;
    let stale = send(&service, visitor()).await;
    assert_eq!(stale.body, "call 1: authorization cookie");
    origin.called(2).await;
    run_other_tasks().await;
    assert_eq!(send(&service, visitor()).await.body, "call 2: cookie");
    assert_eq!(origin.calls(), 2);
}

/// Regression: the 304 updated the response for this client only, so that clients with cookies
/// validated for ever.
#[tokio::test(start_paused = true)]
async fn a_304_to_a_request_with_cookies_freshens_an_unlisted_response() {
    for (then, freshens) in [
        (&[("cache-control", "max-age=60")][..], true),
        (&[("x-visitor", "alice")], true),
        (&[("cache-control", "private, max-age=60")], false),
        (&[("cache-control", "no-store")], false),
        (&[("set-cookie", "id=2")], false),
        (&[("vary", "cookie")], false),
    ] {
        let origin =
            Origin::new(
                move |parts, _| match parts.headers.get("if-none-match").is_some() {
                    true => response(304, then, ""),
                    false => response(
                        200,
                        &[("etag", "\"one\""), ("cache-control", "max-age=2")],
                        "page",
                    ),
                },
            );
        let service = cached(&new_keep(Table::new()), &origin);
        let visitor = || request("GET", "/a", &[("cookie", "_ga=GA1.1")]);
        send(&service, get("/a")).await;
        advance(5).await;
        let validated = send(&service, visitor()).await;
        assert_eq!((validated.body.as_str(), origin.calls()), ("page", 2));
        let is_personal = then[0].0 == "x-visitor";
        assert_eq!(validated.headers.contains_key("x-visitor"), is_personal);
        let next = send(&service, visitor()).await;
        assert_eq!(next.body, "page");
        assert_eq!(origin.calls() == 2, freshens, "{then:?}: {next:?}");
        // A field that may be meant for the visitor is not stored.
        let anonymous = send(&service, get("/a")).await;
        assert_eq!(anonymous.body, "page");
        assert!(!anonymous.headers.contains_key("x-visitor"));
        assert!(!anonymous.headers.contains_key("set-cookie"));
    }
}
