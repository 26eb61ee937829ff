//! Notes in memory behind axum: the shortest honest server.
//!
//! ```sh
//! cargo run --example axum
//! curl -i localhost:3000/api/notes/1
//! curl -i -X PUT -d 'remember the milk' localhost:3000/api/notes/1
//! ```

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
    CacheLayer, Table,
    table::{Route, Scope, mins},
};

use common::{Failure, Flags};

const HELP: &str = "\
axum: notes in memory behind axum

Usage: cargo run --example axum -- [FLAGS]

  --listen ADDR   where to listen [default: 127.0.0.1:3000]; port 0 takes a free one
  --table FILE    another table than the built-in one
  --help          this text
";

/// Texts by number. Empty ones are not there.
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
        .layer(CacheLayer::new(&keep))
        .with_state(Notes::new(Mutex::new(HashMap::from([(
            1,
            String::from("buy bread"),
        )]))));

    let listener = TcpListener::bind(address).await?;
    let stop = common::stop()?;
    common::announce(listener.local_addr()?)?;
    axum::serve(
        listener,
        app.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(stop)
    .await?;
    Ok(())
}

/// A note is fresh for half an hour, whoever asks.
fn table() -> Table {
    Table::new().ttl("note", mins(30)).route(
        Route::new("/api/notes/{id}")
            .key("note:{id}")
            .scope(Scope::Public),
    )
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
