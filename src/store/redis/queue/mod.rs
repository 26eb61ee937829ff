//! The write-behind queue on Redis.
//!
//! One partition on a single server, 16 on a Cluster. Each partition is a fixed number of keys and one
//! list for each key that has writes, all with one hash tag (`{behind:0}`), so that each verb is one
//! script in one slot. `common.lua` says what the keys hold.
//!
//! None of these keys has a time to live: a write that has not ended cannot be evicted by a `volatile-*`
//! policy. What has ended is removed by the scripts once its time is over. A Redis that is out of memory
//! accepts no write, and goes on handing out and ending those that it has. Values that another program
//! has put in place of these, or removed, are found by the next script that needs them or by
//! [`due`](Queue::due), and `repair.lua` makes the partition consistent again.

mod check;
mod durable;
mod partition;
mod reply;
mod scripts;
#[cfg(test)]
mod tests;
mod wakes;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::try_join_all;
use redis::Value;

use self::{durable::DurablePushes, partition::Partition, reply::Reply, wakes::RedisWakes};
use super::{
    client::RedisClient,
    command::Command,
    script::{Script, ScriptCall},
    slot::slot_of,
};
use crate::{
    error::{Error, Kind},
    store::{
        contracts::{
            StoreFuture,
            queue::{
                AttemptEnd, AttemptOutcome, Claim, ClaimTerms, ClaimToken, Coalescing, Due,
                FirstWrite, NewWrite, PendingWrites, Pushed, Queue, QueueBounds, Retention,
                StoredStatus, Wakes,
            },
        },
        position::Position,
    },
    write_queue::{Durability, QueueCounts, WriteId},
};

/// The queue of every keep with this namespace on this Redis.
#[derive(Debug)]
pub(crate) struct RedisQueue {
    client: RedisClient,
    partitions: Box<[Partition]>,
    channel: Arc<str>,
    durable: DurablePushes,
}

impl RedisQueue {
    pub(crate) fn new(client: RedisClient, namespace: &str) -> Self {
        let count = if client.is_cluster() {
            CLUSTER_PARTITIONS
        } else {
            1
        };
        Self {
            partitions: (0..count).map(|p| Partition::new(namespace, p)).collect(),
            channel: format!("{namespace}behind:wake").into(),
            durable: DurablePushes::new(client.clone()),
            client,
        }
    }

    /// The partition with this number; an id from elsewhere may name one that does not exist.
    fn partition(&self, number: u8) -> Option<&Partition> {
        self.partitions.get(usize::from(number))
    }

    fn partition_with(&self, key: &str) -> &Partition {
        &self.partitions[usize::from(self.partition_of(key))]
    }

    /// A call of a script that begins with `common.lua`, for one key if it needs its list.
    fn call(&self, script: &'static Script, of: &Partition, key: Option<&str>) -> ScriptCall {
        script
            .call(of.keys(key))
            .arg(self.partitions.len())
            .arg(&*self.channel)
    }

    /// Runs a script. If it finds a value that is none of the queue's, that is removed first.
    async fn run(
        &self,
        command: Command,
        call: ScriptCall,
        of: &Partition,
        key: Option<&str>,
    ) -> Result<Value, Error> {
        let reply = self.client.script(command, &call).await;
        match reply {
            Err(error) if error.kind() == Kind::Corrupt => {
                self.repair(of, key).await?;
                self.client.script(command, &call).await
            }
            reply => reply,
        }
    }

    /// Makes the keys of a partition agree with each other.
    async fn repair(&self, of: &Partition, key: Option<&str>) -> Result<(), Error> {
        let call = self.call(&scripts::REPAIR, of, key);
        let removed: u64 = self.client.script(Command::RepairQueue, &call).await?;
        tracing::warn!(
            partition = of.number(),
            removed,
            "the write-behind queue was changed by another program: repaired"
        );
        Ok(())
    }

