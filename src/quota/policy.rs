use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use sfv::{Integer, ItemSerializer, KeyRef, StringRef, key_ref};

use super::{
    problem::{ProblemType, problem_details},
    quota::Quota,
};
use crate::error::BoxError;

/// A quota policy (draft-ietf-httpapi-ratelimit-headers-10 section 2): a named quota, with the parts
/// of responses that are the same for every request.
#[derive(Debug)]
pub(crate) struct QuotaPolicy {
    pub(crate) name: Box<str>,
    pub(crate) quota: Quota,
    /// The item of `RateLimit-Policy`.
    pub(crate) item: HeaderValue,
    /// The item of `RateLimit` up to the number of units left.
    pub(crate) remaining_prefix: Box<str>,
    /// The problem details of a refusal by this policy alone.
    pub(crate) problem: Bytes,
    /// Quota units per microsecond, times 2^64. Of several limits, the one with the lowest rate is the
    /// strictest.
    pub(crate) rate: u128,
}

impl QuotaPolicy {
    /// Prepares the parts of responses for a quota with this name.
    ///
    /// # Errors
    ///
    /// If `name` has characters that are not ASCII.
    pub(crate) fn new(name: &str, quota: Quota) -> Result<Arc<Self>, BoxError> {
        let quoted = item(name, &[])?;
        Ok(Arc::new(Self {
            item: item(name, &parameters(&quota))?.try_into()?,
            remaining_prefix: format!("{quoted};r=").into(),
            problem: problem_details(ProblemType::QuotaExceeded, [name].into_iter()),
            name: name.into(),
            rate: rate(&quota),
            quota,
        }))
    }
}

/// See [`QuotaPolicy::rate`]. The shift cannot overflow: limits are at most 10^12.
fn rate(quota: &Quota) -> u128 {
    (u128::from(quota.limit()) << 64) / u128::from(quota.window_micros())
}

/// The draft's parameters `q` and `w`, and this crate's `keep-burst` if the burst is not the limit.
fn parameters(quota: &Quota) -> Vec<(&'static KeyRef, u64)> {
    // Whole seconds, rounded up, so that a client that waits this long waits long enough.
    let window = quota.window_micros().div_ceil(1_000_000);
    let mut parameters = vec![(key_ref("q"), quota.limit()), (key_ref("w"), window)];
    if quota.capacity() != quota.limit() {
        parameters.push((key_ref("keep-burst"), quota.capacity()));
    }
    parameters
}

/// An item of a structured field (RFC 9651).
fn item(name: &str, parameters: &[(&KeyRef, u64)]) -> Result<String, sfv::Error> {
    let mut item = ItemSerializer::new().bare_item(StringRef::from_str(name)?);
    for (key, number) in parameters {
        item = item.parameter(key, Integer::try_from(*number)?);
    }
    Ok(item.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, quota: Quota) -> Arc<QuotaPolicy> {
        QuotaPolicy::new(name, quota).expect("an ASCII name")
    }

    #[test]
    fn the_policy_item_has_the_limit_the_window_in_seconds_and_an_unusual_burst() {
        let short = Quota::new(5, std::time::Duration::from_millis(10)).expect("in range");
        for (quota, item) in [
            (Quota::per_minute(100), r#""api";q=100;w=60"#),
            (Quota::per_second(0), r#""api";q=0;w=1"#),
            (
                Quota::per_second(5).burst(9),
                r#""api";q=5;w=1;keep-burst=9"#,
            ),
            (short, r#""api";q=5;w=1"#),
        ] {
            assert_eq!(policy("api", quota).item, item);
        }
    }

    #[test]
    fn the_remaining_item_begins_with_the_quoted_name() {
        let policy = policy("a-b_c.9", Quota::per_minute(1));
        assert_eq!(&*policy.remaining_prefix, r#""a-b_c.9";r="#);
    }

    #[test]
    fn a_name_that_no_header_can_hold_is_an_error() {
        assert!(QuotaPolicy::new("läuft", Quota::per_minute(1)).is_err());
    }

    #[test]
    fn the_lowest_rate_is_the_strictest() {
        let rate = |quota| policy("x", quota).rate;
        assert!(rate(Quota::per_second(10)) < rate(Quota::per_second(1000)));
        assert!(rate(Quota::per_day(1000)) < rate(Quota::per_second(10)));
        assert_eq!(rate(Quota::per_day(0)), 0);
    }
}
