//! The journal's stream, read on a connection of its own.

use std::{sync::Arc, time::Duration};

use redis::{Cmd, Value};
use tokio::time::timeout;

use super::{Keys, reply};
use crate::{
    error::Error,
    store::{
        contracts::{
            StoreFuture,
            journal::{Feed, Record},
        },
        position::Position,
        redis::{
            connection::{Connections, Dedicated},
            verb::Verb,
        },
    },
};

#[derive(Debug)]
pub(super) struct RedisFeed {
    connections: Connections,
    keys: Arc<Keys>,
    /// Absent while a command is under way: a connection whose reply nobody read is not used again.
    connection: Option<Dedicated>,
    epoch: u64,
}

impl RedisFeed {
    pub(super) fn new(connections: Connections, keys: Arc<Keys>) -> Self {
        Self {
            connections,
            keys,
            connection: None,
            epoch: 0,
        }
    }

    /// In a new epoch the stream may lie on another server, whatever the old connection says.
    async fn connection(&mut self, epoch: u64) -> Result<Dedicated, Error> {
        let kept = self.connection.take();
        match kept.filter(|_| self.epoch == epoch) {
            Some(connection) => Ok(connection),
            None => {
                self.epoch = epoch;
                self.connections.dedicated(&self.keys.feed).await
            }
        }
    }

    async fn read(&mut self, after: Position) -> Result<Vec<Record>, Error> {
        let mut connection = self.connection(after.epoch).await?;
        let mut cmd = Cmd::new();
        cmd.arg("XREAD").arg("COUNT").arg(BATCH);
        cmd.arg("BLOCK").arg(BLOCK_MILLIS).arg("STREAMS");
        cmd.arg(&*self.keys.feed).arg(format!("{}-0", after.n));
        let reply = connection.query(Verb::Sync, &cmd);
        let reply: Value = timeout(PATIENCE, reply)
            .await
            .map_err(|_| Error::unavailable("the journal's feed is silent"))??;
        self.connection = Some(connection);
        match reply {
            Value::Array(streams) => records_of(streams),
            _ => Ok(Vec::new()),
        }
    }
}

impl Feed for RedisFeed {
    fn next(&mut self, after: Position) -> StoreFuture<'_, Vec<Record>> {
        Box::pin(self.read(after))
    }
}

/// One stream was asked for: its name and its entries.
fn records_of(streams: Vec<Value>) -> Result<Vec<Record>, Error> {
    match streams.into_iter().next() {
        Some(Value::Array(mut stream)) => stream.pop().map_or(Ok(Vec::new()), reply::records),
        _ => Ok(Vec::new()),
    }
}

/// Records at a time.
const BATCH: usize = 512;

const BLOCK_MILLIS: u64 = 500;

/// A connection that is silent for longer is broken: the server answers after [`BLOCK_MILLIS`].
const PATIENCE: Duration = Duration::from_millis(BLOCK_MILLIS + 1500);