    async fn push_once(&self, write: &NewWrite, bounds: &QueueBounds) -> Result<Pushed, Error> {
        let of = self.partition_with(&write.key);
        if write.id.partition() != of.number() {
            let message = "the id of a write must name the partition of its key";
            return Err(Error::config(message));
        }
        let call = self.push_call(write, bounds, of);
        if bounds.durability == Durability::Memory {
            let reply = self.run(Command::Push, call, of, Some(&write.key)).await?;
            return Reply::new(reply)?.pushed();
        }
        let pushed = self.durable.push(of, &call, bounds.durability).await;
        match pushed {
            Err(error) if error.kind() == Kind::Corrupt => {
                self.repair(of, Some(&write.key)).await?;
                self.durable.push(of, &call, bounds.durability).await
            }
            pushed => pushed,
        }
    }

    fn push_call(&self, write: &NewWrite, bounds: &QueueBounds, of: &Partition) -> ScriptCall {
        let share = |all: u64| all.div_ceil(u64::from(self.partitions()));
        let (scope, fingerprint): (&[u8], &[u8]) = match &write.idempotency {
            Some(idempotency) => (&idempotency.scope, &idempotency.fingerprint),
            None => (b"", b""),
        };
        let place = match write.coalescing {
            Coalescing::Never => Vec::new(),
            Coalescing::Put(hash) => [b"p", &hash[..]].concat(),
            Coalescing::Delete(hash) => [b"d", &hash[..]].concat(),
        };
        self.call(&scripts::PUSH, of, Some(&write.key))
            .arg(&write.id.to_bytes()[..])
            .arg(scope)
            .arg(fingerprint)
            .arg(&*write.key)
            .arg(optional(write.user.as_deref().map(str::as_bytes)))
            .arg(place)
            .arg(&write.request[..])
            .arg(share(bounds.max_queue))
            .arg(share(bounds.max_bytes))
            .arg(bounds.max_per_key)
            .arg(millis(bounds.retention.result))
            .arg(millis(bounds.retention.idempotency))
            .arg(bounds.durability != Durability::Memory)
    }

    async fn due_once(&self, number: u8, count: usize) -> Result<Due, Error> {
        let Some(of) = self.partition(number) else {
            return Ok(NOTHING_DUE);
        };
        for _ in 0..2 {
            let call = self.call(&scripts::DUE, of, None).arg(count);
            let reply = self.run(Command::Due, call, of, None).await?;
            if let Some(due) = Reply::new(reply)?.due()? {
                return Ok(due);
            }
            self.repair(of, None).await?;
        }
        Err(reply::unreadable())
    }

    async fn claim_once(&self, first: &FirstWrite, terms: &ClaimTerms) -> Result<Claim, Error> {
        let of = self.partition_with(&first.key);
        let call = self
            .call(&scripts::CLAIM, of, Some(&first.key))
            .arg(&*first.key)
            .arg(&first.id.to_bytes()[..])
            .arg(terms.token)
            .arg(millis(terms.lease))
            .arg(terms.attempts)
            .arg(millis(terms.max_age));
        let reply = self.run(Command::Claim, call, of, Some(&first.key)).await?;
        let claim = Reply::new(reply)?.claim(&first.key, terms.token)?;
        if claim == Claim::Lost {
            tracing::warn!(key = %first.key, "a write of the queue was removed by another program");
            self.repair(of, None).await?;
        }
        Ok(claim)
    }

    async fn renew_once(&self, claim: &ClaimToken, lease: Duration) -> Result<bool, Error> {
        let of = self.partition_with(&claim.key);
        let call = named(self.call(&scripts::RENEW, of, None), claim).arg(millis(lease));
        let reply = self.run(Command::Renew, call, of, None).await?;
        reply::is_one(&reply)
    }

    async fn end_once(
        &self,
        claim: &ClaimToken,
        end: &AttemptEnd,
        retention: &Retention,
    ) -> Result<bool, Error> {
        let of = self.partition_with(&claim.key);
        let (outcome, delay) = match end.outcome {
            AttemptOutcome::Done => ("d", Duration::ZERO),
            AttemptOutcome::Dead { hold: false } => ("x", Duration::ZERO),
            AttemptOutcome::Dead { hold: true } => ("h", Duration::ZERO),
            AttemptOutcome::Again(delay) => ("a", delay),
            AttemptOutcome::Back => ("b", Duration::ZERO),
        };
        let Position { epoch, n } = end.position;
        let position = if end.position.is_known() {
            format!("{epoch}:{n}")
        } else {
            String::new()
        };
        let call = self.call(&scripts::END, of, Some(&claim.key));
        let call = named(call, claim)
            .arg(outcome)
            .arg(millis(delay))
            .arg(position)
            .arg(optional(end.reason.as_deref().map(str::as_bytes)))
            .arg(optional(end.answer.as_deref()))
            .arg(millis(retention.result))
            .arg(millis(retention.idempotency))
            .arg(retention.max_dead.div_ceil(u64::from(self.partitions())))
            .arg(
                retention
                    .max_dead_bytes
                    .div_ceil(u64::from(self.partitions())),
            )
            .arg(millis(retention.dead_age));
        let reply = self.run(Command::End, call, of, Some(&claim.key)).await?;
        reply::is_one(&reply)
    }

