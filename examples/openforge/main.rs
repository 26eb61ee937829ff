//! The Open Forge API over SQLite, on a plain hyper server with all layers.
//!
//! ```sh
//! cargo run --example openforge
//! curl -i localhost:3000/engagements/550e8400-e29b-41d4-a716-446655440000
//! curl -i -X PUT -d '{"name": "Supply chain, second phase"}' localhost:3000/engagements/550e8400-e29b-41d4-a716-446655440000
//! curl -i -H 'x-user-id: user-123' localhost:3000/users/user-123/preferences
//! curl -i localhost:3000/dashboards/org-456/stats
//! curl localhost:3000/debug/queries
//! ```

mod api;
mod call;
#[path = "../common/mod.rs"]
mod common;
mod dashboards;
mod database;
mod document;
mod embeddings;
mod problem;
mod record;
mod reply;
mod resources;
mod routes;
#[path = "../common/server.rs"]
mod server;
mod users;

use std::{convert::Infallible, path::PathBuf, process::ExitCode};

use http::Request;
use hyper::body::Incoming;
use tower::{ServiceBuilder, service_fn};
use tower_keep::{CacheLayer, InvalidateLayer, RateLimitLayer, message::RequestBody};

use api::Api;
use common::{Failure, Flags};
use database::Database;

const HELP: &str = "\
openforge: the Open Forge API over SQLite

Usage: cargo run --example openforge -- [FLAGS]

  --listen ADDR     address to listen on [default: 127.0.0.1:3000]; port 0 picks a free port
  --database FILE   SQLite file, created if missing; several processes may share it [default: a temporary file]
  --table FILE      use this table instead of the built-in one, examples/openforge/keep.toml
  --redis URL       share stored responses and limits with other processes, e.g. redis://127.0.0.1/
  --help            print this text

The header x-user-id names the user: run this only behind a gateway that sets it.
GET /debug/queries returns the number of statements the database has run for requests.
POST /debug/versions/ENTITY makes everything stored for an entity unreachable.
";

fn main() -> ExitCode {
    common::run(HELP, openforge)
}

async fn openforge(mut flags: Flags) -> Result<(), Failure> {
    let address = flags.listen()?;
    let file = flags.optional::<PathBuf>("--database")?;
    let keep = flags.keep(include_str!("keep.toml").parse()?)?;
    flags.finish()?;
    let keep = keep.open().await?;

    let temporary = tempfile::tempdir()?;
    let database =
        Database::open(&file.unwrap_or_else(|| temporary.path().join("openforge.sqlite")))?;
    let api = Api::new(database, keep.clone());
    let api = service_fn(move |request| {
        let answer = api.clone().answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });

    // Outermost first.
    let app = ServiceBuilder::new()
        .map_request(|request: Request<Incoming>| request.map(RequestBody::new))
        .layer(RateLimitLayer::new(&keep))
        .layer(InvalidateLayer::new(&keep))
        .layer(CacheLayer::new(&keep))
        .service(api);

    server::serve(address, |stream| (stream, app.clone())).await?;
    common::flush(&keep).await;
    Ok(())
}
