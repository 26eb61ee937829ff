//! Write-through.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, request};
use http_body_util::Full;
use tokio::time::timeout;
use tower::{Layer, service_fn, util::BoxCloneSyncService};
use tower_keep::{
    CacheLayer, InvalidateLayer, Route, Scope, Table, UserId,
    message::ResponseBody,
    table::{Through, Write, mins, secs},
    testing::{CacheStatus, TestKeep},
};

use crate::{
    common::{client::send_to, origin::FullResponse},
    support::until,
};

type Stack = BoxCloneSyncService<
    Request<Full<Bytes>>,
    Response<ResponseBody<ResponseBody<Full<Bytes>>>>,
    Infallible,
>;
type Change = dyn Fn(&request::Parts, &mut FullResponse) + Send + Sync;

/// A handler over one row, and the layers above it.
struct App {
    keep: TestKeep,
    /// Calls the application in the request's extensions.
    stack: Stack,
    row: AtomicU64,
    gets: AtomicUsize,
    seen: Mutex<HeaderMap>,
    change: Box<Change>,
}

struct Outcome {
    status: StatusCode,
    cache: CacheStatus,
    body: String,
}

impl App {
    fn new(
        route: Route,
        change: impl Fn(&request::Parts, &mut FullResponse) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let table = Table::new()
            .ttl("row", mins(30))
            .route(route.write(Write::Through));
        let keep = TestKeep::new(table);
        let handler = service_fn(|request: Request<Full<Bytes>>| {
            let (parts, _) = request.into_parts();
            let app = parts.extensions.get::<Arc<Self>>().cloned();
            let app = app.expect("an application");
            async move { Ok(app.handle(parts).await) }
        });
        let layers = (InvalidateLayer::new(&keep), CacheLayer::new(&keep));
        Arc::new(Self {
            stack: BoxCloneSyncService::new(layers.layer(handler)),
            keep,
            row: AtomicU64::new(1),
            gets: AtomicUsize::new(0),
            seen: Mutex::default(),
            change: Box::new(change),
        })
    }

    fn gets(&self) -> usize {
        self.gets.load(Ordering::SeqCst)
    }

    async fn handle(self: Arc<Self>, parts: request::Parts) -> FullResponse {
        let row = match parts.method {
            Method::GET => {
                self.gets.fetch_add(1, Ordering::SeqCst);
                self.seen.lock().expect("whole").clone_from(&parts.headers);
                self.row.load(Ordering::SeqCst)
            }
            _ => self.row.fetch_add(1, Ordering::SeqCst) + 1,
        };
        let mut response = Response::new(Full::from(format!("{{\"row\":{row}}}")));
        let json = "application/json".parse().expect("a value");
        response.headers_mut().insert("content-type", json);
        (self.change)(&parts, &mut response);
        if response.headers_mut().remove("hang").is_some() {
            std::future::pending::<()>().await;
        }
        response
    }

    async fn send(self: &Arc<Self>, mut request: Request<Full<Bytes>>) -> Outcome {
        request.extensions_mut().insert(Arc::clone(self));
        let response = send_to(&mut self.stack.clone(), request).await;
        Outcome {
            status: response.status(),
            cache: CacheStatus::of(&response),
            body: String::from_utf8(response.body().to_vec()).expect("text"),
        }
    }

    async fn get(self: &Arc<Self>) -> Outcome {
        self.send(request(Method::GET)).await
    }

    async fn put(self: &Arc<Self>) -> Outcome {
        self.send(request(Method::PUT)).await
    }
}

fn request(method: Method) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(&method).uri("/rows/1");
    let mut content = Full::default();
    if method != Method::GET {
        request = request
            .header("content-type", "application/json")
            .header("if-match", "\"1\"");
        content = Full::from("{}");
    }
    request.body(content).expect("a request")
}

fn route(through: Through) -> Route {
    Route::new("/rows/{id}")
        .key("row:{id}")
        .scope(Scope::Public)
        .through(through)
}

