//! In tonic, with its interceptors between the layers.

use tokio::{net::TcpListener, task::JoinSet};
use tonic::{
    Request, Status,
    service::InterceptorLayer,
    transport::{Endpoint, Server, server::TcpIncoming},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower_http::trace::TraceLayer;
use tower_keep::{CacheLayer, InvalidateLayer, RateLimitLayer};

use super::table;
use crate::common::keeps::new_keep;

fn pass(request: Request<()>) -> Result<Request<()>, Status> {
    Ok(request)
}

#[tokio::test]
async fn a_server_takes_all_layers() {
    let keep = new_keep(table());
    let (reporter, health) = tonic_health::server::health_reporter();
    let serving = tonic_health::ServingStatus::Serving;
    reporter.set_service_status("openforge", serving).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut server = JoinSet::new();
    server.spawn(
        Server::builder()
            .layer(TraceLayer::new_for_grpc())
            .layer(RateLimitLayer::new(&keep))
            .layer(InterceptorLayer::new(pass))
            .layer(InvalidateLayer::new(&keep))
            .layer(CacheLayer::new(&keep))
            .layer(InterceptorLayer::new(pass))
            .add_service(health)
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    let endpoint = Endpoint::try_from(format!("http://{address}")).expect("a URI");
    let mut client = HealthClient::new(endpoint.connect().await.expect("connected"));
    let check = |service: &str| HealthCheckRequest {
        service: service.into(),
    };
    for _ in 0..2 {
        let response = client.check(check("openforge")).await.expect("status 0");
        assert!(response.metadata().contains_key("ratelimit"));
        assert_eq!(response.into_inner().status, serving as i32);
    }
    let error = client.check(check("nothing")).await.expect_err("status 5");
    assert_eq!(error.code(), tonic::Code::NotFound);
}
