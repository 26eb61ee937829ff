//! `RateLimitLayer` behind real servers.

use std::{convert::Infallible, net::SocketAddr};

use axum::{Router, extract::ConnectInfo, routing::get};
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
use tokio::{net::TcpListener, task::JoinSet};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::Layer;
use tower_keep::{
    Keep, Limit, RateLimitLayer, Table,
    table::{By, mins},
};

use crate::common::keeps::new_keep;

fn keep(limit: u64) -> Keep {
    new_keep(Table::new().limit(Limit::new("address", limit, mins(1)).by([By::Ip])))
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

async fn ask(address: SocketAddr, path: &str) -> Response<Bytes> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let uri = format!("http://{address}{path}").parse().expect("a URI");
    let (parts, body) = client.get(uri).await.expect("a response").into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Response::from_parts(parts, body)
}

async fn check_http(address: SocketAddr) {
    for left in ["1", "0"] {
        let response = ask(address, "/things/1").await;
        assert_eq!(response.status(), 200);
        let field = response.headers()["ratelimit"].to_str().expect("ASCII");
        assert!(
            field.starts_with(&format!("\"address\";r={left}")),
            "{field}"
        );
    }
    let refusal = ask(address, "/things/2").await;
    assert_eq!(refusal.status(), 429);
    let after = refusal.headers()["retry-after"].to_str().expect("ASCII");
    assert!((1..=120).contains(&after.parse::<u64>().expect("seconds")));
    let problem: serde_json::Value = serde_json::from_slice(refusal.body()).expect("JSON");
    assert_eq!(problem["status"], 429);
}

#[tokio::test]
async fn axum() {
    let keep = keep(2);
    let handler = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string();
    let app: Router = Router::new()
        .route("/things/{id}", get(handler))
        .layer(RateLimitLayer::new(&keep));
    let (listener, address) = listener().await;
    let mut server = JoinSet::new();
    server.spawn(async move {
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, app).await
    });
    check_http(address).await;
}

#[tokio::test]
async fn axum_routes_share_a_limit_unless_it_is_by_route() {
    // Regression: with a limiter for each route, each route had the whole limit to itself.
    let by_route = Limit::new("route", 2, mins(1)).by([By::Ip, By::Route]);
    let keep = new_keep(Table::new().limit(by_route));
    let nested = Router::new().route("/{id}", get(async || "thing"));
    let app: Router = Router::new()
        .nest("/things", nested)
        .route("/other/{id}", get(async || "other"))
        .layer(RateLimitLayer::new(&keep));
    let (listener, address) = listener().await;
    let mut server = JoinSet::new();
    server.spawn(async move {
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, app).await
    });
    let mut statuses = Vec::new();
    for path in [
        "/things/1",
        "/things/2",
        "/things/3",
        "/other/1",
        "/other/2",
        "/other/3",
    ] {
        statuses.push(ask(address, path).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 200, 200, 429]);
}

#[tokio::test]
async fn hyper() {
    let keep = keep(2);
    let (listener, address) = listener().await;
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let inner = tower::service_fn(async |_: Request<Incoming>| {
                Ok::<_, Infallible>(Response::new(Full::from("thing")))
            });
            let limited = RateLimitLayer::new(&keep).layer(inner);
            let service = tower::util::MapRequest::new(limited, move |mut request: Request<_>| {
                request.extensions_mut().insert(peer);
                request
            });
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let service = TowerToHyperService::new(service);
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    check_http(address).await;
}

#[tokio::test]
async fn tonic() {
    let keep = keep(2);
    let (_reporter, health) = tonic_health::server::health_reporter();
    let (listener, address) = listener().await;
    let mut server = JoinSet::new();
    server.spawn(
        tonic::transport::Server::builder()
            .layer(RateLimitLayer::new(&keep))
            .add_service(health)
            .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener)),
    );
    let endpoint = tonic::transport::Endpoint::try_from(format!("http://{address}"));
    let channel = endpoint.expect("a URI").connect().await.expect("connects");
    let mut client = HealthClient::new(channel);
    let check = || HealthCheckRequest {
        service: String::new(),
    };
    for _ in 0..2 {
        client.check(check()).await.expect("admitted");
    }
    let status = client.check(check()).await.expect_err("refused");
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert_eq!(status.message(), "quota exceeded address");
    let pushback = status
        .metadata()
        .get("grpc-retry-pushback-ms")
        .expect("a pushback");
    assert!(
        pushback
            .to_str()
            .expect("ASCII")
            .parse::<u32>()
            .expect("milliseconds")
            > 0
    );
    // code 8, its message, and a RetryInfo: as google.rpc.Status
    let details = status.details();
    assert_eq!(details[..2], [0x08, 8]);
    let name = b"type.googleapis.com/google.rpc.RetryInfo";
    assert!(details.windows(name.len()).any(|window| window == name));
}