    async fn ask_once(&self, key: &str) -> Result<PendingWrites, Error> {
        let of = self.partition_with(key);
        let call = scripts::ASK
            .call([&of.list(key)[..], of.last_ends()])
            .arg(key);
        let reply = self.run(Command::Ask, call, of, Some(key)).await?;
        Reply::new(reply)?.pending()
    }

    async fn requests_of(&self, key: &str, ids: &[WriteId]) -> Result<Vec<Option<Bytes>>, Error> {
        let of = self.partition_with(key);
        let ids: Vec<_> = ids.iter().map(|id| id.to_bytes()).collect();
        let ids: Vec<_> = ids.iter().map(|id| &id[..]).collect();
        let call = scripts::REQUESTS.call(of.writes_and_requests()).arg(&ids);
        let reply = self.run(Command::Requests, call, of, None).await?;
        Reply::new(reply)?.requests(ids.len())
    }

    async fn status_once(&self, id: WriteId) -> Result<Option<StoredStatus>, Error> {
        let Some(of) = self.partition(id.partition()) else {
            return Ok(None);
        };
        let call = self
            .call(&scripts::STATUS, of, None)
            .arg(&id.to_bytes()[..]);
        let reply = self.run(Command::Status, call, of, None).await?;
        reply::status(reply)
    }

    async fn latest_dead(&self, skip: usize, count: usize) -> Result<Vec<WriteId>, Error> {
        let most = skip.saturating_add(count).min(MAX_LETTERS);
        if most == 0 {
            return Ok(Vec::new());
        }
        let of_each = self.partitions.iter().map(async |of| {
            let call = scripts::LETTERS.call([of.letters()]).arg(most);
            let reply = self.run(Command::ManageQueue, call, of, None).await?;
            Reply::new(reply)?.letters()
        });
        let mut letters: Vec<_> = try_join_all(of_each).await?.into_iter().flatten().collect();
        letters.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        let ids = letters.into_iter().map(|(_, id)| id);
        Ok(ids.skip(skip).take(count).collect())
    }

    /// Retries or deletes a dead letter.
    async fn decide(&self, id: WriteId, decision: &str) -> Result<bool, Error> {
        let (Some(of), Some(status)) =
            (self.partition(id.partition()), self.status_once(id).await?)
        else {
            return Ok(false);
        };
        let call = self
            .call(&scripts::LETTER, of, Some(&status.key))
            .arg(&id.to_bytes()[..])
            .arg(&*status.key)
            .arg(decision);
        let reply = self
            .run(Command::ManageQueue, call, of, Some(&status.key))
            .await?;
        reply::is_one(&reply)
    }

    async fn pause(&self, paused: bool) -> Result<(), Error> {
        let of_each = self.partitions.iter().map(async |of| {
            let call = self.call(&scripts::PAUSE, of, None).arg(paused);
            self.run(Command::ManageQueue, call, of, None).await
        });
        try_join_all(of_each).await?;
        Ok(())
    }

    async fn count(&self) -> Result<QueueCounts, Error> {
        let of_each = self.partitions.iter().map(async |of| {
            let call = self.call(&scripts::COUNTS, of, None);
            let reply = self.run(Command::Counts, call, of, None).await?;
            Reply::new(reply)?.counts()
        });
        let counts = try_join_all(of_each).await?;
        Ok(counts.into_iter().fold(QueueCounts::default(), add))
    }
}

impl Queue for RedisQueue {
    fn partitions(&self) -> u8 {
        u8::try_from(self.partitions.len()).unwrap_or(u8::MAX)
    }

