//! In plain hyper, whose body cannot be made from bytes: one `map_request` wraps it for all layers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tower::{ServiceBuilder, service_fn};
use tower_http::trace::TraceLayer;
use tower_keep::{CacheLayer, InvalidateLayer, RateLimitLayer, message::RequestBody};

use super::table;
use crate::common::keeps::new_keep;

/// The response to a GET has the number of the call; other methods return their content.
async fn handle(
    request: Request<RequestBody<Incoming>>,
    calls: Arc<AtomicUsize>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    if request.method() == "GET" {
        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
        return Ok(Response::new(Full::from(format!("call {call}"))));
    }
    let content = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Full::from(content)))
}

#[tokio::test]
async fn all_layers_take_one_wrapped_body() {
    let keep = new_keep(table());
    let calls = Arc::new(AtomicUsize::new(0));
    let service = ServiceBuilder::new()
        .map_request(|request: Request<Incoming>| request.map(RequestBody::new))
        .layer(RateLimitLayer::new(&keep))
        .layer(TraceLayer::new_for_http())
        .layer(InvalidateLayer::new(&keep))
        .layer(CacheLayer::new(&keep))
        .service(service_fn(move |request| {
            handle(request, Arc::clone(&calls))
        }));
    let (client, server) = tokio::io::duplex(1 << 16);
    let server = tokio::spawn(async move {
        let service = TowerToHyperService::new(service);
        auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(server), service)
            .await
            .expect("no failure");
    });
    let client = http1::handshake(TokioIo::new(client)).await;
    let (mut client, connection) = client.expect("connected");
    let connection = tokio::spawn(connection);
    let mut send = async |method: &str, content: &'static str| {
        let request = Request::builder()
            .method(method)
            .uri("/engagements/7")
            .header("host", "a")
            .body(Full::<Bytes>::from(content));
        let response = client.send_request(request.expect("a request")).await;
        let (head, body) = response.expect("a response").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        (head, String::from_utf8(body.to_vec()).expect("text"))
    };
    assert_eq!(send("GET", "").await.1, "call 1");
    let (head, body) = send("GET", "").await;
    let status = head.headers["cache-status"].to_str().expect("text");
    assert!(status.contains("; hit"), "{status}");
    assert_eq!(body, "call 1");
    assert_eq!(send("PUT", "the content").await.1, "the content");
    assert_eq!(send("GET", "").await.1, "call 2");
    drop(client);
    connection.await.expect("no panic").expect("no failure");
    server.await.expect("no panic");
}
