//! `CacheLayer` behind real servers.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{Layer, ServiceExt};
use tower_keep::{CacheLayer, Table, message::RequestBody};

use crate::common::{
    keeps::{engagements, new_keep},
    origin::{Origin, body_channel, cached, full, ok},
};

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// A hyper server that runs until the guard is dropped.
async fn serve(origin: &Origin) -> (SocketAddr, JoinSet<()>) {
    let service = cached(&new_keep(engagements()), origin)
        .map_request(|request: Request<Incoming>| request.map(RequestBody::new));
    let service = TowerToHyperService::new(service);
    let (listener, address) = listener().await;
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            connections.spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, server)
}

fn json() -> Origin {
    Origin::from_fn(|_, call| async move {
        let mut body = full(format!("{{\"call\":{call}}}"));
        if call > 1 {
            let (feed, fed) = body_channel();
            tokio::spawn(async move {
                feed.data("one ").await;
                tokio::task::yield_now().await;
                feed.data("two").await;
            });
            body = fed;
        }
        Ok(ok(body, &[("content-type", "application/json")]))
    })
}

/// Sends one request on a new connection and returns the reply as text.
async fn raw(address: SocketAddr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("a reply");
    reply
}

fn count(reply: &str, field: &str) -> usize {
    let head = reply
        .split("\r\n\r\n")
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    head.lines().filter(|line| line.starts_with(field)).count()
}

#[tokio::test]
async fn a_hit_has_the_same_framing_as_the_first_response() {
    let (address, _server) = serve(&json()).await;
    for expected in ["stored", "; hit", "; hit"] {
        let reply = raw(address, "GET", "/engagements/1").await;
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert!(reply.contains(expected), "{reply}");
        assert!(reply.ends_with("\r\n\r\n{\"call\":1}"), "{reply}");
        assert_eq!(
            (count(&reply, "content-length: 10"), count(&reply, "date:")),
            (1, 1),
            "{reply}"
        );
        assert_eq!(count(&reply, "transfer-encoding"), 0, "{reply}");
    }
    let head = raw(address, "HEAD", "/engagements/1").await;
    assert!(
        head.contains("; hit") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    assert_eq!(
        (count(&head, "content-length: 10"), count(&head, "date:")),
        (1, 1),
        "{head}"
    );
}

#[tokio::test]
async fn a_stream_is_chunked_at_first_and_has_a_length_when_stored() {
    let origin = json();
    let (address, _server) = serve(&origin).await;
    raw(address, "GET", "/engagements/other").await;
    let first = raw(address, "GET", "/engagements/1").await;
    assert_eq!(count(&first, "transfer-encoding: chunked"), 1, "{first}");
    assert!(
        first.contains("one ") && first.ends_with("0\r\n\r\n"),
        "{first}"
    );
    let hit = raw(address, "GET", "/engagements/1").await;
    assert_eq!(
        (
            count(&hit, "content-length: 7"),
            count(&hit, "transfer-encoding")
        ),
        (1, 0),
        "{hit}"
    );
    assert!(hit.ends_with("\r\n\r\none two"), "{hit}");
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn http_2_clients_get_the_same_framing() {
    let origin = json();
    let (address, _server) = serve(&origin).await;
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    for _ in 0..2 {
        let uri = format!("http://{address}/engagements/1")
            .parse()
            .expect("a URI");
        let response = client.get(uri).await.expect("a response");
        assert_eq!(response.version(), http::Version::HTTP_2);
        assert_eq!(response.headers()["content-length"], "10");
        assert!(response.headers().contains_key("date"));
        let body = response.into_body().collect().await.expect("a body");
        assert_eq!(body.to_bytes(), "{\"call\":1}");
    }
    let head = Request::head(format!("http://{address}/engagements/1"));
    let head = client
        .request(head.body(Empty::new()).expect("a request"))
        .await
        .expect("a response");
    assert_eq!(head.headers()["content-length"], "10");
    assert!(
        head.into_body()
            .collect()
            .await
            .expect("no body")
            .to_bytes()
            .is_empty()
    );
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_handler_of_hypers_wrapped_body_gets_its_content() {
    let service = CacheLayer::new(&new_keep(engagements())).layer(tower::service_fn(
        async |request: Request<RequestBody<Incoming>>| {
            let length = request
                .into_body()
                .collect()
                .await
                .expect("a body")
                .to_bytes()
                .len();
            Ok::<_, Infallible>(Response::new(Full::from(format!("{length} bytes"))))
        },
    ));
    let service = service.map_request(|request: Request<Incoming>| request.map(RequestBody::new));
    let service = TowerToHyperService::new(service);
    let (listener, address) = listener().await;
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder
                .serve_connection(TokioIo::new(stream), service.clone())
                .await;
        }
    });
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let put = Request::put(format!("http://{address}/engagements/1")).body(Full::from("12345"));
    let response = client
        .request(put.expect("a request"))
        .await
        .expect("a response");
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    assert_eq!(body, "5 bytes");
}

#[tokio::test]
async fn grpc_passes_with_its_trailers() {
    let (reporter, health) = tonic_health::server::health_reporter();
    let status = tonic_health::ServingStatus::Serving;
    reporter.set_service_status("openforge", status).await;
    let (listener, address) = listener().await;
    let mut server = JoinSet::new();
    server.spawn(async move {
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tonic::transport::Server::builder()
            .layer(CacheLayer::new(&new_keep(Table::new())))
            .add_service(health)
            .serve_with_incoming(incoming)
            .await
            .expect("it serves");
    });
    let endpoint = tonic::transport::Endpoint::new(format!("http://{address}"));
    let channel = endpoint.expect("a URI").connect().await.expect("connected");
    let mut client = HealthClient::new(channel);
    let check = |service: &str| HealthCheckRequest {
        service: service.into(),
    };
    for _ in 0..2 {
        let response = client
            .check(check("openforge"))
            .await
            .expect("its trailers say 0");
        assert_eq!(response.into_inner().status, status as i32);
    }
    let error = client
        .check(check("nothing"))
        .await
        .expect_err("its trailers say 5");
    assert_eq!(error.code(), tonic::Code::NotFound);
    // A stream: its first message arrives before it ends.
    let mut watch = client
        .watch(check("openforge"))
        .await
        .expect("a stream")
        .into_inner();
    let first = watch.message().await.expect("no error").expect("a message");
    assert_eq!(first.status, status as i32);
}
