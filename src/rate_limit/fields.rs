//! `RateLimit`, `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10) and the three older
//! fields.

use std::{
    io::{self, Write},
    iter,
};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::decision::{Decision, LimitDecision, seconds};
use crate::clock::Timestamp;

/// The reset of `X-RateLimit-Reset`, which servers have written in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reset {
    /// Seconds from now on, as Envoy and Kong write.
    Delta,
    /// Seconds since the Unix epoch, as GitHub writes.
    Epoch,
}

/// What an answer says of the limits, ready to be put into its head.
#[derive(Debug)]
pub(super) struct Fields {
    rate_limit: HeaderValue,
    policy: HeaderValue,
    legacy: Option<Box<[HeaderValue; 3]>>,
}

impl Fields {
    /// `None` if there is no limit to tell of.
    pub(super) fn of(decision: &Decision, reset: Option<(Reset, Timestamp)>) -> Option<Self> {
        let first = decision.told().next()?;
        Some(Self {
            rate_limit: rate_limit(decision)?,
            policy: match decision.told().nth(1) {
                None => first.policy.item.clone(),
                Some(_) => policies(decision)?,
            },
            legacy: reset.and_then(|(reset, now)| legacy(decision, reset, now)),
        })
    }

    /// Adds to what an inner layer may have said: the fields are lists.
    pub(super) fn put(self, headers: &mut HeaderMap) {
        headers.append(RATE_LIMIT, self.rate_limit);
        headers.append(RATE_LIMIT_POLICY, self.policy);
        if let Some(values) = self.legacy {
            for (name, value) in LEGACY.into_iter().zip(*values) {
                headers.insert(name, value);
            }
        }
    }
}

/// `"api";r=50;t=30` for each limit.
fn rate_limit(decision: &Decision) -> Option<HeaderValue> {
    let mut told = decision.told();
    let first = told.next()?;
    let Some(second) = told.next() else {
        return only(first);
    };
    let mut text = Vec::with_capacity(4 * ITEM);
    write_item(first, &mut text).ok()?;
    for limit in iter::once(second).chain(told) {
        text.push(b',');
        write_item(limit, &mut text).ok()?;
    }
    HeaderValue::try_from(text).ok()
}

/// Most requests are under one limit: its item is written on the stack.
fn only(limit: &LimitDecision) -> Option<HeaderValue> {
    let mut text = [0; ITEM];
    let mut rest = &mut text[..];
    write_item(limit, &mut rest).ok()?;
    let written = ITEM - rest.len();
    HeaderValue::from_bytes(&text[..written]).ok()
}

fn write_item(limit: &LimitDecision, to: &mut impl Write) -> io::Result<()> {
    to.write_all(limit.policy.head.as_bytes())?;
    write_number(limit.outcome.remaining, to)?;
    if let Some(more) = limit.outcome.more_after {
        to.write_all(b";t=")?;
        write_number(seconds(more), to)?;
    }
    Ok(())
}

fn write_number(number: u64, to: &mut impl Write) -> io::Result<()> {
    to.write_all(itoa::Buffer::new().format(number).as_bytes())
}

/// A name has at most 64 letters, a number 20 digits.
const ITEM: usize = 128;

fn policies(decision: &Decision) -> Option<HeaderValue> {
    let mut text = Vec::new();
    for limit in decision.told() {
        if !text.is_empty() {
            text.push(b',');
        }
        text.extend_from_slice(limit.policy.item.as_bytes());
    }
    HeaderValue::try_from(text).ok()
}

/// Of the limit that is nearest to refusing: these fields know but one.
fn legacy(decision: &Decision, reset: Reset, now: Timestamp) -> Option<Box<[HeaderValue; 3]>> {
    let nearest = decision.told().min_by_key(|limit| share_left(limit))?;
    let wait = nearest.outcome.more_after.map_or(0, seconds);
    let reset = match reset {
        Reset::Delta => wait,
        Reset::Epoch => now.seconds().saturating_add(wait),
    };
    let numbers = [nearest.limit(), nearest.outcome.remaining, reset];
    Some(Box::new(numbers.map(HeaderValue::from)))
}

fn share_left(limit: &LimitDecision) -> u128 {
    let of = u128::from(limit.policy.quota.capacity().max(1));
    (u128::from(limit.outcome.remaining) << 32) / of
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEGACY: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];
