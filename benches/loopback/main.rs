//! A hit over loopback HTTP/1.1: CPU time of the server's thread for each request, beside the bare
//! handler's, in hyper and in axum.
//!
//! Prints one line for each case, the median of interleaved rounds. To compare two builds, run
//! both alternately.

use std::{
    convert::Infallible,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use axum::Router;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rustix::time::{ClockId, clock_gettime};
use tokio::{net::TcpListener, runtime::Builder};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{CacheLayer, Keep, Route, Scope, Table, message::RequestBody, table::hours};

const KEYS: usize = 1000;
const ROUND: usize = 4000;
const ROUNDS: usize = 15;

fn main() {
    let cases = [
        ("hyper, bare handler", hyper_bare as fn() -> Server),
        ("hyper, local hit", hyper_hit),
        ("axum, bare handler", axum_bare),
        ("axum, local hit", axum_hit),
    ];
    let mut servers: Vec<_> = cases
        .map(|(name, start)| (name, start(), Vec::new()))
        .into();
    for (_, server, _) in &mut servers {
        server.round(); // warms the cache, and the code
        server.round();
    }
    for _ in 0..ROUNDS {
        for (_, server, costs) in &mut servers {
            costs.push(server.round());
        }
    }
    for (name, _, costs) in &mut servers {
        costs.sort_by(f64::total_cmp);
        println!(
            "{name:<24} {:>8.0} ns of CPU a request",
            costs[costs.len() / 2]
        );
    }
}

/// A server on a thread of its own, and a connection to it.
struct Server {
    connection: TcpStream,
    ask: mpsc::Sender<mpsc::Sender<f64>>,
}

impl Server {
    fn start<F>(serve: impl FnOnce(TcpListener) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let (bound, address) = mpsc::channel::<SocketAddr>();
        let (ask, asked) = mpsc::channel::<mpsc::Sender<f64>>();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                bound
                    .send(listener.local_addr().expect("bound"))
                    .expect("a listener");
                tokio::task::LocalSet::new()
                    .run_until(async move {
                        tokio::task::spawn_local(serve(listener));
                        // Answers with the CPU time of this thread whenever the client asks.
                        loop {
                            while let Ok(reply) = asked.try_recv() {
                                let now = clock_gettime(ClockId::ThreadCPUTime);
                                let nanos = now.tv_sec as f64 * 1e9 + now.tv_nsec as f64;
                                let _ = reply.send(nanos);
                            }
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    })
                    .await;
            });
        });
        let address = address.recv().expect("an address");
        let connection = TcpStream::connect(address).expect("a connection");
        connection.set_nodelay(true).expect("an option");
        Self { connection, ask }
    }

    fn cpu(&self) -> f64 {
        let (reply, time) = mpsc::channel();
        self.ask.send(reply).expect("the server");
        time.recv().expect("a time")
    }

    /// Nanoseconds of CPU that the server takes for each request.
    fn round(&mut self) -> f64 {
        let before = self.cpu();
        // A few requests at a time, as a busy connection has them.
        for batch in 0..ROUND / 8 {
            let mut requests = String::new();
            for at in 0..8 {
                let key = (batch * 8 + at) * 7919 % KEYS;
                requests += &format!(
                    "GET /engagements/{key} HTTP/1.1\r\nhost: api.example.com\r\nuser-agent: bench\r\naccept: */*\r\n\r\n"
                );
            }
            self.connection
                .write_all(requests.as_bytes())
                .expect("sent");
            self.read_answers(8);
        }
        (self.cpu() - before) / ROUND as f64
    }

    fn read_answers(&mut self, count: usize) {
        let mut read = Vec::with_capacity(16 * 1024);
        let mut chunk = [0; 16 * 1024];
        let (mut seen, mut at) = (0, 0);
        while seen < count {
            while let Some(end) = find(&read[at..], b"\r\n\r\n") {
                let next = at + end + 4 + BODY;
                if read.len() < next {
                    break;
                }
                at = next;
                seen += 1;
            }
            if seen < count {
                let n = self.connection.read(&mut chunk).expect("a response");
                assert!(n > 0, "the server closed the connection");
                read.extend_from_slice(&chunk[..n]);
            }
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

const BODY: usize = 1024;

fn prepared_response<B: From<Bytes>>() -> Response<B> {
    static CONTENT: [u8; BODY] = [b'x'; BODY];
    let mut response = Response::new(B::from(Bytes::from_static(&CONTENT)));
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "max-age=3600"),
        ("etag", "\"550e8400\""),
        ("last-modified", "Tue, 01 Dec 2026 10:00:00 GMT"),
        ("x-request-id", "0123456789abcdef"),
        ("x-content-type-options", "nosniff"),
        ("content-language", "en"),
        ("content-length", "1024"),
    ] {
        response.headers_mut().append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

fn keep() -> Keep {
    let route = Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public);
    Keep::new(Table::new().ttl("engagement", hours(1)).route(route)).expect("a valid table")
}

async fn serve_hyper<S, B>(listener: TcpListener, service: S)
where
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + 'static,
    S::Future: 'static,
    B: http_body::Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(service.clone());
        tokio::task::spawn_local(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .pipeline_flush(true)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn hyper_bare() -> Server {
    Server::start(|listener| {
        let handler = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(prepared_response::<Full<Bytes>>())
        });
        serve_hyper(listener, handler)
    })
}

fn hyper_hit() -> Server {
    Server::start(|listener| {
        let handler = service_fn(|_: Request<RequestBody<Incoming>>| async {
            Ok::<_, Infallible>(prepared_response::<Full<Bytes>>())
        });
        let service = CacheLayer::new(&keep()).layer(handler);
        serve_hyper(
            listener,
            service.map_request(|request: Request<Incoming>| request.map(RequestBody::new)),
        )
    })
}

fn router() -> Router {
    Router::new().route(
        "/engagements/{id}",
        axum::routing::get(async || prepared_response::<axum::body::Body>()),
    )
}

async fn serve_axum(listener: TcpListener, app: Router) {
    let service = app.map_request(|request: Request<Incoming>| request.map(axum::body::Body::new));
    serve_hyper(listener, service).await;
}

fn axum_bare() -> Server {
    Server::start(|listener| serve_axum(listener, router()))
}

fn axum_hit() -> Server {
    Server::start(|listener| serve_axum(listener, router().layer(CacheLayer::new(&keep()))))
}
