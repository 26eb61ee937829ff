//! The SQLite database: opened or made, shared by threads and processes, every statement counted.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, Params, TransactionBehavior};
use serde_json::Value;

use crate::{embeddings, problem::Problem};

/// Every clone is the same database.
#[derive(Clone, Debug)]
pub(crate) struct Database(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    statements: AtomicU64,
}

impl Database {
    /// Opens the database at `file`; a new one is given its tables and its first rows.
    pub(crate) fn open(file: &Path) -> rusqlite::Result<Self> {
        let mut connection = connect(file)?;
        prepare(&mut connection)?;
        Ok(Self(Arc::new(Shared {
            file: file.to_owned(),
            idle: Mutex::new(vec![connection]),
            statements: AtomicU64::new(0),
        })))
    }

    /// How many statements this process has run for requests.
    pub(crate) fn statements(&self) -> u64 {
        self.0.statements.load(Ordering::Relaxed)
    }

    /// Runs `work` in one transaction, committed if it succeeds. Blocks.
    pub(crate) fn transaction<T>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Statements<'_>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let idle = self
            .0
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut connection = idle.map_or_else(|| connect(&self.0.file), Ok)?;
        let transaction = connection.transaction_with_behavior(behavior)?;
        let outcome = work(&Statements {
            connection: &transaction,
            count: &self.0.statements,
        });
        match outcome {
            Ok(_) => transaction.commit()?,
            Err(_) => transaction.rollback()?,
        }
        self.0
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        outcome
    }
}

/// Statements within one transaction. Rows are JSON: the first column is the text of an object.
#[derive(Debug)]
pub(crate) struct Statements<'a> {
    connection: &'a Connection,
    count: &'a AtomicU64,
}

impl Statements<'_> {
    /// Every row.
    pub(crate) fn all(&self, sql: &str, parameters: impl Params) -> Result<Vec<Value>, Problem> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(parameters, |row| row.get::<_, Value>(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The first row, if there is one.
    pub(crate) fn one(&self, sql: &str, parameters: impl Params) -> Result<Option<Value>, Problem> {
        Ok(self.all(sql, parameters)?.into_iter().next())
    }

    /// Changes rows; how many.
    pub(crate) fn change(&self, sql: &str, parameters: impl Params) -> Result<usize, Problem> {
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(self.connection.prepare_cached(sql)?.execute(parameters)?)
    }
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    // Write-ahead logging lets readers go on beside a writer, in this process and in others.
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Tables and first rows, once: of several processes that start together one does it.
fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        transaction.execute_batch(include_str!("schema.sql"))?;
        transaction.execute_batch(include_str!("seed.sql"))?;
        for text in embeddings::FIRST {
            embeddings::insert(&transaction, text)?;
        }
        transaction.pragma_update(None, "user_version", 1)?;
    }
    transaction.commit()
}