    fn partition_of(&self, key: &str) -> u8 {
        let number = slot_of(key.as_bytes()) % u16::from(self.partitions());
        u8::try_from(number).unwrap_or_default()
    }

    fn push<'a>(&'a self, write: &'a NewWrite, bounds: &'a QueueBounds) -> StoreFuture<'a, Pushed> {
        Box::pin(self.push_once(write, bounds))
    }

    fn due(&self, partition: u8, count: usize) -> StoreFuture<'_, Due> {
        Box::pin(self.due_once(partition, count))
    }

    fn claim<'a>(&'a self, first: &'a FirstWrite, terms: &'a ClaimTerms) -> StoreFuture<'a, Claim> {
        Box::pin(self.claim_once(first, terms))
    }

    fn renew<'a>(&'a self, claim: &'a ClaimToken, lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(self.renew_once(claim, lease))
    }

    fn end<'a>(
        &'a self,
        claim: &'a ClaimToken,
        end: &'a AttemptEnd,
        retention: &'a Retention,
    ) -> StoreFuture<'a, bool> {
        Box::pin(self.end_once(claim, end, retention))
    }

    fn ask<'a>(&'a self, key: &'a str) -> StoreFuture<'a, PendingWrites> {
        Box::pin(self.ask_once(key))
    }

    fn requests<'a>(
        &'a self,
        key: &'a str,
        ids: &'a [WriteId],
    ) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        Box::pin(self.requests_of(key, ids))
    }

    fn status(&self, id: WriteId) -> StoreFuture<'_, Option<StoredStatus>> {
        Box::pin(self.status_once(id))
    }

    fn dead_letters(&self, skip: usize, count: usize) -> StoreFuture<'_, Vec<WriteId>> {
        Box::pin(self.latest_dead(skip, count))
    }

    fn retry(&self, id: WriteId) -> StoreFuture<'_, bool> {
        Box::pin(self.decide(id, "r"))
    }

    fn delete(&self, id: WriteId) -> StoreFuture<'_, bool> {
        Box::pin(self.decide(id, "d"))
    }

    fn set_paused(&self, paused: bool) -> StoreFuture<'_, ()> {
        Box::pin(self.pause(paused))
    }

    fn counts(&self) -> StoreFuture<'_, QueueCounts> {
        Box::pin(self.count())
    }

    fn check(&self, durability: Durability) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            check::check(&self.client, durability).await?;
            // Refused if it was made with another number of partitions.
            self.count().await.map(drop)
        })
    }

    fn wakes(&self) -> Box<dyn Wakes> {
        Box::new(RedisWakes::new(
            self.client.clone(),
            Arc::clone(&self.channel),
        ))
    }
}

/// Adds the arguments that name an attempt.
fn named(call: ScriptCall, claim: &ClaimToken) -> ScriptCall {
    call.arg(&*claim.key)
        .arg(&claim.id.to_bytes()[..])
        .arg(claim.token)
}

/// An argument that may be absent.
fn optional(value: Option<&[u8]>) -> Vec<u8> {
    value.map_or_else(Vec::new, |value| [b"+", value].concat())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis())
        .unwrap_or(u64::MAX)
        .min(MAX_MILLIS)
}

fn add(a: QueueCounts, b: QueueCounts) -> QueueCounts {
    QueueCounts {
        waiting: a.waiting.saturating_add(b.waiting),
        in_flight: a.in_flight.saturating_add(b.in_flight),
        dead: a.dead.saturating_add(b.dead),
        bytes: a.bytes.saturating_add(b.bytes),
        oldest: a.oldest.max(b.oldest),
        lost: a.lost.saturating_add(b.lost),
        paused: a.paused || b.paused,
    }
}

const NOTHING_DUE: Due = Due {
    first: Vec::new(),
    next: None,
};

/// How many partitions a Cluster has. Another number would move keys to other partitions.
const CLUSTER_PARTITIONS: u8 = 16;

/// Lua's numbers are exact up to 2^53, and times are added.
const MAX_MILLIS: u64 = 1 << 48;

/// How many dead letters a partition lists at most.
const MAX_LETTERS: usize = 1 << 20;
