//! Decides which header fields are stored and forwarded (RFC 9111 section 3.1, RFC 9110 section 7.6.1).

use http::{
    HeaderMap, HeaderName,
    header::{
        AGE, CACHE_CONTROL, CONNECTION, DATE, EXPIRES, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
        SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE, VARY,
    },
};
use smallvec::SmallVec;

use super::{
    dates::{self, DateField},
    list,
    targeted::{CDN_CACHE_CONTROL, EffectiveDirectives},
};
use crate::clock::Timestamp;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");

type ConnectionOptions = SmallVec<[HeaderName; 4]>;

/// Whether a field is hop-by-hop even if `Connection` does not name it.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    [
        CONNECTION,
        TRANSFER_ENCODING,
        KEEP_ALIVE,
        TE,
        UPGRADE,
        PROXY_CONNECTION,
    ]
    .contains(name)
}

/// Fields for all recipients, which a sender must not name in `Connection` (RFC 9110 section
/// 7.6.1). They are stored nevertheless, because they restrict the use of the stored response.
const FOR_ALL_RECIPIENTS: [HeaderName; 4] = [CACHE_CONTROL, CDN_CACHE_CONTROL, EXPIRES, VARY];

/// The fields that `Connection` names. Options that are not field names are ignored.
pub(crate) fn connection_options(headers: &HeaderMap) -> ConnectionOptions {
    if !headers.contains_key(CONNECTION) {
        return ConnectionOptions::new();
    }
    list::members(headers, &CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !FOR_ALL_RECIPIENTS.contains(name))
        .collect()
}

/// Decides which fields of one response are stored.
#[derive(Debug)]
pub(crate) struct FieldFilter<'a> {
    connection: ConnectionOptions,
    effective: EffectiveDirectives,
    strip: &'a [HeaderName],
}

impl<'a> FieldFilter<'a> {
    /// `strip` are the fields that the route does not store.
    pub(crate) fn of(headers: &HeaderMap, strip: &'a [HeaderName]) -> Self {
        Self {
            connection: connection_options(headers),
            effective: EffectiveDirectives::of(headers),
            strip,
        }
    }

    pub(crate) fn stores(&self, name: &HeaderName) -> bool {
        !(is_hop_by_hop(name)
            || is_for_one_response(name)
            || self.connection.contains(name)
            || self.forbidden().any(|forbidden| forbidden == name)
            || self.strip.contains(name))
    }

    /// The fields that must not be stored by the response's directives.
    pub(crate) fn forbidden(&self) -> impl Iterator<Item = &HeaderName> {
        let directives = &self.effective.directives;
        let no_cache = directives.no_cache.fields().iter();
        no_cache.chain(directives.private.fields())
    }

    /// The fields of `headers` that are stored. Adds `Date` if it is missing or invalid.
    ///
    /// Leaves out `Age`, which is calculated for each use. Keeps the `Cache-Status` of caches
    /// nearer to the origin, which precedes that of this cache (RFC 9211 section 2).
    pub(crate) fn select(&self, headers: &HeaderMap, received: Timestamp) -> HeaderMap {
        let mut stored = HeaderMap::with_capacity(headers.keys_len() + 2);
        self.copy(headers, &mut stored);
        add_date(&mut stored, received);
        stored
    }

    /// The trailer fields that are stored; they are not merged into the head.
    pub(crate) fn select_trailers(&self, trailers: &HeaderMap) -> HeaderMap {
        let mut stored = HeaderMap::new();
        self.copy(trailers, &mut stored);
        stored
    }

    fn copy(&self, from: &HeaderMap, to: &mut HeaderMap) {
        for (name, value) in from {
            if self.stores(name) {
                to.append(name, value.clone());
            }
        }
    }
}

/// Adds a missing `Date`, as a recipient with a clock must before it stores or forwards a response
/// (RFC 9110 section 6.6.1).
pub(crate) fn add_date(headers: &mut HeaderMap, received: Timestamp) {
    if DateField::read(headers, &DATE, received).valid().is_none() {
        headers.insert(DATE, dates::format(received));
    }
}

/// Whether a field concerns one exchange, one client or one hop. Cookies are among them as a
/// precaution: callers already refuse to store responses that set cookies.
fn is_for_one_response(name: &HeaderName) -> bool {
    [
        AGE,
        SET_COOKIE,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        PROXY_AUTHENTICATION_INFO,
    ]
    .contains(name)
        || name.as_str().starts_with("ratelimit")
        || name.as_str().starts_with("x-ratelimit-")
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::CACHE_CONTROL};

    use super::*;

    const NOW: Timestamp = Timestamp(1_780_000_000_000);

    fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::from_str(value).expect("a value");
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    fn stored(fields: &[(&'static str, &str)], strip: &[HeaderName]) -> Vec<String> {
        let headers = map(fields);
        let stored = FieldFilter::of(&headers, strip).select(&headers, NOW);
        let mut names: Vec<_> = stored.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn hop_by_hop_and_named_fields_are_not_stored() {
        // RFC 9111 section 3.1, RFC 9110 section 7.6.1
        let fields = [
            ("connection", "a, b, close, vary"),
            ("vary", "c"),
            ("a", "1"),
            ("b", "2"),
            ("c", "3"),
            ("keep-alive", "x"),
            ("te", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "x"),
            ("proxy-connection", "x"),
            ("proxy-authenticate", "x"),
            ("proxy-authorization", "x"),
            ("proxy-authentication-info", "x"),
            ("age", "1"),
            ("set-cookie", "a=b"),
            ("ratelimit", "x"),
            ("ratelimit-policy", "x"),
            ("x-ratelimit-limit", "1"),
            ("set-cookie2", "a=b"),
        ];
        // `Vary` is for all recipients.
        assert_eq!(stored(&fields, &[]), ["c", "date", "set-cookie2", "vary"]);
    }

    #[test]
    fn fields_named_by_directives_or_the_route_are_not_stored() {
        // RFC 9111 sections 5.2.2.4 and 5.2.2.7
        let fields = [
            ("cache-control", "no-cache=\"a, b\", private=c"),
            ("a", "1"),
            ("b", "1"),
            ("c", "1"),
            ("d", "1"),
            ("e", "1"),
        ];
        let strip = [HeaderName::from_static("d")];
        assert_eq!(
            stored(&fields, &strip),
            [CACHE_CONTROL.as_str(), "date", "e"]
        );
    }

    #[test]
    fn a_missing_or_invalid_date_is_added() {
        // RFC 9110 section 6.6.1
        let date = |fields: &[(&'static str, &str)]| {
            let headers = map(fields);
            FieldFilter::of(&headers, &[]).select(&headers, NOW)[DATE].clone()
        };
        assert_eq!(date(&[]), dates::format(NOW));
        assert_eq!(date(&[("date", "foo")]), dates::format(NOW));
        let kept = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(date(&[("date", kept)]), kept);
    }
}
