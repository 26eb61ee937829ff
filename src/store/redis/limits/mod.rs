//! Limits on Redis: one key per limit and subject, one script call per decision.

mod packed;

use std::{sync::Arc, sync::LazyLock, time::Duration};

use futures_util::TryFutureExt;
use redis::{FromRedisValue, Value};
use smallvec::SmallVec;

use super::{
    client::RedisClient,
    command::Command,
    script::{Script, ScriptCall},
};
use crate::{
    error::{Error, Kind},
    quota::{Algorithm, Charge, CombinedDecision, Quota, QuotaState, RuleDecision},
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
    acquire: &'static Script,
    /// Replaces the server's clock in tests, in microseconds.
    #[cfg(test)]
    now: Option<u64>,
}

impl RedisLimits {
    pub(crate) fn new(client: RedisClient, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.into(),
            acquire: &ACQUIRE,
            #[cfg(test)]
            now: None,
        }
    }

    /// Sends a call; the future is `'static`.
    fn send<T: FromRedisValue>(
        &self,
        command: Command,
        call: ScriptCall,
    ) -> impl Future<Output = Result<T, Error>> + Send + use<T> {
        #[cfg(test)]
        let call = self.with_time(call);
        let client = self.client.clone();
        async move { client.script(command, &call).await }
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
        let keys = rules.iter().map(|rule| self.key(subject, &rule.limit));
        let charges: SmallVec<[Charge; 2]> = rules.iter().map(|rule| rule.charge).collect();
        let call = charges
            .iter()
            .fold(self.acquire.call(keys), |call, charge| {
                call.arg(&packed::charge(charge)[..])
            });
        let reply = self.send(Command::Acquire, call);
        Box::pin(async move { decision(reply.await?, &charges) })
    }

    fn refund(&self, subject: &[u8], refunds: &[Refund<'_>]) -> StoreFuture<'static, ()> {
        let keys = refunds.iter().map(|r| self.key(subject, &r.limit));
        let call = refunds.iter().fold(REFUND.call(keys), |call, refund| {
            call.arg(&packed::refund(refund)[..])
        });
        Box::pin(self.send::<Value>(Command::Refund, call).map_ok(drop))
    }

    fn peek(&self, subject: &[u8], rules: &[Rule<'_>]) -> StoreFuture<'static, CombinedDecision> {
        let keys = rules.iter().map(|rule| self.key(subject, &rule.limit));
        let reply = self.send(Command::Peek, PEEK.call(keys));
        let quotas: SmallVec<[_; 2]> = rules.iter().map(|rule| rule.charge.quota).collect();
        Box::pin(async move {
            let (now, counters) = parse(reply.await?, quotas.len())?;
            let now = now.unsigned_abs();
            let states = counters.iter().zip(&quotas);
            let states = states.map(|(counter, quota)| (*quota, state(counter, quota, now)));
            Ok(CombinedDecision::peek(now, states))
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
        let call = INCREMENT.call([key]).arg(amount).arg(ttl);
        let client = self.client.clone();
        Box::pin(async move { client.script(Command::Increment, &call).await })
    }

    fn counter(&self, key: &str) -> StoreFuture<'static, Option<i64>> {
        let mut get = redis::cmd("GET");
        get.arg(format!("{}{key}", self.namespace));
        let client = self.client.clone();
        Box::pin(async move { client.query(Command::Get, &get).await })
    }
}

/// The decision of the acquire script.
fn decision(reply: Value, charges: &[Charge]) -> Result<CombinedDecision, Error> {
    let (now, replies) = parse(reply, charges.len())?;
    // The script's decision is final: it has already updated the counters.
    let admitted = now > 0;
    let now = now.unsigned_abs();
    let decide = |(charge, reply): (&Charge, &Value)| {
        if charge.quota.algorithm() == Algorithm::SlidingWindow {
            return sliding_window(&charge.quota, reply, admitted, now);
        }
        let mut state = state(reply, &charge.quota, now);
        if !admitted && state.admits(&charge.quota, now, charge.cost) {
            return Ok(RuleDecision::peek(&charge.quota, &mut state, now));
        }
        Ok(charge.decide(&mut state, now))
    };
    let decided = charges.iter().zip(&replies).map(decide);
    Ok(CombinedDecision {
        admitted,
        now,
        by_rule: decided.collect::<Result<_, Error>>()?,
    })
}

fn sliding_window(
    quota: &Quota,
    reply: &Value,
    admitted: bool,
    now: u64,
) -> Result<RuleDecision, Error> {
    let Value::Array(numbers) = reply else {
        return Err(unreadable());
    };
    let [
        Value::Int(used),
        Value::Int(retry_after),
        Value::Int(more_after),
    ] = numbers[..]
    else {
        return Err(unreadable());
    };
    let outcome = packed::outcome(quota, [used, retry_after, more_after]);
    let charged = admitted && outcome.admitted;
    Ok(RuleDecision {
        outcome,
        charged,
        anchor: if charged { now } else { 0 },
    })
}

/// The state of a counter; a fresh one if there is none.
fn state(counter: &Value, quota: &Quota, now: u64) -> QuotaState {
    let state = match counter {
        Value::BulkString(counter) => packed::state(counter),
        _ => None,
    };
    state.unwrap_or_else(|| QuotaState::fresh(quota, now))
}

/// Parses the reply of a script: what it says of each key, and the time.
fn parse(reply: Value, keys: usize) -> Result<(i64, Vec<Value>), Error> {
    let Value::Array(mut values) = reply else {
        return Err(unreadable());
    };
    let Some(Value::Int(now)) = values.pop().filter(|_| values.len() == keys) else {
        return Err(unreadable());
    };
    Ok((now, values))
}

fn unreadable() -> Error {
    Error::new(Kind::Corrupt, "the reply of a limits script cannot be read")
}

static ACQUIRE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("acquire.lua")));
static REFUND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("refund.lua")));
static PEEK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("peek.lua")));
static INCREMENT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("increment.lua")));

/// Redis refuses larger times to live as an overflow.
const MAX_TTL_MILLIS: u64 = 1 << 52;

#[cfg(test)]
mod tests;
