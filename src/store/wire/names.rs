//! Field names that are encoded as one byte.

use std::{collections::HashMap, sync::LazyLock};

use http::{HeaderName, header as h};

/// The number of a name is its position here, counted from 1.
///
/// Add names at the end only, as stored entries refer to the numbers.
static NAMES: [HeaderName; 64] = [
    h::CONTENT_TYPE,
    h::CONTENT_LENGTH,
    h::CACHE_CONTROL,
    h::DATE,
    h::ETAG,
    h::LAST_MODIFIED,
    h::EXPIRES,
    h::VARY,
    h::CONTENT_ENCODING,
    h::CONTENT_LANGUAGE,
    h::CONTENT_LOCATION,
    h::CONTENT_DISPOSITION,
    h::CONTENT_RANGE,
    h::CONTENT_SECURITY_POLICY,
    h::CONTENT_SECURITY_POLICY_REPORT_ONLY,
    h::ACCEPT_RANGES,
    h::AGE,
    h::ALLOW,
    h::ALT_SVC,
    h::LINK,
    h::LOCATION,
    h::PRAGMA,
    h::REFERRER_POLICY,
    h::REFRESH,
    h::RETRY_AFTER,
    h::SERVER,
    h::SET_COOKIE,
    h::STRICT_TRANSPORT_SECURITY,
    h::TRAILER,
    h::VIA,
    h::WARNING,
    h::WWW_AUTHENTICATE,
    h::X_CONTENT_TYPE_OPTIONS,
    h::X_DNS_PREFETCH_CONTROL,
    h::X_FRAME_OPTIONS,
    h::X_XSS_PROTECTION,
    h::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    h::ACCESS_CONTROL_ALLOW_HEADERS,
    h::ACCESS_CONTROL_ALLOW_METHODS,
    h::ACCESS_CONTROL_ALLOW_ORIGIN,
    h::ACCESS_CONTROL_EXPOSE_HEADERS,
    h::ACCESS_CONTROL_MAX_AGE,
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("cache-groups"),
    HeaderName::from_static("no-vary-search"),
    HeaderName::from_static("cross-origin-embedder-policy"),
    HeaderName::from_static("cross-origin-opener-policy"),
    HeaderName::from_static("cross-origin-resource-policy"),
    HeaderName::from_static("permissions-policy"),
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("timing-allow-origin"),
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-powered-by"),
    HeaderName::from_static("x-total-count"),
    HeaderName::from_static("x-robots-tag"),
    h::ACCEPT,
    h::ACCEPT_ENCODING,
    h::ACCEPT_LANGUAGE,
    h::ORIGIN,
    h::USER_AGENT,
];

/// The name with a number.
pub(super) fn name(number: u8) -> Option<&'static HeaderName> {
    NAMES.get(usize::from(number).checked_sub(1)?)
}

/// The number of a name, or 0.
pub(super) fn number(name: &HeaderName) -> u8 {
    static NUMBERS: LazyLock<HashMap<&HeaderName, u8, foldhash::fast::RandomState>> =
        LazyLock::new(|| NAMES.iter().zip(1..).collect());
    NUMBERS.get(name).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_round_trip() {
        for number in 1..=64 {
            let name = name(number).expect("64 names");
            assert_eq!(super::number(name), number, "{name} is a duplicate");
        }
        assert_eq!(name(0), None);
        assert_eq!(name(65), None);
        assert_eq!(number(&HeaderName::from_static("x-unheard-of")), 0);
    }
}
