//! Limits on Redis: one key per limit and subject, one script call per decision.

mod packed;

use std::{sync::Arc, time::Duration};

use redis::{Cmd, Value};
use smallvec::SmallVec;

use super::{
    client::RedisClient,
    command::Command,
    script::{Script, ScriptArg},
};
use crate::{
    error::{Error, Kind},
    quota::{Charge, CombinedDecision, QuotaState},
    store::contracts::{
        StoreFuture,
        limits::{Counter, Limits, Refund, Rule},
    },
};

/// Counters that all processes share.
#[derive(Clone, Debug)]
pub(crate) struct RedisLimits {
    client: RedisClient,
    namespace: Arc<str>,
    scripts: Arc<LimitScripts>,
    /// Replaces the server's clock in tests, in microseconds.
    #[cfg(test)]
    now: Option<u64>,
}

#[derive(Debug)]
struct LimitScripts {
    acquire: Script,
    refund: Script,
    peek: Script,
    increment: Script,
}

impl RedisLimits {
    pub(crate) fn new(client: RedisClient, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.into(),
            scripts: Arc::new(LimitScripts::new(include_str!("acquire.lua"))),
            #[cfg(test)]
            now: None,
        }
    }

    /// Owned parts for a future that sends `call`.
    fn parts(&self, call: Cmd) -> (RedisClient, Arc<LimitScripts>, Cmd) {
        #[cfg(test)]
        let call = self.with_time(call);
        (self.client.clone(), Arc::clone(&self.scripts), call)
    }

    /// A call of `script` with its keys, to which one argument per key is added.
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

impl LimitScripts {
    fn new(acquire: &'static str) -> Self {
        Self {
            acquire: Script::new(acquire),
            refund: Script::new(include_str!("refund.lua")),
            peek: Script::new(include_str!("peek.lua")),
            increment: Script::new(include_str!("increment.lua")),
        }
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
        let (client, scripts, call) = self.parts(call);
        Box::pin(async move {
            let reply = client.run(Command::Acquire, &scripts.acquire, &call);
            let (now, states) = parse(reply.await?, charges.len())?;
            let rules = charges.iter().copied().zip(states);
            let mut verdict = CombinedDecision::decide(now.unsigned_abs(), rules);
            // The script has decided, and has written what it decided.
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
        let (client, scripts, call) = self.parts(call);
        Box::pin(async move {
            let reply = client.run(Command::Refund, &scripts.refund, &call);
            reply.await.map(drop)
        })
    }

    fn peek(&self, subject: &[u8], rules: &[Rule<'_>]) -> StoreFuture<'static, CombinedDecision> {
        let limits = rules.iter().map(|rule| &rule.limit);
        let call = self.begin(&self.scripts.peek, subject, limits);
        let quotas: SmallVec<[_; 2]> = rules.iter().map(|rule| rule.charge.quota).collect();
        let (client, scripts, call) = self.parts(call);
        Box::pin(async move {
            let reply = client.run(Command::Peek, &scripts.peek, &call);
            let (now, states) = parse(reply.await?, quotas.len())?;
            let rules = quotas.iter().copied().zip(states);
            Ok(CombinedDecision::peek(now.unsigned_abs(), rules))
        })
    }

    fn reset(&self, subject: &[u8], rules: &[Rule<'_>]) -> StoreFuture<'static, ()> {
        let mut unlink = redis::cmd("UNLINK");
        for rule in rules {
            unlink.arg(&*self.key(subject, &rule.limit));
        }
        let client = self.client.clone();
        Box::pin(async move { client.query(Command::Reset, &unlink).await })
    }

    fn increment(&self, key: &str, amount: i64, ttl: Duration) -> StoreFuture<'static, i64> {
        let key = format!("{}{key}", self.namespace);
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let ttl = ttl.clamp(1, MAX_TTL_MILLIS);
        let (client, scripts) = (self.client.clone(), Arc::clone(&self.scripts));
        Box::pin(async move {
            let keys = [key.as_bytes()];
            let arguments = [ScriptArg::Int(amount), ScriptArg::Uint(ttl)];
            client
                .script(Command::Increment, &scripts.increment, &keys, &arguments)
                .await
        })
    }
}

type States = SmallVec<[Option<QuotaState>; 2]>;

/// Parses the reply of a script: the state of each key, and the time.
fn parse(reply: Value, keys: usize) -> Result<(i64, States), Error> {
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
    Error::new(Kind::Corrupt, "the reply of a limits script cannot be read")
}

/// Redis refuses a time to live of zero, and larger ones as an overflow.
const MAX_TTL_MILLIS: u64 = 1 << 52;

#[cfg(test)]
mod tests;
