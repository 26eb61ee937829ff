//! Limits on Redis: one key for each limit and subject, one script call for each decision.

mod packed;

use std::{sync::Arc, time::Duration};

use redis::Value;
use smallvec::SmallVec;

use super::{Arg, Connections, Script, Verb};
use crate::{
    error::{Error, Kind},
    quota::{Charge, State, Verdict},
    store::{
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

    fn call(
        &self,
        verb: Verb,
        script: fn(&Scripts) -> &Script,
        keys: Keys,
        arguments: Arguments,
    ) -> impl Future<Output = Result<Value, Error>> + Send + use<> {
        #[cfg(test)]
        let arguments = self.dated(arguments);
        let (connections, scripts) = (self.connections.clone(), Arc::clone(&self.scripts));
        async move {
            let keys = keys.slices();
            let arguments: SmallVec<[Arg<'_>; 4]> =
                arguments.slices().into_iter().map(Arg::Bytes).collect();
            let script = script(&scripts);
            connections.script(verb, script, &keys, &arguments).await
        }
    }

    fn keys<'a>(&self, subject: &[u8], limits: impl Iterator<Item = &'a Counter<'a>>) -> Keys {
        let mut keys = Keys::default();
        for limit in limits {
            let colon: &[u8] = if limit.name.is_empty() { b"" } else { b":" };
            keys.extend(&[
                self.namespace.as_bytes(),
                b"ratelimit:",
                limit.name.as_bytes(),
                colon,
                b"{",
                subject,
                b"}",
                limit.rest,
            ]);
        }
        keys
    }
}

impl Limits for RedisLimits {
    fn acquire(&self, subject: &[u8], rules: &[Rule<'_>]) -> StoreFuture<'static, Verdict> {
        let keys = self.keys(subject, rules.iter().map(|rule| &rule.limit));
        let charges: SmallVec<[Charge; 2]> = rules.iter().map(|rule| rule.charge).collect();
        let mut arguments = Arguments::default();
        for charge in &charges {
            arguments.push(&packed::charge(charge));
        }
        let reply = self.call(Verb::Acquire, |s| &s.acquire, keys, arguments);
        Box::pin(async move {
            let (now, states) = read(reply.await?, charges.len())?;
            let rules = charges.iter().copied().zip(states);
            let mut verdict = Verdict::decide(now.unsigned_abs(), rules);
            // what was written is what the script decided
            verdict.admitted = now > 0;
            Ok(verdict)
        })
    }

    fn refund(&self, subject: &[u8], refunds: &[Refund<'_>]) -> StoreFuture<'static, ()> {
        let keys = self.keys(subject, refunds.iter().map(|refund| &refund.limit));
        let mut arguments = Arguments::default();
        for refund in refunds {
            arguments.push(&packed::refund(refund));
        }
        let reply = self.call(Verb::Refund, |s| &s.refund, keys, arguments);
        Box::pin(async move { reply.await.map(drop) })
    }

    fn peek(&self, subject: &[u8], rules: &[Rule<'_>]) -> StoreFuture<'static, Verdict> {
        let keys = self.keys(subject, rules.iter().map(|rule| &rule.limit));
        let quotas: SmallVec<[_; 2]> = rules.iter().map(|rule| rule.charge.quota).collect();
        let reply = self.call(Verb::Peek, |s| &s.peek, keys, Arguments::default());
        Box::pin(async move {
            let (now, states) = read(reply.await?, quotas.len())?;
            let rules = quotas.iter().copied().zip(states);
            Ok(Verdict::peek(now.unsigned_abs(), rules))
        })
    }

    fn reset(&self, subject: &[u8], rules: &[Rule<'_>]) -> StoreFuture<'static, ()> {
        let keys = self.keys(subject, rules.iter().map(|rule| &rule.limit));
        let connections = self.connections.clone();
        Box::pin(async move {
            let mut cmd = redis::cmd("UNLINK");
            for key in keys.slices() {
                cmd.arg(key);
            }
            connections.query(Verb::Reset, &cmd).await
        })
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

type States = SmallVec<[Option<State>; 2]>;

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

type Keys = Slices;
type Arguments = Slices;

/// A few byte strings in one buffer.
#[derive(Debug, Default)]
struct Slices {
    bytes: SmallVec<[u8; 256]>,
    ends: SmallVec<[usize; 4]>,
}

impl Slices {
    fn push(&mut self, slice: &[u8]) {
        self.extend(&[slice]);
    }

    /// One string from parts.
    fn extend(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.ends.push(self.bytes.len());
    }

    fn slices(&self) -> SmallVec<[&[u8]; 4]> {
        let mut start = 0;
        let slice = |end: &usize| {
            let slice = &self.bytes[start..*end];
            start = *end;
            slice
        };
        self.ends.iter().map(slice).collect()
    }
}

#[cfg(test)]
mod tests;
