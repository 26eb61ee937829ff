//! A named quota, and how a client is told of it.

use std::{fmt::Write, sync::Arc};

use bytes::Bytes;
use http::HeaderValue;

use super::Quota;

/// A quota policy (draft-ietf-httpapi-ratelimit-headers-10 section 2) with what can be written down
/// of it before a request comes.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) name: Box<str>,
    pub(crate) quota: Quota,
    /// The item of `RateLimit-Policy`.
    pub(crate) item: HeaderValue,
    /// How the item of `RateLimit` begins; what is left follows.
    pub(crate) head: Box<str>,
    /// The problem details of a refusal by this policy alone.
    pub(crate) problem: Bytes,
    /// How much comes by in a time: the least is the strictest.
    pub(crate) rate: u128,
}

impl Policy {
    /// `name` needs neither quoting nor escaping in a structured field's String: the table's limits
    /// are named by letters, digits, `-`, `.` and `_`.
    pub(crate) fn new(name: &str, quota: Quota) -> Arc<Self> {
        Arc::new(Self {
            item: item(name, &quota),
            head: format!("\"{name}\";r=").into(),
            problem: problem(Problem::QuotaExceeded, [name].into_iter()),
            name: name.into(),
            rate: rate(&quota),
            quota,
        })
    }
}

/// Limits are at most 10^12 and windows at least a microsecond: nothing is lost.
fn rate(quota: &Quota) -> u128 {
    (u128::from(quota.limit()) << 64) / u128::from(quota.window_micros())
}

/// `"api";q=100;w=60`, and a comment of ours where more or less may be used at once.
fn item(name: &str, quota: &Quota) -> HeaderValue {
    let mut item = format!("\"{name}\";q={}", quota.limit());
    // whole seconds, and not shorter than the window: a client that trusts it waits long enough
    let window = quota.window_micros().div_ceil(1_000_000);
    let _ = write!(item, ";w={window}");
    if quota.capacity() != quota.limit() {
        let _ = write!(item, ";keep-burst={}", quota.capacity());
    }
    HeaderValue::try_from(item).unwrap_or_else(|_| HeaderValue::from_static("\"limit\""))
}

/// The problem types of the draft's section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    QuotaExceeded,
    /// The store does not answer, and the limit is closed then.
    ReducedCapacity,
}

/// Problem details (RFC 9457) that name the violated policies.
pub(crate) fn problem<'a>(of: Problem, policies: impl Iterator<Item = &'a str>) -> Bytes {
    let (kind, title, status) = match of {
        Problem::QuotaExceeded => (
            "quota-exceeded",
            "Request cannot be satisfied as assigned quota has been exceeded",
            429,
        ),
        Problem::ReducedCapacity => (
            "temporary-reduced-capacity",
            "Request cannot be satisfied due to temporary server capacity constraints",
            503,
        ),
    };
    let mut body = format!(
        "{{\"type\":\"https://iana.org/assignments/http-problem-types#{kind}\",\"title\":\"{title}\",\
         \"status\":{status},\"violated-policies\":["
    );
    for (at, policy) in policies.enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(body, "{comma}\"{policy}\"");
    }
    body.push_str("]}");
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_one_of_a_structured_field() {
        for (quota, item) in [
            (Quota::per_minute(100), r#""api";q=100;w=60"#),
            (Quota::per_second(0), r#""api";q=0;w=1"#),
            (
                Quota::per_second(5).burst(9),
                r#""api";q=5;w=1;keep-burst=9"#,
            ),
        ] {
            assert_eq!(Policy::new("api", quota).item, item);
        }
        let short = Quota::new(5, std::time::Duration::from_millis(10)).expect("in range");
        assert_eq!(Policy::new("api", short).item, r#""api";q=5;w=1"#);
    }

    #[test]
    fn a_problem_is_json_with_the_draft_s_members() {
        let body = problem(Problem::QuotaExceeded, ["a", "b-2"].into_iter());
        let json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(
            json["type"],
            "https://iana.org/assignments/http-problem-types#quota-exceeded"
        );
        assert_eq!(json["status"], 429);
        assert_eq!(json["violated-policies"], serde_json::json!(["a", "b-2"]));
    }

    #[test]
    fn ten_a_second_is_stricter_than_a_thousand_but_a_thousand_a_day_is_stricter_still() {
        let rate = |quota| Policy::new("x", quota).rate;
        assert!(rate(Quota::per_second(10)) < rate(Quota::per_second(1000)));
        assert!(rate(Quota::per_day(1000)) < rate(Quota::per_second(10)));
        assert_eq!(rate(Quota::per_day(0)), 0);
    }
}
