//! The Open Forge API over SQLite, on plain hyper.
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

  --listen ADDR     where to listen [default: 127.0.0.1:3000]; port 0 takes a free one
  --database FILE   a SQLite file, made if it is missing; several processes may share it [default: a new temporary one]
  --table FILE      another table than the built-in one, which is examples/openforge/keep.toml
  --redis URL       share stored responses and limits with other processes, such as redis://127.0.0.1/
  --help            this text

Users are known by the header x-user-id: run it only behind a gateway that sets it.
GET /debug/queries tells how many statements the database has run for requests;
POST /debug/versions/ENTITY gives the keys of an entity a new version.
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
