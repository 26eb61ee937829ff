//! Write-through in axum, where a layer of a router wraps the handler of each method separately.

use std::{
    convert::Infallible,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::State,
    routing::{MethodFilter, MethodRouter, any, get, on, put},
};
use http::{Method, Request, Response};
use tower::{Layer, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_keep::{
    CacheLayer, InvalidateLayer, Keep, Route, Scope, Table,
    table::{Through, Write},
};

use crate::common::{
    client::{TestResponse, advance, eventually, send},
    keeps::new_keep,
    log::Log,
};

type App = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// A row of a database, and how often its handlers were called.
#[derive(Default)]
struct Row {
    version: AtomicU64,
    gets: AtomicUsize,
    puts: AtomicUsize,
}

impl Row {
    fn calls(&self) -> (usize, usize) {
        let count = |calls: &AtomicUsize| calls.load(Ordering::SeqCst);
        (count(&self.gets), count(&self.puts))
    }

    fn read(&self) -> String {
        self.gets.fetch_add(1, Ordering::SeqCst);
        format!("read {}", self.version.load(Ordering::SeqCst))
    }

    fn write(&self) -> String {
        self.puts.fetch_add(1, Ordering::SeqCst);
        let version = self.version.fetch_add(1, Ordering::SeqCst) + 1;
        format!("written {version}")
    }

    fn respond(&self, method: &Method) -> String {
        match *method {
            Method::GET => self.read(),
            _ => self.write(),
        }
    }
}

fn table() -> Table {
    let route = |path: &str, key: &str| {
        let route = Route::new(path).key(key).scope(Scope::Public);
        route.write(Write::Through).through(Through::Refetch)
    };
    Table::new()
        .route(route("/rows/{id}", "row:{id}"))
        .route(route("/api/rows/{id}", "api:row:{id}"))
        .route(route("/hosts/{id}", "host:{host}:{id}"))
}

type Layers = (InvalidateLayer, CacheLayer);

fn layers(keep: &Keep) -> Layers {
    (InvalidateLayer::new(keep), CacheLayer::new(keep))
}

fn reader(row: &Arc<Row>) -> MethodRouter {
    let row = Arc::clone(row);
    get(move || async move { row.read() })
}

fn writer(row: &Arc<Row>) -> MethodRouter {
    let row = Arc::clone(row);
    put(move || async move { row.write() })
}

fn both(row: &Arc<Row>) -> MethodRouter {
    reader(row).merge(writer(row))
}

fn rows(row: &Arc<Row>) -> Router {
    Router::new().route("/rows/{id}", both(row))
}

fn whole(row: &Arc<Row>) -> impl Fn(Method) -> std::future::Ready<String> + Clone + use<> {
    let row = Arc::clone(row);
    move |method: Method| std::future::ready(row.respond(&method))
}

/// Every way to apply the layers to a router, with the prefix of the row's path.
fn routers(keep: &Keep, row: &Arc<Row>) -> Vec<(&'static str, &'static str, Router)> {
    let layers = || layers(keep);
    let shared = layers();
    let handler = whole(row);
    let inside = layers().layer(tower::service_fn({
        let handler = handler.clone();
        move |request: Request<Body>| {
            let response = handler(request.method().clone());
            async { Ok::<_, Infallible>(Response::new(Body::from(response.await))) }
        }
    }));
    let stated = Router::new().route(
        "/rows/{id}",
        get(async |State(row): State<Arc<Row>>| row.read())
            .put(async |State(row): State<Arc<Row>>| row.write()),
    );
    let read = Router::new().route("/rows/{id}", reader(row));
    let write = Router::new().route("/rows/{id}", writer(row));
    let every_method = MethodFilter::GET.or(MethodFilter::PUT);
    vec![
        ("Router::layer", "", rows(row).layer(layers())),
        ("Router::route_layer", "", rows(row).route_layer(layers())),
        (
            "MethodRouter::layer",
            "",
            Router::new().route("/rows/{id}", both(row).layer(layers())),
        ),
        (
            "MethodRouter::route_layer",
            "",
            Router::new().route("/rows/{id}", both(row).route_layer(layers())),
        ),
        (
            "inside a nested router",
            "/api",
            Router::new().nest("/api", rows(row).layer(layers())),
        ),
        (
            "around a nested router",
            "/api",
            Router::new().nest("/api", rows(row)).layer(layers()),
        ),
        (
            "merged before",
            "",
            read.clone().merge(write.clone()).layer(layers()),
        ),
        (
            "merged after",
            "",
            read.layer(shared.clone()).merge(write.layer(shared)),
        ),
        (
            "with state",
            "",
            stated.layer(layers()).with_state(Arc::clone(row)),
        ),
        (
            "any",
            "",
            Router::new().route("/rows/{id}", any(handler.clone()).layer(layers())),
        ),
        (
            "one handler for two methods",
            "",
            Router::new().route("/rows/{id}", on(every_method, handler).layer(layers())),
        ),
        (
            "route_service",
            "",
            Router::new().route_service("/rows/{id}", inside.clone()),
        ),
        (
            "a whole router as a service",
            "/api",
            Router::new().nest_service("/api", layers().layer(rows(row))),
        ),
    ]
}

/// An application whose layers are made for each request, or once.
fn serve(router: Router, once: bool) -> App {
    let router = if once {
        // As `into_make_service` does.
        router.with_state(())
    } else {
        router
    };
    BoxCloneSyncService::new(router)
}

async fn ask(app: &App, method: &str, path: &str) -> TestResponse {
    ask_host(app, method, path, "example.com").await
}

async fn ask_host(app: &App, method: &str, path: &str, host: &str) -> TestResponse {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("host", host).body(Body::empty());
    send(app, request.expect("a request")).await
}

fn is_hit(response: &TestResponse) -> bool {
    response.cache_status().starts_with("tower-keep; hit")
}

#[tokio::test]
async fn a_write_runs_once_and_its_route_s_get_replaces_the_entry() {
    for once in [false, true] {
        for number in 0.. {
            let (keep, row) = (new_keep(table()), Arc::new(Row::default()));
            let mut routers = routers(&keep, &row);
            if number == routers.len() {
                break;
            }
            let (way, prefix, router) = routers.swap_remove(number);
            let app = serve(router, once);
            let path = format!("{prefix}/rows/1");
            assert_eq!(ask(&app, "GET", &path).await.body, "read 0", "{way}");
            for version in 1..=2 {
                let written = ask(&app, "PUT", &path).await;
                assert_eq!(written.body, format!("written {version}"), "{way}");
                assert_eq!(row.calls(), (version + 1, version), "{way}, {once}");
                let seen = ask(&app, "GET", &path).await;
                assert_eq!(seen.body, format!("read {version}"), "{way}");
                assert!(is_hit(&seen), "{way}, {once}: {}", seen.cache_status());
            }
        }
    }
}

/// Here a write's layer does not know the service that answers GETs.
fn unreachable(keep: &Keep, row: &Arc<Row>) -> Vec<(&'static str, &'static str, App)> {
    let other = Router::new().route("/rows/{id}", writer(row));
    let merged = Router::new()
        .route("/rows/{id}", reader(row))
        .layer(layers(keep))
        .merge(other.layer(layers(keep)));
    let nested = Router::new().nest_service("/api", rows(row).layer(layers(keep)));
    let methods: MethodRouter = both(row).layer(layers(keep));
    vec![
        ("two layers", "", serve(merged, true)),
        ("inside nest_service", "/api", serve(nested, true)),
        (
            "without a router",
            "",
            BoxCloneSyncService::new(methods.with_state(())),
        ),
    ]
}

#[tokio::test]
async fn where_the_get_handler_is_unknown_a_write_only_invalidates() {
    for number in 0..3 {
        let (log, _guard) = Log::start();
        let (keep, row) = (new_keep(table()), Arc::new(Row::default()));
        let (way, prefix, app) = unreachable(&keep, &row).swap_remove(number);
        let path = format!("{prefix}/rows/1");
        ask(&app, "GET", &path).await;
        for version in 1..=2 {
            ask(&app, "PUT", &path).await;
            assert_eq!(row.calls(), (version, version), "{way}");
            let seen = ask(&app, "GET", &path).await;
            assert_eq!(seen.body, format!("read {version}"), "{way}");
            assert!(!is_hit(&seen), "{way}");
            assert!(is_hit(&ask(&app, "GET", &path).await), "{way}");
        }
        let said = "apply one InvalidateLayer to all methods of the route";
        assert_eq!(log.count(said), 1, "{way}");
    }
}

#[tokio::test]
async fn a_write_before_the_first_get_runs_once_and_invalidates() {
    for (number, once) in [(0, false), (0, true), (2, true), (4, true), (11, true)] {
        let (keep, row) = (new_keep(table()), Arc::new(Row::default()));
        let (way, prefix, router) = routers(&keep, &row).swap_remove(number);
        let app = serve(router, once);
        let path = format!("{prefix}/rows/1");
        ask(&app, "PUT", &path).await;
        assert_eq!(row.calls(), (0, 1), "{way}");
        assert_eq!(ask(&app, "GET", &path).await.body, "read 1", "{way}");
    }
}

/// Layers outside a router wrap the handlers of all methods.
#[tokio::test]
async fn layers_around_a_whole_router_send_the_get_through_it() {
    let (keep, row) = (new_keep(table()), Arc::new(Row::default()));
    let service = ServiceBuilder::new()
        .layer(InvalidateLayer::new(&keep))
        .layer(CacheLayer::new(&keep))
        .service(rows(&row).merge(Router::new().route("/other", get(async || "other"))));
    let service =
        ServiceExt::<Request<Body>>::map_response(service, |response| response.map(Body::new));
    let app = BoxCloneSyncService::new(service);
    // A GET of any path shows that the router gets GETs.
    ask(&app, "GET", "/other").await;
    ask(&app, "PUT", "/rows/1").await;
    assert_eq!(row.calls(), (1, 1));
    let seen = ask(&app, "GET", "/rows/1").await;
    assert_eq!(seen.body, "read 1");
    assert!(is_hit(&seen));
}

#[tokio::test]
async fn a_new_table_leaves_the_get_services_known() {
    let (keep, row) = (new_keep(table()), Arc::new(Row::default()));
    let app = serve(rows(&row).layer(layers(&keep)), true);
    ask(&app, "GET", "/rows/1").await;
    let before = Route::new("/a").key("a").scope(Scope::Public);
    let reordered = Table::new().route(before);
    let route = Route::new("/rows/{id}").key("other:{id}");
    let route = route.scope(Scope::Public).write(Write::Through);
    keep.reload(&reordered.route(route)).expect("a valid table");
    ask(&app, "PUT", "/rows/1").await;
    let seen = ask(&app, "GET", "/rows/1").await;
    assert_eq!((seen.body.as_str(), is_hit(&seen)), ("read 1", true));
    assert_eq!(row.calls(), (2, 1));
}

#[tokio::test]
async fn a_dropped_router_is_freed() {
    for once in [false, true] {
        for number in 0.. {
            let (keep, row) = (new_keep(table()), Arc::new(Row::default()));
            let mut routers = routers(&keep, &row);
            if number == routers.len() {
                break;
            }
            let (way, prefix, router) = routers.swap_remove(number);
            drop(routers);
            let alive = Arc::downgrade(&row);
            drop(row);
            let app = serve(router, once);
            let path = format!("{prefix}/rows/1");
            for method in ["GET", "PUT", "GET"] {
                ask(&app, method, &path).await;
            }
            assert!(alive.upgrade().is_some(), "{way}");
            drop(app);
            eventually(way, || Weak::strong_count(&alive) == 0).await;
            drop(keep);
        }
    }
}

/// Copies of one router with other states have the same paths.
#[tokio::test]
async fn a_write_at_one_host_is_not_followed_by_a_get_at_another() {
    let keep = new_keep(table());
    let router = Router::new().route(
        "/hosts/{id}",
        get(async |State(row): State<Arc<Row>>| row.read())
            .put(async |State(row): State<Arc<Row>>| row.write()),
    );
    let router = router.layer(layers(&keep));
    let rows = [Arc::new(Row::default()), Arc::new(Row::default())];
    let apps = [&rows[0], &rows[1]].map(|row| {
        let router = router.clone().with_state(Arc::clone(row));
        serve(router, true)
    });
    for (app, host) in apps.iter().zip(["a.example", "b.example"]) {
        ask_host(app, "GET", "/hosts/1", host).await;
    }
    ask_host(&apps[0], "PUT", "/hosts/1", "a.example").await;
    assert_eq!(rows[1].calls(), (1, 0), "the other host is not asked");
    let seen = ask_host(&apps[0], "GET", "/hosts/1", "a.example").await;
    assert_eq!(seen.body, "read 1");
}

#[tokio::test]
async fn a_router_for_several_hosts_replaces_the_entries_of_each() {
    let (keep, row) = (new_keep(table()), Arc::new(Row::default()));
    let router = Router::new().route("/hosts/{id}", both(&row));
    let app = serve(router.layer(layers(&keep)), true);
    let hosts = ["a.example", "b.example"];
    for method in ["GET", "PUT", "GET", "PUT"] {
        for host in hosts {
            ask_host(&app, method, "/hosts/1", host).await;
        }
    }
    let (gets, puts) = row.calls();
    for host in hosts {
        ask_host(&app, "PUT", "/hosts/1", host).await;
        let seen = ask_host(&app, "GET", "/hosts/1", host).await;
        assert!(is_hit(&seen), "{host}");
    }
    assert_eq!(row.calls(), (gets + 2, puts + 2));
}

/// As a write's GET, a refresh must not go to the handler of another method.
#[tokio::test(start_paused = true)]
async fn a_refresh_for_a_head_request_does_not_call_the_handler_of_head() {
    let keep = new_keep(Table::new());
    let heads = Arc::new(AtomicUsize::new(0));
    let fresh = [("cache-control", "max-age=1, stale-while-revalidate=60")];
    let head = {
        let heads = Arc::clone(&heads);
        move || {
            heads.fetch_add(1, Ordering::SeqCst);
            std::future::ready((fresh, ""))
        }
    };
    let methods = get(move || std::future::ready((fresh, "whole"))).head(head);
    let router = Router::new()
        .route("/a", methods)
        .layer(CacheLayer::new(&keep));
    let app = serve(router, true);
    assert_eq!(ask(&app, "GET", "/a").await.body, "whole");
    advance(5).await;
    assert!(is_hit(&ask(&app, "HEAD", "/a").await));
    crate::common::client::run_other_tasks().await;
    assert_eq!(heads.load(Ordering::SeqCst), 0);
    assert_eq!(ask(&app, "GET", "/a").await.body, "whole");
}