#[tokio::test]
async fn after_a_write_the_next_get_is_a_hit() {
    for (through, gets) in [(Through::Refetch, 2), (Through::Answer, 1)] {
        let app = App::new(route(through), |_, _| {});
        assert!(app.get().await.cache.is_stored());
        for method in [Method::PUT, Method::PATCH] {
            let before = app.gets();
            let written = app.send(request(method)).await;
            assert_eq!(app.gets(), before + gets - 1);
            let seen = app.get().await;
            assert!(seen.cache.is_hit(), "{through:?}");
            assert_eq!(seen.body, written.body);
        }
        assert_eq!(app.keep.invalidations(), 2);
    }
}

/// A read that began before the write cannot be used, and may be slow.
#[tokio::test(start_paused = true)]
async fn a_get_after_a_write_does_not_wait_for_an_older_one() {
    let read = AtomicUsize::new(0);
    let app = App::new(route(Through::Refetch), move |parts, response| {
        if parts.method == Method::GET && read.fetch_add(1, Ordering::SeqCst) == 0 {
            let hang = HeaderValue::from_static("for ever");
            response.headers_mut().insert("hang", hang);
        }
    });
    let reader = tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.get().await }
    });
    until("the read", || async { (app.gets() == 1).then_some(()) }).await;
    app.put().await;
    let seen = timeout(secs(60), app.get()).await.expect("a response");
    assert!(seen.cache.is_hit(), "{:?}", seen.cache);
    assert_eq!(seen.body, "{\"row\":2}");
    reader.abort();
}

#[tokio::test]
async fn the_refetch_is_a_plain_get() {
    let app = App::new(route(Through::Refetch), |_, _| {});
    app.get().await;
    app.put().await;
    let seen = app.seen.lock().expect("whole");
    assert!(
        !seen.contains_key("if-match") && !seen.contains_key("content-type"),
        "{seen:?}"
    );
}

/// A write with credentials: a field, and the user that the application has verified.
fn put_with_credentials() -> Request<Full<Bytes>> {
    let mut request = request(Method::PUT);
    let token = HeaderValue::from_static("Bearer a");
    request.headers_mut().insert("authorization", token);
    let cookie = HeaderValue::from_static("id=1");
    request.headers_mut().insert("cookie", cookie);
    request.extensions_mut().insert(UserId::new("alice"));
    request
}

fn has_credentials(parts: &request::Parts) -> bool {
    let names = ["authorization", "cookie"];
    parts.extensions.get::<UserId>().is_some()
        || names.iter().any(|name| parts.headers.contains_key(*name))
}

/// Regression: what the handler made for the writer was stored for all.
#[tokio::test]
async fn a_refetch_for_everybody_carries_nobodys_credentials() {
    let public = route(Through::Refetch);
    let standard = Route::new("/rows/{id}").key("row:{id}");
    for route in [public, standard] {
        let app = App::new(route, |parts, response| {
            if parts.method == Method::GET && has_credentials(parts) {
                *response.body_mut() = Full::from("for alice");
                let public = HeaderValue::from_static("public, max-age=60");
                response.headers_mut().insert("cache-control", public);
            }
        });
        app.get().await;
        let written = app.send(put_with_credentials()).await;
        assert_eq!(app.gets(), 2);
        let seen = app.get().await;
        assert!(seen.cache.is_hit(), "{:?}", seen.cache);
        assert_eq!(seen.body, written.body);
    }
}

