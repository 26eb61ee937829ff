//! Limits on Redis: one key for each limit and subject, one script call for each decision.

mod packed;

use std::{sync::Arc, time::Duration};

use redis::{Cmd, Value};
use smallvec::SmallVec;

use super::{Arg, Connections, Script, Verb};
use crate::{
    error::{Error, Kind},
    quota::{Charge, CombinedDecision, QuotaState},
    store::contracts::{
        StoreFuture,
        limits::{Counter, Limits, Refund, Rule},
    },
};

/// Counters that any number of processes share.
#[derive(Clone, Debug)]
pub(crate) struct RedisLimits {
    connections: Connections,
    namespace: Arc<str>,
    scripts: Arc<Scripts>,
    /// The time for tests; the server's otherwise.
    #[cfg(test)]
    now: Option<u64>,
}

#[derive(Debug)]
struct Scripts {
    acquire: Script,
    refund: Script,
    peek: Script,
    increment: Script,
}

impl RedisLimits {
    pub(crate) fn new(connections: Connections, namespace: &str) -> Self {
        Self {
            connections,
            namespace: namespace.into(),
            scripts: Arc::new(Scripts {
                acquire: Script::new(include_str!("acquire.lua")),
                refund: Script::new(include_str!("refund.lua")),
                peek: Script::new(include_str!("peek.lua")),
                increment: Script::new(include_str!("increment.lua")),
            }),
            #[cfg(test)]
            now: None,
        }
    }

    /// What a future needs to send a call.
    fn sender(&self, call: Cmd) -> (Connections, Arc<Scripts>, Cmd) {
        #[cfg(test)]
        let call = self.dated(call);
        (self.connections.clone(), Arc::clone(&self.scripts), call)
    }

    /// A call with its keys; as many arguments may follow.
    fn begin<'a>(
        &self,
        script: &Script,
        subject: &[u8],
        limits: impl ExactSizeIterator<Item = &'a Counter<'a>>,
    ) -> Cmd {
        let keys = limits.len();
        let mut call = script.begin(keys, 2 * keys, keys * (self.namespace.len() + 128));
        for limit in limits {
            call.arg(&*self.key(subject, limit));
        }
        call
    }

    fn key(&self, subject: &[u8], limit: &Counter<'_>) -> SmallVec<[u8; 128]> {
        let colon: &[u8] = if limit.name.is_empty() { b"" } else { b":" };
        let mut key = SmallVec::new();
        for part in [
            self.namespace.as_bytes(),
            b"ratelimit:",
            limit.name.as_bytes(),
            colon,
            b"{",
            subject,
            b"}",
            limit.rest,
        ] {
            key.extend_from_slice(part);
        }
        key
    }
}

impl Limits for RedisLimits {
    fn acquire(
        &self,
        subject: &[u8],
        rules: &[Rule<'_>],
    ) -> StoreFuture<'static, CombinedDecision> {
        let limits = rules.iter().map(|rule| &rule.limit);
        let mut call = self.begin(&self.scripts.acquire, subject, limits);
        let charges: SmallVec<[Charge; 2]> = rules.iter().map(|rule| rule.charge).collect();
        for charge in &charges {
            call.arg(&packed::charge(charge)[..]);
        }
        let (connections, scripts, call) = self.sender(call);
        Box::pin(async move {
            let reply = connections.run(Verb::Acquire, &scripts.acquire, &call);
            let (now, states) = read(reply.await?, charges.len())?;
            let rules = charges.iter().copied().zip(states);
            let mut verdict = CombinedDecision::decide(now.unsigned_abs(), rules);
            // what was written is what the script decided
            verdict.admitted = now > 0;
            Ok(verdict)
        })
    }

    fn refund(&self, subject: &[u8], refunds: &[Refund<'_>]) -> StoreFuture<'static, ()> {
        let limits = refunds.iter().map(|refund| &refund.limit);
        let mut call = self.begin(&self.scripts.refund, subject, limits);
        for refund in refunds {
            call.arg(&packed::refund(refund)[..]);
        }
        let (connections, scripts, call) = self.sender(call);
        Box::pin(async move {
            let reply = connections.run(Verb::Refund, &scripts.refund, &call);
            reply.await.map(drop)
        })
    }

    fn peek(&self, subject: &[u8], rules: &[Rule<'_>]) -> StoreFuture<'static, CombinedDecision> {
        let limits = rules.iter().map(|rule| &rule.limit);
        let call = self.begin(&self.scripts.peek, subject, limits);
        let quotas: SmallVec<[_; 2]> = rules.iter().map(|rule| rule.charge.quota).collect();
        let (connections, scripts, call) = self.sender(call);
        Box::pin(async move {
            let reply = connections.run(Verb::Peek, &scripts.peek, &call);
            let (now, states) = read(reply.await?, quotas.len())?;
            let rules = quotas.iter().copied().zip(states);
            Ok(CombinedDecision::peek(now.unsigned_abs(), rules))
        })
    }

    fn reset(&self, subject: &[u8], rules: &[Rule<'_>]) -> StoreFuture<'static, ()> {
        let mut unlink = redis::cmd("UNLINK");
        for rule in rules {
            unlink.arg(&*self.key(subject, &rule.limit));
        }
        let connections = self.connections.clone();
        Box::pin(async move { connections.query(Verb::Reset, &unlink).await })
    }

    fn increment(&self, key: &str, amount: i64, ttl: Duration) -> StoreFuture<'static, i64> {
        let key = format!("{}{key}", self.namespace);
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        // what Redis takes for a time to live
        let ttl = ttl.clamp(1, 1 << 52);
        let (connections, scripts) = (self.connections.clone(), Arc::clone(&self.scripts));
        Box::pin(async move {
            let keys = [key.as_bytes()];
            let arguments = [Arg::Int(amount), Arg::Uint(ttl)];
            connections
                .script(Verb::Increment, &scripts.increment, &keys, &arguments)
                .await
        })
    }
}

type States = SmallVec<[Option<QuotaState>; 2]>;

/// What the scripts reply: a state for each key, and the time.
fn read(reply: Value, keys: usize) -> Result<(i64, States), Error> {
    let Value::Array(mut values) = reply else {
        return Err(unreadable());
    };
    let Some(Value::Int(now)) = values.pop().filter(|_| values.len() == keys) else {
        return Err(unreadable());
    };
    let state = |value: &Value| match value {
        Value::BulkString(counter) => packed::state(counter),
        _ => None,
    };
    Ok((now, values.iter().map(state).collect()))
}

fn unreadable() -> Error {
    Error::new(Kind::Corrupt, "the limits' script gave an unreadable reply")
}

#[cfg(test)]
mod tests;
