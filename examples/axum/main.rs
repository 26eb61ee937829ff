//! A minimal axum server with all layers: notes kept in memory.
//!
//! ```sh
//! cargo run --example axum
//! curl -i -X PUT -d 'remember the milk' localhost:3000/api/notes/1
//! curl -i localhost:3000/api/notes/1
//! ```

#[path = "../common/mod.rs"]
mod common;

use std::{
    collections::HashMap,
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use tokio::net::TcpListener;
use tower_keep::{
    CacheLayer, InvalidateLayer, RateLimitLayer, Table,
    table::{By, Limit, Route, Scope, mins},
};

use common::{Failure, Flags};

const HELP: &str = "\
axum: a minimal axum server with all layers, for notes kept in memory

Usage: cargo run --example axum -- [FLAGS]

  --listen ADDR   address to listen on [default: 127.0.0.1:3000]; port 0 picks a free port
  --table FILE    use this table instead of the built-in one
  --redis URL     share stored responses and limits with other processes, e.g. redis://127.0.0.1/
  --help          print this text
";

/// Note texts by id.
type Notes = Arc<Mutex<HashMap<u32, String>>>;

fn main() -> ExitCode {
    common::run(HELP, serve)
}

async fn serve(mut flags: Flags) -> Result<(), Failure> {
    let address = flags.listen()?;
    let keep = flags.keep(table())?;
    flags.finish()?;
    let keep = keep.open().await?;

    let notes = Router::new().route("/notes/{id}", get(read).put(write));
    let app = Router::new()
        .nest("/api", notes)
        .layer((
            RateLimitLayer::new(&keep),
            InvalidateLayer::new(&keep),
            CacheLayer::new(&keep),
        ))
        .with_state(Notes::default());

    let listener = TcpListener::bind(address).await?;
    let stop = common::stop()?;
    common::announce(listener.local_addr()?)?;
    // Limits by address need the address of each connection.
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(stop.clone());
    common::until_stopped(server.into_future(), stop)
        .await
        .unwrap_or(Ok(()))?;
    common::flush(&keep).await;
    Ok(())
}

/// The server has only local names: with other names, nothing is stored.
/// Notes are the same for every client and fresh for 30 minutes; each address may send 600 requests a minute.
fn table() -> Table {
    let notes = Route::new("/api/notes/{id}")
        .key("note:{id}")
        .scope(Scope::Public);
    let limit = Limit::new("api", 600, mins(1)).by([By::Ip]);
    Table::new()
        .host(["localhost:*", "127.0.0.1:*", "[::1]:*"])
        .ttl("note", mins(30))
        .route(notes)
        .limit(limit)
}

async fn read(State(notes): State<Notes>, Path(id): Path<u32>) -> Result<String, StatusCode> {
    let notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    notes.get(&id).cloned().ok_or(StatusCode::NOT_FOUND)
}

async fn write(State(notes): State<Notes>, Path(id): Path<u32>, text: String) -> String {
    notes
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(id, text.clone());
    text
}
