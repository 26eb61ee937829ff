//! The SQLite database, shared by threads and processes. Counts its statements.

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

/// A handle to the database. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Database(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    statements: AtomicU64,
}

impl Database {
    /// Opens the database at `file`, or creates it with its tables and first rows.
    pub(crate) fn open(file: &Path) -> rusqlite::Result<Self> {
        let mut connection = connect(file)?;
        prepare(&mut connection)?;
        Ok(Self(Arc::new(Shared {
            file: file.to_owned(),
            idle: Mutex::new(vec![connection]),
            statements: AtomicU64::new(0),
        })))
    }

    /// The number of statements that this process has run for requests.
    pub(crate) fn statements(&self) -> u64 {
        self.0.statements.load(Ordering::Relaxed)
    }

    /// Runs `work` in a transaction, which is committed if it succeeds. Blocks.
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

/// Statements in a transaction. Rows are JSON: the first column is the text of an object.
#[derive(Debug)]
pub(crate) struct Statements<'a> {
    connection: &'a Connection,
    count: &'a AtomicU64,
}

impl Statements<'_> {
    /// All rows.
    pub(crate) fn all(&self, sql: &str, parameters: impl Params) -> Result<Vec<Value>, Problem> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(parameters, |row| row.get::<_, Value>(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The first row, if any.
    pub(crate) fn one(&self, sql: &str, parameters: impl Params) -> Result<Option<Value>, Problem> {
        Ok(self.all(sql, parameters)?.into_iter().next())
    }

    /// Runs a statement that changes rows, and returns their number.
    pub(crate) fn change(&self, sql: &str, parameters: impl Params) -> Result<usize, Problem> {
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(self.connection.prepare_cached(sql)?.execute(parameters)?)
    }
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    // Write-ahead logging lets readers continue during a write, in this process and in others.
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Creates the tables and first rows, once: if several processes start together, one of them does it.
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
