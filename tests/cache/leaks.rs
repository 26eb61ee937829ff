//! Whose answer reaches whom: every kind of credentials, scope and response directive, both ways.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower_keep::{Keep, Route, Scope, Table, UserId, table::Identity};

use super::{
    kit::{after, get, send},
    stage::{Gate, Stage, answer, full, idle},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nobody,
    Authorization,
    Cookie,
    Extension,
    Identified,
    Header,
    /// The identity's header twice: nobody can tell whose request it is.
    TwoHeaders,
}

const KINDS: [Kind; 7] = [
    Kind::Nobody,
    Kind::Authorization,
    Kind::Cookie,
    Kind::Extension,
    Kind::Identified,
    Kind::Header,
    Kind::TwoHeaders,
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
    let mut request = get(path);
    let value = |text: &str| text.parse::<http::HeaderValue>().expect("a value");
    let headers = request.headers_mut();
    match kind {
        Kind::Nobody => {}
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

/// Whom the application takes the request for: the first that it finds, as careless code does.
fn whose(request: &Request<Bytes>) -> String {
    if let Some(user) = request.extensions().get::<UserId>() {
        return user.as_str().to_owned();
    }
    ["authorization", "cookie", "x-session", "x-user-id"]
        .into_iter()
        .find_map(|name| request.headers().get(name)?.to_str().ok())
        .unwrap_or("nobody")
        .to_owned()
}

fn keep(scope: Option<Scope>) -> Keep {
    let route = Route::new("/listed/{id}").key("engagement:{id}");
    let route = match scope {
        Some(scope) => route.scope(scope),
        None => route,
    };
    let identity = Identity::new().header("x-user-id");
    let keep = Keep::new(Table::new().identity(identity).route(route)).expect("a valid table");
    keep.identify(|parts| {
        let user = parts.headers.get("x-session")?.to_str().ok()?;
        Some(UserId::new(user))
    });
    keep
}

/// What DESIGN allows: the second, another user than the first, gets the first's answer.
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
        // The user is in the key; who has none passes by.
        Some(_) => false,
        None => {
            let fresh = explicit || (listed && first == Kind::Nobody);
            let stored = first == Kind::Nobody || shares;
            let served =
                second == Kind::Nobody || shares || (second == Kind::Cookie && explicit && !listed);
            fresh && stored && served
        }
    }
}

fn stage(directive: (&'static str, &'static str)) -> Stage {
    Stage::new(move |request, _| {
        let user = whose(&request);
        async move { Ok(answer(full(user), &[directive])) }
    })
}

#[tokio::test]
async fn no_user_sees_what_was_made_for_another() {
    let mut shared = 0;
    for (path, listed) in [("/listed/1", true), ("/unlisted", false)] {
        for scope in SCOPES {
            for directive in DIRECTIVES {
                for first in KINDS {
                    for second in KINDS {
                        let keep = keep(scope);
                        let service = stage(directive).cached(&keep);
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
async fn nor_while_it_is_being_made() {
    for scope in SCOPES {
        for directive in DIRECTIVES {
            for first in KINDS {
                for second in KINDS {
                    let gate = Gate::closed();
                    let stage = Stage::gated(&gate, move |request, _| {
                        Ok(answer(full(whose(&request)), &[directive]))
                    });
                    let service = stage.cached(&keep(scope));
                    let one = service.clone();
                    let one =
                        tokio::spawn(
                            async move { send(&one, by(first, "alice", "/listed/1")).await },
                        );
                    stage.called(1).await;
                    let other = tokio::spawn(async move {
                        send(&service, by(second, "bob", "/listed/1")).await
                    });
                    idle().await;
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
async fn each_user_has_an_answer_of_their_own() {
    let stage = stage(("cache-control", "private, max-age=60"));
    let service = stage.cached(&keep(Some(Scope::User)));
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
    assert_eq!(stage.calls(), 6);
}

#[tokio::test]
async fn an_unverified_user_is_told_by_their_credentials() {
    let route = Route::new("/listed/{id}")
        .key("engagement:{id}")
        .scope(Scope::User);
    let identity = Identity::new().unverified(true);
    let keep = Keep::new(Table::new().identity(identity).route(route)).expect("a valid table");
    let stage = stage(("x-none", "none"));
    let service = stage.cached(&keep);
    for _ in 0..2 {
        for user in ["alice", "bob"] {
            let request = by(Kind::Authorization, user, "/listed/1");
            assert_eq!(send(&service, request).await.body, user);
        }
    }
    assert_eq!(stage.calls(), 2);
}

/// An origin whose validators know nothing of users confirmed to one what was made for nobody.
#[tokio::test(start_paused = true)]
async fn nobody_is_told_that_anothers_answer_is_still_good() {
    for (scope, path) in SCOPES
        .map(|scope| (scope, "/listed/1"))
        .into_iter()
        .chain([(None, "/unlisted")])
    {
        for validator in [
            ("etag", "\"1\""),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            let stage = Stage::new(move |request, _| async move {
                let asked = ["if-none-match", "if-modified-since"];
                let known = asked
                    .iter()
                    .any(|name| request.headers().contains_key(*name));
                let mut response = answer(full(whose(&request)), &[validator]);
                if known {
                    response = answer(full(""), &[validator]);
                    *response.status_mut() = http::StatusCode::NOT_MODIFIED;
                }
                Ok(response)
            });
            let keep = keep(scope);
            let service = stage.cached(&keep);
            send(&service, get(path)).await;
            for wait in [0, 7200] {
                after(wait).await;
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
