//! `RateLimit`, `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10) and the three older
//! fields.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    decision::{Decision, LimitDecision, seconds},
    text::Text,
};
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
    let mut text = Text::default();
    for limit in decision.told() {
        text.separate();
        text.push(limit.policy.head.as_bytes());
        text.push_number(limit.outcome.remaining);
        if let Some(more) = limit.outcome.more_after {
            text.push(b";t=");
            text.push_number(seconds(more));
        }
    }
    HeaderValue::from_bytes(text.bytes()).ok()
}

fn policies(decision: &Decision) -> Option<HeaderValue> {
    let mut text = Text::default();
    for limit in decision.told() {
        text.separate();
        text.push(limit.policy.item.as_bytes());
    }
    HeaderValue::from_bytes(text.bytes()).ok()
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
