//! A minimal tonic server with all layers: the standard health service.
//!
//! ```sh
//! cargo run --example tonic
//! grpcurl -plaintext -d '{"service": "openforge"}' localhost:3000 grpc.health.v1.Health/Check
//! ```

#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;

use tokio::net::TcpListener;
use tonic::transport::{Server, server::TcpIncoming};
use tonic_health::{ServingStatus, server::health_reporter};
use tower_keep::{CacheLayer, InvalidateLayer, RateLimitLayer, Table};

use common::{Failure, Flags};

const HELP: &str = "\
tonic: a minimal tonic server with all layers, for the standard health service

Usage: cargo run --example tonic -- [FLAGS]

  --listen ADDR   address to listen on [default: 127.0.0.1:3000]; port 0 picks a free port
  --table FILE    routes and limits; without a table, calls pass through unchanged
  --redis URL     share stored responses and limits with other processes, e.g. redis://127.0.0.1/
  --help          print this text

It reports the health of the services \"\" and \"openforge\".
";

fn main() -> ExitCode {
    common::run(HELP, serve)
}

async fn serve(mut flags: Flags) -> Result<(), Failure> {
    let address = flags.listen()?;
    let keep = flags.keep(Table::new())?;
    flags.finish()?;
    let keep = keep.open().await?;

    let (reporter, health) = health_reporter();
    reporter
        .set_service_status("openforge", ServingStatus::Serving)
        .await;

    let listener = TcpListener::bind(address).await?;
    let stop = common::stop()?;
    common::announce(listener.local_addr()?)?;
    let server = Server::builder()
        .layer(RateLimitLayer::new(&keep))
        .layer(InvalidateLayer::new(&keep))
        .layer(CacheLayer::new(&keep))
        .add_service(health)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop.clone());
    common::until_stopped(server, stop)
        .await
        .unwrap_or(Ok(()))?;
    common::flush(&keep).await;
    Ok(())
}
