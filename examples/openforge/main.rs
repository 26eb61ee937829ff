//! The Open Forge API over SQLite, on a plain hyper server with all layers.
//!
//! ```sh
//! cargo run --example openforge
//! curl -i localhost:3000/engagements/550e8400-e29b-41d4-a716-446655440000
//! curl -i -X PUT -d '{"name": "Supply chain, second phase"}' localhost:3000/engagements/550e8400-e29b-41d4-a716-446655440000
//! curl -i -H 'x-user-id: user-123' localhost:3000/users/user-123/preferences
//! curl -i localhost:3000/dashboards/org-456/stats
//! curl -i -H 'content-type: application/json' -d '{"id": "activity-3", "kind": "search", "message": "read 12 documents"}' localhost:3000/agents/agent-001/activity
//! curl localhost:3000/agents/agent-001/activity
//! curl localhost:3000/debug/queries
//! ```

mod activity;
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

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use tower::{ServiceBuilder, service_fn};
use tower_keep::{
    CacheLayer, InvalidateLayer, RateLimitLayer, WriteBehindLayer, WriteBehindWorker,
    message::RequestBody,
};

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
  --worker          only apply accepted writes, without listening; needs --redis and --database
  --help            print this text

The header x-user-id names the user: run this only behind a gateway that sets it.
GET /debug/queries returns the number of statements the database has run for requests.
POST /agents/ID/activity is accepted at once (202) and applied by a worker, in this process or one with --worker.
POST /debug/versions/ENTITY makes everything stored for an entity unreachable.
";

fn main() -> ExitCode {
    common::run(HELP, openforge)
}

async fn openforge(mut flags: Flags) -> Result<(), Failure> {
    let address = flags.listen()?;
    let file = flags.optional::<PathBuf>("--database")?;
    let only_worker = flags.has("--worker");
    let keep = flags.keep(include_str!("keep.toml").parse()?)?;
    flags.finish()?;
    let keep = keep.open().await?;

    let temporary = tempfile::tempdir()?;
    let database =
        Database::open(&file.unwrap_or_else(|| temporary.path().join("openforge.sqlite")))?;
    let api = Api::new(database, keep.clone());

    // Applies accepted writes: no limits and no layers that accept, but the same handlers.
    let stop = common::stop()?;
    let worker = WriteBehindWorker::new(&keep, {
        let api = api.clone();
        service_fn(move |request: Request<Full<Bytes>>| {
            let answer = api.clone().answer(request);
            async { Ok::<_, Infallible>(answer.await) }
        })
    });
    let worker = tokio::spawn(worker.request_body::<Full<Bytes>>().run(stop));
    if only_worker {
        println!("applying writes");
        let _ = worker.await;
        common::flush(&keep).await;
        return Ok(());
    }

    let api = service_fn(move |request| {
        let answer = api.clone().answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    // Outermost first.
    let app = ServiceBuilder::new()
        .map_request(|request: Request<Incoming>| request.map(RequestBody::new))
        .layer(RateLimitLayer::new(&keep))
        .layer(WriteBehindLayer::new(&keep).validate(activity::validate))
        .layer(InvalidateLayer::new(&keep))
        .layer(CacheLayer::new(&keep))
        .service(api);

    server::serve(address, |stream| (stream, app.clone())).await?;
    let _ = worker.await;
    common::flush(&keep).await;
    Ok(())
}
