//! Pushes that wait until Redis has synced or replicated them.
//!
//! `WAIT` and `WAITAOF` concern the writes of their connection and block it, so these pushes have
//! connections of their own, each used by one at a time.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use redis::Cmd;
use tokio::{sync::Semaphore, time::timeout};

use super::{partition::Partition, reply::Reply};
use crate::{
    error::{Error, Kind, ignore_poison},
    store::{
        contracts::queue::Pushed,
        redis::{
            client::{DedicatedConnection, RedisClient},
            command::Command,
            script::ScriptCall,
        },
    },
    write_queue::Durability,
};

#[derive(Debug)]
pub(super) struct DurablePushes {
    client: RedisClient,
    permits: Semaphore,
    /// By partition.
    idle: Mutex<HashMap<u8, Vec<DedicatedConnection>>>,
}

impl DurablePushes {
    pub(super) fn new(client: RedisClient) -> Self {
        Self {
            client,
            permits: Semaphore::new(MAX_CONNECTIONS),
            idle: Mutex::default(),
        }
    }

    /// # Errors
    ///
    /// If the write may have been accepted, but its durability is not confirmed; or as every command.
    pub(super) async fn push(
        &self,
        of: &Partition,
        call: &ScriptCall,
        durability: Durability,
    ) -> Result<Pushed, Error> {
        let pushing = async {
            let _permit = self.permits.acquire().await.map_err(|_| unconfirmed())?;
            let (mut connection, pushed) = self.push_over_any(of, call).await?;
            if let Pushed::Accepted(_) | Pushed::Known(..) = pushed {
                // The write is in the queue, whatever the answer: refused, it would be sent as another one.
                confirm(&mut connection, durability)
                    .await
                    .map_err(|error| unconfirmed().with_hidden_cause(error))?;
            }
            let mut idle = ignore_poison(self.idle.lock());
            idle.entry(of.number()).or_default().push(connection);
            Ok(pushed)
        };
        timeout(LONGEST_PUSH, pushing)
            .await
            .unwrap_or_else(|_| Err(unconfirmed()))
    }

    async fn push_over_any(
        &self,
        of: &Partition,
        call: &ScriptCall,
    ) -> Result<(DedicatedConnection, Pushed), Error> {
        if let Some(connection) = self.take_idle(of) {
            let pushed = push_over(connection, call).await;
            if !pushed.as_ref().is_err_and(is_worth_retrying) {
                return pushed;
            }
            // The others may be connected to the same former primary. A push can be repeated.
            self.forget_idle(of);
        }
        self.client.refuse_if_open(of.any())?;
        push_over(self.client.dedicated(of.any()).await?, call).await
    }

    fn take_idle(&self, of: &Partition) -> Option<DedicatedConnection> {
        let mut idle = ignore_poison(self.idle.lock());
        idle.get_mut(&of.number())?.pop()
    }

    fn forget_idle(&self, of: &Partition) {
        ignore_poison(self.idle.lock()).remove(&of.number());
    }
}

async fn push_over(
    mut connection: DedicatedConnection,
    call: &ScriptCall,
) -> Result<(DedicatedConnection, Pushed), Error> {
    let reply = connection.script(Command::Push, call).await?;
    Ok((connection, Reply::new(reply)?.pushed()?))
}

/// Whether another connection may have another result.
fn is_worth_retrying(error: &Error) -> bool {
    error.kind() == Kind::Unavailable || error.kind() == Kind::Refused
}

/// Waits until the earlier writes of this connection are durable.
async fn confirm(
    connection: &mut DedicatedConnection,
    durability: Durability,
) -> Result<(), Error> {
    let mut wait = Cmd::new();
    let confirmed = match durability {
        Durability::Memory => return Ok(()),
        Durability::Fsync => {
            wait.arg("WAITAOF").arg(1).arg(0).arg(WAIT_MILLIS);
            let (local, _): (u64, u64) = connection.query(Command::Push, &wait).await?;
            local >= 1
        }
        Durability::Replicas(count) => {
            wait.arg("WAIT").arg(count).arg(WAIT_MILLIS);
            let replicas: u64 = connection.query(Command::Push, &wait).await?;
            replicas >= u64::from(count)
        }
    };
    confirmed.then_some(()).ok_or_else(unconfirmed)
}

fn unconfirmed() -> Error {
    Error::unavailable(
        "the write may have been accepted, but redis did not confirm in time that it is as durable as \
         the table's `durable` demands",
    )
}

/// How many pushes of a process wait at the same time.
const MAX_CONNECTIONS: usize = 64;

/// An append-only file is synced once a second.
const WAIT_MILLIS: u64 = 3000;

/// How long a push may take, with the time to wait for a connection.
const LONGEST_PUSH: Duration = Duration::from_secs(5);
