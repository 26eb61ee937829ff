//! Heuristic freshness, for responses that do not state any (RFC 9111 section 4.2.2).

use std::time::Duration;

use http::{HeaderMap, StatusCode, header::LAST_MODIFIED};

use super::{dates::DateField, freshness::Exchange};

/// The longest heuristic lifetime.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Whether a status is heuristically cacheable (RFC 9110 section 15.1, RFC 7725 section 3).
pub(crate) fn is_cacheable(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 451 | 501
    )
}

/// Whether this cache understands a status, as `must-understand` requires (RFC 9111 section
/// 5.2.2.3): the final statuses of RFC 9110 section 15.
pub(crate) fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=206 | 300..=305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 428 | 429 | 431 | 451 | 500..=505 | 511
    )
}

/// A tenth of the time since the last modification, at most one day.
pub(crate) fn lifetime(headers: &HeaderMap, exchange: &Exchange) -> Option<Duration> {
    let modified = DateField::read(headers, &LAST_MODIFIED, exchange.received).valid()?;
    let unchanged = exchange.date(headers).since(modified);
    Some((unchanged / 10).min(MAX_LIFETIME))
}

#[cfg(test)]
mod tests {
    use http::header::DATE;

    use super::*;
    use crate::{clock::Timestamp, semantics::dates};

    const NOW: Timestamp = Timestamp(1_780_000_000_000);

    fn heuristic(unmodified: u64) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, dates::format(NOW));
        let modified = Timestamp(NOW.0 - unmodified * 1000);
        headers.insert(LAST_MODIFIED, dates::format(modified));
        let exchange = Exchange {
            requested: NOW,
            received: NOW,
        };
        lifetime(&headers, &exchange)
    }

    #[test]
    fn the_lifetime_is_a_tenth_up_to_a_day() {
        assert_eq!(heuristic(24 * 3600), Some(Duration::from_secs(8640)));
        assert_eq!(heuristic(0), Some(Duration::ZERO));
        assert_eq!(heuristic(365 * 24 * 3600), Some(MAX_LIFETIME));
    }

    #[test]
    fn statuses_of_the_standard_are_cacheable() {
        // RFC 9110 section 15.1, RFC 7725 section 3
        let listed = |code| is_cacheable(StatusCode::from_u16(code).expect("a status"));
        for code in [
            200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 451, 501,
        ] {
            assert!(listed(code), "{code}");
        }
        for code in [201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599] {
            assert!(!listed(code), "{code}");
        }
    }
}
