//! Stores for tests of what happens, not of how soon: with the table's 50 ms a busy machine would
//! answer without Redis.

use std::time::Duration;

use tower_keep::RedisStore;

/// Waits for Redis as long as a busy machine may need.
pub(crate) async fn patient_store(url: impl Into<String>) -> RedisStore {
    let store = RedisStore::builder(url).deadline(Duration::from_secs(5));
    store.connect().await.expect("a store")
}
