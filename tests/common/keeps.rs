//! Keeps and the tables that many tests share.

use tower_keep::{Keep, Route, Scope, Table, table::mins};

/// A keep of this process alone.
pub(crate) fn new_keep(table: Table) -> Keep {
    Keep::new(table).expect("a valid table")
}

/// A keep over the Redis at `url` that waits up to five seconds for a reply: with the default of
/// 50 ms a busy machine would serve without Redis.
#[cfg(feature = "redis")]
pub(crate) async fn redis_keep(url: impl Into<String>, table: Table) -> Keep {
    let deadline = std::time::Duration::from_secs(5);
    let store = tower_keep::RedisStore::builder(url).deadline(deadline);
    let store = store.connect().await.expect("a store");
    Keep::with_store(table, store).await.expect("a keep")
}

/// One public route, `/engagements/{id}`, whose responses are fresh for exactly 30 minutes.
pub(crate) fn engagements() -> Table {
    engagements_with(|route| route)
}

/// [`engagements`] with a changed route.
pub(crate) fn engagements_with(change: impl FnOnce(Route) -> Route) -> Table {
    let route = Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public);
    Table::new()
        .jitter(0.0)
        .ttl("engagement", mins(30))
        .route(change(route))
}
