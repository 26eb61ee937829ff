//! What the service's response means for a write.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};

/// What becomes of a write after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseVerdict {
    Done,
    /// The service refused it, and would refuse it again.
    Refused,
    /// It is tried again, not before this time has passed.
    Again(Duration),
}

impl ResponseVerdict {
    /// `now` is the time to which a date in `Retry-After` is compared.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Self {
        match status {
            _ if status.is_success() || status.is_redirection() => Self::Done,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Self::Again(retry_after(headers, now))
            }
            _ if status.is_client_error() => Self::Refused,
            _ => Self::Again(retry_after(headers, now)),
        }
    }
}

/// Whether the write may have been committed, or may still be, although the response does not say so.
pub(super) fn may_have_committed(status: StatusCode) -> bool {
    let says_nothing_was_done = matches!(
        status,
        StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED
    );
    !status.is_success()
        && !status.is_redirection()
        && !status.is_client_error()
        && !says_nothing_was_done
}

/// The time that `Retry-After` asks for (RFC 9110 section 10.2.3); zero if there is none, or it is
/// malformed.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Duration {
    let value = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let Some(value) = value.map(str::trim) else {
        return Duration::ZERO;
    };
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER);
    }
    let date = httpdate::parse_http_date(value).ok();
    let wait = date.and_then(|date| date.duration_since(now).ok());
    wait.unwrap_or_default().min(LONGEST_RETRY_AFTER)
}

/// A longer time is a mistake of the service.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn verdict(status: u16, retry_after: Option<&str>) -> ResponseVerdict {
        let status = StatusCode::from_u16(status).expect("a status");
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_str(value).expect("a value"));
        }
        ResponseVerdict::of(status, &headers, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn statuses_decide() {
        let again = ResponseVerdict::Again(Duration::ZERO);
        for (status, expected) in [
            (200, ResponseVerdict::Done),
            (204, ResponseVerdict::Done),
            (303, ResponseVerdict::Done),
            (304, ResponseVerdict::Done),
            (400, ResponseVerdict::Refused),
            (404, ResponseVerdict::Refused),
            (409, ResponseVerdict::Refused),
            (499, ResponseVerdict::Refused),
            (408, again),
            (425, again),
            (429, again),
            (500, again),
            (501, again),
            (503, again),
            (101, again),
            (999, again),
        ] {
            assert_eq!(verdict(status, None), expected, "{status}");
        }
    }

    #[test]
    fn retry_after_is_obeyed_in_both_forms() {
        let seconds = |seconds| ResponseVerdict::Again(Duration::from_secs(seconds));
        for (value, expected) in [
            ("120", 120),
            (" 7 ", 7),
            ("Thu, 01 Jan 1970 00:01:00 GMT", 60),
            ("0", 0),
            ("", 0),
            ("-1", 0),
            ("soon", 0),
            ("99999999999999999999999", 86_400),
            ("Fri, 31 Dec 9999 00:00:00 GMT", 86_400),
        ] {
            assert_eq!(verdict(503, Some(value)), seconds(expected), "{value}");
            assert_eq!(verdict(429, Some(value)), seconds(expected), "{value}");
        }
        assert_eq!(verdict(400, Some("120")), ResponseVerdict::Refused);
    }

    #[test]
    fn only_server_errors_leave_open_whether_something_was_written() {
        for (status, expected) in [(200, false), (302, false), (409, false), (429, false)]
            .into_iter()
            .chain([
                (500, true),
                (503, true),
                (501, false),
                (505, false),
                (101, true),
            ])
        {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(may_have_committed(status), expected, "{status}");
        }
    }
}
