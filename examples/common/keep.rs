//! `--table FILE` and `--redis URL`: what a keep is made of.

use std::path::PathBuf;

use tower_keep::{Keep, Table};

use super::{Failure, Flags, failure::with_causes};

/// What a keep is made of.
#[derive(Debug)]
pub(crate) struct KeepFlags {
    table: Table,
    redis: Option<String>,
}

impl Flags {
    /// The table of `--table FILE`, or else `table`; and the address of `--redis URL`.
    pub(crate) fn keep(&mut self, table: Table) -> Result<KeepFlags, Failure> {
        let table = match self.optional::<PathBuf>("--table")? {
            Some(file) => Table::load(file).map_err(at_fault)?,
            None => table,
        };
        for warning in table.check() {
            tracing::warn!("the table: {warning}");
        }
        let redis = self.optional("--redis")?;
        Ok(KeepFlags { table, redis })
    }
}

impl KeepFlags {
    /// A keep on Redis, or in this process alone.
    pub(crate) async fn open(self) -> Result<Keep, Failure> {
        match self.redis {
            Some(url) => on_redis(self.table, url).await,
            None => Ok(Keep::new(self.table).expect("a valid table")),
        }
    }
}

#[cfg(feature = "redis")]
async fn on_redis(table: Table, url: String) -> Result<Keep, Failure> {
    let store = tower_keep::RedisStore::connect(url)
        .await
        .map_err(at_fault)?;
    Keep::with_store(table, store).await.map_err(at_fault)
}

#[cfg(not(feature = "redis"))]
async fn on_redis(_: Table, _: String) -> Result<Keep, Failure> {
    Err(Failure::usage(
        "--redis: this build is without the feature `redis`",
    ))
}

fn at_fault(error: tower_keep::Error) -> Failure {
    Failure::usage(with_causes(&error))
}