#[tokio::test]
async fn a_refetch_that_is_refused_without_credentials_only_invalidates() {
    let app = App::new(route(Through::Refetch), |parts, response| {
        if parts.method == Method::GET && !has_credentials(parts) {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
    });
    let get_with_credentials = || {
        let mut request = put_with_credentials();
        *request.method_mut() = Method::GET;
        request.headers_mut().remove("if-match");
        *request.body_mut() = Full::default();
        request
    };
    assert!(app.send(get_with_credentials()).await.cache.is_stored());
    app.send(put_with_credentials()).await;
    assert_eq!(app.gets(), 2);
    let seen = app.send(get_with_credentials()).await;
    assert!(seen.cache.is_stored(), "{:?}", seen.cache);
    assert_eq!(seen.body, "{\"row\":2}");
}

/// The application finds the user in an extension that only it can remove.
#[tokio::test]
async fn no_refetch_is_sent_with_a_user_whom_only_the_application_can_remove() {
    #[derive(Clone)]
    struct Claims;
    let app = App::new(route(Through::Refetch), |_, _| {});
    app.keep.identify(|parts| {
        let _claims = parts.extensions.get::<Claims>()?;
        Some(UserId::new("alice"))
    });
    app.get().await;
    let mut write = request(Method::PUT);
    write.extensions_mut().insert(Claims);
    app.send(write).await;
    assert_eq!(app.gets(), 1);
    assert!(!app.get().await.cache.is_hit());
}

#[tokio::test]
async fn other_methods_and_failures_only_invalidate() {
    let app = App::new(route(Through::Refetch), |parts, response| {
        match parts.method {
            Method::PUT => *response.status_mut() = StatusCode::CONFLICT,
            Method::PATCH => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
            _ => {}
        }
    });
    app.get().await;
    app.put().await;
    assert!(app.get().await.cache.is_hit());
    for method in [Method::PATCH, Method::POST, Method::DELETE] {
        let gets = app.gets();
        app.send(request(method.clone())).await;
        assert_eq!(app.gets(), gets, "{method}");
        assert!(!app.get().await.cache.is_hit(), "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_succeeds_even_if_the_refetch_fails() {
    for outcome in ["hang", "panic", "error"] {
        let gets = AtomicUsize::new(0);
        let app = App::new(
            route(Through::Refetch),
            move |parts, response| match outcome {
                _ if parts.method != Method::GET => {}
                _ if gets.fetch_add(1, Ordering::SeqCst) == 0 => {}
                "hang" => drop(
                    response
                        .headers_mut()
                        .insert("hang", "1".parse().expect("a value")),
                ),
                "panic" => panic!("on purpose"),
                _ => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
            },
        );
        app.get().await;
        let begun = tokio::time::Instant::now();
        let written = app.put().await;
        assert_eq!(app.gets(), 2, "{outcome}");
        assert_eq!(
            (written.status, written.body.as_str()),
            (StatusCode::OK, "{\"row\":2}")
        );
        assert!(begun.elapsed() <= Duration::from_secs(5), "{outcome}");
        let seen = app
            .keep
            .get::<serde_json::Value>(&tower_keep::Key::new("row").id(1))
            .await;
        assert_eq!(seen.expect("readable"), None, "{outcome}");
    }
}

#[tokio::test]
async fn a_write_response_that_cannot_answer_a_get_only_invalidates() {
    let set = |response: &mut FullResponse, name: &'static str, value: &'static str| {
        response
            .headers_mut()
            .insert(name, value.parse().expect("a value"));
    };
    for what in [
        "status", "vary", "no-store", "cookie", "lie", "length", "tag", "too long",
    ] {
        let route = match what {
            "too long" => route(Through::Answer).max_body(4),
            _ => route(Through::Answer),
        };
        let app = App::new(route, move |parts, response| match what {
            _ if parts.method == Method::GET => {}
            "status" => *response.status_mut() = StatusCode::CREATED,
            "vary" => set(response, "vary", "accept"),
            "no-store" => set(response, "cache-control", "no-store"),
            "cookie" => set(response, "set-cookie", "a=b"),
            "lie" => *response.body_mut() = Full::from("no JSON"),
            "length" => set(response, "content-length", "1000"),
            "tag" => set(response, "cache-tag", "a"),
            _ => {}
        });
        app.get().await;
        let fills = app.keep.fills();
        app.put().await;
        assert_eq!(app.keep.fills(), fills, "{what}");
        let seen = app.get().await;
        assert!(!seen.cache.is_hit(), "{what}");
        assert_eq!(seen.body, "{\"row\":2}");
    }
}

#[tokio::test]
async fn only_the_writing_users_own_entry_is_replaced() {
    for through in [Through::Refetch, Through::Answer] {
        let app = App::new(route(through).scope(Scope::User), |_, _| {});
        let as_user = |method, user: &str| {
            let mut request = request(method);
            request.extensions_mut().insert(UserId::new(user));
            request
        };
        app.send(as_user(Method::GET, "one")).await;
        app.send(as_user(Method::GET, "other")).await;
        app.send(as_user(Method::PUT, "one")).await;
        assert!(
            app.send(as_user(Method::GET, "one")).await.cache.is_hit(),
            "{through:?}"
        );
        assert!(
            !app.send(as_user(Method::GET, "other")).await.cache.is_hit(),
            "{through:?}"
        );
    }
}
