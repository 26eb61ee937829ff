//! `Cache-Status` (RFC 9211): how this cache handled a request.

use std::io::Write;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::freshness::Reason;

pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why a request was forwarded (section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forward {
    Bypass,
    Method,
    UriMiss,
    VaryMiss,
    Request,
    Stale,
    Partial,
}

impl Forward {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

impl From<Reason> for Forward {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Stale => Self::Stale,
            Reason::Request => Self::Request,
        }
    }
}

/// How the request was handled; `hit` and `fwd` exclude each other (section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheOutcome {
    Hit,
    Forward {
        reason: Forward,
        /// The status of the next hop's response, if the client gets another one.
        status: Option<StatusCode>,
        stored: bool,
        /// Whether another request's response was used; `None` if that was not tried.
        collapsed: Option<bool>,
    },
}

/// One member of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheStatus<'a> {
    pub(crate) outcome: CacheOutcome,
    /// Seconds of freshness left, negative when stale.
    pub(crate) ttl: Option<i64>,
    pub(crate) key: Option<&'a str>,
    /// A token.
    pub(crate) detail: Option<&'static str>,
}

impl CacheStatus<'_> {
    pub(crate) const fn hit(ttl: i64) -> Self {
        Self::new(CacheOutcome::Hit).ttl(ttl)
    }

    pub(crate) const fn forward(reason: Forward) -> Self {
        Self::new(CacheOutcome::Forward {
            reason,
            status: None,
            stored: false,
            collapsed: None,
        })
    }

    /// The status of the next hop's response; has no effect on a hit.
    #[must_use]
    pub(crate) const fn status(mut self, next_hop: StatusCode) -> Self {
        if let CacheOutcome::Forward { status, .. } = &mut self.outcome {
            *status = Some(next_hop);
        }
        self
    }

    /// Whether the response was stored; has no effect on a hit.
    #[must_use]
    pub(crate) const fn stored(mut self, yes: bool) -> Self {
        if let CacheOutcome::Forward { stored, .. } = &mut self.outcome {
            *stored = yes;
        }
        self
    }

    /// Whether another request's response was used; has no effect on a hit.
    #[must_use]
    pub(crate) const fn collapsed(mut self, yes: bool) -> Self {
        if let CacheOutcome::Forward { collapsed, .. } = &mut self.outcome {
            *collapsed = Some(yes);
        }
        self
    }

    /// Seconds of freshness left, negative when stale.
    #[must_use]
    pub(crate) const fn ttl(mut self, seconds: i64) -> Self {
        self.ttl = Some(seconds);
        self
    }

    /// A token that says more about how the request was handled.
    #[must_use]
    pub(crate) const fn detail(mut self, token: &'static str) -> Self {
        self.detail = Some(token);
        self
    }

    const fn new(outcome: CacheOutcome) -> Self {
        Self {
            outcome,
            ttl: None,
            key: None,
            detail: None,
        }
    }

    /// Appends this cache's member after those of caches nearer to the origin.
    ///
    /// The member gets its own line, which is equivalent (RFC 9110 section 5.3) and leaves the
    /// lines of other caches untouched, well-formed or not.
    pub(crate) fn append(&self, name: &str, headers: &mut HeaderMap) {
        headers.append(CACHE_STATUS, self.to_value(name));
    }

    pub(crate) fn to_value(self, name: &str) -> HeaderValue {
        let mut text = Vec::with_capacity(64);
        self.write(name, &mut text);
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
            .unwrap_or(HeaderValue::from_static("tower-keep"))
    }

    /// Writes the member; allocates only if `out` has too little capacity.
    pub(crate) fn write(&self, name: &str, out: &mut Vec<u8>) {
        if is_token(name) {
            out.extend_from_slice(name.as_bytes());
        } else {
            write_string(name, out);
        }
        match self.outcome {
            CacheOutcome::Hit => out.extend_from_slice(b"; hit"),
            CacheOutcome::Forward { reason, status, .. } => {
                out.extend_from_slice(b"; fwd=");
                out.extend_from_slice(reason.as_str().as_bytes());
                if let Some(status) = status {
                    out.extend_from_slice(b"; fwd-status=");
                    out.extend_from_slice(status.as_str().as_bytes());
                }
            }
        }
        if let Some(ttl) = self.ttl {
            // An Integer has at most 15 digits (RFC 9651 section 3.3.1).
            let ttl = ttl.clamp(-999_999_999_999_999, 999_999_999_999_999);
            write!(out, "; ttl={ttl}").expect("a vector takes everything");
        }
        if let CacheOutcome::Forward {
            stored, collapsed, ..
        } = self.outcome
        {
            let flags: [(bool, &[u8]); 3] = [
                (stored, b"; stored"),
                (collapsed == Some(true), b"; collapsed"),
                (collapsed == Some(false), b"; collapsed=?0"),
            ];
            for (_, text) in flags.iter().filter(|(said, _)| *said) {
                out.extend_from_slice(text);
            }
        }
        if let Some(key) = self.key {
            out.extend_from_slice(b"; key=");
            write_string(key, out);
        }
        if let Some(detail) = self.detail {
            out.extend_from_slice(b"; detail=");
            out.extend_from_slice(detail.as_bytes());
        }
    }
}

