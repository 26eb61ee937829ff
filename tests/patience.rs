//! Keeps for tests of what happens, not of how soon: with the table's 50 ms a busy machine would
//! answer without Redis.

use std::time::Duration;

use tower_keep::{Keep, RedisStore, Table};

/// Waits for Redis as long as a busy machine may need.
pub(crate) async fn patient_keep(url: impl Into<String>, table: Table) -> Keep {
    let store = RedisStore::builder(url).deadline(Duration::from_secs(5));
    let store = store.connect().await.expect("a store");
    Keep::with_store(table, store).await.expect("a keep")
}
