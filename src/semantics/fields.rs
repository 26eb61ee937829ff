//! Which header fields are stored, replayed and forwarded (RFC 9111 section 3.1, RFC 9110 section 7.6.1).

use http::{
    HeaderMap, HeaderName,
    header::{
        AGE, CACHE_CONTROL, CONNECTION, DATE, EXPIRES, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
        SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE, VARY,
    },
};
use smallvec::SmallVec;

use super::{
    dates,
    dates::DateField,
    list,
    targeted::{Binding, CDN_CACHE_CONTROL},
};
use crate::clock::Timestamp;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");

type Names = SmallVec<[HeaderName; 4]>;

/// Fields that end at the next hop whether or not `Connection` names them.
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

/// Fields for every recipient, which a sender must not name in `Connection` (RFC 9110
/// section 7.6.1): left out, they would let more be done with what is stored.
const FOR_ALL: [HeaderName; 4] = [CACHE_CONTROL, CDN_CACHE_CONTROL, EXPIRES, VARY];

/// The fields that `Connection` names; what is no field name is a connection option only.
pub(crate) fn named_by_connection(headers: &HeaderMap) -> Names {
    if !headers.contains_key(CONNECTION) {
        return Names::new();
    }
    list::members(headers, &CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !FOR_ALL.contains(name))
        .collect()
}

/// Tells which fields of one response are stored.
#[derive(Debug)]
pub(crate) struct Storing<'a> {
    connection: Names,
    binding: Binding,
    strip: &'a [HeaderName],
}

impl<'a> Storing<'a> {
    /// `strip`: the fields that the route never stores.
    pub(crate) fn of(headers: &HeaderMap, strip: &'a [HeaderName]) -> Self {
        Self {
            connection: named_by_connection(headers),
            binding: Binding::of(headers),
            strip,
        }
    }

    pub(crate) fn stores(&self, name: &HeaderName) -> bool {
        !(is_hop_by_hop(name)
            || is_for_one_answer(name)
            || self.connection.contains(name)
            || self.left_out().any(|left_out| left_out == name)
            || self.strip.contains(name))
    }

    /// The fields that the response's own directives leave out.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = &HeaderName> {
        let directives = &self.binding.directives;
        let no_cache = directives.no_cache.fields().iter();
        no_cache.chain(directives.private.fields())
    }

    /// What is stored of `headers`, with `Date` added when it is missing or no date.
    ///
    /// `Age` is not among them: a stored response's is calculated. `Cache-Status` of caches
    /// nearer to the origin is kept, to be put before ours (RFC 9211 section 2).
    pub(crate) fn select(&self, headers: &HeaderMap, received: Timestamp) -> HeaderMap {
        let mut stored = HeaderMap::with_capacity(headers.keys_len() + 2);
        self.copy(headers, &mut stored);
        add_date(&mut stored, received);
        stored
    }

    /// What is stored of the trailer section, which stays apart from the head.
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

/// RFC 9110 section 6.6.1: a recipient with a clock adds `Date` to what it stores or forwards.
pub(crate) fn add_date(headers: &mut HeaderMap, received: Timestamp) {
    if DateField::read(headers, &DATE, received).valid().is_none() {
        headers.insert(DATE, dates::format(received));
    }
}

/// Fields about one exchange, one client or one hop; cookies for safety's sake, should a caller
/// forget to refuse them.
fn is_for_one_answer(name: &HeaderName) -> bool {
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
        let stored = Storing::of(&headers, strip).select(&headers, NOW);
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
        // No connection may take away what every recipient must know.
        assert_eq!(stored(&fields, &[]), ["c", "date", "set-cookie2", "vary"]);
    }

    #[test]
    fn qualified_directives_and_the_route_leave_out_fields() {
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
    fn date_is_added_when_missing_or_wrong() {
        // RFC 9110 section 6.6.1
        let date = |fields: &[(&'static str, &str)]| {
            let headers = map(fields);
            Storing::of(&headers, &[]).select(&headers, NOW)[DATE].clone()
        };
        assert_eq!(date(&[]), dates::format(NOW));
        assert_eq!(date(&[("date", "foo")]), dates::format(NOW));
        let kept = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(date(&[("date", kept)]), kept);
    }
}
