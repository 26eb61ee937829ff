//! A keep on Redis with as many connections as the raw side.

use std::time::Duration;

use tower_keep::{Keep, RedisStore, Table, table::Store};

use super::raw::CONNECTIONS;

/// Opens the keep with a deadline that is long enough for a flood.
pub(crate) async fn keep(url: &str, table: Table) -> Keep {
    let store = RedisStore::builder(url).connections(CONNECTIONS);
    let store = store.connect().await.expect("the server runs");
    let table = table.store(Store::new().deadline(Duration::from_secs(5)));
    Keep::with_store(table, store).await.expect("a valid table")
}
