//! Which responses users share: every kind of credentials, scope and response directive, both ways.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower_keep::{Keep, Route, Scope, Table, UserId, table::Identity};

use crate::common::{
    client::{advance, get, run_other_tasks, send},
    keeps::new_keep,
    origin::{Gate, Origin, cached, full, ok},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nobody,
    Authorization,
    Cookie,
    Extension,
    Identified,
    Header,
    /// The identity header twice: the user is ambiguous.
    TwoHeaders,
    ApiKey,
    /// A credential in the query, which is not part of a listed route's key.
    Query,
}

const KINDS: [Kind; 9] = [
    Kind::Nobody,
    Kind::Authorization,
    Kind::Cookie,
    Kind::Extension,
    Kind::Identified,
    Kind::Header,
    Kind::TwoHeaders,
    Kind::ApiKey,
    Kind::Query,
];

const DIRECTIVES: [(&str, &str); 12] = [
    ("x-none", "none"),
    ("cache-control", "public"),
    ("cache-control", "public, max-age=60"),
    ("cache-control", "private"),
    ("cache-control", "private, max-age=60"),
    ("cache-control", "no-store"),
    ("cache-control", "s-maxage=60"),
    ("cache-control", "max-age=60"),
    ("cache-control", "must-revalidate, max-age=60"),
    ("set-cookie", "session=1"),
    ("vary", "*"),
    ("expires", "Fri, 31 Dec 9999 23:59:59 GMT"),
];

const SCOPES: [Option<Scope>; 3] = [None, Some(Scope::Public), Some(Scope::User)];

fn by(kind: Kind, user: &str, path: &str) -> Request<Full<Bytes>> {
    let mut request = match kind {
        Kind::Query => get(&format!("{path}?access_token={user}")),
        _ => get(path),
    };
    let value = |text: &str| text.parse::<http::HeaderValue>().expect("a value");
    let headers = request.headers_mut();
    match kind {
        Kind::Nobody | Kind::Query => {}
        Kind::ApiKey => drop(headers.insert("x-api-key", value(user))),
        Kind::Authorization => drop(headers.insert("authorization", value(user))),
        Kind::Cookie => drop(headers.insert("cookie", value(user))),
        Kind::Identified => drop(headers.insert("x-session", value(user))),
        Kind::Header => drop(headers.insert("x-user-id", value(user))),
        Kind::TwoHeaders => {
            headers.append("x-user-id", value(user));
            headers.append("x-user-id", value("gateway"));
        }
        Kind::Extension => drop(request.extensions_mut().insert(UserId::new(user))),
    }
    request
}

/// The user that the application assumes: the first it finds, as careless code does.
fn assumed_user(request: &Request<Bytes>) -> String {
    if let Some(user) = request.extensions().get::<UserId>() {
        return user.as_str().to_owned();
    }
    let token = request
        .uri()
        .query()
        .and_then(|query| query.strip_prefix("access_token="));
    [
        "authorization",
        "cookie",
        "x-session",
        "x-user-id",
        "x-api-key",
    ]
    .into_iter()
    .find_map(|name| request.headers().get(name)?.to_str().ok())
    .or(token)
    .unwrap_or("nobody")
    .to_owned()
}

fn keep(scope: Option<Scope>) -> Keep {
    let route = Route::new("/listed/{id}").key("engagement:{id}");
    let route = route.ignore_query("access_token");
    let route = match scope {
        Some(scope) => route.scope(scope),
        None => route,
    };
    let identity = Identity::new().header("x-user-id");
    let keep = new_keep(Table::new().identity(identity).route(route));
    keep.identify(|parts| {
        let user = parts.headers.get("x-session")?.to_str().ok()?;
        Some(UserId::new(user))
    });
    keep
}

/// Whether the second request, of another user, may get the response to the first.
fn allowed(first: Kind, second: Kind, scope: Option<Scope>, directive: &str, listed: bool) -> bool {
    let refused = ["private", "no-store", "session=1", "*"];
    if refused.iter().any(|word| directive.starts_with(word)) {
        return false;
    }
    let shares = ["public", "s-maxage", "must-revalidate"]
        .iter()
        .any(|word| directive.starts_with(word));
    let explicit = directive.contains("age=") || directive.contains("GMT");
    match scope.filter(|_| listed) {
        Some(Scope::Public) => true,
        // The user is part of the key; requests without one bypass the cache.
        Some(_) => false,
        // Without a route the whole query is part of the key.
        None if !listed && [first, second].contains(&Kind::Query) => false,
        None => {
            let fresh = explicit || (listed && first == Kind::Nobody);
            let stored = first == Kind::Nobody || shares;
            let served =
                second == Kind::Nobody || shares || (second == Kind::Cookie && explicit && !listed);
            fresh && stored && served
        }
    }
}

fn origin(directive: (&'static str, &'static str)) -> Origin {
    Origin::from_fn(move |request, _| {
        let user = assumed_user(&request);
        async move { Ok(ok(full(user), &[directive])) }
    })
}

