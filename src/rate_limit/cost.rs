use http::{HeaderMap, HeaderName, request};

use super::config::Config;
use crate::table::{LimitPlan, limit_plan::CostPlan};

/// The cost of a request under a limit; with a cost of 0, the limit does not apply.
pub(super) fn cost(limit: &LimitPlan, config: &Config, parts: &request::Parts) -> u64 {
    if let Some(cost) = &config.cost {
        return cost(parts);
    }
    match &limit.cost {
        CostPlan::Fixed(cost) => *cost,
        CostPlan::Header(name) => header_cost(&parts.headers, name),
    }
}

/// The largest number in all lines, at least 1: a client that adds a line cannot lower the cost, also if
/// a proxy has joined the lines by commas (RFC 9110 section 5.3).
fn header_cost(headers: &HeaderMap, name: &HeaderName) -> u64 {
    let lines = headers.get_all(name).iter();
    let members = lines.filter_map(|line| line.to_str().ok());
    let members = members.flat_map(|line| line.split(','));
    members.filter_map(number).max().unwrap_or(1).max(1)
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // A number that overflows exceeds every limit.
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}
