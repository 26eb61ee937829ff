use tower_keep::{
    Keep, RedisStore, Table,
    table::{Store, secs},
};

use super::support::raw::CONNECTIONS;

pub(crate) async fn keep(url: &str) -> Keep {
    connected(url, Table::new()).await
}

pub(crate) async fn connected(url: &str, table: Table) -> Keep {
    let store = RedisStore::builder(url).connections(CONNECTIONS);
    let store = store.connect().await.expect("the server runs");
    let table = table.store(Store::new().deadline(secs(5)));
    Keep::with_store(table, store).await.expect("a valid table")
}

/// In microseconds.
pub(crate) fn quantile(nanos: &mut [u64], q: f64) -> f64 {
    nanos.sort_unstable();
    nanos[((nanos.len() - 1) as f64 * q) as usize] as f64 / 1000.0
}
