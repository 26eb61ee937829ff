//! `--table FILE` and `--redis URL`.

use std::path::PathBuf;

use tower_keep::{Keep, Table};

use super::{Failure, Flags, failure::with_causes};

/// The flags of the keep.
#[derive(Debug)]
pub(crate) struct KeepFlags {
    table: Table,
    redis: Option<String>,
}

impl Flags {
    /// Reads `--table FILE`, by default `table`, and `--redis URL`.
    pub(crate) fn keep(&mut self, table: Table) -> Result<KeepFlags, Failure> {
        let table = match self.optional::<PathBuf>("--table")? {
            Some(file) => Table::load(file).map_err(usage)?,
            None => table,
        };
        let redis = self.optional("--redis")?;
        Ok(KeepFlags { table, redis })
    }
}

impl KeepFlags {
    /// Opens the keep: on Redis if there is a URL, otherwise in this process.
    pub(crate) async fn open(self) -> Result<Keep, Failure> {
        match self.redis {
            Some(url) => on_redis(self.table, url).await,
            None => Keep::new(self.table).map_err(usage),
        }
    }
}

async fn on_redis(table: Table, url: String) -> Result<Keep, Failure> {
    let store = tower_keep::RedisStore::connect(url).await.map_err(usage)?;
    Keep::with_store(table, store).await.map_err(usage)
}

fn usage(error: tower_keep::Error) -> Failure {
    Failure::usage(with_causes(&error))
}
