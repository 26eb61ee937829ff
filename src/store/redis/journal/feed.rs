//! The journal's stream, read over a dedicated connection.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;

use super::reply::{StreamEntry, records};
use crate::{
    error::Error,
    store::{
        contracts::{
            StoreFuture,
            journal::{Feed, Record},
        },
        position::Position,
        redis::{
            client::{DedicatedConnection, RedisClient},
            command::Command,
        },
    },
};

#[derive(Debug)]
pub(super) struct RedisFeed {
    client: RedisClient,
    stream: Arc<[u8]>,
    /// Taken while a command is in flight: after a cancelled read the connection is not used again.
    connection: Option<DedicatedConnection>,
    epoch: u64,
}

impl RedisFeed {
    pub(super) fn new(client: RedisClient, stream: Arc<[u8]>) -> Self {
        Self {
            client,
            stream,
            connection: None,
            epoch: 0,
        }
    }

    /// Reconnects for a new epoch, as the stream may be on another server by then.
    async fn connection(&mut self, epoch: u64) -> Result<DedicatedConnection, Error> {
        let kept = self.connection.take();
        match kept.filter(|_| self.epoch == epoch) {
            Some(connection) => Ok(connection),
            None => {
                self.epoch = epoch;
                self.client.dedicated(&self.stream).await
            }
        }
    }

    async fn read(&mut self, after: Position) -> Result<Vec<Record>, Error> {
        let mut connection = self.connection(after.epoch).await?;
        let mut cmd = redis::cmd("XREAD");
        cmd.arg("COUNT").arg(MAX_RECORDS);
        cmd.arg("BLOCK").arg(BLOCK_MILLIS).arg("STREAMS");
        cmd.arg(&*self.stream).arg(format!("{}-0", after.n));
        let reply = connection.query(Command::Sync, &cmd);
        let reply: Option<Vec<(Bytes, Vec<StreamEntry>)>> =
            timeout(REPLY_TIMEOUT, reply).await.map_err(|_| {
                Error::unavailable("redis did not answer the read of the journal's stream")
            })??;
        self.connection = Some(connection);
        // The reply has one stream, or is nil if there are no records.
        let entries = reply.into_iter().flatten().next();
        entries.map_or(Ok(Vec::new()), |(_, entries)| records(entries))
    }
}

impl Feed for RedisFeed {
    fn next(&mut self, after: Position) -> StoreFuture<'_, Vec<Record>> {
        Box::pin(self.read(after))
    }
}

/// Records per read.
const MAX_RECORDS: usize = 512;

const BLOCK_MILLIS: u64 = 500;

/// The server replies after at most [`BLOCK_MILLIS`]. A connection without a reply after this time is
/// broken.
const REPLY_TIMEOUT: Duration = Duration::from_millis(BLOCK_MILLIS + 1500);
