//! The response fields `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10)
//! and, if configured, the older `X-RateLimit-*`.

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::decision::{Decision, LimitDecision, seconds};
use crate::clock::Timestamp;

/// The unit of `X-RateLimit-Reset`, on which servers do not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reset {
    /// Seconds from now, as Envoy and Kong write it.
    Delta,
    /// Seconds since the Unix epoch, as GitHub writes it.
    Epoch,
}

/// The fields that report a decision to the client.
#[derive(Debug)]
pub(super) struct RateLimitFields {
    rate_limit: HeaderValue,
    policy: HeaderValue,
    /// In the order of [`X_RATELIMIT`].
    x_ratelimit: Option<Box<[HeaderValue; 3]>>,
}

impl RateLimitFields {
    /// `None` if there is no limit to report. `X-RateLimit-*` is added if `x_ratelimit` is given.
    pub(super) fn of(decision: &Decision, x_ratelimit: Option<(Reset, Timestamp)>) -> Option<Self> {
        let first = decision.reported().next()?;
        Some(Self {
            rate_limit: rate_limit(decision)?,
            policy: match decision.reported().nth(1) {
                None => first.policy.item.clone(),
                Some(_) => list(decision, |limit, text| {
                    text.extend_from_slice(limit.policy.item.as_bytes());
                })?,
            },
            x_ratelimit: x_ratelimit
                .and_then(|(reset, now)| x_ratelimit_values(decision, reset, now)),
        })
    }

    /// Adds the fields to those of an inner layer: `RateLimit` and `RateLimit-Policy` are lists.
    pub(super) fn add_to(self, headers: &mut HeaderMap) {
        headers.append(RATE_LIMIT, self.rate_limit);
        headers.append(RATE_LIMIT_POLICY, self.policy);
        if let Some(values) = self.x_ratelimit {
            for (name, value) in X_RATELIMIT.into_iter().zip(*values) {
                headers.insert(name, value);
            }
        }
    }
}

/// `"api";r=50;t=30` for each limit.
fn rate_limit(decision: &Decision) -> Option<HeaderValue> {
    list(decision, |limit, text| {
        text.extend_from_slice(limit.policy.remaining_prefix.as_bytes());
        push_number(limit.outcome.remaining, text);
        if let Some(more) = limit.outcome.more_after {
            text.extend_from_slice(b";t=");
            push_number(seconds(more), text);
        }
    })
}

/// A list with the item that `push` writes for each limit.
fn list(decision: &Decision, push: impl Fn(&LimitDecision, &mut Text)) -> Option<HeaderValue> {
    let mut text = Text::new();
    for limit in decision.reported() {
        if !text.is_empty() {
            text.push(b',');
        }
        push(limit, &mut text);
    }
    HeaderValue::from_bytes(&text).ok()
}

fn push_number(number: u64, text: &mut Text) {
    text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Long enough to hold one item without an allocation, as most requests have one limit: a name has at
/// most 64 characters, a number at most 20 digits.
type Text = SmallVec<[u8; 128]>;

/// The values for the limit that has the smallest share of its quota left, because these fields can
/// report only one limit.
fn x_ratelimit_values(
    decision: &Decision,
    reset: Reset,
    now: Timestamp,
) -> Option<Box<[HeaderValue; 3]>> {
    let nearest = decision.reported().min_by_key(|limit| share_left(limit))?;
    let wait = nearest.outcome.more_after.map_or(0, seconds);
    let reset = match reset {
        Reset::Delta => wait,
        Reset::Epoch => now.seconds().saturating_add(wait),
    };
    let numbers = [nearest.limit(), nearest.outcome.remaining, reset];
    Some(Box::new(numbers.map(HeaderValue::from)))
}

/// The share of the limit's quota that is left, in units of 2^-32.
fn share_left(limit: &LimitDecision) -> u128 {
    let capacity = u128::from(limit.policy.quota.capacity().max(1));
    (u128::from(limit.outcome.remaining) << 32) / capacity
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_RATELIMIT: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];