/// Whether `text` is an `sf-token` (RFC 9651 section 3.3.4).
fn is_token(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'*')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte))
}

/// Writes an `sf-string` (RFC 9651 section 3.3.3); characters that it cannot contain become `?`.
fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend_from_slice(&[b'\\', char as u8]),
            ' '..='~' => out.push(char as u8),
            _ => out.push(b'?'),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(status: CacheStatus<'_>) -> String {
        let value = status.to_value("tower-keep");
        value.to_str().expect("ASCII").to_owned()
    }

    #[test]
    fn a_hit_has_its_ttl() {
        // RFC 9211 sections 2.1 and 2.4, and its examples
        assert_eq!(text(CacheStatus::hit(376)), "tower-keep; hit; ttl=376");
        assert_eq!(text(CacheStatus::hit(-412)), "tower-keep; hit; ttl=-412");
        assert_eq!(
            text(CacheStatus::hit(i64::MIN)),
            "tower-keep; hit; ttl=-999999999999999"
        );
    }

    #[test]
    fn a_forward_has_its_parameters() {
        // RFC 9211 sections 2.2 to 2.6
        assert_eq!(
            text(CacheStatus::forward(Forward::UriMiss)),
            "tower-keep; fwd=uri-miss"
        );
        let validated = CacheStatus {
            key: Some("a\"b\u{e9}"),
            ..CacheStatus::forward(Reason::Stale.into())
                .status(StatusCode::NOT_MODIFIED)
                .stored(true)
                .collapsed(false)
                .ttl(60)
                .detail("LOCAL")
        };
        assert_eq!(
            text(validated),
            "tower-keep; fwd=stale; fwd-status=304; ttl=60; stored; collapsed=?0; key=\"a\\\"b?\"; detail=LOCAL"
        );
    }

    #[test]
    fn names_are_tokens_or_strings() {
        // RFC 9211 section 2
        let named = |name| CacheStatus::hit(1).to_value(name);
        assert_eq!(named("a.b:80"), "a.b:80; hit; ttl=1");
        assert_eq!(
            named("CDN Company Here"),
            "\"CDN Company Here\"; hit; ttl=1"
        );
        assert_eq!(named("1"), "\"1\"; hit; ttl=1");
    }

    #[test]
    fn the_member_follows_those_of_other_caches() {
        // RFC 9211 section 2
        let mut headers = HeaderMap::new();
        headers.insert(
            CACHE_STATUS,
            HeaderValue::from_static("OriginCache; hit; ttl=1100"),
        );
        CacheStatus::hit(5).append("tower-keep", &mut headers);
        let lines: Vec<_> = headers.get_all(CACHE_STATUS).iter().collect();
        assert_eq!(
            lines,
            ["OriginCache; hit; ttl=1100", "tower-keep; hit; ttl=5"]
        );
    }

    proptest! {
        #[test]
        fn any_member_is_a_valid_structured_field(name: String, key: String, ttl: i64) {
            let status = CacheStatus { key: Some(&key), ..CacheStatus::forward(Forward::UriMiss).ttl(ttl) };
            let value = status.to_value(&name);
            let mut ignored = sfv::visitor::Ignored;
            prop_assert!(sfv::Parser::new(value.as_bytes()).parse_list_with_visitor(&mut ignored).is_ok());
        }
    }
}