#[tokio::test]
async fn no_user_gets_another_users_response() {
    let mut shared = 0;
    for (path, listed) in [("/listed/1", true), ("/unlisted", false)] {
        for scope in SCOPES {
            for directive in DIRECTIVES {
                for first in KINDS {
                    for second in KINDS {
                        let keep = keep(scope);
                        let service = cached(&keep, &origin(directive));
                        let one = send(&service, by(first, "alice", path)).await;
                        let other = send(&service, by(second, "bob", path)).await;
                        let own = if second == Kind::Nobody {
                            "nobody"
                        } else {
                            "bob"
                        };
                        let case = (path, scope, directive, first, second);
                        let may = allowed(first, second, scope, directive.1, listed);
                        let expected = if may { &one.body } else { own };
                        assert_eq!(other.body, *expected, "{case:?}");
                        shared += usize::from(may);
                    }
                }
            }
        }
    }
    assert!(shared > 500, "{shared}: the matrix shares nothing");
}

#[tokio::test]
async fn no_user_gets_another_users_response_while_it_is_fetched() {
    for scope in SCOPES {
        for directive in DIRECTIVES {
            for first in KINDS {
                for second in KINDS {
                    let gate = Gate::closed();
                    let origin = Origin::gated(&gate, move |request, _| {
                        Ok(ok(full(assumed_user(&request)), &[directive]))
                    });
                    let service = cached(&keep(scope), &origin);
                    let one = service.clone();
                    let one =
                        tokio::spawn(
                            async move { send(&one, by(first, "alice", "/listed/1")).await },
                        );
                    origin.called(1).await;
                    let other = tokio::spawn(async move {
                        send(&service, by(second, "bob", "/listed/1")).await
                    });
                    run_other_tasks().await;
                    gate.open();
                    let one = one.await.expect("no panic").body;
                    let other = other.await.expect("no panic").body;
                    let own = if second == Kind::Nobody {
                        "nobody"
                    } else {
                        "bob"
                    };
                    let may = allowed(first, second, scope, directive.1, true);
                    assert!(
                        other == own || (may && other == one),
                        "{other}: {:?}",
                        (scope, directive, first, second)
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn with_user_scope_each_user_has_a_response_of_their_own() {
    let origin = origin(("cache-control", "private, max-age=60"));
    let service = cached(&keep(Some(Scope::User)), &origin);
    for kind in [Kind::Extension, Kind::Identified, Kind::Header] {
        for user in ["alice", "bob"] {
            let user = format!("{user} {kind:?}");
            for _ in 0..2 {
                assert_eq!(
                    send(&service, by(kind, &user, "/listed/1")).await.body,
                    user
                );
            }
        }
    }
    assert_eq!(origin.calls(), 6);
}

#[tokio::test]
async fn unverified_users_are_distinguished_by_their_credentials() {
    let route = Route::new("/listed/{id}")
        .key("engagement:{id}")
        .scope(Scope::User);
    let identity = Identity::new().unverified(true);
    let keep = new_keep(Table::new().identity(identity).route(route));
    let origin = origin(("x-none", "none"));
    let service = cached(&keep, &origin);
    for _ in 0..2 {
        for user in ["alice", "bob"] {
            let request = by(Kind::Authorization, user, "/listed/1");
            assert_eq!(send(&service, request).await.body, user);
        }
    }
    assert_eq!(origin.calls(), 2);
}

/// Regression: an origin whose validators ignore the user confirmed a response that belongs to none.
#[tokio::test(start_paused = true)]
async fn no_user_gets_a_304_for_another_users_response() {
    for (scope, path) in SCOPES
        .map(|scope| (scope, "/listed/1"))
        .into_iter()
        .chain([(None, "/unlisted")])
    {
        for validator in [
            ("etag", "\"1\""),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            let origin = Origin::from_fn(move |request, _| async move {
                let asked = ["if-none-match", "if-modified-since"];
                let known = asked
                    .iter()
                    .any(|name| request.headers().contains_key(*name));
                let mut response = ok(full(assumed_user(&request)), &[validator]);
                if known {
                    response = ok(full(""), &[validator]);
                    *response.status_mut() = http::StatusCode::NOT_MODIFIED;
                }
                Ok(response)
            });
            let keep = keep(scope);
            let service = cached(&keep, &origin);
            send(&service, get(path)).await;
            for wait in [0, 7200] {
                advance(wait).await;
                for kind in KINDS {
                    let own = if kind == Kind::Nobody {
                        "nobody"
                    } else {
                        "bob"
                    };
                    let seen = send(&service, by(kind, "bob", path)).await;
                    let vouched = scope == Some(Scope::Public);
                    assert!(
                        seen.body == own || vouched,
                        "{:?}: {seen:?}",
                        (scope, path, kind)
                    );
                }
            }
        }
    }
}
